"""One operator by itself: what it costs and how long it takes, for numbers or for arrays of them.

Each kind is one statement of the software wing, with its letters bound to the sizes that its name suggests; counts come
from there, times from the constants that the same operator has inside a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from roofline.calibration.constants import ConstantSet
from roofline.calibration.provenance import calibration_under, read_constants
from roofline.classes import frozen
from roofline.compression.recipes import Recipe, names_recipe
from roofline.cost.cost import Cost, operator_cost
from roofline.engines.engine import Engine, fields_of
from roofline.errors import UsageError, shown
from roofline.hardware.loading import edited_device
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System
from roofline.layers.expert_load import UNIFORM, Routing
from roofline.number import Number, added, exact, settled
from roofline.operators.sizes import (
    ROUTED,
    RULES,
    WORDS,
    Columns,
    broadcast,
    check_names,
    find_bad_size,
    read_size,
    sizes_of,
)
from roofline.operators.statements import statement_of
from roofline.operators.stored import STORED, StoredOps
from roofline.options.keywords import part, takes
from roofline.options.verbs.operators import ClockOptions, OpOptions, OpSizes
from roofline.prediction.fleet import Fleet, fleet_of
from roofline.program.axes import Sizes
from roofline.program.workload import DTYPE_BYTES, Precision
from roofline.timing.engine_choice import (
    Launching,
    kernels_of,
    read_engine,
    single_loads,
    unknown_kernels,
    unpacks_untimed,
)
from roofline.timing.machine import dtype_of
from roofline.timing.networks import LinkUse, Network, band_of
from roofline.timing.timing import PARTS, Timing
from roofline.units import format_quantity
from roofline.version import versions

FIGURES = ("flops", "vector_flops", "bytes", "intensity", "time_s", "bound_s", "low_s", "high_s", "bound_by",
           "share_latency", "share_compute", "share_memory", "share_link", "link_bytes")  # fmt: skip

_PARTS = np.array(PARTS)

_MATTERS = 0.05
"""The part of a time from which a cache is worth a word."""


@frozen(eq=False)
class OperatorPrediction:
    """What an operator costs on a device. Numbers, or read-only numpy arrays where arrays went in.

    flops: contractions; vector_flops: elementwise work; bytes: compulsory traffic; intensity in FLOP/B, of the
    contractions. Shares sum to one; ``bound_by`` names the largest. ``kernels_dtype``: the dtype whose constants it
    takes, where a recipe names another, and ``recipe`` how operands are stored then. A collective has the bytes that
    each device sends, the form that is the fastest, and the network that it runs on.
    """

    kind: str
    hardware: HardwareSpec
    dtype: str
    engine: Engine
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
    share_link: Number = 0.0
    link_bytes: Number = 0
    form: Any = ""
    network: Network | None = None
    overrides: tuple[tuple[str, Any], ...] = ()
    count: int = 1
    routing: Routing = UNIFORM
    kernels_dtype: str = ""
    recipe: Recipe | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know about this prediction."""
        one = (f"this is on one of {self.count} devices",) if self.count > 1 and self.kind != "collective" else ()
        dtype = self.kernels_dtype or self.dtype
        summed = [(dtype, self.sizes[name]) for name in ("hidden", "width", "k") if name in self.sizes]
        alone = single_loads(self.constants, self.hardware, summed) if self.kind in ROUTED else ""
        told = [each for each in (unknown_kernels(self.constants, self._kinds), alone) if each]
        warm = [self._warm] if self._warm else ()
        return (*one, *warm, *self._stored, *told, *self.hardware.cautions)

    @property
    def _warm(self) -> str:
        """What to know where the last-level cache, not device memory, serves what was touched in the run before."""
        dram_s = np.asarray(self.bytes, dtype=np.float64) / self.hardware.bandwidth
        if self.network is not None or not np.any(dram_s - self.bound_s > _MATTERS * np.asarray(self.time_s)):
            return ""
        told = "a warm last-level cache serves what fits it, as when a kernel is run again and again"
        return (
            told
            if dram_s.ndim
            else f"{told}; from device memory alone {format_quantity(float(dram_s), 'time_s')} at best"
        )

    @property
    def _stored(self) -> Iterator[str]:
        """How a recipe stores the operands, and what of that was not timed."""
        if self.recipe is None:
            return
        if untimed := unpacks_untimed(self.constants, self.recipe, experts=self.kind in ROUTED):
            yield untimed
        forms = {"weights": self.recipe.weights, "activations": self.recipe.activations}
        yield from (f"{name} {form.name}: {form.words}" for name, form in forms.items() if form.is_narrow)
        if self.kind in STORED and self.recipe.activations.is_narrow:
            yield "what narrows the activations is a kernel of its own: op quantize"

    @property
    def band(self) -> tuple[float, float, str]:
        """Low and high of the band, as factors of the time, and its evidence; over all kinds for rows of two kinds.

        Of several rows it is that of their kind, whatever part of their time is latency.
        """
        if self.network is not None:
            return band_of(self.network)
        first, *more = self._kinds
        latency = None if isinstance(self.share_latency, np.ndarray) else float(self.share_latency)
        return self.constants.band("" if more else first, self.kernels_dtype or self.dtype, latency)

    @property
    def library(self) -> str:
        """Whose kernels run it; empty where it is none's in particular."""
        return self.constants.kernels.of(self._kinds[0], self.kernels_dtype or self.dtype)

    @property
    def _kinds(self) -> list[str]:
        """The kinds by whose constants it is timed: attention of one query is decode's, experts are grouped matmuls."""
        if self.kind == "experts":
            return ["grouped_matmul"]
        if "query" not in self.sizes:
            return [self.kind]
        decoding = np.asarray(self.sizes["query"]) == 1
        parts = (("decode", decoding.any()), ("prefill", not decoding.all()))
        rules = [RULES[int(rule)] for rule in np.unique(self.sizes["rule"])] if self.kind == "scan" else [self.kind]
        return [f"{rule}_{phase}" for rule in rules for phase, among in parts if among]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``op``: SI base units, names with their units, lists where arrays went in."""
        plain = {name: _plain(getattr(self, name)) for name in FIGURES if not name.startswith("share_")}
        shares = {name: _plain(getattr(self, f"share_{name}")) for name in PARTS}
        sizes = {name: in_words(name, v) for name, v in self.sizes.items()}
        form = {"form": _plain(self.form)} if self.kind == "collective" else {}
        routed = {"routing": self.routing.words} if self.kind in ROUTED else {}
        named = {"engine": self.engine.name, "kernels": self.library, "constants": self.constants.whose}
        used = {**routed, "dtype": self.dtype, **named}
        return {
            **versions(),
            "kind": self.kind,
            "hardware": {"name": self.hardware.name, "count": self.count, "overrides": dict(self.overrides)},
            "inputs": {**sizes, **used},
            **form,
            **plain,
            "shares": shares,
            "provenance": self.constants.provenance,
            "band": dict(zip(("low", "high", "evidence"), self.band, strict=True)),
            "notes": [*self.notes],
        }


def in_words(name: str, value: Any) -> Any:
    """A size as it was given: true or false, the name of a collective, a number, or a list of these."""
    if name in WORDS:
        return np.asarray(WORDS[name])[np.asarray(value, dtype=np.int64)].tolist()
    return (np.asarray(value) == 1).tolist() if name == "causal" else _plain(value)


@takes(OpOptions)
def predict_op(
    kind: str, hardware: str | Path | HardwareSpec | System, **options: Unpack[OpOptions]
) -> OperatorPrediction:
    """The cost and the time of one operator, or of as many as the arrays among ``sizes`` have elements.

    Kinds and sizes: matmul m, k, n (``x[m k] w[k n]``); grouped_matmul tokens, experts, topk, k, n (each token's row by
    the weights of topk experts, of which ``routing`` touches so many); attention batch, query, context, heads,
    kv_heads, head_dim, causal (true where it is left out; query and context are tokens; one query token is a decode
    step; ``value_dim`` where values are not as wide as keys, ``window`` of a sliding window); experts tokens, experts,
    topk, hidden, width (with a gate, all between the router and the sum of what they said, as the engine runs it);
    latent_attention batch, query, context, heads, latent_dim, rope_dim, head_dim, value_dim (its kernel: one query
    token attends to the latents, several to what is made of them); scan rule (delta_rule or mamba2), batch, query,
    key_heads, heads, key_dim, head_dim, chunk (64 where it is left out; one token is a step of the recurrence);
    convolution batch, query, channels, taps (4 where they are left out); elementwise rows, columns, inputs (tensors
    read); quantize (to 8 bits, with a scale for each row), norm (RMS) and softmax rows, columns; embedding tokens,
    columns; collective operation (all_reduce, all_gather, reduce_scatter or all_to_all), message_bytes (the whole: what
    a device has before a scatter or after a gather), devices, of which there are as many as ``hardware`` names. Numbers
    and numpy arrays broadcast.
    dtype: the device's default if left out; of matmuls, grouped matmuls and experts a recipe too, such as w4a16, whose
    scales are read, while what narrows activations before a lone matmul is ``quantize``. ``set`` edits fields of the
    device, as in ``{"hardware.memory.hbm.bandwidth": "6TB/s"}``. Raises UsageError for a wrong kind or size,
    WorkloadError for a dtype that the device lacks, SpecError for an unknown device.

    >>> up = predict_op("matmul", "h100", m=16, k=4096, n=14336)
    >>> up.flops, up.bytes, up.bound_by
    (1879048192, 118030336, 'memory')
    >>> predict_op("matmul", "h100", m=np.array([16, 4096]), k=4096, n=14336).bound_by.tolist()
    ['memory', 'compute']
    """
    given = {name: size for name, size in part(OpSizes, options).items() if size is not None}
    sizes = _usual(kind, hardware) | given
    check_names(kind, sizes)
    check_routing(options["routing"], kind)
    check_kernels(options["kernels"], kind)
    clock = OperatorClock.of(hardware, options)
    columns = broadcast({name: read_size(name, sizes[name]) for name in sizes_of(kind) if name in sizes})
    if bad := find_bad_size(kind, columns):
        where = f", row {bad.row}" if isinstance(columns[bad.column], np.ndarray) else ""
        msg = f"{kind}: {bad.column}{where}: {shown(bad.given)}, expected {bad.expected}"
        raise UsageError(msg)
    return clock.time(kind, options["dtype"], columns)


def check_routing(word: str, kind: str | None) -> None:
    """Raises UsageError for a word that names no routing, and for one beside a kind that routes nothing."""
    if Routing.of(word) != UNIFORM and kind not in (None, *ROUTED):
        msg = f"routing {word} goes with {' and '.join(ROUTED)}, not with {kind}; leave it out"
        raise UsageError(msg)


_LIBRARIES_OF: dict[str, tuple[str, ...]] = {
    "attention": ("attention",),
    "latent_attention": ("attention",),
    "matmul": ("matmul",),
    "quantize": ("matmul",),
    "grouped_matmul": ("experts",),
    "experts": ("experts", "matmul"),
    "scan": ("scan",),
    "convolution": ("scan",),
}
"""Kind -> the fields of an engine that name whose kernels run it; other kinds are no library's."""


