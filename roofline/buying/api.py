"""The buyer's two questions as functions: :func:`compare` and :func:`size`. Their keywords are the flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from roofline.buying.economics import Ownership
from roofline.buying.pool_sizing import with_pools
from roofline.buying.prices import read_prices
from roofline.buying.ranking import Comparison, compare_hardware
from roofline.buying.serving_costs import Terms
from roofline.buying.sizing import Load, Sizing, size_hardware
from roofline.buying.training_costs import price_training
from roofline.errors import UnitError, UsageError, shown
from roofline.hardware.reservation import read_reserve
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model, load_model
from roofline.options.groups import Loaded, Money, Targets
from roofline.options.keywords import part, takes
from roofline.options.verbs import CompareOptions, ServingOptions, SizeOptions
from roofline.prediction.request import edited_model, edits_by_room
from roofline.program.traffic import read_traffic
from roofline.serving.hardware_choice import Hardware, read_hardware
from roofline.serving.operating_points import Targets as Limits
from roofline.serving.scenario import KEPT, Question
from roofline.serving.speculation import read_speculation
from roofline.units import Dimension, parse_quantity


@takes(CompareOptions)
def compare(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    **options: Unpack[CompareOptions],
) -> Comparison:
    """Hardware side by side, each at its best batch under the targets, the cheapest million tokens first.

    ``hardware``: names of devices, boxes and counts such as 8xh100, with commas or as a list; ``all`` is every
    device. Lengths in tokens, as numbers or as :func:`roofline.program.traffic.read_lengths` has them; times in s, or
    with a unit; ``power_price`` in USD/kWh, ``hosting`` in USD/h, ``api`` in USD per million input and output tokens.
    ``chunk`` 0 runs prompts by themselves. ``memory_share`` of the memory is the engine's, 0.9 by default;
    ``reserve`` says it by what the runtime keeps, a share or "2GiB". ``speculate`` 4:0.7 has ``draft``, or a look-up
    at no cost, propose 4 tokens a step, each accepted with 0.7. ``pools``: hardware of several devices has a row too
    in which some of them only prefill and the others only decode. ``train`` tokens of training are priced too, with
    ``frozen`` weights as LoRA has them. ``set`` edits fields of the model and of all hardware by path, as ``predict``
    has it. Raises RooflineError, in one line, for whatever is refused.

    >>> best = compare("llama-3.1-8b", "h100,l40s", workload="chat", tpot="30 ms").rows[0]
    >>> best.hardware.name, best.point.batch
    ('h100-sxm-80gb', 116)
    """
    question = _question(model, part(ServingOptions, options))
    terms, targets = _terms(part(Money, options)), _targets(part(Targets, options))
    devices = _hardware(hardware, options["set"])
    result = compare_hardware(question, devices, targets, terms, pools=options["pools"])
    if options["train"] is None:
        return result
    tokens = _read("train", options["train"], "tokens")
    return replace(result, training=price_training(question, devices, terms, tokens, frozen=options["frozen"]))


@takes(SizeOptions)
def size(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    **options: Unpack[SizeOptions],
) -> Sizing:
    """The fewest rentable units of each hardware that serve ``load`` requests per second within the targets.

    ``headroom`` is the part of the capacity that stays free. ``pools`` sizes each hardware too as a pool of replicas
    that only prefill and one of replicas that only decode; ``prefill_on`` names what prefills for each of ``hardware``,
    with commas or as a list. The other keywords are those of :func:`compare`. Raises
    RooflineError, in one line, for whatever is refused.

    >>> size("llama-3.1-8b", "h100", load="50 req/s", workload="chat", tpot="30 ms").orders[0].units
    4
    """
    load, edits = options["load"], options["set"]
    if load is None:
        msg = "load is missing; give the requests that arrive such as 50req/s"
        raise UsageError(msg)
    question = _question(model, part(ServingOptions, options))
    terms, targets = _terms(part(Money, options)), _targets(part(Targets, options))
    arriving = Load(_read("load", load, "requests_per_s"), options["headroom"])
    devices, prefill_on = _hardware(hardware, edits), options["prefill_on"]
    result = size_hardware(question, devices, arriving, targets, terms)
    pairs = [(each, each) for each in devices] if options["pools"] else []
    if prefill_on is not None:
        pairs += [(each, other) for each in _hardware(prefill_on, edits) for other in devices]
    return with_pools(result, list({(p.name, d.name): (p, d) for p, d in pairs}.values())) if pairs else result


def _question(model: str | Path | Mapping[str, Any] | Model, options: ServingOptions) -> Question:
    """What is served and how, of the keywords that both questions have."""
    o, edits = options, options["set"] or {}
    return Question(
        edited_model(model, edits_by_room(edits)["model"]),
        read_traffic(o["workload"], o["prompt"], o["generate"], o["prefix_hits"]),
        (o["dtype"], o["weight_dtype"], o["activation_dtype"], o["kv_dtype"]),
        constants=o["constants"],
        execution=o["execution"],
        chunk=o["chunk"] or None,
        reserve=read_reserve(o, default=KEPT),
        speculation=read_speculation(o["speculate"], _model(o["draft"])),
        overrides=tuple(edits.items()),
    )


def _model(given: str | Path | Mapping[str, Any] | Loaded | None) -> Model | None:
    if isinstance(given, str | Path | Mapping):
        return load_model(given)
    if given is None or isinstance(given, Model):
        return given
    msg = f"draft {shown(given)}: expected a model"
    raise UsageError(msg)


def _hardware(given: str | Loaded | Sequence[str | Loaded], edits: Mapping[str, Any] | None) -> list[Hardware]:
    """Hardware by name, with commas or as a list. Raises UsageError for an empty name, and for what is none."""
    names = given.split(",") if isinstance(given, str) else given if isinstance(given, Sequence) else [given]
    clean = [name.strip() if isinstance(name, str) else name for name in names]
    if not all(clean):
        msg = f"hardware {shown(given)}: a name is empty; expected names with commas between them, such as h100,mi300x"
        raise UsageError(msg)
    known = [name for name in clean if isinstance(name, str | HardwareSpec)]
    if len(known) < len(clean):
        msg = f"hardware {shown(given)}: expected names, or hardware that was loaded"
        raise UsageError(msg)
    return read_hardware(known, edits_by_room(edits or {})["hardware"])


def _targets(options: Targets) -> Limits:
    given = (("ttft", options["ttft"]), ("tpot", options["tpot"]))
    return Limits(*(None if value is None else _read(name, value, "time_s") for name, value in given))


def _terms(options: Money) -> Terms:
    o, api = options, options["api"]
    energy = _read("power price", o["power_price"], "usd_per_kwh")
    place = _read("hosting", o["hosting"], "usd_per_h")
    used = _numbers("utilization", o["utilization"], ",", "0.25,0.5,1")
    elsewhere = None if api is None else _numbers("api", api, "/", "IN/OUT in USD per million tokens such as 0.5/1.5")
    if elsewhere is not None and len(elsewhere) != 2:
        msg = f"api {shown(api)}: expected IN/OUT in USD per million tokens such as 0.5/1.5"
        raise UsageError(msg)
    given = () if o["prices"] is None else read_prices(o["prices"], o["price_kind"])
    ownership = Ownership(o["years"], o["pue"], energy, place)
    return Terms(o["price_kind"], given, ownership, used, (elsewhere[0], elsewhere[1]) if elsewhere else None)


def _read(name: str, value: str | float, dimension: Dimension) -> float:
    """A quantity with its unit, or a number in base units."""
    if not isinstance(value, str):
        return float(value)
    try:
        return parse_quantity(value, dimension)
    except UnitError as failure:
        msg = f"{name}: {failure}"
        raise UsageError(msg) from None


def _numbers(name: str, given: str | float | Sequence[float], comma: str, example: str) -> tuple[float, ...]:
    parts = given.split(comma) if isinstance(given, str) else [given] if isinstance(given, (int, float)) else given
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        msg = f"{name} {shown(given)}: expected {example}"
        raise UsageError(msg) from None
