"""A recording as a program, in the conventions that are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from roofline.classes import frozen
from roofline.models.traced.blocks import short_name
from roofline.models.traced.calls import Call, Recording
from roofline.models.traced.folding import Folded, Part, unique
from roofline.models.traced.fusion import Kernel
from roofline.models.traced.spread import Spread, spread_of
from roofline.models.traced.statements import Namer, operators_of
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

_UNREAD = "never read"


@frozen
class Traced:
    """All that a traced program is made of: the recording, its parts, the numbers of its letters."""

    recording: Recording
    folded: Folded
    sizes: Mapping[str, int]

    def program(self, conventions: Conventions) -> Program:
        """The program of one forward pass."""
        named, namer = self._named()
        namer.spread = self._spread
        parts = [(part, names) for part, names in named if not part.backward]
        phase = Phase.DECODE if self.recording.decodes else Phase.ENCODE
        groups = tuple(_group(part, names, namer, conventions, phase) for part, names in parts)
        return Program((*groups, *self._unread()), dict(self.sizes), whole=self._spread.problem)

    @property
    def _spread(self) -> Spread:
        """How the plan of the module lays it over devices; why not, of both passes of a training step."""
        return spread_of(self.recording)

    def training(self, conventions: Conventions) -> tuple[Program, frozenset[str]]:
        """The program of both passes, and the names of what the backward pass reads that the forward pass wrote."""
        named, namer = self._named()
        groups = [
            _group(part, names, namer, conventions, Phase.BACKWARD if part.backward else Phase.FORWARD)
            for part, names in named
        ]
        forward, behind = self.recording.passes
        values, same = self.recording.values, self.folded.same
        written = {access.value for call in forward for access in call.writes}
        read = {access.value for call in behind for access in call.reads} & written
        kept = frozenset(namer.names[same[values[each].storage]] for each in read if not values[each].name)
        program = Program((*groups, *self._unread((Phase.FORWARD,))), dict(self.sizes), whole=self._spread.problem)
        return program, kept

    def _named(self) -> tuple[list[tuple[Part, list[str]]], Namer]:
        """The parts with the names of their operators, and what names their tensors."""
        parameters = {value.storage: value.name for value in self.recording.values if value.role == "weight"}
        learning = {own: parameters[of] for own, of in self.recording.gradients}
        named = [(part, self._operator_names(part, learning)) for part in self.folded.parts]
        namer = self._namer(named)
        if self.recording.backward is not None:
            self._name_weights(namer)
        return named, namer

    def _name_weights(self, namer: Namer) -> None:
        """The names that weights have in the forward pass, by which the backward pass calls them too."""
        values = {value.storage: value for value in self.recording.values if value.role == "weight"}
        found: dict[int, str] = {}
        for part in (part for part in self.folded.parts if not part.backward):
            namer.home = part.home
            for first, *others in part.weights:
                own = found.setdefault(first, namer.weight_name(values[first]))
                found |= {storage: own for storage in others if storage not in found}
        namer.weights |= {**{storage: value.name for storage, value in values.items()}, **found}

    def _operator_names(self, part: Part, learning: Mapping[int, str]) -> list[str]:
        """A name for each kernel: its module, else its weight, else the function that called it, else torch's name."""
        found: list[str] = []
        blocks = self.recording.blocks
        wanted = [_wanted(kernel.main, part.home, self._weight_of(kernel), blocks) for kernel in part.kernels]
        short = [name.rpartition(".")[2] for name in wanted]
        for kernel, full, last in zip(part.kernels, wanted, short, strict=True):
            name = last if short.count(last) == 1 or part.backward else full
            if part.backward:
                name = f"{name}{self._of_weight(kernel, learning) or '.backward'}"
            found.append(unique(name, found))
        return found

    def _weight_of(self, kernel: Kernel) -> str:
        """The weight that a contraction reads, without the word: ``in_proj`` of ``in_proj_weight``."""
        if kernel.main.shape is None:
            return ""
        values = (self.recording.values[access.value] for access in kernel.reads[:2])
        names = [value.name for value in values if value.role == "weight"]
        return names[0].removesuffix("weight").rstrip("._") if names else ""

    def _of_weight(self, kernel: Kernel, learning: Mapping[int, str]) -> str:
        """The gradient of which weight a contraction computes: ``.weight'``; empty where it is none."""
        if kernel.main.shape is None:
            return ""
        written = [self.recording.values[access.value].storage for access in kernel.writes]
        found = [learning[storage] for storage in written if storage in learning]
        return f".{found[0].rpartition('.')[2]}'" if found else ""

    def _namer(self, named: Sequence[tuple[Part, Sequence[str]]]) -> Namer:
        values, same = self.recording.values, self.folded.same
        names: dict[int, str] = {}
        for part, own in named:
            for kernel, name in zip(part.kernels, own, strict=True):
                for access in kernel.writes:
                    first = same[values[access.value].storage]
                    if first not in names:
                        names[first] = unique(f"{part.name}.{name}", names.values())
        fed = frozenset(same[value.storage] for value in values if value.role == "input" and not value.name)
        for value in values:
            if not value.name and same[value.storage] not in names:
                names[same[value.storage]] = unique("constant", names.values())
        return Namer(self.recording, same, names, fed, self._tied(), dict(self.recording.gradients))

    def _tied(self) -> frozenset[int]:
        """Weights that several parts read, or several kernels of one that runs once, or all repeats of one alike."""
        parts = [part for part in self.folded.parts if not part.backward]
        held = Counter(storage for part in parts for storage in {each for place in part.weights for each in place})
        found = {storage for storage, times in held.items() if times > 1}
        for part in parts:
            if part.repeat == 1:
                read = Counter(storage for kernel in part.kernels for storage in self._weights(kernel))
                found |= {storage for storage, times in read.items() if times > 1}
            elif not part.shared:
                found |= {place[0] for place in part.weights if place[0] == place[1]}
        return frozenset(found)

    def _weights(self, kernel: Kernel) -> set[int]:
        values = (self.recording.values[access.value] for access in kernel.reads)
        return {value.storage for value in values if value.role == "weight"}

    def _unread(self, phases: tuple[Phase, ...] = ()) -> tuple[Group, ...]:
        """The parameters that no call reads: they rest in memory, and no phase runs them."""
        if not self.recording.unread:
            return ()
        tensors = tuple(Tensor(value.name, f"_{i}", "weight") for i, value in enumerate(self.recording.unread))
        local = {f"_{i}": value.whole for i, value in enumerate(self.recording.unread)}
        return (Group(_UNREAD, (Op(_UNREAD, "elementwise", tensors, (), local=local),), phases=phases),)


