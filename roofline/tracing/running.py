"""A module is run once over letters, and what it did is a recording; what it refuses is said in a line."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._dynamo.source import ConstantSource
from torch.fx.experimental.symbolic_shapes import DimDynamic

from roofline.errors import RooflineError, UsageError, shown
from roofline.models.traced.blocks import block_paths
from roofline.models.traced.calls import Recording
from roofline.models.traced.extents import Reader
from roofline.program.op import Role
from roofline.tracing.findings import Asked, asked_of, refuse_fixed
from roofline.tracing.hollow import main_dtype, without_data
from roofline.tracing.inputs import CACHE, Input
from roofline.tracing.plans import on_one_device, plan_of
from roofline.tracing.recorder import QUANTIZED, Recorder, fake_mode, recording, tensors_in
from roofline.tracing.work import expression

_DTYPES = {"float": None, CACHE: None, "int": torch.int64, "bool": torch.bool}
_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def record(
    module: nn.Module, inputs: Sequence[Input], dims: Mapping[str, int], name: str, hints: Mapping[str, int], *,
    training: bool = False, decoding: bool = False, prefilling: bool = False,
) -> tuple[Recording, Asked, tuple[str, ...]]:  # fmt: skip
    """One run of ``module`` in inference, at the B and S of ``hints``, what its code asked of letters, what it lacks.

    In ``training`` it runs as it was built, and the gradients of its parameters after that. ``decoding``: first it
    reads S - 1 tokens, of which nothing is noted but the caches that it returns, and then one token over these.
    ``prefilling``: it keeps caches, and scores the last token alone where it can.
    Raises UsageError, in one line with file and line, for what needs data, and for letters that the code fixed.
    """
    fake = fake_mode()
    letters = list(dict.fromkeys(letter for each in inputs for letter in each.letters))
    sizes = {letter: _letter(fake.shape_env, letter, hints.get(letter, dims.get(letter, 2))) for letter in letters}
    symbols = {str(expression(size)): letter for letter, size in sizes.items()}
    less: dict[str, int] = {}
    if decoding:
        sizes[PAST] = _letter(fake.shape_env, PAST, hints["S"] - 1)
        symbols[str(expression(sizes[PAST]))], less = "S", {str(expression(sizes[PAST])): 1}
    recorder = Recorder(fake, Reader(symbols, less), main_dtype(module), training=training)
    gradients: list[tuple[Any, Any]] = []
    lacks: tuple[str, ...] = ()
    plan = plan_of(module)
    with _inference(module, training), on_one_device(module), blaming(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = _swapped(module, recorder)
        given = {each.name: _input(each, sizes, recorder) for each in inputs}
        _check_names(module, given, name)
        with recording(recorder, module), _as_it_runs():
            if decoding:
                given |= _with_caches(module, held, given, sizes, recorder)
            more = _as_generating(module) if prefilling else {}
            returned = torch.func.functional_call(module, held, (), {**given, **more}, tie_weights=True)
            if training:
                loss, lacks = _loss_of(returned, name)
                gradients = _backward(loss, held, recorder)
            recorder.note_guards()
    refuse_fixed(fake.shape_env, symbols, recorder.asked, name)
    parameters = [(each, held[each]) for each, _ in module.named_parameters()]
    found = replace(recorder.finished(returned, parameters, block_paths(module), gradients), plan=plan)
    asked = asked_of(fake.shape_env, symbols, recorder.asked, recorder.inner, recorder.reader, less)
    return found, asked, lacks


def generates(module: nn.Module) -> bool:
    """Whether a module generates token by token over caches that it takes and returns, with no encoder before it."""
    import inspect  # noqa: PLC0415

    able = getattr(module, "can_generate", None)
    encodes = getattr(getattr(module, "config", None), "is_encoder_decoder", False)
    takes = "past_key_values" in inspect.signature(module.forward).parameters
    return takes and not encodes and (able is None or bool(able()))


def _as_generating(module: nn.Module) -> dict[str, Any]:
    """What a module is told where it begins to generate."""
    import inspect  # noqa: PLC0415

    known = inspect.signature(module.forward).parameters
    return {name: value for name, value in (("use_cache", True), ("logits_to_keep", 1)) if name in known}


PAST = "past"
"""The tokens before the one that a step reads."""


def _with_caches(
    module: nn.Module, held: Mapping[str, Any], given: Mapping[str, Any], sizes: Mapping[str, Any], recorder: Recorder
) -> dict[str, Any]:
    """The caches that a module of transformers returns after it read the tokens before, as what a step finds."""
    (name, tokens), *_ = given.items()
    with recorder.forgotten(), recorder.fake, torch.no_grad():
        prompt = torch.empty((tokens.shape[0], sizes[PAST]), dtype=torch.int64)
        recorder.known(prompt, "index", name)
        returned = torch.func.functional_call(module, held, (), {name: prompt, "use_cache": True}, tie_weights=True)
    caches = getattr(returned, "past_key_values", None)
    layers = getattr(caches, "layers", None)
    found = {
        f"cache.{place}.{part}": tensor
        for place, layer in enumerate(layers or ())
        for part, tensor in vars(layer).items()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
    }
    if not found:
        msg = f"{type(module).__name__} returns no cache of keys and values; give its own as inputs, k={CACHE}:B,8,S,64"
        raise UsageError(msg)
    for name, tensor in found.items():
        recorder.known(tensor, "kv_cache", name)
    return {"past_key_values": caches, "use_cache": True}


def _loss_of(returned: Any, name: str) -> tuple[Any, tuple[str, ...]]:
    """What the backward pass begins at: a loss, or the first output that learns, and what is left out then."""
    loss = returned if isinstance(returned, torch.Tensor) else getattr(returned, "loss", None)
    if loss is None and isinstance(returned, dict):
        loss = returned.get("loss")
    if isinstance(loss, torch.Tensor) and loss.dim() == 0 and loss.requires_grad:
        return loss, ()
    learning = [each for each in tensors_in((returned,)) if each.requires_grad]
    if not learning:
        msg = f"{name}: nothing that its forward returns depends on a parameter that learns; return a loss"
        raise UsageError(msg)
    first = next((each for each in learning if each.dim() == 0), learning[0])
    if first.dim() == 0:
        return first, ()
    return first, ("its forward returns no loss, so that backward begins at its output; return a loss to count it",)


def _backward(loss: Any, held: Mapping[str, Any], recorder: Recorder) -> list[tuple[Any, Any]]:
    """The gradients of parameters, each with its parameter, of a backward pass that is noted."""
    learning = list({id(each): each for each in held.values() if each.requires_grad}.values())
    seed = None
    if loss.dim():
        with recorder.silent(), torch.no_grad():
            seed = torch.empty_like(loss)
    recorder.turn(loss)
    found = torch.autograd.grad(loss, learning, seed, allow_unused=True)
    return [(gradient, each) for gradient, each in zip(found, learning, strict=True) if gradient is not None]


def _letter(environment: Any, letter: str, hint: int) -> Any:
    """A size that is a letter; a 1 stays one, as torch takes it for a special case."""
    source = ConstantSource(f"__roofline_{letter}")
    symbol = environment.create_symbol(hint, source=source, dynamic_dim=DimDynamic.DYNAMIC)
    return environment.create_symintnode(symbol, hint=hint, source=source)


def _swapped(module: nn.Module, recorder: Recorder) -> dict[str, Any]:
    """Parameters and buffers without data by their names, those that are shared once."""
    held: dict[str, Any] = {}
    made: dict[int, Any] = {}
    for role, named in (
        ("weight", module.named_parameters(remove_duplicate=False)),
        ("input", module.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in named:
            if id(tensor) not in made:
                made[id(tensor)] = without_data(tensor, recorder.fake)
                if recorder.training and role == "weight":
                    made[id(tensor)].requires_grad_(tensor.requires_grad)
                kept = role if tensor.is_floating_point() or role == "weight" else "index"
                kept = "weight" if tensor.dtype in QUANTIZED and tensor.dim() > 1 else kept
                recorder.known(made[id(tensor)], kept, name)  # type: ignore[arg-type]
            held[name] = made[id(tensor)]
    return held


def _input(each: Input, sizes: Mapping[str, Any], recorder: Recorder) -> Any:
    shape = tuple(sizes[size] if isinstance(size, str) else size for size in each.sizes)
    dtype = _DTYPES[each.holds] if each.holds in _DTYPES else getattr(torch, each.holds)
    with recorder.fake:
        tensor = torch.empty(shape, dtype=dtype or recorder.main or torch.float32)
    role: Role = "index" if dtype and not dtype.is_floating_point else "kv_cache" if each.holds == CACHE else "input"
    recorder.known(tensor, role, each.name)
    return tensor


_TOKENS, _FEATURES = "B,S", "B,S,256"
"""Sizes that are proposed for an input: of tokens, and of vectors."""


def _holds_tokens(name: str) -> bool:
    """Whether an input that is called so holds a number for each token.

    >>> [_holds_tokens(name) for name in ("input_ids", "labels", "attention_mask", "hidden_states")]
    [True, True, True, False]
    """
    words = set(name.lower().split("_"))
    return bool(words & {"ids", "id", "idx", "token", "tokens", "label", "labels", "target", "targets", "mask"})


def _check_names(module: nn.Module, given: Mapping[str, Any], name: str) -> None:
    import inspect  # noqa: PLC0415

    known = inspect.signature(module.forward).parameters
    if any(each.kind is each.VAR_KEYWORD for each in known.values()):
        return
    if strange := [each for each in given if each not in known]:
        msg = f"{name}: {type(module).__name__}.forward takes no input {shown(strange[0])}; it takes {', '.join(known)}"
        raise UsageError(msg)
    needed = [
        each.name for each in known.values() if each.default is each.empty and each.kind is not each.VAR_POSITIONAL
    ]
    if missing := [each for each in needed if each not in given]:
        flags = " ".join(f"--input {each}={_TOKENS if _holds_tokens(each) else _FEATURES}" for each in missing)
        what = "" if all(map(_holds_tokens, missing)) else ", with its own number of features"
        msg = f"{name}: {type(module).__name__}.forward needs {', '.join(missing)}; give {flags}{what}"
        raise UsageError(msg)


@contextlib.contextmanager
def _inference(module: nn.Module, training: bool) -> Iterator[None]:
    """The module as it is used, and after that as it was; where it is ``training``, as it was all along."""
    changed = [each for each in module.modules() if each.training and not training]
    if not training:
        module.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for each in changed:
            each.training = True


@contextlib.contextmanager
def _as_it_runs() -> Iterator[None]:
    """What transformers asks of data before it leaves a causal mask out: sequences are not packed.

    Torch's own logging is off: what fails is said in a line.
    """
    masks = sys.modules.get("transformers.masking_utils")
    asked = getattr(masks, "find_packed_sequence_indices", None)
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    if asked is not None:
        masks.find_packed_sequence_indices = lambda _: None  # type: ignore[union-attr]
    try:
        yield
    finally:
        logging.disable(before)
        if asked is not None:
            masks.find_packed_sequence_indices = asked  # type: ignore[union-attr]


@contextlib.contextmanager
def blaming(where: str) -> Iterator[None]:
    """What the user's code raises, or torch for it, as UsageError: the last line of no library, and what went wrong."""
    try:
        yield
    except (RooflineError, MemoryError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as failure:
        msg = f"{where}: {_place(failure)}{type(failure).__name__}: {_first_line(failure)}{_advice(failure)}"
        raise UsageError(msg) from None


def _place(failure: BaseException) -> str:
    if isinstance(failure, SyntaxError):
        return f"line {failure.lineno}: "
    frames = [each for each in traceback.extract_tb(failure.__traceback__) if not each.filename.startswith(_LIBRARIES)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames and frames[-1].lineno else ""


def _first_line(failure: BaseException) -> str:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    if lines and "INTERNAL ASSERT FAILED" in lines[0]:
        return "torch takes no letters as sizes here; write it with einsum or matmul"
    return lines[0][:200] if lines else "no message"


_DATA = ("DataDependent", "GuardOnDataDependent", "_local_scalar_dense", ".numpy()", "nonzero", "data-dependent")


def _advice(failure: BaseException) -> str:
    text = f"{type(failure).__name__} {failure}"
    if "meta tensor" in text:
        return "; modules are built without data, which this reads: give int8 or fp8 weights as buffers of their own"
    if any(word in text for word in _DATA):
        return "; a trace has no data: what the code does here depends on some"
    return ""
