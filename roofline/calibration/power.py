"""What a power limit, and accumulators at half rate, leave of a device's peaks."""

from __future__ import annotations

from collections.abc import Mapping

from roofline.calibration.calibration_file import Calibration, KindConstants
from roofline.hardware.spec import HardwareSpec


def accumulates_at_half_rate(hardware: HardwareSpec) -> bool:
    """Whether matrix units are twice as fast with fp16 accumulators as with fp32 ones, as those of GeForce cards are.

    >>> from roofline.hardware.loading import load_hardware
    >>> [accumulates_at_half_rate(load_hardware(name)) for name in ("rtx-4090", "rtx-6000-ada")]
    [True, False]
    """
    entry = hardware.peak.matrix.get("fp16")
    narrow = entry.accumulators.get("fp16") if entry else None
    return bool(entry and narrow and narrow.value > 1.5 * entry.value)  # 2 or 1, and a peak may be edited


def powered_shares(share: float, flop_energy: float, hardware: HardwareSpec) -> dict[str, float]:
    """The share of the peak by dtype where the power limit holds the clock below that of the peak.

    A 16-bit FLOP switches ``flop_energy`` [J] at 1 GHz, a narrower one less by its bits. The voltage follows the clock,
    so that the peak asks for peak x energy x GHz^2, and power grows with the cube of the clock: what the limit leaves
    is the cube root of limit / power asked for. ``share`` where nothing limits, where no limit or no clock is stated.

    >>> from roofline.hardware.loading import load_hardware
    >>> b200 = powered_shares(0.8, 0.213e-12, load_hardware("b200"))
    >>> round(b200["bf16"], 2), round(powered_shares(0.8, 0.213e-12, load_hardware("a100"))["bf16"], 2)
    (0.68, 0.8)
    """
    shares = {}
    for dtype in hardware.dtypes():
        unit, peak = hardware.contraction_unit(dtype)
        clock = getattr(hardware.peak, unit)[dtype].clock or hardware.clock
        if hardware.tdp and clock and unit == "matrix":
            bits = int("".join(letter for letter in dtype if letter.isdigit()))  # a dtype's name says its width
            asked = peak * flop_energy * bits / 16 * (clock / 1e9) ** 2
            shares[dtype] = share * min(1.0, hardware.tdp / asked) ** (1 / 3)
    return shares


def under_power(data: Calibration, energy: float, measured: HardwareSpec, hardware: HardwareSpec) -> Calibration:
    """The calibration of ``measured`` on a device whose power limit leaves another share of its peaks.

    ``energy``: of a 16-bit FLOP at 1 GHz. [J] Matmuls reach less, or more; attention draws less and keeps its own.
    """
    now, then = (powered_shares(1.0, energy, device) for device in (hardware, measured))
    factors = {dtype: now.get(dtype, 1.0) / share for dtype, share in then.items()}
    usual = min((factors[dtype] for dtype in data.measured_dtypes if dtype in factors), default=1.0)
    kinds = {kind: _scaled(own, usual, factors) if "matmul" in kind else own for kind, own in data.kinds.items()}
    dtypes = {dtype: share * factors.get(dtype, 1.0) for dtype, share in data.dtypes.items()}
    return data.model_copy(update={"compute": data.compute * usual, "dtypes": dtypes, "kinds": kinds})


def _scaled(own: KindConstants, factor: float, factors: Mapping[str, float]) -> KindConstants:
    """A kind with another share of the peak, its libraries and dtypes too."""
    inner = {
        "libraries": {name: _scaled(each, factor, factors) for name, each in own.libraries.items()},
        "dtypes": {
            dtype: _scaled(each, factors.get(dtype.partition("_")[0], 1.0), factors)
            for dtype, each in own.dtypes.items()
        },
    }
    return own.model_copy(update={"compute": own.compute and own.compute * factor, **inner})
