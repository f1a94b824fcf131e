"""Which layout the replicas of a simulation have, where the options leave it open: the one that ``compare`` chooses.

Curves of means rank the layouts, as ``compare`` ranks them: within the targets, by what a device serves at its best
batch; with the clients of a closed loop, by what so many in flight are served. The first of them that is simulated and
whose memory holds the longest request is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.errors import RooflineError
from roofline.hardware.systems import System
from roofline.options.edits import edits_by_room
from roofline.options.groups import Degrees
from roofline.options.keywords import completed, part
from roofline.options.verbs.serving import ServingOptions, SimulateOptions
from roofline.parallelism.layout import Layout
from roofline.prediction.request import Hardware, Request
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.in_flight import served_in_flight
from roofline.serving.operating_points import Targets, standing
from roofline.serving.scenario import Question, read_question
from roofline.serving.step_clock import AnyModel
from roofline.simulation.deployment import Deployment, deploy, deployed, open_degrees

_UNASKED = ("prune", "sparsity", "lm_head")
"""What no curve is of."""


@frozen
class Chosen:
    """What is simulated, and ``why`` it has its layout; empty where that was asked for, or is the only one."""

    deployment: Deployment
    why: str = ""


def choose(
    request: Request, model: AnyModel, hardware: Hardware, longest: int, options: SimulateOptions, *,
    plain: bool = True,
) -> Chosen:  # fmt: skip
    """Replicas in the layout that the options fix, or in the best of those that are simulated.

    ``longest``: the tokens of the longest request, which a replica's cache must hold. ``plain``: whether requests are
    such that stages are simulated with them: they share nothing, and show nothing. Raises WorkloadError where none
    does.
    """
    tried = open_degrees(request, options, several=True)
    if len(tried) == 1:
        return Chosen(deploy(request, model, hardware, longest, options))
    if not plain:
        tried = {words: degrees for words, degrees in tried.items() if (degrees["pp"] or 1) == 1}
    ranked, reason = _ranked(model, hardware, options)
    for each in ranked:
        degrees = tried.get(str(each.split))
        found = deployed(request, model, hardware, longest, options, degrees) if degrees else None
        if found and found.room.holds(longest):
            return Chosen(found, _words(each, ranked, tried, reason, longest))
    return Chosen(deploy(request, model, hardware, longest, options), "the fewest devices that hold a request")


def _words(chosen: Curve, ranked: list[Curve], tried: Mapping[str, Degrees], reason: str, longest: int) -> str:
    first = ranked[0]
    told = f"the best of {len(tried)}, by {reason}"
    if first is chosen:
        return told
    why = f"hold no request of {longest:,} tokens" if str(first.split) in tried else "are not simulated"
    return f"{told}; compare has {first.layout}: {_kind(first.split)} {why}"


def _kind(layout: Layout) -> str:
    return "pipelines" if layout.pp > 1 else "ranks that share experts" if layout.dp > 1 else "replicas of it"


def _ranked(model: AnyModel, hardware: Hardware, options: SimulateOptions) -> tuple[list[Curve], str]:
    """How each layout serves, the best first, and by what; none for what no curve is of."""
    given: Mapping[str, Any] = dict(options)
    if options["prefill_on"] is not None or any(given.get(name) not in (None, "last") for name in _UNASKED):
        return [], ""
    try:
        return _curves(read_question(model, **_shared(options)), hardware, options)
    except RooflineError:
        return [], ""


def _shared(options: SimulateOptions) -> ServingOptions:
    """The keywords that ``compare`` has too."""
    found: ServingOptions = completed(ServingOptions, part(ServingOptions, options), "compare")  # type: ignore[assignment]
    return found


def _curves(question: Question, hardware: Hardware, options: SimulateOptions) -> tuple[list[Curve], str]:
    if isinstance(hardware, System):
        return [], ""
    (its,) = read_hardware(
        [str(hardware) if isinstance(hardware, Path) else hardware], edits_by_room(options["set"])["hardware"]
    )
    clients = options["concurrency"]
    if clients is not None:
        served = served_in_flight(question, its, np.array([float(clients)]), round(question.traffic.generate.mean))
        ordered = sorted(served, key=lambda each: -float(each.merit[0]))
        return [each.curve for each in ordered], f"requests served with {clients:,} in flight"
    asked = Targets.of(options)
    able = [each for each in curves(question, [its]) if each.state is not None and not each.problem]
    ranked = sorted(able, key=lambda each: standing(each, asked), reverse=True)
    if asked.none:
        return ranked, "requests served at full load"
    meets = bool(ranked) and standing(ranked[0], asked)[0]
    return ranked, "requests served within the mean targets" if meets else "nearness to the mean targets, met by none"
