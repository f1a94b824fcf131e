"""Matmuls of a training step in fp8: what they read is cast before them, what backward reads of it may be saved so.

The matrices of layers multiply narrow operands in all three of their matmuls, forward, gradients of inputs and of
weights; embeddings, norms, routers, heads and attention stay as wide as they are, and so does what matmuls write.
Kernels want both operands with the contracted axis last, so that a cast writes two copies: as it is for one pass, and
transposed for the gradient of the weight.

Sources: Micikevicius et al. 2022, FP8 formats for deep learning (arXiv 2209.05433); NVIDIA Transformer Engine 2,
user guide, FP8 primer: delayed scaling takes the scale from the largest magnitudes of the steps before; torchao,
float8 training: dynamic scaling looks for the largest magnitude first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from roofline.classes import frozen
from roofline.compression.weight_matmuls import contracted_per_head, layer_matrices, mapped
from roofline.program.op import Op, Tensor, Work
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.saved import Saved

CAST = "cast"
"""The function of what writes narrow copies, and of what looks for the largest magnitude before."""

DTYPE, SUFFIX = "fp8", ".fp8"
_AMAX_FLOPS, _CAST_FLOPS = 1, 2  # the larger of two; times a scale, rounded


@frozen
class Narrow:
    """How matmuls are fed in fp8.

    ``dynamic``: the scale is that of the tensor itself, found in a pass over it before the cast; else of steps before,
    and the cast notes the largest magnitude. ``saves``: what a matmul reads is saved narrow for the gradient of its
    weight. ``rests``: narrow copies of weights, as they are and transposed, are there from update to update; else each
    pass casts the weights that it gathers. ``gathers``: weights are gathered narrow, cast where they rest.
    ``dispatches``: what is sent to experts, tokens and the gradients of what they wrote, is cast before that.
    """

    dynamic: bool
    saves: bool
    rests: bool
    gathers: bool = False
    dispatches: bool = False

    @property
    def copies(self) -> int:
        """Narrow copies of each matrix of a layer that rest on a device."""
        return 2 if self.rests else 0

    def apply(self, step: Program) -> Program:
        """Both passes of a training step with casts before the matmuls that are narrow."""
        names = matrices(step)
        return replace(step, groups=tuple(self._cast(group, names) for group in step.groups))

    def sent(self, sharded: Program) -> Program:
        """The step of a device, with what goes to experts narrow where it is cast before that; what comes back is wide.

        Source: DeepSeek-V3 (arXiv 2412.19437), section 3.3.3.
        """
        dtype = DTYPE if self.dispatches else ""
        groups = (replace(group, ops=tuple(_dispatched(op, dtype) for op in group.ops)) for group in sharded.groups)
        return replace(sharded, groups=tuple(groups))

    def stored(self, saved: Saved, narrow: Collection[Saved], wide: Collection[Saved]) -> Iterator[Saved]:
        """A saved tensor as it is kept: narrow where ``narrow`` matmuls read it back, wide where ``wide`` ones do."""
        own, others = _of(saved, narrow), _of(saved, wide)
        if not self.saves or saved.tensor.dtype or own is None:
            yield saved
            return
        yield replace(saved, tensor=replace(saved.tensor, dtype=DTYPE), before=own.before, last=own.last)
        if others is not None:
            yield replace(saved, before=others.before, last=others.last)

    def _cast(self, group: Group, names: frozenset[str]) -> Group:
        backward = Phase.BACKWARD in group.phases
        ops: list[Op] = []
        there: dict[str, str] = {}  # narrow copies by what they are of, with who wrote that
        writers: dict[str, str] = {}
        for op in group.ops:
            if multiplies(op, names):
                learns = any(tensor.gradient_of in names for tensor in op.writes)
                swapped: dict[str, Tensor] = {}
                for tensor in _operands(op, names):
                    of_weight = tensor.role == "weight"
                    if of_weight and (self.rests or self.gathers):
                        swapped[tensor.name] = replace(tensor, dtype=DTYPE)
                        continue
                    kept = self.saves and backward and not tensor.gradient_of and not of_weight
                    if not kept and there.get(tensor.name) != writers.get(tensor.name, ""):
                        ops += self._casts(op, tensor, writers.get(tensor.name, op.name))
                        there[tensor.name] = writers.get(tensor.name, "")
                    swapped[tensor.name] = _copies(tensor)[learns]
                op = mapped(op, lambda tensor: swapped.get(tensor.name, tensor))  # noqa: B023, PLW2901
            ops.append(op)
            writers |= {tensor.name: op.name for tensor in op.writes}
        return replace(group, ops=tuple(ops))

    def _casts(self, op: Op, tensor: Tensor, writer: str) -> Iterator[Op]:
        """What writes both narrow copies of a tensor, ahead of an operator that reads one."""
        scale = Tensor(f"{tensor.name}.scale", "", dtype="fp32")
        if self.dynamic:
            work = (Work("vector", _AMAX_FLOPS, tensor.letters),)
            yield Op(f"{writer}.{tensor.name}.amax", "elementwise", (tensor,), (scale,), work, op.local, function=CAST)
        work = (Work("vector", _CAST_FLOPS, tensor.letters),)
        reads = (tensor, scale) if self.dynamic else (tensor,)
        yield Op(f"{writer}.{tensor.name}.cast", "quantize", reads, _copies(tensor), work, op.local, function=CAST)


def _dispatched(op: Op, dtype: str) -> Op:
    """A dispatch of what is cast, in a format or as it is before the cast; any other operator as it is."""
    if not op.dispatches or not (SUFFIX in op.writes[0].name or op.name.endswith(f".{CAST}.all_to_all")):
        return op
    return mapped(op, lambda tensor: replace(tensor, dtype=dtype))


def matrices(step: Program) -> frozenset[str]:
    """Names of the matrices of layers that are multiplied narrow."""
    groups = [group for group in step.groups if Phase.FORWARD in group.phases]
    fixed = contracted_per_head(groups)
    found = (m.weight for g in groups if g.stacked for op in g.ops for m in layer_matrices(g, op, fixed))
    return frozenset(weight.name for weight in found)


def _of(saved: Saved, several: Collection[Saved]) -> Saved | None:
    place = (saved.group.name, saved.place, saved.tensor.name)
    return next((each for each in several if (each.group.name, each.place, each.tensor.name) == place), None)


def multiplies(op: Op, names: frozenset[str]) -> bool:
    """Whether an operator is a matmul of narrow matrices, or of the gradients of such."""
    if op.kind != "matmul" or op.transfer is not None or not any(work.unit == "matrix" for work in op.work):
        return False
    return any(t.name in names or t.gradient_of in names for t in (*op.reads, *op.writes))


def _operands(op: Op, names: frozenset[str]) -> list[Tensor]:
    """What an operator contracts, each once."""
    parts = [part for part in op.parts or (op,) if part.kind == "matmul"]
    found = {tensor.name: tensor for part in parts for tensor in part.reads[:2]}
    return [t for t in found.values() if t.role != "index" and not t.dtype and (t.role != "weight" or t.name in names)]


def _copies(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The narrow copy of a tensor, and its transposed."""
    role = "widened" if tensor.role == "weight" else tensor.role
    bare = replace(tensor, role=role, dtype=DTYPE, tied=False, gradient_of="")
    return replace(bare, name=tensor.name + SUFFIX), replace(bare, name=f"{tensor.name}{SUFFIX}t")
