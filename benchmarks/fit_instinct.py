"""Fits the calibrations of MI300X and MI355X, and the class of AMD Instinct, to public timings; prints their board.

python benchmarks/fit_instinct.py --data DIR [--write]

Rows are judged in five parts that share no weight shape (matmuls), no mixture's shape (experts) or no length
(attention): each part by constants, a form and a band from the others. A matmul's form, whole tiles or a tail in the
mean, is the one that errs less on the rows at hand, of which each part is left out in turn. Octaves of a matmul's rows
weigh alike. The class has what both devices ask for; its band comes from each device left out, and from an MI308X,
which has few shapes.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import expert_fits
import numpy as np
from expert_fits import Chain
from expert_sets import ExpertSet
from fit_calibrations import EAGER_S, PRIORS, log_errors_of, written
from instinct_sets import (
    ATTENTION_SOURCE,
    DEVICES,
    SOURCE,
    Matmuls,
    digest_of,
    load_attention,
    load_inheriting_matmuls,
    load_matmuls,
    load_mixtures,
    models_of,
)
from measured_sets import MeasuredSet
from scores import Scored, table

from roofline.calibration.constants import Constants, load_class, load_constants
from roofline.calibration.corrections.correction import Prior
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder, read_yaml
from roofline.fitting.operators import band_of, fit_constants
from roofline.hardware.loading import load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.timing.operator import time_operator

CLASS = "amd-matrix-core"
PARTS = 5
MIDDLE = (17, 2048)
"""Rows of a matmul that are told apart."""

_SHARES = {"compute": Prior(0.6, 0.5, 1.0), "memory": Prior(0.8, 0.3, 1.0), "latency_s": Prior(3e-6, 0.7)}
_START = Constants(compute=0.6, vector=0.59, special=0.9, memory=0.8, latency_s=3e-6, p=3.0)
FORMS: dict[str, tuple[Mapping[str, Prior], Mapping[str, float]]] = {
    "tiles": (
        {**_SHARES, "tiles": Prior(1.0, 0.5), "split_k.reduction": Prior(2.5e-6, 0.7)},
        {"p": 3.0, "split_k.partial": 1e-9},
    ),
    "tail": ({**_SHARES, "p": PRIORS["p"], "tail.share": PRIORS["tail.share"], "tail.depth": PRIORS["tail.depth"]}, {}),
}
"""What is fitted, and what is given, of each form of a matmul."""


def fitted(sets: Sequence[MeasuredSet], free: Mapping[str, Prior], known: Mapping[str, float]) -> Constants:
    """The constants that the rows of the sets ask for, each set weighing alike, rounded as they are written."""
    start = _START.replaced({**{name: prior.median for name, prior in free.items()}, **known})
    found = fit_constants([timed for rows in sets for timed in rows.timed()], start, free, starts=1).constants
    return found.replaced({name: float(f"{found.value(name):.3g}") for name in free})


# Matmuls


def parts_of(labels: Any, seed: int = 0) -> Any:
    """A part for each row: rows of one label share it."""
    known, places = np.unique(labels, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(known)) % min(PARTS, len(known)))[places]


def logs_of(rows: MeasuredSet, constants: Constants) -> Any:
    """ln(measured / predicted), row by row."""
    return np.concatenate([-log_errors_of(timed, constants) for timed in rows.timed()])


def band_over(logs: Any) -> tuple[float, float]:
    """The band over ln(measured / predicted), each row weighing alike."""
    return band_of(logs, np.ones(len(logs)))


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What rows ask for: a form's constants, and ln(measured / predicted) of each part by those of the others.

    Octaves of a matmul's rows are alike in ``logs``.
    """

    constants: Constants
    logs: Any

    @property
    def band(self) -> tuple[float, float]:
        """The band over the parts left out."""
        return band_over(self.logs)


