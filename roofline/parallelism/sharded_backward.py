"""A training step on one device among many: the forward and the backward pass with their collectives.

Activations are kept as they were written, sums reduced: what was gathered forward is gathered again backward. A
weight's gradient is contracted over the batch and the tokens, so that it is a partial sum over the devices that share
these: data parallelism's all-reduce follows, and that of sequence and context parallelism. Under ZeRO weights,
gradients or optimizer states rest split, and what is used whole is gathered. Under hybrid sharding they rest split
within groups of replicas: gradients are scattered within a group and summed up between groups.

Source: Megatron-LM (arXiv 1909.08053), section 3; Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2; ZeRO,
Rajbhandari et al. 2020 (arXiv 1910.02054), section 7; PyTorch FSDP, Zhao et al. 2023 (arXiv 2304.11277), section 3.2.2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from roofline.errors import UsageError
from roofline.parallelism.dimensions import Degree
from roofline.parallelism.layout import TENSOR, Dims, Layout, Mesh, Part, is_expert
from roofline.parallelism.sharding import ROUTED, Flow, State, experts_of_a_token, read_first, sends
from roofline.program.axes import Binding
from roofline.program.backward import gradient
from roofline.program.op import Op, Tensor, Work, collective
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.recompute import streams_of
from roofline.program.transfers import Transfer

REPLICAS: Dims = frozenset(("dp_e", "dp_r", "cp"))
"""Over what ZeRO spreads what rests: the devices that hold the same weights, of one group of replicas."""


def shard_training(step: Program, layout: Layout, *, zero: int = 0, replicate: Degree = 1) -> Program:
    """The training step of one device of each pipeline stage: what ``training_program`` gives, with all collectives.

    ``zero``: 0 keeps everything on each replica, 1 splits optimizer states, 2 gradients too, 3 weights too (FSDP).
    ``replicate``: into how many groups replicas come apart, of which each holds all (HSDP); it divides the replicas.
    Sizes are those of the whole, but for B, which is that of a replica. Raises UsageError for another ``zero``.
    """
    if zero not in (0, 1, 2, 3):
        msg = f"zero {zero!r}: expected 0, 1, 2 or 3"
        raise UsageError(msg)
    groups = [group for group in step.groups if Phase.FORWARD in group.phases]
    copies, kept = experts_of_a_token(step), dict[str, list[State]]()
    forward = Flow(Mesh(layout, Phase.FORWARD, groups=replicate), copies=copies)
    unnamed = step.anonymous
    sharded = [
        _forward(forward, group, groups[place + 1 :], kept, zero, unnamed=unnamed) for place, group in enumerate(groups)
    ]
    handed = [_handed(group, groups, forward.mesh) for group in sends(groups, layout, forward)]
    walk = _Backward(
        Flow(Mesh(layout, Phase.BACKWARD, groups=replicate), copies=copies),
        kept,
        {gradient(tensor).name for _, _, tensor in step.weights()},
        zero,
        unnamed,
    )
    passes = [group for group in step.groups if Phase.BACKWARD in group.phases]
    back = [walk.run(group, passes[place + 1 :]) for place, group in enumerate(passes)]
    returned = [replace(group, ops=tuple(map(_returned, group.ops)), phases=(Phase.BACKWARD,)) for group in handed]
    return Program((*sharded, *handed, *back, *returned), step.sizes)


def _forward(
    flow: Flow, group: Group, later: Sequence[Group], kept: dict[str, list[State]], zero: int, *, unnamed: bool
) -> Group:
    """A group's forward pass; ``kept`` says how each tensor lies then: as written and as exchanged, not as gathered."""
    flow.ops = []
    if zero == 3:
        _gather_weights(flow, group)
    for op in shared_loss(group.ops):
        flow.run(group, op)
        if unnamed:
            _write_unnamed(flow, op, frozenset())
        for tensor in (*op.reads, *op.writes):
            left = kept.setdefault(tensor.name, [])
            states = [state for state in flow.states.get(tensor.name, ()) if not state.partial and not state.gathered]
            left += [state for state in states if state.split not in [other.split for other in left]]
    written = {tensor.name: tensor for op in group.ops for tensor in op.writes if tensor.role == "activation"}
    outlives = read_first(later) | (read_first([group]) if group.stacked else set())
    flow.settle([tensor for name, tensor in written.items() if name in outlives])
    return replace(group, ops=tuple(flow.ops), local=flow.mesh.group_bindings(group))


def _write_unnamed(flow: Flow, op: Op, of_weights: Collection[str]) -> None:
    """How the outputs of a traced operator lie, whose axes have no meaning: alike on all devices, each with its batch.

    Gradients of weights are sums over the batch all the same.
    """
    for tensor in op.writes:
        partial = flow.mesh.home("B") if tensor.name in of_weights else frozenset[str]()
        flow.states[tensor.name] = [State({}, partial, op.name)]


