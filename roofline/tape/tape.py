"""A recording that can be played: over arrays with numpy, one point at a time in Python, in a browser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roofline.errors import UsageError, near_matches, shown
from roofline.number import Grid, Number
from roofline.tape.along import BLOCK, Along
from roofline.tape.numbers import Remembered
from roofline.tape.operations import KEPT, Constant
from roofline.tape.printers import JAVASCRIPT, NUMPY, PYTHON, SPACE, Dialect, Script, kept_in_javascript, literal
from roofline.tape.steps import means_over_steps
from roofline.tape.trace import STEP, Letter, Node, Trace

GENERATE = "generate"
"""The letter that says how many steps there are: one fewer, as the first token comes from the prompt."""

_HELD = ""
"""Beside the results by name: where the recording holds."""


@dataclass(frozen=True)
class Tape:
    """Results in letters: numbers that were recorded once and hold for all that the letters may be.

    A recording holds where every choice that was made on the way, among forms or whole numbers, would be the same;
    that is checked at every evaluation. ``steps`` are the decode steps of a request where their number is fixed.
    """

    nodes: tuple[Node, ...]
    letters: tuple[Letter, ...]
    results: Mapping[str, int | Constant]
    guards: Mapping[int, float]
    steps: int | None = None

    @classmethod
    def of(cls, trace: Trace, results: Mapping[str, Number], steps: int | None = None) -> Tape:
        """The tape of what was recorded; a result that no letter changes is a plain number."""
        found = {
            name: each.place if isinstance(each, Remembered) else _Plain(float(each)) for name, each in results.items()
        }
        letters = tuple(each for name, each in trace.letters.items() if name != STEP)
        return cls(tuple(trace.nodes), letters, found, dict(trace.guards), steps)

    def only(self, *names: str) -> Tape:
        """The same with these results alone. Raises UsageError for one that it has not."""
        for name in names:
            if name not in self.results:
                msg = f"result {shown(name)}: not on this tape; {near_matches(name, self.results)}"
                raise UsageError(msg)
        return replace(self, results={name: self.results[name] for name in names})

    def __call__(self, **values: Any) -> dict[str, Any]:
        """Every result at numbers, or over arrays that broadcast: float64, or bool where it is a truth.

        What depends on one letter is evaluated along its axis alone: give a column and a row for a grid. Raises
        UsageError for a letter that is missing, strange or out of range, and where the recording does not hold.
        """
        found = self._over_blocks(self._inputs(values), strict=True)
        del found[_HELD]
        return found

    def where_it_holds(self, **values: Any) -> tuple[NDArray[np.bool_], dict[str, Any]]:
        """Where the recording holds, letters in their ranges and every choice as it was made; and every result.

        What a result is elsewhere means nothing. Raises UsageError for a letter that is missing or strange, and for
        shapes that do not match.
        """
        self._check_names(values)
        arrays = {letter.name: np.asarray(values[letter.name], dtype=np.float64) for letter in self.letters}
        inside: NDArray[np.bool_] = np.ones(_broadcast(arrays), dtype=bool)
        for letter in self.letters:
            array = arrays[letter.name]
            within = (array >= letter.low) & (array <= letter.high)
            if letter.whole:
                within &= np.floor(array) == array
            arrays[letter.name] = np.where(within, array, letter.example)
            inside &= within
        with np.errstate(all="ignore"):
            found = self._over_blocks(arrays, strict=False)
        return inside & found.pop(_HELD), found

    def at(self, **values: float) -> dict[str, float]:
        """Every result at one point, in plain Python. Raises UsageError as a call does."""
        self._inputs(values)
        try:
            found: dict[str, float] = self._python(**values)
        except ArithmeticError as failure:
            raise UsageError(str(failure)) from None
        return found

    def numpy_source(self) -> str:
        """The functions that a call runs: ``of_batch`` and the like, of one letter alone, ``in_step``, and ``run``.

        That takes the letters, how means over steps are taken of ``in_step``, and what the others returned.
        """
        script, lines = self.script, list[str]()
        for letter, places in script.alone.items():
            lines += [f"def of_{letter}({letter}):", *(f"    {line}" for line in script.lines(NUMPY, places))]
            lines += [f"    return ({self._names(script.kept[letter])},)", "", ""]
        means = self._step_source() if script.means else []
        lines += [*means[:-1]]
        before = sorted(set(script.before).difference(*script.alone.values()))
        names = [*(letter.name for letter in self.letters), "means"]
        names += [script.name(place) for places in script.kept.values() for place in places]
        body = [*script.lines(NUMPY, before), *means[-1:], *script.lines(NUMPY, script.after)]
        lines += [f"def run({', '.join(names)}):", *(f"    {line}" for line in body)]
        held = ", ".join(self._written(NUMPY, place) for place in (*self.results.values(), *self.guards))
        return "\n".join([*lines, f"    return ({held},)", ""])

    def _step_source(self) -> list[str]:
        """``in_step``, what is averaged and the choices in it, and at last the statement that takes its means."""
        script = self.script
        outer = ", ".join(script.name(place) for place in script.given)
        averaged = "".join(f"{script.operand(NUMPY, script.nodes[place].operands[0])}, " for place in script.means)
        choices = "".join(f"{choice}, " for choice in script.choices(NUMPY))
        body = [*script.lines(NUMPY, script.inner), f"return ({averaged}), ({choices})"]
        of_step = [f"def in_step({STEP}, {outer}):", *(f"    {line}" for line in body), "", ""]
        return [*of_step, f"({self._names(script.means)},) = means(in_step, ({outer}{',' * bool(outer)}))"]

    def python_source(self) -> str:
        """A function of the letters as plain numbers, which returns all results by name."""
        names = ", ".join(letter.name for letter in self.letters)
        lines = [
            "import math",
            "",
            f"from roofline.kept import {', '.join(KEPT)}",
            "",
            "",
            f"def evaluate({names}):",
            *self._body(PYTHON),
            f"    return {self._all(PYTHON)}",
        ]
        return "\n".join([*lines, ""])

    def javascript_source(self) -> str:
        """An ES module whose ``evaluate`` takes the letters as an object and returns all results by name."""
        names = ", ".join(letter.name for letter in self.letters)
        kept = kept_in_javascript() if any(node.operation in KEPT for node in self.nodes) else ""
        lines = [f"{kept}export function evaluate({{{names}}}) {{", *self._body(JAVASCRIPT)]
        return "\n".join([*lines, f"  return {self._all(JAVASCRIPT)};", "}", ""])

    @cached_property
    def script(self) -> Script:
        """The statements that the results need."""
        places = [place for place in self.results.values() if not isinstance(place, _Plain)]
        return Script.of(self.nodes, [*map(int, places), *self.guards])

    @cached_property
    def _numpy(self) -> dict[str, Callable[..., tuple[Any, ...]]]:
        space: dict[str, Any] = dict(SPACE)
        exec(self.numpy_source(), space)  # printed from our own nodes, never from a user's text
        return space

    @cached_property
    def _python(self) -> Callable[..., dict[str, float]]:
        space: dict[str, Any] = {}
        exec(self.python_source(), space)  # likewise
        evaluate: Callable[..., dict[str, float]] = space["evaluate"]
        return evaluate

    def _body(self, dialect: Dialect) -> list[str]:
        """Statements of one point: before the steps, of each step, after them; and that every choice is as it was."""
        script = self.script
        body = script.lines(dialect, script.before)
        if script.means:
            count = f"{GENERATE} - 1" if self.steps is None else str(self.steps)
            body.append(dialect.assign.format(name="steps", value=count))
            body += [dialect.zero.format(name=script.name(place)) for place in script.means]
            body += [dialect.loop, *(f"{dialect.indent}{line}" for line in self._step(dialect))]
            body += [dialect.end] if dialect.end else []
        body += script.lines(dialect, script.after)
        for place, value in self.guards.items():
            said = {"value": self._written(dialect, place), "expected": literal(value, dialect)}
            body.append(dialect.check.format(**said, problem=self._broken(place)))
        return [f"{dialect.indent}{line}" for line in body]

    def _step(self, dialect: Dialect) -> list[str]:
        """Statements of one step, which add to each mean."""
        script, end = self.script, dialect.assign[-1:].strip("}")
        operands = {place: script.operand(dialect, script.nodes[place].operands[0]) for place in script.means}
        added = [f"{script.name(place)} += {operand} / steps{end}" for place, operand in operands.items()]
        return [*script.lines(dialect, script.inner), *added]

    def _names(self, places: Iterable[int]) -> str:
        return ", ".join(self.script.name(place) for place in places)

    def _all(self, dialect: Dialect) -> str:
        """Every result by its name."""
        found = ", ".join(f'"{name}": {self._written(dialect, place)}' for name, place in self.results.items())
        return f"{{{found}}}"

    def _written(self, dialect: Dialect, place: int | Constant) -> str:
        return literal(place, dialect) if isinstance(place, _Plain) else self.script.operand(dialect, int(place))

    def _broken(self, place: int) -> str:
        """What to say where a choice would be another."""
        over = " and ".join(sorted(self.nodes[place].letters))
        return f"this recording does not hold here: with this {over} another choice is made; record anew"

    def _inputs(self, values: Mapping[str, Any]) -> dict[str, Grid]:
        """The letters as arrays. Raises UsageError for one that is missing, strange or out of range."""
        self._check_names(values)
        return {letter.name: _array(letter, values[letter.name]) for letter in self.letters}

    def _check_names(self, values: Mapping[str, Any]) -> None:
        known = [letter.name for letter in self.letters]
        if strange := sorted(set(values) ^ set(known)):
            problem = "is missing" if strange[0] in known else "is no letter of it"
            msg = f"tape: {shown(strange[0])} {problem}; it takes {', '.join(known)}"
            raise UsageError(msg)

    def _over_blocks(self, arrays: Mapping[str, Grid], *, strict: bool) -> dict[str, Any]:
        """The results, and where the recording holds; ``strict``: raises UsageError where it does not."""
        shape, letters = _broadcast(arrays), {letter.name: letter for letter in self.letters}
        along = {name: Along.of(letters[name], arrays[name], self._numpy[f"of_{name}"]) for name in self.script.alone}
        if math.prod(shape) <= BLOCK:
            columns = [column for its in along.values() for column in its.within(...)]
            return {name: _alone(found) for name, found in self._played(arrays, columns, shape, strict=strict).items()}
        whole: dict[str, Any] = {}
        for block in _blocks(shape, BLOCK):
            own = {name: _within(array, block, len(shape)) for name, array in arrays.items()}
            cut = {name: array[own[name]] for name, array in arrays.items()}
            columns = [column for name, its in along.items() for column in its.within(own[name])]
            size = tuple(part.stop - part.start for part in block)
            for name, found in self._played(cut, columns, size, strict=strict).items():
                if name not in whole:
                    whole[name] = np.empty(shape, dtype=np.asarray(found).dtype)
                whole[name][block] = found
        return whole

    def _played(
        self, arrays: Mapping[str, Grid], columns: Sequence[Any], shape: Sequence[int], *, strict: bool
    ) -> dict[str, Any]:
        """The results of one block, and where the recording holds; ``columns``: what letters alone decide."""
        count = np.asarray(self.steps if self.steps is not None else arrays.get(GENERATE, 2.0) - 1, dtype=np.float64)
        means = partial(means_over_steps, count=count, smooth=self.script.smooth)
        found = self._numpy["run"](*arrays.values(), means, *columns)
        named = dict(zip(self.results, found, strict=False)) | {_HELD: np.True_}
        for (place, expected), value in zip(self.guards.items(), found[len(self.results) :], strict=True):
            named[_HELD] = named[_HELD] & (np.asarray(value) == expected)
            if strict and not np.all(named[_HELD]):
                raise UsageError(self._broken(place))
        return {name: np.broadcast_to(value, shape) for name, value in named.items()}


class _Plain(float):
    """A result that is the same everywhere."""


def _array(letter: Letter, value: Any) -> Grid:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        msg = f"{letter.name}: {shown(value)}, expected a number or an array of numbers"
        raise UsageError(msg) from None
    wanted = "whole numbers" if letter.whole else "numbers"
    if array.size and not (array.min() >= letter.low and array.max() <= letter.high):
        given = f"given one of {array.min():g} to {array.max():g}"
        msg = f"{letter.name}: expected {wanted} from {letter.low:g} to {letter.high:g}, {given}"
        raise UsageError(msg)
    if letter.whole and not np.all(array == np.floor(array)):
        msg = f"{letter.name}: expected {wanted}"
        raise UsageError(msg)
    return array


def _broadcast(arrays: Mapping[str, Grid]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        msg = f"shapes do not match: {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}"
        raise UsageError(msg) from None


def _blocks(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Blocks of up to so many points that make up a grid, as square as they can be."""
    sides: list[int] = []
    left = most
    for axis, size in enumerate(sorted(shape)):
        side = max(1, min(size, int(left ** (1 / (len(shape) - axis)))))
        sides.append(side)
        left = max(1, left // side)
    by_size = dict(zip(sorted(range(len(shape)), key=lambda axis: shape[axis]), sides, strict=True))
    cuts = [
        [slice(start, min(size, start + by_size[axis])) for start in range(0, size, by_size[axis])]
        for axis, size in enumerate(shape)
    ]
    yield from product(*cuts)


def _within(array: Grid, block: tuple[slice, ...], axes: int) -> tuple[slice, ...]:
    """What of an array lies in a block; an axis of one stays as it is."""
    own = block[axes - array.ndim :]
    return tuple(slice(None) if size == 1 else part for size, part in zip(array.shape, own, strict=True))


def _alone(found: Any) -> Any:
    return found[()] if np.ndim(found) == 0 else np.array(found)
