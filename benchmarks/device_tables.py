"""A table of measured/devices, and what its readers make of it: sets of timed operators with a seeded split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measured_sets import MeasuredSet, Rows

from roofline.hardware.spec import HardwareSpec


@dataclass(frozen=True, slots=True, eq=False)
class DeviceSet:
    """Timed operators of one kind, dtype and kernel library on one device.

    framework and version: who timed them. kernel_source: the kernel, as the table names it. dimensions: groups of sizes
    that a split draws from one list of values, such as a matmul's n and k. digest: of the table's bytes.
    """

    rows: MeasuredSet
    library: str
    framework: str
    version: str
    kernel_source: str
    dimensions: tuple[tuple[str, ...], ...]
    digest: str

    @property
    def kind(self) -> str:
        """The kind of constants that the operators take."""
        return self.rows.constants_kind

    def split(self, seed: int) -> MeasuredSet:
        """The rows with the values to fit that a seed draws."""
        random, known = np.random.default_rng(seed), {}
        for group in self.dimensions:
            values = np.unique(np.concatenate([self.rows.sizes[name] for name in group]))
            drawn = frozenset(random.permutation(values)[: len(values) // 2].astype(int).tolist())
            known |= dict.fromkeys(group, drawn)
        return replace(self.rows, fit_values=known)


@dataclass(frozen=True, slots=True)
class Table:
    """One file of a device's folder."""

    device: HardwareSpec
    framework: str
    version: str
    rows: Rows
    digest: str
    path: Path


def device_set(
    table: Table,
    rows: Rows,
    kind: str,
    dtype: str,
    sizes: dict[str, Any],
    library: str,
    dimensions: Sequence[Any],
    name: str = "",
    kept: str = "",
) -> DeviceSet:
    title = f"{name or kind} {dtype}, {table.framework} {table.version}"
    measured = MeasuredSet(title, kind, table.device, dtype, sizes, column(rows, "latency_ms") * 1e-3, {}, kept=kept)
    kernel = rows[0]["kernel_source"]
    return DeviceSet(measured, library, table.framework, table.version, kernel, tuple(dimensions), table.digest)


def column(rows: Rows, name: str) -> Any:
    """A column of numbers."""
    return np.array([float(row[name]) for row in rows])
