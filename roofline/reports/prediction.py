"""Results as people read them: text tables, HTML for notebooks, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from roofline.calibration.constants import ConstantSet
from roofline.cost.memory_fit import MemoryFit
from roofline.number import Number
from roofline.options.option import fields_of
from roofline.options.verbs.predicting import RequestOptions
from roofline.prediction.figures import Figures, PhasePrediction
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase
from roofline.reports.layout import HEADER, cells, layout_lines, link_lines, phase_note
from roofline.reports.overflow import overflow_lines
from roofline.reports.width import aligned
from roofline.units import Dimension, format_figures, format_quantity

Row = Sequence[str]

RESERVED = "reserved is what the engine leaves to the runtime (--reserve)"
UNRESERVED = "without what the runtime takes (--reserve)"

_HEADER = ("operator", "x", "time", "of step", "bound by", "FLOPs", "bytes", "FLOP/B", "at best")
_WIDE_HEADER = (*_HEADER, "kind", "low", "high", "vector FLOPs", "MFU", "MBU", "compute", "memory", "latency")


def quantity(value: Number, dimension: Dimension) -> str:
    """A value with its unit and three significant digits."""
    return format_quantity(float(value), dimension) if value else "0"


def count(value: float) -> str:
    """A pure number with a decimal prefix: parameters, FLOPs.

    >>> count(8030261248), count(0), count(42)
    ('8.03 G', '0', '42')
    """
    text = format_quantity(value, "flops").removesuffix("FLOP").strip()
    return text if value else "0"


def to_json(result: dict[str, Any]) -> str:
    """A result as JSON text; a number that is not finite is a bug, not an output."""
    return json.dumps(result, indent=2, allow_nan=False)


def text(prediction: Prediction, *, wide: bool = False) -> str:
    """The whole report: the verdict, every operator, how sure, and which defaults. ``wide`` adds columns."""
    lines = [*verdict(prediction), ""]
    for name, phase in prediction.phases.items():
        header, rows = (_WIDE_HEADER, wide_rows(phase)) if wide else (_HEADER, operator_rows(phase))
        if prediction.count > 1:
            header, rows = (*header, *HEADER), _with_links(rows, phase)
        lines += [f"{name}, one step: {_shares(phase.figures)}{phase_note(phase)}", *table(header, rows), ""]
    return "\n".join([*lines, *footer(prediction)])


def verdict(prediction: Prediction) -> list[str]:
    """Model and device, whether it fits, then each phase in a line, then the request."""
    model, device = prediction.model, prediction.hardware
    several = f"{prediction.count} x " if prediction.count > 1 else ""
    where = f"{several}{device.title or device.name}{_edits(prediction)}"
    lines = [f"{model.name} ({prediction.parameters:,} parameters) on {where}", *layout_lines(prediction)]
    fit = f"{'each device ' if several else ''}{memory_line(prediction.memory)}"
    needs, *further = overflow_lines(prediction.overflow) or [""]
    lines += ["; ".join(part for part in (fit, needs) if part), *further]
    lines += ["times as if it fitted:"] if prediction.memory.fits is False else []
    lines += [_phase_line(name, phase.figures) for name, phase in prediction.phases.items()]
    rows = [("TTFT", prediction.ttft_s), ("TPOT", prediction.tpot_s)]
    figures = [f"{name} {quantity(value, 'time_s')}" for name, value in rows if value is not None]
    if prediction.workload.context is None:
        bound = "at least " if model.is_lower_bound else ""
        figures.append(f"request {bound}{quantity(prediction.request_s, 'time_s')}")
    return [*lines, f"{'  '.join(figures)}  {_rate(prediction)}", *_component_lines(prediction)]


def _component_lines(prediction: Prediction) -> list[str]:
    """The passes of each network of a generator, and its weights; nothing of any other network."""
    found = [
        f"{each.name} {each.passes} x {quantity(each.pass_s, 'time_s')}"
        + (f" ({quantity(each.weights_bytes, 'bytes')})" if each.weights_bytes else "")
        for each in prediction.components
    ]
    return [f"passes (weights): {', '.join(found)}"] if found else []


_WHOLE = 10
"""Images a second from which their fractions are left out."""


def _rate(prediction: Prediction) -> str:
    """Tokens a second, or whole images where those are what is read."""
    if unit := prediction.model.lengths.unit:
        each_s = prediction.workload.batch / prediction.request_s
        return f"{f'{each_s:,.0f}' if each_s >= _WHOLE else format_figures(each_s)} {unit}/s"
    rate = "generated" if Phase.DECODE in prediction.phases else "input"
    return f"{prediction.tokens_per_s:,.0f} {rate} tokens/s"


def _edits(prediction: Prediction) -> str:
    edits = ", ".join(f"{path} = {value}" for path, value in prediction.overrides)
    words = prediction.compression.words
    return (f", {words}" if words else "") + (f", edited: {edits}" if edits else "")


def memory_line(memory: MemoryFit) -> str:
    """Whether it fits, of what that consists, and what would fit."""
    held = memory.footprint
    parts = (("weights", "weights"), ("KV cache", "kv_cache"), ("state", "state"), ("activations", "activation"))
    sizes = [*((name, getattr(held, f"{field}_bytes")) for name, field in parts), ("reserved", memory.overhead_bytes)]
    contents = ", ".join(f"{name} {quantity(size, 'bytes')}" for name, size in sizes if size)
    total = quantity(memory.total_bytes, "bytes")
    if memory.capacity_bytes is None:
        return f"needs {total} ({contents}); the device's capacity is not stated"
    room = quantity(memory.capacity_bytes, "bytes")
    most = f"largest batch {memory.max_batch:,}"
    if memory.max_context is not None and memory.max_context > 1:  # else it reads no tokens
        most = f"{most}, longest context {memory.max_context:,}"
    answer = "fits" if memory.fits else "DOES NOT FIT"
    return f"{answer}: {total} of {room} ({contents}){f'; {most}' if memory.fits or memory.max_batch else ''}"


def _phase_line(name: str, figures: Figures) -> str:
    low, high = quantity(figures.low_s, "time_s"), quantity(figures.high_s, "time_s")
    largest = getattr(figures.shares, figures.bound_by)
    return (
        f"{name:7} {quantity(figures.time_s, 'time_s'):>8} ({low} to {high})  {figures.bound_by}-bound {largest:.0%}  "
        f"MFU {figures.mfu:.1%}  MBU {figures.mbu:.1%}"
    )


def _shares(figures: Figures) -> str:
    """What the time of a step is made of, the largest part first."""
    shares = (
        ("compute", figures.shares.compute),
        ("memory", figures.shares.memory),
        ("latency", figures.shares.latency),
        *((("link", figures.shares.link),) if figures.link_bytes else ()),
    )
    return ", ".join(f"{part} {share:.0%}" for part, share in sorted(shares, key=lambda s: -s[1]))


def operator_rows(phase: PhasePrediction) -> list[Row]:
    """One row per operator, for all its repeats, and the total."""
    whole = phase.figures.time_s
    rows = [_row(op.name, str(op.count), op.figures, whole) for op in phase.operators]
    return [*rows, _row("total", "", phase.figures, whole)]


def wide_rows(phase: PhasePrediction) -> list[Row]:
    """The same rows with kind, band, elementwise work, utilisation and shares."""
    kinds = [op.kind for op in phase.operators] + [""]
    parts = [op.figures for op in phase.operators] + [phase.figures]
    rows: list[Row] = []
    for row, kind, f in zip(operator_rows(phase), kinds, parts, strict=True):
        band = (quantity(f.low_s, "time_s"), quantity(f.high_s, "time_s"))
        percent = (f.mfu, f.mbu, f.shares.compute, f.shares.memory, f.shares.latency)
        rows.append((*row, kind, *band, count(f.vector_flops), *(f"{share:.1%}" for share in percent)))
    return rows


def _with_links(rows: list[Row], phase: PhasePrediction) -> list[Row]:
    """The rows with what is sent over links, and how."""
    return [(*row, *cells(op, phase)) for row, op in zip(rows, (*phase.operators, None), strict=True)]


def _row(name: str, times: str, figures: Figures, whole: float) -> Row:
    intensity = figures.intensity
    return (
        name,
        times,
        quantity(figures.time_s, "time_s"),
        f"{figures.time_s / whole:.1%}",
        figures.bound_by,
        count(figures.flops),
        quantity(figures.bytes, "bytes"),
        "-" if intensity is None else format_figures(intensity),
        quantity(figures.bound_s, "time_s"),
    )


def table(header: Row, rows: Iterable[Row], *, left: Sequence[int] = (0,)) -> list[str]:
    """Columns as wide as they must be, those of ``left`` left-aligned, the others right; folded in a narrow terminal.

    >>> table(("name", "size"), [("a", "10"), ("bcd", "7")])
    ['name  size', 'a       10', 'bcd      7']
    """
    return aligned([header, *rows], left)


def footer(prediction: Prediction) -> list[str]:
    """How sure, which defaults, what to know."""
    kept = f"memory: {RESERVED if prediction.request.reserved else UNRESERVED}"
    best = f"at best: max(FLOPs / peak, bytes / bandwidth) by the data sheet; {kept}"
    known = [f"note: {note}" for note in prediction.notes]
    return [
        constants_line(prediction.constants, prediction.recipe.timed_dtype),
        *link_lines(prediction.steps.machine.network, halves=bool(prediction.dispatch_hidden)),
        inputs_line(prediction),
        best,
        *known,
    ]


def constants_line(constants: ConstantSet, dtype: str) -> str:
    """Which constants, and how far off they were: matmuls in ``dtype``, where they have a band of their own."""
    if constants.provenance == "datasheet":
        return f"constants: {constants.evidence}"
    whose, low, high, evidence = constants.told_band(dtype)
    band = band_words(low, high, evidence)
    if whose:
        whole = f"{constants.low:.4g} to {constants.high:.4g} x"
        band = f"{whose}: {band}; other kinds have bands of their own, or {whole}"
    return f"constants: {constants.named}; {band}"


def band_words(low: float, high: float, evidence: str) -> str:
    """A band as reports state it: of which part of measurements it tells, as factors of the time, and on what evidence.

    >>> band_words(0.8, 1.25, "of 40 rows not fitted")
    '90 % band 0.8 to 1.25 x expected (of 40 rows not fitted)'
    """
    return f"90 % band {low:.4g} to {high:.4g} x expected ({evidence})"


def inputs_line(prediction: Prediction) -> str:
    """The inputs as they were taken: those that every answer names, and all that are not as usual."""
    w, c, kernels = prediction.workload, prediction.conventions, prediction.constants.kernels
    others = (field for field in fields_of(RequestOptions) if field.name not in _TOLD)
    asked = ((field, prediction.request.asked.get(field.name)) for field in others)
    more = "".join(
        f", {field.name.replace('_', ' ')} {value}" for field, value in asked if value != field.option.default
    )
    if prediction.request.program.anonymous:
        more = f", fusion {c.fusion}{more}"
    return (
        f"inputs: batch {w.batch}, {w.words(prediction.phases)}{_chunks(prediction)}, {prediction.recipe.words}, "
        f"{prediction.engine.words}, attention {kernels.attention}, count {c.count}, LM head {c.lm_head}{more}"
    )


def _chunks(prediction: Prediction) -> str:
    """That the prompts are read in chunks, where they are more than one."""
    several = Phase.PREFILL in prediction.phases and prediction.steps.passes(Phase.PREFILL) > 1
    return f", chunked prefill of {prediction.workload.chunk} tokens" if several else ""


_TOLD = (
    "batch prompt generate context phase dtype weight_dtype activation_dtype kv_dtype state_dtype prune sparsity "
    "count lm_head fusion engine kernels constants set"
).split()
"""Inputs that the sentences of an answer name already."""


def html(prediction: Prediction) -> str:
    """The report for a notebook: no script, no style sheet, nothing fetched."""
    parts = ["<div>", *(f"<p>{_escaped(line)}</p>" for line in verdict(prediction))]
    for name, phase in prediction.phases.items():
        parts += [f"<h4>{name}</h4><table>", _html_row(_HEADER, "th")]
        parts += [*(_html_row(row, "td") for row in operator_rows(phase)), "</table>"]
    return "".join([*parts, *(f"<p><small>{_escaped(line)}</small></p>" for line in footer(prediction)), "</div>"])


def _escaped(text: str) -> str:
    from html import escape  # noqa: PLC0415  (costs start-up only where a notebook asks)

    return escape(text)


def _html_row(row: Row, cell: str) -> str:
    return "<tr>" + "".join(f"<{cell}>{_escaped(value)}</{cell}>" for value in row) + "</tr>"
