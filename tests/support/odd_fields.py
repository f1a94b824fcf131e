"""Fields of a published configuration deleted, nulled and mistyped, beside what transformers counts of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modules import transformers_count

from roofline.errors import RooflineError
from roofline.models.model import load_model

ODD: tuple[Any, ...] = (None, "x", -1, 0, 3, 1.5, True, [], {})
"""What a field may be given in place of its value."""

_LAYERS = "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers".split()
_BY_LAYER = ("layer_types", "no_rope_layers", "layers_block_type", "block_types", "hybrid_override_pattern")
_MOST = 8
"""So many layers show all kinds of them."""


def shortened(name: str) -> dict[str, Any]:
    """The fields of a preset with few layers."""
    fields = dict(load_model(name).fields)
    for key in _LAYERS:
        if isinstance(fields.get(key), int):
            fields[key] = min(fields[key], _MOST)
    return fields | {key: fields[key][:_MOST] for key in _BY_LAYER if fields.get(key)}


def changed(fields: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field deleted, and given each odd value, with words that say so."""
    for key, value in fields.items():
        if key in ("model_type", "architectures"):
            continue
        yield f"without {key}", {name: other for name, other in fields.items() if name != key}
        for odd in ODD:
            if type(odd) is not type(value) or odd != value:
                yield f"{key} = {odd!r}", {**fields, key: odd}


def contradiction(fields: dict[str, Any]) -> str:
    """How an answer differs from that of transformers; empty where both count alike, and where either refuses."""
    try:
        model = load_model(fields)
        ours = model.parameters
    except RooflineError:
        return ""
    try:
        theirs = transformers_count(fields)
    except Exception:
        return ""
    return "" if ours == theirs else f"{ours:,} parameters, transformers has {theirs:,}"
