"""What a checkpoint asks of generation that costs more than a sequence does: beams, several answers, no cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from roofline.models.sources import read_json

FILE = "generation_config.json"


def _above(least: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > least


_COSTLY: dict[str, tuple[Callable[[Any], bool], str]] = {
    "num_beams": (_above(1), "each sequence is as many of the batch"),
    "num_return_sequences": (_above(1), "each prompt is as many sequences of the batch after it is read"),
    "guidance_scale": (_above(1), "each sequence is two of the batch"),
    "penalty_alpha": (_above(0), "contrastive search runs top_k sequences for each"),
    "use_cache": (lambda value: value is False, "without a cache each step reads the whole sequence anew"),
    "prompt_lookup_num_tokens": (_above(0), "steps check as many tokens; see --speculate in compare"),
    "cache_implementation": (
        lambda value: isinstance(value, str) and value.startswith(("quantized", "offloaded")),
        "--kv-dtype says in which format the cache is kept",
    ),
}
"""A setting -> whether its value costs something, and what."""


def costly_settings(fields: Mapping[str, Any], folder: Path | None) -> tuple[str, ...]:
    """What ``generation_config.json`` beside a file asks for, or the file itself, that no answer counts; in one line.

    Raises ConfigError for a file that cannot be read.

    >>> costly_settings({"num_beams": 4}, None)
    ('num_beams 4 is not counted: each sequence is as many of the batch',)
    """
    beside = folder / FILE if folder else None
    own = read_json(beside, f"a {FILE}") if beside and beside.is_file() else {}
    stated = {name: {**fields, **own}.get(name) for name in _COSTLY}
    found = [f"{name} {_word(value)} is not counted: {_COSTLY[name][1]}" for name, value in stated.items()
             if _COSTLY[name][0](value)]  # fmt: skip
    return ("; ".join(found),) if found else ()


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())[:40]
