"""The JSON of ``doctor`` and of ``validate``, field by field."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict

from roofline.prediction.answers import Bound
from roofline.program.phases import Phase
from roofline.schema import Answer, Closed, Says
from roofline.validation.served_results import Metric, Statistic


class EnvironmentAnswer(TypedDict):
    """Machine and software; versions of packages that are installed."""

    device: Annotated[str, Says("device")]
    device_kind: Annotated[str, Says("cpu, cuda or mps")]
    threads: Annotated[int, Says("threads that are timed")]
    cores: Annotated[int | None, Says("cores that are seen")]
    memory_bytes: Annotated[float, Says("memory of the device", "B")]
    cache_bytes: Annotated[float, Says("its last cache", "B")]
    python: Annotated[str, Says("version of Python")]
    torch: Annotated[str, Says("version of torch")]
    instructions: Annotated[str, Says("vector instructions that torch uses")]
    settings: Annotated[dict[str, str], Says("environment variables that matter, as they are")]
    system: Annotated[str, Says("operating system and processor")]
    numpy: NotRequired[Annotated[str, Says("version of numpy")]]
    scipy: NotRequired[Annotated[str, Says("version of scipy")]]
    matplotlib: NotRequired[Annotated[str, Says("version of matplotlib")]]
    pyarrow: NotRequired[Annotated[str, Says("version of pyarrow")]]
    transformers: NotRequired[Annotated[str, Says("version of transformers")]]
    huggingface_hub: NotRequired[Annotated[str, Says("version of huggingface_hub")]]
    numa_nodes: NotRequired[Annotated[int, Says("parts of a CPU's memory that are nearer to some cores")]]
    cuda: NotRequired[Annotated[str | None, Says("version of CUDA")]]
    driver: NotRequired[Annotated[str | None, Says("version of the driver")]]
    power_limit: NotRequired[Annotated[str | None, Says("power limit, with its unit")]]


class StallAnswer(TypedDict):
    """Whether threads stall."""

    stalled: Annotated[bool, Says("whether timings cannot be trusted here")]
    varies: Annotated[float, Says("how far samples of one shape are apart, a part of their time")]
    words: Annotated[str, Says("the same in words")]


class DoctorAnswer(Closed):
    """What measuring would find here."""

    environment: Annotated[EnvironmentAnswer, Says("machine and software")]
    stall_test: Annotated[StallAnswer, Says("whether threads stall")]
    set: Annotated[dict[str, str], Says("environment variables to set before torch loads")]


class ScoreAnswer(TypedDict):
    """How far predictions are off: APE is |predicted / measured - 1|."""

    n: Annotated[int, Says("predictions")]
    median_ape: Annotated[float, Says("median of the APE")]
    p90_ape: Annotated[float, Says("90th percentile of the APE")]
    mean_ape: Annotated[float, Says("mean of the APE")]
    bias: Annotated[float, Says("geometric mean of predicted / measured")]
    order: Annotated[float, Says("part of all pairs that are predicted in the right order")]
    within_25: Annotated[float, Says("part with an APE of 25 % at most")]
    within_10: Annotated[float, Says("part with an APE of 10 % at most")]


class VerdictAnswer(TypedDict):
    """What all cases come to."""

    steps: NotRequired[Annotated[ScoreAnswer, Says("whole steps")]]
    operators: NotRequired[Annotated[ScoreAnswer, Says("operators that take half a percent of a step or more")]]
    datasheet_steps: NotRequired[Annotated[ScoreAnswer, Says("whole steps by data sheet rates alone")]]
    serving: NotRequired[Annotated[ScoreAnswer, Says("what tools measured of servers, times and rates")]]
    regimes: Annotated[dict[Bound, ScoreAnswer], Says("operators by what they are predicted to be bound by")]
    band_coverage: Annotated[float | None, Says("part of the operators whose measured time lies in the band")]
    regime_agreement: Annotated[float | None, Says("part of the operators that are bound as predicted")]
    suspects: Annotated[list[str], Says("which operators are off together, and what that points at")]


class MeasuredOperatorAnswer(TypedDict):
    """An operator, predicted and measured, over all its repeats in a step."""

    name: Annotated[str, Says("name")]
    kind: Annotated[str, Says("kind")]
    count: Annotated[int, Says("repeats in a step")]
    predicted_s: Annotated[float, Says("expected time", "s")]
    measured_s: Annotated[float | None, Says("measured time; null where nothing was measured", "s")]
    error: Annotated[float | None, Says("predicted / measured - 1")]
    noise: Annotated[float, Says("how far samples are apart, a part of their time")]
    bound_s: Annotated[float, Says("time at best", "s")]
    low_s: Annotated[float, Says("low end of the band of the time", "s")]
    high_s: Annotated[float, Says("high end of the band of the time", "s")]
    bound_by: Annotated[Bound, Says("the largest share, as predicted")]
    measured_regime: Annotated[str | None, Says("what the measured time says it is bound by")]
    achieved: Annotated[float | None, Says("bound_s / measured_s: the part of its roof that it reached")]
    flops: Annotated[float, Says("operations of contractions, a multiplication and an addition being 2", "FLOP")]
    bytes: Annotated[float, Says("compulsory traffic of device memory", "B")]
    dram_bytes: NotRequired[Annotated[float, Says("traffic that the device's counters saw", "B")]]


class ProfileAnswer(TypedDict):
    """A step under torch's profiler."""

    step_s: Annotated[float, Says("time of the step", "s")]
    between: Annotated[float, Says("part of it outside every operator")]
    operators_s: Annotated[dict[str, float], Says("time of each of torch's operators", "s")]
    alone_s: Annotated[dict[str, float], Says("time of each by itself", "s")]


