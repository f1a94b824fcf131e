"""The comparison table of all devices and systems, in Markdown, as ``hardware_specs/README.md`` holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roofline.hardware.fields import Block, Dtype
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System
from roofline.units import format_figures

_HEADER = (
    "device | memory GiB | GB/s | fp64 | fp32 | tf32 | bf16 (fp16) | fp8 | int8 | fp4 | ridge FLOP/B "
    "| scale-up GB/s x domain | W | purchase USD | USD/h"
)
_DTYPES: tuple[Dtype, ...] = ("fp64", "fp32", "tf32")
_NARROW: tuple[Dtype, ...] = ("fp8", "int8", "fp4")


def comparison(specs: Iterable[HardwareSpec]) -> list[str]:
    """One row per device, by vendor and age: dense peaks of the unit that contracts, in TFLOP/s or TOP/s.

    A value of medium confidence bears a ``~``, an unverified one a ``?``; a dash is what is not stated.
    """
    ordered = sorted(specs, key=lambda spec: (spec.kind == "cpu", spec.vendor or "", spec.released or "", spec.name))
    return [f"| {_HEADER} |", _rule(_HEADER), *(f"| {' | '.join(_cells(spec))} |" for spec in ordered)]


def system_comparison(systems: Iterable[System]) -> list[str]:
    """One row per system: what it holds, the fewest devices to rent, the price of the whole."""
    header = "system | devices | scale-out GB/s | rentable | price of the whole"
    rows = []
    for system in systems:
        out = system.link("scale_out")
        rate = out.bandwidth_per_direction if out else None
        prices = ", ".join(
            f"{price.value} {price.kind}{_mark('low' if system.source_of(price, 'value')[1] else 'high')}"
            for price in system.prices
        )
        cells = (
            f"`{system.name}`",
            f"{system.count} x `{system.spec.name}`",
            f"{rate / 1e9:g}" if rate else "-",
            str(system.rentable or "-"),
            prices or "-",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return [f"| {header} |", _rule(header), *rows]


def _rule(header: str) -> str:
    return "|---|" + "--:|" * header.count("|")


def _cells(spec: HardwareSpec) -> Iterator[str]:
    name = f"`{spec.name}`"
    yield f"{name} (announced)" if spec.status == "announced" else name
    memory = spec.main_memory
    yield _value(spec, memory, "capacity", 2**30)
    yield _value(spec, memory, "bandwidth", 1e9)
    for dtype in _DTYPES:
        yield _peak(spec, dtype)
    yield _half(spec)
    for dtype in _NARROW:
        yield _peak(spec, dtype)
    yield format_figures(spec.contraction_unit(spec.default_dtype())[1] / spec.bandwidth)
    up = spec.links.get("scale_up")
    joined = f" x {up.domain}" if up and up.domain else ""
    yield _value(spec, up, "bandwidth_per_direction", 1e9) + joined if up and up.bandwidth_per_direction else "-"
    yield _value(spec, spec, "tdp", 1)
    for purchase in (True, False):
        prices = [price for price in spec.prices if (price.kind == "purchase") == purchase]
        yield ", ".join(f"{price.usd:g}{_sure(spec, price, 'value')}" for price in prices) or "-"


def _half(spec: HardwareSpec) -> str:
    """The 16-bit rates: bf16, and fp16 in brackets where it differs or stands alone."""
    bf16, fp16 = _peak(spec, "bf16"), _peak(spec, "fp16")
    if fp16 in (bf16, "-"):
        return bf16
    return f"({fp16})" if bf16 == "-" else f"{bf16} ({fp16})"


def _peak(spec: HardwareSpec, dtype: Dtype) -> str:
    if dtype not in spec.dtypes():
        return "-"
    unit = spec.contraction_unit(dtype)[0]
    return _value(spec, getattr(spec.peak, unit)[dtype], "value", 1e12)


def _value(spec: HardwareSpec, block: Block, field: str, scale: float) -> str:
    value = getattr(block, field)
    if not value:
        return "-"
    rounded = float(f"{value / scale:.{6 if value >= scale else 3}g}")
    return f"{rounded:.10g}{_sure(spec, block, field)}"


def _sure(spec: HardwareSpec, block: Block, field: str) -> str:
    return _mark("low" if spec.source_of(block, field)[1] else spec.confidence_of(block, field))


def _mark(confidence: str) -> str:
    return {"high": "", "medium": "~", "low": "?"}[confidence]
