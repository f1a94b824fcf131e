"""What starts a replica of the answer that a comparison or a sizing chose, and what measures it."""

from __future__ import annotations

from math import ceil
from typing import cast

from roofline.buying.load import InFlight
from roofline.buying.ranking import Comparison
from roofline.buying.sizing import Order, Sizing
from roofline.classes import frozen
from roofline.engines.launch_line import LaunchLine
from roofline.errors import UsageError
from roofline.prediction.launching import Asked, Launched, launch_in_json, launch_line
from roofline.prediction.verifying import Measuring, Sent, measuring
from roofline.serving.batch_sweep import MOST
from roofline.serving.curve import Curve
from roofline.serving.operating_points import most_of
from roofline.serving.scenario import Question


@frozen
class ReplicaLaunch:
    """The command that starts one of so many replicas, each on so many devices."""

    line: LaunchLine
    hardware: str
    replicas: int
    devices: int

    def to_dict(self) -> dict[str, str | int]:
        """As JSON has it."""
        own: dict[str, str | int] = {"hardware": self.hardware, "replicas": self.replicas, "devices": self.devices}
        return {**launch_in_json(self.line), **own}

    @property
    def words(self) -> str:
        """The command, and where it runs."""
        each = f"{self.devices} x {self.hardware}" if self.devices > 1 else self.hardware
        where = f"each of {self.replicas:,} replicas, on {each}" if self.replicas > 1 else f"on {each}"
        told = self.to_dict()
        return f"{told['engine']} {told['version']}, {where}: {self.line}"


def launch_chosen(result: Comparison | Sizing, engine: str) -> ReplicaLaunch | None:
    """The launch line of a replica of the best row, or of the order chosen; None where nothing meets the targets.

    It admits as many sequences as the best batch within the targets, or, where percentiles were simulated, as many as
    the simulation did. Raises UsageError for what the engine's flags cannot say, pools among it.

    >>> from roofline.buying.api import compare
    >>> print(launch_chosen(compare("llama-3.1-8b", "h100", tpot="30 ms", engine="vllm"), "vllm").line)
    vllm serve meta-llama/Llama-3.1-8B --max-num-seqs 123 --max-num-batched-tokens 8192 --max-model-len 7517 \
--gpu-memory-utilization 0.9 --dtype bfloat16
    """
    if not result.qualifies:
        return None
    if isinstance(result, Sizing):
        order = result.orders[0]
        return _launched(result.question, order.curve, _admitted(order, result), order.point.replicas, engine)
    row = result.rows[0]
    assert row.point is not None, "a row that qualifies has a point"
    return _launched(result.question, row.curve, row.point.batch, row.point.replicas, engine)


def verify_chosen(result: Comparison | Sizing) -> Measuring | None:
    """The command that measures a replica of the answer chosen, at the mean lengths of the traffic; None of none.

    A replica of a comparison has its best batch in flight; one of a sizing meets its part of the load. Raises
    UsageError for pools, and for an engine that serves no requests.

    >>> from roofline.buying.api import size
    >>> sized = size("llama-3.1-8b", "h100", load="50 req/s", tpot="30 ms")
    >>> [word for word in verify_chosen(sized).command.split("--") if word.startswith("request-rate")]
    ['request-rate 16.6667 ']
    """
    if not result.qualifies:
        return None
    if isinstance(result, Sizing):
        curve, replicas = result.orders[0].curve, result.orders[0].point.replicas
        flight = isinstance(result.load, InFlight)
        clients, rate = (ceil(result.load.amount / replicas), None) if flight else (None, result.load.amount / replicas)
    else:
        row = result.rows[0]
        assert row.point is not None, "a row that qualifies has a point"
        curve, clients, rate = row.curve, row.point.batch, None
    if curve.reads:
        msg = f"verify: a command measures text that is generated, and {result.question.model.name} generates nothing"
        raise UsageError(msg)
    _check_whole(curve, "verify")
    if curve.pools is not None or curve.running is None:
        msg = f"verify: {curve.who} has pools that prefill and decode, which no one command measures; leave out pools"
        raise UsageError(msg)
    traffic = result.question.traffic
    sent = Sent(round(traffic.prompt.mean), max(1, round(traffic.generate.mean)), clients, rate)
    return measuring(result.question.model, curve.running.engine.name, sent)


def _admitted(order: Order, result: Sizing) -> int:
    """The most sequences of a replica at once: those of the best batch, of which the load takes a part."""
    curve = order.curve
    if order.simulated is not None:
        limits = (curve.most, curve.running.engine.most_sequences if curve.running else None)
        return min(MOST, *(each for each in limits if each is not None))
    best = most_of(result.load.served(curve), curve, result.targets)
    assert best is not None, "some batch meets the targets"
    assert curve.state is not None, "and so there are batches"
    return int(curve.state.batches[best])


def _launched(question: Question, curve: Curve, sequences: int, replicas: int, engine: str) -> ReplicaLaunch:
    _check_whole(curve, f"launch {engine}")
    if curve.pools is not None or curve.running is None or curve.recipe is None:
        msg = (
            f"launch {engine}: {curve.who} has pools that prefill and decode, which no one line starts; leave out pools"
        )
        raise UsageError(msg)
    if question.speculation:
        msg = f"launch {engine}: speculation is not written into launch lines; leave out speculate"
        raise UsageError(msg)
    asked = cast("Asked", {**question.asked, "dtype": curve.who.dtype or question.asked["dtype"]})
    traffic, positions = question.traffic, question.model.lengths.positions
    longest = min(traffic.prompt.nearly_longest + traffic.generate.nearly_longest, positions)
    starts = Launched(question.model, curve.running.engine, curve.split, curve.recipe, sequences, longest, asked,
                      question.adapters)  # fmt: skip
    return ReplicaLaunch(launch_line(starts, engine), curve.hardware.device.name, replicas, curve.devices)


def _check_whole(curve: Curve, flag: str) -> None:
    """Raises UsageError where something else encodes, which no command of one replica says."""
    if curve.encoders is not None:
        msg = f"{flag}: what {curve.encoders.hardware.name} encodes is no part of one command; leave encode_on out"
        raise UsageError(msg)
