"""A least-recently-used cache of blocks, block by block, and requests that share what came before."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from roofline.program.traffic.traces import Path
from roofline.simulation.arrivals import Arrivals
from roofline.simulation.ledger import Ledger


class Blocks:
    """Blocks by content, the least recently used first; those of a request leave from its end."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, OrderedDict[Any, None]()

    def serve(self, blocks: list[Any], prompt: int, *, last: bool) -> int:
        """One request at a time: its hits, in blocks of its prompt; then all of its own are there, and most recent.

        ``last``: it has a block beside them that is not full, and is lost with it.
        """
        hits = 0
        while hits < prompt and blocks[hits] in self.held:
            hits += 1
        for block in blocks[:hits]:
            self.held.move_to_end(block)
        for block in reversed(blocks):
            self.held[block] = None
            self.held.move_to_end(block)
        while len(self.held) > self.most - last:
            self.held.popitem(last=False)
        return hits


def blocks_of(path: Path, block: int) -> list[Any]:
    """The whole blocks of a path."""
    found, start = [], 0
    for name, end in path:
        found += [(name, at) for at in range(start // block, end // block)]
        start = end // block * block
    return found


def rounds(clients: int, many: int, tokens: int) -> tuple[Ledger, Arrivals]:
    """Clients in rounds, each of which adds as much as they began with."""
    prompt = np.repeat(np.arange(1, many + 1) * tokens, clients)
    paths = {n: ((("session", n % clients), int(prompt[n])),) for n in range(len(prompt))}
    return Ledger.of(prompt, np.ones_like(prompt), paths), Arrivals.at(np.repeat(np.arange(many) * 1e4, clients))
