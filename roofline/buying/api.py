"""The buyer's two questions as functions: :func:`compare` and :func:`size`. Their keywords are the flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from roofline.buying.economics import UTILIZATIONS, Ownership
from roofline.buying.pool_sizing import with_pools
from roofline.buying.prices import PRICE_KINDS, PriceKind, read_prices
from roofline.buying.ranking import Comparison, compare_hardware
from roofline.buying.serving_costs import Terms
from roofline.buying.sizing import HEADROOM, Load, Sizing, size_hardware
from roofline.buying.training_costs import price_training
from roofline.calibration.constants import Execution, Provenance
from roofline.errors import UnitError, UsageError, near_matches, shown
from roofline.hardware.reservation import Reserve, read_reserve
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model, load_model
from roofline.prediction.request import edited_model, edits_by_room
from roofline.program.traffic import read_traffic
from roofline.serving.continuous_batching import CHUNK
from roofline.serving.hardware_choice import Hardware, read_hardware
from roofline.serving.operating_points import Targets
from roofline.serving.scenario import KEPT, Question
from roofline.serving.speculation import read_speculation
from roofline.units import Dimension, parse_quantity


def compare(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    *,
    workload: str | None = None,
    prompt: str | int | None = None,
    generate: str | int | None = None,
    prefix_hits: float | None = None,
    ttft: str | float | None = None,
    tpot: str | float | None = None,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    activation_dtype: str | None = None,
    kv_dtype: str | None = None,
    execution: Execution | None = None,
    constants: Provenance | None = None,
    chunk: int = CHUNK,
    memory_share: float | None = None,
    reserve: float | str | None = None,
    speculate: str | None = None,
    draft: str | Path | Mapping[str, Any] | Model | None = None,
    pools: bool = False,
    price_kind: PriceKind = "on_demand",
    prices: str | None = None,
    utilization: str | float | Sequence[float] = UTILIZATIONS,
    api: str | tuple[float, float] | None = None,
    years: float = 4.0,
    pue: float = 1.3,
    power_price: str | float = 0.12,
    hosting: str | float = 0.0,
    set: Mapping[str, Any] | None = None,  # noqa: A002  (the keywords are the flags)
    train: str | float | None = None,
    frozen: bool = False,
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
    traffic, dtypes = (workload, prompt, generate, prefix_hits), (dtype, weight_dtype, activation_dtype, kv_dtype)
    fields, kept = edits_by_room(set or {}), read_reserve(reserve, memory_share, default=KEPT)
    served = edited_model(model, fields["model"])
    question = _question(served, traffic, dtypes, constants, execution, chunk, kept, speculate, draft, set or {})
    terms = _terms(price_kind, prices, utilization, api, years, pue, power_price, hosting)
    devices = _hardware(hardware, fields["hardware"])
    result = compare_hardware(question, devices, _targets(ttft, tpot), terms, pools=pools)
    if train is None:
        return result
    costs = price_training(question, devices, terms, _read("train", train, "tokens"), frozen=frozen)
    return replace(result, training=costs)


def size(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    *,
    load: str | float,
    headroom: float = HEADROOM,
    workload: str | None = None,
    prompt: str | int | None = None,
    generate: str | int | None = None,
    prefix_hits: float | None = None,
    ttft: str | float | None = None,
    tpot: str | float | None = None,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    activation_dtype: str | None = None,
    kv_dtype: str | None = None,
    execution: Execution | None = None,
    constants: Provenance | None = None,
    chunk: int = CHUNK,
    memory_share: float | None = None,
    reserve: float | str | None = None,
    speculate: str | None = None,
    draft: str | Path | Mapping[str, Any] | Model | None = None,
    pools: bool = False,
    prefill_on: str | HardwareSpec | Sequence[str | HardwareSpec] | None = None,
    price_kind: PriceKind = "on_demand",
    prices: str | None = None,
    utilization: str | float | Sequence[float] = UTILIZATIONS,
    api: str | tuple[float, float] | None = None,
    years: float = 4.0,
    pue: float = 1.3,
    power_price: str | float = 0.12,
    hosting: str | float = 0.0,
    set: Mapping[str, Any] | None = None,  # noqa: A002  (the keywords are the flags)
) -> Sizing:
    """The fewest rentable units of each hardware that serve ``load`` requests per second within the targets.

    ``headroom`` is the part of the capacity that stays free. ``pools`` sizes each hardware too as a pool of replicas
    that only prefill and one of replicas that only decode; ``prefill_on`` names what prefills for each of ``hardware``,
    with commas or as a list. The other keywords are those of :func:`compare`. Raises
    RooflineError, in one line, for whatever is refused.

    >>> size("llama-3.1-8b", "h100", load="50 req/s", workload="chat", tpot="30 ms").orders[0].units
    4
    """
    traffic, dtypes = (workload, prompt, generate, prefix_hits), (dtype, weight_dtype, activation_dtype, kv_dtype)
    fields, kept = edits_by_room(set or {}), read_reserve(reserve, memory_share, default=KEPT)
    served = edited_model(model, fields["model"])
    question = _question(served, traffic, dtypes, constants, execution, chunk, kept, speculate, draft, set or {})
    terms = _terms(price_kind, prices, utilization, api, years, pue, power_price, hosting)
    arriving = Load(_read("load", load, "requests_per_s"), headroom)
    devices, targets = _hardware(hardware, fields["hardware"]), _targets(ttft, tpot)
    result = size_hardware(question, devices, arriving, targets, terms)
    pairs = [(each, each) for each in devices] if pools else []
    if prefill_on is not None:
        pairs += [(each, other) for each in _hardware(prefill_on, fields["hardware"]) for other in devices]
    return with_pools(result, list({(p.name, d.name): (p, d) for p, d in pairs}.values())) if pairs else result


def _question(
    model: Model,
    traffic: tuple[str | None, str | int | None, str | int | None, float | None],
    dtypes: tuple[str | None, str | None, str | None, str | None],
    constants: Provenance | None,
    execution: Execution | None,
    chunk: int,
    reserve: Reserve,
    speculate: str | None,
    draft: str | Path | Mapping[str, Any] | Model | None,
    edits: Mapping[str, Any],
) -> Question:
    """What is served and how, of the keywords that both questions have."""
    return Question(
        model,
        read_traffic(*traffic),
        dtypes,
        constants=constants,
        execution=execution,
        chunk=chunk or None,
        reserve=reserve,
        speculation=read_speculation(speculate, _model(draft)),
        overrides=tuple(edits.items()),
    )


def _model(given: str | Path | Mapping[str, Any] | Model | None) -> Model | None:
    return given if isinstance(given, Model | None) else load_model(given)


def _hardware(given: str | HardwareSpec | Sequence[str | HardwareSpec], edits: Mapping[str, Any]) -> list[Hardware]:
    names = given.split(",") if isinstance(given, str) else [given] if isinstance(given, HardwareSpec) else list(given)
    clean = [name.strip() if isinstance(name, str) else name for name in names]
    if not all(clean):
        msg = f"hardware {shown(given)}: a name is empty; expected names with commas between them, such as h100,mi300x"
        raise UsageError(msg)
    return read_hardware(clean, edits)


def _targets(ttft: str | float | None, tpot: str | float | None) -> Targets:
    given = (("ttft", ttft), ("tpot", tpot))
    return Targets(*(None if value is None else _read(name, value, "time_s") for name, value in given))


def _terms(
    kind: PriceKind,
    prices: str | None,
    utilization: str | float | Sequence[float],
    api: str | tuple[float, float] | None,
    years: float,
    pue: float,
    power_price: str | float,
    hosting: str | float,
) -> Terms:
    if kind not in PRICE_KINDS:
        msg = f"price kind {shown(kind)}; {near_matches(str(kind), PRICE_KINDS)}"
        raise UsageError(msg)
    energy, place = _read("power price", power_price, "usd_per_kwh"), _read("hosting", hosting, "usd_per_h")
    used = _numbers("utilization", utilization, ",", "0.25,0.5,1")
    elsewhere = None if api is None else _numbers("api", api, "/", "IN/OUT in USD per million tokens such as 0.5/1.5")
    if elsewhere is not None and len(elsewhere) != 2:
        msg = f"api {shown(api)}: expected IN/OUT in USD per million tokens such as 0.5/1.5"
        raise UsageError(msg)
    given = () if prices is None else read_prices(prices, kind)
    return Terms(
        kind, given, Ownership(years, pue, energy, place), used, (elsewhere[0], elsewhere[1]) if elsewhere else None
    )


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
