"""Which predicted operator each kernel of torch belongs to: kernels of one kind and size are one and the same.

A predicted operator is taken apart into the kernels that eager torch should run for it; each kernel is known by what it
computes and how large it is. Torch's kernels are joined to predicted ones of the same mark; what is left on either side
is listed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from roofline.classes import frozen
from roofline.cost.cost import Cost, operator_cost
from roofline.cost.eager_kernels import kernels_of
from roofline.cost.kernel_shapes import AttentionShape, MatmulShape
from roofline.number import product
from roofline.program.axes import Sizes, rebind, size_of
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision
from roofline.tracing.aten import MATMULS, gathers, is_attention, scatters, timed_as
from roofline.validation.capture import TorchCall

Mark: TypeAlias = tuple[Any, ...]
"""What a kernel computes and how large it is: ("matmul", rows, depth, columns), ("add", elements written)."""


@frozen
class Joined:
    """Kernels of torch and predicted operators laid beside each other.

    shares: (call, operator) -> how many of the call's runs belong to it. unpredicted: runs that belong to none.
    not_run: (operator, kernel) -> how often a predicted kernel did not run.
    """

    shares: Mapping[tuple[TorchCall, str], int]
    unpredicted: Mapping[TorchCall, int]
    not_run: Mapping[tuple[str, str], int]

    def operator_s(self, times: Mapping[TorchCall, float]) -> dict[str, float]:
        """Operator -> seconds of all its kernels in a step."""
        found: dict[str, float] = defaultdict(float)
        for (call, operator), runs in self.shares.items():
            if call in times:
                found[operator] += runs * times[call]
        return dict(found)


def join(calls: Sequence[TorchCall], predicted: Sequence[tuple[str, Mark]]) -> Joined:
    """Join torch's kernels with ``predicted`` (operator, mark), one for each run. Both are in the order of the step."""
    waiting: dict[Mark, list[str]] = defaultdict(list)
    for operator, mark in predicted:
        waiting[mark].append(operator)
    shares: Counter[tuple[TorchCall, str]] = Counter()
    left: Counter[TorchCall] = Counter()
    for call in calls:
        if call.view:
            continue
        owners = waiting.get(mark_of(call))
        if owners:
            shares[call, owners.pop(0)] += 1
        else:
            left[call] += 1
    lost = Counter((owner, str(mark[0])) for mark, owners in waiting.items() for owner in owners)
    return Joined(dict(shares), dict(left), dict(lost))


def predicted_kernels(
    program: Program, phase: Phase, sizes: Sizes, precision: Precision, names: Mapping[tuple[str, str], str]
) -> list[tuple[str, Mark]]:
    """Every kernel of a step in order: the operator it belongs to, as ``names`` has it by group and name; its mark."""
    bound = {**program.sizes, **sizes}
    found = []
    for group in program.groups:
        if phase not in group.phases:
            continue
        local = group.sizes(bound)
        once = [
            (names[group.name, op.name], _mark(kernel, local, precision))
            for op in group.ops
            for kernel in kernels_of(op)
        ]
        found += once * int(group.times(bound))
    return found


def _mark(kernel: Op, sizes: Sizes, precision: Precision) -> Mark:
    cost: Cost = operator_cost(kernel, sizes, precision)
    local = rebind(sizes, kernel.local)
    if kernel.kind == "matmul" and cost.shape is None:
        return ("matmul", *_contracted(kernel, local))
    if isinstance(cost.shape, MatmulShape):
        return ("matmul", int(cost.shape.rows), int(cost.shape.depth), int(cost.shape.columns))
    if isinstance(cost.shape, AttentionShape):
        shape = cost.shape
        return (
            "attention",
            *(int(n) for n in (shape.batch * shape.kv_heads * shape.groups, shape.queries, shape.keys)),
        )
    local = rebind(sizes, kernel.local)
    if kernel.kind == "conv":
        return ("convolution", int(kernel.writes[0].elements(local)))
    name = "embedding" if kernel.kind == "embedding" and not gathers(kernel.name) else kernel.name
    return (name, int(kernel.writes[0].elements(local)))


def _contracted(kernel: Op, sizes: Sizes) -> tuple[int, int, int]:
    """Rows, depth and columns of a matmul of two activations, with the matrices of a batch among the rows."""
    (a, b), out = kernel.reads[:2], kernel.writes[0]
    columns = [x for x in out.letters if x in b.letters and x not in a.letters]
    depth = [x for x in a.letters if x in b.letters and x not in out.letters]
    rows = [x for x in out.letters if x not in columns]
    found = [int(product(size_of(x, sizes) for x in letters)) for letters in (rows, depth, columns)]
    return found[0], found[1], found[2]


def mark_of(call: TorchCall) -> Mark:
    """The mark of a kernel of torch."""
    tensors = call.tensors
    if call.name in MATMULS:
        a, b = tensors[1:3] if call.name in ("addmm", "baddbmm") else tensors[:2]
        columns = b.shape[0] if call.name == "linear" else b.shape[-1]
        return ("matmul", _product(a.shape[:-1]), a.shape[-1], columns)
    if is_attention(call.name):
        behind = "backward" in call.name
        q, k = tensors[1:3] if behind else tensors[:2]
        return ("attention_backward" if behind else "attention", q.shape[0] * q.shape[1], q.shape[2], k.shape[2])
    if scatters(call.name) and len(tensors) > 1:
        return (timed_as(call.name), tensors[-1].elements)
    return (timed_as(call.name), _product(call.outputs[0]) if call.outputs else 0)


def _product(shape: Sequence[int]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total
