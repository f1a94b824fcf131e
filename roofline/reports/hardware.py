"""Devices and systems as people read them: a table of many, a page of one, two side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from roofline.hardware.checks import blocks_of
from roofline.hardware.fields import Block, Link, Price
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import LinkName, System
from roofline.reports.prediction import Row, quantity, table
from roofline.units import Dimension, format_quantity

HEADER = ("name", "memory", "bandwidth", "dtype", "dense peak", "ridge FLOP/B", "TDP", "also")
_LINKS: tuple[LinkName, ...] = ("scale_up", "scale_out", "host")


def hardware_table(specs: Iterable[HardwareSpec], dtype: str | None = None) -> list[str]:
    """One row per device: memory, bandwidth, peak and ridge point, in ``dtype`` or in the device's default dtype."""
    return table(HEADER, hardware_rows(specs, dtype), left=(0, 7))


def hardware_rows(specs: Iterable[HardwareSpec], dtype: str | None = None) -> list[Row]:
    """The cells of :func:`hardware_table`."""
    rows: list[Row] = []
    for spec in specs:
        chosen = dtype or spec.default_dtype()
        rate = spec.contraction_unit(chosen)[1]
        rows.append(
            (
                spec.name + (" (announced)" if spec.status == "announced" else ""),
                "as installed" if spec.capacity is None else quantity(spec.capacity, "bytes"),
                quantity(spec.bandwidth, "bytes_per_s"),
                chosen,
                _rate(rate, chosen),
                _ridge(rate / spec.bandwidth),
                "-" if spec.tdp is None else quantity(spec.tdp, "power_w"),
                ", ".join(spec.aliases),
            )
        )
    return rows


def system_table(systems: Iterable[System]) -> list[str]:
    """One row per system: what it holds, its links, the fewest devices that one can rent of it, its price."""
    header = ("name", "devices", "memory", "scale-up", "domain", "scale-out", "rentable", "price of the whole", "also")
    rows = []
    for system in systems:
        spec, up, out = system.spec, system.link("scale_up"), system.link("scale_out")
        rows.append(
            (
                system.name,
                f"{system.count} x {spec.name}",
                "as installed" if spec.capacity is None else quantity(system.count * spec.capacity, "bytes"),
                _link_rate(up),
                "-" if up is None or up.domain is None else str(up.domain),
                _link_rate(out),
                "-" if system.rentable is None else str(system.rentable),
                ", ".join(_price(price) for price in system.prices) or "-",
                ", ".join(system.aliases),
            )
        )
    return table(header, rows, left=(0, 1, 8))


def hardware_page(spec: HardwareSpec) -> list[str]:
    """Every fact of a device as it is stated, with its confidence and its source."""
    lines = [f"{spec.title or spec.name} ({spec.name})", f"class {spec.calibration_class}"]
    labels = ("vendor", "kind", "architecture", "released", "granularity", "note")
    lines += [f"{label} {getattr(spec, label)}" for label in labels if getattr(spec, label)]
    lines += [f"caution: {caution}" for caution in spec.cautions]
    rows = [
        (fact, value, spec.confidence_of(block, field), _source(spec, block, field))
        for fact, value, block, field in facts_of(spec)
    ]
    notes = [f"{path}: {block.note}" for path, block in blocks_of(spec) if path and block.note]
    return [
        *lines,
        "",
        *table(("fact", "value", "sure", "source"), rows, left=(0, 2, 3)),
        *([""] if notes else []),
        *notes,
    ]


