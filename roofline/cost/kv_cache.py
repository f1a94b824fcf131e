"""The KV cache, and the states of recurrent layers: bytes that a sequence holds, and what each further token adds."""

from __future__ import annotations

import math
from typing import Literal

from roofline.number import Number, exact
from roofline.program.axes import Sizes
from roofline.program.op import CARRIED, Role
from roofline.program.program import Program
from roofline.program.workload import Precision


def cache_bytes(program: Program, sizes: Sizes, precision: Precision, roles: tuple[Role, ...] = CARRIED) -> Number:
    """Bytes of the key/value cache and of the states for B sequences of S tokens, or of one of the two."""
    held = [stated for stated in program.caches() if stated[2].role in roles]
    return sum(program.resident(group, op, tensor, sizes) * precision.width(tensor) for group, op, tensor in held)


def cache_growth(program: Program, precision: Precision, length: int, letter: Literal["S", "M"] = "S") -> int:
    """Bytes of KV cache that the ``length``-th token of a sequence adds: fewer once a window has been filled.

    Where so many tokens make one compressed entry, it is the mean over as many as make one of each kind.
    ``letter`` M: the token is one that an encoder reads, for cross-attention. A state does not grow.
    """
    sizes = {name: exact(size) for name, size in {**program.sizes, "B": 1, "T": 1, "S": 1, "M": 1}.items()}

    def held(tokens: int) -> Number:
        bound = {**sizes, letter: exact(tokens)}
        return sum(program.resident(*stated, bound) * precision.width(stated[2]) for stated in program.caches())

    rates = [size for group in program.groups if isinstance(size := group.local.get("x"), int)]
    period = math.lcm(*rates)
    first = max(length - period, 0)
    return int((held(first + period) - held(first)) / period)