def learn(every: Sequence[Matmuls], forms: Sequence[str] = tuple(FORMS)) -> Learnt:
    """The form that errs less on parts left out, fitted to all rows; octaves of rows weigh alike in both."""
    best: tuple[float, Learnt] | None = None
    for form in forms:
        parts, logs = [parts_of(each.weights) for each in every], []
        for part in range(max(int(each.max()) for each in parts) + 1):
            pairs = list(zip(every, parts, strict=True))
            constants = fitted([each.evenly(own != part) for each, own in pairs], *FORMS[form])
            logs += [logs_of(each.evenly(own == part), constants) for each, own in pairs if (own == part).any()]
        error = float(np.abs(np.concatenate(logs)).mean())
        if best is None or error < best[0]:
            whole = fitted([each.evenly(np.ones(len(each.rows), bool)) for each in every], *FORMS[form])
            best = error, Learnt(whole, np.concatenate(logs))
    assert best is not None
    return best[1]


@cache
def learnt(rows: Matmuls) -> Learnt:
    """What all rows of a set ask for."""
    return learn([rows])


def judged(rows: Matmuls) -> Scored:
    """Every part by what the others ask for."""
    part, found = parts_of(rows.weights, 1), []
    for each in range(int(part.max()) + 1):
        known = learn([replace(rows, rows=rows.rows.where(part != each))])
        low, high = known.band
        found.append(predicted(rows.rows.where(part == each), replace(known.constants, low=low, high=high)))
    return Scored.together(f"{rows.rows.device.name} matmul {rows.dtype}", found)


def predicted(rows: MeasuredSet, constants: Constants) -> Scored:
    """Rows beside what constants say of them."""
    found = [
        Scored.of("", "", time_operator(replace(timed.cost, alone=True), timed.hardware, constants), timed.measured_s)
        for timed in rows.timed()
    ]
    return Scored.together("", found)


def matmul_board(data: Path) -> Iterator[Scored]:
    """All rows of a set, then those in the middle."""
    for rows in load_matmuls(data):
        if len(np.unique(rows.weights)) < PARTS:
            continue
        part = parts_of(rows.weights, 1)
        order = np.concatenate([np.flatnonzero(part == each) for each in range(int(part.max()) + 1)])
        scored, m = judged(rows), rows.rows.sizes["m"][order]
        yield scored
        yield scored.where(f"{scored.name}, {MIDDLE[0]} to {MIDDLE[1]:,} rows", (m >= MIDDLE[0]) & (m <= MIDDLE[1]))


def inherited_board(data: Path) -> Iterator[Scored]:
    """The matmuls of a device that nothing was fitted to, by the constants of its class."""
    constants = load_constants(CLASS)
    for rows in load_inheriting_matmuls(data):
        own = constants.of("matmul", "graph", dtype=rows.dtype)
        scored = predicted(rows.rows, own)
        yield Scored.together(f"{rows.rows.device.name} matmul {rows.dtype}, by its class", [scored])


# Experts


def passes_of(rows: ExpertSet, data: Path) -> float | None:
    """At which share bf16 passes between kernels: that of the device's rows in bf16; None for these."""
    if rows.dtype == "bf16":
        return None
    (plain,) = [one for one in load_mixtures(data) if (one.device, one.dtype) == (rows.device, "bf16")]
    return expert_fits.fitted([plain]).routed.value("routed_passes")


def learn_mixtures(rows: ExpertSet, passes: float | None) -> tuple[Chain, Any]:
    """Constants of all rows, and ln(measured / predicted) of each shape by those of the others."""
    whole, part = expert_fits.fitted([rows], passes), parts_of(models_of(rows.sizes))
    if not part.max():
        return whole, expert_fits.logs_of(rows, whole)
    logs = []
    for each in range(int(part.max()) + 1):
        chain = expert_fits.fitted([rows.where(part != each)], passes)
        logs.append(expert_fits.logs_of(rows.where(part == each), chain))
    return whole, np.concatenate(logs)


def mixture_board(data: Path) -> Iterator[Scored]:
    """Every part of the shapes of mixtures by the others."""
    for rows in load_mixtures(data):
        part, passes, found = parts_of(models_of(rows.sizes), 1), passes_of(rows, data), []
        for each in range(int(part.max()) + 1) if part.max() else ():
            chain, logs = learn_mixtures(rows.where(part != each), passes)
            chain = chain.banded(*band_over(logs))
            own = rows.where(part == each)
            found.append(Scored.of("", "", expert_fits.timing_of(own, chain), own.measured_s))
        if found:
            yield Scored.together(f"{rows.device.name} experts {rows.dtype}", found)


