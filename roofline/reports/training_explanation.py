"""Where each number of a training step comes from: every byte that a device holds, every operator, the step of them."""

from __future__ import annotations

from collections.abc import Iterator

from roofline.cost.residency import FloatWidths
from roofline.cost.saved_bytes import of_tensor
from roofline.parallelism.sharded_saved import lying
from roofline.program.phases import Phase
from roofline.program.saved import Saved
from roofline.reports.explanation import Grounds, band, constants_lines, device_lines, operator_lines, single
from roofline.reports.layout import link_lines
from roofline.reports.prediction import quantity
from roofline.training.activations import dispatched
from roofline.training.memory import sharded_step
from roofline.training.microbatch import ATTENTION_BACKWARD, ATTENTION_TRAINING, Priced
from roofline.training.resting import LocalWeight
from roofline.training.step import TrainingStep

_PLACES = ("before the layers", "in all layers", "behind the layers")


def explain_training(step: TrainingStep) -> str:
    """Recipe, optimizer and device with their sources, each byte, and, where it fits, each operator and the step."""
    lines = [*_facts(step), "", *_resting(step), "", *_saved(step), "", *_stairs(step), *_stages(step)]
    if step.fits is not False:
        lines += ["", *_step(step), "", *_operators(step)]
    return "\n".join(lines)


def _facts(step: TrainingStep) -> Iterator[str]:
    q, recipe = step.question, step.question.recipe
    yield from device_lines(q.request.device, [recipe.computes])
    yield from link_lines(step.steps.machine.network)
    yield from constants_lines(q.request.constants)
    master = f", a master copy in {recipe.master}" if recipe.master else ""
    kept = f"weights in {recipe.weights}{master}, gradients in {recipe.gradients}"
    yield f"recipe {recipe.name}: computes in {recipe.computes}, {kept} ({recipe.source})"
    states = ", ".join(f"{state.name} ({state.form})" for state in q.optimizer.states) or "none"
    yield f"optimizer {q.optimizer.name}: states {states}; {q.optimizer.flops} FLOPs an element ({q.optimizer.source})"
    if q.learning.note:
        yield f"learns: {q.learning.note}"


# Memory


def _resting(step: TrainingStep) -> Iterator[str]:
    """Weights by what they share: how many elements a device has, over how many devices each part is split."""
    sharding, rest = step.choice.sharding, step.steps.memory.resting
    yield f"at rest on a device, {sharding.words}: elements x bytes, over all stages"
    for place in range(3):
        alike: dict[tuple[float, bool, bool, float | None], list[LocalWeight]] = {}
        for weight in (each for each in sharding.of(step.steps.memory.weights) if each.place == place):
            width = None if weight.width is None else single(weight.width)
            alike.setdefault((single(weight.replicas), weight.trained, weight.matrix, width), []).append(weight)
        for (replicas, trained, matrix, _), several in alike.items():
            elements = sum(single(weight.elements) for weight in several)
            measures = (rest.weight_bytes, rest.gradient_bytes, rest.state_bytes)
            held = [single(measure(several, sharding.zero, place)) for measure in measures]
            named = zip(("weights", "gradients", "states and master"), held, strict=True)
            told = ", ".join(f"{name} {quantity(size, 'bytes')}" for name, size in named)
            what = f"{'matrices' if matrix else 'tables, vectors, heads'}{'' if trained else ', frozen'}"
            yield f"  {_PLACES[place]}, {what}: {elements:,.0f} elements, alike on {replicas:g} devices: {told}"


def _saved(step: TrainingStep) -> Iterator[str]:
    """Each tensor that one microbatch leaves for the backward pass."""
    q, choice, memory = step.question, step.choice, step.steps.memory
    where, widths = lying(q.network.forward, choice.layout), FloatWidths(q.recipe.precision)
    sizes = {**q.network.program.sizes, **{x: single(size) for x, size in memory.sizes.items()}}
    yield f"saved by a microbatch of {choice.microbatch} on a device, recompute {choice.policy.words}, over all stages"
    for each in q.network.saved(choice.policy):
        size = single(of_tensor(each, sizes, widths, where))
        yield f"  {_tensor(each, widths)}: {quantity(size, 'bytes')}, written by {each.op.name}"
    if choice.policy.name == "full":
        return
    for group, op, of_layer in dispatched(q.network, sharded_step(q, choice.layout), sizes, widths):
        if size := single(of_layer * group.times(sizes)):
            named = f"{group.name}: {op.reads[0].name} as experts were sent it"
            yield f"  {named}: {quantity(size, 'bytes')}, written by {op.name}"


