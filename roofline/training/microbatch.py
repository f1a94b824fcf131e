"""What a microbatch takes on a device, place by place: its passes, what is made again, its collectives.

Beside them what data parallelism exchanges once for a step or for each microbatch: gradients that are summed up and
split, weights that are gathered, each group's in one message.

Fused attention has constants of training where some were timed, of both passes. Elsewhere its forward pass is
that of a prompt, and its backward pass takes a multiple of it: 5 contractions for 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from roofline.classes import frozen
from roofline.cost.cost import Cost, costs_of, step_cost
from roofline.cost.kernel_shapes import MatmulShape
from roofline.number import Number, added, maximum, product, where
from roofline.parallelism.pipeline import places
from roofline.program.axes import Sizes, rebind, size_of
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.recompute import Recompute
from roofline.program.transfers import bus_bytes
from roofline.program.workload import Precision
from roofline.timing.machine import Machine
from roofline.timing.timing import NOTHING, Timing, banded, total
from roofline.training.causes import CAUSES, cause_of
from roofline.training.kept.narrow import CAST

ATTENTION_TRAINING = "attention_training"
"""The constants of both passes of fused attention."""

ATTENTION_BACKWARD = 2.5
"""Time of fused attention's backward pass as a multiple of its forward pass: that of their FLOPs."""

ATTENTION_BACKWARD_BAND = (0.7, 1.4)
"""How far that may be off, times the band of the forward pass."""

ONE_PASS_BAND = (0.8, 1.2)
"""How far one pass may be off where both were timed together and how they share that is not known, times the band of
both: assumed.
"""

_ADAPTERS = "l"
"""The axis of several adapters, of which training has one."""

PLACES = (0, 1, 2, 3)
"""Before the layers, in them, behind them, handing on."""


@frozen
class Priced:
    """An operator of a pass with what it costs, its place, its cause, and the time of one execution."""

    group: Group
    op: Op
    place: int
    cause: str
    cost: Cost
    timing: Timing


@frozen
class Exchanges:
    """What data parallelism exchanges, by place. ``reduced``: gradients summed up and split over the devices that hold
    the same weights, and summed up between groups of these; ``summed``: these sums brought together; ``gathered``:
    weights brought together of what each of these updates; ``fetched``: all weights that a pass reads, frozen ones too,
    where they rest split."""

    reduced: tuple[Timing, ...]
    summed: tuple[Timing, ...]
    gathered: tuple[Timing, ...]
    fetched: tuple[Timing, ...]


@frozen
class Microbatch:
    """The times of one microbatch on a device, by place. ``exchanges``: those of each way of sharding."""

    forward: tuple[Timing, ...]
    backward: tuple[Timing, ...]
    exchanges: tuple[Exchanges, ...]
    operators: tuple[Priced, ...]
    launch: Timing = NOTHING

    @property
    def weights(self) -> tuple[Timing, ...]:
        """What of the backward pass is for gradients of weights, by place."""
        own = [each for each in self.operators if each.cause == "matmul_weight_gradients"]
        return tuple(total((e.cost.count, e.timing) for e in own if e.place == place) for place in PLACES)

    def again(self, policy: Recompute) -> Timing:
        """What a policy makes again of all layers, with its collectives where whole layers are."""
        forward = [each for each in self.operators if each.place == 1 and _is_forward(each)]
        if policy.name != "full" or policy.runs:
            names = {(each.group.name, op.name) for each in forward for op in policy.again(each.group)}
            names |= policy.runs
            forward = [each for each in forward if (each.group.name, _runs_for(each.op)) in names]
        return _pass(forward, self.launch)

    def causes(self, place: int) -> dict[str, Timing]:
        """The time of a place by cause, in both passes; of the host, what it takes beyond the device."""
        own = [each for each in self.operators if each.place == place]
        found = {
            cause: total((each.cost.count, each.timing) for each in own if each.cause == cause) for cause in CAUSES
        }
        passes = [(1, self.forward[place]), (1, self.backward[place])]
        return found | {"host": total([*passes, *((-1, timing) for timing in found.values())])}


def _runs_for(op: Op) -> str:
    """The operator itself; of a collective, the one that it gathers for, or whose sum it reduces; of a cast, the one
    that wrote what it casts.
    """
    return op.name.partition(".")[0] if op.transfer or op.function == CAST else op.name


def _is_forward(priced: Priced) -> bool:
    return Phase.FORWARD in priced.group.phases


