"""The tower of Voxtral: parts of 30 s, padded; four places side by side are a token."""

from __future__ import annotations

from typing import Any

from roofline.errors import shown
from roofline.models.families.family import Fields, rule
from roofline.models.towers.hearing.whisper import WHISPER


@rule("outer.text_width outer.projector_hidden_act")
def _two_matmuls(fields: Fields) -> list[dict[str, Any]]:
    width, function = fields["outer.text_width"], fields.get("outer.projector_hidden_act") or "gelu"
    return [{"width": width, "bias": False, "function": function}, {"width": width, "bias": False}]


@rule("")
def _side_by_side(fields: Fields) -> int:
    """Places that make up the feed-forward width, which is the projector's."""
    hidden, inner, places = (fields[name] for name in ("hidden_size", "intermediate_size", "max_position_embeddings"))
    if inner % hidden or places % (inner // hidden):
        expected = f"hidden_size {hidden} x a part of max_source_positions {places}"
        msg = f"intermediate_size: given {shown(inner)}, expected {expected}"
        raise ValueError(msg)
    return int(inner // hidden)


VOXTRAL = WHISPER.but(
    fixed={"merge": _side_by_side, "projector": _two_matmuls, "rule": "whole"},
)
