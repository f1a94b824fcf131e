"""Modules by name: the function of a file that builds one, or the class of a library that a config.json names."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from roofline.errors import MissingExtraError, UsageError, shown
from roofline.models.model import Model
from roofline.models.sources import DIFFUSERS, TRANSFORMERS, read_json
from roofline.number import exact
from roofline.tracing.inputs import CACHE, HINTS, Given, Input, read_inputs
from roofline.tracing.trace import Mode, import_torch, trace


def trace_source(
    where: str, inputs: Mapping[str, Given], dims: Mapping[str, int], *, strict: bool = False,
    ones: Collection[str] = (), at: Mapping[str, int] | None = None, mode: Mode = "inference",
) -> Model:  # fmt: skip
    """The module that ``FILE.py:FUNCTION`` builds, or a ``CONFIG.json`` of ``transformers:`` or ``diffusers:``, traced.

    The code of the file is run: it builds the module, without memory for its weights, and calls it once. What it prints
    goes to stderr. It runs ``at`` the batch and the length that are asked about, and once more with each letter of
    ``ones`` at 1, which torch takes for a special case. Raises UsageError, in one line, for what is not there, for what
    the code raises, and where it does something else at 1. ``mode`` as :func:`trace` has it; generation of a module
    that does not generate is inference.
    """
    import_torch()
    from roofline.tracing.hollow import hollow  # noqa: PLC0415  (needs torch)
    from roofline.tracing.running import blaming  # noqa: PLC0415

    decoding = mode == "decoding"
    with contextlib.redirect_stdout(sys.stderr):
        if where.startswith(TRANSFORMERS):
            module, usual = from_transformers(where.removeprefix(TRANSFORMERS))
            if mode == "training":
                module.train()
                usual |= _labels(module)
            if decoding:
                usual = _one_token(module, usual)
            mode = _able(module, mode)
            return _checked(module, {**usual, **inputs}, dims, type(module).__name__, (ones, at), mode, strict=strict)
        if where.startswith(DIFFUSERS):
            module, usual = from_diffusers(where.removeprefix(DIFFUSERS))
            _check_caches(inputs, where, decoding)
            own = _able(module, "inference" if decoding else mode)
            return _checked(module, {**usual, **inputs}, dims, type(module).__name__, (ones, at), own, strict=strict)
        build = load_function(where, where, lambda: blaming(where))
        with blaming(where), hollow():
            module = build()
        check_module(module, where)
        _check_caches(inputs, where, decoding)
        own = _able(module, "inference" if decoding else mode)
        return _checked(module, inputs, dims, "", (ones, at), own, strict=strict)


def _able(module: Any, mode: Mode) -> Mode:
    """The mode of a module: one that does not generate has inference in place of generation."""
    from roofline.tracing.running import generates  # noqa: PLC0415  (needs torch)

    return "inference" if mode == "generation" and not generates(module) else mode


def _one_token(module: Any, usual: Mapping[str, Given]) -> dict[str, Given]:
    """What a step of a decoder reads beside its caches. Raises UsageError for what is none."""
    if list(usual) != ["input_ids"] or not type(module).__name__.endswith(("ForCausalLM", "LMHeadModel")):
        msg = f"{type(module).__name__} is no decoder of transformers: it has no decode step; leave context out"
        raise UsageError(msg)
    return {"input_ids": "B,1"}


def _check_caches(inputs: Mapping[str, Given], where: str, decoding: bool) -> None:
    """Raises UsageError where a decode step is asked of a module whose caches nobody states, or the other way round."""
    if decoding and not any(each.holds == CACHE for each in read_inputs(inputs)):
        msg = (
            f"{where}: context is a decode step, whose caches the module takes as inputs; give one token and these: "
            f"--input x=B,1,256 --input k={CACHE}:B,8,S,64"
        )
        raise UsageError(msg)


def _checked(
    module: Any, inputs: Mapping[str, Given], dims: Mapping[str, int], name: str,
    where: tuple[Collection[str], Mapping[str, int] | None], mode: Mode, *, strict: bool,
) -> Model:  # fmt: skip
    """A module traced at the sizes of ``where``, and again with each letter of the others that it names at 1."""
    ones, at = where

    def traced(given: Mapping[str, Given]) -> Model:
        return trace(module, given, dims=dims, name=name, at=at, strict=strict, mode=mode)

    model = traced(inputs)
    given = read_inputs(inputs)
    for letter in ones:
        if any(letter in each.letters for each in given):
            alone = {each.name: _with_one(each, letter) for each in given}
            again = traced(alone)
            expected, found = (_flops(each, {**HINTS, **(at or {}), letter: 1}) for each in (model, again))
            if expected != found:
                other = f"{found:,} FLOPs, where its formula has {expected:,}"
                msg = (
                    f"{model.name}: at {letter} = 1 its code does something else ({other}); give 1 in place of {letter}"
                )
                raise UsageError(msg)
    return model


def _with_one(each: Input, letter: str) -> str:
    sizes = ("1" if size == letter else str(size) for size in each.sizes)
    return f"{each.holds}:{','.join(sizes)}"


def _flops(model: Model, given: Mapping[str, int]) -> int:
    """The FLOPs of contractions of this batch B and length S."""
    program = model.program()
    sizes = {name: exact(size) for name, size in {**program.sizes, **given, "T": given["S"]}.items()}
    phase = model.phases[0]
    return int(sum(group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in program.in_phase(phase)))


def check_module(built: Any, said: str) -> None:
    """Raises UsageError where a function built no module; ``said`` is how an error begins."""
    if not isinstance(built, import_torch().nn.Module):
        name = said.rpartition(":")[2].rstrip("'")
        msg = f"{said}: {name} returns {type(built).__name__}, expected a torch.nn.Module"
        raise UsageError(msg)


def load_function(where: str, said: str, blame: Callable[[], AbstractContextManager[None]]) -> Callable[[], Any]:
    """The function of a file, ``file.py:function``, whose code is run under ``blame``; ``said`` begins an error.

    Raises UsageError for what is not there, and what ``blame`` makes of what the file raises.
    """
    path, _, name = where.rpartition(":")
    file = Path(path)
    if not path or not name or not file.is_file() or file.suffix != ".py":
        msg = f"{said}: expected FILE.py:FUNCTION, a file that exists and a function that returns a module"
        raise UsageError(msg)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    with blame():
        spec.loader.exec_module(loaded)
    build = getattr(loaded, name, None)
    if not callable(build):
        msg = f"{said}: {file.name} has no function {name}"
        raise UsageError(msg)
    found: Callable[[], Any] = build
    return found


def from_transformers(path: str, *, weights: bool = False) -> tuple[Any, dict[str, str]]:
    """The module of a configuration, without weights or with random ones, and the inputs that it usually takes."""
    try:
        import transformers  # noqa: PLC0415  (slow to import)
    except ImportError:
        purpose = f"building {path}"
        raise MissingExtraError(purpose, "torch") from None
    from roofline.tracing.hollow import hollow  # noqa: PLC0415
    from roofline.tracing.running import blaming  # noqa: PLC0415

    file = Path(path)
    if not file.exists():
        msg = f"{TRANSFORMERS}{path}: no such file; expected a config.json, or the folder that holds one"
        raise UsageError(msg)
    transformers.logging.set_verbosity_error()
    with blaming(f"{TRANSFORMERS}{path}"), contextlib.nullcontext() if weights else hollow():
        config = transformers.AutoConfig.from_pretrained(str(file), local_files_only=True)
        config.use_cache = False
        named = (getattr(config, "architectures", None) or [""])[0]
        made = getattr(transformers, named, None) if named else None
        if named and made is None:
            msg = f"{TRANSFORMERS}{path}: transformers {transformers.__version__} has no {shown(named)}"
            raise UsageError(msg)
        module = made(config) if made else transformers.AutoModel.from_config(config)
        if not weights and getattr(config, "dtype", None) is not None:  # grouped matmuls take no other
            module = module.to(config.dtype)
    return module, _usual_inputs(config, module)


def from_diffusers(path: str, *, weights: bool = False) -> tuple[Any, dict[str, str]]:
    """The module of a configuration of diffusers, without weights or with random ones, and the inputs that it takes.

    ``path``: a config.json, or the folder that holds one. Raises UsageError for a pipeline, of which one network is to
    be named, and MissingExtraError without diffusers.
    """
    from roofline.tracing.hollow import hollow  # noqa: PLC0415  (needs torch)
    from roofline.tracing.running import blaming  # noqa: PLC0415

    file = Path(path) / "config.json" if Path(path).is_dir() else Path(path)
    said = f"{DIFFUSERS}{path}"
    if (index := Path(path) / "model_index.json").exists() or file.name == "model_index.json":
        parts = sorted(each.parent.name for each in (index if index.exists() else file).parent.glob("*/config.json"))
        msg = f"{said}: is a pipeline of several networks; give one: {', '.join(parts) or 'transformer'}"
        raise UsageError(msg)
    fields = read_json(file, "the config.json of a module of diffusers")
    try:
        diffusers: Any = importlib.import_module("diffusers")
    except ImportError:
        msg = f"building {said} needs diffusers, which is not installed: pip install diffusers"
        raise UsageError(msg) from None
    name = fields.get("_class_name")
    made = getattr(diffusers, name, None) if isinstance(name, str) else None
    if made is None:
        msg = f"{said}: diffusers {diffusers.__version__} has no {shown(name)}; expected its _class_name"
        raise UsageError(msg)
    with blaming(said), contextlib.nullcontext() if weights else hollow():
        module = made.from_config(fields)
    return module, _latents(str(name), module.config)


def _latents(name: str, config: Any) -> dict[str, str]:
    """What a denoising network is given, of those whose forward takes tensors alone; none of others."""
    side = getattr(config, "sample_size", 64)
    sizes = f"B,{getattr(config, 'in_channels', 0)},{side},{side}"
    text = {"timestep": "int:B"}
    if name == "UNet2DConditionModel":
        return {"sample": sizes, **text, "encoder_hidden_states": f"B,77,{config.cross_attention_dim}"}
    if name == "DiTTransformer2DModel":
        return {"hidden_states": sizes, **text, "class_labels": "B"}
    if name == "SD3Transformer2DModel":
        given = {"hidden_states": sizes, "encoder_hidden_states": f"B,333,{config.joint_attention_dim}"}
        return {**given, "pooled_projections": f"B,{config.pooled_projection_dim}", "timestep": "B"}
    if name == "PixArtTransformer2DModel":
        return {"hidden_states": sizes, **text, "encoder_hidden_states": f"B,300,{config.caption_channels}"}
    return {}


_LABELS = {
    "ForCausalLM": "B,S", "LMHeadModel": "B,S", "ForMaskedLM": "B,S", "ForSequenceClassification": "B",
    "ForImageClassification": "B",
}  # fmt: skip
"""Sizes of the labels from which a module of transformers computes its loss, by what its name ends in."""


def _labels(module: Any) -> dict[str, str]:
    """The labels of a module that computes its loss."""
    sizes = next((sizes for end, sizes in _LABELS.items() if type(module).__name__.endswith(end)), None)
    return {} if sizes is None else {"labels": f"int:{sizes}"}


def _usual_inputs(config: Any, module: Any) -> dict[str, str]:
    """Tokens for text, images of the configuration's size for vision; one token for a decoder behind an encoder."""
    if getattr(module, "main_input_name", "") == "pixel_values":
        size = config.image_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return {"pixel_values": f"B,{config.num_channels},{height},{width}"}
    decoder = {"decoder_input_ids": "B,1"} if getattr(config, "is_encoder_decoder", False) else {}
    return {"input_ids": "B,S", **decoder}
