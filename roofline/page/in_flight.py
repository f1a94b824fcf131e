"""What a model serves with so many requests in flight, at many numbers of them: a slider moves among these."""

from __future__ import annotations

import numpy as np

from roofline.errors import UsageError
from roofline.options.verbs.serving import CompareOptions
from roofline.page.asked import Pairs, hardware_asked, keywords_of, model_asked
from roofline.page.questions import Json
from roofline.serving.hardware_choice import read_hardware
from roofline.serving.in_flight import LayoutInFlight, served_in_flight
from roofline.serving.scenario import read_question

IN_FLIGHT = (1, 2, 3, *(part * 2**power for power in range(9) for part in (4, 5, 6, 7)), 2048)
"""Requests at once."""


def served_to_many(pairs: Pairs) -> Json:
    """Continuous batching in steady state at each of IN_FLIGHT, in the layout that serves most there; means.

    Where no layout takes in as many requests there are no times. Raises RooflineError where there is none at all.
    """
    options = keywords_of(pairs, CompareOptions)
    model = model_asked(pairs)
    if model.reads:
        msg = f"{model.name}: it generates nothing; requests in flight are of what does"
        raise UsageError(msg)
    question = read_question(model, **options)
    (its,) = read_hardware([hardware_asked(pairs)])
    generate = int(question.traffic.generate.mean)
    served = served_in_flight(question, its, np.array(IN_FLIGHT, dtype=np.float64), generate)
    best = np.argmax([each.merit for each in served], axis=0)
    return {"devices": its.count, "rows": [_row(served[number], place) for place, number in enumerate(best)]}


def _row(served: LayoutInFlight, place: int) -> Json:
    """One number of requests in flight. [s, tokens/s, requests/s]"""
    found: Json = {"concurrency": IN_FLIGHT[place]}
    if not served.runs[place]:
        return found
    columns = {name: float(column[place]) for name, column in served.columns().items()}
    ends = {
        f"{name}_{end}_s": columns[f"{name}_s"] * float(served.curve.of(factor)[place])
        for name, before in (("ttft", "ttft_"), ("tpot", ""))
        for end, factor in (("low", f"{before}low"), ("high", f"{before}high"))
    }
    kept = ("ttft_s", "tpot_s", "tokens_per_s", "requests_per_s", "total_bytes")
    fits = None if np.isnan(columns["fits"]) else bool(columns["fits"])
    layout = f"{served.curve.replicas} x {served.curve.layout}" if served.curve.replicas > 1 else served.curve.layout
    return {**found, **{name: columns[name] for name in kept}, **ends, "fits": fits, "layout": str(layout)}
