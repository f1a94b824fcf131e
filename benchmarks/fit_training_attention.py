"""Fits the constants of attention in training, both passes, by library, to the timings of flash-attention.

python benchmarks/fit_training_attention.py --data DIR [--write]

What was timed is forward and backward together: the two are taken to reach the same shares of the peaks. Errors and
bands are those of rows not fitted: each width of heads with and without a mask is left out in turn. --write puts the
kind into calibrations/devices/a100-sxm-80gb.yaml and, with the band of that class's attention, into nvidia-ampere.
"""

from __future__ import annotations

import argparse
import csv
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml
from fit_calibrations import EAGER_S, written

from roofline.calibration.constants import Constants
from roofline.calibration.corrections.correction import Prior
from roofline.calibration.corrections.registry import named_constants
from roofline.cost.cost import Cost, step_cost
from roofline.files.atomic import atomic_writer
from roofline.files.library import data_folder
from roofline.fitting.operators import band_of, solve
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.training import training_program
from roofline.program.workload import Precision
from roofline.timing.operator import time_operator

KIND = "attention_training"
LIBRARIES = {"fa2": "FlashAttention-2", "fa1": "FlashAttention", "fa1-triton": "FlashAttention-Triton"}
"""Words of libraries and what the table calls them; the first is what any other library takes."""

_PLAIN = ("compute", "memory", "special", "extra_keys", "masked_work")
_WIDE = "kernel_widths.times"
_PRIORS = {
    "compute": Prior(0.7, 0.3),
    "memory": Prior(0.7, 0.3),
    "special": Prior(0.8, 0.5),
    **{name: constant.prior for name, (_, constant) in named_constants().items()},
    "extra_keys": Prior(100.0, 1.0),
    _WIDE: Prior(1.3, 0.5),
}
_LATENCY_S = 4e-6  # of a graph's kernel; these rows take a thousand times as long
_VECTOR = 2.0  # the most: elementwise work is timed with the exponentials that it stands beside
_PRECISION = Precision("fp16", "fp16", "fp16")
_HIDDEN = 2048

Group: TypeAlias = tuple[int, bool]
"""Head width, and whether there is a mask."""


@dataclass(frozen=True)
class Rows:
    """Rows of one width of heads, with or without a mask: both passes, and what they took together. [s]"""

    costs: tuple[Cost, ...]
    measured_s: Any

    def log_errors(self, constants: Constants) -> Any:
        """ln(predicted / measured) of each row."""
        device = load_hardware("a100-sxm-80gb")
        return np.log(sum(time_operator(each, device, constants).time_s for each in self.costs) / self.measured_s)


def read_rows(data: Path, library: str) -> dict[Group, Rows]:
    """The rows of a library."""
    with (data / "flash_attention" / "fa2_fa3_tflops.csv").open(encoding="utf-8", newline="") as file:
        own = [row for row in csv.DictReader(file) if row["impl"] == LIBRARIES[library]]
    found = {}
    for group in sorted({(int(row["head_dim"]), row["causal"] == "1") for row in own}):
        some = [row for row in own if (int(row["head_dim"]), row["causal"] == "1") == group]
        batch, length, rate = (np.array([float(row[name]) for row in some]) for name in ("batch", "seq_len", "tflops"))
        flops = 3.5 * 4 * length**2 * _HIDDEN * batch * (0.5 if group[1] else 1)
        found[group] = Rows(passes(group, batch, length), flops / (rate * 1e12))
    return found


