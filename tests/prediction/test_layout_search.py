"""Several devices in `predict`: layouts, stages, memory, links; and all layouts at once."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from grids import quick

import roofline
from roofline.errors import SpecError, UsageError, WorkloadError
from roofline.models.sources import preset_names
from roofline.parallelism.dimensions import DEGREES
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import layers_of, microbatches
from roofline.prediction.layouts.search import search_layouts
from roofline.prediction.sensitivity import gains
from roofline.program.phases import Phase
from roofline.reports.export import operator_rows
from roofline.reports.prediction import text

SHORT: dict[str, Any] = {"prompt": 512, "generate": 8}
CONTENDERS = [
    ("llama-3.1-8b", "2xl40s", 64, 200),  # fits at small batches alone
    ("olmoe-1b-7b", "4xh100", 1000, 20),
]


@pytest.mark.parametrize(
    ("model", "hardware", "batches"),
    [("llama-3.1-8b", "16xh100", [16, 12]), ("mixtral-8x7b", "6xh100", [12]), ("deepseek-v2-lite", "8xmi300x", [8]),
     ("gpt-j-6b", "4xa100", [4])],
)  # fmt: skip
def test_all_at_once_is_each_by_itself(model: str, hardware: str, batches: list[int]) -> None:
    table = search_layouts(model, hardware, batch=batches, **SHORT)
    assert len({(table.layout(row), int(table.batch[row])) for row in range(len(table))}) == len(table)
    for row in table.order()[:: max(1, len(table) // 4)]:
        layout = table.layout(row)
        one = roofline.predict(model, hardware, batch=int(table.batch[row]), **layout.to_dict(), **SHORT)
        assert table.request_s[row] == pytest.approx(one.request_s, rel=1e-9)
        assert table.tokens_per_s[row] == pytest.approx(one.tokens_per_s, rel=1e-9)
        assert (table.ttft_s[row], table.tpot_s[row]) == pytest.approx((one.ttft_s, one.tpot_s))
        high = sum(phase.steps * phase.figures.high_s for phase in one.phases.values())
        assert table.high[row] == pytest.approx(high / one.request_s)
        exact = table.memory_bytes[row] / one.memory.footprint.total_bytes
        assert exact == pytest.approx(1, rel=0.02 if layout.pp > 1 else 1e-8)  # activations alive are not per stage
        assert one.count == int(layout.devices)


@pytest.mark.parametrize(
    ("model", "degrees"),
    [("albert-base-v2", {"pp": 4, "cp": 2}),  # each stage has the weights that all layers share
     ("granite-3.1-1b-a400m", {"tp": 4, "ep": 4, "cp": 2, "sp": 4})],  # experts of split sequences gather nothing
)  # fmt: skip
def test_memory_is_that_of_predict(model: str, degrees: dict[str, int]) -> None:
    table = search_layouts(model, "8xh100", prompt=512)
    row = [table.layout(row) for row in range(len(table))].index(Layout.of(**degrees))
    one = roofline.predict(model, "8xh100", prompt=512, **degrees)
    assert table.memory_bytes[row] == pytest.approx(one.memory.footprint.total_bytes, rel=1e-8)


EVERYWHERE = [(*each, *lengths) for each in product(preset_names(), ("8xh100",)) for lengths in ((64, 512), (3000, 20))]


@pytest.mark.parametrize(("model", "hardware", "prompt", "generate"), quick(CONTENDERS, [*CONTENDERS, *EVERYWHERE]))
def test_the_best_of_each_batch_is_among_the_contenders(model: str, hardware: str, prompt: int, generate: int) -> None:
    try:
        table = search_layouts(model, hardware, batch=(1, 6, 32, 200), prompt=prompt, generate=generate)
    except (UsageError, WorkloadError):  # the model is too short, or generates nothing
        return
    few = table.contenders()
    assert len(few) < len(table)
    for batch in set(table.batch.tolist()):
        assert few.layout(few.best(batch)) == table.layout(table.best(batch))


def test_the_best_layout_is_chosen_and_the_next_one_told() -> None:
    prediction = roofline.predict("llama-3.1-70b", "8xh100", batch=16, **SHORT)
    table = search_layouts("llama-3.1-70b", "8xh100", batch=16, **SHORT)
    fitting = table.request_s[table.fits]
    assert prediction.request_s == pytest.approx(fitting.min())
    assert prediction.chosen is not None
    assert prediction.chosen.runner_up is not None
    assert prediction.chosen.ratio == pytest.approx(sorted(fitting)[1] / fitting.min())
    assert (prediction.chosen.tried, prediction.chosen.fitting) == (len(table), int(table.fits.sum()))
    report = text(prediction)
    assert "on 8 x NVIDIA H100 SXM 80GB" in report
    assert f"layout: {prediction.layout}, the best of {len(table)}" in report
    assert "links: scale-up 450 GB/s per direction among 8" in report


def test_what_devices_hold_alike_is_said() -> None:
    report = text(roofline.predict("llama-3.1-8b", "h100", tp=16, **SHORT))
    again = 15 * 65 * 4096 + 2 * 32 * 4096 * 1024  # 65 norms; each key/value head is on two devices
    assert (
        f"replicated on several devices: w_k x 2, w_v x 2, ffn_norm_gain x 16 and 2 more; {again:,} elements" in report
    )
    assert "replicated on several devices" not in text(roofline.predict("llama-3.1-8b", "h100", **SHORT))


def test_the_json_of_several_devices() -> None:
    fields = roofline.predict("llama-3.1-8b", "hgx-h100", batch=8, tp=8, **SHORT).to_dict()
    assert fields["hardware"]["count"] == 8
    assert fields["hardware"]["name"] == "h100-sxm-80gb"
    assert fields["system"] == "hgx-h100"
    assert fields["layout"] == {**dict.fromkeys(DEGREES, 1), "tp": 8}
    norms = {"ffn_norm_gain": 32, "output_norm_gain": 32, "input_norm_gain": 1}
    assert fields["replicated_parameters"] == {name: 7 * count * 4096 for name, count in norms.items()}
    decode = fields["phases"][Phase.DECODE]
    assert decode["link_bytes"] > 0
    assert sum(decode["shares"].values()) == pytest.approx(1)
    assert 0 < decode["shares"]["link"] < 1
    for name in ("time_s", "bound_s", "low_s", "high_s", "flops", "bytes", "link_bytes"):
        assert sum(op[name] for op in decode["operators"]) == pytest.approx(decode[name]), name
    reduce = next(op for op in decode["operators"] if op["name"] == "down.all_reduce")
    assert (reduce["kind"], reduce["count"], reduce["form"]) == ("collective", 32, "one-shot")


def test_a_layout_implies_its_devices() -> None:
    prediction = roofline.predict("llama-3.1-8b", "h100", batch=8, tp=2, dp=2, **SHORT)
    assert prediction.count == 4
    assert prediction.chosen is None
    alone = roofline.predict("llama-3.1-8b", "h100", batch=4, tp=2, **SHORT)
    assert prediction.request_s == pytest.approx(alone.request_s)  # replicas do not talk
    assert prediction.tokens_per_s == pytest.approx(2 * alone.tokens_per_s)


def test_degrees_that_are_given_stay() -> None:
    prediction = roofline.predict("llama-3.1-8b", "8xh100", batch=8, tp=2, **SHORT)
    assert prediction.layout.tp == 2
    assert prediction.count == 8


def test_a_pipeline() -> None:
    prediction = roofline.predict("llama-3.1-8b", "h100", batch=16, pp=4, **SHORT)
    decode, prefill = (prediction.phases[name] for name in (Phase.DECODE, Phase.PREFILL))
    assert (decode.microbatches, prefill.microbatches) == (4, 16)
    first, inner, last = decode.stages
    assert decode.figures.time_s >= 4 * max(decode.stages) * (1 - 1e-9)
    assert last > inner  # the head
    one = roofline.predict("llama-3.1-8b", "h100", batch=4, **SHORT)
    path = first + 2 * inner + last
    assert path == pytest.approx(one.phases["decode"].figures.time_s, rel=0.01)  # of a microbatch, as on one device
    for phase in (decode, prefill):
        for name in ("time_s", "flops", "bytes"):
            total = sum(getattr(op.figures, name) for op in phase.operators)
            assert total == pytest.approx(getattr(phase.figures, name)), name
    busy = prediction.phases["prefill"].figures.flops / (4 * prefill.figures.time_s * 989.4e12)
    assert prefill.figures.mfu == pytest.approx(busy)
    assert prediction.memory.footprint.weights_bytes < one.memory.footprint.weights_bytes / 3


def test_layers_that_do_not_divide_are_priced_by_the_fullest_stage() -> None:
    """126 layers on 4 stages: 32 and 32 in the middle, 31 with the embedding, 31 with the head."""
    assert [int(n) for n in layers_of(126, 4)] == [31, 32, 31]
    assert [int(n) for n in layers_of(5, 2)] == [3, 3, 2]
    assert [int(n) for n in layers_of(7, 4)] == [2, 2, 1]
    for layers in range(1, 40):
        for stages in range(1, layers + 1):
            first, inner, last = (int(n) for n in layers_of(layers, stages))
            rest = layers - first - (last if stages > 1 else 0)
            assert rest == 0 if stages < 3 else (stages - 2) * (inner - 1) < rest <= (stages - 2) * inner


def test_microbatches_divide_the_batch() -> None:
    for batch in range(1, 50):
        for stages in (1, 2, 3, 8):
            for phase, most in ((Phase.DECODE, stages), (Phase.PREFILL, 4 * stages)):
                parts = int(microbatches(batch, stages, phase))  # type: ignore[arg-type]
                assert batch % parts == 0
                assert parts <= most
                assert parts == 1 or stages > 1


def test_sequence_parallelism_moves_as_much_and_keeps_less() -> None:
    plain, split = (roofline.predict("llama-3.1-8b", "h100", batch=4, tp=4, sp=sp, **SHORT) for sp in (1, 4))
    assert split.memory.footprint.activation_bytes < plain.memory.footprint.activation_bytes
    per_layer = [
        sum(op.figures.link_bytes for op in p.phases["prefill"].operators if op.count > 1) for p in (plain, split)
    ]
    assert per_layer[0] == pytest.approx(per_layer[1])


def test_overlap_hides_a_part_of_the_links() -> None:
    plain, half, all_of_it = (
        roofline.predict("llama-3.1-70b", "8xh100", batch=16, tp=8, set={"engine.overlap": part}, **SHORT)
        for part in (0.0, 0.5, 1.0)
    )
    time, shares = plain.phases["prefill"].figures.time_s, plain.phases["prefill"].figures.shares
    assert half.phases["prefill"].figures.time_s < time
    assert all_of_it.phases["prefill"].figures.time_s < time * (1 - shares.link) * (1 + 1e-9)
    assert "50% of each collective's time is assumed to be overlapped" in text(half)
    with pytest.raises(SpecError, match="overlap: given 2, expected at most 1"):
        roofline.predict("gpt2", "8xh100", set={"engine.overlap": 2})


@pytest.mark.parametrize(
    "degrees", [{}, {"tp": 4}, {"dp": 8}, {"pp": 4}, {"tp": 2, "pp": 2, "dp": 2}, {"tp": 4, "sp": 4}]
)
def test_counts_mean_the_same_in_every_layout(degrees: dict[str, int]) -> None:
    """All devices together do what one would; MBU is bytes over those that time and bandwidth allow a device."""
    alone = roofline.predict("llama-3.1-8b", "h100", batch=8, **SHORT)
    spread = roofline.predict("llama-3.1-8b", "h100", batch=8, **degrees, **SHORT)
    for name, phase in spread.phases.items():
        figures, stages = phase.figures, degrees.get("pp", 1)
        assert phase.total_flops == pytest.approx(alone.phases[name].figures.flops, rel=1e-12)
        assert phase.total_flops == pytest.approx(figures.flops * spread.count / stages, rel=1e-12)
        assert phase.total_bytes == pytest.approx(figures.bytes * spread.count / stages, rel=1e-12)
        room = figures.time_s * spread.hardware.bandwidth * spread.count
        assert float(phase.total_bytes) / room == pytest.approx(figures.mbu, rel=1e-9)


def test_more_link_bandwidth_buys_what_its_share_says() -> None:
    prediction = roofline.predict("llama-3.1-70b", "8xh100", batch=16, tp=8, **SHORT)
    saved = {gain.resource.name: gain.saved for gain in gains(prediction)[Phase.PREFILL]}
    link = prediction.phases["prefill"].figures.shares.link
    assert saved["link"] == pytest.approx(link * (1 - 1 / 1.1), rel=0.05)
    alone = roofline.predict("llama-3.1-8b", "h100", **SHORT)
    assert {gain.resource.name: gain.saved for gain in gains(alone)[Phase.PREFILL]}["link"] == 0


@pytest.mark.parametrize(
    ("hardware", "degrees", "kind", "message"),
    [
        ("8xh100", {"tp": 3}, UsageError, "tp 3: 3 devices do not make up the 8 of 8xh100-sxm-80gb"),
        ("h100", {"tp": 6}, WorkloadError, "tp 6 does not divide the 32 query heads in 8 groups"),
        ("8xh100", {"tp": 8, "dp": 2}, UsageError, "16 devices do not make up the 8"),
        ("8xh100", {"dp": 8}, WorkloadError, "dp 8 does not divide the batch 1"),
        ("8xh100", {"ep": 8}, WorkloadError, "ep 8 splits experts, and there are none"),
        ("0xh100", {}, SpecError, "0 devices, expected 1 to 1,000,000"),
        ("2xhgx-h100", {}, SpecError, "is a system; a count goes with a device"),
        ("8xlaptop-cpu", {}, WorkloadError, "no link joins them"),
    ],
)
def test_what_is_refused(hardware: str, degrees: dict[str, int], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as refused:
        roofline.predict("llama-3.1-8b", hardware, **degrees, **SHORT)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_batch_too_small_for_all_devices_takes_an_equal_part_of_them() -> None:
    """Four devices divide Whisper's 1,500 frames, eight do not."""
    found = roofline.predict("whisper-tiny", "8xh100", tp=1, phase="prefill")
    alone = roofline.predict("whisper-tiny", "4xh100", tp=1, phase="prefill")
    assert (found.count, found.layout, found.request_s) == (4, alone.layout, alone.request_s)
    idle = (
        "4 of 8 devices idle: no layout of 8 devices divides whisper-tiny at batch 1; a batch of 8 can be split (dp 8)"
    )
    assert idle in text(found)
    assert found.to_dict()["idle"] == idle
    assert "idle" not in alone.to_dict()
    assert (
        roofline.predict("gpt2", "7xh100", tp=1, cp=1, pp=1, prompt=64).to_dict()["idle"].startswith("6 of 7 devices")
    )
    with pytest.raises(WorkloadError, match="at batch 1; a batch of 8 can be split"):
        roofline.predict("gpt2", "8xh100", dp=2, prompt=64)


