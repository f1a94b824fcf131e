"""What several devices hold or compute alike: what all devices have together beyond the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roofline.classes import frozen
from roofline.number import Number, product
from roofline.parallelism.layout import Layout, Mesh
from roofline.parallelism.sharding import mesh_of
from roofline.program.axes import Sizes, rebind
from roofline.program.op import Op
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
        letters = (tensor.stored or tensor.axes).split()
        copies = _copies(mesh, group, op, letters, program.sizes) * layout.dp
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
    for group, op in program.in_phase(phase):
        for work in op.work:
            if work.unit != "matrix":
                continue
            whole, part = (work.count(rebind(group.sizes(each), op.local)) * group.times(each) for each in (bound, own))
            copies = _copies(mesh, group, op, work.axes, bound) * (layout.dp if part == whole else 1)
            if copies != 1:
                yield Replicated(group.name, op.name, whole, whole * (copies - 1))


def _copies(mesh: Mesh, group: Group, op: Op, letters: Sequence[str], sizes: Sizes) -> Number:
    """How often the devices of a replica have what has these axes."""
    outer = group.sizes(sizes)
    whole, part = rebind(outer, op.local), rebind(outer, mesh.bindings(op, mesh.splits(group, op)))
    degrees = [whole[letter] / part[letter] for letter in letters if letter in part and part[letter] != whole[letter]]
    copies: Number = mesh.layout.stage_devices // mesh.layout.dp / product(degrees)
    return copies


def _uses(program: Program, name: str) -> int:
    """How many groups state a tied tensor."""
    reads = [{tensor.name for op in group.ops for tensor in op.reads} for group in program.groups]
    return sum(name in names for names in reads)
