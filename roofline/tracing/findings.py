"""What a trace cannot promise: letters that the code fixed or bounded, sizes that depend on data, unknown operators."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.models.traced.calls import Call, Recording
from roofline.models.traced.extents import Reader
from roofline.models.traced.trace import FOLLOWING, Condition, Relation
from roofline.number import floor_div
from roofline.program.workload import MAX_LENGTH


@frozen
class Asked:
    """What the code asked of letters: the most that each may be, with the line that says so, and other conditions."""

    most: Mapping[str, tuple[int, str]]
    conditions: tuple[Condition, ...]

    def longest(self, letter: str) -> tuple[int, str]:
        """The most that a letter may be, and the line."""
        return self.most.get(letter, (MAX_LENGTH, ""))


def asked_of(
    environment: Any, symbols: Mapping[str, str], lines: Sequence[str], inner: Collection[int], reader: Reader,
    less: Mapping[str, int],
) -> Asked:  # fmt: skip
    """What the code asked of letters while it ran, with file and line; a symbol is its letter and ``less``.

    ``inner`` are the places of what torch asked within an operator: which kernel it takes for a batch, of which nothing
    here depends, or whether a length divides, without which it fails.
    """
    most = {}
    for symbol, span in environment.var_to_range.items():
        letter = symbols.get(str(symbol))
        if letter is not None and getattr(span.upper, "is_Integer", False):
            most[letter] = (int(span.upper) + less.get(str(symbol), 0), _line_of(environment, symbol, lines))
    found: list[Condition] = []
    for place, (guard, line) in enumerate(zip(environment.guards, lines, strict=False)):
        letters = {symbols.get(str(each), "") for each in guard.expr.free_symbols}
        choice = place in inner and not letters.isdisjoint(FOLLOWING) and type(guard.expr).__name__ != "Equality"
        if "" not in letters and not choice:
            found += _conditions(guard.expr, line, reader)
    return Asked(most, tuple(dict.fromkeys(found)))


_KEEPS_PLACES = ("add", "_to_copy", "clone")
"""What numbers of places are still one after the other behind."""


def table_of_positions(recording: Recording) -> tuple[int, str] | None:
    """The rows of the shortest table that the places of an input pick rows of, and the line; None without one.

    Torch asks nothing of sizes there: only data would show that a row is missing.
    """
    writers = {access.value: call for call in recording.calls for access in call.writes}
    found = []
    for call in recording.calls:
        if call.name != "embedding" or len(call.reads) < 2:
            continue
        table, index = call.reads[:2]
        source = writers.get(index.value)
        while source is not None and source.name in _KEEPS_PLACES and len(source.reads) == 1:
            source = writers.get(source.reads[0].value)
        long = str(index.elements) == "S" or recording.decodes
        if source is not None and source.name == "arange" and long and not table.columns.letters:
            rows = floor_div(recording.values[table.value].whole({}), table.columns({}))
            found.append((int(str(rows)), call.where))
    return min(found, default=None)


_RELATIONS: dict[str, Relation] = {
    "Equality": "==", "Unequality": "!=", "StrictLessThan": "<", "LessThan": "<=", "StrictGreaterThan": ">",
    "GreaterThan": ">=",
}  # fmt: skip


def _conditions(asked: Any, line: str, reader: Reader) -> Iterator[Condition]:
    """A relation of torch, or several that are all true. Raises UsageError for one that has no formula here."""
    kind = type(asked).__name__
    if kind == "And":
        for each in asked.args:
            yield from _conditions(each, line, reader)
        return
    if kind not in _RELATIONS:
        msg = f"the code asks of sizes whether {asked}{_at(line)}, which has no formula here; give numbers for letters"
        raise UsageError(msg)
    yield Condition(reader.read(asked.lhs), _RELATIONS[kind], reader.read(asked.rhs), line)


def _at(line: str) -> str:
    return f" ({line})" if line else ""


def refuse_fixed(environment: Any, symbols: Mapping[str, str], asked: Sequence[str], name: str) -> None:
    """Raises UsageError for a letter that the code made a number, or the same as another."""
    for symbol, letter in symbols.items():
        (known,) = [each for each in environment.var_to_range if str(each) == symbol] or [None]
        if known is None:
            continue
        meant = environment.replacements.get(known, known)
        if meant == known:
            continue
        where = _at(_line_of(environment, known, asked))
        if getattr(meant, "is_Integer", False):
            problem = f"{letter} is fixed by the code{where}: a loop over it, or a number made of it"
            msg = f"{name}: {problem}; give a number in its place"
        else:
            other = " ".join(symbols.get(str(each), str(each)) for each in meant.free_symbols)
            msg = f"{name}: {letter} must go with {other}{where}; give both one letter"
        raise UsageError(msg)


def _line_of(environment: Any, symbol: Any, asked: Sequence[str]) -> str:
    """Where the code asked about a letter last: ``model.py:12``, empty where nothing is known of it."""
    lines = [line for guard, line in zip(environment.guards, asked, strict=False) if symbol in guard.expr.free_symbols]
    return lines[-1] if lines else ""


def losses_of(recording: Recording, dims: Mapping[str, int], name: str) -> tuple[str, ...]:
    """What is not counted of a recording. Raises UsageError for sizes that depend on data and have no number."""
    asked = sorted({letter for call in recording.calls for letter in _letters(call)} - {*dims, "B", "S"})
    if asked:
        first = next(call for call in recording.calls if asked[0] in _letters(call))
        msg = f"{name}: how many {first.name} finds depends on data ({first.where}); give --dims {asked[0]}=100"
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
            found.setdefault(call.name, {})[call.where] = None
    return [(name, list(lines)[:3]) for name, lines in found.items()]


def _letters(call: Call) -> frozenset[str]:
    return frozenset[str]().union(*(access.elements.letters for access in (*call.reads, *call.writes)))
