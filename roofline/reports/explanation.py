"""Where each number of a prediction comes from: the formula, the numbers put in, the convention, the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from roofline.calibration.constants import ConstantSet
from roofline.calibration.corrections.correction import Correction, constants_of
from roofline.calibration.corrections.registry import Corrections
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.cost.eager_kernels import kernels_of
from roofline.hardware.spec import HardwareSpec
from roofline.number import Number, mean
from roofline.parallelism.layout import Part
from roofline.prediction.predict import Prediction
from roofline.program.axes import Binding
from roofline.program.conventions import STATEMENTS
from roofline.program.op import Op, Tensor, Work
from roofline.program.phases import Phase
from roofline.program.transfers import sent_bytes
from roofline.program.workload import Precision
from roofline.reports.layout import link_lines
from roofline.reports.prediction import band_words, count, quantity
from roofline.timing.collectives import ONCE
from roofline.timing.machine import Machine
from roofline.timing.timing import Timing


@frozen
class Grounds:
    """What the numbers of operators rest on: a device, the machine of so many of it, formats."""

    device: HardwareSpec
    machine: Machine
    precision: Precision


def explain(prediction: Prediction) -> str:
    """Conventions, constants and device facts with their sources, then every operator with its numbers put in."""
    lines = ["conventions", *(f"  {statement}" for statement in STATEMENTS), "", *_facts(prediction)]
    lines += _break_even(prediction)
    for phase in prediction.phases:
        lines += ["", *_phase(prediction, phase)]
    return "\n".join(lines)


def _break_even(prediction: Prediction) -> list[str]:
    sparsity = prediction.compression.sparsity
    if sparsity is None or sparsity.kind == "2:4":
        return []
    from roofline.formulas.break_even import break_even_line  # noqa: PLC0415  (sympy loads only where asked for)

    return [break_even_line(sparsity)]


def _facts(prediction: Prediction) -> Iterator[str]:
    """The machine's numbers that the times divide by, and where they come from."""
    yield from device_lines(prediction.hardware, _dtypes(prediction))
    yield from link_lines(prediction.steps.machine.network, halves=bool(prediction.dispatch_hidden))
    if made := prediction.cache_at_start:
        took = quantity(made.profile_bytes, "bytes")
        run = f"{made.profiled_tokens:,} tokens that samples for {made.profiled_sequences:,} sequences"
        held = f"{made.tokens:,} tokens, {quantity(made.bytes, 'bytes')}" if made.tokens else "none"
        yield (
            f"  KV cache at start = {held}: what the memory share of "
            f"{prediction.engine.title} leaves beside weights and {took} of activations of its profiling run, of {run}"
        )
    yield from constants_lines(prediction.constants)


def device_lines(device: HardwareSpec, dtypes: Iterable[str]) -> Iterator[str]:
    """The bandwidth of a device, and its peaks in formats, with their sources."""
    name, level = next(iter(device.memory.items()))
    source = device.source_of(level, "bandwidth")[0]
    yield f"device {device.name}"
    yield f"  bandwidth = {quantity(device.bandwidth, 'bytes_per_s')} ({name}; {source})"
    for dtype in dict.fromkeys(dtypes):
        unit, rate = device.contraction_unit(dtype)
        source = device.source_of(getattr(device.peak, unit)[dtype], "value")[0]
        yield f"  peak = {quantity(rate, 'flops_per_s')} ({unit} unit, {dtype}, dense; {source})"


def constants_lines(constants: ConstantSet) -> Iterator[str]:
    """Whose constants turn costs into times, and how far they may be off."""
    yield f"constants {constants.named}"
    if constants.calibration is not None:
        yield f"  source: {constants.calibration.source}"
    if constants.sustained:
        kept = ", ".join(f"{share:.3g} in {dtype}" for dtype, share in constants.sustained.items())
        yield f"  under sustained load matmuls reach of what short timings do {kept} (calibrations/published.yaml)"
    yield f"  {band_words(constants.low, constants.high, constants.evidence)}"


def _dtypes(prediction: Prediction) -> Iterator[str]:
    program = prediction.steps.program
    for phase in prediction.phases:
        for _, op in program.in_phase(phase):
            if any(work.unit == "matrix" for work in op.work):
                yield prediction.precision.compute_dtype(op)


