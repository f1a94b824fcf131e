"""A trace as a model: its program in each convention, how long its inputs may be, what it cannot promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.models.model import Model
from roofline.models.outline import Outline
from roofline.program.conventions import Conventions
from roofline.program.lengths import Lengths
from roofline.traces.folding import folded
from roofline.traces.program import Traced
from roofline.traces.trace import Trace


def traced_model(trace: Trace) -> Model:
    """The model of one forward pass of a traced module."""
    recording = trace.recording
    made = Traced(recording, folded(recording), dict(trace.dims))
    if made.program(Conventions()).parameters() != made.parameters:  # weights that some layers share with others
        made = Traced(recording, folded(recording, repeats=False), dict(trace.dims))
    field = f"positions ({trace.most_where})" if trace.most_where else "positions"
    lengths = Lengths(trace.most, field=field) if "S" in trace.letters else Lengths(1, whole=True, unit="inputs")
    inputs = {name: list(sizes) for name, sizes in trace.inputs.items()}
    facts: dict[str, Any] = {"inputs": inputs, "dims": dict(trace.dims)}
    if trace.digest:
        facts["digest"] = trace.digest
    outline = Outline(lengths, tuple(facts.items()), trace, made.program, _meanings(trace.inputs))
    warnings = tuple(f"{trace.name}: {each}" for each in _warnings(trace))
    return Model(trace.name, "traced", outline, trace.source, facts, warnings)


def _warnings(trace: Trace) -> list[str]:
    """What is not counted, and what the answer does not depend on or does not know."""
    still = [] if "B" in trace.letters else ["no input has a size B: the batch changes nothing"]
    if any(call.kind == "convolution" for call in trace.recording.calls):
        still.append("convolutions take the constants of other operators: none was timed")
    return [*(f"at least: {loss}" for loss in trace.losses), *still]


def _meanings(inputs: Mapping[str, tuple[int | str, ...]]) -> dict[str, str]:
    """What the letters mean to a module: sizes of its inputs."""
    places: dict[str, list[str]] = {}
    for name, sizes in inputs.items():
        for place, size in enumerate(sizes):
            if isinstance(size, str):
                places.setdefault(size, []).append(f"{name}.shape[{place}]")
    return {letter: f"size of the input: {', '.join(where)}" for letter, where in places.items()}
