"""The command that measures what was predicted: of the tool that loads such a server, or that times such a model."""

from __future__ import annotations

import shlex
from math import ceil
from pathlib import Path

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.models.model import Model
from roofline.models.sources import hub_id
from roofline.prediction.predict import Prediction
from roofline.program.phases import Phase

RESULT = "roofline-verify"
"""What the file of the result is called, without its suffix."""

_WAVES, _SECONDS, _LEAST = 10, 60, 200  # requests: for each client, of a rate for so long, and at least


@frozen
class Sent:
    """What a tool sends to a server: requests of so many tokens in and out, from clients in a loop or at a rate."""

    prompt: int
    generate: int
    clients: int | None = None
    per_second: float | None = None

    @property
    def requests(self) -> int:
        """How many tell the mean: ten of each client, or a minute of a rate."""
        if self.clients is not None:
            return _WAVES * self.clients
        return max(_LEAST, ceil(_SECONDS * (self.per_second or 0.0)))

    def pace(self, clients: str) -> list[str]:
        """The flag that keeps so many in flight, as a tool calls it, or the one that sends at a rate."""
        if self.clients is not None:
            return [clients, str(self.clients)]
        return ["--request-rate", f"{self.per_second:.6g}"]

    @property
    def words(self) -> str:
        """In a few words."""
        who = f"from {self.clients:,} clients" if self.clients is not None else f"at {self.per_second:.4g} req/s"
        return f"{self.requests:,} requests {who}, {self.prompt:,} tokens in, {self.generate:,} out"


@frozen
class Measuring:
    """A command that measures a prediction, the tool, and what of its result to compare."""

    tool: str
    command: str
    measures: str

    def to_dict(self) -> dict[str, str]:
        """As JSON has it."""
        return {"tool": self.tool, "command": self.command, "measures": self.measures}

    @property
    def words(self) -> str:
        """The command, below what it measures."""
        return f"to measure it ({self.measures}):\n{self.command}"


def verify(prediction: Prediction) -> Measuring:
    """The command that measures a prediction: a server's load, or ``roofline validate``.

    Raises UsageError for a step by itself under a serving engine, which no server's tool measures.

    >>> from roofline.prediction.predict import predict
    >>> print(verify(predict("llama-3.1-8b", "h100", batch=16)).command)
    vllm bench serve --model meta-llama/Llama-3.1-8B --dataset-name random --random-input-len 2048 \
--random-output-len 256 --ignore-eos --num-prompts 160 --max-concurrency 16 --percentile-metrics ttft,tpot,itl,e2el \
--metric-percentiles 50,90,99 --save-result --result-filename roofline-verify.json
    """
    work, model = prediction.workload, prediction.model
    if prediction.engine.name not in _TOOLS:
        return _by_validate(prediction)
    if work.context is not None or prediction.request.asked["phase"] is not None:
        msg = "verify: no server's tool measures a step by itself; ask for whole requests, without context and phase"
        raise UsageError(msg)
    sent = Sent(int(work.prompt), int(work.generate), clients=int(work.batch))
    return measuring(model, prediction.engine.name, sent)


def measuring(model: Model, engine: str, sent: Sent) -> Measuring:
    """The command that loads a server of an engine. Raises UsageError for an engine that serves nothing."""
    if engine not in _TOOLS:
        msg = f"verify: {engine} serves no requests; ask with engine {', '.join(_TOOLS)}"
        raise UsageError(msg)
    tool, write = _TOOLS[engine]
    measures = f"TTFT, TPOT, end to end and throughput of {sent.words}; roofline validate --serving reads the result"
    return Measuring(tool, shlex.join(write(hub_id(model.name), sent)), measures)


def _vllm(model: str, sent: Sent) -> list[str]:
    return [
        *"vllm bench serve --model".split(), model, *"--dataset-name random --random-input-len".split(),
        str(sent.prompt), "--random-output-len", str(sent.generate), "--ignore-eos", "--num-prompts",
        str(sent.requests), *sent.pace("--max-concurrency"),
        *"--percentile-metrics ttft,tpot,itl,e2el --metric-percentiles 50,90,99".split(),
        *"--save-result --result-filename".split(), f"{RESULT}.json",
    ]  # fmt: skip


def _sglang(model: str, sent: Sent) -> list[str]:
    return [
        *"python -m sglang.bench_serving --backend sglang --model".split(), model,
        *"--dataset-name random --random-range-ratio 1 --random-input-len".split(), str(sent.prompt),
        "--random-output-len", str(sent.generate), "--num-prompts", str(sent.requests), *sent.pace("--max-concurrency"),
        "--output-file", f"{RESULT}.jsonl",
    ]  # fmt: skip


def _aiperf(model: str, sent: Sent) -> list[str]:
    return [
        *"aiperf profile --model".split(), model, *"--url localhost:8000 --endpoint-type completions".split(),
        *"--streaming --isl".split(), str(sent.prompt), *"--isl-stddev 0 --osl".split(), str(sent.generate),
        *"--osl-stddev 0 --extra-inputs ignore_eos:true --request-count".split(), str(sent.requests),
        *sent.pace("--concurrency"), "--artifact-dir", RESULT,
    ]  # fmt: skip


_TOOLS = {
    "vllm": ("vllm bench serve", _vllm),
    "sglang": ("sglang.bench_serving", _sglang),
    "tensorrt-llm": ("AIPerf", _aiperf),
}
"""Engines that serve -> the tool, and how its command is written."""


def _by_validate(prediction: Prediction) -> Measuring:
    """Engines of torch are timed here."""
    work, asked = prediction.workload, prediction.request.asked
    named = prediction.model.source if Path(prediction.model.source).exists() else prediction.model.name
    words = ["roofline", "validate", named, "--hardware", prediction.hardware.name, "--batch", str(work.batch)]
    if work.context is not None:
        words += ["--context", str(work.context)]
    else:
        words += ["--prompt", str(work.prompt)]
        words += ["--generate", str(work.generate)] if Phase.DECODE in prediction.phases else []
    words += ["--dtype", str(asked["dtype"])] if asked["dtype"] else []
    words += ["--compile"] if prediction.engine.name == "torch-compile" else []
    return Measuring("roofline validate", shlex.join(words), "each step and operator, on such a device at hand")
