"""Campaigns that class constants are fitted to: timed operators by device and kind, at most 500 rows of each set.

Devices weigh alike, and so do the sets of one device. Beside the sets of the scoreboard stand attention over latents,
which ``predict_op`` does not name, and grouped matmuls.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from device_sets import load_device_sets
from measured_sets import MeasuredSet, load_sets, other_device

from roofline.cost.cost import operator_cost
from roofline.fitting.operators import Timed
from roofline.hardware.spec import HardwareSpec
from roofline.layers.latent_attention import latent_attention
from roofline.program.workload import Precision

_MOST = 500


@dataclass(frozen=True, slots=True, eq=False)
class Campaign:
    """Timed operators of one kind on one device; ``kind`` is that of constants, with fp32 and fp8 matmuls apart.

    In 8 bits and fewer they are by library too where they were timed with what quantises before them.
    """

    name: str
    kind: str
    device: HardwareSpec
    rows: tuple[Timed, ...]

    @property
    def generation(self) -> str:
        """The class that the device belongs to."""
        return self.device.calibration_class


@cache
def load_campaigns(data: Path) -> tuple[Campaign, ...]:
    """Every campaign that no host time is in; the same ones however often they are asked for."""
    sets = [rows for rows in load_sets(data) if not rows.host_time]
    return (*(_campaign(rows) for rows in sets), *_latent(data), *_on_devices(data))


def _on_devices(data: Path) -> Iterable[Campaign]:
    """Matmuls on the devices that have a folder of their own, those with kernels that quantise apart."""
    for each in load_device_sets(data):
        if each.kind == "matmul":
            campaign = _campaign(each.rows)
            yield replace(campaign, kind=f"{campaign.kind} {each.library}".strip())


def weighted(campaigns: Sequence[Campaign]) -> list[Timed]:
    """Their rows for a fit: devices weigh alike, and so do the campaigns of one device."""
    shared = [campaign.device.name for campaign in campaigns]
    return [
        replace(rows, weight=rows.weight / shared.count(campaign.device.name))
        for campaign in campaigns
        for rows in campaign.rows
    ]


def _campaign(rows: MeasuredSet) -> Campaign:
    kind = rows.constants_kind
    thin = rows.where(np.arange(len(rows)) % max(1, -(-len(rows) // _MOST)) == 0)
    apart = f"{kind} {rows.timed_dtype}" if kind == "matmul" and rows.dtype in ("fp32", "fp8", "fp4") else kind
    return Campaign(rows.name, apart, rows.device, tuple(thin.timed()))


def _latent(data: Path) -> Iterable[Campaign]:
    """Attention over latents of DeepSeek-V3: expanded in prefill, absorbed in decode."""
    for phase, length in (("prefill", "seq_len"), ("decode", "kv_len")):
        with (data / f"infersim/mla_{phase}.csv").open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
        (*_, op) = [op for op in latent_attention(absorbed=phase == "decode") if op.name == "attention"]
        for gpu in dict.fromkeys(row["gpu"] for row in rows):
            own = [row for row in rows if row["gpu"] == gpu]
            context, batch = (
                _column(own, length),
                _column(own, "batch_size") if phase == "decode" else np.ones(len(own)),
            )
            query = context if phase == "prefill" else np.ones(len(own))
            fixed = {"K": 128, "G": 1, "H": 128, "J": 64, "U": 128, "R": 512}
            sizes = {"B": batch, "T": query, "S": context, **{k: np.full(len(own), float(v)) for k, v in fixed.items()}}
            cost = operator_cost(op, sizes, Precision("bf16", "bf16", "bf16"))
            seconds = _column(own, "latency_us") * 1e-6
            device = other_device(gpu)
            yield Campaign(f"latent attention {phase}, {gpu.upper()}", f"attention_{phase}", device,
                           (Timed(cost, device, seconds),))  # fmt: skip


def _column(rows: list[dict[str, str]], name: str) -> Any:
    return np.array([float(row[name]) for row in rows])