def check_kernels(library: str | None, kind: str | None) -> None:
    """Raises UsageError for a kernel library that has none for the kind, whose times it could not change."""
    has = fields_of(library) if isinstance(library, str) else ()
    if kind is None or not has or not set(has).isdisjoint(_LIBRARIES_OF.get(kind, ())):
        return
    runs = [name for name, fields in _LIBRARIES_OF.items() if not set(has).isdisjoint(fields)]
    msg = f"kernels {library} are for {', '.join(runs)}, not for {kind}; name others, or leave --kernels out"
    raise UsageError(msg)


_USUAL: dict[str, dict[str, object]] = {
    "attention": {"causal": True},
    "scan": {"chunk": 64},
    "convolution": {"taps": 4},
}


def _usual(kind: str, hardware: str | Path | HardwareSpec | System) -> dict[str, object]:
    """The sizes that may be left out: a causal mask, usual chunks and taps, as many devices as the hardware names."""
    if kind in _USUAL:
        return dict(_USUAL[kind])
    several = fleet_of(hardware).count if kind == "collective" else 1
    return {"devices": several} if several > 1 else {}


@frozen
class OperatorClock:
    """A device with its constants: times operators whose sizes were checked.

    ``name`` asks for the constants of an operator inside a model, where it has its own. ``routing``: of experts.
    """

    device: HardwareSpec
    engine: Engine
    constants: ConstantSet
    default_dtype: str = field(default="")
    name: str = ""
    overrides: tuple[tuple[str, Any], ...] = ()
    fleet: Fleet | None = None
    routing: Routing = UNIFORM

    @classmethod
    def of(cls, hardware: str | Path | HardwareSpec | System, asked: ClockOptions) -> OperatorClock:
        """The clock of a device, several, or a calibration, as options ask for it."""
        fleet, edits = fleet_of(hardware), asked["set"] or {}
        device = edited_device(fleet.device, edits)
        engine = read_engine(asked, device, None, edits)
        fleet = replace(fleet, use=LinkUse.of(engine, device))
        fields = [path.partition(".")[2] for path in edits]
        own = fleet.calibration or calibration_under(fields, fleet.device)
        kernels = kernels_of(engine, device)
        constants = read_constants(asked, device, own).using(replace(kernels, quantize=kernels.matmul))
        default = device.default_dtype()
        return cls(
            device,
            engine,
            constants,
            default,
            overrides=tuple(edits.items()),
            fleet=fleet,
            routing=Routing.of(asked["routing"]),
        )

    def time(self, kind: str, dtype: str | None, columns: Columns) -> OperatorPrediction:
        """The prediction for checked sizes. Raises UsageError or WorkloadError for the dtype."""
        name = dtype or self.default_dtype
        if kind == "experts":
            return self._time_stored(kind, name, columns, StoredOps.experts(columns, name, self.device, self.engine))
        if kind in STORED and name not in self.device.dtypes():
            return self._time_stored(kind, name, columns, StoredOps.matmul(kind, columns, name, self.device))
        if kind not in STORED and name not in DTYPE_BYTES and names_recipe(name):
            msg = f"dtype {name} says how weights are stored, and {kind} reads none; expected one such as bf16 or fp8"
            raise UsageError(msg)
        precision = Precision(name, name, name)
        self.device.contraction_unit(name)
        some = next(iter(columns.values()))
        parts = [(where, self._figures(kind, precision, part)) for where, part in _parts(kind, columns)]
        figures = _read_only(parts[0][1] if parts and parts[0][0] is None else _joined(parts, some.shape))
        used = self.constants.for_dtypes([name])
        asked = (kind, self.device, name, self.engine, used, dict(columns))
        network = self._network(columns) if kind == "collective" else None
        count = int(np.max(columns["devices"], initial=2)) if network else self.fleet.count if self.fleet else 1
        found = OperatorPrediction(*asked, **figures, overrides=self.overrides, network=network, count=count)
        return replace(found, routing=self.routing)

    def _time_stored(self, kind: str, name: str, columns: Columns, stored: StoredOps) -> OperatorPrediction:
        """All kernels of what a recipe stores, one after the other, for numbers or arrays of sizes."""
        some = next(iter(columns.values()))
        array = isinstance(some, np.ndarray)
        sizes = {**stored.sizes, "X": self._touched(stored.sizes)} if kind in ROUTED else stored.sizes
        bound = sizes if array else {axis: exact(size) for axis, size in sizes.items()}
        costs = [operator_cost(op, bound, stored.recipe.precision, decoding=kind == "experts") for op in stored.ops]
        costs = [replace(cost, alone=True) for cost in costs] if kind in STORED else costs
        how = Launching.of(self.engine, stored.device, self.constants.provenance)
        timing = how.machine(stored.device, self.constants, None).step(costs)
        figures = _read_only(_figures_of(costs, timing, some.shape if array else None))
        used, own = self.constants.for_dtypes([stored.recipe.compute_dtype]), next(map(dtype_of, costs))
        asked = (kind, stored.device, name, self.engine, used, dict(columns))
        count = self.fleet.count if self.fleet else 1
        told = OperatorPrediction(*asked, **figures, overrides=self.overrides, count=count)
        return replace(told, routing=self.routing, kernels_dtype=own, recipe=stored.recipe)

    def _touched(self, sizes: Sizes) -> Number:
        """The experts that at least one token is sent to."""
        arrays = isinstance(sizes["B"], np.ndarray)
        counted = sizes if arrays else {letter: exact(size) for letter, size in sizes.items()}
        return settled(self.routing.load(counted).touched)

    def _network(self, columns: Columns) -> Network:
        """The network of as many devices as are asked for. Raises UsageError for more than there are."""
        most = int(np.max(columns["devices"], initial=2))
        fleet = self.fleet or Fleet(self.device)
        if fleet.counted and most > fleet.count:
            msg = f"collective: devices {most}, expected at most the {fleet.count} of {fleet.name}"
            raise UsageError(msg)
        network = fleet.network(self.device, fleet.count if fleet.counted else most, self.constants)
        assert network is not None, "there are two devices at least"
        return network

    def _figures(self, kind: str, precision: Precision, columns: Columns) -> dict[str, Any]:
        """The figures of rows that share a statement and constants."""
        some = next(iter(columns.values()))
        array = isinstance(some, np.ndarray)
        op, sizes = statement_of(kind, columns)
        if kind == "grouped_matmul":
            sizes = {**sizes, "X": self._touched(sizes)}
        kept = Precision(*(3 * ["int8"])) if kind == "collective" else precision  # a message is stated in bytes
        decoding = "query" in columns and bool(np.all(columns["query"] == 1))
        bound = sizes if array else {axis: exact(size) for axis, size in sizes.items()}
        cost = replace(operator_cost(op, bound, kept, decoding=decoding), alone=True)
        network = self._network(columns) if kind == "collective" else None
        how = Launching.of(self.engine, self.device, self.constants.provenance)
        timing = how.machine(self.device, self.constants, network).time(cost, self.name)
        return _figures_of([cost], timing, some.shape if array else None)