# Attention

_ATTENTION: tuple[Mapping[str, Prior], Mapping[str, float]] = (
    {"compute": Prior(0.75, 0.5, 1.0), "query_tiles.each": PRIORS["query_tiles.each"]},
    {
        "p": 1.0, "memory": 0.8, "latency_s": 5e-6, "query_tiles.rows": 128.0, "query_tiles.narrow_rows": 128.0,
        "query_tiles.packed": 0.0, "query_tiles.tail": 1.0,
    },
)  # fmt: skip


def learn_attention(rows: MeasuredSet) -> tuple[Constants, Any]:
    """Constants of all rows, and ln(measured / predicted) of each length by those of the others."""
    logs = []
    for length in np.unique(rows.sizes["query"]):
        constants = fitted([rows.where(rows.sizes["query"] != length)], *_ATTENTION)
        logs.append(logs_of(rows.where(rows.sizes["query"] == length), constants))
    return fitted([rows], *_ATTENTION), np.concatenate(logs)


def attention_board(data: Path) -> Iterator[Scored]:
    """Every length by the others."""
    for rows in load_attention(data):
        found = []
        for length in np.unique(rows.sizes["query"]):
            constants, logs = learn_attention(rows.where(rows.sizes["query"] != length))
            low, high = _attention_band(logs)
            found.append(predicted(rows.where(rows.sizes["query"] == length), replace(constants, low=low, high=high)))
        yield Scored.together(f"{rows.device.name} {rows.constants_kind} bf16, heads of 128", found)


# Files

_KINDS = "; matmuls and experts by benchmarks/fit_instinct.py to "
_ALONE = "{count} rows of one shape, all fitted; the band is that of the other dtypes"
_HOPPER = "{count} rows, each length left out in turn; no narrower than that of Hopper's kernels"


def fields_of(constants: Constants, band: tuple[float, float], evidence: str) -> dict[str, Any]:
    """The fields of one kind."""
    graph = f"{constants.latency_s * 1e6:.3g} us"
    low, high = math.floor(1000 * min(1.0, band[0])) / 1000, math.ceil(1000 * max(1.0, band[1])) / 1000
    return {
        "compute": constants.compute,
        "memory": constants.memory,
        "latency": {"graph": graph, "eager": f"{graph} + {EAGER_S * 1e6:.0f} us"},
        "p": constants.p,
        **constants.corrections.written(),
        "band": {"low": low, "high": high, "evidence": evidence},
    }


def matmul_kinds(device: str, data: Path) -> dict[str, Any]:
    """The matmuls of a device's calibration, by dtype."""
    kind: dict[str, Any] = {}
    for rows in load_matmuls(data):
        weights = len(np.unique(rows.weights))
        if rows.rows.device.name == device and weights >= PARTS:
            told = learnt(rows)
            evidence = f"{len(rows.rows):,} rows of {weights} weight shapes, each part left out in turn"
            _put(kind, rows.dtype, fields_of(told.constants, told.band, evidence))
    return kind


def mixture_kinds(sets: Sequence[ExpertSet], data: Path) -> dict[str, Any]:
    """Grouped matmuls and what passes between them, by dtype; those of all dtypes have the bands of these."""
    grouped, routed, bands = dict[str, Any](), dict[str, Any](), []
    for rows in sorted(sets, key=lambda each: each.dtype == "bf16"):
        chain, logs = learn_mixtures(rows, passes_of(rows, data))
        shapes, band = len(np.unique(models_of(rows.sizes))), band_over(logs)
        if shapes > 1:
            bands.append(band)
            evidence = f"{len(rows):,} rows of {shapes} shapes, each part left out in turn"
        else:
            band = min(low for low, _ in bands), max(high for _, high in bands)
            evidence = _ALONE.format(count=len(rows))
        _put(grouped, rows.dtype, fields_of(chain.grouped, band, evidence))
        if rows.dtype == "bf16":
            routed = fields_of(chain.routed, band, evidence)
    return {"grouped_matmul": {"library": "aiter", **grouped}, "routed": {"library": "aiter", **routed}}


