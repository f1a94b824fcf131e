"""What the page asks beside the verbs: the names to choose from, the tape of a layout, the formulas of an operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING, cast

from roofline.buying.prices import offers_of, pick_offer
from roofline.compression.formats import PLAIN
from roofline.engines.library import load_every_engine
from roofline.hardware.loading import load_every_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import load_every_system
from roofline.models.model import load_preset
from roofline.models.sources import preset_names
from roofline.options.keywords import completed
from roofline.options.verbs.predicting import PredictOptions
from roofline.options.words import Quantity
from roofline.page.asked import Pairs, hardware_asked, keywords_of, model_asked, word_asked
from roofline.page.in_flight import served_to_many
from roofline.page.questions import Json, Nothing
from roofline.prediction.predict import predict
from roofline.prediction.recording import Recording
from roofline.prediction.request import Request
from roofline.tape.wire import wire

if TYPE_CHECKING:
    from roofline.formulas.setting import Setting

DTYPES = (*PLAIN[2:], "fp8", "w8a8", "w8a16", "w4a16", "w4a8", "mxfp4", "nvfp4", "fp8+kv8", "w4a16+kv8")
"""Formats that the page offers; any other that predict takes can be typed."""


def library(pairs: Pairs) -> Json:
    """All models, devices, boxes and engines by name, with what a reader chooses by."""
    keywords_of(pairs, Nothing, ())
    models = [load_preset(name) for name in preset_names()]
    return {
        "models": [
            {"name": m.name, "kind": m.kind, "parameters": m.parameters, "positions": m.lengths.positions}
            for m in models
        ],
        "hardware": [_device(spec) for spec in load_every_hardware()],
        "systems": [
            {"name": each.name, "title": each.title or each.name, "count": each.count} for each in load_every_system()
        ],
        "engines": [{"name": each.name, "title": each.title} for each in load_every_engine()],
        "dtypes": list(DTYPES),
    }


def shown(pairs: Pairs) -> Json:
    """The answer of ``predict``, and the roofs over it."""
    found = predict(model_asked(pairs), hardware_asked(pairs), **keywords_of(pairs, PredictOptions))
    return {"answer": found.to_dict(), "roof": _roof(found.request)}


def taped(pairs: Pairs) -> Json:
    """A prediction as a tape for the layout that it has: what ``predict`` answers for other batches and lengths."""
    options = completed(PredictOptions, keywords_of(pairs, PredictOptions), "tape")
    recording = Recording.asked(model_asked(pairs), hardware_asked(pairs), (), cast("PredictOptions", options))
    return wire(recording.tape(recording.rows()))


def operator(pairs: Pairs) -> Json:
    """One operator of a model as the engine runs it: its statement, its FLOPs and bytes in letters.

    Raises RooflineError for one that no model states, such as what devices exchange.
    """
    from roofline.formulas.setting import make_setting  # noqa: PLC0415  (sympy takes a while to load)

    keywords_of(pairs, Nothing, ("model", "config", "gguf", "op", "phase", "dtype", "engine"))
    group, _, name = word_asked(pairs, "op", "attention").rpartition(".")
    phase = word_asked(pairs, "phase", "decode")
    options = keywords_of([pair for pair in pairs if pair[0] in ("dtype", "engine")], PredictOptions)
    whole = make_setting(model_asked(pairs), op=name, **options)
    groups = tuple(each for each in whole.subject.groups if group in ("", each.name))
    setting = replace(whole, subject=replace(whole.subject, groups=groups))
    formulas = [_formula(setting, quantity, phase) for quantity in _QUANTITIES]
    return {"statements": [*dict.fromkeys(str(op) for each in groups for op in each.ops)], "formulas": formulas}


_QUANTITIES: tuple[Quantity, ...] = ("flops", "bytes")


def _formula(setting: Setting, quantity: Quantity, phase: str) -> Json:
    from sympy import mathml  # noqa: PLC0415

    from roofline.formulas.building import build  # noqa: PLC0415

    found = build(setting, quantity, phase)
    written = mathml(found.expression, printer="presentation")
    plain = re.sub(r"&(?!lt;|gt;|amp;)\w+;", lambda entity: unescape(entity[0]), written)  # XML knows no others
    return {**found.to_dict(), "mathml": plain}


def _device(spec: HardwareSpec) -> Json:
    """A device as the page lists it."""
    return {
        "name": spec.name,
        "title": spec.title or spec.name,
        "vendor": spec.vendor,
        "capacity_bytes": spec.capacity,
    }


def _roof(request: Request) -> Json:
    """The peaks of the contractions, the one of the layers first, the bandwidth and the rent, of one device."""
    device = request.device
    dtypes = dict.fromkeys((request.recipe.compute_dtype, request.precision.activations))
    peaks = [{"dtype": dtype, "flops_per_s": device.contraction_unit(dtype)[1]} for dtype in dtypes]
    rent = pick_offer(offers_of(device), "on_demand")
    return {
        "name": device.title or device.name,
        "bandwidth_bytes_per_s": device.bandwidth,
        "peaks": peaks,
        "usd_per_h": rent.usd if rent else None,
    }


VIEWS: Mapping[str, Callable[[Pairs], Json]] = {
    "library": library,
    "shown": shown,
    "tape": taped,
    "operator": operator,
    "serving": served_to_many,
}
"""By the last part of their paths."""
