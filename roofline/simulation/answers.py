"""The JSON of ``simulate``, field by field."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from typing_extensions import TypedDict

from roofline.prediction.answers import EngineUsed
from roofline.schema import Answer, Says


class DistributionAnswer(TypedDict):
    """Mean, percentiles and largest of a time."""

    mean: Annotated[float, Says("mean", "s")]
    p50: Annotated[float, Says("median", "s")]
    p90: Annotated[float, Says("90th percentile", "s")]
    p95: Annotated[float, Says("95th percentile", "s")]
    p99: Annotated[float, Says("99th percentile", "s")]
    max: Annotated[float, Says("largest", "s")]


class ServedByAnswer(TypedDict):
    """What serves."""

    name: Annotated[str, Says("device")]
    devices: Annotated[int, Says("devices of all replicas")]
    replicas: Annotated[int, Says("replicas behind the router")]
    layout: Annotated[str, Says("layout of a replica")]
    layout_reason: Annotated[str | None, Says("why that one; null where it was asked for, or is the only one")]
    overrides: Annotated[dict[str, Any], Says("fields that --set edits, by path, in the spelling given")]


class OfferedAnswer(TypedDict):
    """The inputs as they were taken."""

    workload: Annotated[str, Says("traffic by name")]
    workload_source: Annotated[str, Says("where its lengths stand")]
    prompt: Annotated[str, Says("tokens in, as asked for")]
    generate: Annotated[str, Says("tokens out, as asked for")]
    sessions: Annotated[int, Says("sessions of the requests; as many as requests where each stands alone")]
    prefix_hits: Annotated[float, Says("part of each prompt that is taken to be cached, where nothing is known shared")]
    arrivals: Annotated[str, Says("how requests arrive: poisson, gamma:SHAPE, all, trace, or closed loop")]
    load_requests_per_s: Annotated[float | None, Says("requests that arrive; null without a rate", "requests/s")]
    concurrency: Annotated[int | None, Says("clients of a closed loop; null in an open one")]
    think_s: Annotated[float, Says("mean think time of those clients; 0 without", "s")]
    requests: Annotated[int, Says("requests simulated")]
    seed: Annotated[int, Says("of arrivals and lengths")]
    router: Annotated[str, Says("which of several replicas a request goes to")]
    ttft_s: Annotated[float | None, Says("target of time to first token", "s")]
    ttft_percentile: Annotated[float | None, Says("which percentile of it; null is the mean")]
    tpot_s: Annotated[float | None, Says("target of time per output token", "s")]
    tpot_percentile: Annotated[float | None, Says("which percentile of it; null is the mean")]
    dtype: Annotated[str, Says("number format or recipe")]
    speculate: Annotated[str | None, Says("speculative decoding: what is proposed and accepted; null: none")]
    lora: Annotated[str | None, Says("LoRA adapters in memory x their rank; null: none")]
    chunk: Annotated[int, Says("token budget of a step, as the engine has it; 0: prompts whole, alone", "tokens")]
    image_tokens: NotRequired[Annotated[int, Says("tokens of each prompt that are images'", "tokens")]]
    sound_tokens: NotRequired[Annotated[int, Says("tokens of each prompt that are sound's", "tokens")]]
    max_sequences: Annotated[int, Says("most sequences that a replica schedules at once", "sequences")]
    kv_block: Annotated[int, Says("tokens in a block of the KV cache", "tokens")]
    offload: Annotated[str | None, Says("tiers below the devices' memory, as asked for; null: none")]
    constants: Annotated[str, Says("whose constants")]


class JobCostAnswer(TypedDict):
    """What the run costs: all devices from the first arrival to the last token."""

    usd_per_h: Annotated[float | None, Says("cost of an hour of all devices; null without a price", "USD/h")]
    usd: Annotated[float | None, Says("cost of the run", "USD")]
    usd_low: Annotated[float | None, Says("low end of its band", "USD")]
    usd_high: Annotated[float | None, Says("high end of its band", "USD")]
    usd_per_million_output: Annotated[float | None, Says("cost of a million generated tokens", "USD")]
    price: Annotated[str | None, Says("price that it follows from")]
    problem: Annotated[str | None, Says("why there is no cost")]


class PoolAnswer(TypedDict):
    """What the replicas of a pool did; those of a pool that encodes are devices, and a step is a request."""

    hardware: Annotated[str, Says("device")]
    layout: Annotated[str, Says("layout of a replica")]
    role: Annotated[str, Says("encode, prefill, decode, or both")]
    replicas: Annotated[int, Says("its replicas")]
    sequences: Annotated[float, Says("mean sequences that are scheduled in a replica", "sequences")]
    busy: Annotated[float, Says("part of the time that replicas are at work")]
    steps: Annotated[int, Says("steps of all its replicas")]
    cache: Annotated[float, Says("mean part of the room for caches that is full")]
    most_cache: Annotated[float, Says("most of it")]
    linked: Annotated[float, Says("part of the time in which replicas take caches over")]


class TierAnswer(TypedDict):
    """A tier below the devices' memory that keeps caches, of each replica."""

    name: Annotated[str, Says("host, ssd or remote, which all replicas share")]
    bytes: Annotated[float, Says("its size", "B")]
    read_bytes_per_s: Annotated[float, Says("rate at which a replica reads it", "B/s")]
    write_bytes_per_s: Annotated[float, Says("rate at which a replica writes it", "B/s")]
    loaded: Annotated[float, Says("part of all prompt tokens that was loaded from it")]
    reading: Annotated[float, Says("part of the time in which it was read")]
    writing: Annotated[float, Says("part of the time in which it was written")]


