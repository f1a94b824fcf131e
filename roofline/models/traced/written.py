"""A trace as a file: tables of sizes, of accesses and of forms of calls, each said once, and calls as numbers of rows.

``{"roofline_trace": 1, "digest": ..., "trace": {...}}``; the digest is the SHA-256 of what stands in ``trace``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from roofline.errors import ConfigError
from roofline.files.atomic import atomic_writer
from roofline.models.outline import MARK
from roofline.models.traced.calls import Access, Attended, Call, Contraction, Kind, Recording, Value, Visit
from roofline.models.traced.extents import Extent, Operation
from roofline.models.traced.trace import Condition, Relation, Trace
from roofline.program.op import Role

VERSION = 1
Row = TypeVar("Row")
Json = list[Any]


def write_trace(trace: Trace, path: Path) -> None:
    """Write a trace whole, or not at all."""
    body = _Writer().trace(trace)
    with atomic_writer(path) as file:
        fields = ",\n".join(f"{json.dumps(name)}: {_lines(value)}" for name, value in body.items())
        head = f'"{MARK}": {VERSION}, "digest": "{_digest(body)}"'
        file.write(f'{{{head}, "trace": {{\n{fields}\n}}}}\n')


def read_trace(fields: Mapping[str, Any], where: str) -> Trace:
    """The trace that a file holds. Raises ConfigError, in one line, for one of another version or that was changed."""
    if fields.get(MARK) != VERSION:
        msg = f"{where}: {MARK} {str(fields.get(MARK))[:20]}: this version reads {VERSION}; record the trace anew"
        raise ConfigError(msg)
    body = fields.get("trace")
    if not isinstance(body, Mapping) or fields.get("digest") != _digest(body):
        msg = f"{where}: its digest is not that of its trace: the file was changed; record the trace anew"
        raise ConfigError(msg)
    try:
        return _Reader(body).trace(str(fields["digest"]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as failure:
        msg = f"{where}: is no trace ({type(failure).__name__}); record it anew"
        raise ConfigError(msg) from None


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _lines(value: Any) -> str:
    """A table with a few rows to a line, anything else on one."""
    if not isinstance(value, list) or not value or not isinstance(value[0], list):
        return json.dumps(value, separators=(",", ":"))
    rows = [json.dumps(row, separators=(",", ":")) for row in value]
    lines, held = list[str](), ""
    for row in rows:
        if held and len(held) + len(row) > 118:
            lines.append(held)
            held = ""
        held += f"{row},"
    return "[\n" + "\n".join([*lines, held]).rstrip(",") + "\n]"


class _Table:
    """Rows, each once, by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.rows: list[Json] = []

    def number(self, row: Json) -> int:
        """The number of a row, which is added if it is new."""
        key = json.dumps(row)
        if key not in self.numbers:
            self.numbers[key] = len(self.rows)
            self.rows.append(row)
        return self.numbers[key]


class _Writer:
    """What a trace is made of, as tables."""

    def __init__(self) -> None:
        self.extents, self.accesses, self.forms, self.inside = _Table(), _Table(), _Table(), _Table()
        self.parts: dict[str, int] = {}
        self.storages: dict[int, int] = {}
        self._known: dict[int, int] = {}

    def trace(self, trace: Trace) -> dict[str, Any]:
        """The fields of the file."""
        recording = trace.recording
        body = {
            "name": trace.name, "kind": trace.kind, "source": trace.source,
            "inputs": {name: list(sizes) for name, sizes in trace.inputs.items()}, "dims": dict(trace.dims),
            "most": trace.most, "most_where": trace.most_where, "losses": list(trace.losses),
            "conditions": [
                [self.extent(each.left), each.relation, self.extent(each.right), each.where]
                for each in trace.conditions
            ],
            "values": [self.value(each) for each in recording.values],
            "unread": [self.value(each) for each in recording.unread],
            "calls": [self.call(each) for each in recording.calls],
            "returned": sorted(recording.returned), "blocks": sorted(recording.blocks),
        }  # fmt: skip
        if recording.plan:
            body["plan"] = [list(each) for each in recording.plan]
        if recording.backward is not None:
            numbers = [[self.storages[each] for each in pair] for pair in recording.gradients]
            body |= {"backward": recording.backward, "gradients": numbers}
        if trace.step is not None:
            body["step"] = _Writer().trace(trace.step)
        tables = {"extents": self.extents, "accesses": self.accesses, "forms": self.forms, "inside": self.inside}
        return {**body, **{name: table.rows for name, table in tables.items()}}

    def extent(self, extent: Extent) -> int:
        """The number of a size, behind those that it is made of."""
        if id(extent) not in self._known:
            content: Json = [self.extent(part) for part in extent.parts]
            if not content:
                content = [extent.name or extent.value]
            self._known[id(extent)] = self.extents.number([extent.operation, *content])
        return self._known[id(extent)]

    def value(self, value: Value) -> Json:
        storage = self.storages.setdefault(value.storage, len(self.storages))
        return [storage, value.role, value.dtype, self.extent(value.whole), value.name]

    def access(self, access: Access) -> Json:
        sizes = [self.extent(each) for each in (access.elements, access.rows, access.columns)]
        part = self.parts.setdefault(access.part, len(self.parts))
        return [access.value, self.accesses.number([*sizes, part])]

    def call(self, call: Call) -> Json:
        shape: Json | None = None
        if isinstance(call.shape, Contraction | Attended):
            sizes = [getattr(call.shape, name) for name in type(call.shape).__dataclass_fields__]
            shape = [self.extent(each) if isinstance(each, Extent) else each for each in sizes]
        work = [self.extent(call.vector), self.extent(call.special)]
        form = self.forms.number([call.name, call.kind, call.leaf, call.caller, call.where, *work, shape])
        inside = self.inside.number([list(visit) for visit in call.inside])
        touched = [[part for each in side for part in self.access(each)] for side in (call.reads, call.writes)]
        return [form, inside, *touched]


