"""Every layout of so many devices, evaluated in one call over arrays; the best of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.options.groups import Degrees
from roofline.parallelism.dimensions import DEGREES, DIMENSIONS, OWN, Search, given_degrees
from roofline.parallelism.divisibility import can_split, check_layout
from roofline.parallelism.layout import Layout
from roofline.prediction.layouts.evaluation import LayoutTable
from roofline.prediction.request import Request, read_request

Runs: TypeAlias = Callable[[Layout], bool]
"""Whether a layout can be started."""


@frozen
class Chosen:
    """The best layout of so many, and the one that comes next, with how much more time or memory it takes.

    ``idle`` says why it leaves devices idle, where it does.
    """

    layout: Layout
    tried: int
    fitting: int
    runner_up: Layout | None = None
    ratio: float = 1.0
    idle: str = ""

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


def choose_layout(request: Request, asked: Degrees, runs: Runs | None = None) -> Chosen:
    """The best of all layouts that make up the devices of a request and have the degrees that options fix.

    Of those that ``runs`` says can be started, where it is given and there is one.
    """
    return _best(evaluate(request, given_degrees(asked), [request.workload.batch]), runs)


def choose_layout_of_some(request: Request, asked: Degrees, runs: Runs | None = None) -> Chosen:
    """The same, or that of an equal part of the devices where the batch is too small to split over all of them.

    The largest part that can be split is taken; the others would be replicas, to which such a batch gives no work.
    """
    try:
        return choose_layout(request, asked, runs)
    except WorkloadError:
        devices = request.fleet.count
        reason = _batch_too_small(request, candidates(request, devices, given_degrees(asked)), devices)
        for used in (devices // parts for parts in range(2, devices + 1) if reason and devices % parts == 0):
            fewer = replace(request, fleet=replace(request.fleet, count=used))
            with suppress(WorkloadError):
                return replace(
                    choose_layout(fewer, asked, runs), idle=f"{devices - used} of {devices} devices idle: {reason}"
                )
        raise


def _best(table: LayoutTable, runs: Runs | None = None) -> Chosen:
    order = table.order()
    if runs:
        order = [row for row in order if runs(table.layout(row))] or order
    best = order[0]
    fitting = int(table.fits[order].sum())
    if len(order) == 1:
        return Chosen(table.layout(best), 1, fitting)
    second = order[1]
    compared = table.request_s if table.fits[best] else table.memory_bytes
    return Chosen(
        table.layout(best), len(order), fitting, table.layout(second), float(compared[second] / compared[best])
    )


def layouts_of(request: Request) -> list[Layout]:
    """Every layout of the devices of a request that can split the model at some batch."""
    devices = request.fleet.count
    if not request.fleet.counted:
        return [Layout()]
    layouts = candidates(request, devices, {})
    held = can_split(layouts, request.program, request.phases, replace(request.workload, batch=devices))
    return [layouts.at(int(place)) for place in np.flatnonzero(held)]


def best_layouts(request: Request, batches: Sequence[int], asked: Degrees) -> dict[int, Layout | WorkloadError]:
    """The layout that ``choose_layout_of_some`` takes at each batch, or why there is none."""
    try:
        table = evaluate(request, given_degrees(asked), batches).contenders()
        found = {batch: table.layout(table.best(batch)) for batch in dict.fromkeys(table.batch.tolist())}
    except WorkloadError:
        found = {}
    return {batch: found[batch] if batch in found else _of_some(request, asked, batch) for batch in batches}


def _of_some(request: Request, asked: Degrees, batch: int) -> Layout | WorkloadError:
    at = replace(request, workload=replace(request.workload, batch=batch))
    try:
        return choose_layout_of_some(at, asked).layout
    except WorkloadError as failure:
        return failure


def evaluate(request: Request, given: Mapping[str, int], batches: Sequence[int]) -> LayoutTable:
    """A row for each layout that can split the model and each batch. Raises WorkloadError where there is none."""
    devices = request.fleet.count if request.fleet.counted else int(Layout.of(**given).devices)
    layouts = candidates(request, devices, given)
    workloads = [replace(request.workload, batch=batch) for batch in dict.fromkeys(batches)]
    held = [can_split(layouts, request.program, request.phases, workload) for workload in workloads]
    rows = Layout.stacked([layouts.at(mask) for mask in held])
    batch_of = np.repeat([workload.batch for workload in workloads], [mask.sum() for mask in held])
    if not len(batch_of):
        refuse_layouts(request, layouts, given, devices)
    return LayoutTable.of(request, request.machine(devices), rows, batch_of)


def candidates(request: Request, devices: int, given: Mapping[str, int]) -> Layout:
    """Every layout that makes up the devices and has the ``given`` degrees, one dimension after the other."""
    return _candidates(Search(devices, "E" in request.program.sizes, request.phases), tuple(given.items()))


@lru_cache(maxsize=64)
def _candidates(search: Search, fixed: tuple[tuple[str, int], ...]) -> Layout:
    given = dict(fixed)
    found: list[dict[str, int]] = [{}]
    for dimension in DIMENSIONS:
        flag, own, last = dimension.flag, dimension.own, dimension.flag == OWN[-1]
        found = [
            {**degrees, flag: degree}
            for degrees in found
            for left in [search.left(degrees)]
            for degree in ([given[flag]] if flag in given else dimension.options(search, degrees))
            if not own or (degree == left if last else left % degree == 0)
        ]
    rows = np.array([[degrees[flag] for flag in DEGREES] for degrees in found], dtype=np.int64)
    return Layout(*rows.reshape(-1, len(DEGREES)).T)


def refuse_layouts(request: Request, layouts: Layout, given: Mapping[str, int], devices: int) -> NoReturn:
    """Raises WorkloadError that says why no layout will do: what stands against the first that comes to mind."""
    if reason := _batch_too_small(request, layouts, devices):
        msg = f"{reason}, or name fewer devices"
        raise WorkloadError(msg)
    for layout in map(layouts.at, range(np.size(layouts.tp))):
        try:
            check_layout(layout, request.program, request.phases, request.workload, request.model.name)
        except WorkloadError as failure:
            msg = f"no layout of {devices} devices divides {request.model.name}: with {layout}, {failure}"
            raise WorkloadError(msg) from None
    asked = ", ".join(f"{name} {degree}" for name, degree in given.items())
    msg = f"no layout of {devices} devices has {asked}; degrees multiply to the number of devices, so each divides it"
    raise WorkloadError(msg)


def _batch_too_small(request: Request, layouts: Layout, devices: int) -> str:
    """That a batch is too small for any of these layouts, and one that is not; nothing where a batch is no help."""
    workloads = request.workload, replace(request.workload, batch=devices)
    now, then = (can_split(layouts, request.program, request.phases, workload) for workload in workloads)
    if now.any() or not then.any():
        return ""
    return (
        f"no layout of {devices} devices divides {request.model.name} at batch {request.workload.batch}; "
        f"a batch of {devices} can be split ({layouts.at(int(np.argmax(then)))})"
    )
