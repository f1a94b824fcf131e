"""The words that options take, each list once."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Phase: TypeAlias = Literal["encode", "listen", "prefill", "decode"]
Attention: TypeAlias = Literal["fused", "materialised"]
Count: TypeAlias = Literal["attended", "square"]
LmHead: TypeAlias = Literal["last", "all"]
Fusion: TypeAlias = Literal["none", "inductor", "engine"]
Execution: TypeAlias = Literal["graph", "eager"]
Provenance: TypeAlias = Literal["datasheet", "class", "published", "calibrated"]
PriceKind: TypeAlias = Literal["on_demand", "reserved", "spot", "purchase"]
Router: TypeAlias = Literal["round-robin", "least-loaded", "prefix-aware"]
Quantity: TypeAlias = Literal[
    "flops", "bytes", "parameters", "kv_cache", "memory", "saved", "intensity", "time", "bound"
]
Theme: TypeAlias = Literal["light", "dark"]
Picture: TypeAlias = Literal[
    "roofline", "breakdown", "compare", "memory", "regime", "sensitivity", "timeplane", "validation", "waterfall"
]
PICTURES: tuple[str, ...] = get_args(Picture)
PictureSize: TypeAlias = Literal["slide", "column"]
ModelKind: TypeAlias = Literal[
    "decoder",
    "hybrid",
    "state-space",
    "encoder",
    "encoder-decoder",
    "vision",
    "vlm",
    "audio",
    "omni",
    "traced",
    "generator",
]
ModelOrder: TypeAlias = Literal["name", "family", "parameters", "layers", "hidden", "positions"]
