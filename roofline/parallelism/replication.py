"""What several devices hold or compute alike: what all devices have together beyond the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roofline.classes import frozen
from roofline.number import Number, product
from roofline.parallelism.layout import Dims, Layout, Mesh
from roofline.parallelism.sharding import mesh_of
from roofline.program.axes import Sizes, rebind
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program


@frozen
class Replicated:
    """A weight [elements] or the contractions of an operator [FLOP], over all repeats: the whole, and the surplus.

    Padding of a vocabulary is surplus too.
    """

    group: str
    name: str
    whole: Number
    surplus: Number


def replicated_weights(program: Program, layout: Layout) -> Iterator[Replicated]:
    """The weights that are on more than one device of a replica, or padded.

    Tensor and context parallel devices share what no axis splits: norms, routers, a key/value head where there are
    fewer heads than devices. Replicas of data parallelism hold all weights again, but for experts spread over them. The
    first and the last stage of a pipeline both hold a tied table.
    """
    for group, op, tensor in program.weights():
        # what no phase runs rests on each device all the same
        mesh = mesh_of(program, layout, (group.phases or program.phases)[0])
        own, held = _on_a_device(op, tensor)
        letters = (held.stored or held.axes).split()
        splits = _splits(program, mesh, group, own, shared=bool(op.shared))
        copies = _copies(mesh, group, own, letters, program.sizes, splits) * layout.dp
        if tensor.tied and _uses(program, tensor.name) > 1 and layout.pp > 1:
            copies = copies * 2
        if copies != 1:
            whole = program.resident(group, op, tensor, program.sizes)
            yield Replicated(group.name, tensor.name, whole, whole * (copies - 1))


def replicated_work(program: Program, layout: Layout, phase: Phase, sizes: Sizes) -> Iterator[Replicated]:
    """The contractions that more than one device does, or that are padded, in a step of ``phase`` with B, T and S.

    Every replica of data parallelism does what does not grow with the batch.
    """
    mesh = mesh_of(program, layout, phase)
    bound = {**program.sizes, **sizes}
    own = {**bound, "B": bound["B"] / layout.dp}
    stated = ((group, own, own is not op) for group, op in program.in_phase(phase) for own in op.shared or (op,))
    for group, op, shared in stated:
        splits = _splits(program, mesh, group, op, shared=shared)
        for work in op.work:
            if work.unit != "matrix":
                continue
            whole, part = (work.count(rebind(group.sizes(each), op.local)) * group.times(each) for each in (bound, own))
            copies = _copies(mesh, group, op, work.axes, bound, splits)
            copies = copies * (layout.dp if part == whole else 1)
            if copies != 1:
                yield Replicated(group.name, op.name, whole, whole * (copies - 1))


def _on_a_device(op: Op, tensor: Tensor) -> tuple[Op, Tensor]:
    """The operator that reads a weight on a device of those that share it, and the weight there."""
    there = ((own, read) for own in op.shared for read in own.reads if read.name == tensor.name)
    return next(there, (op, tensor))


def _splits(program: Program, mesh: Mesh, group: Group, op: Op, *, shared: bool) -> dict[str, Dims]:
    """What splits the axes of an operator: of a traced module what its plan says, where devices ``shared`` it."""
    if not program.anonymous:
        return mesh.splits(group, op)
    return mesh.shares(op) if shared else {}


def _copies(mesh: Mesh, group: Group, op: Op, letters: Sequence[str], sizes: Sizes, splits: dict[str, Dims]) -> Number:
    """How often the devices of a replica have what has these axes, which ``splits`` splits."""
    outer = group.sizes(sizes)
    whole, part = rebind(outer, op.local), rebind(outer, mesh.bindings(op, splits))
    degrees = [whole[letter] / part[letter] for letter in letters if letter in part and part[letter] != whole[letter]]
    copies: Number = mesh.layout.stage_devices // mesh.layout.dp / product(degrees)
    return copies


def _uses(program: Program, name: str) -> int:
    """How many groups state a tied tensor."""
    reads = [{tensor.name for op in group.ops for tensor in op.reads} for group in program.groups]
    return sum(name in names for names in reads)
