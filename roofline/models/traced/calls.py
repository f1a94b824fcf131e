"""What one run of a module leaves behind: its calls of torch and the values that they read and write, without torch."""

from __future__ import annotations

from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.models.traced.extents import Extent
from roofline.number import added
from roofline.program.op import Role

Kind: TypeAlias = Literal[
    "view", "empty", "fill", "matmul", "convolution", "attention", "pointwise", "reduction", "norm", "softmax",
    "gather", "scatter", "scan", "pool", "resample", "unknown",
]  # fmt: skip
"""What an operator does. ``unknown`` is what nothing here says the cost of: it is named in every answer."""

ATTENTION_BACKWARD = "attention_backward"
"""The backward pass of a fused attention: its gradient, queries, keys, values, a mask, output, statistics."""

FLEX = "flex_attention"
"""A fused attention that changes each score by a function of the user's."""

GROUPED = "_grouped_mm"
"""Rows that are sorted by expert, each with the matrix of its own."""

Visit: TypeAlias = tuple[str, int]
"""A call of a module: its path, and how many calls of it there were before."""


@frozen
class Value:
    """What lies in a storage from one write to the next. ``storage`` is the same for all that overwrite each other.

    ``name``: of a parameter, a buffer or an input; empty where the module computed it. ``whole``: all its elements.
    """

    storage: int
    role: Role
    dtype: str
    whole: Extent
    name: str = ""


@frozen
class Access:
    """Elements of a value that a call reads or writes, in rows of its last axis.

    ``part`` tells different parts of a storage apart.
    """

    value: int
    elements: Extent
    rows: Extent
    columns: Extent
    part: str = ""


@frozen
class Contraction:
    """The sizes of a contraction ``y[batch rows columns] = a[batch rows depth] b[batch depth columns]``."""

    batch: Extent
    rows: Extent
    depth: Extent
    columns: Extent


@frozen
class Attended:
    """The sizes of an attention; ``causal``: each query sees the keys up to its own place."""

    batch: Extent
    queries: Extent
    keys: Extent
    kv_heads: Extent
    groups: Extent
    head_dim: Extent
    value_dim: Extent
    causal: bool


@frozen
class Call:
    """One operator that ran.

    ``path``: the module that it ran in, ``inside`` all modules around it with their calls; ``leaf``: that module holds
    no other. ``caller``: the Python function that called it, ``where`` its file and line. ``vector`` and ``special``:
    elementwise and transcendental operations. ``shape``: of a contraction or an attention. ``reads`` of those begin
    with their operands.
    """

    place: int
    name: str
    kind: Kind
    path: str
    inside: tuple[Visit, ...]
    leaf: bool
    caller: str
    where: str
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    vector: Extent
    special: Extent
    shape: Contraction | Attended | None = None

    @property
    def heavy(self) -> bool:
        """Whether it is a kernel by itself, which nothing is fused across."""
        return self.kind not in ("pointwise", "reduction", "norm", "softmax", "gather", "fill")


@frozen
class Recording:
    """All calls of a run, the values by number, those that it returns, and the parameters that nothing read.

    ``backward``: the place of the first call of the backward pass, None where there is none. ``gradients``: storages of
    gradients, each with that of the parameter whose gradient it is. ``again``: the places of calls of the backward pass
    that make again what the forward pass made. ``plan``: paths of modules and parameters, each with how tensor
    parallelism lays it, as the module says. ``routed``: values that pass between the kernels of experts, where they are
    one chain.
    """

    calls: tuple[Call, ...]
    values: tuple[Value, ...]
    returned: frozenset[int]
    unread: tuple[Value, ...]
    blocks: frozenset[str]
    backward: int | None = None
    gradients: tuple[tuple[int, int], ...] = ()
    again: frozenset[int] = frozenset()
    plan: tuple[tuple[str, str], ...] = ()
    routed: frozenset[int] = frozenset()

    @property
    def decodes(self) -> bool:
        """Whether it is a step over caches that it was given, which predicts one token."""
        return any(value.role == "kv_cache" for value in self.values)

    @property
    def parameters(self) -> int:
        """The parameters of the module, each once."""
        wholes = {value.storage: value.whole for value in (*self.values, *self.unread) if value.role == "weight"}
        return int(added(whole({}) for whole in wholes.values()))

    @property
    def passes(self) -> tuple[tuple[Call, ...], tuple[Call, ...]]:
        """The calls of the forward pass, and those of the backward pass."""
        cut = len(self.calls) if self.backward is None else self.backward
        return self.calls[:cut], self.calls[cut:]
