"""A generator as one program: each component's passes over its own recording, in the sizes of what is made."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.errors import ConfigError, near_matches, shown
from roofline.models.generators.generator import GENERATORS, Component, Generator
from roofline.models.outline import Outline, outlined
from roofline.models.sources import TRACES, read_json
from roofline.models.traced.extents import Extent, constant
from roofline.models.traced.trace import Trace
from roofline.models.traced.written import read_trace
from roofline.program.axes import Binding, Sizes
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.program import SEVERAL, Group, Program
from roofline.program.traffic.lengths import Ask, Lengths

PARTS = Path(__file__).parent / "parts"
"""Recorded traces of networks that are components alone."""

_MOST_STEPS, _LONGEST_SIDE, _MOST_FRAMES = 10_000, 16_384, 10_000

_LETTERS = {
    "height": "height of an image, or of a frame [pixels]", "width": "width of an image, or of a frame [pixels]",
    "frames": "frames of a video", "denoise_steps": "denoising steps",
}  # fmt: skip


def generator_outline(name: str, asked: Mapping[str, Any]) -> tuple[Outline, tuple[str, ...]]:
    """What states a generator, and its warnings; ``asked`` are fields with other values than it is published with.

    Raises ConfigError for a field that it has not, or a number that it cannot have.
    """
    made = GENERATORS[name]
    fields = _read_fields(made, asked)
    sizes = {letter: int(fields[letter]) for letter in _letters(made)}
    parts = [(each, _at_sizes(each, sizes, name)) for each in made.components]
    guided = bool(fields["guided"])
    told = (f"{name}: {each}" for component in made.components for each in _recorded(component.trace)[2])

    def statement(conventions: Conventions) -> Program:
        groups = [_groups(each, _program(each.trace, conventions), guided=guided) for each in made.components]
        return Program(tuple(group for own in groups for group in own), sizes, whole=SEVERAL)

    def parameters() -> int:
        return sum(_recorded(each.trace)[1].parameters() for each in made.components if not each.like)

    asks = tuple(
        _Doubled(ask) if guided and component.guided == "batch" else ask
        for component, trace in parts
        for ask in trace.asks
    )
    lengths = Lengths(1, whole=True, unit=made.makes, asks=asks)
    letters = {letter: words for letter, words in _LETTERS.items() if letter in sizes}
    outline = Outline(
        lengths, tuple(fields.items()), None, statement, parameters, None, letters,
        losses=tuple(loss for _, trace in parts for loss in trace.losses), fields=frozenset(fields),
        components=tuple(each.name for each in made.components),
    )  # fmt: skip
    return outline, tuple(dict.fromkeys(told))


@frozen
class _Doubled:
    """What code asks of the batch that it is given, where guidance gives it each sequence twice."""

    ask: Ask

    def holds(self, sizes: Sizes) -> bool:
        return self.ask.holds({**sizes, "B": 2 * sizes["B"]})

    def __str__(self) -> str:
        return f"{self.ask} of a batch that guidance doubles"


def _letters(made: Generator) -> tuple[str, ...]:
    return ("height", "width", "denoise_steps", *(("frames",) if made.frame_multiple else ()))


def _read_fields(made: Generator, asked: Mapping[str, Any]) -> dict[str, int | bool]:
    """The fields of a generator. Raises ConfigError, in one line, for what it cannot be."""
    fields: dict[str, int | bool] = {letter: int(getattr(made, letter)) for letter in _letters(made)}
    fields["guided"] = made.guided
    for name, value in asked.items():
        if name not in fields:
            msg = f"{made.name}: {shown(name)} is no field of a generator; {near_matches(name, fields)}"
            raise ConfigError(msg)
        problem = _problem(made, name, value)
        if problem:
            msg = f"{made.name}: {name.replace('_', ' ')} {shown(value)}: {problem}"
            raise ConfigError(msg)
        fields[name] = value
    return fields


def _problem(made: Generator, name: str, value: object) -> str:
    """What is wrong with the value of a field; empty where it is right."""
    if name == "guided":
        return _guidance_problem(made, value)
    if isinstance(value, bool) or not isinstance(value, int):
        return "expected a whole number"
    if name == "denoise_steps":
        return "" if 1 <= value <= _MOST_STEPS else f"expected 1 to {_MOST_STEPS:,}"
    if name == "frames":
        right = 1 <= value <= _MOST_FRAMES and (value - 1) % made.frame_multiple == 0
        return "" if right else f"expected 1 more than a multiple of {made.frame_multiple}, to {_MOST_FRAMES:,}"
    return _side_problem(made, name, value)


def _guidance_problem(made: Generator, value: object) -> str:
    if not isinstance(value, bool):
        return "expected true or false"
    doubles = any(each.guided for each in made.components)
    return "" if doubles or not value else "it takes its guidance as an input: one pass a step"


def _side_problem(made: Generator, name: str, value: int) -> str:
    if made.fixed and value != getattr(made, name):
        return f"its {name} is {getattr(made, name)} pixels and no other"
    right = made.multiple <= value <= _LONGEST_SIDE and value % made.multiple == 0
    return "" if right else f"expected a multiple of {made.multiple} pixels, to {_LONGEST_SIDE:,}"


def _at_sizes(component: Component, sizes: Mapping[str, int], name: str) -> Trace:
    """The recording of a component with the numbers that its letters have. Raises ConfigError."""
    dims = {letter: int(extent(sizes)) for letter, extent in component.dims.items()}
    return _recorded(component.trace)[0].at(dims, f"{name}: {component.name}")


@functools.lru_cache(maxsize=16)
def _recorded(name: str) -> tuple[Trace, Outline, tuple[str, ...]]:
    """A recording at the sizes that it was made in, what states it, and its warnings: read once a process."""
    path = TRACES / f"{name}.json"
    path = path if path.is_file() else PARTS / f"{name}.json"
    trace = read_trace(read_json(path, "a recorded trace"), name)
    return trace, *outlined(trace)


@functools.lru_cache(maxsize=32)
def _program(name: str, conventions: Conventions) -> Program:
    return _recorded(name)[1].statement(conventions)


def _groups(component: Component, program: Program, *, guided: bool) -> tuple[Group, ...]:
    """The groups of a component, with its passes, its sizes and names of its own."""
    again = constant(2) if guided and component.guided == "runs" else constant(1)
    local: dict[str, Binding] = {**program.sizes, **component.dims}
    if guided and component.guided == "batch":
        local["B"] = Extent("product", (constant(2), Extent("letter", name="B")))
    runs = Extent("product", (again, component.runs))
    return tuple(
        replace(
            group,
            name=f"{component.name}.{group.name}",
            ops=tuple(_own(op, component) for op in group.ops),
            again=runs,
            local={**group.local, **local},
        )
        for group in program.groups
    )


def _own(op: Op, component: Component) -> Op:
    reads, writes = (tuple(_named(tensor, component) for tensor in side) for side in (op.reads, op.writes))
    return replace(op, reads=reads, writes=writes, parts=tuple(_own(part, component) for part in op.parts))


def _named(tensor: Tensor, component: Component) -> Tensor:
    """A tensor under a name that no other component has; weights of another's network are kept there."""
    shared = bool(component.like) and tensor.role == "weight"
    return replace(tensor, name=f"{component.name}.{tensor.name}", borrowed=tensor.borrowed or shared)
