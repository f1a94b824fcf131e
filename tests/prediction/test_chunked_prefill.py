"""Prompts read in chunks: as much attention as whole, weights once a pass, activations of one; as compare has it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from grids import quick

import roofline
from roofline.buying.api import compare
from roofline.models.sources import preset_names
from roofline.prediction.layouts.search import search_layouts
from roofline.prediction.overflow import resident_bytes
from roofline.prediction.predict import Prediction, predict
from roofline.program.phases import Phase
from roofline.reports.prediction import text

WHOLE = {"engine.chunk": 0}
WINDOWED = ["gemma-3-4b", "gpt-oss-20b", "llama-4-scout", "mistral-7b"]


def prefill(name: str, batch: int, prompt: int, chunk: int) -> Prediction:
    """A prefill whose prompts are read in chunks, or whole where ``chunk`` is 0."""
    asked: dict[str, Any] = {"batch": batch, "prompt": prompt, "generate": 2, "phase": "prefill"}
    return predict(name, "h100", **asked, set={"engine.chunk": chunk})


def flops_of(prediction: Prediction) -> dict[str, float]:
    """FLOPs of a prefill, by operator."""
    return {op.name: op.figures.flops for op in prediction.phases[Phase.PREFILL].operators}


def check_pieces(chunked: Prediction, name: str, batch: int, prompt: int, pieces: int) -> None:
    """The FLOPs of equal pieces are those of whole prompts, but for three operators.

    The head runs on the last token of each piece. The latents of the tokens before a piece are expanded again for it.
    The blocks of a scan begin anew in each piece, which costs what the scan of so short a prompt does.
    """
    whole, short = (
        flops_of(prefill(name, *lengths, 0)) for lengths in ((batch, prompt), (batch * pieces, prompt // pieces))
    )
    expected = {
        op: short[op] if op.endswith(("lm_head", "scan")) else flops * ((pieces + 1) / 2 if op.endswith("kv_up") else 1)
        for op, flops in whole.items()
    }
    assert flops_of(chunked) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mamba2-130m", "recurrentgemma-2b", *WINDOWED])
@pytest.mark.parametrize(("batch", "prompt"), [(1, 4096), (3, 1500), (5, 512)])
def test_chunks_do_the_work_of_whole_prompts(name: str, batch: int, prompt: int) -> None:
    """A piece attends to all tokens before it, and no piece does what another has done."""
    chunked, whole = prefill(name, batch, prompt, 1024), prefill(name, batch, prompt, 0)
    passes = -(-batch * prompt // 1024)
    assert chunked.phases[Phase.PREFILL].chunks == passes
    check_pieces(chunked, name, batch, prompt, pieces=-(-prompt // 1024))
    weights = whole.memory.footprint.weights_bytes
    more = chunked.phases[Phase.PREFILL].total_bytes - whole.phases[Phase.PREFILL].total_bytes
    assert more > 0.5 * (passes - 1) * weights / max(1, 20 * (name == "llama-4-scout"))  # experts that are touched
    assert chunked.ttft_s is not None
    assert whole.ttft_s is not None
    assert chunked.ttft_s > 0.97 * whole.ttft_s


def test_one_prompt_in_two_chunks_by_hand() -> None:
    """4,096 tokens in pieces of 2,048: attention of the second reads the keys and values of all, 1,024 B a token."""
    two = predict("llama-3.1-8b", "h100", prompt=4096, phase="prefill", set={"engine.chunk": 2048})
    operators = {op.name: op for op in two.phases[Phase.PREFILL].operators}
    attention = operators["attention"]
    assert attention.count == 2 * 32
    pairs = 4096 * 4097 // 2
    assert attention.figures.flops == 32 * 32 * 128 * 4 * pairs
    queries = 2 * 4096 * 32 * 128 * 2  # read, and as much written
    assert attention.figures.bytes == 32 * (queries + (2048 + 4096) * 2 * 8 * 128 * 2)
    hidden, inner = 4096 * 4096, 4096 * 2 * 14336  # tokens x width in, and out of gate and up
    assert operators["gate_up"].figures.bytes == 32 * (2 * 4096 * 2 * 14336 + hidden + inner) * 2


@pytest.mark.parametrize("name", ["mamba-130m", "lfm2-1.2b"])
def test_a_piece_reads_the_states_that_the_one_before_it_left(name: str) -> None:
    prompt, batch = 4096, 2
    costs = predict(name, "h100", batch=batch, prompt=prompt, phase="prefill", set={"engine.chunk": 2048}).steps
    sizes = costs.sizes(Phase.PREFILL)
    first, second = (
        sum(float(cost.count) * float(cost.bytes) for cost in costs.costs_at(Phase.PREFILL, {**sizes, "S": size}))
        for size in (2048.0, 2048.0 + 1e-9)
    )
    held = predict(name, "h100", batch=batch, prompt=prompt, generate=2).memory.footprint.state_bytes
    assert second - first == pytest.approx(held * 2, rel=0.02)  # four passes, of one sequence each


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gpt-oss-20b", "mamba2-130m", "gemma-2-2b"])
@pytest.mark.parametrize(
    ("batch", "prompt", "chunk", "reserve"),
    [(1, 700, 256, 0.7), (3, 100, 1000, 0.8), (16, 5, 64, 0.7), (64, 1000, 8192, 0.5), (7, 1, 8192, 0.9)],
)
def test_limits_under_chunks_are_the_last_that_fit(
    name: str, batch: int, prompt: int, chunk: int, reserve: float
) -> None:
    edits = {"engine.chunk": chunk}
    found = predict(name, "h100", batch=batch, prompt=prompt, generate=2, reserve=reserve, set=edits)

    def fits(**lengths: int) -> bool:
        asked = replace(found.request, workload=replace(found.workload, **lengths))
        return resident_bytes(asked, found.layout, asked.program) <= (asked.room_bytes or 0)

    most, longest = found.memory.max_batch or 0, found.memory.max_context or 0
    assert not fits(batch=most + 1)
    assert most == 0 or fits(batch=most)
    assert longest == 0 or fits(prompt=longest - 1)
    assert longest >= min(found.model.lengths.positions, 10**7) or not fits(prompt=max(1, longest))


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gpt-oss-20b", "qwen3-30b-a3b", "deepseek-v2-lite"])
@pytest.mark.parametrize(("prompt", "hardware"), [(500, "h100"), (6000, "h200"), (20000, "h100")])
def test_predict_and_compare_agree_on_the_largest_batch_and_the_first_token(
    name: str, prompt: int, hardware: str
) -> None:
    """With one decode step all sequences are as long. A sequence alone waits for nobody in compare either; there the
    pieces of a prompt are of one mean length.
    """
    asked: dict[str, Any] = {"prompt": prompt, "generate": 2}
    most = predict(name, hardware, **asked).memory.max_batch
    assert most
    assert min(4096, most) == compare(name, hardware, **asked).rows[0].curve.most
    asked["generate"] = 1000
    alone, curve = predict(name, hardware, **asked), compare(name, hardware, **asked).rows[0].curve
    tolerance = 1e-9 if prompt <= 8192 else 1e-3
    assert float(curve.of("ttft_s")[0]) == pytest.approx(alone.ttft_s, rel=tolerance)


@pytest.mark.parametrize(("name", "batch", "prompt"), [("llama-3.1-8b", 16, 6000), ("qwen3-30b-a3b", 8, 20000)])
def test_the_search_of_layouts_sees_the_same_chunks(name: str, batch: int, prompt: int) -> None:
    asked: dict[str, Any] = {"batch": batch, "prompt": prompt, "generate": 2}
    table = search_layouts(name, "4xh100", **asked)
    for row in range(len(table)):
        layout = table.layout(row)
        one = predict(name, "4xh100", **asked, **layout.to_dict())
        assert table.ttft_s[row] == pytest.approx(one.ttft_s, rel=1e-9), layout
        assert bool(table.fits[row]) is one.memory.fits, layout


def test_a_pipeline_takes_chunks_as_microbatches() -> None:
    asked: dict[str, Any] = {"batch": 2, "prompt": 32768, "generate": 2, "pp": 4}
    chunked, whole = (predict("llama-3.1-8b", "4xh100", **asked, set=edits) for edits in ({}, WHOLE))
    assert [each.phases[Phase.PREFILL].microbatches for each in (chunked, whole)] == [8, 2]
    assert chunked.ttft_s is not None
    assert whole.ttft_s is not None
    assert chunked.ttft_s < 0.8 * whole.ttft_s  # stages that would wait for a whole prompt


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gpt-oss-20b", "mamba2-130m"])
def test_a_recording_holds_chunks(name: str) -> None:
    asked: dict[str, Any] = {"batch": 3, "prompt": 20000, "generate": 3}
    tape = roofline.record(name, "h100", **asked)
    for batch, prompt in ((3, 20000), (1, 17000), (40, 24000)):
        found = tape.at(batch=batch, prompt=prompt, generate=3)
        one = predict(name, "h100", batch=batch, prompt=prompt, generate=3)
        figures = one.phases[Phase.PREFILL].figures
        assert found["prefill.time_s"] == pytest.approx(figures.time_s, rel=1e-9)
        assert found["prefill.bytes"] == pytest.approx(figures.bytes, rel=1e-9)
        assert found["total_bytes"] == pytest.approx(one.memory.total_bytes, rel=1e-9)
        if name == "llama-3.1-8b":
            assert found["max_batch"] == pytest.approx(one.memory.max_batch or 0, abs=1)


def test_who_reads_prompts_whole() -> None:
    """Encoders, engines without a scheduler, and who asks for it."""
    asked: list[tuple[str, dict[str, Any]]] = [
        ("bert-base", {"batch": 64}),
        ("whisper-tiny", {"batch": 64}),
        ("llama-3.1-8b", {"batch": 64, "engine": "transformers"}),
        ("llama-3.1-8b", {"batch": 64, "set": WHOLE}),
    ]
    for name, options in asked:
        found = predict(name, "h100", **options)
        assert found.to_dict()["inputs"]["chunk"] is None
        assert all("chunks" not in phase for phase in found.to_dict()["phases"].values())
        assert "chunked" not in text(found)


def test_activations_are_those_of_a_chunk() -> None:
    """A thousand prompts of 2,000 tokens: gate and up of 8,192 tokens and what they go with, not of two million."""
    chunked, whole = (
        predict("llama-3.1-8b", "h100", batch=1024, prompt=2000, set=edits).memory.footprint.activation_bytes
        for edits in ({}, WHOLE)
    )
    assert chunked == 8192 * (2 * 14336 + 4096 + 14336) * 2
    assert whole > 60e9


def test_chunks_are_said() -> None:
    found = predict("llama-3.1-8b", "h100", batch=16, prompt=4096)
    assert found.to_dict()["inputs"]["chunk"] == 8192
    assert found.to_dict()["phases"]["prefill"]["chunks"] == 8
    assert "generate 256, chunked prefill of 8192 tokens, " in text(found)
    assert "in 8 chunks" in text(found)
    assert "chunk" not in text(predict("llama-3.1-8b", "h100", prompt=8192))


@pytest.mark.parametrize("name", quick(["nemotron-h-8b", "qwen3.5-9b", "deepseek-v2-lite"], preset_names()))
def test_every_decoder_reads_long_prompts_in_chunks(name: str) -> None:
    """A scan in pieces of whole blocks does what one pass does; a cut within a block spares the pairs across it."""
    model = roofline.load_model(name)
    if model.phases != (Phase.PREFILL, Phase.DECODE):
        return
    for chunk in (100, 256):  # tokens that cut blocks of scans, and whole ones
        pieces = min(9, (model.lengths.positions - 2) // chunk)
        chunked = prefill(name, 1, pieces * chunk, chunk)
        check_pieces(chunked, name, 1, pieces * chunk, pieces)
    scans = {op: flops for op, flops in flops_of(chunked).items() if op.endswith("scan")}
    whole = flops_of(prefill(name, 1, pieces * chunk, 0))
    assert scans == pytest.approx({op: whole[op] for op in scans}, rel=1e-9)
