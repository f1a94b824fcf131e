"""How a published checkpoint is quantised: its ``quantization_config`` as a recipe, or a refusal by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.errors import ConfigError, near_matches, shown

_LEFT = ("lm_head", "embed", "head", "router", "gate", "norm", "visual", "vision")
"""Words in the names of modules that recipes leave alone anyway."""


def checkpoint_recipe(fields: Mapping[str, Any], where: str) -> tuple[str, tuple[str, ...]]:
    """The recipe that ``quantization_config`` stands for, empty without one, and warnings about what it excepts.

    Raises ConfigError for a method, or an option of one, that has no recipe.

    >>> given = {"quant_method": "gptq", "bits": 4, "group_size": 64}
    >>> checkpoint_recipe({"quantization_config": given}, "config.json")
    ('w4a16+g64+zp', ())
    """
    given = fields.get("quantization_config")
    if given is None:
        return "", ()
    if not isinstance(given, Mapping):
        msg = f"{where}: quantization_config {shown(given)}: expected a mapping with a quant_method"
        raise ConfigError(msg)
    method = given.get("quant_method")
    if not isinstance(method, str) or method not in _METHODS:
        near = near_matches(shown(method), _METHODS)
        msg = f"{where}: quant_method {shown(method)} of quantization_config is not modelled; {near}{_AS_PLAIN}"
        raise ConfigError(msg)
    recipe = _METHODS[method](given)
    if recipe is None:
        told = ", ".join(f"{key} {shown(given[key])}" for key in _TOLD if key in given)
        msg = f"{where}: quantization_config {method} with {told or 'these options'} is not modelled{_AS_PLAIN}"
        raise ConfigError(msg)
    return recipe, _exceptions(given, recipe, where)


_AS_PLAIN = "; to ask for another --dtype, --set model.quantization_config=null"
_TOLD = ("bits", "w_bit", "group_size", "fmt", "weight_block_size", "config_groups", "quant_algo", "load_in_4bit",
         "load_in_8bit", "bnb_4bit_quant_type", "activation_scheme")  # fmt: skip


def _exceptions(given: Mapping[str, Any], recipe: str, where: str) -> tuple[str, ...]:
    """A warning about modules that a checkpoint leaves in 16 bits and the recipe does not."""
    names = given.get("ignore") or given.get("ignored_layers") or given.get("modules_to_not_convert") or ()
    names = names if isinstance(names, (list, tuple)) else (names,)
    left = (*_LEFT, "self_attn") if recipe.endswith("+experts") else _LEFT
    strange = [str(name) for name in names if not any(word in str(name) for word in left)]
    if not strange:
        return ()
    return (f"{where}: quantization_config leaves {shown(strange[0])} alone ({len(strange)} such); counted quantised",)


def _whole_groups(bits: Any, group: Any, zero: bool) -> str | None:
    """Weights in groups, or with a scale per row, as GPTQ and AWQ store them."""
    if not isinstance(bits, int) or not isinstance(group, int) or bits not in (4, 8):
        return None
    if (group > 0) != (bits == 4) or group > 10**5:
        return None
    if bits == 8:
        return "w8a16"
    return f"w4a16{'' if group == 128 else f'+g{group}'}{'+zp' if zero else ''}"


def _gptq(given: Mapping[str, Any]) -> str | None:
    """GPTQ files hold zero points, symmetric or not."""
    return _whole_groups(given.get("bits"), given.get("group_size", 128), zero=True)


def _awq(given: Mapping[str, Any]) -> str | None:
    bits = given.get("bits", given.get("w_bit", 4))
    group = given.get("group_size", given.get("q_group_size", 128))
    return _whole_groups(bits, group, zero=bool(given.get("zero_point", True)))


def _fp8(given: Mapping[str, Any]) -> str | None:
    block = given.get("weight_block_size")
    if block is not None:
        return "fp8-block" if block in ([128, 128], (128, 128)) else None
    return "fp8-tensor"


def _mxfp4(given: Mapping[str, Any]) -> str | None:
    """Quantised are the experts; attention, router, embedding and head are listed as not converted."""
    del given
    return "mxfp4+experts"


def _bitsandbytes(given: Mapping[str, Any]) -> str | None:
    if given.get("load_in_8bit"):
        return "w8a8"
    if given.get("load_in_4bit") and given.get("bnb_4bit_quant_type", "fp4") == "nf4":
        return "nf4-dq" if given.get("bnb_4bit_use_double_quant") else "nf4"
    return None


def _modelopt(given: Mapping[str, Any]) -> str | None:
    inner = given.get("quantization", given)
    algorithm = inner.get("quant_algo") if isinstance(inner, Mapping) else None
    recipe = {"FP8": "fp8-tensor", "NVFP4": "nvfp4", "W4A16_AWQ": "w4a16"}.get(str(algorithm))
    narrow = isinstance(inner, Mapping) and inner.get("kv_cache_quant_algo") == "FP8"
    return recipe and recipe + ("+kv8" if narrow else "")


def _compressed(given: Mapping[str, Any]) -> str | None:
    groups = given.get("config_groups")
    group = next(iter(groups.values())) if isinstance(groups, Mapping) and len(groups) == 1 else None
    if not isinstance(group, Mapping):
        return None
    weights, activations = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, Mapping) or not isinstance(activations, Mapping | None):
        return None
    recipe = _SCHEMES.get((_scheme(weights), _scheme(activations)))
    if recipe == "w4a16":
        recipe = _whole_groups(4, weights.get("group_size", 128), zero=not weights.get("symmetric", True))
    narrow = given.get("kv_cache_scheme")
    if narrow is None or recipe is None:
        return recipe
    return f"{recipe}+kv8" if isinstance(narrow, Mapping) and _scheme(narrow)[:2] == ("8", "float") else None


def _scheme(part: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """Bits, type and strategy of one side."""
    return () if part is None else tuple(str(part.get(name)) for name in ("num_bits", "type", "strategy"))


_SCHEMES: dict[tuple[Any, Any], str] = {
    (("4", "int", "group"), ()): "w4a16",
    (("8", "int", "channel"), ()): "w8a16",
    (("8", "int", "channel"), ("8", "int", "token")): "w8a8",
    (("8", "float", "channel"), ("8", "float", "token")): "fp8",
    (("8", "float", "tensor"), ("8", "float", "tensor")): "fp8-tensor",
    (("8", "float", "block"), ("8", "float", "group")): "fp8-block",
    (("4", "float", "tensor_group"), ("4", "float", "tensor_group")): "nvfp4",
}

_METHODS: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "gptq": _gptq,
    "awq": _awq,
    "fp8": _fp8,
    "compressed-tensors": _compressed,
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
    "modelopt": _modelopt,
}
