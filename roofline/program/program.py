"""A program: the network of one step as groups of operators, repeated and not unrolled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from fractions import Fraction

from roofline.classes import frozen
from roofline.errors import ShapeError
from roofline.number import Number
from roofline.program.axes import Binding, Sizes, rebind, resolve, size_of
from roofline.program.op import CARRIED, Op, Role, Tensor
from roofline.program.phases import PHASES, Phase

TOWER = "tower_"
"""What the names of the groups of a tower, of images or of sound, begin with."""

BOTH_PASSES = "both passes of a training step are traced for one device"
"""Why neither tensor parallelism nor a pipeline splits a module that was traced for training."""

SEVERAL = "a generator runs several networks one after the other, each on one device"
"""Why neither splits a generator of images or videos."""


@frozen
class Group:
    """Operators that run ``repeat`` times in a row (a number or a letter) in the named phases.

    ``shared`` weights are one set for all repeats; a ``stacked`` group is layers, which a pipeline spreads over its
    stages and pruning thins out; ``numbers`` are those of its layers in the network, 0 the first, where they are known;
    ``local`` rebinds axes for the whole group. ``again``: how often all of that runs in one step with the same
    weights, as each denoising step of a generator does.
    """

    name: str
    ops: tuple[Op, ...]
    repeat: Number | str = 1
    phases: tuple[Phase, ...] = PHASES
    shared: bool = False
    stacked: bool = False
    local: Mapping[str, Binding] = field(default_factory=dict)
    numbers: tuple[int, ...] = ()
    again: Binding = 1

    @property
    def in_tower(self) -> bool:
        """Whether it is of a tower that images or sound go through, in front of a decoder."""
        return self.name.startswith(TOWER)

    @property
    def dispatches(self) -> bool:
        """Whether it sends tokens to experts on other devices, and what those say of them back."""
        return any(op.dispatches for op in self.ops)

    def times(self, sizes: Sizes) -> Number:
        """How often the group runs in one step."""
        layers = self.layers(sizes)
        return layers if self.again == 1 else layers * resolve(self.again, sizes)

    def layers(self, sizes: Sizes) -> Number:
        """How many repeats it has, each with weights of its own where they are not ``shared``."""
        return size_of(self.repeat, sizes) if isinstance(self.repeat, str) else self.repeat

    def sizes(self, outer: Sizes) -> Sizes:
        """``outer`` with the group's own letters rebound."""
        return rebind(outer, self.local)


