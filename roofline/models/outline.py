"""A network that states itself: what a trace of its code found, in place of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any

from roofline.classes import frozen
from roofline.options.words import Fusion
from roofline.program.conventions import Conventions
from roofline.program.program import Program
from roofline.program.traffic.lengths import Lengths

if TYPE_CHECKING:
    from roofline.models.traced.calls import Recording
    from roofline.models.traced.program import Traced
    from roofline.models.traced.trace import Trace

MARK = "roofline_trace"
"""The field by which a file of a trace is known."""

_LENGTH = 2048
"""Tokens at which a graph compiler compares what it may save, where inputs may be as long."""


@frozen
class Outline:
    """Where the program of a traced module comes from, and how long its sequences may be.

    ``facts`` is what JSON says of it. ``letters``: what the letters of its inputs mean, other than the legend's.
    ``training`` has both passes, as eager autograd runs them, or as a graph compiler does; and the names
    of what the backward pass reads of the forward pass. ``losses``: what its counts leave out: with any of them they
    are lower bounds. ``fields``: those that can be edited. ``trace`` and
    ``training``: None of several networks, the ``components`` of a generator. ``parameters`` counts those of the
    network, each once, without stating its program.
    """

    lengths: Lengths
    facts: tuple[tuple[str, Any], ...]
    trace: Trace | None = field(repr=False)
    statement: Callable[[Conventions], Program] = field(repr=False)
    parameters: Callable[[], int] = field(repr=False)
    training: Callable[[Conventions], tuple[Program, frozenset[str]]] | None = field(repr=False)
    letters: Mapping[str, str] = field(default_factory=dict)
    losses: tuple[str, ...] = ()
    fields: frozenset[str] = frozenset()
    components: tuple[str, ...] = ()

    @property
    def model_fields_set(self) -> frozenset[str]:
        """The fields that can be edited: of a trace, the letters that have numbers of their own."""
        return self.fields

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        """What JSON says of it."""
        return dict(self.facts)


def outlined(trace: Trace) -> tuple[Outline, tuple[str, ...]]:
    """What a trace states of itself: its program in each convention, how long its inputs may be; and its warnings."""
    from roofline.models.traced.partition import compiled  # noqa: PLC0415  (few models are traced)

    @cache
    def made(fusion: Fusion, fused: bool) -> Traced:
        return _made(_run_as(trace, fusion), trace.dims, fused=fused)

    @cache
    def made_again() -> Traced:
        sizes = {**trace.dims, "B": 1, "S": min(trace.most, _LENGTH)}
        return _made(compiled(trace.recording, sizes), trace.dims)

    def training(asked: Conventions) -> tuple[Program, frozenset[str]]:
        return (made_again() if asked.fusion != "none" else made("none", asked.apart)).training(asked)

    def stated(asked: Conventions) -> Program:
        own = made(asked.fusion, asked.fusion != "none" or asked.apart).program(asked)
        if trace.step is None:
            return own
        from roofline.models.traced.joined import joined  # noqa: PLC0415  (few models are traced)

        return joined(own, _step(trace.step, asked), trace.name)

    shortest = min((each for each in (trace, trace.step) if each), key=lambda each: each.most)
    said = f"positions ({shortest.most_where})" if shortest.most_where else "positions"
    lengths = Lengths(shortest.most, field=said, asks=trace.asks)
    if "S" not in trace.letters:
        lengths = Lengths(1, whole=True, unit="inputs", asks=trace.asks)
    inputs = {name: list(sizes) for name, sizes in trace.inputs.items()}
    facts: dict[str, Any] = {"inputs": inputs, "dims": dict(trace.dims)}
    if trace.digest:
        facts["digest"] = trace.digest
    outline = Outline(
        lengths, tuple(facts.items()), trace, stated, lambda: trace.recording.parameters, training,
        _meanings(trace.inputs),
        tuple(dict.fromkeys([*trace.losses, *(trace.step.losses if trace.step else ())])),
        frozenset(trace.dims),
    )  # fmt: skip
    return outline, tuple(f"{trace.name}: {each}" for each in _warnings(trace))


def _step(trace: Trace, asked: Conventions) -> Program:
    """The decode step of a module that generates."""
    return _made(_run_as(trace, asked.fusion), trace.dims, fused=asked.fusion != "none" or asked.apart).program(asked)


def _run_as(trace: Trace, fusion: Fusion) -> Recording:
    """What a trace recorded, as it runs: attention that is written out as one kernel, where something fuses it so.

    Raises WorkloadError for what an engine has a kernel of that nothing here states.
    """
    from roofline.models.traced.attention import attending, in_place  # noqa: PLC0415  (few models are traced)
    from roofline.models.traced.experts import routed  # noqa: PLC0415
    from roofline.models.traced.implementations import check_stated  # noqa: PLC0415

    if fusion == "engine":
        check_stated(trace)
    found = attending(trace.recording, fusion)
    return routed(in_place(found)) if fusion == "engine" else found


def _made(recording: Recording, dims: Mapping[str, int], *, fused: bool = True) -> Traced:
    """A program of a recording, with layers that are alike as one, where no weight is shared between some of them."""
    from roofline.models.traced.folding import folded  # noqa: PLC0415  (few models are traced)
    from roofline.models.traced.program import Traced  # noqa: PLC0415

    made = Traced(recording, folded(recording, fused=fused), dict(dims))
    if made.program(Conventions()).parameters() == recording.parameters:
        return made
    return Traced(recording, folded(recording, repeats=False, fused=fused), dict(dims))


def _warnings(trace: Trace) -> list[str]:
    """What is not counted, what the answer does not depend on, and what the code stores that it need not."""
    from roofline.models.traced.implementations import implementations  # noqa: PLC0415  (few models are traced)

    still = [] if "B" in trace.letters else ["no input has a size B: the batch changes nothing"]
    own = [*(f"at least: {loss}" for loss in trace.losses), *still, *implementations(trace)]
    return own if trace.step is None else list(dict.fromkeys([*own, *_warnings(trace.step)]))


def _meanings(inputs: Mapping[str, tuple[int | str, ...]]) -> dict[str, str]:
    """What the letters mean to a module: sizes of its inputs."""
    places: dict[str, list[str]] = {}
    for name, sizes in inputs.items():
        for place, size in enumerate(sizes):
            if isinstance(size, str):
                places.setdefault(size, []).append(f"{name}.shape[{place}]")
    return {letter: f"size of the input: {', '.join(where)}" for letter, where in places.items()}
