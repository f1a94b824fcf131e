"""A validation as people read it: the verdict, the steps, the operators, what was not predicted, where to look."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from roofline.reports.prediction import quantity, table
from roofline.validation.comparison import LEAST_PART, CaseComparison, OperatorComparison, Verdict
from roofline.validation.scores import Score
from roofline.validation.training.comparison import Compared, TrainingComparison


def validation_text(cases: Sequence[CaseComparison], verdict: Verdict, *, wide: bool = False) -> str:
    """Everything: verdict first, then each case with its operators."""
    lines = [*_verdict(verdict), ""]
    for case in cases:
        lines += [*_case(case, wide), ""]
    return "\n".join(lines).rstrip()


def trained_text(steps: Sequence[TrainingComparison], verdict: Verdict) -> str:
    """Training steps as people read them: verdict, passes, memory, operators."""
    lines = [*_verdict(verdict), ""]
    for step in steps:
        lines += [*_trained(step), ""]
    return "\n".join(lines).rstrip()


def _trained(step: TrainingComparison) -> Iterator[str]:
    low, high = (quantity(each, "time_s") for each in (step.predicted.low_s, step.predicted.high_s))
    noise = f"{step.error:+.1%}; noise {step.measured.step.noise:.1%}"
    yield (
        f"{step.name}: predicted {quantity(step.predicted.time_s, 'time_s')} ({low} to {high}), measured "
        f"{quantity(step.whole_s, 'time_s')} ({noise})"
    )
    rows = [(name, *_both(each, "time_s")) for name, each in step.passes.items()]
    rows += [(name.replace("_", " "), *_both(each, "bytes")) for name, each in step.memory.items()]
    yield from table(("", "predicted", "measured", "off"), rows)
    yield ""
    header = ("operator", "x", "predicted", "measured", "off", "of roof", "bound by", "in band")
    rows_of_operators = [_row(op, counted=False) for op in step.operators]
    yield from table(header, [(*row[:5], *row[6:]) for row in rows_of_operators])  # medians in the step have no noise
    if step.others_s:
        yield _unpredicted(step.others_s, [op.name for op in step.operators])
    if step.not_run:
        yield f"predicted, did not run: {', '.join(step.not_run)}"
    for flag in step.flags:
        yield f"flag: {flag}"


def _both(pair: Compared, unit: Literal["time_s", "bytes"]) -> tuple[str, str, str]:
    measured = "-" if pair.measured is None else quantity(pair.measured, unit)
    return quantity(pair.predicted, unit), measured, "-" if pair.error is None else f"{pair.error:+.1%}"


def _unpredicted(others_s: Mapping[str, float], predicted: Sequence[str]) -> str:
    listed = sorted(others_s.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {quantity(seconds, 'time_s')}{_near(name, predicted)}" for name, seconds in listed[:8])
    return f"measured, not predicted: {shown}{f' and {len(listed) - 8} more' if len(listed) > 8 else ''}"


def _near(name: str, predicted: Sequence[str]) -> str:
    """The predicted operator whose name a misspelt one begins, or is like; empty for a kernel's."""
    if not name.isidentifier():
        return ""
    begun = [each for each in predicted if each.startswith(name)]
    close = begun or difflib.get_close_matches(name, predicted, n=1, cutoff=0.75)
    return f" (did you mean {close[0]}?)" if close else ""


def _verdict(verdict: Verdict) -> Iterator[str]:
    for name, score in (("steps", verdict.steps), ("operators", verdict.operators)):
        if score:
            yield f"{name:10} {_score(score)}"
    if verdict.datasheet:
        yield f"{'data sheet':10} {_score(verdict.datasheet)}  (steps, max of FLOPs / peak and bytes / bandwidth)"
    for regime, score in sorted(verdict.regimes.items()):
        yield f"{regime:10} {_score(score)}"
    if verdict.coverage is not None:
        agreed = f"; bound as predicted: {verdict.agreement:.0%} of them"
        counted = f"operators of {LEAST_PART:.1%} of the step or more"
        yield f"band       {verdict.coverage:.0%} of {counted} lie in their 90 % band{agreed}"
    for line in verdict.suspects():
        yield f"look at    {line}"