def _group(part: Part, names: Sequence[str], namer: Namer, conventions: Conventions, phase: Phase) -> Group:
    namer.home = part.home
    ops: list[Op] = []
    owners: dict[str, str] = {}
    for kernel, name in zip(part.kernels, names, strict=True):
        stated = operators_of(kernel, name, namer, conventions)
        ops += [_again(op, owners) for op in stated]
    if part.backward:
        return Group(part.name, tuple(ops), part.repeat, (phase,), part.shared, part.first >= 0)
    numbers = tuple(range(part.first, part.first + part.repeat)) if part.first >= 0 and not part.shared else ()
    return Group(part.name, tuple(ops), part.repeat, (phase,), part.shared, part.first >= 0, numbers=numbers)


def _again(op: Op, owners: dict[str, str]) -> Op:
    """An operator that reads a weight of another one bears its name, and says that it runs anew."""
    own = [tensor.name for tensor in op.reads if tensor.role == "weight" and not tensor.tied]
    before = next((owners[name] for name in own if name in owners), None)
    if before is not None:
        name = unique(f"{before}.again", owners.values())
        shared = tuple(replace(each, name=each.name.replace(op.name, name, 1)) for each in op.shared)
        op = replace(op, name=name, shared=shared)
    owners.update({name: owners.get(name, op.name) for name in own})
    return op


def _wanted(call: Call, home: str, weight: str, blocks: Collection[str]) -> str:
    path = short_name(call.path, home, blocks)
    if call.leaf and call.path:
        return path or call.path.rpartition(".")[2]
    if weight:
        return short_name(weight, home, blocks)
    if call.kind == "attention":
        return f"{path}.attention" if path else "attention"
    known = call.caller and not call.heavy and call.caller not in ("forward", "<module>", "<lambda>")
    last = call.caller if known else call.name
    return f"{path}.{last}" if path else last
