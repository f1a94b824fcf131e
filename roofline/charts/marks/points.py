"""Where operators and roofs stand in the plane of intensity and rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from roofline.charts.drawing.sheet import names
from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.hardware.roofs import Ceiling, Roofline
from roofline.prediction.figures import Figures
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase

Measured = Mapping[tuple[str, str], float]
"""(phase, operator) -> measured seconds of all its repeats in one step."""


@frozen
class Point:
    """An operator of one phase of one prediction.

    intensity [FLOP/B] and rates [FLOP/s] are those of its contractions, or of its elementwise work where it has none
    (``unit`` says which); ``roof`` is the rate at its bound, ``share`` its part of the phase's time.
    """

    series: int
    phase: Phase
    name: str
    kind: str
    count: int
    unit: str
    intensity: float
    rate: float
    roof: float
    share: float
    time_s: float
    bound_by: str
    measured_rate: float | None = None

    @property
    def place(self) -> tuple[float, float]:
        """Where it stands in the plane. [FLOP/B, FLOP/s]"""
        return self.intensity, self.rate

    @property
    def headroom(self) -> float:
        """How many times faster it would be at its roof; 1 where it is there."""
        return self.roof / self.rate


@frozen
class Line:
    """A ceiling: ``memory`` [B/s] or ``compute`` [FLOP/s], by the data sheet and, for what is used, as expected."""

    role: str
    name: str
    rated: float
    expected: float | None = None


@frozen
class Ceilings:
    """The roofs of one prediction: its memory levels, main memory first, and its units, the contractions' first."""

    memory: tuple[Line, ...]
    compute: tuple[Line, ...]

    @property
    def rated(self) -> Roofline:
        """The roofs of contractions and of main memory by the data sheet."""
        return Roofline(*(Ceiling(line.name, line.rated) for line in (self.compute[0], self.memory[0])))

    @property
    def expected(self) -> Roofline:
        """The same as expected."""
        used = (self.compute[0], self.memory[0])
        return Roofline(*(Ceiling(line.name, line.expected or line.rated) for line in used))

    @property
    def differ(self) -> bool:
        """Whether the one is another than the other."""
        pairs = zip(*((roof.compute.rate, roof.bandwidth.rate) for roof in (self.rated, self.expected)), strict=True)
        return not all(math.isclose(rated, expected, rel_tol=1e-6) for rated, expected in pairs)


def points_of(predictions: Sequence[Prediction], measured: Measured | None = None) -> list[Point]:
    """All operators that do any FLOP and move any byte, phase by phase, the longest first."""
    found: list[Point] = []
    for series, prediction in enumerate(predictions):
        for phase, whole in prediction.phases.items():
            here = []
            for op in whole.operators:
                f = op.figures
                work, unit = (f.flops, "matrix") if f.flops else (f.vector_flops, "vector")
                if not work or not f.bytes or not f.time_s:
                    continue
                seconds = (measured or {}).get((phase, op.name)) if series == 0 else None
                here.append(
                    Point(
                        series,
                        phase,
                        op.name,
                        op.kind,
                        op.count,
                        unit,
                        work / f.bytes,
                        work / f.time_s,
                        _roof(prediction, f, work, unit),
                        f.time_s / whole.figures.time_s,
                        f.time_s,
                        f.bound_by,
                        work / seconds if seconds else None,
                    )
                )
            found += sorted(here, key=lambda point: -point.share)
    return found


def _roof(prediction: Prediction, figures: Figures, work: float, unit: str) -> float:
    """The rate at the bound, which for elementwise work is the lower of memory's and the vector unit's."""
    at_bound = work / figures.bound_s
    rate = vector_peak(prediction)
    return min(at_bound, rate[1]) if unit == "vector" and rate else at_bound


def vector_peak(prediction: Prediction) -> tuple[str, float] | None:
    """The dtype and the peak of elementwise work, or None where the device states none. [FLOP/s]"""
    rates = {dtype: peak.value for dtype, peak in prediction.hardware.peak.vector.items()}
    if "fp32" in rates:
        return "fp32", rates["fp32"]
    return max(rates.items(), key=lambda rate: rate[1]) if rates else None


def ceilings_of(prediction: Prediction) -> Ceilings:
    """Every memory level with a bandwidth, and every unit and dtype, those that the prediction uses first."""
    device = prediction.hardware
    dtype = prediction.recipe.compute_dtype
    reached = prediction.constants.of("matmul", prediction.steps.machine.execution, dtype=dtype)
    levels = []
    for name, level in device.memory.items():
        if level.bandwidth:
            units = device.units.count if level.scope == "unit" and device.units else 1
            levels.append(Line("memory", name, level.bandwidth * units))
    levels[0] = Line("memory", levels[0].name, levels[0].rated, levels[0].rated * reached.memory)
    unit, rate = device.contraction_unit(dtype)
    used = [Line("compute", f"{unit} {dtype}", rate, rate * reached.compute)]
    vector = vector_peak(prediction)
    if vector and f"vector {vector[0]}" != used[0].name:
        share = min(reached.vector, 1.0)  # work that costs nothing has no ceiling of its own
        used.append(Line("compute", f"vector {vector[0]}", vector[1], vector[1] * share))
    return Ceilings(tuple(levels), (*used, *_unused(prediction, {line.name: line.rated for line in used})))