def price_microbatch(
    sharded: Program, sizes: Sizes, precision: Precision, machine: Machine, exchanges: tuple[Exchanges, ...] = (),
    launch: Timing = NOTHING,
) -> Microbatch:  # fmt: skip
    """The times of a microbatch of a sharded training step (ZeRO 1), for numbers or arrays of layouts and sizes.

    ``launch``: what the host takes for each operator: a pass takes no less than all of them.
    """
    weights = _weights_of(sharded)
    found: list[Priced] = []
    for phase in (Phase.FORWARD, Phase.BACKWARD):
        stated = _placed(sharded, phase)
        costs = step_cost(sharded, phase, sizes, precision)
        forward = {(each.group.name, each.op.name): each for each in found}
        for (group, op, place), cost in zip(stated, costs, strict=True):
            if _is_exchange(op, weights):
                continue
            cause = cause_of(op, cost, phase, weights)
            kept = _shaped(op, cost, group, {**sharded.sizes, **sizes}) if cause == "matmul_weight_gradients" else cost
            if cost.kind == "attention":
                timing = _attention(cost, _earlier(op.name, group, forward), machine)
            else:
                timing = machine.time(kept)
            found.append(Priced(group, op, place, cause, kept, timing))
    passes = {
        phase: tuple(_summed(found, phase, place, launch) for place in PLACES)
        for phase in (Phase.FORWARD, Phase.BACKWARD)
    }
    return Microbatch(passes[Phase.FORWARD], passes[Phase.BACKWARD], exchanges, tuple(found), launch)


def _earlier(name: str, group: Group, forward: Mapping[tuple[str, str], Priced]) -> Priced | None:
    """The forward pass of an operator that runs backward: of its own group, else of any that has one of its name."""
    of = name.removesuffix(".backward")
    return forward.get((group.name, of)) or next((each for (_, own), each in forward.items() if own == of), None)


def price_exchanges(
    sharded: Program, sizes: Sizes, precision: Precision, machine: Machine, resting_split: Program | None = None,
    widened: Number = 1,
) -> Exchanges:  # fmt: skip
    """The times of what a sharded training step (ZeRO 1) exchanges of weights and their gradients.

    ``resting_split``: the step under ZeRO 3, where other weights are gathered for it than learn. ``widened``: how many
    times as wide as what is computed in the format is that gradients are summed up in, on the way between devices too:
    Megatron-LM with --bf16 (accumulate_allreduce_grads_in_fp32), torchtitan's mixed_precision_reduce.
    """
    phases, weights = (Phase.FORWARD, Phase.BACKWARD), _weights_of(sharded)
    exchanges = _exchanges_of(sharded, phases, sizes, precision, weights)
    sums = _exchanged(exchanges, machine, widened)
    sent = [each for each in exchanges if _kind(each[0][1]) == "gathered"]
    weights_sent = sums if widened == 1 else _exchanged(sent, machine)
    reduced, summed, gathered = (
        tuple(found.get((kind, place), NOTHING) for place in PLACES[:3])
        for found, kind in ((sums, "reduced"), (sums, "gathered"), (weights_sent, "gathered"))
    )
    if resting_split is None:
        return Exchanges(reduced, summed, gathered, gathered)
    split = _exchanged(_exchanges_of(resting_split, (Phase.FORWARD,), sizes, precision, weights), machine)
    fetched = tuple(split.get(("gathered", place), NOTHING) for place in PLACES[:3])
    return Exchanges(reduced, summed, gathered, fetched)


def _weights_of(sharded: Program) -> frozenset[str]:
    return frozenset(t.name for g in sharded.groups for op in g.ops for t in op.reads if t.role == "weight")


def _placed(sharded: Program, phase: Phase) -> list[tuple[Group, Op, int]]:
    """The operators of a phase with their places, which are those of the forward pass."""
    groups = [group for group in sharded.groups if phase in group.phases]
    found = zip(groups, places(groups), strict=True)
    turned = {0: 2, 1: 1, 2: 0, 3: 3} if phase is Phase.BACKWARD else {place: place for place in PLACES}
    return [(group, op, turned[place]) for group, place in found for op in group.ops]


def _summed(found: Sequence[Priced], phase: Phase, place: int, launch: Timing) -> Timing:
    own = [each for each in found if phase in each.group.phases and each.place == place]
    return _pass(own, launch if place < 3 else NOTHING)


def _pass(own: Sequence[Priced], launch: Timing) -> Timing:
    """Operators one after the other, on the device, or as fast as the host launches them, whichever takes longer."""
    device = total((each.cost.count, each.timing) for each in own)
    if launch is NOTHING or not own:
        return device
    host = launch * added(_launched(each) for each in own)
    longer = maximum(device.time_s, host.time_s)
    return replace(
        device,
        time_s=longer,
        low_s=maximum(device.low_s, host.low_s),
        high_s=maximum(device.high_s, host.high_s),
        latency_s=device.latency_s + longer - device.time_s,
    )