def _score(score: Score) -> str:
    ordered = f", order {score.order:.0%}" if score.n > 2 else ""
    return (
        f"median APE {score.median:.1%}, p90 {score.p90:.1%}, mean {score.mean:.1%}, bias {score.bias:.2f} x"
        f"{ordered}, n {score.n}"
    )


def _case(case: CaseComparison, wide: bool) -> Iterator[str]:
    yield _step(case)
    if found := case.profiled:
        told = {"asked": "as asked", "kernels": "as names of kernels tell", "usual": "no kernel's name tells another"}
        yield (
            f"{found.tool}: kernels of a step {quantity(found.kernels_s, 'time_s')}, the mean of {found.steps:g}; "
            f"{found.joined:.0%} of their time is joined to operators; predicted under {found.engine}, "
            f"{told[found.told_by]}"
        )
    else:
        yield f"predicted under {case.engine}"
    if any(op.measured_s for op in case.operators):
        header = ("operator", "x", "predicted", "measured", "off", "noise", "of roof", "bound by", "in band")
        more = ("bytes", "DRAM bytes") if wide or any(op.dram_bytes for op in case.operators) else ()
        timed = [op for op in case.operators if op.measured_s]
        yield from table((*header, *more), [_row(op, bool(more)) for op in timed])
        if absent := [op.name for op in case.operators if not op.measured_s and op.name not in case.not_run]:
            yield f"predicted, not measured: {', '.join(absent)}"
    if case.others_s:
        yield _unpredicted(case.others_s, [op.name for op in case.operators])
    if case.not_run:
        yield f"predicted, did not run: {', '.join(case.not_run)}"
    if case.unattributed is not None:
        passes = "passes between operators, in the Python of the modules"
        where = passes if case.profile else "that no kernel accounts for"
        yield f"unattributed: {case.unattributed:.1%} of the step {where}"
    if case.alone is not None:
        yield f"operators timed by themselves sum to {case.alone:.0%} of the step"
    for name, within, alone in case.slower_in_step():
        times = f"{quantity(within, 'time_s')} in the profiled step, {quantity(alone, 'time_s')} by itself"
        yield f"{name}: {times}"
    for flag in case.flags:
        yield f"flag: {flag}"


def _step(case: CaseComparison) -> str:
    predicted = f"{case.name}: predicted {quantity(case.predicted.time_s, 'time_s')}"
    whole = case.whole_s
    if whole is None:
        return f"{predicted}; the step was not measured"
    off = case.predicted.time_s / whole - 1
    noise = f"; noise {case.noise:.1%}" if case.noise else ""
    text = f"{predicted}, measured {quantity(whole, 'time_s')} ({off:+.1%}{noise})"
    if case.steady_s and abs(case.steady_s / whole - 1) > 0.005:
        text += f"; {quantity(case.steady_s, 'time_s')} if all of it scaled with the core's speed since the calibration"
    others = {how: s for how, s in (case.steps_s or {}).items() if how != "eager"}
    return text + "".join(f"; {how} {quantity(seconds, 'time_s')}" for how, seconds in others.items())


def _row(op: OperatorComparison, counted: bool) -> tuple[str, ...]:
    measured = quantity(op.measured_s, "time_s") if op.measured_s else "-"
    off = "-" if op.error is None else f"{op.error:+.0%}"
    roof = "-" if op.achieved is None else f"{op.achieved:.0%}"
    row = (
        op.name,
        str(op.count),
        quantity(op.predicted.time_s, "time_s"),
        measured,
        off,
        f"{op.noise:.0%}" if op.noise else "-",
        roof,
        op.predicted.bound_by,
        {True: "yes", False: "no", None: "-"}[op.covered],
    )
    if not counted:
        return row
    drawn = quantity(op.dram_bytes, "bytes") if op.dram_bytes else "-"
    return (*row, quantity(float(op.predicted.bytes), "bytes"), drawn)