def system_page(system: System) -> list[str]:
    """Every fact of a system, and where the page of its devices is."""
    lines = [
        f"{system.title or system.name} ({system.name})",
        f"{system.count} x {system.spec.title} ({system.spec.name})",
    ]
    lines += [f"{label} {getattr(system, label)}" for label in ("vendor", "host", "note") if getattr(system, label)]
    capacity = system.spec.capacity
    rows: list[Row] = []
    if capacity:
        rows.append(
            ("memory", quantity(system.count * capacity, "bytes"), f"{system.count} x {quantity(capacity, 'bytes')}")
        )
    for name in _LINKS:
        link = system.link(name)
        if link is not None:
            owner: System | HardwareSpec = system if name in system.links else system.spec
            source = owner.source_of(link, "bandwidth_per_direction")
            rows.append((f"{name}, per device and direction", _link_words(link), source[0] + _mark(source[1])))
    if system.rentable:
        rows.append(("fewest devices to rent", str(system.rentable), ""))
    for price in system.prices:
        source = system.source_of(price, "value")
        rows.append((f"price {price.kind}, the whole", f"{price.value} ({price.date})", source[0] + _mark(source[1])))
    return [
        *lines,
        "",
        *table(("fact", "value", "source"), rows, left=(0, 2)),
        "",
        f"roofline hardware show {system.spec.name}",
    ]


class Difference(NamedTuple):
    """One fact of two devices: as text, and the second over the first where both are numbers."""

    fact: str
    one: str | None
    other: str | None
    ratio: float | None


def differences(one: HardwareSpec, other: HardwareSpec) -> list[Difference]:
    """Each fact that either device states, ridge points first, then peaks, memory, links, power and prices."""
    left, right = _figures(one), _figures(other)
    found = []
    for fact in sorted({**left, **right}, key=_place):
        (a, x), (b, y) = left.get(fact, (None, None)), right.get(fact, (None, None))
        found.append(Difference(fact, a, b, y / x if x and y else None))
    return found


def difference_table(one: HardwareSpec, other: HardwareSpec, found: Iterable[Difference]) -> list[str]:
    """Two devices side by side."""
    rows = [(d.fact, d.one or "-", d.other or "-", "-" if d.ratio is None else f"{d.ratio:.3g}") for d in found]
    lines = table(("fact", one.name, other.name, "ratio"), rows)
    return [*lines, *(f"caution: {caution}" for spec in (one, other) for caution in spec.cautions)]


def differences_to_dict(one: HardwareSpec, other: HardwareSpec, found: Iterable[Difference]) -> dict[str, Any]:
    """The JSON of ``hardware diff``."""
    return {
        "one": one.name,
        "other": other.name,
        "facts": {d.fact: {"one": d.one, "other": d.other, "ratio": d.ratio} for d in found},
    }


def _figures(spec: HardwareSpec) -> dict[str, tuple[str, float | None]]:
    """Fact -> its text and number; device memory is called so whatever its kind, and a link is its rate alone."""
    found: dict[str, tuple[str, float | None]] = {}
    for fact, text, block, field in facts_of(spec):
        name = f"memory {field}" if block is spec.main_memory else "units" if block is spec.units else fact
        found[name] = (text.partition(", ")[0] if isinstance(block, Link) else text, _number(block, field))
    return {**found, **_ridges(spec)}


def facts_of(spec: HardwareSpec) -> Iterator[tuple[str, str, Block, str]]:
    """Each number that a device states: what it is, as text with its unit, the block and the field it stands in."""
    if spec.units:
        yield f"{spec.units.name}s", str(spec.units.count), spec.units, "count"
    if spec.clock:
        yield "clock", _exact(spec.clock, "frequency_hz"), spec, "clock"
    for unit in ("matrix", "vector", "special"):
        for dtype, peak in getattr(spec.peak, unit).items():
            yield f"peak {unit} {dtype}", _exact_rate(peak.value, dtype), peak, "value"
            for name, entry in peak.accumulators.items():
                yield f"peak {unit} {dtype} into {name}", _exact_rate(entry.value, dtype), entry, "value"
    if spec.sparsity:
        yield f"sparsity {spec.sparsity.pattern}", f"x {spec.sparsity.factor:g}", spec.sparsity, "factor"
    yield from _memory_facts(spec)
    for name, link in spec.links.items():
        yield (
            f"{name} per direction",
            _link_words(link),
            link,
            "bandwidth_per_direction" if link.bandwidth_per_direction else "type",
        )
        if link.per_peer_per_direction:
            yield (
                f"{name} per peer",
                _exact(link.per_peer_per_direction, "bytes_per_s"),
                link,
                "per_peer_per_direction",
            )
    if spec.tdp:
        yield "TDP", _exact(spec.tdp, "power_w"), spec, "tdp"
    for price in spec.prices:
        yield f"price {price.kind}", f"{price.value} ({price.date})", price, "value"