def _figures_of(costs: Sequence[Cost], timing: Timing, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """What is told of operators that run one after the other: arrays of a shape, or numbers where it is None."""
    shares = np.stack(np.broadcast_arrays(*(np.asarray(timing.share(part)) for part in PARTS)))
    flops, moved = added(cost.flops for cost in costs), added(cost.bytes for cost in costs)
    figures = {
        "flops": flops,
        "vector_flops": added(cost.vector_flops for cost in costs),
        "bytes": moved,
        "intensity": flops / moved,
        "time_s": timing.time_s,
        "bound_s": timing.bound_s,
        "low_s": timing.low_s,
        "high_s": timing.high_s,
        "bound_by": _PARTS[np.argmax(shares, axis=0)],
        **{f"share_{name}": share for name, share in zip(PARTS, shares, strict=True)},
        "link_bytes": added(cost.link_bytes for cost in costs),
        "form": timing.form,
    }
    if shape is not None:
        return {name: np.array(np.broadcast_to(value, shape)) for name, value in figures.items()}
    counts, words = ("flops", "vector_flops", "bytes", "link_bytes"), ("bound_by", "form")
    plain = {name: settled(value) if name in counts else value for name, value in figures.items()}
    return {name: v if name in counts else str(v) if name in words else float(v) for name, v in plain.items()}


def _read_only(figures: dict[str, Any]) -> dict[str, Any]:
    for value in figures.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return figures


def _parts(kind: str, columns: Columns) -> Iterator[tuple[Any, Columns]]:
    """Rows that share a statement and constants, with where they stand; None stands for all rows, or for a number."""
    key = columns.get("inputs", columns.get("operation", 1))
    if "query" in columns:
        key = columns.get("causal", 1) * 4 + columns.get("rule", 0) * 2 + (columns["query"] == 1)
    values = np.unique(key)
    if len(values) == 1 or not isinstance(key, np.ndarray):
        yield None, columns
        return
    for value in values:
        where = key == value
        yield where, {name: column[where] for name, column in columns.items()}


def _joined(parts: list[tuple[Any, dict[str, Any]]], shape: tuple[int, ...]) -> dict[str, Any]:
    words = {"bound_by": "U7", "form": "U16"}
    whole = {name: np.empty(shape, words.get(name, np.float64)) for name in (*FIGURES, "form")}
    for where, figures in parts:
        for name, values in figures.items():
            whole[name][where] = values
    return whole


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
