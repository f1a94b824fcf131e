"""Which tensors of a traced module devices of tensor parallelism share, as its plan says, and what they exchange.

A plan names modules or parameters and how each lies: ``colwise`` splits the features that a linear layer writes,
``rowwise`` those that it reads, after which its output is a sum over devices. From there the layout follows the data:
elementwise work on a part writes a part, attention on a part of the heads writes theirs, and a sum over devices stays
one through what is linear, until the module ends that the plan has add it up.

Source: Megatron-LM (arXiv 1909.08053), section 3; the styles are those of transformers 5.23,
distributed/tensor_parallel.py, and of torch.distributed.tensor.parallel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from math import prod
from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.models.traced.calls import ATTENTION_BACKWARD, Access, Attended, Call, Contraction, Recording, Visit
from roofline.models.traced.extents import ONE, Extent, constant
from roofline.program.program import BOTH_PASSES
from roofline.program.transfers import Collective

Lies: TypeAlias = Literal["columns", "depth", "rows", ""]
"""What of a weight is split: the features that it writes, those that it reads, rows of a table; or nothing."""

Exchange: TypeAlias = Collective | Literal[""]

STYLES: dict[str, tuple[Lies, Exchange]] = {
    "colwise": ("columns", ""), "packed_colwise": ("columns", ""), "colwise_rep": ("columns", "all_gather"),
    "colwise_gather_output": ("columns", "all_gather"), "rowwise": ("depth", "all_reduce"),
    "rowwise_rep": ("depth", "all_reduce"), "rowwise_split_input": ("depth", "all_reduce"),
    "packed_rowwise": ("depth", ""), "embedding_rowwise": ("rows", "all_reduce"),
    "embedding_colwise": ("columns", "all_gather"), "all_reduce": ("", "all_reduce"),
    "moe_tp_experts": ("", "all_reduce"), "replicate": ("", ""), "replicated_with_grad_allreduce": ("", ""),
    "local_params": ("", ""), "mla_kv_a_proj": ("", ""),
}  # fmt: skip
"""Style of a plan -> how the weights of a module lie, and what its output needs before others read it."""

_LINEAR = frozenset(
    """mul div add sub neg sum clone _to_copy cat copy stack slice_scatter select_scatter constant_pad_nd masked_fill
    contiguous repeat flip roll index gather index_select scatter_add index_add index_put index_copy scatter zeros
    slice_backward select_backward""".split()
)
"""What sums over devices go through as they are: each device does it to its own, and the sum comes after."""

_ADDING = frozenset("add sub cat stack index_add scatter_add index_put".split())
"""Those of which every operand must be such a sum, or zeros: others would be added once by each device."""

_RUNS_OVER = ("norm", "softmax", "reduction", "scan")
"""Kinds that run over the last axis of what they read."""


@frozen
class _Part:
    """A value of which each device has a part, or, if ``partial``, what they are to add up.

    ``last``: the width of the last axis where that is split; ``columns``: of the last axis as it was written.
    ``ends``: the call of a module after which it is whole, by ``exchange``.
    """

    partial: bool
    columns: Extent
    last: Extent | None = None
    ends: Visit | None = None
    exchange: Exchange = ""


@frozen
class Spread:
    """How the values of a recording lie on devices of tensor parallelism.

    ``split``: values of which each device has a part; ``weights``: what of a weight's storage is split; ``axes``: place
    of a call -> the axis of its statement that is; ``sums``: values behind which a collective stands, each with it and
    the module that it ends. ``problem``: why nothing of it is split.
    """

    split: frozenset[int] = frozenset()
    weights: Mapping[int, Lies] = field(default_factory=dict)
    axes: Mapping[int, str] = field(default_factory=dict)
    sums: Mapping[int, tuple[Exchange, str]] = field(default_factory=dict)
    problem: str = ""

    def touches(self, calls: Sequence[Call], recording: Recording) -> bool:
        """Whether any of the calls works on a part."""
        accesses = (access for call in calls for access in (*call.reads, *call.writes))
        return any(
            access.value in self.split
            or access.value in self.sums
            or recording.values[access.value].storage in self.weights
            for access in accesses
        )


WHOLE = Spread()
"""Everything whole on each device."""

NO_PLAN = "its module names no plan of tensor parallelism (tp_plan)"


def spread_of(recording: Recording) -> Spread:
    """How the plan of a recording spreads it, or why it cannot."""
    if recording.backward is not None:
        return Spread(problem=BOTH_PASSES)
    if not recording.plan:
        return Spread(problem=NO_PLAN)
    try:
        return _Walk(recording).spread()
    except _Unsplit as failure:
        return Spread(problem=str(failure))


class _Unsplit(Exception):  # noqa: N818  (caught here)
    """A plan that does not go with what the code does."""


class _Walk:
    """The calls of a recording in order, each asked how what it writes lies."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.parts: dict[int, _Part] = {}
        self.split: set[int] = set()
        self.axes: dict[int, str] = {}
        self.sums: dict[int, tuple[Exchange, str]] = {}
        self.outputs: dict[str, Exchange] = {}
        self.weights: dict[int, Lies] = {}
        self.filled: set[int] = set()
        for path, style in recording.plan:
            self._lay(path, style)

    def _lay(self, path: str, style: str) -> None:
        if style not in STYLES:
            msg = f"its plan has {path} {style}, which is not modelled"
            raise _Unsplit(msg)
        lies, exchange = STYLES[style]
        whole = True
        for value in self.recording.values:
            if value.role != "weight" or value.name not in (path, *([value.name] if _within(value.name, path) else [])):
                continue
            whole = whole and value.name != path
            if lies and not (lies == "depth" and value.name.endswith("bias")):
                self.weights[value.storage] = lies
        if whole and exchange:
            self.outputs[path] = exchange

    def spread(self) -> Spread:
        """How all lies."""
        if not self.weights:
            msg = "its plan splits none of its weights"
            raise _Unsplit(msg)
        for call in self.recording.calls:
            self._enter(call)
            self._run(call)
            if call.kind == "fill":
                self.filled |= {access.value for access in call.writes}
        for value in sorted(self.recording.returned):
            self._end(value)
        left = {value for value, part in self.parts.items() if part.partial and value not in self.sums}
        read = {access.value for call in self.recording.calls for access in call.reads}
        if lost := sorted(left - read):
            msg = f"nothing in its plan adds up what {self._writer(lost[0])} leaves on each device"
            raise _Unsplit(msg)
        return Spread(frozenset(self.split), self.weights, self.axes, self.sums)

    def _writer(self, value: int) -> str:
        call = next(call for call in self.recording.calls if value in {access.value for access in call.writes})
        return _said(call)

    def _enter(self, call: Call) -> None:
        """Values that this call reads outside the module that ends with a collective."""
        for access in call.reads:
            part = self.parts.get(access.value)
            if part is not None and part.ends is not None and part.ends not in call.inside:
                self._end(access.value)

    def _end(self, value: int) -> None:
        part = self.parts.get(value)
        if part is not None and part.ends is not None:
            self.sums[value] = (part.exchange, part.ends[0])
            del self.parts[value]

    def _part(self, access: Access) -> _Part | None:
        return self.parts.get(access.value)

    def _lies(self, access: Access) -> Lies:
        return self.weights.get(self.recording.values[access.value].storage, "")

    def _write(self, call: Call, part: _Part) -> None:
        """All that a call writes lies so."""
        needs: Exchange = "all_reduce" if part.partial else "all_gather"
        ends = next((visit for visit in reversed(call.inside) if self.outputs.get(visit[0]) == needs), None)
        own = replace(part, ends=ends, exchange="" if ends is None else needs)
        for access in call.writes:
            self.parts[access.value] = replace(own, columns=access.columns)
            if not part.partial:
                self.split.add(access.value)

    def _run(self, call: Call) -> None:
        read = [(access, self._part(access), self._lies(access)) for access in call.reads]
        if not any(part or lies for _, part, lies in read):
            return
        if isinstance(call.shape, Contraction) and call.kind == "matmul":
            self._matmul(call, call.shape)
        elif isinstance(call.shape, Attended) and call.name != ATTENTION_BACKWARD:
            self._attention(call, call.shape)
        elif call.kind == "gather" and read[0][2]:
            self._table(call, read[0][2])
        elif call.kind in ("pointwise", "reduction", "norm", "softmax", "gather", "scatter", "scan", "fill"):
            self._light(call)
        else:
            msg = f"{_said(call)} reads a part of a tensor, and nothing says how it is split"
            raise _Unsplit(msg)

    def _matmul(self, call: Call, shape: Contraction) -> None:
        a, b = call.reads[:2]
        weight, other = (a, b) if self._of_weight(a) and not self._of_weight(b) else (b, a)
        lies, part = self._lies(weight), self._part(other)
        if part is not None and part.partial:
            msg = f"{_said(call)} multiplies what devices have yet to add up"
            raise _Unsplit(msg)
        if lies == "columns" and part is None:
            self.axes[call.place] = "r" if weight is a else "n"
            self._write(call, _Part(False, ONE, last=call.writes[0].columns))
        elif lies == "depth":
            self.axes[call.place] = "k"
            self._write(call, _Part(True, ONE))
        elif not lies and not self._of_weight(weight) and shape.batch != ONE and not self._contracted(call):
            self.axes[call.place] = "b"
            self.split |= {access.value for access in (a, b)}
            self._write(call, _Part(False, ONE))
        else:
            what = "a part of what it contracts" if part else "its weight in a way that it does not multiply by"
            msg = f"{_said(call)} has {what}: its plan does not split its weight to go with that"
            raise _Unsplit(msg)

    def _contracted(self, call: Call) -> bool:
        """Whether the last axis of an operand is split: it is no axis of the batch then."""
        return any(part is not None and _is_last(each, part) for each in call.reads[:2] if (part := self._part(each)))

    def _of_weight(self, access: Access) -> bool:
        return self.recording.values[access.value].role == "weight"

    def _attention(self, call: Call, shape: Attended) -> None:
        """Heads are split; one key/value head is whole on each device."""
        query, *keys = (self._part(access) for access in call.reads[:3])
        caches = [self.recording.values[access.value].role == "kv_cache" for access in call.reads[1:3]]
        alike = all(part is not None or own for part, own in zip(keys, caches, strict=True))
        shared = shape.kv_heads == ONE and not any(keys)
        if query is None or query.partial or any(part and part.partial for part in keys) or not (alike or shared):
            msg = f"{_said(call)} has queries or keys that its plan splits, and not both"
            raise _Unsplit(msg)
        self.axes[call.place] = "heads"
        if alike:
            self.split |= {access.value for access in call.reads[1:3]}
        self._write(call, _Part(False, ONE, last=_times(shape.kv_heads, shape.groups, shape.value_dim)))

    def _table(self, call: Call, lies: Lies) -> None:
        """Rows of a table: of another device's a device writes zeros, and all are added up."""
        if lies == "rows":
            self._write(call, _Part(True, ONE))
        else:
            self.axes[call.place] = "part"
            self._write(call, _Part(False, ONE, last=call.writes[0].columns))

    def _light(self, call: Call) -> None:
        """Elementwise work and what runs over an axis."""
        read = [(access, self._part(access)) for access in call.reads]
        if any(self._lies(access) == "rows" for access, _ in read):
            msg = f"{_said(call)} reads a table of which each device has some rows"
            raise _Unsplit(msg)
        partial = [part for _, part in read if part is not None and part.partial]
        if partial:
            self._sum(call, read, partial[0])
            return
        for access, part in read:
            if part is not None and call.kind in _RUNS_OVER and _is_last(access, part):
                msg = f"{_said(call)} runs over an axis that its plan splits"
                raise _Unsplit(msg)
        self.axes[call.place] = "part"
        for access in call.reads:  # caches of the tokens before lie as the new ones do
            if self.recording.values[access.value].role == "kv_cache":
                self.split.add(access.value)
        known = [(access, part) for access, part in read if part is not None]
        last = next((part.last for _, part in known if part.last is not None), None)
        if not known:  # a weight that is split, such as a bias
            last = call.writes[0].columns
        self._write(call, _Part(False, ONE, last=last))

    def _sum(self, call: Call, read: Sequence[tuple[Access, _Part | None]], part: _Part) -> None:
        """A sum over devices, behind what is linear."""
        others = [access for access, own in read if own is None or not own.partial]
        bare = [access for access in others if not self._is_index(access) and access.value not in self.filled]
        alone = call.name in _ADDING and bool(bare)
        several = call.name in ("mul", "div") and len(read) - len(others) > 1
        if call.name not in _LINEAR or alone or several or any(own and not own.partial for _, own in read):
            msg = f"{_said(call)} reads what devices have yet to add up"
            raise _Unsplit(msg)
        self._write(call, part)

    def _is_index(self, access: Access) -> bool:
        return self.recording.values[access.value].role == "index"


def _times(*sizes: Extent) -> Extent:
    """A product, as a number where all are."""
    if all(size.operation == "number" for size in sizes):
        return constant(prod(size.value for size in sizes))
    return Extent("product", sizes)


def _within(name: str, path: str) -> bool:
    """Whether a parameter is a module's own."""
    return name.rpartition(".")[0] == path


def _is_last(access: Access, part: _Part) -> bool:
    """Whether the last axis, as it is read, is the one that is split."""
    return access.columns == part.last if part.last is not None else access.columns != part.columns


def _said(call: Call) -> str:
    return f"{call.path or call.name} ({call.where})" if call.where else call.path or call.name