def attention_kinds(data: Path) -> dict[str, Any]:
    """Attention behind a mask and without one."""
    kinds = {}
    for rows in load_attention(data):
        constants, logs = learn_attention(rows)
        evidence = _HOPPER.format(count=len(logs))
        kinds[rows.constants_kind] = {"library": "aiter", **fields_of(constants, _attention_band(logs), evidence)}
    return kinds


def _attention_band(logs: Any) -> tuple[float, float]:
    """Five lengths tell no 5th percentile: no narrower than that of Hopper's kernels."""
    low, high = band_over(logs)
    usual = load_class("nvidia-hopper").kinds["attention_prefill"].band
    assert usual is not None
    return min(low, usual.low), max(high, usual.high)


def _put(kind: dict[str, Any], dtype: str, fields: dict[str, Any]) -> None:
    """bf16 is the default of a kind."""
    if dtype == "bf16":
        dtypes = kind.pop("dtypes", {})
        kind.update(fields | ({"dtypes": dtypes} if dtypes else {}))
    else:
        kind.setdefault("dtypes", {})[dtype] = fields


def device_fields(device: HardwareSpec, data: Path) -> dict[str, Any]:
    """The fields of a device's calibration. That of an MI300X has blocks of fp8 alone: the class has the rest."""
    kinds: dict[str, Any] = {"matmul": matmul_kinds(device.name, data)}
    whole = "compute" in kinds["matmul"]
    mixtures = [rows for rows in load_mixtures(data) if rows.device.name == device.name]
    if whole:
        kinds |= {**attention_kinds(data), **mixture_kinds(mixtures, data)}
    else:
        experts = mixture_kinds(mixtures, data)["grouped_matmul"]
        kinds["grouped_matmul"] = {"library": "aiter", "dtypes": experts["dtypes"]}
    general, rest = kinds["matmul"] if whole else {}, load_class(CLASS)
    return {
        "name": device.name,
        "extends": device.name,
        "title": f"{device.title}, as measured with AITER",
        "p": 2,
        "compute": general.get("compute", rest.compute),
        "memory": general.get("memory", rest.memory),
        "vector": rest.vector,
        "special": rest.special,
        "latency": {"graph": "3 us", "eager": "8 us"},
        "measured_dtypes": ["bf16", "fp16"] if whole else ["fp8_block"],
        "kinds": kinds,
        "band": {"low": rest.band.low, "high": rest.band.high,
                 "evidence": f"each kind of operator has a band of its own, or that of {CLASS}"},
        "source": _source(data, whole),
    }  # fmt: skip


def _source(data: Path, whole: bool) -> str:
    tables = ", ".join(f"{name} ({digest_of(data, f'aiter_tuned/{name}')})" for name in ("gemm.csv", "fused_moe.csv"))
    attention = f"; attention: {ATTENTION_SOURCE} ({digest_of(data, 'hipkittens/attention.csv')})" if whole else ""
    return (
        f"fitted by benchmarks/fit_instinct.py to {SOURCE}: {tables}, in brackets the digest of a table{attention}; "
        "the fastest of many kernels, as a tuner left them; vector, special and eager latency from the class"
    )


