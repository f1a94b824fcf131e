"""``validate`` from a prediction to comparisons: freeze it, build the module, time it, keep what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline.classes import frozen
from roofline.errors import SpecError, UsageError
from roofline.files.atomic import atomic_writer
from roofline.files.library import read_text
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.tracing.inputs import Input
from roofline.validation.comparison import CaseComparison, Profiled, ToldBy, Verdict, compare, compare_shares
from roofline.validation.devices import Device
from roofline.validation.environment import describe_environment, gpu_state
from roofline.validation.measurements import MOST_BYTES, read_measurements
from roofline.validation.modules import Step, blaming, build_module, load_module, out_of_memory
from roofline.validation.profiles.kernels import Profile as KernelProfile
from roofline.validation.profiles.rules import Rules, join_kernels
from roofline.validation.profiling import Profile
from roofline.validation.session import (
    Case,
    case_sizes,
    compared,
    digest_of,
    prepare,
    step_of,
    time_kernels,
    time_steps,
)
from roofline.validation.stopwatch import Samples, Tell, silent
from roofline.version import versions

if TYPE_CHECKING:
    from roofline.validation.training.comparison import TrainingComparison


@dataclass(slots=True)
class Runner:
    """Times the phases of a prediction one after another. ``done`` has what is finished, also after an interruption.

    ``inputs``: those of a traced ``module``.
    """

    prediction: Prediction
    device: Device
    dtype: str
    budget_s: float = 30.0
    module: str | None = None
    compiled: bool = False
    inputs: tuple[Input, ...] = ()
    tell: Tell = silent
    done: list[CaseComparison] = field(default_factory=list)
    interrupted: bool = False

    def run(self, skip: Sequence[Phase] = ()) -> list[CaseComparison]:
        """Every phase that is not skipped. Out of memory ends a phase, not the run, and is named."""
        phases = [phase for phase in self.prediction.phases if phase not in skip]
        with self.device.torch.no_grad():
            module = self._build()
            for phase in phases:
                case = None
                try:
                    with blaming(self.module) if self.module else nullcontext():
                        case = prepare(self.prediction, phase, module, self.device, self.inputs)
                        self._time(case, module, self.budget_s / len(phases))
                except KeyboardInterrupt:
                    self.interrupted = True
                except (MemoryError, RuntimeError) as failure:
                    if not out_of_memory(failure):
                        raise
                    nothing = Step(phase, lambda: None, set())
                    case = case or Case(self.prediction, phase, nothing, digest_of(self.prediction))
                    case.flags.append("out of memory: take a smaller batch or length")
                if case is not None:
                    self.done.append(compared(case))
                if self.interrupted:
                    break
        return self.done

    def _build(self) -> Any:
        if self.module:
            return load_module(self.module, self.device, self.dtype)
        return build_module(self.prediction.model, self.device, self.dtype)

    def _time(self, case: Case, module: Any, budget_s: float) -> None:
        """Steps before the kernels and after them, so that a drift shows; then the other ways to run a step."""
        before = gpu_state(self.device)
        if before.get("used_percent", 0) > 10:
            case.flags.append(f"busy: the GPU is used to {before['used_percent']:.0f} % by somebody else")
        time_steps([case], self.device, 0.3 * budget_s, tell=self.tell)
        first, early = case.steps["eager"], gpu_state(self.device)
        time_kernels(case, self.device, 0.4 * budget_s, tell=self.tell)
        time_steps([case], self.device, 0.3 * budget_s, seed=1, tell=self.tell)
        case.steps["eager"] = Samples((*first.every, *case.steps["eager"].every), first.reference_s)
        late = gpu_state(self.device)
        if late and late["clock_mhz"] < 0.9 * early["clock_mhz"]:
            case.flags.append(f"clock: fell from {early['clock_mhz']:.0f} to {late['clock_mhz']:.0f} MHz")
        if self.device.kind == "cuda":
            time_steps([case], self.device, 0.2 * budget_s, how="graph", tell=self.tell)
        if self.compiled:
            step, case.step = case.step, self._compiled(case, module)
            time_steps([case], self.device, 0.3 * budget_s, how="compile", tell=self.tell)
            case.step = step

    def _compiled(self, case: Case, module: Any) -> Step:
        compiled = self.device.torch.compile(module)
        return step_of(case.prediction, case.phase, compiled, self.device, self.inputs)


def compare_file(path: Path, prediction: Prediction) -> list[CaseComparison]:
    """The phases of a prediction beside measurements from a file; nothing is timed."""
    found = []
    for phase, measured in read_measurements(path, prediction).items():
        sizes = case_sizes(prediction.workload, phase)
        found.append(
            compare(
                prediction,
                phase,
                sizes["batch"],
                sizes["length"],
                measured.operators,
                dram_bytes=measured.dram_bytes,
                others_s=measured.others_s,
                measured_s=measured.step_s,
                digest=digest_of(prediction),
            )
        )
    if not found:
        msg = f"{path}: measures no phase of this prediction, which has {' and '.join(prediction.phases)}"
        raise SpecError(msg)
    return found


def compare_profile(
    profile: KernelProfile,
    prediction: Prediction,
    rules: Rules,
    steps: int | None,
    told_by: ToldBy,
) -> list[CaseComparison]:
    """The one phase of a prediction beside what a profiler saw; nothing is timed.

    Raises UsageError where the prediction has several, or the profile does not tell how many steps it holds.
    """
    if len(prediction.phases) > 1:
        several = " and ".join(prediction.phases)
        msg = f"{profile.path}: a profile is compared with one phase, the prediction has {several}; give --phase"
        raise UsageError(msg)
    ((phase, predicted),) = prediction.phases.items()
    found = join_kernels(profile, predicted.operators, rules, steps)
    source = Profiled(
        profile.tool, found.steps, found.joined, profile.seconds / found.steps, prediction.engine.words, told_by
    )
    sizes = case_sizes(prediction.workload, phase)
    return [
        compare_shares(
            prediction,
            phase,
            sizes["batch"],
            sizes["length"],
            found.shares,
            others_s=found.others_s,
            digest=digest_of(prediction),
            profiled=source,
        )
    ]


@frozen
class Validation:
    """What ``validate`` answers: the cases with their raw samples, what they come to, where and by which command.

    ``environment`` is None where nothing was timed here; ``run`` names one of several. ``training``: training steps.
    """

    cases: tuple[CaseComparison, ...]
    command: str
    hardware: str = ""
    environment: Mapping[str, Any] | None = None
    run: str = ""
    training: tuple[TrainingComparison, ...] = ()

    @classmethod
    def of(
        cls, cases: Sequence[CaseComparison], device: Device | None, command: str, *, hardware: str = "",
        run: str = "", training: Sequence[TrainingComparison] = (),
    ) -> Validation:  # fmt: skip
        """The result of what was timed on ``device``, or compared without one."""
        where = describe_environment(device) if device else None
        return cls(tuple(cases), command, hardware, where, run, tuple(training))

    @property
    def verdict(self) -> Verdict:
        """What all cases come to."""
        return Verdict.of((*self.cases, *self.training))

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``validate``."""
        return {
            **versions(),
            "command": self.command,
            "hardware": self.hardware,
            **({"run": self.run} if self.run else {}),
            **({"environment": dict(self.environment)} if self.environment else {}),
            "verdict": self.verdict.to_dict(),
            "cases": [case.to_dict() for case in self.cases],
            **({"training": [step.to_dict() for step in self.training]} if self.training else {}),
        }


