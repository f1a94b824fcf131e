"""What a trace cannot promise: letters that the code fixed or bounded, sizes that depend on data, unknown operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.tracing.calls import Call, Recording


@frozen
class Guard:
    """The largest number that a letter may have for the code to run as it was traced, and the line that says so."""

    letter: str
    most: int
    where: str


def guards_of(environment: Any, symbols: Mapping[str, str], asked: Sequence[str]) -> list[Guard]:
    """The upper bounds of letters that the code asked about, with file and line."""
    found = []
    for symbol, span in environment.var_to_range.items():
        letter = symbols.get(str(symbol))
        most = span.upper
        if letter is not None and getattr(most, "is_Integer", False):
            found.append(Guard(letter, int(most), _line_of(environment, symbol, asked)))
    return found


def refuse_fixed(environment: Any, symbols: Mapping[str, str], asked: Sequence[str], name: str) -> None:
    """Raises UsageError for a letter that the code made a number, or the same as another."""
    for symbol, letter in symbols.items():
        (known,) = [each for each in environment.var_to_range if str(each) == symbol] or [None]
        if known is None:
            continue
        meant = environment.replacements.get(known, known)
        if meant == known:
            continue
        where = _line_of(environment, known, asked)
        if getattr(meant, "is_Integer", False):
            problem = f"{letter} is fixed by the code{where}: a loop over it, or a number made of it"
            msg = f"{name}: {problem}; give a number in its place"
        else:
            other = " ".join(symbols.get(str(each), str(each)) for each in meant.free_symbols)
            msg = f"{name}: {letter} must go with {other}{where}; give both one letter"
        raise UsageError(msg)


def _line_of(environment: Any, symbol: Any, asked: Sequence[str]) -> str:
    """Where the code asked about a letter last: `` (model.py:12)``, empty where nothing is known of it."""
    lines = [line for guard, line in zip(environment.guards, asked, strict=False) if symbol in guard.expr.free_symbols]
    return f" ({short(lines[-1])})" if lines and lines[-1] else ""


def losses_of(recording: Recording, dims: Mapping[str, int], name: str) -> tuple[str, ...]:
    """What is not counted of a recording. Raises UsageError for sizes that depend on data and have no number."""
    asked = sorted({letter for call in recording.calls for letter in _letters(call)} - {*dims, "B", "S"})
    if asked:
        first = next(call for call in recording.calls if asked[0] in _letters(call))
        msg = f"{name}: how many {first.name} finds depends on data ({short(first.where)}); give --dims {asked[0]}=100"
        raise UsageError(msg)
    losses = [
        f"{kind} has no known cost, only its bytes count ({', '.join(lines)})" for kind, lines in _unknown(recording)
    ]
    return tuple(losses)


def _unknown(recording: Recording) -> Iterable[tuple[str, Sequence[str]]]:
    """Operators without a cost, each with the lines that call it."""
    found: dict[str, dict[str, None]] = {}
    for call in recording.calls:
        if call.kind == "unknown":
            found.setdefault(call.name, {})[short(call.where)] = None
    return [(name, list(lines)[:3]) for name, lines in found.items()]


def _letters(call: Call) -> frozenset[str]:
    return frozenset[str]().union(*(access.elements.letters for access in (*call.reads, *call.writes)))


def short(where: str) -> str:
    """A line of a file without its folder."""
    return where.rpartition("/")[2]