class BreakEvenAnswer(TypedDict):
    """The rate at which loading a prompt's cache takes as long as computing it."""

    prompt: Annotated[int, Says("tokens of the prompt, the mean", "tokens")]
    cache_bytes: Annotated[float, Says("its cache on all devices of a replica", "B")]
    computed_s: Annotated[float, Says("time to compute it alone", "s")]
    bandwidth_bytes_per_s: Annotated[float, Says("the rate, of all devices of a replica", "B/s")]


class SimulateAnswer(Answer):
    """What requests waited under a load. Ends of bands: every step at its fast, or at its slow end."""

    model: Annotated[str, Says("model")]
    hardware: Annotated[ServedByAnswer, Says("what serves")]
    engine: Annotated[EngineUsed, Says("what runs the model")]
    inputs: Annotated[OfferedAnswer, Says("the inputs as they were taken")]
    saturation_requests_per_s: Annotated[float | None, Says(
        "served where some requests always wait; null for sessions", "requests/s")]  # fmt: skip
    load: Annotated[float | None, Says("part of the saturation that arrives; null without a rate")]
    queued_s: Annotated[DistributionAnswer, Says("queueing: from the arrival into the first step", "s")]
    queued_s_low: Annotated[DistributionAnswer, Says("low end of its band", "s")]
    queued_s_high: Annotated[DistributionAnswer, Says("high end of its band", "s")]
    ttft_s: Annotated[DistributionAnswer, Says("time to first token, queueing included", "s")]
    ttft_s_low: Annotated[DistributionAnswer, Says("low end of its band", "s")]
    ttft_s_high: Annotated[DistributionAnswer, Says("high end of its band", "s")]
    tpot_s: NotRequired[Annotated[DistributionAnswer, Says("time per output token after the first, of a request", "s")]]
    tpot_s_low: NotRequired[Annotated[DistributionAnswer, Says("low end of its band", "s")]]
    tpot_s_high: NotRequired[Annotated[DistributionAnswer, Says("high end of its band", "s")]]
    request_s: Annotated[DistributionAnswer, Says("end to end: from the arrival to the last token", "s")]
    request_s_low: Annotated[DistributionAnswer, Says("low end of its band", "s")]
    request_s_high: Annotated[DistributionAnswer, Says("high end of its band", "s")]
    requests: Annotated[int, Says("requests simulated")]
    counted: Annotated[int, Says("those after the warm-up, whose times count")]
    makespan_s: Annotated[float, Says("from the first arrival to the last token", "s")]
    tail_s: Annotated[float, Says("the last part of it, when 90 % of the requests are done", "s")]
    requests_per_s: Annotated[float, Says("served", "requests/s")]
    output_tokens_per_s: Annotated[float, Says("generated", "tokens/s")]
    input_tokens_per_s: Annotated[float, Says("tokens of the prompts of what is served", "tokens/s")]
    within: Annotated[float, Says("part of the requests that meet the targets")]
    goodput_requests_per_s: Annotated[float, Says("served within the targets", "requests/s")]
    sequences: Annotated[float, Says("mean sequences that are scheduled in a replica", "sequences")]
    most_sequences: Annotated[int, Says("most of them", "sequences")]
    busy: Annotated[float, Says("part of the time that replicas are at work")]
    steps: Annotated[int, Says("steps of all replicas")]
    cache: Annotated[float, Says("mean part of the room for caches that is full")]
    most_cache: Annotated[float, Says("most of it")]
    preempted: Annotated[int, Says("how often a sequence lost its cache and was computed anew")]
    cached: Annotated[float, Says("part of all prompt tokens that came from a prefix cache")]
    pools: Annotated[list[PoolAnswer], Says("what reads prompts and what decodes; one that does both")]
    tiers: Annotated[list[TierAnswer], Says("tiers that keep caches below the devices' memory")]
    break_even: Annotated[BreakEvenAnswer | None, Says("where loading is as fast as computing; null without tiers")]
    cost: Annotated[JobCostAnswer, Says("what the run costs")]
    notes: Annotated[list[str], Says("what to know")]