class ProfiledAnswer(TypedDict):
    """What a comparison with a profiler's file rests on."""

    tool: Annotated[str, Says("profiler and report")]
    steps: Annotated[float, Says("steps that the file holds")]
    joined: Annotated[float, Says("part of the kernels' time that rules join to operators")]
    kernels_s: Annotated[float, Says("all kernels of a step", "s")]
    engine: Annotated[str, Says("engine of the prediction beside it")]
    told_by: Annotated[Literal["asked", "kernels", "usual"], Says("who says so: the option, names of kernels, nobody")]


class CaseAnswer(TypedDict):
    """One step of one phase."""

    model: Annotated[str, Says("model")]
    phase: Annotated[Phase, Says("phase")]
    batch: Annotated[int, Says("sequences at once", "sequences")]
    length: Annotated[int, Says("tokens in, or attended to by a decode step", "tokens")]
    engine: Annotated[str, Says("what the prediction runs under, its release, and whether that is eager")]
    prediction_sha256: Annotated[str, Says("hash of the JSON of the prediction, taken before anything was timed")]
    predicted_s: Annotated[float, Says("expected time", "s")]
    bound_s: Annotated[float, Says("time at best", "s")]
    low_s: Annotated[float, Says("low end of the band of the time", "s")]
    high_s: Annotated[float, Says("high end of the band of the time", "s")]
    measured_s: Annotated[float | None, Says("measured time of the step; null where it was not measured", "s")]
    at_calibrated_speed_s: Annotated[float | None, Says("the same at the speed that the device was calibrated at", "s")]
    error: Annotated[float | None, Says("predicted / measured - 1")]
    noise: Annotated[float, Says("how far samples are apart, a part of their time")]
    steps_s: Annotated[dict[str, float], Says("time by how it was run: eager, graph, compile", "s")]
    unattributed: Annotated[float | None, Says("part of the step that no operator accounts for")]
    kernels_alone: Annotated[float | None, Says("operators timed by themselves, added up / the step")]
    unpredicted_s: Annotated[dict[str, float], Says("time of what ran and nobody predicted", "s")]
    not_run: Annotated[list[str], Says("operators that were predicted and did not run")]
    profile: Annotated[ProfileAnswer | None, Says("the step under torch's profiler")]
    flags: Annotated[list[str], Says("why the measurement may not be trusted")]
    profiled: NotRequired[Annotated[ProfiledAnswer, Says("the profiler's file that it is compared with")]]
    operators: Annotated[list[MeasuredOperatorAnswer], Says("operators in the order in which they run")]
    samples_s: NotRequired[Annotated[list[list[float | None]], Says(
        "each sample: time of the step, and of the probe around it", "s")]]  # fmt: skip


class ComparedAnswer(TypedDict):
    """A number predicted and measured."""

    predicted: Annotated[float, Says("expected value", "s or B")]
    measured: Annotated[float | None, Says("measured value; null where nothing measures it", "s or B")]
    error: Annotated[float | None, Says("predicted / measured - 1")]


