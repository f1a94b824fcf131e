"""ModelOpt: an algorithm by name, in config.json or in the side file, for all modules or for each that is listed."""

from __future__ import annotations

from dataclasses import replace

from roofline.errors import shown
from roofline.models.checkpoints.compressed_tensors import compressed_tensors, of_targets
from roofline.models.checkpoints.options import Options, Stored, left_alone, mapping
from roofline.models.checkpoints.schemes import PLAIN, cache, integers

_MODELOPT = {
    "FP8": "fp8-tensor",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "FP8_PB_WO": "fp8-block",
    "FP8_BLOCK": "fp8-block",
    "MXFP8": "mxfp8",
    "MXFP4": "mxfp4a4",
    "W4A16_MXFP4": "mxfp4",
    "W4A8_MXFP4_FP8": "mxfp4:fp8",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A16_NVFP4": "nvfp4a16",
    "NVFP4_W4A16": "nvfp4a16",
    "W4A8_NVFP4_FP8": "nvfp4:fp8",
    "W8A8_SQ_PER_CHANNEL": "w8a8",
    "W8A16": "w8a16",
}


def _modelopt_scheme(o: Options) -> str:
    """The recipe of ModelOpt's name for an algorithm."""
    name, group = o.get("quant_algo"), o.get("group_size", 128)
    if not isinstance(name, str):
        msg = f"quant_algo {shown(name)}"
        raise ValueError(msg)  # noqa: TRY004
    if name in ("W4A16_AWQ", "INT4_AWQ", "W4A16"):
        return integers(4, group, zero="zp" if o.get("has_zero_point") else "")
    if name == "W4A8_AWQ":
        return integers(4, group, activations="fp8-tensor")
    if name not in _MODELOPT:
        msg = f"quant_algo {shown(name)}"
        raise ValueError(msg)
    return _MODELOPT[name]


def modelopt(o: Options) -> Stored:
    """ModelOpt, in config.json or as its side file has it, one algorithm or one for each listed module."""
    inner = mapping("quantization", o["quantization"]) if "quantization" in o else o
    kept = cache(inner.get("kv_cache_quant_algo", inner.get("kv_cache_scheme")))
    if inner.get("quantized_layers"):
        layers = mapping("quantized_layers", inner["quantized_layers"])
        by_scheme: dict[str, list[str]] = {}
        for name, own in layers.items():
            by_scheme.setdefault(_modelopt_scheme(mapping("quantized_layers", own)), []).append(str(name))
        return of_targets([(tuple(names), own) for own, names in by_scheme.items()], kept)
    if inner.get("quant_algo") is None and inner.get("config_groups"):
        return replace(compressed_tensors({**inner, "kv_cache_scheme": None}), cache=kept)
    if inner.get("quant_algo") in (None, "NO_QUANT") and kept:
        return Stored(PLAIN, kept)
    return Stored(_modelopt_scheme(inner), kept, left_alone(inner) if inner is not o else ())