def class_fields(data: Path) -> dict[str, Any]:
    """The class with the kinds that its devices' rows have, in the smooth form; its general constants stay.

    In 16 bits it reaches no more of the peak than its slowest device, whose best matmul is the general constant.
    Mixtures have no kinder latency than any of its devices.
    """
    fields = read_yaml(_file(f"classes/{CLASS}"))
    sets: dict[str, list[Matmuls]] = {}
    for rows in load_matmuls(data):
        if len(np.unique(rows.weights)) >= PARTS:
            sets.setdefault(rows.dtype, []).append(rows)
    told = {dtype: learn(own, ("tail",)) for dtype, own in sets.items()}
    strange = np.concatenate([
        *(logs for pair in sets.values() if len(pair) > 1 for logs in _strangers(pair)),
        *(
            logs_of(rows.evenly(np.ones(len(rows.rows), bool)), told[rows.dtype].constants)
            for rows in load_inheriting_matmuls(data)
        ),
    ])  # fmt: skip
    matmul: dict[str, Any] = {}
    for dtype, own in sets.items():
        logs = np.concatenate([told[dtype].logs, strange])
        constants = told[dtype].constants
        if dtype == "bf16":
            constants = replace(constants, compute=min(constants.compute, fields["compute"]))
        count = sum(len(each.rows) for each in own)
        evidence = f"{count:,} rows, fp8 in blocks of each device left out, and an MI308X, to which nothing is fitted"
        _put(matmul, dtype, fields_of(constants, band_over(logs), evidence))
    mixtures: dict[str, list[ExpertSet]] = {}
    for rows in load_mixtures(data):
        mixtures.setdefault(rows.dtype, []).append(rows)
    strange = np.concatenate([logs for pair in mixtures.values() if len(pair) > 1 for logs in _strange_mixtures(pair)])
    grouped: dict[str, Any] = {}
    for dtype, own in mixtures.items():
        chain = expert_fits.fitted(own, None if dtype == "bf16" else passes_of(own[-1], data))
        alone = [learn_mixtures(each, passes_of(each, data)) for each in own]
        slowest = max([chain, *(each for each, _ in alone)], key=lambda each: each.grouped.latency_s)
        chain = replace(chain, grouped=replace(chain.grouped, latency_s=slowest.grouped.latency_s))
        logs = np.concatenate([strange, *(each for _, each in alone)])
        evidence = f"{sum(map(len, own))} rows, and each device left out where there are two"
        _put(grouped, dtype, fields_of(chain.grouped, band_over(logs), evidence))
        if dtype == "bf16":
            routed = fields_of(chain.routed, band_over(logs), evidence)
    kinds = {
        "matmul": matmul,
        "grouped_matmul": {"library": "aiter", **grouped},
        "routed": {"library": "aiter", **routed},
    }
    known = fields.get("kinds", {})
    for name, kind in kinds.items():  # other libraries' kernels are not fitted here
        kind.update({"libraries": known[name]["libraries"]} if "libraries" in known.get(name, {}) else {})
    source = f"{fields['source'].split(_KINDS)[0]}{_KINDS}{SOURCE}"
    return {**fields, "kinds": {**known, **kinds}, "source": source}


def _strangers(pair: Sequence[Matmuls]) -> Iterator[Any]:
    """ln(measured / predicted) of each of two devices by the constants of the other."""
    for rows, other in ((pair[0], pair[1]), (pair[1], pair[0])):
        constants = learn([other], ("tail",)).constants
        yield logs_of(rows.evenly(np.ones(len(rows.rows), bool)), constants)


def _strange_mixtures(pair: Sequence[ExpertSet]) -> Iterator[Any]:
    for rows, other in ((pair[0], pair[1]), (pair[1], pair[0])):
        yield expert_fits.logs_of(rows, expert_fits.fitted([other], 0.6))


def _file(name: str) -> Path:
    return data_folder("calibrations") / f"{name}.yaml"


def main() -> int:
    """Print the board, and write the files if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write the calibrations and the class")
    asked = parser.parse_args()
    boards = (
        matmul_board(asked.data), inherited_board(asked.data), mixture_board(asked.data), attention_board(asked.data)
    )  # fmt: skip
    print("\n".join(table(scored for board in boards for scored in board)))
    if asked.write:
        files = {f"classes/{CLASS}": class_fields(asked.data)}
        for device in map(load_hardware, DEVICES):
            files[f"devices/{device.name}"] = device_fields(device, asked.data)
        for name, fields in files.items():
            with atomic_writer(_file(name)) as file:
                file.write(written(fields))
    return 0


if __name__ == "__main__":
    sys.exit(main())
