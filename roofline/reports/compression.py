"""Before and after of pruning, sparsity and quantisation, as people read it."""

from __future__ import annotations

from typing import Any

from roofline.prediction.before_after import Change
from roofline.prediction.predict import Prediction
from roofline.reports.prediction import count, quantity, table
from roofline.reports.prediction import text as whole

_WORDS = {
    "parameters": "parameters",
    "weights_bytes": "weights",
    "kv_cache_bytes": "KV cache",
    "total_bytes": "memory in all",
    "max_batch": "largest batch",
    "request_s": "request",
    "flops": "FLOPs",
    "vector_flops": "vector FLOPs",
    "bytes": "bytes",
    "time_s": "time",
    "bound_by": "bound by",
}


def text(prediction: Prediction, *, wide: bool = False) -> str:
    """The report, and below it the table of before and after where there is one."""
    below = compared(prediction)
    return whole(prediction, wide=wide) + (f"\n\n{below}" if below else "")


def compared(prediction: Prediction) -> str:
    """The table, one row per figure; empty where nothing was compressed."""
    changes = prediction.changes
    if not changes:
        return ""
    what = ", ".join(word for word in (prediction.compression.words, prediction.recipe.words) if word)
    rows = [(_name(c.name), _shown(c, c.before), _shown(c, c.after), _change(c)) for c in changes]
    return "\n".join([f"{prediction.recipe.base} -> {what}", *table(("", "before", "after", "change"), rows)])


def _name(name: str) -> str:
    phase, _, figure = name.rpartition(".")
    return f"{phase} {_WORDS[figure]}".strip()


def _shown(change: Change, value: Any) -> str:
    if change.dimension is None or value is None:
        return str(value)
    if change.name == "max_batch":
        return f"{value:,}"
    return count(value) if change.dimension == "flops" else quantity(value, change.dimension)


def _change(change: Change) -> str:
    if change.ratio is not None:
        return f"{change.ratio:.3g} x"
    changed = change.dimension is None and change.before != change.after
    return "changed" if changed else "same" if change.before == change.after else "-"