def _unused(prediction: Prediction, used: Mapping[str, float]) -> Iterable[Line]:
    """What else the device can do, rates that are equal on one line."""
    rates = list(used.values())
    by_rate: dict[float, list[str]] = {}
    for unit in ("matrix", "vector"):
        for dtype, peak in getattr(prediction.hardware.peak, unit).items():
            if f"{unit} {dtype}" not in used and not any(math.isclose(peak.value, rate) for rate in rates):
                by_rate.setdefault(peak.value, []).append(f"{unit} {dtype}")
    for rate, together in sorted(by_rate.items()):
        units = dict.fromkeys(name.split()[0] for name in together)
        words = (f"{unit} {', '.join(n.split()[1] for n in together if n.startswith(unit))}" for unit in units)
        yield Line("compute", "; ".join(words), rate)


def as_list(predictions: Prediction | Sequence[Prediction], most: int = 6) -> list[Prediction]:
    """One or several predictions as a list. Raises UsageError for none, or for more than ``most`` of them."""
    several = [predictions] if isinstance(predictions, Prediction) else list(predictions)
    if not several:
        msg = "no prediction to draw; give one at least"
        raise UsageError(msg)
    if len(several) > most:
        msg = f"{len(several)} predictions in one picture; more than {most} cannot be told apart"
        raise UsageError(msg)
    return several


def label_of(prediction: Prediction) -> str:
    """Model, device, and what was edited."""
    edits = f", edited {', '.join(f'{path}={value}' for path, value in prediction.overrides)}"
    return f"{prediction.model.name} on {device_of(prediction)}{edits if prediction.overrides else ''}"


def distinct_label(predictions: Sequence[Prediction], one: Prediction) -> str:
    """What tells ``one`` from the others: its device, its model or both."""
    if len({p.model.name for p in predictions}) == 1 and len({device_of(p) for p in predictions}) == len(predictions):
        return device_of(one)
    if len({device_of(p) for p in predictions}) == 1:
        return one.model.name
    return label_of(one)


def device_of(prediction: Prediction) -> str:
    """The device as people call it."""
    name = prediction.hardware.title or prediction.hardware.name
    return f"{prediction.count} x {name}, {prediction.layout}" if prediction.count > 1 else name


def inputs_of(prediction: Prediction) -> str:
    """What was asked, in a line."""
    w, recipe = prediction.workload, prediction.recipe
    if w.decoder_start is not None:
        lengths = w.words(prediction.phases, ",")
    elif w.context is not None:
        lengths = f"context {w.context:,}"
    elif not any(phase in prediction.phases for phase in (Phase.PREFILL, Phase.DECODE)):
        lengths = f"{w.prompt:,} tokens"
    elif Phase.DECODE not in prediction.phases:
        lengths = f"prompt {w.prompt:,}"
    else:
        lengths = f"prompt {w.prompt:,}, generate {w.generate:,}"
    dtypes = list(dict.fromkeys(form.name for form in (recipe.weights, recipe.activations, recipe.kv_cache)))
    return f"batch {w.batch:,}, {lengths}, {'/'.join(dtypes)}, {prediction.engine.words}"


def devices_of(several: Sequence[Prediction]) -> str:
    """The one device by name, several by their number: the lines of a picture have their names."""
    found = list(dict.fromkeys(device_of(p) for p in several))
    return found[0] if len(found) == 1 else f"{len(found)} devices"


def trust_of(*predictions: Prediction) -> str:
    """Where the expected times come from, and how far measurements may be off: matmuls, where they have a band."""
    whose: dict[str, list[str]] = {}
    for dtype, one in {p.constants.named: (p.recipe.timed_dtype, p.constants) for p in predictions}.values():
        if one.provenance == "datasheet":
            whose.setdefault(one.evidence, [])
        else:
            of, low, high, evidence = one.told_band(dtype)
            band = f"{of} 90 % band {low:.4g} to {high:.4g} x ({evidence})".lstrip()
            whose.setdefault(band, []).append(one.named)
    told = [f"constants of {names(some)}, {band}" if some else band for band, some in whose.items()]
    return f"Expected times: {'; '.join(told)}."


def point_rows(predictions: Sequence[Prediction], measured: Measured | None = None) -> list[dict[str, Any]]:
    """The data behind a roofline: a row per ceiling and a row per operator, SI base units."""
    rows: list[dict[str, Any]] = []
    for prediction in predictions:
        whose = {"model": prediction.model.name, "hardware": prediction.hardware.name}
        ceilings = ceilings_of(prediction)
        for line in (*ceilings.memory, *ceilings.compute):
            unit = "bytes_per_s" if line.role == "memory" else "flops_per_s"
            rates = {f"rated_{unit}": line.rated, f"expected_{unit}": line.expected}
            rows.append({**_EMPTY, "record": f"{line.role} ceiling", **whose, "name": line.name, **rates})
    for point in points_of(predictions, measured):
        whole = predictions[point.series]
        rows.append(
            {
                **_EMPTY,
                "record": "operator",
                "model": whole.model.name,
                "hardware": whole.hardware.name,
                "phase": point.phase,
                "name": point.name,
                "kind": point.kind,
                "count": point.count,
                "unit": point.unit,
                "intensity": point.intensity,
                "expected_flops_per_s": point.rate,
                "roof_flops_per_s": point.roof,
                "measured_flops_per_s": point.measured_rate,
                "share_of_phase": point.share,
                "time_s": point.time_s,
                "bound_by": point.bound_by,
            }
        )
    return rows


_EMPTY: dict[str, Any] = dict.fromkeys(
    (
        "record model hardware phase name kind count unit intensity rated_bytes_per_s expected_bytes_per_s "
        "rated_flops_per_s expected_flops_per_s roof_flops_per_s measured_flops_per_s share_of_phase time_s bound_by"
    ).split()
)
