"""The JSON of rows: of ``sweep show``, and of ``predict`` at several points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from typing_extensions import TypedDict

from roofline.schema import Answer, Says
from roofline.sweeps.columns import (
    COLUMNS,
    MET,
    NUMBERS,
    PRICED,
    TARGETS,
    TEXTS,
    TRAINED_NUMBERS,
    TRAINED_WORDS,
    TRUTHS,
    WHOLE,
    WORDS,
)
from roofline.units import unit_in_name
from roofline.version import versions

_SAYS = {
    "model": Says("the model's name, or where its configuration is"),
    "hardware": Says("what it runs on"),
    "layout": Says("how the work is spread over devices"),
    "dtype": Says("number format or recipe"),
    "engine": Says("what runs it"),
    "phase": Says("what the row is of: a request, a phase of one, serving, or a training step"),
    "provenance": Says("which constants, and where they come from"),
    "refused": Says("why there is no result; null where there is one"),
    "price_kind": Says("which kind of price its costs are of"),
    "price": Says("that price, with its date and source; or why there is none"),
    "devices": Says("how many devices there are"),
    "concurrency": Says("requests in flight over all replicas, in serving"),
    "batch": Says("sequences at once, over all devices"),
    "prompt": Says("tokens in"),
    "generate": Says("tokens out"),
    "context": Says("attended tokens of the one decode step"),
    "sequence": Says("tokens of a sequence, in training"),
    "microbatch": Says("sequences of a microbatch of a replica, in training"),
    "zero": Says("what replicas split: 0 nothing, 1 optimizer states, 2 gradients too, 3 weights too"),
    "replicate": Says("groups of replicas that each hold all of it: hybrid sharding"),
    "tokens": Says("tokens of the whole training run"),
    "recompute": Says("activations that are made again"),
    "schedule": Says("schedule of the pipeline"),
    "optimizer": Says("the optimizer"),
    "ttft_target_s": Says("longest time to first token that is good enough"),
    "tpot_target_s": Says("longest time per output token that is good enough"),
    "ttft_met": Says("whether the time to first token is within its target; null where that is not known"),
    "tpot_met": Says("whether the time per output token is, likewise"),
    "targets_met": Says("whether all targets are met that there are"),
    "ttft_s": Says("time to first token"),
    "tpot_s": Says("time per output token, the mean over the decode steps"),
    "request_s": Says("time of a request, or of the one step, of training too"),
    "tokens_per_s": Says("generated tokens of all sequences, input tokens of encoders and of training", "tokens/s"),
    "device_tokens_per_s": Says("those tokens of one device", "tokens/s"),
    "requests_per_s": Says("requests, of batches one after the other or in serving", "requests/s"),
    "low": Says("low end of the band of the request's time, as a factor of it"),
    "high": Says("high end of that band, as a factor"),
    "bound_by": Says("what the request's time is most made of"),
    "share_latency": Says("share of launches, and of waiting for links"),
    "share_compute": Says("share of the matrix, vector and exponential units"),
    "share_memory": Says("share of device memory"),
    "share_link": Says("share of what is sent between devices"),
    "weights_bytes": Says("weights on a device"),
    "kv_cache_bytes": Says("KV cache on a device at the longest"),
    "state_bytes": Says("recurrent states on a device"),
    "activation_bytes": Says("activations at their peak on a device"),
    "total_bytes": Says("all that resides on the fullest device"),
    "fits": Says("whether that fits"),
    "max_batch": Says("the largest batch that would"),
    "energy_j": Says("energy of all devices for the batch; in serving for one request"),
    "power_w": Says("mean power of all devices under load", "W"),
    "usd_per_h": Says("what all devices cost under load, rent or a purchase with its energy", "USD/h"),
    "usd_per_mtoken": Says("cost of a million of those tokens at full load", "USD"),
    "time_s": Says("expected time of one step"),
    "bound_s": Says("that time at best, by the data sheet"),
    "low_s": Says("low end of its band"),
    "high_s": Says("high end of its band"),
    "flops": Says("contractions of one step, on one device of each stage", "FLOP"),
    "bytes": Says("compulsory traffic of one step, likewise"),
    "mfu": Says("model FLOPs utilisation"),
    "hfu": Says("hardware FLOPs utilisation: with what is made again"),
    "stages_s": Says("all microbatches on the slowest stage"),
    "sends_s": Says("handing on from stage to stage"),
    "bubble_s": Says("the pipeline's bubble"),
    "exchanges_s": Says("communication of data parallelism that computation does not hide"),
    "update_s": Says("the optimizer's update"),
    "microbatches": Says("microbatches of a step of a replica"),
    "gradients_bytes": Says("gradients on a device"),
    "optimizer_bytes": Says("optimizer states and master copies on a device"),
    "saved_bytes": Says("activations that are saved on a device, of all microbatches in flight"),
    "working_bytes": Says("what a backward pass works on, on a device"),
    "gathered_bytes": Says("weights that rest split, of the layers at work, on a device"),
    "days": Says("how long the whole run takes", "days"),
    "usd": Says("what the whole run costs"),
    "mbu": Says("memory bandwidth utilisation"),
}  # fmt: skip


def _declared() -> dict[str, Any]:
    """Each column with its type and meaning; of a phase, under its name."""
    found: dict[str, Any] = {}
    for name in (*WORDS, *TRAINED_WORDS, *PRICED, *NUMBERS, *TRAINED_NUMBERS, *TARGETS, *COLUMNS, *MET):
        phase, _, own = name.partition("_")
        says = _SAYS[name] if name in _SAYS else Says(f"{phase}: {_SAYS[own].meaning}", _SAYS[own].unit)
        unit = unit_in_name(name)
        says = says if unit is None else Says(says.meaning, unit.sign)
        kind: Any = int if name in WHOLE else bool if name in TRUTHS else float
        if name in TEXTS:
            kind = str
        found[name] = Annotated[kind | None, says]
    return found


RowAnswer: Any = TypedDict("RowAnswer", _declared(), total=False)  # type: ignore[misc]
RowAnswer.__doc__ = "A point: what was asked for there, and the columns that the answer is about; null is not known."


class RowsAnswer(Answer):
    """Rows, one of each point."""

    asked: Annotated[str, Says("what the rows are, in words")]
    rows: Annotated[list[RowAnswer], Says("a row of each point")]
    notes: Annotated[list[str], Says("what the reader should know")]


def rows_answer(asked: str, rows: Iterable[Mapping[str, Any]], notes: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON of rows."""
    return {**versions(), "asked": asked, "rows": [dict(row) for row in rows], "notes": [*notes]}
