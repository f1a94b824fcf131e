"""Training as people read it: fits or not, time with a band, the layout; memory and time by cause; days and money."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from roofline.buying.training_costs import DAY, Run, Training, TrainingRow
from roofline.reports.prediction import Row, constants_line, quantity, table
from roofline.reports.width import html_of
from roofline.training.memory import MemoryByCause
from roofline.training.step import TrainingStep
from roofline.units import format_figures, format_quantity

_TIME_WORDS = {
    "matmul_forward": "matmuls, forward", "matmul_input_gradients": "matmuls, gradients of inputs",
    "matmul_weight_gradients": "matmuls, gradients of weights", "attention_forward": "attention, forward",
    "attention_backward": "attention, backward", "widened": "frozen weights dequantised", "casts": "casts to fp8",
    "other": "norms, activations, embeddings", "loss": "loss",
    "recompute": "recomputation", "tensor_parallel": "tensor parallel communication",
    "context_parallel": "context parallel communication", "expert_parallel": "expert parallel communication",
    "host": "waiting for the host",
    "bubble": "pipeline bubble", "sends": "sends between stages",
    "data_parallel": "data parallel communication, exposed",
    "optimizer": "optimizer",
}  # fmt: skip
_MEMORY_WORDS = {
    "weights": "weights", "gradients": "gradients", "optimizer": "optimizer states", "saved": "saved activations",
    "working": "backward pass", "gathered": "gathered weights",
}  # fmt: skip


def training_text(found: Training, *, quiet: bool = False, wide: bool = False) -> str:
    """The whole answer; ``quiet``: the verdict alone; ``wide``: memory of all stages, details of all hardware."""
    several = len(found.rows) > 1
    lines = _table(found) if several else []
    for row in found.rows:
        if row.step is None:
            lines += [f"{row.hardware}: {row.problem}"]
        elif not several or (wide and not quiet):
            lines += [""] * several + _verdict(found, row, row.step)
            lines += [] if quiet else _details(row.step)
        elif row.step.fits is False:
            lines += [f"{row.hardware}: does not fit{_remedies(row.step)}"]
    if found.days is not None and not found.qualifies:
        lines += [f"no number of devices that was tried trains this in {found.days:g} days"]
    first = next((row.step for row in found.rows if row.step), None)
    return "\n".join([*lines, *([] if quiet or first is None else ["", *_footer(first)])])


def training_html(found: Training) -> str:
    """The whole answer for a notebook."""
    return html_of(lambda: training_text(found))


def _table(found: Training) -> list[str]:
    header = ("training", "fits", "memory", "step", "band", "tokens/s", "MFU", "days", "USD", "layout")
    rows: list[Row] = []
    for row in found.rows:
        step = row.step
        if step is None:
            rows.append((row.hardware, *("-",) * 9))
            continue
        memory = quantity(step.memory[step.fullest].total, "bytes")
        fits = "?" if step.fits is None else "yes" if step.fits else "no"
        timed = ("-",) * 4
        if step.fits is not False:
            t = step.timing
            ends = f"{quantity(t.low_s, 'time_s')} to {quantity(t.high_s, 'time_s')}"
            timed = (quantity(t.time_s, "time_s"), ends, f"{step.tokens_per_s:,.0f}", f"{step.mfu:.0%}")
        run = row.run
        costs = (run.days, run.usd) if run else (None, None)
        money = tuple("-" if each is None else format_figures(each) for each in costs)
        rows.append((row.hardware, fits, memory, *timed, *money, step.choice.words))
    return table(header, rows)


def _verdict(found: Training, row: TrainingRow, step: TrainingStep) -> list[str]:
    """Fits or not, and what would make it; the time of a step; the run; the choice and the next."""
    q = step.question
    device = q.request.device
    several = f"{step.devices} x " if step.devices > 1 else ""
    what = (
        f"{found.model.name} ({found.model.parameters:,} parameters) trained on {several}{device.title or device.name}"
    )
    packed = f", {len(q.documents):,} documents in each" if len(q.documents) > 1 else ""
    unit = q.request.model.lengths.unit
    target = f" and {q.target:,} of a target" if q.target is not None else ""
    lengths = f"{q.batch:,} {unit}" if unit else f"{q.batch:,} sequences of {q.sequence:,} tokens{packed}{target}"
    asked = f"{lengths} a step{'' if unit else f' ({q.tokens:,})'}, {q.recipe.name}, {q.optimizer.name}"
    learning = ["text alone: its towers are left out"] if q.text_alone else []
    learning += [f"{q.network.learning_parameters:,} parameters learn: {q.learning.note}"] if q.learning.note else []
    lines = [what, asked, *learning, _memory_line(step), *(_time_lines(step) if step.fits is not False else [])]
    lines += _run_lines(row.run) if row.run else []
    choice = f"choice: {step.choice.words}; the best of {step.tried:,} ({step.fitting:,} fit)"
    if step.runner_up:
        of = "memory" if step.fits is False else "time"
        choice += f"; next: {step.runner_up.words}, {step.ratio:.2f} x the {of}"
    return [*lines, choice]


def _memory_line(step: TrainingStep) -> str:
    total = format_quantity(step.memory[step.fullest].total, "bytes")
    stage = f" on the {step.fullest} stage" if step.choice.layout.pp > 1 else ""
    if step.room_bytes is None:
        return f"needs {total} a device{stage}; its memory is not known"
    host, held = step.question.host, format_quantity(step.host_bytes, "bytes")
    if host is not None and step.host_bytes > host.bytes:
        whole = format_quantity(host.bytes, "bytes")
        return (
            f"DOES NOT FIT: {held} of optimizer states, {whole} of the host's memory for each device; give more devices"
        )
    verdict = "fits" if step.fits else "DOES NOT FIT"
    room = format_quantity(step.room_bytes, "bytes")
    line = f"{verdict}: {total} of {room} that the runtime leaves a device{stage}, at its peak {step.peak}"
    line += f"; optimizer states, {held}, in the host's memory, {host.words}" if host is not None else ""
    return line if step.fits else line + _remedies(step)


def _remedies(step: TrainingStep) -> str:
    changes = [f"{each.words} ({each.flags})" for each in step.remedies]
    return f"; fits with {', or '.join(changes)}" if changes else "; no single change that was tried makes it fit"


def _time_lines(step: TrainingStep) -> list[str]:
    t = step.timing
    ends = f"{quantity(t.low_s, 'time_s')} to {quantity(t.high_s, 'time_s')}"
    unit = step.question.request.model.lengths.unit  # a batch counts these, and not their tokens
    per_s = step.question.batch / float(t.time_s) if unit else step.tokens_per_s
    rate = f"{per_s:,.0f} {unit or 'tokens'}/s, {per_s / step.devices:,.0f} a device"
    hfu = f", HFU {step.hfu:.1%}" if step.choice.policy.name != "none" else ""
    return [f"step {quantity(t.time_s, 'time_s')} ({ends}): {rate}; MFU {step.mfu:.1%}{hfu}"]


_SHORT = 0.01
"""Days below which a run is told in seconds."""


def _run_lines(run: Run) -> list[str]:
    took = _lasting(run.days, run.days * run.low, run.days * run.high)
    line = f"{format_quantity(run.tokens, 'tokens')}: {took}, {format_figures(run.device_hours)} device-hours"
    if run.usd is None or run.offer is None:
        return [line, run.problem]
    return [f"{line}, {format_figures(run.usd)} USD", run.offer.words()]


def _lasting(days: float, low: float, high: float) -> str:
    """A run's time and its band, in days, or in hours or seconds where it is short."""
    if days < _SHORT:
        told = [quantity(each * DAY, "time_s") for each in (days, low, high)]
        return f"{told[0]} ({told[1]} to {told[2]})"
    unit, scale = ("days", 1) if days >= 1 else ("hours", 24)
    told = [format_figures(each * scale) for each in (days, low, high)]
    return f"{told[0]} {unit} ({told[1]} to {told[2]})"


