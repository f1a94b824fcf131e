"""The time of an operator: its bound, its expected time, and what that time is made of.

    bound = max(flops / peak, bytes / bandwidth)
    time  = latency + (x^p + y^p)^(1/p)      x = compute seconds, y = memory seconds, both at the rates really reached

A calibrated device may add what its kernels do in vain to x and y, and their further launches (``kernels.py``); where
its constants are those of single kernels, an eager operator is the sum of its kernels.

The terms give shares that sum to one and are the elasticities of the time: latency / t for the latency,
(1 - that) x^p / (x^p + y^p) for compute, the rest for memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roofline.calibration.constants import Constants, ConstantSet, Execution
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import GroupedShape, MatmulShape
from roofline.hardware.fields import Unit
from roofline.hardware.spec import HardwareSpec
from roofline.number import Number, is_symbolic, maximum, minimum
from roofline.timing.collectives import Network, time_transfer
from roofline.timing.kernels import Tiling, launch_s, memory_s, tile, work_factor


@dataclass(frozen=True, slots=True)
class Timing:
    """One execution of an operator. Shares of latency, compute, memory, link sum to one; low, high are factors. [s]"""

    time_s: Number
    bound_s: Number
    latency: Number
    compute: Number
    memory: Number
    low: Number = 1.0
    high: Number = 1.0
    link: Number = 0.0
    form: Any = ""


def time_operator(cost: Cost, hardware: HardwareSpec, constants: Constants) -> Timing:
    """The expected time and the bound of one execution, for numbers or float64 arrays of costs.

    The bound's rates are the data sheet's, or what is really reached where that is more. Raises WorkloadError where the
    device cannot contract in this dtype.
    """
    tiling = _tiling(cost, hardware, constants)
    factor, others = work_factor(cost, constants), _other_units(cost, hardware, constants)
    padded = isinstance(cost.shape, GroupedShape)  # rows that fill up a tile are contracted, not their weights read
    compute_s = tiling.compute_s * factor + (others if padded else others * factor)
    x = compute_s + tiling.partial_s + tiling.latency_s
    corner, part = _soft_corner(x, memory_s(cost, hardware, constants), constants.p)
    launches = constants.latency_s + launch_s(cost, constants)
    time = launches + corner
    bound = maximum(
        _seconds(cost.flops, cost.dtype, hardware, maximum(1.0, constants.compute)),
        _float(cost.bytes) / (hardware.bandwidth * _reached(constants)),
    )
    working = 1 - _ratio(launches, time)
    compute = working * part * _ratio(compute_s, x)
    memory = working * (1 - part + part * _ratio(tiling.partial_s, x))
    return Timing(time, bound, 1 - compute - memory, compute, memory, constants.low, constants.high)


def banded(timing: Timing) -> tuple[Number, Number, Number]:
    """The bound, the low and the high end of the band: bound <= low <= time <= high. [s]"""
    bound = minimum(timing.bound_s, timing.time_s)  # equal up to rounding where nothing is lost
    return bound, maximum(bound, timing.time_s * timing.low), timing.time_s * timing.high


def kind_of(cost: Cost, decoding: bool) -> str:
    """Whose constants an operator takes: attention has two, one token against many and many against many."""
    if isinstance(cost.shape, GroupedShape):
        return "grouped_matmul"
    return f"attention_{'decode' if decoding else 'prefill'}" if cost.kind == "attention" else cost.kind


def time_collective_op(cost: Cost, network: Network) -> Timing:
    """The expected time and the bound of a collective, in its fastest form."""
    assert cost.transfer is not None
    each = cost.transfer
    message = _float(cost.message_bytes)
    best = time_transfer(each.operation, message, each.devices, each.stride, network)
    exposed = 1 - network.overlap
    time, bound = best.time_s * exposed, best.bound_s * exposed
    return Timing(time, bound, 1 - best.link, 0.0, 0.0, best.low, best.high, best.link, best.name)


def time_step(
    costs: tuple[Cost, ...],
    hardware: HardwareSpec,
    constants: ConstantSet,
    execution: Execution,
    decoding: bool,
    network: Network | None = None,
) -> list[Timing]:
    """The timing of each operator of a step, one execution each; collectives need a network."""
    timings = []
    for cost in costs:
        if cost.transfer is not None:
            assert network is not None, "collectives come from layouts, which come with a network"
            timings.append(time_collective_op(cost, network))
        else:
            timings.append(time_cost(cost, hardware, constants, execution, decoding))
    return timings


def time_cost(
    cost: Cost, hardware: HardwareSpec, constants: ConstantSet, execution: Execution, decoding: bool, name: str = ""
) -> Timing:
    """The timing of one execution: of the operator as one kernel, or of the kernels that eager torch runs for it.

    ``name`` asks for the constants of an operator by name, where it is not the cost's own.
    """
    own = constants.of(kind_of(cost, decoding), execution, name or cost.name, cost.dtype)
    whole = time_operator(cost, hardware, own)
    if execution != "eager" or cost.kernels is None or not constants.unfused(cost.dtype):
        return whole
    parts = [
        time_operator(part, hardware, constants.of(kind_of(part, decoding), execution, part.name, part.dtype))
        for part in cost.kernels()
    ]
    return _sum(parts, whole) if len(parts) > 1 else replace(parts[0], bound_s=whole.bound_s)


def _sum(parts: Sequence[Timing], whole: Timing) -> Timing:
    """Kernels in a row; the bound is that of the whole, since what lies between them need not move."""
    time = sum(part.time_s for part in parts)
    shares = (sum(getattr(p, name) * p.time_s for p in parts) / time for name in ("latency", "compute", "memory"))
    ends = (sum(getattr(p, name) * p.time_s for p in parts) / time for name in ("low", "high"))
    return Timing(time, whole.bound_s, *shares, *ends)


def _reached(constants: Constants) -> Number:
    """The largest share of the bandwidth that anything reaches, 1 at least."""
    return maximum(maximum(maximum(1.0, constants.memory), constants.cached), constants.warm)


def _soft_corner(x: Number, y: Number, p: float) -> tuple[Number, Number]:
    """(x^p + y^p)^(1/p), and compute's part in it; computed from the ratio, so that nothing underflows."""
    if is_symbolic(x, y):
        return _corner_in_symbols(x, y, p)
    larger = maximum(x, y)
    smaller = x + y - larger
    ratio = _ratio(smaller, larger)
    if p == float("inf"):
        return larger, (x >= y) * 1.0
    part = 1 / (1 + ratio**p)
    return larger * (1 + ratio**p) ** (1 / p), np.where(x >= y, part, 1 - part) * 1.0


