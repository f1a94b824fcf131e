"""The columns of a sweep: of a request, of each of its phases, of a training step, from what a tape plays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from roofline.timing.timing import PARTS

WORDS = ("model", "hardware", "layout", "dtype", "engine", "phase", "provenance", "refused")
"""Columns of every row that are text; the last says why a row has no results, and is empty where it has."""

NUMBERS = ("devices", "concurrency", "batch", "prompt", "generate", "context")
"""Columns of every row that are whole numbers: what was asked for, with what was left open filled in."""

TRAINED_WORDS = ("recompute", "schedule", "optimizer")
TRAINED_NUMBERS = ("sequence", "microbatch", "zero", "replicate", "tokens")
"""Columns of every row of a sweep that has training steps, which say what else was asked for or chosen."""

PRICED = ("price_kind", "price")
"""Text of every row of a sweep: which price its costs are of, or why there is none."""

TARGETS = ("ttft_target_s", "tpot_target_s")
"""Numbers of every row of a sweep: the longest times that are good enough, empty where none is asked for. [s]"""

MET = ("ttft_met", "tpot_met", "targets_met")
"""Truths of every row of a sweep: whether they are met, empty where that is not known."""

TRUTHS = ("fits", *MET)
TEXTS = (*WORDS, *TRAINED_WORDS, *PRICED, "bound_by")

_MADE_OF = ("low", "high", "bound_by", *(f"share_{part}" for part in PARTS))
_MEMORY = ("weights_bytes", "kv_cache_bytes", "state_bytes", "activation_bytes", "total_bytes", "fits", "max_batch")
_RATES = ("tokens_per_s", "device_tokens_per_s", "requests_per_s")
MONEY = ("usd_per_h", "usd_per_mtoken")
"""What the devices cost, and a million tokens at full load. [USD/h, USD]"""

KEPT = ("ttft_s", "tpot_s", "request_s", *_RATES, *_MADE_OF, *_MEMORY, "energy_j", *MONEY)
"""Kept where a study does not say: times [s], rates of all devices and of one [1/s], the band as factors of the
request's time, what that is made of, memory of a device [B], energy [J], money."""

_OF_TRAINING = (
    *("time_s", "bound_s", "low_s", "high_s", "stages_s", "sends_s", "bubble_s", "exchanges_s", "update_s"),
    *("microbatches", "flops", "mfu", "hfu"),
)
_TRAINED_MEMORY = ("gradients_bytes", "optimizer_bytes", "saved_bytes", "working_bytes", "gathered_bytes")
TRAINED = (*(f"train_{name}" for name in _OF_TRAINING), *_TRAINED_MEMORY, "days", "usd")
"""Results that training steps alone have: times [s], utilisations, memory of a device [B]; a run's days and money."""

KEPT_OF_TRAINING = (
    *("request_s", "tokens_per_s", "device_tokens_per_s", "train_mfu"), *_MADE_OF,
    *("weights_bytes", "gradients_bytes", "optimizer_bytes", "activation_bytes", "gathered_bytes"),
    *("total_bytes", "fits", "energy_j", *MONEY, "days", "usd"),
)  # fmt: skip
"""Kept of training steps where a study does not say."""

_PHASES = ("encode", "listen", "prefill", "decode")
_OF_PHASE = ("time_s", "bound_s", "low_s", "high_s", "flops", "bytes", "mfu", "mbu", "energy_j")
COLUMNS = (*KEPT, "power_w", *(f"{phase}_{name}" for phase in _PHASES for name in _OF_PHASE), *TRAINED)
"""All that may be kept."""

WHOLE = (
    *NUMBERS, *TRAINED_NUMBERS, *(name for name in _MEMORY if name != "fits"), *_TRAINED_MEMORY, "train_microbatches",
)  # fmt: skip
"""Columns of whole numbers."""

_SUMS = ("time_s", "low_s", "high_s", *(f"{part}_s" for part in PARTS))


def needed(results: Collection[str], keep: Collection[str]) -> list[str]:
    """Of what a tape has, by its names, what the columns to ``keep`` are made of."""
    sums = _SUMS if set(keep) & set(_MADE_OF) else ("time_s",)
    asked = {
        *keep,
        "request_s",
        "tokens_per_s",
        *(["energy_j"] if "power_w" in keep else []),
        *(f"{phase}.{name}" for phase in _PHASES for name in sums),
    }
    asked |= {f"{phase}.{name}" for phase in _PHASES for name in _OF_PHASE if f"{phase}_{name}" in keep}
    return [name for name in results if name in asked]


def columns_of(
    found: Mapping[str, Any], steps: Mapping[str, Any], requests: Any | None, devices: int
) -> dict[str, Any]:
    """The columns that there are, arrays that broadcast; ``steps``: how often a request runs each phase.

    ``bound_by`` is the place of the largest of ``PARTS``. ``requests``: how many are done together; None where what was
    asked for is no whole request.
    """
    phases = {phase: steps[phase] for phase in _PHASES if f"{phase}.time_s" in found}
    made: dict[str, Any] = {name: value for name, value in found.items() if "." not in name}
    made |= {name.replace(".", "_"): value for name, value in found.items() if "." in name}
    if "prefill" in phases:
        made["ttft_s"] = sum(found[f"{phase}.time_s"] for phase in phases if phase != "decode")
    if "decode" in phases:
        made["tpot_s"] = found["decode.time_s"]
    if all(f"{phase}.low_s" in found for phase in phases):
        made |= _made_of({name: sum(many * found[f"{phase}.{name}"] for phase, many in phases.items())
                          for name in _SUMS})  # fmt: skip
    if "energy_j" in found:
        made["power_w"] = found["energy_j"] / found["request_s"]
    made["device_tokens_per_s"] = found["tokens_per_s"] / devices
    if requests is not None:
        made["requests_per_s"] = requests / found["request_s"]
    return made


def trained_columns(found: Mapping[str, Any], devices: int, reserved: float) -> dict[str, Any]:
    """The columns that a training step has, from what its tape plays; ``reserved`` is the runtime's memory. [B]"""
    made: dict[str, Any] = {name: found[name] for name in ("weights_bytes", "fits", "power_w") if name in found}
    made |= {name: found[name] for name in _TRAINED_MEMORY}
    made |= {f"train_{name}": found[name] for name in _OF_TRAINING}
    made |= {"request_s": found["time_s"], "tokens_per_s": found["tokens_per_s"]}
    made["device_tokens_per_s"] = found["tokens_per_s"] / devices
    made["activation_bytes"] = found["saved_bytes"] + found["working_bytes"]
    made["total_bytes"] = found["total_bytes"] + reserved
    if "power_w" in found:
        made["energy_j"] = found["power_w"] * found["time_s"]
    return made | _made_of({name: found[name] for name in _SUMS})


def _made_of(sums: Mapping[str, Any]) -> dict[str, Any]:
    """The band of a request as factors of its time, and what that is made of."""
    shares = {f"share_{part}": sums[f"{part}_s"] / sums["time_s"] for part in PARTS}
    largest = np.argmax(np.stack(np.broadcast_arrays(*shares.values())), axis=0)
    band = {"low": sums["low_s"] / sums["time_s"], "high": sums["high_s"] / sums["time_s"]}
    return {**band, **shares, "bound_by": largest}
