"""One operator by itself: what it costs and how long it takes, for numbers or for arrays of them.

Each kind is one statement of the software wing, with its letters bound to the sizes that its name suggests; counts come
from there, times from the constants that the same operator has inside a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from roofline.axes import Sizes
from roofline.calibration import ConstantSet, Execution, Provenance
from roofline.cost import operator_cost
from roofline.errors import UsageError, shown
from roofline.hardware import HardwareSpec, edited_device
from roofline.layers.attention import attention
from roofline.layers.embedding import token_embedding
from roofline.layers.normalization import norm
from roofline.number import Number, exact, settled
from roofline.op import Op, Tensor, contract, elementwise, weight
from roofline.operator_sizes import KINDS, Columns, broadcast, check_names, find_bad_size, read_size
from roofline.prediction import SCHEMA_VERSION, tool_version
from roofline.provenance import calibration_in, constants_of
from roofline.timing import banded, time_cost
from roofline.workload import Precision

FIGURES = ("flops", "vector_flops", "bytes", "intensity", "time_s", "bound_s", "low_s", "high_s", "bound_by",
           "share_latency", "share_compute", "share_memory")  # fmt: skip

_BOUNDS = np.array(["latency", "compute", "memory"])


@dataclass(frozen=True, slots=True, eq=False)
class OperatorPrediction:
    """What an operator costs on a device. Numbers, or read-only numpy arrays where arrays went in.

    flops: contractions; vector_flops: elementwise work; bytes: compulsory traffic; intensity in FLOP/B, of the
    contractions. Shares sum to one; ``bound_by`` names the largest.
    """

    kind: str
    hardware: HardwareSpec
    dtype: str
    execution: Execution
    constants: ConstantSet
    sizes: Mapping[str, Any]
    flops: Number
    vector_flops: Number
    bytes: Number
    intensity: Number
    time_s: Number
    bound_s: Number
    low_s: Number
    high_s: Number
    bound_by: Any
    share_latency: Number
    share_compute: Number
    share_memory: Number
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def band(self) -> tuple[float, float, str]:
        """Low and high of the band, as factors of the time, and its evidence; over all kinds for rows of two kinds."""
        if self.kind != "attention":
            return self.constants.band(self.kind, self.dtype)
        decoding = np.asarray(self.sizes["query"]) == 1
        if decoding.all() or not decoding.any():
            return self.constants.band("attention_decode" if decoding.all() else "attention_prefill", self.dtype)
        return self.constants.band("", self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``op``: SI base units, names with their units, lists where arrays went in."""
        plain = {name: _plain(getattr(self, name)) for name in FIGURES if not name.startswith("share_")}
        shares = {name: _plain(getattr(self, f"share_{name}")) for name in ("latency", "compute", "memory")}
        sizes = {
            name: (np.asarray(v) == 1).tolist() if name == "causal" else _plain(v) for name, v in self.sizes.items()
        }
        used = {"dtype": self.dtype, "execution": self.execution, "constants": self.constants.name}
        return {
            "schema_version": SCHEMA_VERSION,
            "version": tool_version(),
            "kind": self.kind,
            "hardware": {"name": self.hardware.name, "count": 1, "overrides": dict(self.overrides)},
            "inputs": {**sizes, **used},
            **plain,
            "shares": {**shares, "link": _plain(0.0 * self.share_memory)},
            "provenance": self.constants.provenance,
            "band": dict(zip(("low", "high", "evidence"), self.band, strict=True)),
            "notes": list(self.hardware.cautions),
        }


