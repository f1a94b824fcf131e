"""What a hardware spec must satisfy beyond its schema: a wrong table is caught when it is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, pairwise

from roofline.errors import near_matches
from roofline.hardware.fields import Block, Dtype, Peak
from roofline.hardware.roofs import Roofline
from roofline.hardware.spec import HardwareSpec

TOLERANCE = 0.03
"""How far units x rate x clock may be from the stated peak."""

_DTYPE_ORDER: tuple[Dtype, ...] = ("fp64", "tf32", "bf16", "fp16", "fp8", "fp4")
_RIDGE_RANGE = (2.0, 1000.0)
_UNITS = ("matrix", "vector", "special")


_NO_FACTS = ("source", "confidence", "note", "name", "title", "calibration_class", "kind", "scope", "elementwise")


def check_spec(spec: HardwareSpec, *, what_if: bool = False) -> str | None:
    """The first problem of ``spec`` in words, or None.

    A check that a real device can break has a name, and lets pass what the file names under ``exceptions``. Checks of
    data sheets, the peaks and the ridge, do not hold for a ``what_if``.
    """
    for problem in chain(_peaks(spec), _device_memory(spec), _sources(spec), _exceptions(spec)):
        return problem
    sheet = () if what_if else chain(_rates(spec), _order(spec), _ridge(spec))
    for name, problem in chain(sheet, _levels(spec), _usable(spec)):
        if name not in spec.exceptions:
            return f"{problem} (if this is so, list {name!r} under exceptions)"
    return None


def _peaks(spec: HardwareSpec) -> Iterator[str]:
    if not spec.peak.matrix and not spec.peak.vector:
        yield "peak: no matrix and no vector rate, expected at least one such as matrix: {bf16: 989.4 TFLOP/s}"


def _device_memory(spec: HardwareSpec) -> Iterator[str]:
    name, level = next(iter(spec.memory.items()))
    if level.bandwidth is None:
        yield f"memory.{name}: the first level is device memory and needs a bandwidth such as 3.35 TB/s"
    if level.scope == "unit":
        yield f"memory.{name}: the first level is device memory, expected scope device"


def _exceptions(spec: HardwareSpec) -> Iterator[str]:
    """Exceptions that no check of this spec bears: a misspelt one would switch nothing off."""
    peaks = ((f"{unit}.{dtype}", peak) for unit in _UNITS for dtype, peak in getattr(spec.peak, unit).items())
    names = [f"rate.{path}" for entry in peaks for path, _ in _with_accumulators(*entry)]
    names += [f"order.{dtype}" for dtype in (*_DTYPE_ORDER[1:], "int8") if dtype in spec.peak.matrix]
    names += [f"levels.{name}" for name in list(spec.memory)[1:]]
    names += [*(f"usable.{name}" for name in spec.memory), "ridge"]
    for given in spec.exceptions:
        if given not in names:
            yield f"exceptions: {given!r} is no check that can be excepted; {near_matches(given, names)}"


def _rates(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    for unit in _UNITS:
        for dtype, peak in getattr(spec.peak, unit).items():
            work = "OP" if unit == "special" or dtype.startswith("int") else "FLOP"
            for path, entry in _with_accumulators(f"{unit}.{dtype}", peak):
                clock = entry.clock or spec.clock
                if entry.rate is None or clock is None or spec.units is None:
                    continue
                product = spec.units.count * entry.rate * clock
                if abs(product / entry.value - 1) > TOLERANCE:
                    yield (
                        f"rate.{path}",
                        f"peak.{path}: {spec.units.count} {spec.units.name} x {entry.rate:g} {work}/cycle x "
                        f"{clock / 1e6:g} MHz = {product / 1e12:.1f} T{work}/s, stated {entry.value / 1e12:g}",
                    )


def _with_accumulators(path: str, peak: Peak) -> Iterator[tuple[str, Peak]]:
    """A peak and those with other accumulators, with their paths."""
    yield path, peak
    yield from ((f"{path}.accumulators.{name}", entry) for name, entry in peak.accumulators.items())


def _order(spec: HardwareSpec) -> Iterator[tuple[str, str]]:
    rates = [(dtype, spec.peak.matrix[dtype].value) for dtype in _DTYPE_ORDER if dtype in spec.peak.matrix]
    for (wide, slow), (narrow, fast) in pairwise(rates):
        if fast < slow * (1 - TOLERANCE):
            yield f"order.{narrow}", f"peak.matrix.{narrow}: slower than {wide}, expected a dense rate at least as high"
    pairs: tuple[tuple[Dtype, Dtype], ...] = (("bf16", "fp16"), ("int8", "bf16"))
    matrix = {dtype: peak.value for dtype, peak in spec.peak.matrix.items()}
    for slow_one, fast_one in pairs:
        if matrix.get(slow_one, math.inf) < matrix.get(fast_one, 0) * (1 - TOLERANCE):
            yield f"order.{slow_one}", f"peak.matrix.{slow_one}: slower than {fast_one}, expected at least its rate"


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
    ridge = Roofline.of(spec, dtype).ridge_point
    low, high = _RIDGE_RANGE
    if not low <= ridge <= high:
        yield "ridge", f"ridge point in {dtype} is {ridge:.3g} FLOP/B, expected {low:g} to {high:g}; check the units"


def _sources(spec: HardwareSpec) -> Iterator[str]:
    if spec.cited("default") is None:
        yield "source: no default, expected one for all that names no source: {default: vendor data sheet, tdp: ...}"
    for path, block in blocks_of(spec):
        where = f"{path}." if path else ""
        stated = [name for name in block.stated if isinstance(getattr(block, name), (str, int, float))]
        facts = ["default", *(name for name in stated if name not in _NO_FACTS)]
        by_field = block.source if isinstance(block.source, dict) else {"default": block.source}
        sure = block.confidence if isinstance(block.confidence, dict) else {}
        for name, field in (*(("source", field) for field in by_field), *(("confidence", field) for field in sure)):
            if field not in facts:
                yield f"{where}{name}.{field}: the block states no such field; {near_matches(field, facts)}"
        for field, key in by_field.items():
            if spec.sources and key is not None and key not in spec.sources:
                step = f".{field}" if isinstance(block.source, dict) else ""
                yield f"{where}source{step}: {key!r} is not a key of sources; {near_matches(key, spec.sources)}"


def blocks_of(spec: HardwareSpec) -> Iterator[tuple[str, Block]]:
    """Every block of ``spec`` with its path; the spec itself has an empty one."""
    yield "", spec
    yield "peak", spec.peak
    for name, block in (("units", spec.units), ("sparsity", spec.sparsity), ("host_memory", spec.host_memory)):
        if block is not None:
            yield name, block
    for unit in _UNITS:
        for dtype, peak in getattr(spec.peak, unit).items():
            yield from ((f"peak.{path}", entry) for path, entry in _with_accumulators(f"{unit}.{dtype}", peak))
    yield from ((f"memory.{name}", level) for name, level in spec.memory.items())
    yield from ((f"links.{name}", link) for name, link in spec.links.items())
    yield from ((f"prices.{index}", price) for index, price in enumerate(spec.prices))