def _tiling(cost: Cost, hardware: HardwareSpec, constants: Constants) -> Tiling:
    """The contractions at the rates reached: in tiles where the constants have them, else as they are."""
    if constants.tile_feed and isinstance(cost.shape, MatmulShape):
        return tile(cost.shape, hardware.contraction_unit(cost.dtype)[1], hardware, constants)
    return Tiling(_seconds(cost.flops, cost.dtype, hardware, constants.compute), 0.0, 0.0)


def _corner_in_symbols(x: Number, y: Number, p: Number) -> tuple[Number, Number]:
    """The same for formulas, which have no underflow and are read by people."""
    if x == 0 or y == 0:
        return x + y, int(y == 0)
    if p == float("inf"):
        corner = maximum(x, y)
        return corner, x / corner  # 1 where compute is the larger one; a formula of a bound is not asked for shares
    total = x**p + y**p
    return total ** (1 / p), x**p / total


def _seconds(flops: Number, dtype: str, hardware: HardwareSpec, share: float) -> Number:
    if isinstance(flops, int) and flops == 0:
        return 0.0
    return _float(flops) / (hardware.contraction_unit(dtype)[1] * share)


def _other_units(cost: Cost, hardware: HardwareSpec, constants: Constants) -> Number:
    """Seconds of elementwise and transcendental work; the latter runs on the vector unit where there is no other."""
    seconds: Number = 0.0
    work: tuple[tuple[Unit, str, Number, float], ...] = (
        ("vector", "fp32", cost.vector_flops, constants.vector),
        ("special", "exp", cost.special, constants.special),
    )
    for unit, dtype, count, share in work:
        if isinstance(count, int) and count == 0:
            continue
        seconds = seconds + _float(count) / (unit_rate(unit, dtype, hardware) * share)
    return seconds


def unit_rate(unit: Unit, dtype: str, hardware: HardwareSpec) -> float:
    """The rate of work beside the contractions: of its own unit, else of the vector unit. [FLOP/s]"""
    rate = hardware.peak_rate(unit, dtype)
    return _vector_rate(hardware) if rate is None else rate


def _vector_rate(hardware: HardwareSpec) -> float:
    """The fastest vector rate; without any, elementwise work counts its bytes alone, as a note of the result says."""
    return max((peak.value for peak in hardware.peak.vector.values()), default=float("inf"))


def _ratio(part: Number, whole: Number) -> Number:
    """part / whole, and 0 where there is nothing."""
    if is_symbolic(part, whole):
        return part / whole
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=np.asarray(whole) > 0)[()]


def _float(number: Number) -> Number:
    return number if isinstance(number, np.ndarray) or is_symbolic(number) else float(number)