def predict_op(
    kind: str,
    hardware: str | Path | HardwareSpec,
    *,
    dtype: str | None = None,
    execution: Execution | None = None,
    constants: Provenance | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  (the keywords are the flags)
    **sizes: Any,
) -> OperatorPrediction:
    """The cost and the time of one operator, or of as many as the arrays among ``sizes`` have elements.

    Kinds and sizes: matmul m, k, n (``x[m k] w[k n]``); attention batch, query, context, heads, kv_heads, head_dim,
    causal (true or false; query and context are tokens; one query token is a decode step); elementwise rows, columns,
    inputs (tensors read); norm (RMS) and softmax rows, columns; embedding tokens, columns. Numbers and numpy arrays
    broadcast. dtype: the device's default if left out. ``set`` edits fields of the device, as in
    ``{"hardware.memory.hbm.bandwidth": "6TB/s"}``. Raises UsageError for a wrong kind or size, WorkloadError for a
    dtype that the device lacks, SpecError for an unknown device.

    >>> up = predict_op("matmul", "h100", m=16, k=4096, n=14336)
    >>> up.flops, up.bytes, up.bound_by
    (1879048192, 118030336, 'memory')
    >>> predict_op("matmul", "h100", m=np.array([16, 4096]), k=4096, n=14336).bound_by.tolist()
    ['memory', 'compute']
    """
    check_names(kind, sizes)
    clock = OperatorClock.of(hardware, execution, constants, set)
    columns = broadcast({name: read_size(name, sizes[name]) for name in KINDS[kind]})
    if bad := find_bad_size(kind, columns):
        where = f", row {bad.row}" if isinstance(columns[bad.column], np.ndarray) else ""
        msg = f"{kind}: {bad.column}{where}: {shown(bad.given)}, expected {bad.expected}"
        raise UsageError(msg)
    return clock.time(kind, dtype, columns)


@dataclass(frozen=True, slots=True)
class OperatorClock:
    """A device with its constants: times operators whose sizes were checked.

    ``name`` asks for the constants of an operator inside a model, where it has its own.
    """

    device: HardwareSpec
    execution: Execution
    constants: ConstantSet
    default_dtype: str = field(default="")
    name: str = ""
    overrides: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        hardware: str | Path | HardwareSpec,
        execution: Execution | None,
        constants: Provenance | None,
        edits: Mapping[str, Any] | None = None,
    ) -> OperatorClock:
        """The clock of a device, or of a calibration; what is left out takes the defaults of the command line."""
        known, own = calibration_in(hardware)
        device = edited_device(known, edits or {})
        how: Execution = execution or ("graph" if device.kind != "cpu" else "eager")
        return cls(
            device,
            how,
            constants_of(device, constants, own),
            device.default_dtype(),
            overrides=tuple((edits or {}).items()),
        )

    def time(self, kind: str, dtype: str | None, columns: Columns) -> OperatorPrediction:
        """The prediction for checked sizes. Raises UsageError or WorkloadError for the dtype."""
        name = dtype or self.default_dtype
        precision = Precision(name, name, name)
        self.device.contraction_unit(name)
        some = next(iter(columns.values()))
        parts = [(where, self._figures(kind, precision, part)) for where, part in _parts(kind, columns)]
        figures = parts[0][1] if parts and parts[0][0] is None else _joined(parts, some.shape)
        for value in figures.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        used = self.constants.for_dtypes([name])
        asked = (kind, self.device, name, self.execution, used, dict(columns))
        return OperatorPrediction(*asked, **figures, overrides=self.overrides)

    def _figures(self, kind: str, precision: Precision, columns: Columns) -> dict[str, Any]:
        """The figures of rows that share a statement and constants."""
        some = next(iter(columns.values()))
        array = isinstance(some, np.ndarray)
        op, sizes = statement_of(kind, columns)
        cost = operator_cost(op, sizes if array else {a: exact(size) for a, size in sizes.items()}, precision)
        decoding = kind == "attention" and bool(np.all(columns["query"] == 1))
        timing = time_cost(cost, self.device, self.constants, self.execution, decoding, self.name)
        bound, low, high = banded(timing)
        shares = np.stack(np.broadcast_arrays(timing.latency, timing.compute, timing.memory))
        figures = {
            "flops": cost.flops,
            "vector_flops": cost.vector_flops,
            "bytes": cost.bytes,
            "intensity": cost.flops / cost.bytes,
            "time_s": timing.time_s,
            "bound_s": bound,
            "low_s": low,
            "high_s": high,
            "bound_by": _BOUNDS[np.argmax(shares, axis=0)],
            **{f"share_{name}": share for name, share in zip(_BOUNDS.tolist(), shares, strict=True)},
        }
        if array:
            return {name: np.array(np.broadcast_to(value, some.shape)) for name, value in figures.items()}
        counts = ("flops", "vector_flops", "bytes")
        plain = {name: settled(value) if name in counts else value for name, value in figures.items()}
        return {name: v if name in counts else str(v) if name == "bound_by" else float(v) for name, v in plain.items()}