def test_what_is_reserved_is_kept_free_by_the_layout_that_is_chosen() -> None:
    """Of 80 GB a device keeps 0.7 to itself: weights of 61 GB fit on four devices, and not twice."""
    found = roofline.predict("qwen3-30b-a3b", "4xh100", batch=8, prompt=2048, generate=64, reserve=0.7)
    assert found.chosen is not None
    assert found.memory.fits
    assert found.layout.dp == 1
    assert 0 < found.chosen.fitting < found.chosen.tried
    assert found.memory.total_bytes < found.memory.capacity_bytes


def test_where_none_fits_the_smallest_is_told() -> None:
    prediction = roofline.predict("llama-3.1-405b", "2xh100", **SHORT)
    assert prediction.memory.fits is False
    table = search_layouts("llama-3.1-405b", "2xh100", **SHORT)
    assert not table.fits.any()
    assert prediction.memory.footprint.total_bytes <= table.memory_bytes.min() * (1 + 1e-9)


def test_rows_of_a_file_have_the_form_and_the_layout() -> None:
    rows = operator_rows(roofline.predict("gpt2", "4xh100", tp=4, **SHORT))
    assert {row["layout"] for row in rows} == {"tp 4"}
    assert {row["hardware"] for row in rows} == {"4xh100-sxm-80gb"}
    assert len({tuple(row) for row in rows}) == 1
    assert any(row["form"] == "ring" for row in rows)