class _Reader:
    """A trace from its tables; what is the same row is the same object."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.extents: list[Extent] = []
        for operation, *content in body["extents"]:
            self.extents.append(self._extent(operation, content))
        self.accesses = [(*map(self._at, sizes), str(part)) for *sizes, part in body["accesses"]]
        self.inside = [tuple((str(path), int(count)) for path, count in row) for row in body["inside"]]

    def _extent(self, operation: str, content: Sequence[Any]) -> Extent:
        if operation not in get_args(Operation):
            raise ValueError(operation)
        if operation == "number":
            return Extent("number", value=int(content[0]))
        if operation == "letter":
            return Extent("letter", name=str(content[0]))
        return Extent(cast("Operation", operation), tuple(self._at(each) for each in content))

    def _at(self, number: int) -> Extent:
        if number < 0:
            raise IndexError(number)
        return self.extents[number]

    def trace(self, digest: str) -> Trace:
        """The trace."""
        b = self.body
        inputs = {str(name): tuple(sizes) for name, sizes in b["inputs"].items()}
        conditions = tuple(
            Condition(self._at(left), _one_of(relation, Relation), self._at(right), str(where))
            for left, relation, right, where in b["conditions"]
        )
        values = tuple(self.value(row) for row in b["values"])
        calls = tuple(self.call(place, row) for place, row in enumerate(b["calls"]))
        unread = tuple(self.value(row) for row in b["unread"])
        learning = tuple((int(own), int(of)) for own, of in b.get("gradients", ()))
        ends = (frozenset(b["returned"]), unread, frozenset(b["blocks"]), b.get("backward"), learning)
        plan = tuple((str(path), str(style)) for path, style in b.get("plan", ()))
        recording = Recording(calls, values, *ends, plan=plan)
        named = (str(b["name"]), str(b["kind"]), str(b["source"]))
        step = _Reader(b["step"]).trace("") if "step" in b else None
        return Trace(
            *named, inputs, dict(b["dims"]), conditions, recording, int(b["most"]), str(b["most_where"]),
            tuple(b["losses"]), digest, step,
        )  # fmt: skip

    def value(self, row: Json) -> Value:
        storage, role, dtype, whole, name = row
        return Value(int(storage), _one_of(role, Role), str(dtype), self._at(whole), str(name))

    def touched(self, row: Json) -> tuple[Access, ...]:
        return tuple(Access(value, *self.accesses[form]) for value, form in zip(row[::2], row[1::2], strict=True))

    def call(self, place: int, row: Json) -> Call:
        form, inside, reads, writes = row
        name, kind, leaf, caller, where, vector, special, shape = self.body["forms"][form]
        visits: tuple[Visit, ...] = self.inside[inside]
        sizes: Contraction | Attended | None = None
        if shape is not None and isinstance(shape[-1], bool):
            batch, queries, keys, heads, groups, width, value_width = map(self._at, shape[:-1])
            sizes = Attended(batch, queries, keys, heads, groups, width, value_width, causal=shape[-1])
        elif shape is not None:
            sizes = Contraction(*map(self._at, shape))
        return Call(
            place, name, _one_of(kind, Kind), visits[-1][0] if visits else "", visits, bool(leaf), caller, where,
            self.touched(reads), self.touched(writes), self._at(vector), self._at(special), sizes,
        )  # fmt: skip


def _one_of(word: str, words: Any) -> Any:
    """A word of those. Raises ValueError for another."""
    if word not in get_args(words):
        raise ValueError(word)
    return word