def statement_of(kind: str, columns: Columns) -> tuple[Op, Sizes]:
    """The statement of a kind and the sizes of its axes; ``inputs`` and ``causal`` must be alike in all rows."""
    return _STATEMENTS[kind](columns)


def _parts(kind: str, columns: Columns) -> Iterator[tuple[Any, Columns]]:
    """Rows that share a statement and constants, with where they stand; None stands for all rows, or for a number."""
    splits = columns["causal"] * 2 + (columns["query"] == 1) if kind == "attention" else None
    key = columns.get("inputs", 1) if splits is None else splits
    values = np.unique(key)
    if len(values) == 1 or not isinstance(key, np.ndarray):
        yield None, columns
        return
    for value in values:
        where = key == value
        yield where, {name: column[where] for name, column in columns.items()}


def _joined(parts: list[tuple[Any, dict[str, Any]]], shape: tuple[int, ...]) -> dict[str, Any]:
    whole = {name: np.empty(shape, "U7" if name == "bound_by" else np.float64) for name in FIGURES}
    for where, figures in parts:
        for name, values in figures.items():
            whole[name][where] = values
    return whole


def _matmul(columns: Columns) -> tuple[Op, Sizes]:
    op = contract("matmul", Tensor("x", "B D"), weight("w", "D F"), Tensor("y", "B F"))
    return op, {"B": columns["m"], "D": columns["k"], "F": columns["n"]}


def _attention(columns: Columns) -> tuple[Op, Sizes]:
    (op,) = attention(mask="causal" if np.all(columns["causal"]) else "full")
    letters = {"B": "batch", "T": "query", "S": "context", "K": "kv_heads", "H": "head_dim"}
    groups = columns["heads"] // columns["kv_heads"]
    return op, {**{letter: columns[name] for letter, name in letters.items()}, "G": groups}


def _elementwise(columns: Columns) -> tuple[Op, Sizes]:
    """One operation per element and tensor beyond the first, as an addition of them; one for a single tensor."""
    inputs = int(np.ravel(columns["inputs"])[0]) if np.size(columns["inputs"]) else 1
    tensors = [Tensor(f"x{i}", "B D") for i in range(inputs)]
    op = elementwise("elementwise", tensors, Tensor("y", "B D"), flops=max(1, inputs - 1))
    return op, _grid(columns)


def _norm(columns: Columns) -> tuple[Op, Sizes]:
    return norm("norm", Tensor("x", "B D"), Tensor("y", "B D"), kind="rms"), _grid(columns)


def _softmax(columns: Columns) -> tuple[Op, Sizes]:
    _, op, _ = attention(mask="full", fused=False)
    return op, {"B": columns["rows"], "S": columns["columns"], "K": 1, "G": 1, "T": 1}


def _embedding(columns: Columns) -> tuple[Op, Sizes]:
    return token_embedding(), {"B": columns["tokens"], "T": 1, "D": columns["columns"]}


def _grid(columns: Columns) -> Sizes:
    return {"B": columns["rows"], "D": columns["columns"]}


_STATEMENTS: dict[str, Callable[[Columns], tuple[Op, Sizes]]] = {
    "matmul": _matmul,
    "attention": _attention,
    "elementwise": _elementwise,
    "norm": _norm,
    "softmax": _softmax,
    "embedding": _embedding,
}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
