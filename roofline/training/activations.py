"""Activations of a microbatch on a device: what is saved of it between its passes, and what its backward pass works on.

Place by place: before the layers, in them, behind them. What a policy drops of a layer is there again while that
layer's backward pass runs, so that it needs room once, beside what is saved of all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.cost.residency import FloatWidths, alive_bytes
from roofline.cost.saved_bytes import of_tensor, once
from roofline.number import Number, added, maximum, minimum, where
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import layer_count, places
from roofline.parallelism.sharded_saved import lying
from roofline.parallelism.sharding import PIPELINE
from roofline.program.axes import Binding, Sizes
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.recompute import NOTHING, Recompute
from roofline.program.saved import Saved
from roofline.program.workload import Precision
from roofline.training.kept.losses import of_scores
from roofline.training.network import Network

Dispatched: TypeAlias = tuple[Group, Op, Number]
"""The layers whose experts are sent tokens, the dispatch, and what is kept of these of one layer. [B]"""


@frozen
class Activations:
    """Bytes at the three places: saved of one microbatch in all layers, and worked on by backward at once. [B]"""

    saved: tuple[Number, Number, Number]
    working: tuple[Number, Number, Number]


@frozen
class Holding:
    """Whose activations are counted: a network, a layout of numbers or arrays, sizes of a microbatch, formats.

    ``sharded`` is the step of one device, with both passes; ``layers`` are those of a stage, at most.
    """

    network: Network
    sharded: Program
    sizes: Sizes
    precision: Precision
    where: Callable[[Saved], Mapping[str, Binding]]
    layers: Number

    @classmethod
    def of(cls, network: Network, sharded: Program, layout: Layout, sizes: Sizes, precision: Precision) -> Holding:
        """That of a layout."""
        whole = {letter: float(size) for letter, size in network.program.sizes.items()}
        layers = np.ceil(max(layer_count(network.program), 1) / np.asarray(layout.pp))
        return cls(network, sharded, {**whole, **sizes}, precision, lying(network.forward, layout), layers)

    def under(self, policies: tuple[Recompute, ...]) -> tuple[Activations, ...]:
        """The activations under each of several policies."""
        sent = list(dispatched(self.network, self.sharded, self.sizes, FloatWidths(self.precision)))
        whole, working = self._saved(NOTHING, sent), self._working()
        layer = self._of_a_layer(NOTHING, sent)
        found = []
        for policy in policies:
            if policy == NOTHING:
                found.append(Activations(whole, working))
                continue
            there = [] if policy.name == "full" else sent
            again = layer * minimum(policy.every, self.layers) - self._of_a_layer(policy, there)
            found.append(Activations(self._saved(policy, there), (working[0], working[1] + again, working[2])))
        return tuple(found)

    def _saved(self, policy: Recompute, sent: Sequence[Dispatched]) -> tuple[Number, Number, Number]:
        """Bytes by place that a microbatch leaves, with the tokens that experts were ``sent``."""
        place, chunked = self._places(), self.network.loss.tokens is not None
        sums: list[Number] = [0.0, 0.0, 0.0]
        for each in self.network.saved(policy):
            if chunked and of_scores(each.tensor):
                continue
            size = of_tensor(each, self.sizes, FloatWidths(self.precision), self.where)
            sums[place[each.group.name]] = sums[place[each.group.name]] + size
        for group, _, size in sent:
            sums[1] = sums[1] + size * group.times(self.sizes)
        return sums[0], sums[1], sums[2]

    def _of_a_layer(self, policy: Recompute, sent: Sequence[Dispatched]) -> Number:
        """Bytes that the layer which saves most does."""
        layers: dict[str, list[Number]] = {}
        for each in self.network.saved(replace(policy, every=1)):
            if each.group.stacked:
                size = of_tensor(once(each), self.sizes, FloatWidths(self.precision), self.where)
                layers.setdefault(each.group.name, []).append(size)
        for group, _, size in sent:
            layers.setdefault(group.name, []).append(size)
        most: Number = 0.0
        for sizes in layers.values():
            most = maximum(most, added(sizes))
        return most

    def _places(self) -> dict[str, int]:
        groups = self.network.forward.groups
        return {group.name: place for group, place in zip(groups, places(groups), strict=True)}

    def _working(self) -> tuple[Number, Number, Number]:
        """The most bytes by place that the backward pass has written and still reads, gradients of weights apart."""
        groups = [g for g in self.sharded.groups if Phase.BACKWARD in g.phases and g.name != PIPELINE]
        weights = {t.name for g in self.sharded.groups for op in g.ops for t in op.reads if t.role == "weight"}
        written = [t for g in groups for op in g.ops for t in op.writes]
        own = {t.name for t in written if t.name not in weights and t.gradient_of not in weights}
        own -= {t.name for t in written if of_scores(t)} if self.network.loss.in_place else set()
        bare = [replace(g, ops=tuple(_only(op, own) for op in g.ops), stacked=True) for g in groups]
        alive = alive_bytes(Program(tuple(bare), self.sharded.sizes), Phase.BACKWARD, self.sizes,
                            FloatWidths(self.precision))  # fmt: skip
        most: list[Number] = [0.0, 0.0, 0.0]
        steps = iter(alive)
        for group, place in zip(groups, places(groups), strict=True):
            for _ in range(len(group.ops) * (2 if group.times(self.sizes) > 1 else 1)):
                most[2 - place] = maximum(most[2 - place], next(steps))
        if not any(group.stacked for group in groups):  # it begins when all of it is saved
            return 0.0, most[2], 0.0
        return most[0], most[1], most[2] + self._chunk()

    def _chunk(self) -> Number:
        """Bytes of the scores of one chunk, where the loss runs in chunks."""
        if self.network.loss.tokens is None:
            return 0.0
        whole = [of_tensor(each, self.sizes, FloatWidths(self.precision), self.where)
                 for each in self.network.saved(NOTHING) if of_scores(each.tensor)]  # fmt: skip
        return added(whole) * self.network.loss.share(self.sizes)


def dispatched(network: Network, sharded: Program, sizes: Sizes, widths: FloatWidths) -> Iterator[Dispatched]:
    """What is kept of tokens that experts were sent, for gradients of these: layers, dispatches, bytes of a layer. [B]

    It is there beside the tokens at hand, unless a policy makes whole layers again.
    """
    for group in (each for each in sharded.groups if Phase.FORWARD in each.phases and each.stacked):
        ops = {op.name: op for op in group.ops}
        for op in group.ops:
            reader = ops.get(op.name.partition(".")[0])
            if op.transfer is None or not op.dispatches or reader is None or reader.kind != "matmul":
                continue
            weights = [tensor for tensor in reader.reads if tensor.role == "weight"]
            if any(network.trained(tensor) for tensor in weights):
                narrow = any(tensor.name in network.narrow_names for tensor in weights)
                each = op.message_bytes(group.sizes(sizes), _one_byte if narrow else widths.width)
                yield group, op, each * where(op.transfer.devices > 1, 1, 0)


def _one_byte(_: Tensor) -> float:
    return 1.0


def _only(op: Op, names: set[str]) -> Op:
    """An operator with those of its tensors alone that bear one of these names."""
    reads, writes = (tuple(t for t in side if t.name in names) for side in (op.reads, op.writes))
    return replace(op, reads=reads, writes=writes, work=(), parts=(), transfer=None)
