"""The buyer's questions as functions: :func:`compare`, :func:`size` and others. Their keywords are the flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from roofline.buying.economics import Ownership
from roofline.buying.limits import Limits
from roofline.buying.load import read_load
from roofline.buying.percentile_sizing import size_by_percentiles
from roofline.buying.pool_percentiles import pools_by_percentiles
from roofline.buying.pool_sizing import arriving, with_pools
from roofline.buying.pools.encode import EncodingApart
from roofline.buying.prices import own_prices
from roofline.buying.ranking import Comparison, compare_hardware
from roofline.buying.sizing import Sizing, size_hardware, within_limits
from roofline.buying.terms import Terms, as_sold, hourly_cost
from roofline.errors import UsageError
from roofline.hardware.cache_tiers import named_tiers
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.options.edits import edits_by_room
from roofline.options.groups import Loaded
from roofline.options.keywords import part, takes
from roofline.options.verbs.predicting import RequestOptions, StepClockOptions
from roofline.options.verbs.serving import CompareOptions, JobOptions, ServingOptions, SimulateOptions, SizeOptions
from roofline.prediction.request import Hardware as Device
from roofline.prediction.request import Request, read_request
from roofline.serving.hardware_choice import Hardware, names_of, read_hardware
from roofline.serving.operating_points import Targets
from roofline.serving.scenario import read_question
from roofline.serving.step_clock import AnyModel
from roofline.simulation.deployment import one_pool
from roofline.simulation.job import JobCost
from roofline.simulation.simulate import Simulation
from roofline.simulation.simulate import simulate as simulated


@takes(CompareOptions)
def compare(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    **options: Unpack[CompareOptions],
) -> Comparison:
    """Hardware side by side, each at its best batch under the targets, the cheapest million tokens first.

    ``hardware``: names of devices, boxes and counts such as 8xh100, with commas or as a list; ``all`` is every device.
    Lengths in tokens, as numbers or as :func:`roofline.program.traffic.traffic.read_lengths` has them; times in s, or
    with a unit; ``power_price`` in USD/kWh, ``hosting`` in USD/h, ``api`` in USD per million tokens, in and out, or in,
    cached in and out. ``engine`` names what runs it, whose chunk, share of the memory and graphs hold;
    ``{"engine.chunk": 0}`` in ``set`` runs prompts by themselves. Under targets the chunk is searched unless ``set``
    states one. A network that generates nothing is served in passes of a batch: ``prompt`` is the length of a document,
    ``latency`` how long one may wait for it. ``reserve`` is what the runtime keeps, a share or "2GiB", in place of its.
    ``batch``: so many sequences at once on each, the fastest first, in place of the best batch.
    ``speculate`` 4:0.7 has ``draft``, or a look-up at no cost, propose 4 tokens a step, each accepted with 0.7.
    ``pools``: hardware of several devices has a row too in which some of them only prefill and the others only decode.
    ``encode_on`` 2xl40s names devices that encode images and sound for each of them, whose rate bounds a row's.
    ``offload`` kv=200GB: tiers in which the prefixes lie that ``prefix_hits`` or the workload say are cached. ``set``
    edits fields of model, engine and all hardware by path, as ``predict`` has it. Raises RooflineError, in one line,
    for whatever is refused.

    >>> best = compare("llama-3.1-8b", "h100,l40s", workload="chat", tpot="30 ms").rows[0]
    >>> best.hardware.name, best.point.batch
    ('h100-sxm-80gb', 123)
    """
    question = read_question(model, **part(ServingOptions, options))
    terms, targets = Terms.of(options), Targets.of(options, options["latency"])
    targets.check_network(question.traffic.reads, question.model.name)
    targets.check_means("compare")
    devices = _hardware(hardware, options["set"], terms)
    apart = _encoding_apart(model, options, terms)
    return compare_hardware(question, devices, targets, terms, options["batch"], options["offload"], apart)


@takes(SizeOptions)
def size(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    **options: Unpack[SizeOptions],
) -> Sizing:
    """The fewest rentable units of each hardware that serve ``load`` requests per second within the targets.

    In place of a load, ``concurrency`` requests are in flight, or as many as ``users`` seldom exceed who wait for an
    answer for the part ``activity`` of the time. ``headroom`` is the part of the capacity that stays free. What costs
    more than ``budget``, in USD or as 20USD/h, or draws more than ``power`` watts misses. Percentiles such as ``ttft``
    "p95:500ms" are simulated, with the engine's own chunk, and nothing is kept free then; ``offload`` kv=500GB then
    keeps caches in the memory of each replica's host. ``pools`` sizes each hardware
    too as a pool of replicas that only prefill and one of replicas that only decode; ``prefill_on`` names what prefills
    for each of ``hardware``, with commas or as a list. The other keywords are those of :func:`compare`. Raises
    RooflineError, in one line, for whatever is refused.

    >>> size("llama-3.1-8b", "h100", load="50 req/s", workload="chat", tpot="30 ms").orders[0].units
    3
    """
    terms, targets = Terms.of(options), Targets.of(options, options["latency"])
    edits, limits = options["set"], Limits.of(options)
    load = read_load(options) if targets.of_means else read_load(options, usual=0.0)
    question = read_question(model, **part(ServingOptions, options))
    targets.check_network(question.traffic.reads, question.model.name)
    if question.traffic.reads and options["prefill_on"] is not None:
        msg = f"prefill_on: {question.model.name} generates nothing; leave it out"
        raise UsageError(msg)
    devices, prefill_on = as_sold(_hardware(hardware, edits, terms), terms), options["prefill_on"]
    if options["pools"] or prefill_on is not None:
        arriving(load)  # before any work
    _check_offload(options["offload"], simulated=not targets.of_means, shared=question.traffic.shared)
    apart = _encoding_apart(model, options, terms)
    if apart is not None and (options["pools"] or prefill_on is not None or not targets.of_means):
        msg = "encode_on: size knows means of replicas that both prefill and decode; simulate has pools and percentiles"
        raise UsageError(msg)
    if not targets.of_means:
        result = size_by_percentiles(question, devices, load, targets, terms, options["offload"])
    else:
        result = size_hardware(question, devices, load, targets, terms, apart)
    pairs = [(each, each) for each in devices] if options["pools"] else []
    if prefill_on is not None:
        pairs += [(each, other) for each in as_sold(_hardware(prefill_on, edits, terms), terms) for other in devices]
    if pairs:
        named = list({(p.name, d.name): (p, d) for p, d in pairs}.values())
        if targets.of_means:
            result = with_pools(result, named)
        else:
            result = pools_by_percentiles(result, named, options["offload"])
    return within_limits(result, limits)


def _encoding_apart(
    model: str | Path | Mapping[str, Any] | Model, options: ServingOptions, terms: Terms
) -> EncodingApart | None:
    """What encodes for all hardware, None where nothing is named. Raises RooflineError for what is none."""
    if options["encode_on"] is None:
        return None
    other = one_pool(options["encode_on"], "encode_on")
    (sold,) = as_sold(_hardware([other], options["set"], terms), terms)

    def request(dtype: str) -> Request:
        asked = {**options, "dtype": dtype or options["dtype"]}
        return read_request(model, other, **part(RequestOptions, part(StepClockOptions, asked)))

    return EncodingApart(sold, request)


def _check_offload(offload: str | None, *, simulated: bool, shared: bool) -> None:
    """Raises UsageError for tiers of caches where no cache is simulated, or nothing is known to be shared."""
    if not named_tiers(offload):
        return
    if not simulated:
        msg = "offload: what tiers hold is simulated; ask for percentiles, such as ttft p95:2s"
        raise UsageError(msg)
    if not shared:
        msg = "offload: what requests share is known of workload agent and of traces with hash_ids alone"
        raise UsageError(msg)


@takes(JobOptions)
def simulate(model: AnyModel, hardware: Device, **options: Unpack[JobOptions]) -> Simulation:
    """Percentiles of TTFT, TPOT and latency under load: an engine's continuous batching in discrete events.

    ``load`` in requests per second with ``arrivals`` poisson or gamma:SHAPE; ``arrivals`` all puts everything there at
    the start: a job, with its makespan, its tail and its ``cost``; ``concurrency`` clients ask in a closed loop.
    Lengths are drawn from ``workload``, ``prompt`` and ``generate``; the turns of ``agent`` sessions read all before
    them, FILE.csv and FILE.jsonl are traces, and the hits of both are those of a replica's prefix cache. Token budget,
    sequences, cache blocks and captured batches are the engine's. ``tp`` to ``cp`` are a replica's degrees, ``dp`` the
    replicas; without them replicas are of the fewest devices that hold the model, as many as the hardware makes.
    ``prefill_on`` names what prefills for ``hardware``, which then decodes alone; degrees are those of both pools.
    ``images`` or ``video`` and ``audio`` are those of each request; ``encode_on`` names devices that encode them alone.
    ``offload`` names tiers below the devices' memory that keep caches, kv=200GB of the host's or several. ``ttft`` and
    ``tpot`` are what goodput is within. All randomness comes from ``seed``. Raises RooflineError, in one
    line, for whatever is refused.

    >>> found = simulate("llama-3.1-8b", "h100", load="5 req/s", requests=200, ttft="200 ms")
    >>> found.outcome.times["ttft_s"].percentiles[50] < found.outcome.times["ttft_s"].percentiles[99] < 0.2
    True
    >>> simulate("llama-3.1-8b", "h100", arrivals="all", requests=200, prices="h100=2USD/h").cost.usd_per_h
    2.0
    """
    found = simulated(model, hardware, **part(SimulateOptions, options))
    cost = _job_cost(hardware, found.deployment.own_devices, options)
    if found.deployment.prefill is not None:
        cost = _job_cost(one_pool(options["prefill_on"]), found.deployment.prefill.own_devices, options).beside(cost)
    if found.deployment.encoding is not None:
        cost = cost.beside(_job_cost(one_pool(options["encode_on"]), found.deployment.encoding.devices, options))
    return replace(found, cost=cost)


def _job_cost(hardware: Device, devices: int, asked: JobOptions) -> JobCost:
    """The cost of an hour of so many devices, whole shapes of what is sold; energy of what is owned at the TDP."""
    name = hardware if isinstance(hardware, str | HardwareSpec) else str(_named(hardware))
    terms = Terms(asked["price_kind"], own_prices(asked), Ownership.of(asked))
    (sold,) = as_sold(read_hardware([name], edits_by_room(asked["set"] or {})["hardware"], way=terms.way), terms)
    found = hourly_cost(sold, devices, sold.device.tdp or 0.0, terms)
    if isinstance(found, str):
        return JobCost(None, problem=found)
    offer, hourly = found
    return JobCost(float(hourly.at(1.0)), price=offer.words())


def _named(hardware: Device) -> Path | str:
    return hardware if isinstance(hardware, Path | str) else hardware.name


def _hardware(
    given: str | Loaded | Sequence[str | Loaded], edits: Mapping[str, Any] | None, terms: Terms
) -> list[Hardware]:
    """Hardware by name, with commas or as a list. Raises UsageError for an empty name, and for what is none."""
    return read_hardware(names_of(given), edits_by_room(edits or {})["hardware"], way=terms.way)
