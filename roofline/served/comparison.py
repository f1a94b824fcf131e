"""A server's results beside what is predicted of it: per metric measured, predicted, and whether the band has it.

Requests are simulated as the tool sent them: as many, from as many clients or at its rate, of its mean lengths; all of
them count, as they do in the tool. llama-bench's tests of one sequence are predicted as steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack, cast

from roofline.classes import frozen
from roofline.engines.engine import Engine
from roofline.errors import UsageError, shown
from roofline.models.sources import is_named
from roofline.options.keywords import part, takes
from roofline.options.verbs.measuring import MeasuredServingOptions, ValidateOptions
from roofline.options.verbs.serving import SimulateOptions
from roofline.prediction.predict import Prediction, predict
from roofline.prediction.request import Hardware
from roofline.program.phases import Phase
from roofline.serving.step_clock import AnyModel
from roofline.simulation.simulate import Simulation, simulate
from roofline.simulation.statistics import Distribution, Outcome
from roofline.validation.scores import Pair, Score
from roofline.validation.served_results import Load, Metric, ServingResult, Statistic, read_results

_MOST_REQUESTS = 20_000
_NEAR = 0.02  # lengths and parameters that are taken to be the same


@frozen
class Figure:
    """A metric, measured and predicted, with the ends of its band; None where nothing predicts it."""

    metric: Metric
    statistic: Statistic
    measured: float
    predicted: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def inside(self) -> bool | None:
        """Whether the measured value lies in the band."""
        if self.low is None or self.high is None:
            return None
        return self.low * (1 - 1e-9) <= self.measured <= self.high * (1 + 1e-9)

    @property
    def error(self) -> float | None:
        """Predicted / measured - 1."""
        return None if self.predicted is None else self.predicted / self.measured - 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "metric": self.metric, "statistic": self.statistic, "measured": self.measured,
            "predicted": self.predicted, "low": self.low, "high": self.high, "error": self.error,
            "inside": self.inside,
        }  # fmt: skip


@frozen
class ServingComparison:
    """One run of a tool beside its prediction: under which engine, on what, in which layout."""

    result: ServingResult
    engine: Engine
    hardware: str
    layout: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]

    @property
    def pairs(self) -> list[Pair]:
        """What was predicted and measured."""
        return [Pair(each.predicted, each.measured) for each in self.figures if each.predicted is not None]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        load = self.result.load
        return {
            "tool": self.result.tool, "model": self.result.model, "engine": self.engine.words,
            "hardware": self.hardware, "layout": self.layout,
            "requests": load.requests, "concurrency": load.clients, "load_requests_per_s": load.per_second,
            "prompt": load.prompt, "generate": load.generate,
            "figures": [each.to_dict() for each in self.figures], "notes": list(self.notes),
        }  # fmt: skip


def score_of(found: Sequence[ServingComparison]) -> Score | None:
    """How far off the predictions are; None where nothing was predicted."""
    pairs = [pair for each in found for pair in each.pairs]
    return Score.of(pairs) if pairs else None


@takes(MeasuredServingOptions)
def compare_served(
    path: str | Path, model: AnyModel, hardware: Hardware, **options: Unpack[MeasuredServingOptions]
) -> list[ServingComparison]:
    """Each run of a file of results beside what is predicted of a server of ``model`` on ``hardware``.

    ``batch``, ``prompt`` and ``generate`` are the result's; what is given of them has to be the same. Raises UsageError
    for the result of another model or another load, SpecError for a file that holds none.
    """
    return [_compared(result, path, model, hardware, options) for result in read_results(Path(path))]


def _compared(
    result: ServingResult, path: str | Path, model: AnyModel, hardware: Hardware, options: MeasuredServingOptions
) -> ServingComparison:
    _check_load(result.load, path, options)
    if result.load.kind != "requests":
        return _as_steps(result, path, model, hardware, options)
    load = result.load
    requests = min(load.requests, _MOST_REQUESTS)
    offered = {
        "requests": requests, "prompt": max(1, round(load.prompt)), "generate": max(1, round(load.generate)),
        "concurrency": load.clients, "load": load.per_second,
        "arrivals": "poisson" if load.clients or load.per_second else "all",
    }  # fmt: skip
    asked = cast("SimulateOptions", {**part(SimulateOptions, options), **offered})
    found = simulate(model, hardware, **asked)
    request = found.deployment.clock.request
    _check_model(result, path, request.model.name, request.model.parameters)
    notes = list(_notes(result))
    if requests < load.requests:
        notes.append(f"{requests:,} of {load.requests:,} requests are simulated")
    figures = tuple(_simulated(found, key, value) for key, value in result.measured.items())
    devices = found.deployment.devices
    named = f"{devices} x {request.device.name}" if devices > 1 else request.device.name
    layout = str(found.deployment.clock.replica.layout)
    return ServingComparison(result, request.engine, named, layout, figures, tuple(notes))


def _simulated(found: Simulation, key: tuple[Metric, Statistic], measured: float) -> Figure:
    """A figure of a simulation. Its band is that of all steps at their ends, relative to the expected outcome."""
    metric, statistic = key
    if metric in ("requests_per_s", "output_tokens_per_s"):
        amount = len(found.ledger) if metric == "requests_per_s" else int(found.ledger.generate.sum())
        low, value, high = (amount / each.makespan_s for each in (found.slow, found.outcome, found.fast))
        return Figure(metric, statistic, measured, value, low, high)
    name = "tpot_s" if metric == "itl_s" else metric
    if name not in found.outcome.times or (metric == "itl_s" and statistic != "mean"):
        return Figure(metric, statistic, measured)  # the gaps between single tokens are not simulated
    every = Distribution.of(getattr(found.ledger, name))
    assert every is not None, "what counts is among all"
    value = _of(every, statistic)
    warm, fast, slow = (_of(each.times[name], statistic) for each in _ends(found))
    return Figure(metric, statistic, measured, value, value * fast / warm, value * slow / warm)


def _ends(found: Simulation) -> tuple[Outcome, Outcome, Outcome]:
    return found.outcome, found.fast, found.slow


def _of(found: Distribution, statistic: Statistic) -> float:
    return found.mean if statistic == "mean" else found.percentiles[int(statistic[1:])]


def _as_steps(
    result: ServingResult, path: str | Path, model: AnyModel, hardware: Hardware, options: MeasuredServingOptions
) -> ServingComparison:
    """A test of llama-bench beside the steps of one sequence."""
    load = result.load
    asked = {name: value for name, value in part(ValidateOptions, options).items() if value is not None}
    lengths: dict[str, Any] = {"prompt": int(load.prompt), "phase": Phase.PREFILL}
    if load.kind == "decoding":
        lengths = {"prompt": max(1, load.depth), "generate": int(load.generate) + 1, "phase": Phase.DECODE}
    elif load.kind == "both":
        lengths = {"prompt": int(load.prompt), "generate": int(load.generate) + 1}
    found = predict(model, hardware, **{**asked, "batch": 1, **lengths})
    _check_model(result, path, found.model.name, found.parameters)
    figures = tuple(_stepped(found, *key, value) for key, value in result.measured.items())
    named = f"{found.count} x {found.hardware.name}" if found.count > 1 else found.hardware.name
    notes = (*found.notes, "llama.cpp is not modelled: its kernels may be others than those of the engine named")
    return ServingComparison(result, found.engine, named, str(found.layout), figures, notes)


def _stepped(found: Prediction, metric: Metric, statistic: Statistic, measured: float) -> Figure:
    """A figure of the steps of one sequence."""
    times = [
        sum(phase.steps * getattr(phase.figures, end) for phase in found.phases.values())
        for end in ("low_s", "time_s", "high_s")
    ]
    if metric in ("tpot_s", "output_tokens_per_s"):
        times = [time / found.phases[Phase.DECODE].steps for time in times]
    low, value, high = times
    if metric == "output_tokens_per_s":
        low, value, high = 1 / high, 1 / value, 1 / low
    return Figure(metric, statistic, measured, value, low, high)


def _check_load(load: Load, path: str | Path, options: MeasuredServingOptions) -> None:
    """Raises UsageError where lengths or a batch are asked for that the result is not of."""
    if given := next((name for name in ("context", "phase") if options.get(name) is not None), None):
        msg = f"{given} does not go with the result of a server, which serves whole requests; leave it out"
        raise UsageError(msg)
    held = {"prompt": load.prompt, "generate": load.generate, "batch": float(load.clients or 0)}
    for name, value in held.items():
        asked = options.get(name)
        if asked is None or (name == "batch" and asked == 1):
            continue
        if value == 0 or abs(float(asked) / value - 1) > _NEAR:  # type: ignore[arg-type]
            msg = f"{path}: a result of another load: {name} {value:g}, not {asked}; leave {name} out, it is read there"
            raise UsageError(msg)


def _check_model(result: ServingResult, path: str | Path, name: str, parameters: int) -> None:
    """Raises UsageError where the result is of another model: by its name, or by its parameters."""
    if result.parameters is not None:
        if abs(result.parameters / parameters - 1) > _NEAR:
            msg = f"{path}: a result of another model: {result.parameters:,} parameters, {name} has {parameters:,}"
            raise UsageError(msg)
    elif result.model and not is_named(name, result.model):
        msg = f"{path}: a result of another model: {shown(result.model)}, not {name}; give the model that it names"
        raise UsageError(msg)


def _notes(result: ServingResult) -> Iterator[str]:
    load = result.load
    if not result.model:
        yield "the result names no model, so that it may be of another"
    if any(abs(length - round(length)) > 1e-6 for length in (load.prompt, load.generate)):
        yield "requests were of several lengths, of which the result tells the mean; all are simulated at it"
    if result.failed:
        yield f"{result.failed:,} requests failed, and are in no figure"
