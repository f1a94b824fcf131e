"""Selective activation checkpointing by operator: what matmuls and attention wrote is kept, all else made again."""

from __future__ import annotations

from roofline.program.op import Op
from roofline.program.program import Group
from roofline.program.recompute import NOTHING, SELECTIVE_OP, Recompute
from roofline.training.network import Network
from roofline.training.recomputing.layer import Key, Layer, statements_of

_EVERY = 2
"""Of so many matmuls the first is kept."""


def by_operator(network: Network) -> Recompute:
    """The policy that keeps the output of every second matmul of a layer, the first among them, and attention's.

    A projection that is rotated is kept as attention reads it. Source: torchtitan, activation_checkpoint.py,
    ``selective_ac_option = "op"``; experts' grouped matmuls are made again.
    """
    held = {(each.group.name, each.op.name, each.tensor.name) for each in network.saved(NOTHING) if each.group.stacked}
    layers = [Layer(group, held) for group in network.forward.groups if group.stacked]
    kept = {key for layer in layers for key in _kept(layer.group, held) | layer.streams}
    dropped = frozenset(held - kept)
    again = frozenset(name for layer in layers for name in layer.again(dropped))
    return Recompute(SELECTIVE_OP, dropped=dropped, runs=again)


def _kept(group: Group, held: set[Key]) -> set[Key]:
    """What is kept of a layer beside what it is given."""
    stated = [(op, part) for op in group.ops for part in statements_of(op)]
    matmuls = [part for _, part in stated if part.kind == "matmul"]
    chosen = {tensor.name for part in matmuls[::_EVERY] for tensor in part.writes}
    found: set[Key] = set()
    for op, part in stated:
        names = {tensor.name for tensor in part.writes}
        found |= {(group.name, op.name, name) for name in names if _keeps(part, name, chosen)}
    return found & held


def _keeps(part: Op, name: str, chosen: set[str]) -> bool:
    return part.kind == "attention" or (name in chosen and part.kind != "norm")
