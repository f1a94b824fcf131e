"""The modules of transformers that a model stands for: their parameters, and what torch's counter sees of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from unittest import mock

import pytest

from roofline.models.model import Model
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase

_ALL_TYPES = (5, 23)
"""The release that has all modelled types; pyproject.toml allows earlier ones."""

AS_TORCH = Conventions(attention="materialised", count="square", lm_head="all", latent="expanded")
"""Eager attention computes all scores, and the heads of transformers run on all tokens."""


def _configuration(model_type: str, **fields: Any) -> Any:
    """What transformers makes of the fields; a test of a type that came after the lowest version is skipped there."""
    transformers = pytest.importorskip("transformers")
    version = tuple(map(int, transformers.__version__.split(".")[:2]))
    if version < _ALL_TYPES and model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"transformers {transformers.__version__} has no {model_type}")
    return transformers.AutoConfig.for_model(model_type, **fields)


def module_of(model: Model, *, device: str, attention: str = "eager", experts: str | None = None) -> Any:
    """The Hugging Face module of a model's configuration, with random weights or, on ``meta``, with none."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    fields |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)  # in any vocabulary
    kernels = {"attn_implementation": attention, **({"experts_implementation": experts} if experts else {})}
    config = _configuration(model.model_type, **fields, **kernels)
    with torch.device(device):
        return getattr(transformers, model.fields["architectures"][0])(config).eval()


def parameters_of(module: Any) -> int:
    """Parameters, a tied one once.

    An untied masked-LM head keeps a second bias beside its decoder's own, which its forward pass never reads.
    """
    parameters = dict(module.named_parameters())
    for name in [name for name in parameters if name.endswith(".decoder.bias")]:
        second = parameters.pop(name.removesuffix("decoder.bias") + "bias", None)
        assert second is None or second.shape == parameters[name].shape
    return sum(parameter.numel() for parameter in parameters.values())


def counted(module: Any, *arguments: Any, **keywords: Any) -> int:
    """What the counter sees of one forward pass; angles of rotation are no contraction of the network."""
    torch, counter = pytest.importorskip("torch"), pytest.importorskip("torch.utils.flop_counter")
    with torch.no_grad(), counter.FlopCounterMode(display=False) as seen:
        module(*arguments, **keywords)
    angles = [counts for name, counts in seen.get_flop_counts().items() if name.endswith("rotary_emb")]
    return int(seen.get_total_flops()) - sum(sum(counts.values()) for counts in angles)


def our_flops(model: Model, phase: Phase, **sizes: int) -> Fraction:
    """What the program says, under torch's conventions, with the letters of the workload bound to ``sizes``."""
    program = model.program(AS_TORCH)
    bound = {letter: Fraction(size) for letter, size in {**program.sizes, **sizes}.items()}
    return sum(group.times(bound) * op.flops(group.sizes(bound)) for group, op in program.in_phase(phase))


def eager_decoder(model: Model) -> Any:
    """A decoder that runs: attention and experts as plain torch, which the counter sees."""
    transformers = pytest.importorskip("transformers")
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    fields |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
    kernels = {"attn_implementation": "eager", "experts_implementation": "eager"}  # the counter sees no grouped matmul
    config = _configuration(model.model_type, **fields, **kernels)
    return getattr(transformers, model.fields["architectures"][0])(config).eval()


def transformers_count(config: dict[str, Any]) -> int:
    """Parameters of the Hugging Face module on the meta device; ``parameters()`` gives a tied one once."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    fields = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    fields |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)  # in any vocabulary
    with torch.device("meta"), mock.patch.object(torch.nn.Linear, "reset_parameters"):  # there are no values to draw
        module = getattr(transformers, config["architectures"][0])(_configuration(config["model_type"], **fields))
    parameters = dict(module.named_parameters())
    # An untied BertForMaskedLM keeps a second bias of V, which its forward pass never reads: the decoder has its own.
    if "cls.predictions.decoder.bias" in parameters:
        assert parameters.pop("cls.predictions.bias").shape == (config["vocab_size"],)
    # transformers 5 ties the head of T5 whatever the file says; the checkpoints of T5 v1.1 and mT5 have their own.
    if config["model_type"] in ("t5", "mt5") and config.get("tie_word_embeddings") is False:
        assert "lm_head.weight" not in parameters
        parameters["lm_head.weight"] = module.lm_head.weight
    return sum(parameter.numel() for parameter in parameters.values())


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
