"""What rests on a device between the operators of a step: weights, gradients, optimizer states, under ZeRO 0 to 3.

Per element of a weight, with n devices that hold the same weights, k bytes of the weight itself, g of its gradient and
s of states and master copy:

    ZeRO 0   k + g + s            ZeRO 2   k + (g + s)/n
    ZeRO 1   k + g + s/n          ZeRO 3   (k + g + s)/n

Source: ZeRO, Rajbhandari et al. 2020 (arXiv 1910.02054), figure 1; FSDP is stage 3. Hybrid
sharding (HSDP) splits within groups of replicas: n are the devices of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from roofline.classes import frozen
from roofline.number import Number, added, product
from roofline.parallelism.layout import Layout, Mesh
from roofline.parallelism.pipeline import places
from roofline.parallelism.sharded_backward import REPLICAS
from roofline.program.axes import rebind
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.workload import DTYPE_BYTES
from roofline.training.kept.optimizers import Optimizer, read_optimizer
from roofline.training.kept.recipes import TrainingRecipe

Measure: TypeAlias = Callable[["LocalWeight"], Number]

ZERO = (0, 1, 2, 3)
"""Stages of ZeRO: nothing is split, optimizer states, gradients too, weights too."""


@frozen
class LocalWeight:
    """A device's part of a weight: so many matrices of ``rows`` x ``columns`` in all layers of its group together.

    ``place``: 0 before the layers, 1 in them, 2 behind them. ``replicas``: devices that hold the same. ``matrix``:
    whether it is a matrix of a layer, not a vector, a table or a head. ``trained``: whether it learns; ``width``: bytes
    of an element, where it is stored in a format of its own; ``narrow``: whether it is multiplied in fp8.
    """

    place: int
    matrices: Number
    rows: Number
    columns: Number
    replicas: Number
    matrix: bool
    tied: bool
    trained: bool = True
    width: Number | None = None
    narrow: bool = False

    @property
    def elements(self) -> Number:
        """Elements on a device, in all layers."""
        return self.matrices * self.rows * self.columns


def local_weights(
    program: Program, layout: Layout, trained: Callable[[Tensor], bool] = lambda _: True,
    narrow: Collection[str] = (),
) -> list[LocalWeight]:  # fmt: skip
    """The weights of a forward pass as a device of a layout, of numbers or arrays, holds them; each once.

    Those of the names ``narrow`` are multiplied in fp8. A weight that is tied and used before and behind the layers
    stands at both places where these are two stages.
    """
    mesh = Mesh(layout, Phase.FORWARD)
    groups = [group for group in program.groups if Phase.FORWARD in group.phases]
    found: list[LocalWeight] = []
    seen: set[tuple[str, ...]] = set()
    for group, place in zip(groups, places(groups), strict=True):
        for op in group.ops:
            for tensor in op.reads:
                key = (str(place), tensor.name) if tensor.tied else (group.name, tensor.name)
                if tensor.role == "weight" and key not in seen:
                    again = tensor.tied and any(name == tensor.name for _, name in seen)
                    seen.add(key)
                    weight = _local(program, mesh, group, op, tensor, place)
                    weight = replace(weight, trained=trained(tensor), narrow=tensor.name in narrow)
                    found.append(replace(weight, matrices=weight.matrices * (layout.pp > 1)) if again else weight)
    return found


def _local(program: Program, mesh: Mesh, group: Group, op: Op, tensor: Tensor, place: int) -> LocalWeight:
    splits = mesh.splits(group, op)
    sizes = {letter: float(size) for letter, size in program.sizes.items()} | {"B": 1.0, "T": 1.0, "S": 1.0}
    bound = rebind(group.sizes(sizes), {**op.local, **mesh.bindings(op, splits)})
    letters = (tensor.stored or tensor.axes).split()
    stated = next((part for part in op.parts if tensor in part.reads), op)
    written = set(stated.writes[0].letters)
    if len(letters) == 1:
        sides: tuple[list[str], list[str], list[str]] = ([], [], letters)
    elif tensor.stored and op.kind == "embedding":
        sides = ([], letters[:1], letters[1:])
    else:
        several = [x for x in letters if x in ("E", "X")]
        sides = (several, [x for x in letters if x not in written and x not in several],
                 [x for x in letters if x in written and x not in several])  # fmt: skip
    many, rows, columns = (product(bound[letter] for letter in side) for side in sides)
    over = mesh.active(REPLICAS) - frozenset(dim for x in letters for dim in splits.get(x, frozenset[str]()))
    replicas = mesh.count(over)
    times = 1 if group.shared or tensor.tied else group.times(program.sizes)
    matrix = group.stacked and bool(sides[1])  # a bias has the letters of an output alone
    width = float(DTYPE_BYTES[tensor.dtype] * (tensor.weighs or 1)) if tensor.dtype else None
    return LocalWeight(place, many * times, rows, columns, replicas, matrix, tensor.tied, width=width)


@frozen
class Sharding:
    """What replicas split of what rests, and within how many groups of them: a stage of ZeRO, replicas of all of it.

    ``replicate``: torchtitan's data_parallel_replicate_degree, a number or an array of layouts; 1 is plain ZeRO.
    """

    zero: int
    replicate: Any = 1

    @property
    def plain(self) -> bool:
        """Whether all replicas are one group."""
        return isinstance(self.replicate, int) and self.replicate == 1

    def of(self, weights: Sequence[LocalWeight]) -> tuple[LocalWeight, ...]:
        """Weights whose replicas are those of a group."""
        if self.plain:
            return tuple(weights)
        return tuple(replace(weight, replicas=weight.replicas / self.replicate) for weight in weights)

    @property
    def words(self) -> str:
        """As flags have it, of numbers.

        >>> Sharding(3, 4).words
        'ZeRO 3, replicate 4'
        """
        return f"ZeRO {self.zero}" if self.plain else f"ZeRO {self.zero}, replicate {self.replicate}"


@frozen
class Resting:
    """How weights rest: the recipe, the optimizer, and that of what is no matrix of a layer."""

    recipe: TrainingRecipe
    optimizer: Optimizer

    def optimizer_of(self, weight: LocalWeight) -> Optimizer:
        """The optimizer of a weight: AdamW where its own works on matrices of layers alone."""
        return self.optimizer if weight.matrix or not self.optimizer.matrices else read_optimizer("adamw")

    def weight_bytes(self, weights: Sequence[LocalWeight], zero: int, place: int) -> Number:
        """Bytes of the weights at a place, over all its layers."""
        return self._sum(weights, place, self._kept, split=zero >= 3, frozen=True)

    def gradient_bytes(self, weights: Sequence[LocalWeight], zero: int, place: int) -> Number:
        """Bytes of the gradients at a place."""
        return self._sum(weights, place, lambda w: w.elements * self.recipe.gradient_bytes, split=zero >= 2)

    def state_bytes(self, weights: Sequence[LocalWeight], zero: int, place: int) -> Number:
        """Bytes of optimizer states and master copies at a place."""
        return self._sum(weights, place, self._states, split=zero >= 1)

    def updated_bytes(self, weights: Sequence[LocalWeight], zero: int, place: int) -> Number:
        """Bytes that an update moves: gradients are read, states, master copies and weights read and written; copies in
        fp8 are written of whole weights.
        """
        r = self.recipe

        def moved(w: LocalWeight) -> Number:
            return w.elements * (r.gradient_bytes + 2 * r.updated_width + r.weight_bytes * bool(r.master)) + 2 * (
                self._states(w) - w.elements * r.master_bytes
            )

        def copied(w: LocalWeight) -> Number:
            there = r.narrow is not None and r.narrow.copies > 0 and w.narrow
            return self._copies(w) + w.elements * r.weight_bytes * there

        return self._sum(weights, place, moved, split=zero >= 1) + self._sum(weights, place, copied, split=False)

    def contracted_flops(self, weights: Sequence[LocalWeight], zero: int, place: int) -> Number:
        """FLOPs of the contractions of an update at a place."""

        def contracted(w: LocalWeight) -> Number:
            return w.matrices * self.optimizer_of(w).matrix_flops(w.rows, w.columns)

        return self._sum(weights, place, contracted, split=zero >= 1)

    def elementwise_flops(self, weights: Sequence[LocalWeight], zero: int, place: int) -> Number:
        """FLOPs of the elementwise work of an update at a place."""
        return self._sum(weights, place, lambda w: w.elements * self.optimizer_of(w).flops, split=zero >= 1)

    def _kept(self, weight: LocalWeight) -> Number:
        own = weight.elements * (self.recipe.weight_bytes if weight.width is None else weight.width)
        return own + self._copies(weight)

    def _copies(self, weight: LocalWeight) -> Number:
        """Bytes of the copies in fp8."""
        narrow = self.recipe.narrow
        return weight.elements * narrow.copies if narrow is not None and weight.narrow else 0.0

    def _states(self, weight: LocalWeight) -> Number:
        r = self.recipe
        each = self.optimizer_of(weight).state_bytes(weight.rows, weight.columns, r.state_width)
        return weight.matrices * each + weight.elements * r.master_bytes

    def _sum(
        self, weights: Sequence[LocalWeight], place: int, of: Measure, *, split: bool, frozen: bool = False
    ) -> Number:
        """The sum over the weights at a place that learn, over ``frozen`` ones too if asked."""
        own = [weight for weight in weights if weight.place == place and (frozen or weight.trained)]
        return added(of(weight) / weight.replicas if split else of(weight) for weight in own)
