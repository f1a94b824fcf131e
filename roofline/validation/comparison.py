"""Predicted against measured, operator by operator and for the step: what is off, which way, and where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from typing import Any, Literal, Protocol, TypeAlias

from roofline.classes import frozen
from roofline.prediction.figures import Figures, Operator, summed
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.units import format_figures
from roofline.validation.profiles.rules import Share
from roofline.validation.profiling import Profile
from roofline.validation.scores import Pair, Score

LEAST_PART = 0.005
"""Operators below this part of the step are told, but no error of theirs is counted: they are launches and noise."""

IN_STEP = 0.02
"""What a kernel takes longer in the step than alone is told from this part of the step on."""

FAR_FROM_ROOFS = 0.1
"""Below this part of the roof neither FLOP/s nor bandwidth limit an operator."""


ToldBy: TypeAlias = Literal["asked", "kernels", "usual"]
"""Who says which engine a profile is of."""

_BEYOND = 1.2
"""An operator measured this many times as fast as its bound, or more, was not what was predicted; caches give less."""

_NAMED = 3
"""So many of several operators are named."""


@frozen
class OperatorComparison:
    """One operator over all its repeats in a step. ``measured_s`` is None where nothing was measured. [s]"""

    name: str
    kind: str
    count: int
    predicted: Figures
    measured_s: float | None
    noise: float = 0.0
    dram_bytes: float | None = None

    @property
    def error(self) -> float | None:
        """predicted / measured - 1."""
        return self.predicted.time_s / self.measured_s - 1 if self.measured_s else None

    @property
    def achieved(self) -> float | None:
        """The part of its roof that it reached: the bound over the measured time. Above 1: a cache, a wrong count."""
        return self.predicted.bound_s / self.measured_s if self.measured_s else None

    @property
    def regime(self) -> str | None:
        """What its measured time says: latency where it is far from both roofs, else the nearer roof."""
        if self.achieved is None:
            return None
        if self.achieved < FAR_FROM_ROOFS:
            return "latency"
        return "compute" if self.predicted.mfu >= self.predicted.mbu else "memory"

    @property
    def covered(self) -> bool | None:
        """Whether the measured time lies in the band."""
        return self.predicted.low_s <= self.measured_s <= self.predicted.high_s if self.measured_s else None

    def to_dict(self) -> dict[str, Any]:
        """The comparison as results carry it."""
        f = self.predicted
        fields = {
            "name": self.name,
            "kind": self.kind,
            "count": self.count,
            "predicted_s": f.time_s,
            "measured_s": self.measured_s,
            "error": self.error,
            "noise": self.noise,
            "bound_s": f.bound_s,
            "low_s": f.low_s,
            "high_s": f.high_s,
            "bound_by": f.bound_by,
            "measured_regime": self.regime,
            "achieved": self.achieved,
            "flops": float(f.flops),
            "bytes": float(f.bytes),
        }
        return fields | ({"dram_bytes": self.dram_bytes} if self.dram_bytes is not None else {})


@frozen
class Profiled:
    """What a comparison with a profiler's file rests on: its tool, the steps that it holds, what of it is joined.

    ``kernels_s``: all kernels of a step [s]. ``engine``: what the prediction beside it runs under; ``told_by``: who
    says so, the option, the names of kernels, or nobody.
    """

    tool: str
    steps: float
    joined: float
    kernels_s: float
    engine: str
    told_by: ToldBy

    def to_dict(self) -> dict[str, Any]:
        """As results carry it."""
        return asdict(self)


@frozen
class CaseComparison:
    """One step of one phase, whole and by operator. Times in seconds.

    measured_s: the step as the clock had it; steady_s: scaled to the speed that a probe had in the calibration.
    others_s: kernels that no predicted operator claims, by name. digest: of the prediction, taken before. profile: the
    step under the profiler; alone_s: its operators timed by themselves, by torch's names. engine: what the prediction
    runs under.
    """

    model: str
    phase: Phase
    batch: int
    length: int
    predicted: Figures
    operators: tuple[OperatorComparison, ...]
    engine: str
    measured_s: float | None = None
    steady_s: float | None = None
    noise: float = 0.0
    others_s: Mapping[str, float] | None = None
    not_run: Sequence[str] = ()
    steps_s: Mapping[str, float] | None = None
    flags: Sequence[str] = ()
    digest: str = ""
    samples: Sequence[tuple[float, float | None]] = ()
    profile: Profile | None = None
    alone_s: Mapping[str, float] | None = None
    profiled: Profiled | None = None

    @property
    def name(self) -> str:
        """Model, phase, batch and length."""
        return f"{self.model} {self.phase} {self.batch}x{self.length}"

    @property
    def kernels_s(self) -> float:
        """All kernels timed by themselves, those that nobody predicted too."""
        return sum(op.measured_s or 0.0 for op in self.operators) + sum((self.others_s or {}).values())

    @property
    def alone(self) -> float | None:
        """What all kernels by themselves come to, as a part of the step; in a row they find warmer caches."""
        if not self.measured_s or not any(op.measured_s for op in self.operators):
            return None
        return self.kernels_s / self.measured_s

    @property
    def unattributed(self) -> float | None:
        """The part of the step outside every operator: as the profiler saw it, else what kernels alone leave."""
        if self.profile is not None:
            return self.profile.between
        return None if self.alone is None else 1 - self.alone

    def slower_in_step(self) -> list[tuple[str, float, float]]:
        """Torch's operators that take longer in the profiled step than by themselves, by over 2 % of it: both times."""
        if self.profile is None:
            return []
        alone = self.alone_s or {}
        pairs = [(name, seconds, alone.get(name, 0.0)) for name, seconds in self.profile.operators_s.items()]
        found = [pair for pair in pairs if pair[1] - pair[2] > IN_STEP * self.profile.step_s]
        return sorted(found, key=lambda pair: pair[2] - pair[1])

    @property
    def whole_s(self) -> float | None:
        """The step as it is judged by: measured as a whole, else the sum of operators if all were measured."""
        if self.measured_s is not None:
            return self.measured_s
        return self.kernels_s if all(op.measured_s for op in self.operators) else None

    def pairs(self) -> list[Pair]:
        """Predicted and measured of every operator that takes a part of the step worth counting."""
        whole = self.whole_s or self.kernels_s
        return [
            Pair(op.predicted.time_s, op.measured_s, kind=op.kind)
            for op in self.operators
            if op.measured_s and max(op.measured_s, op.predicted.time_s) >= LEAST_PART * whole
        ]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as results carry it."""
        whole = self.whole_s
        return {
            "model": self.model,
            "phase": self.phase,
            "batch": self.batch,
            "length": self.length,
            "engine": self.engine,
            "prediction_sha256": self.digest,
            "predicted_s": self.predicted.time_s,
            "bound_s": self.predicted.bound_s,
            "low_s": self.predicted.low_s,
            "high_s": self.predicted.high_s,
            "measured_s": whole,
            "at_calibrated_speed_s": self.steady_s,
            "error": self.predicted.time_s / whole - 1 if whole else None,
            "noise": self.noise,
            "steps_s": dict(self.steps_s or {}),
            "unattributed": self.unattributed,
            "kernels_alone": self.alone,
            "unpredicted_s": dict(self.others_s or {}),
            "not_run": list(self.not_run),
            "profile": {**self.profile.to_dict(), "alone_s": dict(self.alone_s or {})} if self.profile else None,
            "flags": list(self.flags),
            **({"profiled": self.profiled.to_dict()} if self.profiled else {}),
            "operators": [op.to_dict() for op in self.operators],
            **({"samples_s": [list(pair) for pair in self.samples]} if self.samples else {}),
        }


class Judged(Protocol):
    """A step that was predicted and measured, whole and by operator."""

    @property
    def predicted(self) -> Figures: ...
    @property
    def operators(self) -> tuple[OperatorComparison, ...]: ...
    @property
    def whole_s(self) -> float | None: ...
    @property
    def kernels_s(self) -> float: ...
    def pairs(self) -> list[Pair]: ...


@frozen
class Verdict:
    """What all cases come to: steps, operators, the data sheet beside them, who is off and which way.

    ``beyond``: operators measured well faster than their bound, with the part of it.
    """

    steps: Score | None
    operators: Score | None
    datasheet: Score | None
    regimes: Mapping[str, Score]
    coverage: float | None
    agreement: float | None = None
    beyond: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, cases: Sequence[Judged]) -> Verdict:
        """The verdict of one case or more."""
        judged = [(case.predicted, case.whole_s) for case in cases if case.whole_s]
        steps = [Pair(f.time_s, seconds) for f, seconds in judged if seconds]
        naive = [Pair(f.bound_s, seconds) for f, seconds in judged if seconds and f.bound_s > 0]
        operators = [pair for case in cases for pair in case.pairs()]
        by_regime: dict[str, list[Pair]] = {}
        covered, agreed, beyond = [], [], dict[str, float]()
        for case in cases:
            floor = LEAST_PART * (case.whole_s or case.kernels_s)
            for op in case.operators:
                if op.measured_s and max(op.measured_s, op.predicted.time_s) >= floor:
                    by_regime.setdefault(op.predicted.bound_by, []).append(Pair(op.predicted.time_s, op.measured_s))
                    covered.append(bool(op.covered))
                    agreed.append(op.predicted.bound_by == op.regime)
                    if (op.achieved or 0.0) > _BEYOND:
                        beyond[op.name] = max(op.achieved or 0.0, beyond.get(op.name, 0.0))
        return cls(
            Score.of(steps) if steps else None,
            Score.of(operators) if operators else None,
            Score.of(naive) if naive else None,
            {regime: Score.of(pairs) for regime, pairs in by_regime.items()},
            sum(covered) / len(covered) if covered else None,
            sum(agreed) / len(agreed) if agreed else None,
            beyond,
        )

    @property
    def median_ape(self) -> float:
        """The error that a threshold is held against: of the steps, or of the operators where no step was measured."""
        found = self.steps or self.operators
        return found.median if found else 0.0

    def suspects(self) -> list[str]:
        """Which operators are off together, and what that points at."""
        likely = {
            "memory": "the bandwidth of the device, or bytes counted wrongly",
            "compute": "the peak of the device, or FLOPs counted wrongly",
            "latency": "the latency of a launch",
        }
        found = []
        for regime, score in self.regimes.items():
            if score.n >= 2 and abs(score.bias - 1) > 0.25 and score.median > 0.2:
                way = "slow" if score.bias > 1 else "fast"
                factor = max(score.bias, 1 / score.bias)
                found.append(
                    f"{regime}-bound operators are predicted {format_figures(factor)} x too {way} ({score.n} of them): "
                    f"check {likely.get(regime, 'their constants')}"
                )
        if self.beyond:
            name, part = max(self.beyond.items(), key=lambda item: item[1])
            more = f" and {len(self.beyond) - 1} more" if len(self.beyond) > 1 else ""
            found.append(
                f"{name}{more} measured at {part:.0%} of the roof, faster than the device can: check its peak and its "
                "bandwidth, and that batch, lengths, dtype and layers are those of the measured step"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The verdict as results carry it."""
        named = {"steps": self.steps, "operators": self.operators, "datasheet_steps": self.datasheet}
        return {
            **{name: score.to_dict() for name, score in named.items() if score},
            "regimes": {regime: score.to_dict() for regime, score in self.regimes.items()},
            "band_coverage": self.coverage,
            "regime_agreement": self.agreement,
            "suspects": self.suspects(),
        }


