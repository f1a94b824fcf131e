"""Fits the constants of attention in training, both passes, by library, to the timings of flash-attention.

python benchmarks/fit_training_attention.py --data DIR [--write]

What was timed is forward and backward together; how much slower the FLOPs of the backward pass are is as published,
where it is. Errors and bands are those of rows not fitted: each width of heads with and without a mask is left out in
turn. The kernel that MPT was trained with was not timed by itself: its passes are fitted to the training steps of
llm-foundry on A100 of 40 GB, none of which is judged, as what grows with the square of the sequence, once more under
recompute; each model is left out in turn. --write puts the kind into calibrations/devices/a100-sxm-80gb.yaml and, with
the band of that class's attention, into nvidia-ampere.
"""

from __future__ import annotations

import argparse
import csv
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml
from fit_calibrations import EAGER_S, written
from training_board import Judged, mpt

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

IN_STEPS = "flash-attn-triton"
"""The library that whole steps were run with: flash_attn_triton.py of flash-attention, which llm-foundry copied."""

_BACKWARD = {"fa2": 73 / 63, "fa1": 50 / 35}
"""The most of an A100's peak that forward passes reach by that of backward passes: Dao 2023 (arXiv 2307.08691), section
1. Of others nothing is published.
"""

_BLOCK = 128.0
"""Queries or keys of the blocks that a mask leaves out, in all of these kernels."""

_PLAIN = ("compute", "memory", "special", "extra_keys", "masked_work")
_WIDE = "kernel_widths.times"
_PRIORS = {
    "compute": Prior(0.7, 0.3),
    "memory": Prior(0.7, 0.3, most=1.0),
    "special": Prior(0.8, 0.5),
    **{name: constant.prior for name, (_, constant) in named_constants().items()},
    "extra_keys": Prior(100.0, 1.0),
    _WIDE: Prior(1.3, 0.5),
}
_REST = Prior(1.0, 0.1)
"""What else than attention the steps of a model take, by what is told of it."""

_LONG = 0.5
"""The share of attention in the steps whose errors make its band."""
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
    start = Constants(p=1.0, latency_s=_LATENCY_S, vector=_VECTOR).replaced({"key_block": _BLOCK})
    if library in _BACKWARD:
        start = start.replaced({"backward_work": float(f"{_BACKWARD[library]:.3g}")})
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


# The kernel of whole steps


@dataclass(frozen=True)
class Steps:
    """Training steps that were timed, on devices that are told apart by their memory alone. [s]

    ``passes``: of each step the costs of attention, and how often it runs them; ``rest_s``: what is told of all else.
    """

    models: tuple[str, ...]
    passes: tuple[tuple[tuple[float, Cost], ...], ...]
    rest_s: Any
    measured_s: Any

    def attention_s(self, constants: Constants) -> Any:
        """What attention takes of each step. [s]"""
        device = load_hardware("a100-sxm-80gb")
        return np.array([
            sum(times * float(np.ravel(time_operator(cost, device, constants).time_s)[0]) for times, cost in each)
            for each in self.passes
        ])  # fmt: skip

    def only(self, which: Sequence[int]) -> Steps:
        """Some of them."""
        models, passes = (tuple(each[row] for row in which) for each in (self.models, self.passes))
        return Steps(models, passes, self.rest_s[which], self.measured_s[which])


@functools.cache
def read_steps(data: Path) -> Steps:
    """Those of MPT on A100 of 40 GB."""
    rows = list(mpt(data, fitted=True))
    passes = [_attention_of(row) for row in rows]
    told = np.array([float(row.step.timing.time_s) - sum(n * s for n, _, s in own)
                     for row, own in zip(rows, passes, strict=True)])  # fmt: skip
    costs = tuple(tuple((n, cost) for n, cost, _ in own) for own in passes)
    models = tuple(row.name.split()[0] for row in rows)
    return Steps(models, costs, told, np.array([row.measured_s for row in rows]))


