"""The machine of a formula: rates and constants as words, and the numbers that a device puts in their place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import sympy

from roofline.calibration.constants import DATASHEET, Constants, ConstantSet, Execution
from roofline.cost.cost import Cost
from roofline.formulas.symbols import symbol
from roofline.hardware.fields import Unit
from roofline.hardware.spec import HardwareSpec
from roofline.program.program import Phase
from roofline.timing.operator import Timing, kind_of, time_operator, unit_rate


@dataclass(frozen=True, slots=True)
class Machine:
    """A device whose rates are words: what timing asks of a HardwareSpec, answered in symbols.

    Without a device the constants are words too. ``numbers`` holds what the device puts in place of each word that was
    handed out. [FLOP/s, B/s, s]
    """

    device: HardwareSpec | None = None
    constants: ConstantSet | None = None
    execution: Execution = "graph"
    dtypes: int = 1
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def bandwidth(self) -> Any:
        """Bandwidth of device memory, a word."""
        return self._word("bandwidth", self.device.bandwidth if self.device else None)

    def contraction_unit(self, dtype: str) -> tuple[Unit, Any]:
        """The unit that contracts in ``dtype``, and its peak, a word; one word a dtype where there are several."""
        unit: Unit = "matrix"
        rate = None
        if self.device:
            unit, rate = self.device.contraction_unit(dtype)
        return unit, self._word("peak" if self.dtypes == 1 else f"peak_{dtype}", rate)

    def peak_rate(self, unit: Unit, dtype: str) -> Any:
        """The rate of work beside the contractions, a word: the special unit's where the device has one."""
        if self.device is None:
            return self._word(f"{unit}_peak", None)
        own = "special" if unit == "special" and self.device.peak_rate(unit, dtype) else "vector"
        return self._word(f"{own}_peak", unit_rate(unit, dtype, self.device))

    def timing(self, cost: Cost, phase: Phase | None) -> Timing:
        """The expected time and the shares of one execution, in symbols."""
        return time_operator(cost, self._as_device(), self._constants(kind_of(cost, phase == "decode"), cost.dtype))

    def bound(self, cost: Cost, phase: Phase | None) -> Any:
        """The bound of one execution: the roofs of the data sheet, or of the constants where they are higher."""
        constants = replace(DATASHEET, vector=1.0, special=1.0)
        if self.constants is not None:
            plain = self._plain(kind_of(cost, phase == "decode"), cost.dtype)
            constants = replace(plain, compute=max(1.0, plain.compute), memory=max(1.0, plain.memory))
        return time_operator(cost, self._as_device(), constants).bound_s

    def seconds(self, cost: Cost, phase: Phase | None, *, expected: bool) -> tuple[Any, Any]:
        """The two sides that a corner joins, compute and memory: at the expected rates, or at those of the data sheet.

        The data sheet's compute is the contractions alone. [s]
        """
        if not expected:
            return cost.flops / self.contraction_unit(cost.dtype)[1], cost.bytes / self.bandwidth
        constants = replace(self._constants(kind_of(cost, phase == "decode"), cost.dtype), latency_s=0)
        alone = (replace(cost, bytes=0), replace(cost, flops=0, vector_flops=0, special=0))
        compute, memory = (time_operator(half, self._as_device(), constants).time_s for half in alone)
        return compute, memory

    def _as_device(self) -> HardwareSpec:
        return cast("HardwareSpec", self)  # it answers all that timing asks

    def _constants(self, kind: str, dtype: str) -> Constants:
        if self.constants is None:
            names = {"compute": "e_c", "vector": "e_v", "special": "e_s", "memory": "e_m", "latency_s": "latency"}
            return Constants(**{key: symbol(name) for key, name in names.items()}, p=symbol("p"))
        plain = self._plain(kind, dtype)
        if not plain.latency_s:
            return replace(plain, latency_s=0)
        usual = self.constants.of("matmul", self.execution).latency_s
        word = "latency" if plain.latency_s == usual else f"latency_{kind}"
        return replace(plain, latency_s=self._word(word, plain.latency_s))

    def _plain(self, kind: str, dtype: str) -> Constants:
        assert self.constants is not None
        constants = self.constants.of(kind, self.execution, dtype=dtype)
        return constants if constants.p == float("inf") else replace(constants, p=sympy.Rational(str(constants.p)))

    def _word(self, name: str, number: float | None) -> Any:
        if number is not None:
            self.numbers[name] = number
        return symbol(name)


def machine_for(
    costs: Iterable[Cost], device: HardwareSpec | None, constants: ConstantSet | None, execution: Execution
) -> Machine:
    """The machine for these costs: one word for the peak where all contract in one dtype."""
    dtypes = {cost.dtype for cost in costs if cost.flops != 0}
    return Machine(device, constants, execution, max(1, len(dtypes)))
