"""The answer of ``predict`` on a page: the verdict, the costliest operators, how sure, for which inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from roofline.prediction.predict import Prediction
from roofline.reports import compression
from roofline.reports.layout import link_lines
from roofline.reports.prediction import UNRESERVED, constants_line, inputs_line, quantity, table, verdict

if TYPE_CHECKING:
    from roofline.prediction.sensitivity import Gains, Sensitivity

LONGEST = 20
"""Lines that an answer has at most, beside its notes."""

COSTLIEST = 5
"""Operators that are named."""

LONGEST_NAME = 38
"""Letters of an operator's name: a row then fits 80 columns."""


def text(prediction: Prediction, *, operators: bool = False, wide: bool = False, quiet: bool = False) -> str:
    """The verdict first, the costliest operators, how sure, the inputs: at most ``LONGEST`` lines; then the notes.

    ``operators`` prints every operator instead, ``wide`` with more columns; ``quiet`` leaves the verdict alone,
    and what makes it wrong by far.
    """
    if quiet:
        wrong = prediction.single_loads
        return "\n".join([*verdict(prediction), *([f"note: {wrong}"] if wrong else [])])
    if operators or wide:
        return compression.text(prediction, wide=wide)
    notes = list(_notes(prediction))
    parts = [
        [*verdict(prediction), *_compression_lines(prediction)],
        costliest_lines(prediction),
        [
            constants_line(prediction.constants, prediction.recipe.timed_dtype),
            *link_lines(prediction.steps.machine.network, halves=bool(prediction.dispatch_hidden)),
            _inputs(prediction),
            *notes,
        ],
    ]
    lines = sum(len(part) for part in parts) - len(notes)
    apart = "\n\n" if lines + len(parts) - 1 <= LONGEST else "\n"
    return apart.join("\n".join(part) for part in parts)


def costliest_lines(prediction: Prediction) -> list[str]:
    """A table of the costliest operators, and how many there are."""
    rows = [
        (
            _cut(op.name),
            name,
            str(op.count),
            quantity(op.figures.time_s, "time_s"),
            f"{op.figures.time_s / phase.figures.time_s:.1%}",
            op.figures.bound_by,
        )
        for name, phase, op in prediction.costliest(COSTLIEST)
    ]
    header = ("costliest operators", "phase", "x", "time", "share", "bound by")
    count = sum(len(phase.operators) for phase in prediction.phases.values())
    several = len(prediction.phases) > 1
    told = f"largest in a request first; times of one step; --operators prints all {count}"
    alone = f"times of one step; --operators prints all {count}, with FLOPs and bytes"
    return [
        *table(header, rows, left=(0, 1)),
        told if several else alone,
    ]


def _cut(name: str) -> str:
    """A long name without its middle, so that a row fits 80 columns."""
    most = LONGEST_NAME
    return name if len(name) <= most else f"{name[: most // 2 - 1]}...{name[2 - most // 2 :]}"


def _compression_lines(prediction: Prediction) -> Iterator[str]:
    """What pruning, sparsity and quantisation change, in a line; nothing where there are none."""
    if found := {change.name: change.ratio for change in prediction.changes}:
        kept = {"weights": "weights_bytes", "KV cache": "kv_cache_bytes", "request": "request_s"}
        ratios = ", ".join(f"{word} {found[name]:.3g} x" for word, name in kept.items() if found.get(name))
        yield f"against {prediction.recipe.base}: {ratios}; --operators has the table"


def _inputs(prediction: Prediction) -> str:
    kept = "" if prediction.request.reserved else f"; memory {UNRESERVED}"
    return inputs_line(prediction) + kept


def _notes(prediction: Prediction) -> Iterator[str]:
    """What the reader should know, a line each: what of the model is ignored stands in the warnings in full."""
    ignored = len(prediction.model.ignored)
    notes = [note for note in prediction.notes if note not in prediction.model.warnings]
    if ignored:
        notes.insert(0, f"{ignored} field{'s' if ignored > 1 else ''} of the model ignored, see the warnings")
    yield from (f"note: {note}" for note in notes)


def gains_text(gains: Gains) -> str:
    """What more of each resource would buy, a table a phase: the time with 10 % more, and the part that this saves."""
    from roofline.prediction.sensitivity import STEP  # noqa: PLC0415  (start-up: only --sensitivity asks)

    lines = [f"what {STEP:.0%} would buy, evaluated anew"]
    for phase, found in gains.items():
        lines += ["", *gains_table(f"{phase}, one step", found)]
    return "\n".join(lines)


def gains_table(what: str, found: Sequence[Sensitivity]) -> list[str]:
    """What more of each resource makes of the time of something."""
    from roofline.prediction.sensitivity import STEP  # noqa: PLC0415

    rows = [
        (
            f"{STEP:.0%} {'less' if gain.resource.name == 'latency' else 'more'} {gain.resource.name}",
            quantity(gain.better_s, "time_s"),
            f"{gain.saved:.1%}",
            f"{gain.speed:.3f} x",
        )
        for gain in found
    ]
    return table((what, "time", "saved", "speed"), rows)
