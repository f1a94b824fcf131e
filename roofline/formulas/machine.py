"""The machine of a formula: rates and constants as words, and the numbers that a device puts in their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from typing import Any

import sympy

from roofline.calibration.constants import DATASHEET, Constants, ConstantSet, Execution
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.formulas.boundaries import Side
from roofline.formulas.symbols import symbol
from roofline.hardware.fields import Unit
from roofline.hardware.spec import HardwareSpec
from roofline.timing.engine_choice import Launching
from roofline.timing.machine import ConstantSource, Machine
from roofline.timing.operator import sides_of

Numbers = dict[str, float]
"""What the device puts in place of each word that was handed out. [FLOP/s, B/s, s]"""


@frozen
class WordRates:
    """Rates as words. ``dtypes``: in how many dtypes contractions run; one word a dtype where there are several."""

    device: HardwareSpec | None
    dtypes: int = 1
    numbers: Numbers = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The device's name, if there is one."""
        return self.device.name if self.device else "a device"

    @property
    def unit_count(self) -> int:
        """The device's processors, if there is one."""
        return self.device.unit_count if self.device else 0

    @property
    def cycles_per_s(self) -> float:
        """The device's clock, if there is one. [Hz]"""
        return self.device.cycles_per_s if self.device else 0.0

    @property
    def last_cache(self) -> float:
        """The device's last cache, if there is one. [B]"""
        return self.device.last_cache if self.device else 0.0

    @property
    def bandwidth(self) -> Any:
        """Bandwidth of device memory, a word."""
        return _word(self.numbers, "bandwidth", self.device.bandwidth if self.device else None)

    def contraction_unit(self, dtype: str) -> tuple[Unit, Any]:
        """The unit that contracts in ``dtype``, and its peak, a word."""
        unit: Unit = "matrix"
        rate = None
        if self.device:
            unit, rate = self.device.contraction_unit(dtype)
        return unit, _word(self.numbers, "peak" if self.dtypes == 1 else f"peak_{dtype}", rate)

    def work_rate(self, unit: Unit, dtype: str) -> Any:
        """The rate of work beside the contractions, a word: the special unit's where the device has one."""
        if self.device is None:
            return symbol(f"{unit}_peak")
        own = "special" if unit == "special" and self.device.peak_rate(unit, dtype) else "vector"
        return _word(self.numbers, f"{own}_peak", self.device.work_rate(unit, dtype))


@frozen
class WordConstants:
    """Constants of a class with latencies as words; without a class all of them are words."""

    constants: ConstantSet | None
    numbers: Numbers

    def of(self, kind: str, execution: Execution, name: str = "", dtype: str = "") -> Constants:
        """The constants of an operator; a latency that another kind has too shares its word."""
        if self.constants is None:
            words = {"compute": "e_c", "vector": "e_v", "special": "e_s", "memory": "e_m", "latency_s": "latency"}
            return Constants(**{key: symbol(word) for key, word in words.items()}, p=symbol("p"))
        plain = _plain(self.constants, kind, execution, name, dtype)
        if not plain.latency_s:
            return replace(plain, latency_s=0)
        usual = self.constants.of("matmul", execution).latency_s
        word = "latency" if plain.latency_s == usual else f"latency_{kind}"
        if self.numbers.get(word, float(plain.latency_s)) != plain.latency_s:
            word = f"latency_{name}"
        return replace(plain, latency_s=_word(self.numbers, word, float(plain.latency_s)))

    def unfused(self, dtype: str) -> bool:
        """Whether the constants are those of single kernels."""
        return self.constants is not None and self.constants.unfused(dtype)


@frozen
class BestConstants:
    """No losses: the data sheet's rates, or what the constants of a class reach where that is more."""

    constants: ConstantSet | None

    def of(self, kind: str, execution: Execution, name: str = "", dtype: str = "") -> Constants:
        """The constants that a bound has."""
        if self.constants is None:
            return replace(DATASHEET, vector=1.0, special=1.0)
        plain = _plain(self.constants, kind, execution, name, dtype)
        return replace(plain, compute=max(1.0, plain.compute), memory=max(1.0, plain.memory))

    def unfused(self, dtype: str) -> bool:
        """What lies between kernels need not move."""
        return False


@frozen
class SymbolicMachine:
    """A machine in words: at the expected rates, and at best."""

    rates: WordRates
    constants: ConstantSet | None
    launching: Launching

    @property
    def numbers(self) -> Numbers:
        """What the device puts in place of the words."""
        return self.rates.numbers

    @property
    def expected(self) -> Machine:
        """The machine whose times are expected."""
        return self._with(WordConstants(self.constants, self.numbers))

    @property
    def best(self) -> Machine:
        """The machine whose bounds are those of the data sheet, or of the constants where they are higher."""
        return self._with(BestConstants(self.constants))

    def _with(self, constants: ConstantSource) -> Machine:
        how = self.launching
        return Machine(self.rates, constants, how.execution, single=how.single, host=how.host, beside=how.beside)

    def sides(self, cost: Cost, *, expected: bool) -> Side:
        """What a corner joins, compute and memory: at the expected rates, or at those of the data sheet.

        The data sheet's compute is the contractions alone. [s]
        """
        if cost.host_s is not None:
            return Side.of(cost.count, 0, 0)
        if not expected:
            peak = self.rates.contraction_unit(cost.dtype)[1]
            return Side.of(cost.count, cost.flops / peak, cost.bytes / self.rates.bandwidth)
        constants = self.expected.constants_of(cost)
        found = sides_of(cost, self.rates, constants)
        parts = cost.count, found.compute_s, found.memory_s, found.work_s, found.streamed_s
        return Side._make((*map(sympy.sympify, parts), constants.p))


def machine_for(
    costs: Iterable[Cost], device: HardwareSpec | None, constants: ConstantSet | None, launching: Launching
) -> SymbolicMachine:
    """The machine for these costs: one word for the peak where all contract in one dtype."""
    dtypes = {cost.dtype for cost in costs if cost.flops != 0}
    return SymbolicMachine(WordRates(device, max(1, len(dtypes))), constants, launching)


def _plain(constants: ConstantSet, kind: str, execution: Execution, name: str, dtype: str) -> Constants:
    """The constants in numbers, the sharpness of the corner as a fraction."""
    found = constants.of(kind, execution, name, dtype)
    return found if found.p == float("inf") else replace(found, p=sympy.Rational(str(found.p)))


def _word(numbers: Numbers, name: str, number: float | None) -> Any:
    if number is not None:
        numbers[name] = number
    return symbol(name)
