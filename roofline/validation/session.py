"""A validation: the prediction is frozen and hashed, then the real module is timed, whole and kernel by kernel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roofline.number import exact
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.program.workload import Workload
from roofline.tracing.inputs import Input
from roofline.validation.attribution import Joined, join, predicted_kernels
from roofline.validation.capture import capture_step
from roofline.validation.comparison import CaseComparison, compare
from roofline.validation.devices import Device
from roofline.validation.modules import Step, build_step, traced_step
from roofline.validation.profiling import Profile, profile_step
from roofline.validation.replay import distinct, replay
from roofline.validation.stopwatch import SLOWER, Samples, Stopwatch, Tell, silent

STEP_BURST_S = 0.1
BUSY = 0.05
NOISY = 0.10
"""A median that is not known better than this is no measurement."""


def digest_of(prediction: Prediction) -> str:
    """The SHA-256 of a prediction's JSON: who holds it can show that no measurement changed the prediction."""
    text = json.dumps(prediction.to_dict(), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True)
class Case:
    """One phase of one prediction, and the step that it is about. ``digest`` was taken before anything was timed."""

    prediction: Prediction
    phase: Phase
    step: Step
    digest: str
    joined: Joined | None = None
    steps: dict[str, Samples] = field(default_factory=dict)
    kernels: dict[Any, Samples] = field(default_factory=dict)
    refused: dict[Any, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    profile: Profile | None = None

    @property
    def name(self) -> str:
        """Model, phase, batch and length."""
        sizes = case_sizes(self.prediction.workload, self.phase)
        return f"{self.prediction.model.name} {self.phase} {sizes['batch']}x{sizes['length']}"


def case_sizes(workload: Workload, phase: Phase) -> dict[str, int]:
    """Batch and length of the step that is timed: the mean length of a phase of several decode steps."""
    sizes = workload.sizes(phase)
    length = sizes["S"] if phase.one_token else sizes["T"]
    mean = getattr(length, "mean", None)
    return {"batch": workload.batch, "length": round(float(mean() if mean else length))}


def prepare(prediction: Prediction, phase: Phase, module: Any, device: Device, inputs: Sequence[Input] = ()) -> Case:
    """A case whose prediction is frozen. The module has the device and dtype of the prediction already.

    ``inputs``: those of a traced module.
    """
    digest = digest_of(prediction)
    return Case(prediction, phase, step_of(prediction, phase, module, device, inputs), digest)


def step_of(prediction: Prediction, phase: Phase, module: Any, device: Device, inputs: Sequence[Input]) -> Step:
    """The step of a phase that is timed."""
    sizes = case_sizes(prediction.workload, phase)
    if not inputs:
        return build_step(module, device, phase, sizes, vocabulary(prediction))
    letters = {**prediction.program.sizes, "B": sizes["batch"], "S": sizes["length"]}
    return traced_step(module, device, prediction.precision.weights, phase, inputs, letters)


def vocabulary(prediction: Prediction) -> int:
    """How many tokens there are to draw from."""
    return prediction.model.program(prediction.conventions).sizes["V"]


def time_steps(
    cases: Sequence[Case], device: Device, budget_s: float, *, how: str = "eager", seed: int = 0, tell: Tell = silent
) -> None:
    """Whole steps of all cases, in rounds of random order, so that a drift of the machine meets them alike."""
    reference = cases[0].prediction.constants.probe_s
    watch = Stopwatch(device, burst_s=STEP_BURST_S, seed=seed, graph=how == "graph", reference_s=reference)
    calls = {case.name: (lambda _, run=case.step.run: run()) for case in cases}
    try:
        watch.run(calls, budget_s, tell=tell)
    finally:
        for case in cases:
            if case.name in watch.found:
                case.steps[how] = watch.samples()[case.name]
                if watch.waited > BUSY:
                    case.flags.append(f"busy: other processes had the core for {watch.waited:.0%} of the time")


def time_kernels(case: Case, device: Device, budget_s: float, *, tell: Tell = silent) -> None:
    """Capture what torch runs in the step, join it to the prediction, time each kernel by itself; then profile it."""
    captured = capture_step(case.step.run, case.step.resident)
    case.joined = join(captured.kernels(), kernels_predicted(case))
    graph = bool(case.prediction.engine.graphs)
    watch = Stopwatch(device, graph=graph, reference_s=case.prediction.constants.probe_s)
    case.kernels, case.refused = replay(watch, distinct(captured.calls), 0.8 * budget_s, tell=tell)
    tell("the step under the profiler", 1.0)
    case.profile = profile_step(case.step.run, device, 0.2 * budget_s)


def kernels_predicted(case: Case) -> list[tuple[str, Any]]:
    """Every kernel that eager torch should run in the step: its operator and its mark."""
    prediction, phase = case.prediction, case.phase
    program = prediction.model.program(prediction.conventions)
    asked = case_sizes(prediction.workload, phase)
    sizes = {
        "B": exact(asked["batch"]),
        "T": exact(1 if phase.one_token else asked["length"]),
        "S": exact(asked["length"]),
    }
    bound = {**{letter: exact(size) for letter, size in program.sizes.items()}, **sizes}
    return predicted_kernels(program, phase, bound, prediction.precision, operator_names(prediction, phase))


def operator_names(prediction: Prediction, phase: Phase) -> Mapping[tuple[str, str], str]:
    """(group, operator) -> the operator's name in the prediction, which has its group before it where two share one."""
    program = prediction.model.program(prediction.conventions)
    pairs = [(group.name, op.name) for group, op in program.in_phase(phase)]
    operators = [op.name for op in prediction.phases[phase].operators if op.kind != "host"]
    return dict(zip(pairs, operators, strict=True))


def compared(case: Case) -> CaseComparison:
    """The case as a comparison: times of kernels added up to operators, flags for what should not be trusted."""
    sizes = case_sizes(case.prediction.workload, case.phase)
    joined = case.joined or Joined({}, {}, {})
    times = {call: samples.raw_s for call, samples in case.kernels.items()}
    others: dict[str, float] = {}
    for call, runs in joined.unpredicted.items():
        others[call.name] = others.get(call.name, 0.0) + runs * times.get(call, 0.0)
    alone: dict[str, float] = {}
    for call, runs in [*joined.unpredicted.items(), *((call, runs) for (call, _), runs in joined.shares.items())]:
        alone[call.name] = alone.get(call.name, 0.0) + runs * times.get(call, 0.0)
    step = case.steps.get("eager")
    return compare(
        case.prediction,
        case.phase,
        sizes["batch"],
        sizes["length"],
        joined.operator_s(times),
        noise=_noise(case, joined),
        measured_s=step.raw_s if step else None,
        steady_s=step.time_s if step and step.reference_s else None,
        step_noise=step.noise if step else 0.0,
        others_s=others,
        not_run=[f"{operator}: {kernel} x {runs}" for (operator, kernel), runs in joined.not_run.items()],
        steps_s={how: samples.raw_s for how, samples in case.steps.items()},
        flags=[*dict.fromkeys([*case.flags, *_flags(case, step)])],
        digest=case.digest,
        profile=case.profile,
        alone_s=alone,
        samples=[(sample.seconds, sample.probe_s) for sample in step.every] if step else (),
    )


def _noise(case: Case, joined: Joined) -> dict[str, float]:
    """Operator -> the noise of its kernels, weighed by their time."""
    parts: dict[str, list[tuple[float, float]]] = {}
    for (call, operator), runs in joined.shares.items():
        if call in case.kernels:
            samples = case.kernels[call]
            parts.setdefault(operator, []).append((runs * samples.raw_s, samples.noise))
    return {name: sum(t * n for t, n in found) / sum(t for t, _ in found) for name, found in parts.items()}


def _flags(case: Case, step: Samples | None) -> Iterator[str]:
    """What a reader should know before trusting the times."""
    if step and step.noise > NOISY:
        yield f"noise: the median of the step is known to {step.noise:.0%} only ({len(step.every)} samples)"
    if step and step.slower > SLOWER - 1:
        yield (
            f"speed: a small matmul took {step.slower:.0%} longer than when the device was calibrated (clocks, or "
            "somebody else on the core); what waits for memory is slower by less"
        )
    for call, problem in case.refused.items():
        yield f"not timed: {call.name}: {problem}"


def untrusted(flags: Iterable[str]) -> list[str]:
    """The flags for which a measurement should not be used as it is: noise, stalls, a device that was busy."""
    return [flag for flag in flags if flag.startswith(("noise", "stall", "busy", "out of memory"))]