@frozen
class Program:
    """Groups in the order in which they run, and the sizes that the configuration fixes.

    ``weighs``: bytes of weights that stay in memory for each that the tensors state, where a file has others.
    ``whole``: why tensor parallelism cannot split it, where its axes have no meaning and no plan goes with it.
    ``dispatches``: narrow activations that are sent to experts with their scales, by the dtypes of both, ``fp8:fp32``;
    all others are sent as wide as they were before they were narrowed.

    Groups of one name in different phases are the same layers, done another way: their weights and caches are the same.

    Identity of a tensor is by name: a weight or cache belongs to its group unless it is ``tied``. Construction checks,
    in each phase, the data flow: every activation that is read was written before, in the backward phase also by the
    forward phase, and, of layers in a stack, by the layer that ran before; and the names: a weight that is not
    tied belongs to one operator of its group, since two that bear one name would count as one. An operator that runs
    anew, ``q_proj.positions``, has the weights of ``q_proj``; another phase may use them in another operator, as latent
    attention absorbs what it otherwise expands.
    """

    groups: tuple[Group, ...]
    sizes: Mapping[str, int]
    weighs: Fraction = Fraction(1)
    whole: str = ""
    dispatches: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for phase in self.phases:
            names = [group.name for group in self.groups if phase in group.phases]
            if len(set(names)) != len(names):
                msg = f"program: a group name stands twice among {', '.join(names)}"
                raise ShapeError(msg)
            self._check_flow(phase)
            self._check_owners(phase)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that the program has, in the order in which they run."""
        return tuple(phase for phase in Phase if any(phase in group.phases for group in self.groups))

    @property
    def anonymous(self) -> bool:
        """Whether operators name axes of their own, of which nobody knows what they mean: those of a traced module."""
        return any(op.anonymous for group in self.groups for op in group.ops)

    def in_phase(self, phase: Phase) -> Iterator[tuple[Group, Op]]:
        """Each operator of a phase once, with its group."""
        for group in self.groups:
            if phase in group.phases:
                for op in group.ops:
                    yield group, op

    def weights(self) -> Iterator[tuple[Group, Op, Tensor]]:
        """Each distinct weight once, with the group and operator that state it first. Tied weights come once."""
        yield from self._distinct("weight")

    def caches(self) -> Iterator[tuple[Group, Op, Tensor]]:
        """Each distinct key/value cache and state once."""
        yield from self._distinct(*CARRIED)

    def scales(self) -> Iterator[tuple[Group, Op, Tensor]]:
        """The scales and zero points of quantised weights, each once: resident, but no parameters."""
        yield from self._distinct("scale")

    def parameters(self, sizes: Sizes | None = None) -> Number:
        """How many parameters of the network stay resident, those of adapters beside it not among them.

        ``sizes`` may hold letters instead of the configuration's numbers.
        """
        bound = self.sizes if sizes is None else sizes
        own = (each for each in self.weights() if not each[2].adapts)
        return sum(self.resident(group, op, tensor, bound) for group, op, tensor in own)

    def resident(self, group: Group, op: Op, tensor: Tensor, sizes: Sizes) -> Number:
        """Elements of ``tensor`` that stay resident over all repeats of its group."""
        local = rebind(group.sizes(sizes), op.local)
        return tensor.resident(local) * (1 if group.shared or tensor.tied else group.layers(sizes))

    def held(self, size: Number) -> Number:
        """So many bytes of weights as they lie in memory; an array times a Fraction would be an array of objects."""
        return size if self.weighs == 1 else size * self.weighs.numerator / self.weighs.denominator

    def _distinct(self, *roles: Role) -> Iterator[tuple[Group, Op, Tensor]]:
        seen: dict[tuple[str, str], tuple[str, bool]] = {}
        for group in self.groups:
            for op in group.ops:
                for tensor in (*op.reads, *op.writes):
                    if tensor.role not in roles or tensor.borrowed:
                        continue
                    key = ("", tensor.name) if tensor.tied else (group.name, tensor.name)
                    shape = (tensor.stored or tensor.axes, tensor.tied)
                    if key not in seen:
                        seen[key] = shape
                        yield group, op, tensor
                    elif tensor.role == "weight" and seen[key] != shape:
                        msg = f"{op.name}: weight {tensor.name} is {shape[0]} here and {seen[key][0]} elsewhere"
                        raise ShapeError(msg)

    def _check_flow(self, phase: Phase) -> None:
        forward = self.in_phase(Phase.FORWARD) if phase is Phase.BACKWARD else ()
        written = {tensor.name for _, op in forward for tensor in op.writes}
        for group, op in self.in_phase(phase):
            carried = {tensor.name for each in group.ops for tensor in each.writes} if phase is Phase.BACKWARD else ()
            for tensor in op.reads:
                missing = tensor.name not in written and not (group.stacked and tensor.name in carried)
                if tensor.role == "activation" and missing:
                    msg = f"{phase}: {group.name}.{op.name} reads {tensor.name}, which nothing before it writes"
                    raise ShapeError(msg)
            written.update(tensor.name for tensor in op.writes)

    def _check_owners(self, phase: Phase) -> None:
        owners: dict[tuple[str, str], str] = {}
        for group, op in self.in_phase(phase):
            for tensor in op.reads:
                if tensor.role != "weight" or tensor.tied:
                    continue
                owner = owners.setdefault((group.name, tensor.name), op.name)
                if owner.partition(".")[0] != op.name.partition(".")[0]:
                    where = f"{phase}: {group.name}.{owner} and {group.name}.{op.name}"
                    msg = f"{where} both have a weight {tensor.name}; expected two names, or one tied tensor"
                    raise ShapeError(msg)
