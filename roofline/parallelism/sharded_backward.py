"""The backward pass of a program on one device among many, with its collectives."""

from __future__ import annotations

from dataclasses import replace

from roofline.parallelism.layout import Layout, Mesh
from roofline.parallelism.sharding import Flow, State, read_first
from roofline.program.backward import backward
from roofline.program.phases import Phase
from roofline.program.program import Group, Program


def shard_backward(program: Program, layout: Layout, phase: Phase) -> tuple[Group, ...]:
    """The backward pass of each group, last group and last operator first.

    Activations are kept as they were written in the forward pass, sums reduced: what was gathered there is gathered
    again. A gradient that comes in lies as what flows from layer to layer.

    Source: Megatron-LM (arXiv 1909.08053), section 3; Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.
    """
    groups = [group for group in program.groups if phase in group.phases]
    kept = _kept(groups, Mesh(layout, phase))
    flow = Flow(Mesh(layout, phase), {name: list(states) for name, states in kept.items()})
    passes = [
        replace(group, ops=tuple(step for op in reversed(group.ops) for step in backward(op)), phases=(phase,))
        for group in reversed(groups)
    ]
    return tuple(
        _run(group, passes[index], passes[index + 1 :], flow, kept) for index, group in enumerate(reversed(groups))
    )


def _kept(groups: list[Group], mesh: Mesh) -> dict[str, list[State]]:
    """The states of what the forward pass wrote."""
    forward = Flow(mesh)
    for group in groups:
        for op in group.ops:
            forward.run(group, op)
    return {name: [next(s for s in (*states, State({})) if not s.partial)] for name, states in forward.states.items()}


def _run(forward: Group, group: Group, later: list[Group], flow: Flow, kept: dict[str, list[State]]) -> Group:
    flow.ops = []
    first = read_first([group])
    for tensor in (tensor for step in group.ops for tensor in step.reads if tensor.name in first):
        if tensor.gradient_of and tensor.name not in flow.states:
            home = {place: flow.mesh.home(letter) for place, letter in enumerate(tensor.letters)}
            flow.states[tensor.name] = [State({place: dims for place, dims in home.items() if dims})]
    for op in reversed(forward.ops):
        for step in backward(op):
            flow.run(group, step)
        flow.states |= {tensor.name: list(kept[tensor.name]) for tensor in op.writes}  # an earlier one of the name
    written = {tensor.name: tensor for step in group.ops for tensor in step.writes}
    outlives = read_first(later) | (first if group.stacked else set())
    flow.settle([tensor for name, tensor in written.items() if name in outlives])
    return replace(group, ops=tuple(flow.ops), local=flow.mesh.group_bindings(group))