def _attention_of(row: Judged) -> list[tuple[float, Cost, float]]:
    """The passes of attention in a step: how often each runs, its cost, and what is told of it now. [s]"""
    found, again = [], row.step.choice.policy.name != "none"
    for each in row.step.steps.passes.operators:
        if each.cost.kind == "attention":
            backward = getattr(each.cost.shape, "backward", False)
            count = row.step.microbatches * float(np.ravel(each.cost.count)[0]) * (2 if again and not backward else 1)
            found.append((count, each.cost, float(np.ravel(each.timing.time_s)[0])))
    return found


def fit_steps(steps: Steps) -> Constants:
    """The constants of their kernel, rounded as they are written; what else a model's steps take is fitted beside."""
    start = Constants(p=1.0, latency_s=_LATENCY_S, vector=_VECTOR, special=1.0, memory=_PRIORS["memory"].median)
    start = start.replaced({"key_block": _BLOCK, "kernel_widths.least": 16.0, "kernel_widths.most": 64.0, _WIDE: 1.0})
    names, models = ("compute", "backward_work", _WIDE), sorted(set(steps.models))
    place = [models.index(name) for name in steps.models]

    def log_errors(logs: Any) -> Any:
        values = np.exp(logs)
        tried = start.replaced(dict(zip(names, values[: len(names)].tolist(), strict=True)))
        told = steps.rest_s * values[len(names) :][place] + steps.attention_s(tried)
        return np.log(told / steps.measured_s)

    free = {**{name: _PRIORS[name] for name in names}, **dict.fromkeys(models, _REST)}
    found = solve(log_errors, free, np.ones(len(steps.models)))
    return start.replaced({name: float(f"{found[name].value:.3g}") for name in names})


@functools.cache
def step_errors(data: Path) -> Any:
    """ln(predicted / measured) of steps most of which is attention, by constants fitted to other models' steps."""
    steps, logs = read_steps(data), list[float]()
    for model in sorted(set(steps.models)):
        own = steps.only([row for row, name in enumerate(steps.models) if name == model])
        fitted = fit_steps(steps.only([row for row, name in enumerate(steps.models) if name != model]))
        took = own.attention_s(fitted)
        told = own.rest_s + took
        logs += np.log(told / own.measured_s)[took > _LONG * told].tolist()
    return np.array(logs)


def fields(data: Path, library: str) -> dict[str, Any]:
    """The constants of a library, as a file has them."""
    if library == IN_STEPS:
        logs = step_errors(data)
        evidence = f"{len(logs)} training steps mostly of attention on A100 of 40 GB, each model left out in turn"
        return _as_written(fit_steps(read_steps(data)), logs, evidence)
    logs = errors(data, library)
    evidence = f"{len(logs)} rows, each width of heads with and without a mask left out in turn"
    return _as_written(fit(library, read_rows(data, library)), logs, evidence)


def _as_written(c: Constants, logs: Any, evidence: str) -> dict[str, Any]:
    low, high = band_of(-logs, np.ones(len(logs)))
    latency = {"graph": f"{_LATENCY_S * 1e6:.3g} us", "eager": f"{(_LATENCY_S + EAGER_S) * 1e6:.3g} us"}
    shares = {name: c.value(name) for name in ("compute", "memory", "vector", "special")}
    return {
        **shares, "latency": latency, "p": c.p, **c.corrections.written(),
        "band": {"low": round(low, 3), "high": round(high, 3), "evidence": evidence},
    }  # fmt: skip


def kind_fields(data: Path) -> dict[str, Any]:
    """The kind with all libraries."""
    first, *others = (*LIBRARIES, IN_STEPS)
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
    for library in (*LIBRARIES, IN_STEPS):
        logs = step_errors(asked.data) if library == IN_STEPS else errors(asked.data, library)
        apes = 100 * np.abs(np.expm1(logs))
        print(f"{library}: {len(apes)} rows, median {np.median(apes):.1f} %, mean {apes.mean():.1f} %, "
              f"max {apes.max():.1f} %; {fields(asked.data, library)}")  # fmt: skip
    if asked.write:
        write(asked.data)


if __name__ == "__main__":
    main()