def _launched(priced: Priced) -> Number:
    """How often the host launches an operator; a collective on one device is none."""
    transfer = priced.op.transfer
    return priced.cost.count if transfer is None else priced.cost.count * where(transfer.devices > 1, 1, 0)


def _attention(cost: Cost, forward: Priced | None, machine: Machine) -> Timing:
    """A pass of fused attention; the backward one from the time of its ``forward`` where none was timed.

    It is one kernel: nothing is appended to a cache.
    """
    cost = replace(cost, kernels=None)
    constants = machine.constants_of(cost, ATTENTION_TRAINING)
    if constants != machine.constants_of(cost) or forward is None:
        t, (low, high) = machine.time(cost, ATTENTION_TRAINING), ONE_PASS_BAND
        if constants.corrections.backward_work is not None:
            return t
        return banded(t, low * (t.low_s / t.time_s), high * (t.high_s / t.time_s))
    t = forward.timing * ATTENTION_BACKWARD
    low, high = ATTENTION_BACKWARD_BAND
    return banded(t, low * (t.low_s / t.time_s), high * (t.high_s / t.time_s))


def _shaped(op: Op, cost: Cost, group: Group, sizes: Sizes) -> Cost:
    """A cost with the shape of a weight's gradient, ``w'[D F] = x[B T D] y'[B T F]``, which reads no weight.

    It is one kernel. Those of experts, of which each has its own, and of convolutions keep none.
    """
    if op.kind != "matmul" or any("E" in tensor.letters or "X" in tensor.letters for tensor in op.writes):
        return cost
    bound = rebind(group.sizes(sizes), op.local)
    parts = [part for part in op.parts or (op,) if part.kind == "matmul"]
    first, out = parts[0].reads[0], parts[0].writes[0].letters
    neither = set(out) - {letter for tensor in parts[0].reads[:2] for letter in tensor.letters}
    if neither - {_ADAPTERS}:
        return cost  # the window of a convolution
    rows = product(size_of(x, bound) for x in out if x in first.letters)
    depth = product(size_of(x, bound) for x in first.letters if x not in out)
    columns = added(
        product(size_of(x, bound) for x in part.writes[0].letters if x not in part.reads[0].letters) for part in parts
    )
    return replace(cost, shape=MatmulShape(rows, columns, depth), kernels=None)


# What data parallelism exchanges


def _is_exchange(op: Op, weights: frozenset[str]) -> bool:
    """Whether a collective sums up gradients of weights, or gathers weights."""
    if op.transfer is None:
        return False
    return op.writes[0].gradient_of in weights or op.writes[0].name in weights


def _exchanges_of(
    sharded: Program, phases: Sequence[Phase], sizes: Sizes, precision: Precision, weights: frozenset[str]
) -> list[tuple[tuple[Group, Op, int], Cost]]:
    """The exchanges of some passes, each with its place and what it costs."""
    found: list[tuple[tuple[Group, Op, int], Cost]] = []
    for phase in phases:
        stated = [each for each in _placed(sharded, phase) if _is_exchange(each[1], weights)]
        costs = costs_of([(group, op) for group, op, _ in stated], sharded.sizes, phase, sizes, precision)
        found += zip(stated, costs, strict=True)
    return found


def _exchanged(
    ops: Sequence[tuple[tuple[Group, Op, int], Cost]], machine: Machine, widened: Number = 1
) -> dict[tuple[str, int], Timing]:
    """The time of all exchanges of a place: those of one kind among the same devices in one message for each layer.

    All of it is ``widened`` times as wide as what is computed in.
    """
    messages: dict[tuple[object, ...], list[tuple[str, int, Cost]]] = {}
    for (group, op, place), cost in ops:
        assert op.transfer is not None, "an exchange is a collective"
        kind = _kind(op)
        key = (kind, place, group.name, op.transfer.operation, op.transfer.over)
        messages.setdefault(key, []).append((kind, place, cost))
    found: dict[tuple[str, int], Timing] = {}
    for same in messages.values():
        kind, place, first = same[0]
        together = _together([cost for _, _, cost in same], first, widened)
        found[kind, place] = total([(1, found.get((kind, place), NOTHING)), (first.count, machine.time(together))])
    return found


def _kind(op: Op) -> str:
    return "reduced" if op.writes[0].gradient_of else "gathered"


def _together(costs: Sequence[Cost], first: Cost, wider: Number) -> Cost:
    assert first.transfer is not None, "an exchange is a collective"
    message, moved = (wider * added(getattr(cost, name) for cost in costs) for name in ("message_bytes", "bytes"))
    link = bus_bytes(first.transfer.operation, message, first.transfer.devices)
    return replace(first, message_bytes=message, link_bytes=link, bytes=moved)