def _phase(prediction: Prediction, phase: Phase) -> Iterator[str]:
    program, sizes = prediction.steps.program, prediction.steps.sizes(phase)
    timed = prediction.steps.timed(phase)
    steps = prediction.phases[phase].steps
    letters = {**{k: mean(v) for k, v in sizes.items()}, **program.sizes}
    bound = ", ".join(f"{letter} = {float(size):g}" for letter, size in letters.items())
    yield f"{phase}, one step{f' (means over {steps})' if steps > 1 else ''}, one execution of each operator: {bound}"
    operators = [pair for pair in timed if pair[0].host_s is None]
    grounds = Grounds(prediction.hardware, prediction.steps.machine, prediction.precision)
    for (_, op), (cost, timing) in zip(program.in_phase(phase), operators, strict=True):
        yield from operator_lines(op, cost, timing, grounds)
    for cost, timing in timed:
        if cost.host_s is not None:
            yield from _host(timing, prediction)
    if prediction.count == 1:
        yield ""
        yield from _in_symbols(prediction, phase)


def _host(timing: Timing, prediction: Prediction) -> Iterator[str]:
    """What the host takes between steps."""
    engine = prediction.engine
    step, each = (quantity(seconds, "time_s") for seconds in (engine.host_step, engine.host_request))
    yield f"host: as {engine.words} has it ({engine.source_of('host_step').title})"
    yield "  bytes = 0"
    hidden = ", less the device's time of the step before" if engine.host_ahead else ""
    yield (
        f"  time = {step} a step + {each} a request{hidden}; = {quantity(single(timing.time_s), 'time_s')}, "
        f"band {band(timing)}"
    )


def _in_symbols(prediction: Prediction, phase: Phase) -> Iterator[str]:
    """The whole step in letters: all operators with their repeats."""
    from roofline.formulas.building import build  # noqa: PLC0415  (sympy, only where asked)
    from roofline.formulas.expressions import Quantity  # noqa: PLC0415
    from roofline.formulas.printers import readable  # noqa: PLC0415
    from roofline.formulas.setting import Setting, lengths_in_words  # noqa: PLC0415
    from roofline.formulas.subject import Subject  # noqa: PLC0415

    program = prediction.program
    subject = Subject(prediction.model.name, "", program.groups, program, prediction.model)
    setting = Setting(
        subject, prediction.recipe, prediction.hardware, None, prediction.engine, frozenset(("all",)), {}
    )  # fmt: skip
    names: tuple[Quantity, ...] = ("flops", "bytes", "intensity", "bound", "time")
    names = names[:3] if prediction.hosted_bytes else names  # formulas know nothing of what is copied
    yield f"{phase} in symbols, one step, {lengths_in_words(subject, phase)}"
    for name in names:
        yield f"  {name} = {readable(build(setting, name, phase).expression)}"


def operator_lines(op: Op, cost: Cost, timing: Timing, on: Grounds, name: str = "") -> Iterator[str]:
    """An operator, its counts with numbers put in, its time; ``name`` of constants where they are not its kind's."""
    if op.transfer is not None:
        yield from _collective(op, cost, timing, on)
        return
    constants, device = on.machine.constants_of(cost, name), on.device
    local = ", ".join(f"{letter} = {_bound(value)}" for letter, value in op.local.items() if _bound(value))
    yield f"{op}  x {single(cost.count):g}{f'  with {local}' if local else ''}"
    for label, unit, number in (
        ("FLOPs", "matrix", cost.flops),
        ("vector FLOPs", "vector", cost.vector_flops),
        ("transcendentals", "special", cost.special),
    ):
        terms = [_work(work) for work in op.work if work.unit == unit]
        if terms:
            yield f"  {label} = {' + '.join(terms)} = {count(single(number))}"
    moved = " + ".join(_traffic(tensor, on.precision) for tensor in (*op.reads, *op.writes))
    yield f"  bytes = {moved} = {quantity(single(cost.bytes), 'bytes')}"
    least, copy = "FLOPs / peak, bytes / bandwidth", ""
    if copied := single(cost.hosted_bytes):
        rate = on.machine.host_link or 0.0
        yield (
            f"  copied = {quantity(copied, 'bytes')} of its weights from the host's memory / "
            f"{quantity(rate, 'bytes_per_s')} = {quantity(copied / rate, 'time_s')}"
        )
        least, copy = f"{least}, copied", "; + copied"
    yield f"  at best = max({least}) = {quantity(single(timing.bound_s), 'time_s')}"
    rates = f"bytes / ({constants.memory:g} x {quantity(device.bandwidth, 'bytes_per_s')})"
    if op.work and any(work.unit == "matrix" for work in op.work):
        peak = quantity(device.contraction_unit(cost.dtype)[1], "flops_per_s")
        rates = f"compute: FLOPs / ({constants.compute:g} x {peak}) + vector and special work; memory: {rates}"
    if kernels := _kernels(op, cost, on.machine):
        yield (
            f"  time = the kernels that eager torch runs, one after another: {kernels}{copy}; "
            f"= {quantity(single(timing.time_s), 'time_s')}, band {band(timing)}"
        )
        return
    latency, added = quantity(constants.latency_s, "time_s"), what_kernels_add(constants.corrections)
    yield (
        f"  time = {latency} + (compute^p + memory^p)^(1/p), p = {constants.p:g}; {rates}{added}{copy}; "
        f"= {quantity(single(timing.time_s), 'time_s')}, band {band(timing)}"
    )


