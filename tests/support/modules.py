"""The modules of transformers that a model stands for: their parameters, and what torch's counter sees of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from fractions import Fraction
from typing import Any
from unittest import mock

import pytest

from roofline.models.model import Model
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase

_ALL_TYPES = (5, 23)
"""The release that has all modelled types; pyproject.toml allows earlier ones."""

_BESIDE = ("model_type", "architectures", "processor", "video_processor")

AS_TORCH = Conventions(attention="materialised", count="square", lm_head="all", latent="expanded")
"""Eager attention computes all scores, and the heads of transformers run on all tokens."""


def _configuration(model_type: str, **fields: Any) -> Any:
    """What transformers makes of the fields; a test of a type that came after the lowest version is skipped there."""
    transformers = pytest.importorskip("transformers")
    version = tuple(map(int, transformers.__version__.split(".")[:2]))
    if version < _ALL_TYPES and model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"transformers {transformers.__version__} has no {model_type}")
    return transformers.AutoConfig.for_model(model_type, **fields)


def _built(model_type: str, fields: Mapping[str, Any], **kernels: Any) -> Any:
    """The Hugging Face module of the fields of a file; what stands beside a network, its processors, is none of it."""
    transformers = pytest.importorskip("transformers")
    named = deepcopy({name: value for name, value in fields.items() if name not in _BESIDE})  # classes edit mappings
    named |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)  # in any vocabulary
    config = _configuration(model_type, **named, **kernels)
    return getattr(transformers, fields["architectures"][0])(config).eval()


def module_of(model: Model, *, device: str, attention: str = "eager", experts: str | None = None) -> Any:
    """The Hugging Face module of a model's configuration, with random weights or, on ``meta``, with none."""
    torch = pytest.importorskip("torch")
    kernels = {"attn_implementation": attention, **({"experts_implementation": experts} if experts else {})}
    undrawn = mock.patch.object(torch.nn.Linear, "reset_parameters") if device == "meta" else nullcontext()
    with torch.device(device), undrawn:
        return _built(model.model_type, model.fields, **kernels)


def parameters_of(module: Any, fields: Mapping[str, Any] | None = None) -> int:
    """Parameters, a tied one once.

    An untied masked-LM head keeps a second bias beside its decoder's own, which its forward pass never reads.
    transformers 5 ties the head of T5 whatever the file, of these ``fields``, says; the checkpoints of T5 v1.1 and mT5
    have their own.
    """
    parameters = dict(module.named_parameters())
    for name in [name for name in parameters if name.endswith(".decoder.bias")]:
        second = parameters.pop(name.removesuffix("decoder.bias") + "bias", None)
        assert second is None or second.shape == parameters[name].shape
    said = fields or {}
    if said.get("model_type") in ("t5", "mt5") and said.get("tie_word_embeddings") is False:
        assert "lm_head.weight" not in parameters
        parameters["lm_head.weight"] = module.lm_head.weight
    return sum(parameter.numel() for parameter in parameters.values())


def counted(module: Any, *arguments: Any, **keywords: Any) -> int:
    """What the counter sees of one forward pass; angles of rotation are no contraction of the network."""
    return counted_pass(module, *arguments, **keywords)[0]


def counted_pass(module: Any, *arguments: Any, **keywords: Any) -> tuple[int, Any]:
    """What the counter sees of one forward pass, as :func:`counted`, and what the pass gives."""
    torch, counter = pytest.importorskip("torch"), pytest.importorskip("torch.utils.flop_counter")
    with torch.no_grad(), counter.FlopCounterMode(display=False) as seen:
        given = module(*arguments, **keywords)
    angles = [counts for name, counts in seen.get_flop_counts().items() if name.endswith("rotary_emb")]
    return int(seen.get_total_flops()) - sum(sum(counts.values()) for counts in angles), given


def our_flops(model: Model, phase: Phase, **sizes: int) -> Fraction:
    """What the program says, under torch's conventions, with the letters of the workload bound to ``sizes``."""
    program = model.program(AS_TORCH)
    bound = {letter: Fraction(size) for letter, size in {**program.sizes, **sizes}.items()}
    return sum(group.times(bound) * op.flops(group.sizes(bound)) for group, op in program.in_phase(phase))


def cache_of(module: Any) -> Any:
    """An empty cache of keys, values and states for a decoder."""
    transformers = pytest.importorskip("transformers")
    if module.config.model_type == "minimax":  # it takes no other
        return importlib.import_module("transformers.models.minimax.modeling_minimax").MiniMaxCache()
    return transformers.DynamicCache(config=module.config.get_text_config())


def eager_decoder(model: Model) -> Any:
    """A decoder that runs: attention and experts as plain torch, which the counter sees, no grouped matmul."""
    return _built(model.model_type, model.fields, attn_implementation="eager", experts_implementation="eager")


def transformers_count(config: dict[str, Any]) -> int:
    """Parameters of the Hugging Face module of the fields of a file, on the meta device."""
    torch = pytest.importorskip("torch")
    with torch.device("meta"), mock.patch.object(torch.nn.Linear, "reset_parameters"):  # there are no values to draw
        return parameters_of(_built(config["model_type"], config), config)


def check_parameters(model: Model) -> None:
    """A model is read without a warning and has the parameters of its module."""
    assert model.warnings == ()
    assert model.parameters == transformers_count(dict(model.fields))


def kept_by_forward(module: Any, inputs: dict[str, Any]) -> int:
    """Bytes of all storages that a forward pass saves, but for those of parameters and of whole numbers."""
    torch = pytest.importorskip("torch")
    kept: dict[int, Any] = {}
    parameters = {parameter.untyped_storage()._cdata for parameter in module.parameters()}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters and tensor.dtype.is_floating_point:
            kept[storage._cdata] = storage  # held, so that no other tensor takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        assert module(**inputs) is not None
    return sum(storage.nbytes() for storage in kept.values())
