"""AMD Quark: one scheme for all modules, and others for modules by name."""

from __future__ import annotations

from typing import Any

from roofline.compression.modules import Modules
from roofline.errors import shown
from roofline.models.checkpoints.options import Options, Stored, mapping
from roofline.models.checkpoints.schemes import PLAIN, cache, scheme


def quark(o: Options) -> Stored:
    """AMD Quark: one scheme for all modules, and others for modules by name."""
    whole = _quark_scheme(mapping("global_quant_config", o.get("global_quant_config")))
    others = mapping("layer_quant_config", o.get("layer_quant_config") or {})
    rules = tuple((Modules((str(name),)), _quark_scheme(mapping(str(name)[:40], own))) for name, own in others.items())
    return Stored(whole, cache(_quark_cache(o)), rules)


def _quark_cache(o: Options) -> Any:
    given = o.get("kv_cache_quant_config") or {}
    outputs = [
        mapping("kv_cache_quant_config", own).get("output_tensors") for own in mapping("kv_cache", given).values()
    ]
    kinds = {str(mapping("output_tensors", own).get("dtype")) for own in outputs if own}
    return next(iter(kinds)) if len(kinds) == 1 else (shown(sorted(kinds)) if kinds else None)


_QUARK_DTYPES = {
    "fp8_e4m3": (8, "float"),
    "int8": (8, "int"),
    "int4": (4, "int"),
    "uint4": (4, "int"),
    "fp4": (4, "float"),
}
_QUARK_SCHEMES = {"per_tensor": "tensor", "per_channel": "channel", "per_group": "group", "per_token": "token"}


def _quark_scheme(given: Options) -> str:
    def part(name: str) -> dict[str, Any] | None:
        own = given.get(name)
        if own is None:
            return None
        told = mapping(name, own)
        bits, kind = _QUARK_DTYPES.get(str(told.get("dtype")), (None, None))
        by = _QUARK_SCHEMES.get(str(told.get("qscheme")))
        if kind is None or by is None:
            msg = f"{name} in {shown(told.get('dtype'))} by {shown(told.get('qscheme'))}"
            raise ValueError(msg)
        symmetric = told.get("symmetric") is not False
        size = told.get("group_size") if by == "group" else None
        return {"num_bits": bits, "type": kind, "strategy": by, "group_size": size, "symmetric": symmetric}

    weights = part("weight")
    if weights is None:
        return PLAIN
    activations = part("input_tensors")
    if activations and activations["type"] == "int" == weights["type"]:
        activations |= {"strategy": "token"}
    return scheme(weights, activations)