def test_a_calibration_of_several() -> None:
    prediction = roofline.predict("llama-2-7b", "4xa100-sxm-80gb-tensorrt-llm", tp=4, **SHORT)
    assert prediction.count == 4
    forms = {op.form for op in prediction.phases["decode"].operators if op.kind == "collective"}
    assert forms == {"one-shot", "ring"}  # small all-reduces are an engine's, gathers NCCL's
    assert np.isfinite(prediction.request_s)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [({"tp": 5}, "no layout of 8 devices has tp 5"), ({"sp": 3}, "sp 3 is neither 1 nor the tensor degree")],
)
def test_degrees_that_no_layout_has_are_refused(fixed: dict[str, int], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        search_layouts("gpt2", "8xh100", batch=8, fixed=fixed)


WINDOWED = [("mistral-7b", 8, 2048), ("gpt-oss-20b", 8, 64), ("gemma-2-2b", 2, 64)]


@pytest.mark.parametrize(
    ("model", "devices", "prompt"), quick(WINDOWED, [*WINDOWED, *product(preset_names(), (2, 8), (64, 2048))])
)
def test_every_model_is_laid_out_on_several_devices_or_refused(model: str, devices: int, prompt: int) -> None:
    """Sliding windows cap a length that is an array over the steps; the row chosen is what predict says of it."""
    try:
        table = search_layouts(model, f"{devices}xh100", prompt=prompt)
    except (UsageError, WorkloadError):  # the model is too short for the prompt, or nothing divides it
        return
    best = table.best()
    found = roofline.predict(model, f"{devices}xh100", prompt=prompt, **table.layout(best).to_dict())
    assert found.request_s == pytest.approx(float(table.request_s[best]), rel=1e-9)
    assert found.memory.fits == bool(table.fits[best])