def _memory_facts(spec: HardwareSpec) -> Iterator[tuple[str, str, Block, str]]:
    levels = {**spec.memory, **({"host memory": spec.host_memory} if spec.host_memory else {})}
    for name, level in levels.items():
        each = f" per {spec.units.name}" if level.scope == "unit" and spec.units else ""
        for what, size in (("capacity", level.capacity), ("usable", level.usable)):
            if size:
                yield f"{name} {what}", _exact(size, "bytes", binary=True) + each, level, what
        if level.bandwidth:
            yield f"{name} bandwidth", _exact(level.bandwidth, "bytes_per_s") + each, level, "bandwidth"
        if level.width:
            yield f"{name} width", _exact(level.width, "bytes_per_cycle") + each, level, "width"


def _ridges(spec: HardwareSpec) -> dict[str, tuple[str, float | None]]:
    found: dict[str, tuple[str, float | None]] = {}
    for dtype in spec.dtypes():
        ridge = spec.contraction_unit(dtype)[1] / spec.bandwidth
        found[f"ridge point {dtype}"] = (f"{_ridge(ridge)} {'OP' if dtype.startswith('int') else 'FLOP'}/B", ridge)
    return found


_ORDER = (
    "ridge,peak matrix,peak vector,peak special,sparsity,memory,llc,l2,shared,"
    "scale_up,scale_out,host,units,clock,TDP,price"
).split(",")


def _place(fact: str) -> int:
    """Where a fact stands in a difference; within one place the order of the specs holds."""
    return next((index for index, start in enumerate(_ORDER) if fact.startswith(start)), len(_ORDER))


def _number(block: Block, field: str) -> float | None:
    if isinstance(block, Price):
        return block.usd
    value = getattr(block, field)
    return float(value) if isinstance(value, (int, float)) else None


def _exact(value: float, dimension: Dimension, *, binary: bool = False) -> str:
    """A stated value with all its digits: three would hide what sheets differ in."""
    number, _, unit = format_quantity(value, dimension, 6, binary=binary).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _ridge(intensity: float) -> str:
    """Three significant digits without an exponent."""
    return f"{float(f'{intensity:.3g}'):,g}"


def _exact_rate(value: float, dtype: str) -> str:
    return _operations(_exact(value, "flops_per_s"), dtype)


def _rate(value: float, dtype: str) -> str:
    return _operations(quantity(value, "flops_per_s"), dtype)


def _operations(text: str, dtype: str) -> str:
    return text.replace("FLOP", "OP") if dtype == "exp" or dtype.startswith("int") else text


def _link_rate(link: Link | None) -> str:
    rate = link.bandwidth_per_direction if link else None
    return _exact(rate, "bytes_per_s") if rate else "-"


def _link_words(link: Link) -> str:
    """A link's rate, what it is, how many devices it joins."""
    joined = f"{link.domain} devices" if link.domain else None
    words = [_link_rate(link), link.type, link.topology, joined]
    return ", ".join(word for word in words if word and word != "-")


def _price(price: Price) -> str:
    return f"{price.value} {price.kind}"


def _source(spec: HardwareSpec, block: Block, field: str) -> str:
    title, unverified = spec.source_of(block, field)
    return title + _mark(unverified)


def _mark(unverified: bool) -> str:
    return " (unverified)" if unverified else ""
