"""What a field means by a rule of its family: which layer is of which kind, which bias goes with which.

Each function reads the fields of a file and raises ValueError, in one line, for a rule that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from roofline.architectures.config import MAX_LAYERS
from roofline.errors import shown

Fields = Mapping[str, Any]

FULL, SLIDING = "full_attention", "sliding_attention"


def whole(fields: Fields, name: str, default: int) -> int:
    """A field that is a whole number from 0 on; ``default`` where it is absent."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        msg = f"{name}: given {shown(value)}, expected a whole number from 0 on"
        raise ValueError(msg)
    return value


def flag(fields: Fields, name: str, default: bool) -> bool:
    """A field that is true or false; ``default`` where it is absent."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        msg = f"{name}: given {shown(value)}, expected true or false"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return value


def as_attention_bias(fields: Fields) -> Any:
    """The bias of the output projection where ``attention_bias`` speaks of all four."""
    return fields.get("attention_bias", False)


def layers(fields: Fields) -> range:
    """The numbers of the layers, from 0 on; none where their count is not a sane one, which the shape will say."""
    count = fields.get("num_hidden_layers")
    sane = isinstance(count, int) and not isinstance(count, bool) and 0 < count <= MAX_LAYERS
    return range(count if sane and count is not None else 0)


def every_layer_windowed(fields: Fields) -> list[str]:
    """Mistral: all layers have the window, if there is one."""
    return [SLIDING for _ in layers(fields)] if fields.get("sliding_window") is not None else []


def full_every(period: int, name: str = "sliding_window_pattern") -> Callable[[Fields], list[str]]:
    """Gemma: each ``period``-th layer attends in full, the others in the window; field ``name`` may state the period.

    >>> full_every(3)({"num_hidden_layers": 4})
    ['sliding_attention', 'sliding_attention', 'full_attention', 'sliding_attention']
    """

    def rule(fields: Fields) -> list[str]:
        stated = max(whole(fields, name, period), 1)
        return [SLIDING if (layer + 1) % stated else FULL for layer in layers(fields)]

    return rule


def windowed_from(fields: Fields) -> list[str]:
    """Qwen2: the layers from ``max_window_layers`` on have the window, where ``use_sliding_window`` says so."""
    first = whole(fields, "max_window_layers", 28)
    if not flag(fields, "use_sliding_window", False) or fields.get("sliding_window") is None:
        return []
    return [SLIDING if layer >= first else FULL for layer in layers(fields)]


def rotated_but_every(period: int) -> Callable[[Fields], list[int]]:
    """SmolLM3: each ``no_rope_layer_interval``-th layer has no rotation."""

    def rule(fields: Fields) -> list[int]:
        stated = max(whole(fields, "no_rope_layer_interval", period), 1)
        return [int((layer + 1) % stated != 0) for layer in layers(fields)]

    return rule


def unless_null(name: str, default: Any) -> Callable[[Fields], Any]:
    """A field whose absence means ``default``, and whose null means none."""
    return lambda fields: None if name in fields else default