def passes(group: Group, batch: Any, length: Any) -> tuple[Cost, ...]:
    """The costs of the attention of a layer, forward and backward."""
    width, causal = group
    common = {"vocab_size": 128}
    decoder = {"model_type": "gpt2", "n_embd": _HIDDEN, "n_head": _HIDDEN // width, "n_layer": 1, "n_positions": 16384}
    encoder = {"model_type": "bert", "hidden_size": _HIDDEN, "num_attention_heads": _HIDDEN // width,
               "num_hidden_layers": 1, "max_position_embeddings": 16384, "intermediate_size": 4 * _HIDDEN}  # fmt: skip
    model = load_model({**common, **(decoder if causal else encoder)})
    program = training_program(model.program(Conventions(lm_head="all")))
    sizes = {"B": batch, "T": length, "S": length, "M": length}
    costs = (step_cost(program, phase, sizes, _PRECISION) for phase in (Phase.FORWARD, Phase.BACKWARD))
    return tuple(cost for some in costs for cost in some if cost.kind == "attention")


def fit(library: str, rows: Mapping[Group, Rows]) -> Constants:
    """The constants of a library, rounded as they are written."""
    start = Constants(p=1.0, latency_s=_LATENCY_S, vector=_VECTOR)
    if library != "fa2":  # the two of 2022 have a slower kernel for heads wider than 64
        start = start.replaced({"kernel_widths.least": 16.0, "kernel_widths.most": 64.0, _WIDE: 1.0})
    names = (*_PLAIN, *(() if library == "fa2" else (_WIDE,)))

    def constants(values: Mapping[str, float]) -> Constants:
        wide = (
            {_WIDE: values[_WIDE], "kernel_widths.least": 16.0, "kernel_widths.most": 64.0} if _WIDE in values else {}
        )
        return start.replaced({**values, **wide})

    def log_errors(logs: Any) -> Any:
        tried = constants(dict(zip(names, np.exp(logs).tolist(), strict=True)))
        return np.concatenate([each.log_errors(tried) for each in rows.values()])

    count = sum(len(each.measured_s) for each in rows.values())
    found = solve(log_errors, {name: _PRIORS[name] for name in names}, np.ones(count))
    return constants({name: float(f"{interval.value:.3g}") for name, interval in found.items()})


def left_out(library: str, rows: Mapping[Group, Rows]) -> Iterator[Any]:
    """ln(predicted / measured) of the rows of each group, by constants that are fitted to the others."""
    for group, own in rows.items():
        yield own.log_errors(fit(library, {other: each for other, each in rows.items() if other != group}))


@functools.cache
def errors(data: Path, library: str) -> Any:
    """ln(predicted / measured) of all rows of a library, none of which was fitted."""
    return np.concatenate(list(left_out(library, read_rows(data, library))))


def fields(data: Path, library: str) -> dict[str, Any]:
    """The constants of a library, as a file has them."""
    c, logs = fit(library, read_rows(data, library)), errors(data, library)
    low, high = band_of(-logs, np.ones(len(logs)))
    latency = {"graph": f"{_LATENCY_S * 1e6:.3g} us", "eager": f"{(_LATENCY_S + EAGER_S) * 1e6:.3g} us"}
    evidence = f"{len(logs)} rows, each width of heads with and without a mask left out in turn"
    shares = {name: c.value(name) for name in ("compute", "memory", "vector", "special")}
    return {
        **shares, "latency": latency, "p": c.p, **c.corrections.written(),
        "band": {"low": round(low, 3), "high": round(high, 3), "evidence": evidence},
    }  # fmt: skip


def kind_fields(data: Path) -> dict[str, Any]:
    """The kind with all libraries."""
    first, *others = LIBRARIES
    return {"library": first, **fields(data, first), "libraries": {other: fields(data, other) for other in others}}


def write(data: Path) -> None:
    """Put the kind into the files of the device and its class."""
    own = kind_fields(data)
    for folder, name in (("devices", "a100-sxm-80gb"), ("classes", "nvidia-ampere")):
        path = data_folder("calibrations") / folder / f"{name}.yaml"
        file = yaml.safe_load(path.read_text(encoding="utf-8"))
        file["kinds"][KIND] = own if folder == "devices" else _of_class(own, file["kinds"]["attention_prefill"]["band"])
        with atomic_writer(path) as opened:
            opened.write(written(file))


def _of_class(own: dict[str, Any], band: dict[str, Any]) -> dict[str, Any]:
    """The kind with the band of a class's attention, of which one device was timed."""
    wide = {
        "low": band["low"],
        "high": band["high"],
        "evidence": f"an A100's constants; the band is that of {band['evidence']}",
    }
    libraries = {name: {**each, "band": wide} for name, each in own["libraries"].items()}
    return {**own, "band": wide, "libraries": libraries}


def main() -> None:
    """Print errors and constants, or write them."""
    parser = argparse.ArgumentParser(description="Fit attention in training.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--write", action="store_true", help="write them into calibrations/")
    asked = parser.parse_args()
    for library in LIBRARIES:
        apes = 100 * np.abs(np.expm1(errors(asked.data, library)))
        print(f"{library}: {len(apes)} rows, median {np.median(apes):.1f} %, mean {apes.mean():.1f} %, "
              f"max {apes.max():.1f} %; {fields(asked.data, library)}")  # fmt: skip
    if asked.write:
        write(asked.data)


if __name__ == "__main__":
    main()