class TrainedMemoryAnswer(TypedDict):
    """Memory of a training step."""

    saved_activations: Annotated[ComparedAnswer, Says("what the forward pass keeps for the backward pass", "B")]
    peak: Annotated[ComparedAnswer, Says("the most that tensors take at once", "B")]


class TrainedAnswer(TypedDict):
    """A training step of one device: forward pass, backward pass, update."""

    model: Annotated[str, Says("model")]
    batch: Annotated[int, Says("sequences of a step", "sequences")]
    length: Annotated[int, Says("tokens of a sequence", "tokens")]
    dtype: Annotated[str, Says("recipe")]
    optimizer: Annotated[str, Says("optimizer")]
    prediction_sha256: Annotated[str, Says("hash of the JSON of the prediction, taken before anything was timed")]
    predicted_s: Annotated[float, Says("expected time", "s")]
    bound_s: Annotated[float, Says("time at best", "s")]
    low_s: Annotated[float, Says("low end of the band of the time", "s")]
    high_s: Annotated[float, Says("high end of the band of the time", "s")]
    measured_s: Annotated[float, Says("measured time of the step", "s")]
    at_calibrated_speed_s: Annotated[float | None, Says("the same at the speed that the device was calibrated at", "s")]
    error: Annotated[float, Says("predicted / measured - 1")]
    noise: Annotated[float, Says("how far samples are apart, a part of their time")]
    passes_s: Annotated[dict[str, ComparedAnswer], Says("forward, backward, update", "s")]
    memory_bytes: Annotated[TrainedMemoryAnswer, Says("what is saved, and the peak", "B")]
    unpredicted_s: Annotated[dict[str, float], Says("time of what ran and nobody predicted", "s")]
    not_run: Annotated[list[str], Says("kernels that were predicted and did not run")]
    flags: Annotated[list[str], Says("why the measurement may not be trusted")]
    operators: Annotated[list[MeasuredOperatorAnswer], Says("operators in the order in which they run")]
    samples_s: Annotated[list[list[float | None]], Says("each sample: time of the step, and of the probe around it",
                                                        "s")]  # fmt: skip


class FigureAnswer(TypedDict):
    """A metric of a server, measured and predicted: in seconds, or per second."""

    metric: Annotated[Metric, Says("what was measured")]
    statistic: Annotated[Statistic, Says("mean, or a percentile over requests")]
    measured: Annotated[float, Says("measured value", "s or 1/s")]
    predicted: Annotated[float | None, Says("expected value; null where nothing predicts it", "s or 1/s")]
    low: Annotated[float | None, Says("low end of its band", "s or 1/s")]
    high: Annotated[float | None, Says("high end of its band", "s or 1/s")]
    error: Annotated[float | None, Says("predicted / measured - 1")]
    inside: Annotated[bool | None, Says("whether the measured value lies in the band")]


class ServedAnswer(TypedDict):
    """A run of a tool that loads a server, beside its prediction."""

    tool: Annotated[str, Says("whose result it is")]
    model: Annotated[str, Says("model, as the result names it; empty where it names none")]
    engine: Annotated[str, Says("engine of the prediction")]
    hardware: Annotated[str, Says("devices of the prediction")]
    layout: Annotated[str, Says("layout of a replica")]
    requests: Annotated[int, Says("requests that were answered")]
    concurrency: Annotated[int | None, Says("clients that wait for an answer before they ask anew")]
    load_requests_per_s: Annotated[float | None, Says("rate at which requests came", "requests/s")]
    prompt: Annotated[float, Says("tokens in, on average", "tokens")]
    generate: Annotated[float, Says("tokens out, on average", "tokens")]
    figures: Annotated[list[FigureAnswer], Says("each metric")]
    notes: Annotated[list[str], Says("what to know about the comparison")]


class ValidateAnswer(Answer):
    """Predicted against measured."""

    command: Annotated[str, Says("command that was run")]
    hardware: Annotated[str, Says("device that was predicted")]
    run: NotRequired[Annotated[str, Says("which of several runs this is")]]
    environment: NotRequired[Annotated[EnvironmentAnswer, Says("machine and software, where anything was timed")]]
    verdict: Annotated[VerdictAnswer, Says("what all cases come to")]
    cases: Annotated[list[CaseAnswer], Says("each step")]
    training: NotRequired[Annotated[list[TrainedAnswer], Says("with --train: each step")]]
    serving: NotRequired[Annotated[list[ServedAnswer], Says("with --serving: each run that the file holds")]]