def compare(
    prediction: Prediction,
    phase: Phase,
    batch: int,
    length: int,
    measured: Mapping[str, float],
    *,
    noise: Mapping[str, float] | None = None,
    dram_bytes: Mapping[str, float] | None = None,
    step_noise: float = 0.0,
    **rest: Any,
) -> CaseComparison:
    """A phase of a prediction beside ``measured``, operator -> seconds of all its repeats in one step."""
    whole = prediction.phases[phase]
    operators = tuple(
        OperatorComparison(
            op.name,
            op.kind,
            op.count,
            op.figures,
            measured.get(op.name),
            (noise or {}).get(op.name, 0.0),
            (dram_bytes or {}).get(op.name),
        )
        for op in whole.operators
    )
    name, under = prediction.model.name, _under(prediction)
    return CaseComparison(name, phase, batch, length, whole.figures, operators, under, noise=step_noise, **rest)


def _under(prediction: Prediction) -> str:
    """What a prediction runs under, in words."""
    return f"{prediction.engine.words}{', eager' if prediction.engine.kernels == 'single' else ''}"


def compare_shares(
    prediction: Prediction, phase: Phase, batch: int, length: int, shares: Sequence[Share], **rest: Any
) -> CaseComparison:
    """A phase of a prediction beside shares of one step, of operators that were measured as one.

    Their sum stands in place of the first of them.
    """
    whole = prediction.phases[phase]
    share_of = {name: share for share in shares for name in share.operators}
    operators = tuple(
        _of_share(whole.operators, share_of[op.name])
        if op.name in share_of
        else OperatorComparison(op.name, op.kind, op.count, op.figures, None)
        for op in whole.operators
        if op.name not in share_of or op.name == share_of[op.name].operators[0]
    )
    name, under = prediction.model.name, _under(prediction)
    return CaseComparison(name, phase, batch, length, whole.figures, operators, under, **rest)


def _of_share(operators: Sequence[Operator], share: Share) -> OperatorComparison:
    """Operators that were measured together, as one."""
    own = [op for op in operators if op.name in share.operators]
    short = [op.name for op in own[:_NAMED]] + ([f"{len(own) - _NAMED} more"] if len(own) > _NAMED else [])
    kinds = {op.kind for op in own}
    figures = own[0].figures if len(own) == 1 else summed(op.figures for op in own)
    count = sum(op.count for op in own)
    kind = kinds.pop() if len(kinds) == 1 else "several"
    return OperatorComparison(" + ".join(short), kind, count, figures, share.seconds, dram_bytes=share.dram_bytes)
