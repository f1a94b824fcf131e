"""Every layout of so many devices, evaluated in one call over arrays; the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product as combinations
from typing import Any

import numpy as np

from roofline.errors import WorkloadError
from roofline.parallelism.divisibility import can_split, check_layout
from roofline.parallelism.layout import Layout
from roofline.prediction.layout_evaluation import LayoutTable, layout_in, layout_rows
from roofline.prediction.request import Request, read_request
from roofline.program.phases import Phase


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best layout of so many, and the one that comes next, with how much more time or memory it takes."""

    layout: Layout
    tried: int
    fitting: int
    runner_up: Layout | None = None
    ratio: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON of ``predict``: how many layouts were tried, how many fit, and the runner-up."""
        next_best = self.runner_up.to_dict() if self.runner_up else None
        return {"tried": self.tried, "fitting": self.fitting, "runner_up": next_best, "runner_up_time": self.ratio}


def search_layouts(
    model: Any, hardware: Any, *, batch: int | Sequence[int] = 1, fixed: Mapping[str, int] | None = None, **asked: Any
) -> LayoutTable:
    """Every layout of the devices of ``hardware`` for each batch, in one call over arrays.

    ``hardware`` names several devices, as in ``8xh100``; ``asked`` are the other keywords of ``predict``; ``fixed`` are
    degrees that are given. A batch that the replicas of a layout do not divide has no row. Raises RooflineError for
    whatever the model or the devices refuse, or where no layout divides anything.

    >>> table = search_layouts("llama-3.1-8b", "8xh100", batch=[8, 64], generate=16)
    >>> print(table.layout(table.best(batch=64)).devices, set(table.batch.tolist()) == {8, 64})
    8 True
    """
    batches = [batch] if isinstance(batch, int) else [int(size) for size in batch]
    request = read_request(model, hardware, batch=batches[0], **asked)
    return evaluate(request, dict(fixed or {}), batches)


def choose_layout(request: Request, given: Mapping[str, int]) -> Chosen:
    """The best of all layouts that make up the devices of a request, ``given`` degrees apart."""
    table = evaluate(request, given, [request.workload.batch])
    order = table.order()
    best = order[0]
    fitting = int(table.fits.sum())
    if len(order) == 1:
        return Chosen(table.layout(best), 1, fitting)
    second = order[1]
    compared = table.request_s if table.fits[best] else table.memory_bytes
    return Chosen(
        table.layout(best), len(table), fitting, table.layout(second), float(compared[second] / compared[best])
    )


def evaluate(request: Request, given: Mapping[str, int], batches: Sequence[int]) -> LayoutTable:
    """A row for each layout that can split the model and each batch. Raises WorkloadError where there is none."""
    devices = request.fleet.count if request.fleet.counted else Layout.of(**given).devices
    program, phases = request.program, request.phases
    rows = np.array(list(_candidates(devices, given, "E" in program.sizes, phases)), dtype=np.int64)
    parts = []
    for batch in dict.fromkeys(batches):
        workload = replace(request.workload, batch=batch)
        for split in (False, True):
            some = rows[rows[:, 5] == split] if len(rows) else rows
            layouts = layout_in(some.T[:5], split)
            kept = some[can_split(layouts, program, phases, workload)] if len(some) else some
            parts.append(np.column_stack((kept.reshape(-1, 6), np.full(len(kept), batch))))
    whole = np.concatenate(parts)
    if not len(whole):
        _refuse(request, given, devices)
    kinds = _kinds(whole)
    machine = request.machine(devices)
    tables = [layout_rows(request, whole[kinds == kind], machine) for kind in np.unique(kinds)]
    return LayoutTable(*(np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(LayoutTable)))


def _kinds(rows: Any) -> Any:
    """Rows of one number have the same collectives: sequences split, caches gathered, experts spread, over replicas."""
    tp, ep = rows[:, 0], rows[:, 3]
    flags = (rows[:, 5] > 0, rows[:, 4] > 1, ep > 1, ep > tp)
    return sum(flag.astype(np.int64) << place for place, flag in enumerate(flags))


def _candidates(
    devices: int, given: Mapping[str, int], experts: bool, phases: tuple[Phase, ...]
) -> Iterator[list[int]]:
    """Degrees of tp, pp, dp, ep, cp, and 1 where sequences are split, of every layout of so many devices."""
    divisors = [n for n in range(1, devices + 1) if devices % n == 0]

    def options(name: str) -> list[int]:
        return [given[name]] if name in given else divisors

    for tp, pp, cp in combinations(options("tp"), options("pp"), options("cp")):
        if devices % (tp * pp * cp):
            continue
        dp = devices // (tp * pp * cp)
        if given.get("dp", dp) != dp:
            continue
        spread = [given["ep"]] if "ep" in given else [n for n in divisors if experts and (tp * dp) % n == 0] or [1]
        splits = (
            [int(given["sp"] > 1)]
            if "sp" in given
            else [0, 1]
            if tp > 1 and not all(phase.one_token for phase in phases)
            else [0]
        )
        for ep, sp in combinations(spread, splits):
            if not sp or given.get("sp", tp) == tp:
                yield [tp, pp, dp, ep, cp, sp]


def _refuse(request: Request, given: Mapping[str, int], devices: int) -> None:
    """Raises WorkloadError that says why no layout will do: what stands against the first that comes to mind."""
    for row in _candidates(devices, given, "E" in request.program.sizes, request.phases):
        layout = layout_in(row[:5], bool(row[5]))
        try:
            check_layout(layout, request.program, request.phases, request.workload, request.model.name)
        except WorkloadError as failure:
            msg = f"no layout of {devices} devices divides {request.model.name}: with {layout}, {failure}"
            raise WorkloadError(msg) from None
    asked = ", ".join(f"{name} {degree}" for name, degree in given.items())
    msg = f"no layout of {devices} devices has {asked}"
    raise WorkloadError(msg)
