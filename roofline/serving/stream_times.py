"""What a step's sequences take by themselves, attention and scans, as functions of their lengths: recorded once.

The costs are those of ``chunked_prefill``, worked out by numbers that remember: lengths are letters that differ by
sequence, of which means are taken, and the rest is a few dozen numbers. Played with plain numbers for one step, with
arrays for many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.number import Grid, Number
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import MAX_LENGTH, Precision
from roofline.serving.chunked_prefill import Stream, over_lengths
from roofline.tape.numbers import Remembered, letter
from roofline.tape.printers import NUMPY, PYTHON, SPACE, Script
from roofline.tape.trace import Letter, Trace
from roofline.timing.machine import Machine
from roofline.timing.timing import total


@frozen
class StreamTime:
    """Seconds of all that sees the context, of the sequences of one phase in a step. [s]

    ``(sequences, new, context, weights)``: how many they are, the tokens of all requests of the step, and their
    weights, one over the sequences for those of this phase and 0 for others. ``one`` takes a number and arrays,
    ``several`` columns and arrays with a row for each step.
    """

    one: Callable[[float, Grid, Grid, Grid], float]
    several: Callable[[Grid, Grid, Grid, Grid], Grid]

    @classmethod
    def of(
        cls, program: Program, phase: Phase, precision: Precision, machine: Machine, replayed: int, checked: int = 1,
        names: Collection[str] | None = None,
    ) -> StreamTime:  # fmt: skip
        """That of a program on a machine, or of some of its groups.

        Its steps are ``replayed`` from a graph, 1, or launched by the host, 0.
        A decode step runs ``checked`` tokens of each sequence, which ``context`` has all of.
        """
        trace = Trace()
        sequences = letter(trace, Letter("sequences", 4, 1, MAX_LENGTH, whole=True))
        context = letter(trace, Letter("context", 100, 1, MAX_LENGTH, whole=True, stepwise=True))
        new: Number = float(checked)
        if not phase.one_token:
            new = letter(trace, Letter("new", 10, 1, MAX_LENGTH, whole=True, stepwise=True))
        costs = list(_costs(program, Stream(phase, sequences, 1.0, new, context, checked), precision, replayed, names))
        seconds = total((cost.count, machine.time(cost)) for cost in costs).time_s
        if not isinstance(seconds, Remembered):
            plain = float(seconds)
            return cls(lambda *_: plain, lambda *_: np.asarray(plain))
        assert not trace.guards, "how long attention takes is a choice among forms, which no recording holds"
        script = Script.of(trace.nodes, [seconds.place])
        return cls(_of_one(script, seconds.place), _of_several(script, seconds.place))


def _costs(
    program: Program, stream: Stream, precision: Precision, replayed: int, names: Collection[str] | None
) -> Iterator[Cost]:
    sizes = {name: float(size) for name, size in program.sizes.items()}
    for group, op in program.in_phase(stream.phase):
        if op.sees_context and (names is None or group.name in names):
            yield replace(over_lengths(group, op, stream, precision, sizes), replayed=replayed)


def _of_one(script: Script, place: int) -> Callable[..., float]:
    means = [
        f"{script.name(mean)} = float({script.operand(NUMPY, script.nodes[mean].operands[0])}.dot(weights))"
        for mean in script.means
    ]
    plain, arrays, last = (script.lines(PYTHON, script.before), script.lines(NUMPY, script.inner),
                           script.lines(PYTHON, script.after))  # fmt: skip
    return _compiled([*plain, *arrays, *means, *last], script.name(place))


def _of_several(script: Script, place: int) -> Callable[..., Grid]:
    means = [
        f'{script.name(mean)} = numpy.einsum("ij,ij->i", {script.operand(NUMPY, script.nodes[mean].operands[0])}, '
        "weights)[:, None]"
        for mean in script.means
    ]
    plain, arrays, last = (script.lines(NUMPY, places) for places in (script.before, script.inner, script.after))
    return _compiled([*plain, *arrays, *means, *last], script.name(place))


def _compiled(lines: Iterable[str], result: str) -> Callable[..., Any]:
    space: dict[str, Any] = dict(SPACE)
    text = "\n    ".join(["def seconds(sequences, new, context, weights):", *lines, f"return {result}", ""])
    exec(text, space)  # printed from our own nodes, never from a user's text
    found: Callable[..., Any] = space["seconds"]
    return found
