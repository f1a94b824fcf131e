"""Operators timed on AMD Instinct: AITER's tuned matmuls and fused experts, prefill attention of HipKittens' study.

Matmuls and mixtures are the fastest of many kernels, as a tuner left them. Blocks of weights with scales of their own
are told apart (fp8_block), and so are experts of 4 bits by what they are multiplied in (bf16_w4, fp8_w4). Narrowing the
activations is in no time.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from device_tables import Table, column
from expert_sets import ExpertSet
from measured_sets import MeasuredSet, Rows

from roofline.hardware.loading import load_hardware
from roofline.layers.expert_load import Routing

DEVICES = ("mi300x", "mi355x")
"""Those that constants are fitted to."""
INHERITS = "mi308x"
"""Timed as well, in too few shapes to fit to: it is judged by its class."""
MATMULS = {"fp8-block": "fp8_block", "a8w8": "", "fp4": "fp4"}
"""The dtype of constants by the scheme of scales; where none is told apart, that of the operands."""
EXPERTS = {
    ("bfloat16", "bfloat16", "No"): "bf16",
    ("bfloat16", "int4", "per_1x32"): "bf16_w4",
    ("float8_e4m3fn", "float8_e4m3fn", "per_Token"): "fp8",
    ("float8_e4m3fn", "float8_e4m3fn", "per_1x128"): "fp8_block",
    ("float8_e4m3fnuz", "float8_e4m3fnuz", "per_1x128"): "fp8_block",
    ("float8_e4m3fn", "float4_e2m1fn_x2", "per_1x32"): "fp8_w4",
    ("float4_e2m1fn_x2", "float4_e2m1fn_x2", "per_1x32"): "fp4",
}
"""The dtype of constants by those of activations and weights and the scheme of scales.

fp8 in blocks of 32 and bf16 beside MXFP4 are left out: other kernels than those that share their constants.
"""
OCTAVE = 40
"""Rows of each octave of a matmul's rows that a fit takes."""
SOURCE = "ROCm/aiter at e404860"
ATTENTION_SOURCE = "HazyResearch/HipKittens at f09e968"
_OF_MODEL = ("D", "F", "E", "A")


@dataclass(frozen=True, slots=True, eq=False)
class Matmuls:
    """Timed matmuls of one dtype on a device."""

    dtype: str
    rows: MeasuredSet

    @property
    def weights(self) -> Any:
        """Which weights each row multiplies: a number for each pair of n and k."""
        return _numbered(self.rows.sizes, ("n", "k"))

    def evenly(self, where: Any) -> MeasuredSet:
        """As many rows of each octave of m among those that a mask picks, evenly spaced; few of them several times."""
        found = np.flatnonzero(where)
        octave = np.ceil(np.log2(self.rows.sizes["m"][found]))
        parts = [found[octave == each] for each in np.unique(octave)]
        places = [part[np.linspace(0, len(part) - 1, OCTAVE).round().astype(int)] for part in parts]
        return self.rows.where(np.concatenate(places))


@cache
def load_matmuls(data: Path) -> tuple[Matmuls, ...]:
    """Every set of matmuls to fit to, device by device."""
    return _matmuls_of(data, DEVICES)


@cache
def load_inheriting_matmuls(data: Path) -> tuple[Matmuls, ...]:
    """The matmuls of the device that has its class's constants."""
    return _matmuls_of(data, (INHERITS,))


def _matmuls_of(data: Path, devices: tuple[str, ...]) -> tuple[Matmuls, ...]:
    found: dict[tuple[str, str], Rows] = {}
    for row in _read(data, "aiter_tuned/gemm.csv"):
        if row["device"] in devices:
            dtype = MATMULS.get(row["variant"], "") or {"bfloat16": "bf16"}.get(row["dtype"], row["dtype"])
            found.setdefault((row["device"], dtype), []).append(row)
    return tuple(Matmuls(dtype, _matmuls(device, dtype, rows)) for (device, dtype), rows in sorted(found.items()))


def _matmuls(device: str, dtype: str, rows: Rows) -> MeasuredSet:
    sizes, seconds = {name: column(rows, name) for name in "mnk"}, column(rows, "time_us") * 1e-6
    name = f"{device} matmul {dtype}, AITER"
    return MeasuredSet(name, "matmul", load_hardware(device), dtype.partition("_")[0], sizes, seconds, {})


@cache
def load_mixtures(data: Path) -> tuple[ExpertSet, ...]:
    """Every set of mixtures of experts, device by device; rows whose time is another's are left out."""
    found: dict[tuple[str, str], Rows] = {}
    for row in _read(data, "aiter_tuned/fused_moe.csv"):
        scheme = row["activation_dtype"], row["weight_dtype"], row["quantisation"]
        if row["device"] in DEVICES and row["repeated"] == "0" and scheme in EXPERTS:
            found.setdefault((row["device"], EXPERTS[scheme]), []).append(row)
    return tuple(_mixtures(device, dtype, rows) for (device, dtype), rows in sorted(found.items()))


def _mixtures(device: str, dtype: str, rows: Rows) -> ExpertSet:
    """Tokens are routed evenly, as nothing else is said of them."""
    tokens, one = column(rows, "tokens"), np.ones(len(rows))
    whole = {"B": tokens, "T": one, "E": column(rows, "experts"), "A": column(rows, "topk")}
    load = Routing.of("balanced").load(whole, one)
    sizes = {
        **whole, "D": column(rows, "model_dim"), "F": column(rows, "inter_dim"), "X": load.touched,
        "gated": column(rows, "gated"), "skewed": 0 * one,
    }  # fmt: skip
    hardware = load_hardware(device)
    table = Table(hardware, "AITER", SOURCE, rows, "", Path("fused_moe.csv"))
    return ExpertSet(hardware, dtype, "aiter", table, sizes, column(rows, "time_us") * 1e-6, models_of(sizes))


def models_of(sizes: Mapping[str, Any]) -> Any:
    """A number for each shape of a mixture."""
    return _numbered(sizes, _OF_MODEL)


@cache
def load_attention(data: Path) -> tuple[MeasuredSet, ...]:
    """AITER's attention with heads of 128 on an MI355X: behind a mask, and without one."""
    rows = [
        row for row in _read(data, "hipkittens/attention.csv")
        if (row["implementation"], row["pass"], row["head_dim"]) == ("AITER", "fwd", "128")
    ]  # fmt: skip
    return tuple(_attention([row for row in rows if row["causal"] == causal]) for causal in "10")


def _attention(rows: Rows) -> MeasuredSet:
    names = ("batch", "query", "context", "heads", "kv_heads", "head_dim", "causal")
    sizes = {**{name: column(rows, name) for name in names}, "window": np.zeros(len(rows))}
    seconds = column(rows, "time_us") * 1e-6
    return MeasuredSet("mi355x attention, AITER", "attention", load_hardware("mi355x"), "bf16", sizes, seconds, {})


def digest_of(data: Path, name: str) -> str:
    """The digest of a table. ``name``: its path below the folder of devices beside NVIDIA's data centre."""
    return hashlib.sha256((data / "other" / name).read_bytes()).hexdigest()[:12]


def _read(data: Path, name: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader((data / "other" / name).open(encoding="utf-8"))


def _numbered(sizes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return np.unique(np.stack([sizes[name] for name in names]), axis=1, return_inverse=True)[1].ravel()