def _details(step: TrainingStep) -> list[str]:
    """Memory by cause, stage by stage, and, where it fits, time by cause."""
    stages = step.memory
    names = [field.name for field in fields(MemoryByCause)]
    header = ("memory of a device", *(stages if len(stages) > 1 else ["bytes"]))
    rows: list[Row] = [
        (_MEMORY_WORDS[name], *(quantity(getattr(stage, name), "bytes") for stage in stages.values()))
        for name in names
        if any(getattr(stage, name) for stage in stages.values())
    ]
    rows.append(("total", *(quantity(stage.total, "bytes") for stage in stages.values())))
    lines = ["", *table(header, rows)]
    if step.fits is False:
        return lines
    whole = float(step.timing.time_s)
    timed: list[Row] = [
        (_TIME_WORDS[cause], quantity(seconds, "time_s"), f"{seconds / whole:.1%}")
        for cause, seconds in step.causes.items()
    ]
    several = f", {step.microbatches} microbatches" if step.microbatches > 1 else ""
    return [*lines, "", *table((f"time of a step{several}", "time", "of step"), timed)]


def _footer(step: TrainingStep) -> list[str]:
    q = step.question
    return [
        constants_line(q.request.constants, "fp8" if q.recipe.narrow else q.recipe.computes),
        f"engine {q.request.engine.words}, attention {_attention(step)}, schedule {q.schedule.words}",
        f"gradients add up in {q.recipe.gradients}; states: {q.optimizer.source}",
        f"MFU counts the model's FLOPs against the peak in {q.recipe.computes}, HFU recomputed ones too; without "
        "writing checkpoints, without failures",
    ]


def _attention(step: TrainingStep) -> str:
    """Whose kernels attend, or that scores are written out."""
    request = step.question.request
    return request.asked["kernels"] or request.engine.attention_on(request.device.words)


def training_rows(found: Training) -> list[dict[str, Any]]:
    """A row per hardware for files."""
    rows = []
    for row in found.rows:
        step, run = row.step, row.run
        fits = step is not None and step.fits is not False
        rows.append({
            "hardware": row.hardware, "devices": step.devices if step else None, "fits": step.fits if step else None,
            "choice": step.choice.words if step else None,
            "memory_bytes": step.memory[step.fullest].total if step else None,
            "time_s": float(step.timing.time_s) if step and fits else None,
            "low_s": float(step.timing.low_s) if step and fits else None,
            "high_s": float(step.timing.high_s) if step and fits else None,
            "tokens_per_s": step.tokens_per_s if step and fits else None, "mfu": step.mfu if step and fits else None,
            "days": run.days if run else None, "device_hours": run.device_hours if run else None,
            "usd": run.usd if run else None, "problem": row.problem or None,
        })  # fmt: skip
    return rows