def _tensor(saved: Saved, widths: FloatWidths) -> str:
    group, tensor = saved.group, saved.tensor
    times = f" x {group.repeat}" if group.repeat != 1 else ""
    return f"{group.name}: {tensor.name}[{tensor.axes}] x {widths.width(tensor):g} B{times}"


def _stairs(step: TrainingStep) -> Iterator[str]:
    """What may be dropped of a layer, from the fastest to the smallest."""
    if step.staircase is None:
        return
    yield f"recompute: {step.staircase.words}; of one microbatch over all layers"
    for stair in step.staircase.stairs:
        saved, again = quantity(stair.saved_bytes, "bytes"), quantity(stair.again_s, "time_s")
        yield f"  {saved} saved, {again} made again: {stair.policy.words}"
    yield ""


def _stages(step: TrainingStep) -> Iterator[str]:
    """What of it each stage holds at its fullest."""
    m, layout, schedule = step.microbatches, step.choice.layout, step.question.schedule
    for number, (name, held) in enumerate(step.memory.items()):
        stage = (0, 1, layout.pp - 1)[number if len(step.memory) == 3 else number * 2]
        flight = single(schedule.in_flight(stage, layout.pp, m))
        saved = f"{quantity(held.saved, 'bytes')} are saved of {flight:.4g} microbatches in flight ({schedule.words})"
        whole = quantity(held.total, "bytes")
        yield f"the {name} stage: {whole} at its fullest, of which {saved}"
    yield f"the {step.fullest} stage is fullest {step.peak}"


# Time


def _step(step: TrainingStep) -> Iterator[str]:
    parts, m = step.parts, step.microbatches
    slowest = float(parts.stages.time_s) / m
    yield "a step = m slowest stage + sends + bubble + exposed communication + update"
    told = [f"{m} x {quantity(slowest, 'time_s')}"]
    told += [quantity(each.time_s, "time_s") for each in (parts.sends, parts.bubble, parts.exchanges, parts.update)]
    yield f"  = {' + '.join(told)} = {quantity(parts.whole.time_s, 'time_s')}, band {band(parts.whole)}"
    tokens, whole, peak = step.question.tokens, float(parts.whole.time_s), step.peak_flops_per_s
    yield f"  tokens/s = {tokens:,} / {quantity(whole, 'time_s')} = {step.tokens_per_s:,.0f}"
    flops, rate = quantity(step.flops, "flops"), quantity(peak, "flops_per_s")
    yield f"  MFU = {flops} / ({rate} x {quantity(whole, 'time_s')}) = {step.mfu:.1%}"


def _operators(step: TrainingStep) -> Iterator[str]:
    """Each operator of both passes of a microbatch."""
    q, memory = step.question, step.steps.memory
    grounds = Grounds(q.request.device, step.steps.machine, q.recipe.precision)
    letters = {**q.network.program.sizes, **memory.sizes}
    bound = ", ".join(f"{letter} = {single(size):g}" for letter, size in letters.items())
    yield f"a microbatch on a device, one execution of each operator: {bound}"
    for phase in (Phase.FORWARD, Phase.BACKWARD):
        yield f"{phase} pass"
        for each in (one for one in step.steps.passes.operators if phase in one.group.phases):
            yield from _operator(each, grounds)


def _operator(priced: Priced, grounds: Grounds) -> Iterator[str]:
    named = ATTENTION_TRAINING if priced.cost.kind == "attention" else ""
    timing = priced.timing.each(single)
    yield from operator_lines(priced.op, priced.cost, timing, grounds, named)
    if priced.cause == "attention_backward" and not _timed(priced, grounds):
        yield f"  which is {ATTENTION_BACKWARD:g} x its forward pass, as its FLOPs are: no backward pass was timed"


def _timed(priced: Priced, grounds: Grounds) -> bool:
    machine = grounds.machine
    return machine.constants_of(priced.cost, ATTENTION_TRAINING) != machine.constants_of(priced.cost)
