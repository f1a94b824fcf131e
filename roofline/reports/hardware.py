"""Devices and systems as people read them: a table of many, a page of one, two side by side."""

from __future__ import annotations

from collections.abc import Iterable

from roofline.engines.engine import Engine
from roofline.files.ages import days_old
from roofline.hardware.checks import blocks_of
from roofline.hardware.facts import Differences, facts_of, link_rate, link_words, rate_words
from roofline.hardware.fields import WAYS, Block, Price
from roofline.hardware.roofs import Roofline
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import LinkName, System
from roofline.reports.prediction import Row, quantity, table
from roofline.units import format_figures

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
        roof = Roofline.of(spec, chosen)
        rows.append(
            (
                spec.name + (" (announced)" if spec.status == "announced" else ""),
                "as installed" if spec.capacity is None else quantity(spec.capacity, "bytes"),
                quantity(roof.bandwidth.rate, "bytes_per_s"),
                chosen,
                _rate(roof.compute.rate, chosen),
                format_figures(roof.ridge_point),
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
                link_rate(up),
                "-" if up is None or up.domain is None else str(up.domain),
                link_rate(out),
                "-" if system.rentable is None else str(system.rentable),
                ", ".join(_price(price) for price in system.prices) or "-",
                ", ".join(system.aliases),
            )
        )
    return table(header, rows, left=(0, 1, 8))


def hardware_page(spec: HardwareSpec) -> list[str]:
    """Every fact of a device as it is stated, with its confidence and its source."""
    lines = [f"{spec.title or spec.name} ({spec.name})", f"class {spec.calibration_class}"]
    labels = ("vendor", "kind", "architecture", "chip", "released", "granularity", "note")
    lines += [f"{label} {getattr(spec, label)}" for label in labels if getattr(spec, label)]
    lines += [*_offered(spec), *(f"caution: {caution}" for caution in spec.cautions)]
    rows = [
        (fact, value, spec.confidence_of(block, field), _source(spec, block, field))
        for fact, value, block, field in facts_of(spec)
    ]
    notes = [f"{path}: {block.note}" for path, block in blocks_of(spec) if path and block.note]
    return [
        *lines,
        "",
        *table(("fact", "value", "confidence", "source"), rows, left=(0, 1, 2, 3)),
        *([""] if notes else []),
        *notes,
    ]


def _offered(spec: HardwareSpec | System) -> list[str]:
    """How one can have it, where that is not both by rent and by purchase."""
    missing = [way for way in WAYS if way not in spec.offered]
    if not missing:
        return []
    return [f"for {' and '.join(spec.offered)} alone" if spec.offered else "neither for rent nor for sale"]


def system_page(system: System) -> list[str]:
    """Every fact of a system, and where the page of its devices is."""
    lines = [
        f"{system.title or system.name} ({system.name})",
        f"{system.count} x {system.spec.title} ({system.spec.name})",
    ]
    lines += [f"{label} {getattr(system, label)}" for label in ("vendor", "host", "note") if getattr(system, label)]
    lines += _offered(system)
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
            rows.append((f"{name}, per device and direction", link_words(link), source[0] + _mark(source[1])))
    if system.rentable:
        rows.append(("fewest devices to rent", str(system.rentable), ""))
    for price in system.prices:
        source = system.source_of(price, "value")
        rows.append((f"price {price.kind}, the whole", f"{price.value} ({price.date})", source[0] + _mark(source[1])))
    return [
        *lines,
        "",
        *table(("fact", "value", "source"), rows, left=(0, 1, 2)),
        "",
        f"roofline hardware show {system.spec.name}",
    ]


def difference_table(found: Differences) -> list[str]:
    """Two devices side by side."""
    one, other = found.one, found.other
    rows = [(d.fact, d.one or "-", d.other or "-", "-" if d.ratio is None else f"{d.ratio:.3g}") for d in found.facts]
    lines = table(("fact", one.name, other.name, "ratio"), rows)
    return [*lines, *(f"caution: {caution}" for spec in (one, other) for caution in spec.cautions)]


def stale_table(priced: Iterable[HardwareSpec | System], engines: Iterable[Engine], days: int) -> list[str]:
    """The prices and the engine files that were dated more than so many days ago, the oldest first, and how many."""
    dated = [
        (days_old(price.date), f"{each.name} {_price(price)}", price.date, each.source_of(price, "value")[0])
        for each in priced
        for price in each.prices
    ]
    dated += [(days_old(each.date), f"engine {each.name} {each.version}", each.date, each.title) for each in engines]
    past = sorted(row for row in dated if row[0] > days)[::-1]
    rows: list[Row] = [(what, date, str(old), source) for old, what, date, source in past]
    lines = table(("what", "date", "days old", "source"), rows, left=(0, 1, 3)) if rows else []
    return [
        *lines,
        *([""] if rows else []),
        f"{len(past)} of {len(dated)} prices and engine files are older than {days} days",
    ]


def _rate(value: float, dtype: str) -> str:
    return rate_words(quantity(value, "flops_per_s"), dtype)


def _price(price: Price) -> str:
    return f"{price.value} {price.kind}"


def _source(spec: HardwareSpec, block: Block, field: str) -> str:
    title, unverified = spec.source_of(block, field)
    return title + _mark(unverified)


def _mark(unverified: bool) -> str:
    return " (unverified)" if unverified else ""