def _bound(binding: Binding) -> str:
    """What a letter is bound to, in words: a number, a letter, a device's part of one."""
    if isinstance(binding, Part):
        return f"{_bound(binding.whole) or binding.letter} / {single(binding.degree):g}"
    return "" if callable(binding) else str(binding)


def _collective(op: Op, cost: Cost, timing: Timing, on: Grounds) -> Iterator[str]:
    """What devices exchange: the message, what each sends, the form that is the fastest."""
    assert op.transfer is not None
    (message,) = op.reads or op.writes
    local = ", ".join(f"{letter} = {_bound(value)}" for letter, value in op.local.items() if _bound(value))
    yield f"{op}  x {single(cost.count):g}{f'  with {local}' if local else ''}"
    chosen, (message_bytes, devices) = str(timing.mean().form), map(single, (cost.message_bytes, op.transfer.devices))
    size = quantity(message_bytes, "bytes")
    sent = quantity(sent_bytes(chosen, op.transfer.operation, message_bytes, devices), "bytes")
    each = f"each token for {op.transfer.copies} experts, {chosen}" if chosen == ONCE else f"each device sends {sent}"
    what = f"{op.transfer.operation} over {op.transfer.over} {devices:g}"
    yield f"  {what}: message = {_traffic(message, on.precision)} = {size}; {each}"
    time, bound = (quantity(single(value), "time_s") for value in (timing.time_s, timing.bound_s))
    form = f"{chosen} (roofline/timing/collectives.py)"
    yield f"  time = {form} = {time}, band {band(timing)}; at best {bound}"


def _kernels(op: Op, cost: Cost, machine: Machine) -> str:
    """The kernels of an eager operator by name; nothing where it is one."""
    if not machine.runs_single_kernels(cost):
        return ""
    found = kernels_of(op)
    return ", ".join(kernel.name for kernel in found) if len(found) > 1 else ""


def what_kernels_add(corrections: Corrections) -> str:
    """The corrections of a kind of operator, each by its name and in its words; nothing where there is none."""
    words = [f"{name} ({_in_words(each)})" for name, each in corrections.given().items()]
    return f"; with what kernels add (roofline/calibration/corrections): {', '.join(words)}" if words else ""


def _in_words(correction: Correction) -> str:
    numbers = {each.field: (getattr(correction, each.field), each.unit) for each in constants_of(type(correction))}
    texts = {
        name: quantity(value, unit.dimension) if unit.dimension else f"{value:g}"
        for name, (value, unit) in numbers.items()
    }
    return correction.explained.format(**texts)


def band(timing: Timing) -> str:
    """Both ends of a time."""
    low, high = single(timing.low_s), single(timing.high_s)
    return f"{quantity(low, 'time_s')} to {quantity(high, 'time_s')}"


def _work(work: Work) -> str:
    """A count in words: its factor, its axes, and the attended pairs in place of T S under a mask."""
    if work.formula is not None:
        return f"{work.per_element} x the operator's own formula"
    masked = work.pairs is not None and {"T", "S"} <= set(work.axes)
    letters = [axis for axis in work.axes if not (masked and axis in "TS")]
    factor = [str(work.per_element)] if work.per_element != 1 else []
    return " ".join([*factor, *letters, *(["(attended pairs)"] if masked else [])])


def _traffic(tensor: Tensor, precision: Precision) -> str:
    return f"{float(precision.width(tensor)):g} {tensor.axes}"


def single(number: Number) -> float:
    """A number; of several, which are steps of a request, their mean."""
    return float(np.mean(number)) if isinstance(number, np.ndarray) else float(mean(number))