@dataclass(slots=True)
class _Backward:
    """The backward pass of groups, the last first; ``kept`` is how tensors of the forward pass lie."""

    flow: Flow
    kept: dict[str, list[State]]
    of_weights: set[str]
    zero: int
    unnamed: bool = False

    def run(self, group: Group, later: Sequence[Group]) -> Group:
        """The pass of a group, then the sums of its weights' gradients that no later group adds to."""
        flow = self.flow
        flow.ops = []
        flow.states |= {name: list(states) for name, states in self.kept.items() if states}
        if self.zero == 3:
            _gather_weights(flow, group)
        first = read_first([group])
        self._enter(group, first)
        for op in shared_loss(group.ops):
            self._find_as_sent(group, op)
            flow.run(group, op)
            if self.unnamed:
                _write_unnamed(flow, op, self.of_weights)
            consumed = {tensor.gradient_of for tensor in op.reads if tensor.gradient_of and not op.linear}
            flow.states |= {name: list(states) for name, states in self.kept.items() if name in consumed and states}
        written = {tensor.name: tensor for op in group.ops for tensor in op.writes}
        needed = read_first(later)
        outlives = (needed | (first if group.stacked else set())) - self.of_weights
        flow.settle([tensor for name, tensor in written.items() if name in outlives])
        local = {tensor.name: op.local for op in group.ops for tensor in op.writes}
        for name, tensor in written.items():
            if name in self.of_weights and name not in needed:
                self._reduce(tensor, local[name])
        return replace(group, ops=tuple(flow.ops), local=flow.mesh.group_bindings(group))

    def _enter(self, group: Group, first: Collection[str]) -> None:
        """What comes in lies as what flows from layer to layer."""
        for tensor in (tensor for op in group.ops for tensor in op.reads if tensor.name in first):
            if tensor.gradient_of and tensor.name not in self.flow.states:
                home = {place: self.flow.mesh.home(letter) for place, letter in enumerate(tensor.letters)}
                self.flow.states[tensor.name] = [State({place: dims for place, dims in home.items() if dims})]

    def _find_as_sent(self, group: Group, op: Op) -> None:
        """What experts were sent forward they kept, in each of its copies: it is not dispatched once more."""
        if not is_expert(op):
            return
        splits, states = self.flow.mesh.splits(group, op), self.flow.states
        routed = splits.get("A", frozenset()) | splits.get("X", frozenset())
        for tensor in op.reads:
            if tensor.name in states and "A" not in tensor.letters and not tensor.gradient_of:
                states[tensor.name].append(states[tensor.name][-1].moved(routed, ROUTED))

    def _reduce(self, tensor: Tensor, local: Mapping[str, Binding]) -> None:
        """The sum of a weight's gradient; where states rest split, each device has its part, and gathers the weight."""
        state = self.flow.states[tensor.name][-1]
        splits = {letter: state.split.get(place, frozenset()) for place, letter in enumerate(tensor.letters)}
        scattered = state.partial & REPLICAS if self.zero and tensor.letters else frozenset[str]()
        self.flow.bring(tensor, splits, scattered, state.writer, local)
        if scattered and self.zero < 3:
            self.flow.gather(Tensor(tensor.gradient_of, tensor.axes, "input"), splits, scattered, local)


def _gather_weights(flow: Flow, group: Group) -> None:
    """Weights that rest split over replicas, brought together for the operators of a group."""
    found: set[str] = set()
    for op in group.ops:
        splits = flow.mesh.splits(group, op)
        for tensor in op.reads:
            if tensor.role == "weight" and tensor.name not in found and tensor.letters:
                found.add(tensor.name)
                axes = tensor.stored or tensor.axes
                own = {letter: splits.get(letter, frozenset()) for letter in axes.split()}
                rest = flow.mesh.active(REPLICAS) - frozenset[str]().union(*own.values())
                flow.gather(replace(tensor, axes=axes, stored="", role="input"), own, rest, op.local)


# The loss over a vocabulary that devices share


def shared_loss(ops: Sequence[Op]) -> list[Op]:
    """Cross-entropy in parts between which devices add up a number for each token, three times: the largest score, the
    sum of exponentials, the score of the target. Backward each has what it needs.

    Source: Megatron-LM (arXiv 1909.08053), section 3; its published code, vocab_parallel_cross_entropy.
    """
    return [part for op in ops for part in _in_parts(op)]


def _in_parts(op: Op) -> list[Op]:
    if op.function == "cross_entropy_backward":
        return [replace(op, kind="elementwise", mixes="")]
    if op.function != "cross_entropy":
        return [op]
    logits, targets = op.reads
    rows = op.writes[0].axes
    top, total, target = (Tensor(f"loss_{name}", rows, dtype="fp32") for name in ("max", "sum", "target"))
    largest = (Work("vector", 1, logits.letters),)
    return [
        Op("loss_max", "elementwise", (logits,), (top,), largest, op.local),
        Op("loss_sums", "elementwise", (logits, top, targets), (total, target), op.work, op.local),
        Op(op.name, "elementwise", (top, total, target), op.writes, (Work("special", 1, top.letters),), op.local),
    ]


# Pipelines


def _handed(sent: Group, groups: Sequence[Group], mesh: Mesh) -> Group:
    """What a stage hands on: streams, of which the next one makes norms anew.

    Of what devices of tensor parallelism all have each sends a part, and the next stage gathers it.

    Source: Narayanan et al. 2021 (arXiv 2104.04473), section 4.1.
    """
    layers = next(group for group in reversed(groups) if group.stacked)
    streams, across, ops = streams_of(layers), mesh.active(TENSOR) - mesh.home("T"), list[Op]()
    for op in sent.ops:
        (tensor,) = op.reads
        if tensor.name not in streams:
            continue
        if not across or "T" not in tensor.letters:
            ops.append(op)
            continue
        part = Part("T", "T", mesh.count(mesh.home("T") | across))
        gather = Transfer("all_gather", mesh.count(across), mesh.stride(across), "tp")
        ops += [
            op.rebound(T=part),
            replace(collective(f"{op.name}.all_gather", gather, tensor), local=op.local),
        ]
    return replace(sent, ops=tuple(ops))


def _returned(op: Op) -> Op:
    """The gradient of what a stage hands on, sent back."""
    (tensor,) = op.reads
    assert op.transfer is not None, "a stage sends"
    return replace(collective(f"{op.name}'", op.transfer, gradient(tensor)), local=op.local)
