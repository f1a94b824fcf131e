"""The JSON of ``compare`` and of ``size``, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict

from roofline.prediction.answers import Bound, EngineUsed, LaunchAnswer, SharesAnswer, VerifyAnswer
from roofline.schema import Answer, Says
from roofline.simulation.answers import DistributionAnswer
from roofline.training.answers import TrainingStepAnswer


class PointAnswer(TypedDict, total=False):
    """What hardware does at one batch: times of a request, rates of all replicas, power of all devices."""

    batch: Annotated[int, Says("sequences in flight in one replica", "sequences")]
    replicas: Annotated[int, Says("replicas")]
    devices: Annotated[int, Says("devices of all replicas")]
    layout: Annotated[str, Says("layout of a replica")]
    tokens_per_s: Annotated[float, Says("generated tokens per second of all devices", "tokens/s")]
    input_part: Annotated[float, Says("part of the time that prompts take")]
    shares: Annotated[SharesAnswer, Says("what the time of a step is made of")]
    mfu: Annotated[float, Says("model FLOPs utilisation of all devices")]
    mbu: Annotated[float, Says("model bandwidth utilisation of all devices")]
    power_w: Annotated[float | None, Says("power of all devices; null where the TDP is not known", "W")]
    ttft_s: Annotated[float, Says("time to first token", "s")]
    ttft_s_low: Annotated[float, Says("low end of its band", "s")]
    ttft_s_high: Annotated[float, Says("high end of its band", "s")]
    tpot_s: Annotated[float, Says("time per output token", "s")]
    tpot_s_low: Annotated[float, Says("low end of its band", "s")]
    tpot_s_high: Annotated[float, Says("high end of its band", "s")]
    requests_per_s: Annotated[float, Says("requests served by all devices", "requests/s")]
    requests_per_s_low: Annotated[float, Says("low end of its band", "requests/s")]
    requests_per_s_high: Annotated[float, Says("high end of its band", "requests/s")]
    user_tokens_per_s: Annotated[float, Says("tokens per second that one user sees: 1 / tpot_s", "tokens/s")]
    device_tokens_per_s: Annotated[float, Says("generated tokens per second of one device", "tokens/s")]
    latency_s: Annotated[float, Says("of a network that generates nothing: mean wait for an answer", "s")]
    latency_s_low: Annotated[float, Says("low end of its band", "s")]
    latency_s_high: Annotated[float, Says("high end of its band", "s")]
    pass_s: Annotated[float, Says("of such a network: time of a pass of the batch", "s")]
    pass_s_low: Annotated[float, Says("low end of its band", "s")]
    pass_s_high: Annotated[float, Says("high end of its band", "s")]
    device_requests_per_s: Annotated[float, Says("of such a network: requests of one device", "requests/s")]
    bound_by: Annotated[Bound, Says("the largest share")]


class PriceAnswer(TypedDict):
    """The price of the smallest shape that one can have."""

    kind: Annotated[str, Says("on_demand, reserved, spot or purchase")]
    usd: Annotated[float, Says("price of an hour of the shape, or once where it is a purchase", "USD")]
    devices: Annotated[int, Says("devices of the shape")]
    shape: Annotated[str, Says("device or box")]
    date: Annotated[str, Says("when it was read")]
    source: Annotated[str, Says("where it was read")]
    unverified: Annotated[bool, Says("whether it was recalled or estimated")]
    note: Annotated[str, Says("what else to know")]


class RateAnswer(TypedDict):
    """Cost where hardware is under load for a part of the time."""

    utilization: Annotated[float, Says("part of the time under load")]
    usd_per_h: Annotated[float, Says("cost of an hour of all devices", "USD/h")]
    usd_per_million_input: NotRequired[Annotated[float, Says("cost of a million prompt tokens", "USD")]]
    usd_per_million_output: NotRequired[Annotated[float, Says("cost of a million generated tokens", "USD")]]
    usd_per_million_tokens: NotRequired[Annotated[float, Says(
        "cost of a million tokens of the traffic, in and out", "USD")]]  # fmt: skip
    usd_per_million_requests: NotRequired[Annotated[float, Says(
        "of a network that generates nothing: cost of a million documents or images", "USD")]]  # fmt: skip


class CostAnswer(TypedDict):
    """What serving costs."""

    price: Annotated[PriceAnswer, Says("price that it follows from")]
    other_prices: NotRequired[Annotated[list[PriceAnswer], Says("prices of a second pool's hardware")]]
    at: Annotated[list[RateAnswer], Says("cost by utilisation")]
    input_part: NotRequired[Annotated[float, Says(
        "part of the cost that is the prompts': that of the time which they add")]]  # fmt: skip
    api_usd_per_h: NotRequired[Annotated[float, Says(
        "with --api: what the API charges for the work of an hour under load", "USD/h")]]  # fmt: skip
    breakeven_utilization: NotRequired[Annotated[float | None, Says(
        "with --api: utilisation from which this costs less than the API; null where never")]]  # fmt: skip


class OrderCostAnswer(CostAnswer):
    """The same, of an order."""

    to_pay_usd: Annotated[float, Says("sum of the purchase, or rent of the years", "USD")]
    api_pays_after_years: NotRequired[Annotated[float | None, Says(
        "with --api: years under load after which the API has cost as much; null where never", "years")]]  # fmt: skip
    total_usd: Annotated[float, Says("the same with energy and hosting of the years under load", "USD")]


class PoolAnswer(TypedDict):
    """Replicas that all prefill, or all decode."""

    hardware: Annotated[str, Says("hardware of a replica")]
    dtype: Annotated[str, Says("number format or recipe")]
    layout: Annotated[str, Says("layout of a replica")]
    replicas: Annotated[int, Says("replicas")]
    devices: Annotated[int, Says("devices of all replicas")]
    batch: Annotated[int, Says("sequences in flight in one replica", "sequences")]
    step_s: Annotated[float, Says("time of a step", "s")]
    requests_per_s: Annotated[float, Says("requests that all its replicas serve at most", "requests/s")]
    utilization: Annotated[float, Says("part of that which the slower pool lets through")]
    mfu: Annotated[float, Says("model FLOPs utilisation")]
    mbu: Annotated[float, Says("model bandwidth utilisation")]


class HandOverAnswer(TypedDict):
    """KV cache transfer from the prefill pool to the decode pool."""

    bytes: Annotated[float, Says("cache of the prompts of a step", "B")]
    link: Annotated[str, Says("link that carries it")]
    time_s: Annotated[float, Says("time of it", "s")]
    low_s: Annotated[float, Says("low end of its band", "s")]
    high_s: Annotated[float, Says("high end of its band", "s")]


class FirstTokenAnswer(TypedDict):
    """What the time to first token is made of, behind what encodes on devices of its own."""

    wait_s: Annotated[float, Says("mean wait for the step before", "s")]
    prefill_s: Annotated[float, Says("time of the prefill step", "s")]
    hand_over_s: Annotated[float, Says("time of the KV cache transfer", "s")]


class EncodeAnswer(TypedDict):
    """Devices that encode images and sound beside the replicas, one request at a time each."""

    hardware: Annotated[str, Says("hardware by name")]
    device: Annotated[str, Says("device of which it is")]
    devices: Annotated[int, Says("how many encode")]
    encode_s: Annotated[float, Says("time of the towers for a request", "s")]
    hand_over_s: Annotated[float, Says("time in which its embeddings are sent", "s")]
    link: Annotated[str, Says("link that carries them")]
    ttft_part_s: Annotated[float, Says("both together, which TTFT has", "s")]
    low_s: Annotated[float, Says("low end of the band of that", "s")]
    high_s: Annotated[float, Says("high end of it", "s")]
    utilization: Annotated[float, Says("part of the time at which they are at work")]


class OrderPoolAnswer(PoolAnswer):
    """The same, of an order."""

    units: NotRequired[Annotated[int, Says("units of its hardware, where the pools' differ")]]
    unit_devices: NotRequired[Annotated[int, Says("devices of such a unit")]]


class SplitAnswer(TypedDict):
    """Disaggregated serving: prefill and decode on devices of their own."""

    bound_by: Annotated[str, Says("pool that limits the requests per second")]
    hand_over: Annotated[HandOverAnswer, Says("KV cache transfer")]
    ttft_parts: Annotated[FirstTokenAnswer, Says("what the time to first token is made of")]


class PoolsAnswer(SplitAnswer):
    """Disaggregated serving."""

    prefill: Annotated[PoolAnswer, Says("prefill pool")]
    decode: Annotated[PoolAnswer, Says("decode pool")]


class OrderPoolsAnswer(SplitAnswer):
    """Disaggregated serving, of an order."""

    prefill: Annotated[OrderPoolAnswer, Says("prefill pool")]
    decode: Annotated[OrderPoolAnswer, Says("decode pool")]


class BasisAnswer(TypedDict):
    """What a row rests on."""

    no_cost: Annotated[str | None, Says("why there is no cost")]
    provenance: Annotated[str | None, Says("where the constants come from: datasheet, class, published or calibrated")]
    constants: Annotated[str | None, Says("whose constants")]
    notes: Annotated[list[str], Says("what to know about the device")]


class RowHardwareAnswer(TypedDict):
    """The devices of a row."""

    name: Annotated[str, Says("as it was asked for")]
    device: Annotated[str, Says("device")]
    count: Annotated[int, Says("how many of it")]


class EngineServing(EngineUsed):
    """What runs it, and what of it serving depends on."""

    kernels: Annotated[str, Says("library whose kernels attend")]
    chunk: Annotated[int, Says("chunked prefill: tokens of a mixed step; 0 runs prompts by themselves", "tokens")]
    chunk_searched: Annotated[bool, Says("whether that was chosen, where the engine by itself has another")]
    two_batches: Annotated[bool, Says("whether steps are run in two halves, which hide dispatch and combine")]
    two_batches_searched: Annotated[bool, Says("whether that was chosen, where the engine by itself runs none so")]
    memory_share: Annotated[float, Says("part of the memory that the runtime leaves")]
    reserve_bytes: Annotated[int, Says("memory that it keeps besides", "B")]


class RowAnswer(PointAnswer, BasisAnswer):
    """Hardware at its best batch within the targets, or at the one that misses them by the least.

    The fields of the operating point are absent where nothing runs.
    """

    hardware: Annotated[RowHardwareAnswer, Says("the devices")]
    dtype: Annotated[str, Says("number format or recipe")]
    engine: Annotated[EngineServing | None, Says("what runs it; null where nothing runs")]
    qualifies: Annotated[bool, Says("whether it serves within the targets")]
    misses: Annotated[list[str], Says("why it does not")]
    unsure: Annotated[list[str], Says("targets that it would miss at the slow end of its band")]
    tie_with_first: Annotated[bool, Says("whether the band of the ratio to the first row contains 1")]
    batch_1: NotRequired[Annotated[PointAnswer, Says("without targets: the same, one sequence at a time")]]
    tokens_per_kwh: NotRequired[Annotated[float | None, Says(
        "generated tokens per kWh of the site; null where the power is not known", "tokens/kWh")]]  # fmt: skip
    requests_per_kwh: NotRequired[Annotated[float | None, Says(
        "the same of documents or images, where nothing is generated", "requests/kWh")]]  # fmt: skip
    tdp_w: Annotated[float | None, Says("thermal design power of a device", "W")]
    pools: Annotated[PoolsAnswer | None, Says("disaggregated serving; null where devices both prefill and decode")]
    encode: NotRequired[Annotated[EncodeAnswer, Says("with --encode-on: what encodes images and sound")]]
    cost: Annotated[CostAnswer | None, Says("cost; null where no_cost says why")]
    max_batch: Annotated[int | None, Says("most sequences in flight that fit", "sequences")]


class FrontAnswer(TypedDict):
    """A choice that no other beats in both TPOT and cost."""

    hardware: Annotated[str, Says("hardware")]
    dtype: Annotated[str, Says("number format or recipe")]
    layout: Annotated[str, Says("layout of a replica")]
    batch: Annotated[int, Says("sequences in flight in one replica", "sequences")]
    ttft_s: NotRequired[Annotated[float, Says("time to first token", "s")]]
    tpot_s: NotRequired[Annotated[float, Says("time per output token", "s")]]
    latency_s: NotRequired[Annotated[float, Says("where nothing is generated: mean wait for an answer", "s")]]
    pass_s: NotRequired[Annotated[float, Says("where nothing is generated: time of a pass of the batch", "s")]]
    low: Annotated[float, Says("low end of the band, a factor of the times")]
    high: Annotated[float, Says("high end of the band, a factor of the times")]
    usd_per_million: Annotated[float, Says(
        "cost of a million tokens of the traffic under full load, or of what is read", "USD")]  # fmt: skip


class TrainingRunAnswer(TypedDict):
    """A whole run."""

    tokens: Annotated[float, Says("tokens of the run", "tokens")]
    days: Annotated[float, Says("how long it takes", "days")]
    days_low: Annotated[float, Says("low end of the band", "days")]
    days_high: Annotated[float, Says("high end of the band", "days")]
    device_hours: Annotated[float, Says("device-hours", "h")]
    usd: Annotated[float | None, Says("cost; null without a price", "USD")]
    usd_per_million_tokens: Annotated[float | None, Says("cost of a million tokens trained on", "USD")]
    price: Annotated[str | None, Says("price that it follows from")]
    problem: Annotated[str | None, Says("why there is no cost")]


class TrainingRowAnswer(TypedDict):
    """Training on one hardware."""

    hardware: Annotated[str, Says("hardware")]
    problem: Annotated[str | None, Says("why it has no step")]
    step: NotRequired[Annotated[TrainingStepAnswer, Says("a training step")]]
    run: NotRequired[Annotated[TrainingRunAnswer, Says("with --tokens: the whole run")]]


class TrainAnswer(Answer):
    """Training on hardware side by side, what fits first, by money, else by time."""

    model: Annotated[str, Says("model")]
    parameters: Annotated[int, Says("parameters")]
    days: Annotated[float | None, Says("target of the run; null where there is none", "days")]
    rows: Annotated[list[TrainingRowAnswer], Says("hardware")]
    launch: NotRequired[Annotated[LaunchAnswer, Says("with --launch: the configuration of the first")]]


class PoolsOrMixedAnswer(TypedDict):
    """Disaggregated serving beside chunked prefill on the same hardware."""

    pools: Annotated[str, Says("hardware in pools")]
    winner: Annotated[Literal["pools", "mixed", "neither"], Says("what costs less")]
    pools_cost: Annotated[float, Says("cost of pools, in cost_unit")]
    mixed_cost: Annotated[float, Says("cost of aggregated serving, in cost_unit")]
    cost_unit: Annotated[str, Says("unit of both costs")]
    pools_requests_per_s: Annotated[float, Says(
        "what a device in pools that are split without a rest serves within the targets", "requests/s")]  # fmt: skip
    mixed_requests_per_s: Annotated[float, Says("what a device of aggregated serving serves within them", "requests/s")]
    why: Annotated[str, Says("why it wins")]


class ServingInputs(TypedDict):
    """The inputs as they were taken, defaults filled in."""

    workload: Annotated[str, Says("typical requests")]
    workload_source: Annotated[str, Says("where their lengths come from")]
    prompt: Annotated[str, Says("tokens in, in words")]
    generate: NotRequired[Annotated[str, Says("tokens out, in words")]]
    prompt_mean: Annotated[float, Says("mean tokens in", "tokens")]
    generate_mean: NotRequired[Annotated[float, Says("mean tokens out", "tokens")]]
    image_tokens: NotRequired[Annotated[int, Says("tokens of the prompt that are images'", "tokens")]]
    image_sequences: NotRequired[Annotated[int, Says("what the tower reads one by one: images, tiles, instants")]]
    sound_tokens: NotRequired[Annotated[int, Says("tokens of the prompt that are sound's", "tokens")]]
    sound_sequences: NotRequired[Annotated[int, Says("what the tower of sound reads one by one")]]
    reads: NotRequired[Annotated[str, Says("what a pass reads of a network that generates nothing: documents, ...")]]
    latency_s: NotRequired[Annotated[float, Says("target: longest mean wait for the answer of a pass", "s")]]
    prefix_hits: Annotated[float, Says("part of a prompt that a prefix cache holds")]
    lora: NotRequired[Annotated[str, Says("with --lora: adapters in memory x their rank")]]
    engine: Annotated[str | None, Says("what was asked to run it; null for what is usual on each hardware")]
    fusion: NotRequired[Annotated[str | None, Says(
        "of a traced module: what was asked to run as one kernel; null: as usual for its engine")]]  # fmt: skip
    ttft_s: Annotated[float | None, Says("target: longest time to first token", "s")]
    ttft_percentile: Annotated[float | None, Says("which percentile of it; null is the mean")]
    tpot_s: Annotated[float | None, Says("target: longest time per output token", "s")]
    tpot_percentile: Annotated[float | None, Says("which percentile of it; null is the mean")]
    price_kind: Annotated[str, Says("which prices")]
    years: Annotated[float, Says("years over which a purchase is paid off")]
    pue: Annotated[float, Says("power of the site / power of the devices")]
    usd_per_kwh: Annotated[float, Says("price of energy", "USD/kWh")]
    hosting_usd_per_h: Annotated[float, Says("price of a device's place", "USD/h")]
    chassis_usd: Annotated[float, Says("price around each 8 devices that are bought by themselves", "USD")]
    api_usd_per_million: Annotated[list[float] | None, Says(
        "prices of an API, of input and of output tokens; null where none is given", "USD")]  # fmt: skip
    api_cached_usd_per_million: Annotated[float | None, Says(
        "its price of cached input tokens; null where they cost what input does", "USD")]  # fmt: skip
    utilizations: Annotated[list[float], Says("parts of the time under load that costs are given at")]
    overrides: Annotated[dict[str, Any], Says("fields that --set edits, by path, in the spelling given")]
    speculate_tokens: NotRequired[Annotated[int, Says("speculative decoding: tokens proposed in a step", "tokens")]]
    accepted: NotRequired[Annotated[list[float], Says("part of the steps in which each position is accepted")]]
    draft: NotRequired[Annotated[str | None, Says("model that proposes them; null at no cost")]]


class SizeInputs(ServingInputs):
    """The same, and the load."""

    load_requests_per_s: Annotated[float | None, Says(
        "requests that arrive; null where some are in flight", "requests/s")]  # fmt: skip
    concurrency: Annotated[int | None, Says("requests in flight; null for a load", "requests")]
    users: NotRequired[Annotated[int, Says("users, of whom more are active at once in a twentieth of all moments")]]
    activity: NotRequired[Annotated[float, Says("part of the time in which a user waits for an answer")]]
    budget_usd: Annotated[float | None, Says("most to pay", "USD")]
    budget_usd_per_h: Annotated[float | None, Says("most to pay for an hour under load", "USD/h")]
    power_limit_w: Annotated[float | None, Says("most power of the site", "W")]
    headroom: Annotated[float, Says("part of the capacity that stays free")]


class ReplicaLaunchAnswer(LaunchAnswer):
    """The command that starts a replica of the answer chosen."""

    hardware: Annotated[str, Says("device that it runs on")]
    replicas: Annotated[int, Says("replicas, each started so")]
    devices: Annotated[int, Says("devices of a replica")]


class CompareAnswer(Answer):
    """Hardware side by side, each at its best batch within the targets, the best first."""

    model: Annotated[str, Says("model")]
    inputs: Annotated[ServingInputs, Says("inputs as they were taken")]
    notes: Annotated[list[str], Says("what to know about the comparison")]
    batch: Annotated[int | None, Says("sequences at once on each, the fastest first; null: the best of each")]
    rows: Annotated[list[RowAnswer], Says("hardware: what qualifies first, the cheapest before the others")]
    pareto_front: Annotated[list[FrontAnswer], Says("choices that no other beats in both TPOT and cost")]
    pools_or_mixed: NotRequired[Annotated[list[PoolsOrMixedAnswer], Says("with --pools: what they are worth")]]
    launch: NotRequired[Annotated[ReplicaLaunchAnswer, Says("with --launch: the launch line of the best")]]
    verify: NotRequired[Annotated[VerifyAnswer, Says("with --verify: the command that measures a replica of it")]]


class SimulatedAnswer(TypedDict):
    """What the requests of one replica wait, simulated."""

    requests: Annotated[int, Says("requests simulated that count")]
    queued_s: Annotated[DistributionAnswer, Says("queueing: from the arrival into the first step", "s")]
    ttft_s: Annotated[DistributionAnswer, Says("time to first token, queueing included", "s")]
    tpot_s: NotRequired[Annotated[DistributionAnswer, Says("time per output token after the first, of a request", "s")]]
    request_s: Annotated[DistributionAnswer, Says("end to end: from the arrival to the last token", "s")]


class OrderAnswer(BasisAnswer):
    """Hardware that serves the load: so many units of what one can have."""

    hardware: Annotated[str, Says("hardware")]
    device: Annotated[str, Says("device")]
    dtype: Annotated[str, Says("number format or recipe")]
    engine: Annotated[EngineServing | None, Says("what runs it; null for pools, whose sides have their own")]
    layout: Annotated[str, Says("layout of a replica")]
    unit_devices: Annotated[int, Says("devices of a unit")]
    units: Annotated[int, Says("units that serve the load")]
    units_low: Annotated[int, Says("units at the fast end of the band")]
    units_high: Annotated[int | None, Says("units at the slow end of the band; null: then no number serves it")]
    devices: Annotated[int, Says("devices of all units")]
    capacity_requests_per_s: Annotated[float, Says("what they serve at most within the targets", "requests/s")]
    utilization: Annotated[float, Says("part of that which the load takes")]
    all_in_power_w: Annotated[float | None, Says(
        "power of the site with all devices at their TDP; null where that is not stated", "W")]  # fmt: skip
    pools: Annotated[OrderPoolsAnswer | None, Says("disaggregated serving; null where devices prefill and decode")]
    encode: NotRequired[Annotated[EncodeAnswer, Says("with --encode-on: what encodes images and sound")]]
    cost: Annotated[OrderCostAnswer | None, Says("cost; null where no_cost says why")]
    at_load: Annotated[PointAnswer, Says("what they do at the load")]
    simulated: NotRequired[Annotated[SimulatedAnswer, Says("with targets of percentiles: what requests wait")]]


class MissAnswer(TypedDict):
    """Hardware that cannot serve within the targets."""

    hardware: Annotated[str, Says("hardware")]
    reasons: Annotated[list[str], Says("why it cannot")]
    excess: Annotated[float | None, Says("factor by which the worse target is missed; null where nothing runs")]


class SizeAnswer(Answer):
    """The fewest rentable units that serve a load within the targets."""

    model: Annotated[str, Says("model")]
    inputs: Annotated[SizeInputs, Says("inputs as they were taken")]
    notes: Annotated[list[str], Says("what to know about the sizing")]
    choice: Annotated[OrderAnswer | None, Says("best order; null where none serves the load")]
    runner_up: Annotated[OrderAnswer | None, Says("next best order")]
    others: Annotated[list[OrderAnswer], Says("orders after that")]
    misses: Annotated[list[MissAnswer], Says("hardware that cannot serve it, the nearest first")]
    pools_or_mixed: NotRequired[Annotated[list[PoolsOrMixedAnswer], Says("with --pools: what they are worth")]]
    launch: NotRequired[Annotated[ReplicaLaunchAnswer, Says("with --launch: the launch line of the best")]]
    verify: NotRequired[Annotated[VerifyAnswer, Says("with --verify: the command that measures a replica of it")]]
