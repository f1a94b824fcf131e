"""The facts that a device states, each with its unit and the block that holds it; two devices side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from roofline.classes import frozen
from roofline.hardware.fields import Block, Link, Price
from roofline.hardware.roofs import Roofline
from roofline.hardware.spec import HardwareSpec
from roofline.units import Dimension, format_figures, format_quantity


class Difference(NamedTuple):
    """One fact of two devices: as text, and the second over the first where both are numbers."""

    fact: str
    one: str | None
    other: str | None
    ratio: float | None


@frozen
class Differences:
    """Two devices side by side, fact by fact."""

    one: HardwareSpec
    other: HardwareSpec
    facts: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``hardware diff``."""
        facts = {each.fact: {"one": each.one, "other": each.other, "ratio": each.ratio} for each in self.facts}
        return {"one": self.one.name, "other": self.other.name, "facts": facts}


def differences(one: HardwareSpec, other: HardwareSpec) -> Differences:
    """Each fact that either device states, ridge points first, then peaks, memory, links, power and prices."""
    left, right = _figures(one), _figures(other)
    found = []
    for fact in sorted({**left, **right}, key=_place):
        (a, x), (b, y) = left.get(fact, (None, None)), right.get(fact, (None, None))
        found.append(Difference(fact, a, b, y / x if x and y else None))
    return Differences(one, other, tuple(found))


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
            link_words(link),
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
        ridge, unit = Roofline.of(spec, dtype).ridge_point, "OP" if dtype.startswith("int") else "FLOP"
        found[f"ridge point {dtype}"] = (f"{format_figures(ridge)} {unit}/B", ridge)
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


def _exact_rate(value: float, dtype: str) -> str:
    return rate_words(_exact(value, "flops_per_s"), dtype)


def rate_words(text: str, dtype: str) -> str:
    """A rate as its dtype counts: OP for integers and exponentials."""
    return text.replace("FLOP", "OP") if dtype == "exp" or dtype.startswith("int") else text


def link_rate(link: Link | None) -> str:
    """The rate of a link per direction, a dash where it is not stated."""
    rate = link.bandwidth_per_direction if link else None
    return _exact(rate, "bytes_per_s") if rate else "-"


def link_words(link: Link) -> str:
    """A link's rate, what it is, how many devices it joins."""
    joined = f"{link.domain} devices" if link.domain else None
    words = [link_rate(link), link.type, link.topology, joined]
    return ", ".join(word for word in words if word and word != "-")