def write_record(result: Mapping[str, Any], path: Path) -> None:
    """Write it whole or not at all."""
    with atomic_writer(path) as file:
        json.dump(result, file, indent=1, allow_nan=False)
        file.write("\n")


def finished(path: Path, prediction: Prediction) -> list[CaseComparison]:
    """The phases that an earlier run wrote to ``path`` for this very prediction. Raises SpecError for another file."""
    if not path.is_file():
        return []
    try:
        return restored(json.loads(read_text(path, SpecError, MOST_BYTES)), prediction)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        msg = f"{path}: is no result of validate; name another file, or leave out --resume"
        raise SpecError(msg) from None


def restored(result: Mapping[str, Any], prediction: Prediction) -> list[CaseComparison]:
    """The cases of a result that are of this very prediction. Raises KeyError or TypeError for what is no result."""
    digest = digest_of(prediction)
    same = [c for c in result["cases"] if c["prediction_sha256"] == digest and c["measured_s"]]
    return [_restored(prediction, case) for case in same if case["phase"] in prediction.phases]


def _restored(prediction: Prediction, case: Mapping[str, Any]) -> CaseComparison:
    measured = {op["name"]: op["measured_s"] for op in case["operators"] if op["measured_s"]}
    return compare(
        prediction,
        case["phase"],
        case["batch"],
        case["length"],
        measured,
        noise={op["name"]: op["noise"] for op in case["operators"]},
        step_noise=case["noise"],
        measured_s=case["measured_s"],
        steady_s=case["at_calibrated_speed_s"],
        others_s=case["unpredicted_s"],
        not_run=case["not_run"],
        steps_s=case["steps_s"],
        flags=case["flags"],
        digest=case["prediction_sha256"],
        **_profiled(case.get("profile")),
        samples=[(seconds, probe) for seconds, probe in case.get("samples_s", ())],
    )


def _profiled(found: Mapping[str, Any] | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {"profile": Profile(found["step_s"], found["operators_s"]), "alone_s": found["alone_s"]}
