"""Which rows are meant: ``fits and tpot_s < 0.03``, a closed grammar of comparisons; no text is ever evaluated.

condition  = comparison {"and" comparison}
comparison = ["not"] column | column ("<" | "<=" | ">" | ">=" | "=" | "!=") (number | word | 'text')
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import reduce
from typing import Any

from roofline.errors import UsageError, near_matches, shown
from roofline.sweeps.columns import TEXTS, TRUTHS
from roofline.sweeps.folder import parquet

_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "<": operator.lt, ">": operator.gt,
    "=": operator.eq,
}  # fmt: skip
_COMPARISON = re.compile(r"([a-z_]+)\s*(<=|>=|!=|==|<|>|=)\s*('[^']*'|[^\s']+)")
_AND = re.compile(r"\s+and\s+(?=(?:[^']*'[^']*')*[^']*$)")  # between comparisons, not within a quoted text


def column(name: str, known: list[str]) -> str:
    """The name of a column. Raises UsageError for one that the sweep has not."""
    if name not in known:
        hint = near_matches(name, known)
        hint = f"known: {', '.join(sorted(known))}" if hint.startswith("known") else hint
        msg = f"column {shown(name)}: not in this sweep; {hint}"
        raise UsageError(msg)
    return name


def asks_fit(text: str | None) -> bool:
    """Whether a condition says itself whether rows fit."""
    return any(part.split()[-1:] == ["fits"] for part in _parts(text))


def condition(text: str | None, known: list[str], *, fit: bool = False) -> Any:
    """The rows that ``text`` means, as an expression of pyarrow, None for all; ``fit``: those that fit, or may.

    Raises UsageError.
    """
    parquet()
    from pyarrow import compute  # noqa: PLC0415

    fits = compute.field("fits")
    meant = [_comparison(part.strip(), known, compute) for part in _parts(text)]
    return reduce(operator.and_, [*meant, *([compute.is_null(fits) | fits] if fit else [])]) if meant or fit else None


def _parts(text: str | None) -> list[str]:
    return _AND.split(text.strip()) if text else []


def _comparison(text: str, known: list[str], compute: Any) -> Any:
    words = text.split()
    if len(words) in (1, 2) and words[-1] in TRUTHS and (len(words) == 1 or words[0] == "not"):
        truth = compute.field(column(words[-1], known))
        return truth if len(words) == 1 else ~truth
    parsed = _COMPARISON.fullmatch(text)
    if parsed is None or parsed[1] in TRUTHS:
        msg = f"where {shown(text)}: expected comparisons such as tpot_s < 0.03, hardware = h100, fits, joined by and"
        raise UsageError(msg)
    name = column(parsed[1], known)
    return _COMPARED[parsed[2]](compute.field(name), _value(name, parsed[2], parsed[3].strip("'")))


def _value(name: str, compared: str, text: str) -> Any:
    if name in TEXTS:
        if compared not in ("=", "==", "!="):
            msg = f"where {name} {compared} {shown(text)}: {name} is text, expected = or !="
            raise UsageError(msg)
        return text
    try:
        return float(text)
    except ValueError:
        msg = f"where {name} {compared} {shown(text)}: expected a number"
        raise UsageError(msg) from None
