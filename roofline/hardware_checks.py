"""What a hardware spec must satisfy beyond its schema: a wrong table is caught when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roofline.hardware import Block, HardwareSpec

TOLERANCE = 0.03
"""How far units x rate x clock may be from the stated peak."""

_DTYPE_ORDER = ("fp64", "tf32", "bf16", "fp16", "fp8", "fp4")
_RIDGE_RANGE = (2.0, 1000.0)


def check_spec(spec: HardwareSpec) -> str | None:
    """The first problem of ``spec`` in words, or None. Problems that the file names as ``exceptions`` are let pass."""
    for check in (_peaks, _rates, _order, _levels, _usable, _ridge, _sources):
        for name, problem in check(spec):
            if name not in spec.exceptions:
                return f"{problem} (if this is so, list {name!r} under exceptions)"
    return None


def _peaks(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    if not spec.peak.matrix and not spec.peak.vector:
        yield "peaks", "peak: no matrix and no vector rate, expected at least one such as bf16: 989.4 TFLOP/s"
    name, level = next(iter(spec.memory.items()))
    if level.bandwidth is None:
        yield "bandwidth", f"memory.{name}: the first level is device memory and needs a bandwidth such as 3.35 TB/s"
    if level.scope == "unit":
        yield "scope", f"memory.{name}: the first level is device memory, expected scope device"


def _rates(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    for unit in ("matrix", "vector", "special"):
        for dtype, peak in getattr(spec.peak, unit).items():
            clock = peak.clock or spec.clock
            if peak.rate is None or clock is None or spec.units is None:
                continue
            product = spec.units.count * peak.rate * clock
            if abs(product / peak.value - 1) > TOLERANCE:
                yield (
                    f"rate.{unit}.{dtype}",
                    f"peak.{unit}.{dtype}: {spec.units.count} {spec.units.name} x {peak.rate:g} FLOP/cycle x "
                    f"{clock / 1e6:g} MHz = {product / 1e12:.1f} TFLOP/s, stated {peak.value / 1e12:g}",
                )


def _order(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    rates = [(dtype, spec.peak.matrix[dtype].value) for dtype in _DTYPE_ORDER if dtype in spec.peak.matrix]
    for (wide, slow), (narrow, fast) in pairwise(rates):
        if fast < slow * (1 - TOLERANCE):
            yield f"order.{narrow}", f"peak.matrix.{narrow}: slower than {wide}, expected a dense rate at least as high"


def _levels(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    levels = [
        (name, level, spec.units.count if level.scope == "unit" and spec.units else 1)
        for name, level in spec.memory.items()
    ]
    for (far, outer, many), (near, inner, more) in pairwise(levels):
        if outer.bandwidth and inner.bandwidth and inner.bandwidth * more <= outer.bandwidth * many:
            yield f"levels.{near}", f"memory.{near}.bandwidth: not above that of {far}; list levels from far to near"
        if outer.capacity and inner.capacity and inner.capacity * more >= outer.capacity * many:
            yield f"levels.{near}", f"memory.{near}.capacity: not below that of {far}; list levels from far to near"


def _usable(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    for name, level in spec.memory.items():
        if level.capacity and level.usable and not 0.9 <= level.usable / level.capacity <= 1.03:
            yield f"usable.{name}", f"memory.{name}.usable: expected 0.9 to 1.03 of the capacity (GB for GiB?)"


def _ridge(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    dtype = spec.default_dtype()
    ridge = spec.contraction_unit(dtype)[1] / spec.bandwidth
    low, high = _RIDGE_RANGE
    if not low <= ridge <= high:
        yield "ridge", f"ridge point in {dtype} is {ridge:.3g} FLOP/B, expected {low:g} to {high:g}; check the units"


def _sources(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    if not spec.sources:
        return
    blocks: list[Block | None] = [
        spec,
        spec.peak,
        spec.units,
        spec.sparsity,
        *spec.memory.values(),
        *spec.links.values(),
        *spec.prices,
    ]
    blocks += [peak for unit in (spec.peak.matrix, spec.peak.vector, spec.peak.special) for peak in unit.values()]
    for block in blocks:
        if block is not None and block.source is not None and block.source not in spec.sources:
            yield "sources", f"source {block.source!r} is not a key of sources: {', '.join(spec.sources)}"
