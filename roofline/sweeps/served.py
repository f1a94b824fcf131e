"""A part of a sweep that is of serving: continuous batching with so many requests in flight over all replicas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from roofline.errors import RooflineError
from roofline.options.edits import edits_by_room
from roofline.parallelism.layout import Layout
from roofline.serving.hardware_choice import Hardware, read_hardware
from roofline.serving.in_flight import LayoutInFlight, served_in_flight
from roofline.serving.scenario import read_question
from roofline.sweeps.evaluation import PartRows, Places
from roofline.sweeps.parts import Part
from roofline.timing.timing import PARTS

_MADE = (
    *("ttft_s", "tpot_s", "request_s", "tokens_per_s", "device_tokens_per_s", "requests_per_s", "low", "high"),
    *(f"share_{part}" for part in PARTS), *("weights_bytes", "kv_cache_bytes", "activation_bytes", "total_bytes"),
    *("fits", "max_batch", "energy_j", "power_w"),
)  # fmt: skip
"""Columns of results that serving has."""


def served_rows(part: Part) -> PartRows:
    """Every point of a part's grid; one that is refused says why."""
    rows = PartRows.blank(part, ("batch",))
    size = len(rows.values["batch"])
    rows.told["phase"].put(slice(None), part.phase)
    rows.found |= {name: np.full(size, np.nan) for name in _MADE}
    rows.found["bound_by"] = np.full(size, -1, np.int32)
    for kind in range(rows.kinds):
        places = np.arange(kind, size, rows.kinds)
        try:
            _serve(rows, part, places)
        except RooflineError as failure:
            rows.told["refused"].put(places, str(failure))
    return rows


def _serve(rows: PartRows, part: Part, places: Places) -> None:
    """Fill in the points of the same lengths. Raises RooflineError where all of them are refused."""
    asked = {name: int(rows.values[name][places[0]]) for name, _ in part.axes[1:]}
    work = part.request(**asked).workload
    lengths: dict[str, Any] = {"prompt": work.prompt, "generate": asked.get("generate", max(2, work.generate))}
    for name, value in lengths.items():
        rows.values.setdefault(name, np.full(len(rows.values["batch"]), np.nan))[places] = value
    edits = dict(part.edits)
    how: dict[str, Any] = {"dtype": part.dtype, "engine": part.engine, "fusion": part.fusion, "set": edits or None}
    question = read_question(part.model, **how, **lengths)
    (its,) = read_hardware([part.hardware], edits_by_room(edits)["hardware"])
    its, only = _replica(its, part)
    requests = rows.values["concurrency"][places]
    served = served_in_flight(question, its, requests, lengths["generate"], only)
    best = np.argmax([each.merit for each in served], axis=0)
    for number, each in enumerate(served):
        _fill(rows, places, each, best == number)


def _replica(its: Hardware, part: Part) -> tuple[Hardware, Layout | None]:
    """The hardware, and the layout of a replica on it that is asked for, if one is.

    Data-parallel ranks that share no experts are replicas by themselves.
    """
    if part.layout is None:
        return its, None
    asked = Layout.of(**dict(part.layout))
    if not its.fleet.counted:
        its = replace(its, count=int(asked.devices), reach=int(asked.devices))
    return its, replace(asked, dp=1) if asked.ep == 1 else asked


def _fill(rows: PartRows, places: Places, served: LayoutInFlight, mine: Any) -> None:
    """Write the points of a layout that are its own, ``mine``: those at which it is the best."""
    curve, runs = served.curve, served.runs & mine
    for name, column in served.columns().items():
        rows.found[name][places[runs]] = column[runs]
    many = curve.replicas
    assert curve.recipe is not None
    assert curve.running is not None
    assert curve.constants is not None
    told = {
        "layout": f"{many} x {curve.layout}" if many > 1 else curve.layout, "dtype": curve.recipe.name,
        "engine": curve.running.engine.name, "provenance": curve.constants.named,
    }  # fmt: skip
    for name, word in told.items():
        rows.told[name].put(places[runs], word)
    waits = mine & ~served.admitted
    rows.told["refused"].put(places[mine & ~runs], _why(served))
    if waits.any():
        assert curve.running is not None
        most = f"engine.max_sequences {curve.running.sequences}"
        rows.told["refused"].put(places[waits], f"{most}: others wait, which simulate --concurrency tells")


def _why(served: LayoutInFlight) -> str:
    if served.curve.groups == 1:
        return "the steps of the engine do not take in all prompts; give a larger engine.chunk"
    return f"layout {served.curve.layout}: expected a request for each of {served.groups} groups"
