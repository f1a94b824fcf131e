"""Engines: found by name, alias and path, edited field by field, checked against themselves, with sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roofline.engines.engine import Engine
from roofline.engines.kernel_devices import KERNEL_DEVICES, runs_on
from roofline.engines.library import engine_names, load_engine, read_engine_fields
from roofline.engines.template import comments, new_engine, review_engine
from roofline.errors import RooflineError, SpecError, UsageError
from roofline.hardware.library import device_files
from roofline.hardware.loading import load_hardware


@pytest.mark.parametrize("name", engine_names())
def test_every_engine_is_its_file_and_names_its_sources(name: str) -> None:
    engine = load_engine(name)
    assert engine.name == name
    assert engine.date[:2] == "20"
    assert engine.words == f"{engine.title} {engine.version} ({engine.date[:7]})"
    assert {engine.source_of(field).ref for field in engine.model_fields_set} <= {
        s.ref for s in engine.sources.values()
    }
    assert all(source.ref.startswith("https://") for source in engine.sources.values())
    assert 0 <= engine.host_step < 1e-2
    assert 0 <= engine.host_request < 1e-3


@pytest.mark.parametrize("name", engine_names())
def test_engines_run_kernels_that_their_devices_have(name: str) -> None:
    engine = load_engine(name)
    for device in map(load_hardware, device_files()):
        if runs_on(engine.devices, device.words):
            words = device.words
            whose = {engine.attention_on(words), engine.matmul_on(words), *engine.experts_on(words).values()}
            lacking = [each for each in whose if not runs_on(KERNEL_DEVICES.get(each, ()), words)]
            assert not lacking, (device.name, lacking)


def test_names_aliases_and_paths(tmp_path: Path) -> None:
    assert load_engine("VLLM") == load_engine("vllm")
    assert load_engine("trtllm").name == "tensorrt-llm"
    fields, _ = read_engine_fields("sglang")
    own = tmp_path / "mine.yaml"
    own.write_text(new_engine("mine", "sglang"))
    assert review_engine(own) == []
    mine = load_engine(own)
    assert (mine.name, mine.captured) == ("mine", load_engine("sglang").captured)
    assert fields["captured"][-1] == "272..512/16"
    assert load_engine(mine) is mine


def test_ranges_of_captured_batches_are_written_out() -> None:
    """vLLM 0.18 captures 1, 2, 4, then every 8th up to 248, then every 16th from 256 to 512."""
    assert load_engine("vllm").captured == [1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)]


def test_sglang_captures_graphs_by_memory() -> None:
    """server_args.py of SGLang 0.5.9: cuda_graph_max_bs of one device, of four from 60 GiB on."""
    most = {"t4": 8, "rtx-5090": 24, "l40s": 32, "h100": 512, "b200": 512}
    devices = {name: load_hardware(name) for name in most}
    engines = {name: load_engine("sglang").on(device.words, device.capacity) for name, device in devices.items()}
    assert {name: engine.captured[-1] for name, engine in engines.items()} == most


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        ({"chunks": 1}, "vllm.yaml: chunks: unknown field; did you mean chunk?"),
        ({"chunk": -1}, "chunk.default: given -1, expected at least 0"),
        ({"chunk": 1.5}, "vllm.yaml: chunk: given 1.5, expected whole tokens such as 8192"),
        ({"chunk": {"70 GB/s": 1}}, "expected a size such as"),
        ({"captured": [2, 1]}, "captured: expected each batch once, in ascending order"),
        ({"captured": ["8..4/2"]}, "expected FIRST..LAST/STEP such as 8..256/8"),
        ({"attention.hopper": "fa9"}, 'attention.hopper: given "fa9"; did you mean fa4 or fa3 or fa2?'),
        ({"attention.hopper.old": "fa2"}, "holds no fields to edit"),
        ({"merges": {"one": ["up", "up"]}}, "merges.one: an operator stands twice among up, up"),
        ({"source": "mine"}, "source.default: mine is not among sources"),
        ({"source": {"default": "wheel", "chunks": "wheel"}}, "source.chunks: no such field"),
        ({"graphs": {}}, "captured: without graphs nothing is captured"),
        ({"host_step": "3"}, "has no unit, expected a time"),
        ({"memory_share": 1.5}, "memory_share: given 1.5, expected at most 1"),
    ],
)
def test_what_an_engine_refuses(edits: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_engine("vllm", edits)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_unknown_names_and_edits_of_what_is_loaded() -> None:
    with pytest.raises(SpecError, match="unknown engine 'vlm'; did you mean vllm"):
        load_engine("vlm")
    with pytest.raises(UsageError, match=r"set engine.chunk: the engine is loaded already"):
        load_engine(load_engine("vllm"), {"chunk": 1})
    with pytest.raises(RooflineError, match="expected lower-case letters"):
        new_engine("My Engine", "vllm")


def test_every_field_says_what_it_holds() -> None:
    assert set(Engine.stated) - set(comments()) == set()


def test_edits_reach_tables_and_single_entries() -> None:
    words = {"nvidia", "hopper", "sm_90"}
    assert load_engine("vllm").attention_on(words) == "fa3"
    assert load_engine("vllm", {"attention.hopper": "fa2"}).attention_on(words) == "fa2"
    assert load_engine("vllm", {"attention": "materialised"}).attention_on(words) == "materialised"
    assert load_engine("vllm").attention_on({"nvidia", "ampere", "sm_80"}) == "fa2"
    assert load_engine("vllm").is_mature_on(words)
    assert not load_engine("vllm").is_mature_on({"amd", "gfx942"})
    assert load_engine("transformers").is_mature_on({"amd"})


def test_padding_is_the_next_captured_batch_and_only_in_steps_that_are_replayed() -> None:
    vllm = load_engine("vllm")
    batches = np.array([1.0, 3.0, 8.0, 9.0, 255.0, 512.0, 513.0])
    assert vllm.padded("decode", batches).tolist() == [1.0, 4.0, 8.0, 16.0, 256.0, 512.0, 513.0]  # type: ignore[attr-defined]
    assert vllm.replays("decode", batches).tolist() == [1.0] * 6 + [0.0]  # type: ignore[attr-defined]
    assert load_engine("sglang").padded("prefill", 3) == 3
    assert load_engine("sglang").replays("prefill", 3) == 0
    assert load_engine("torch-compile").padded("decode", 3) == 3
    assert load_engine("torch-compile").replays("encode", 10**6) == 1
    assert load_engine("transformers").replays("decode", 1) == 0


def test_kernels_of_experts_go_by_device_and_dtype() -> None:
    blackwell, hopper = (load_engine("tensorrt-llm").experts_on({word}) for word in ("sm_100", "hopper"))
    assert (blackwell["fp4"], blackwell["default"]) == ("trtllm-gen", "trtllm")
    assert (hopper["bf16_w4"], hopper["default"]) == ("triton", "trtllm")
    assert load_engine("vllm").with_kernels("deepgemm").experts_on({"hopper"}) == {"default": "deepgemm"}
    assert load_engine("vllm").with_kernels("deepgemm").attention_on({"hopper"}) == "fa3"


@pytest.mark.parametrize(
    ("engine", "memory", "tokens"),
    [("sglang", 24e9, 2048), ("sglang", 48e9, 4096), ("sglang", 80 * 2**30, 8192), ("sglang", 180 * 2**30, 16384),
     ("vllm", 48e9, 2048), ("vllm", 96e9, 8192), ("vllm", None, 8192), ("tensorrt-llm", 24e9, 8192)],
)  # fmt: skip
def test_the_chunk_goes_by_the_memory_of_a_device(engine: str, memory: float | None, tokens: int) -> None:
    """Defaults of SGLang 0.5.9 (server_args.py) and of vLLM 0.18 (arg_utils.py), whose A100 takes the smaller one."""
    assert load_engine(engine).on({"sm_90"}, memory).pass_tokens == tokens
    assert load_engine("vllm").on({"sm_80"}, 80 * 2**30).pass_tokens == 2048


def test_prompts_by_themselves_are_read_in_pieces() -> None:
    assert (load_engine("sglang").mixed_tokens, load_engine("sglang").pass_tokens) == (None, 16384)
    assert load_engine("vllm", {"chunk": 4096}).mixed_tokens == 4096


def test_sglang_leaves_what_its_own_rule_says() -> None:
    engine = load_engine("sglang")
    shares = {
        name: engine.on({name}, memory * 2**20).memory_share for name, memory in (("h100", 81_559), ("b200", 183_359))
    }
    # 512 + 128 for a device, 1.5 a token of the chunk, 2 a sequence of the largest graph, all in MiB
    assert shares == {
        "h100": round(1 - (640 + 1.5 * 8192 + 2 * 256) / 81_559, 3),
        "b200": round(1 - (640 + 1.5 * 16_384 + 2 * 512) / 183_359, 3),
    }
    short = engine.model_copy(update={"chunk": {"default": 1024}}).on({"h100"}, 81_559 * 2**20)
    assert short.memory_share == round(1 - 10_240 / 81_559, 3)  # no less than 10 GiB of so large a memory
    stated = engine.model_copy(update={"memory_share": 0.7}).on({"h100"}, 81_559 * 2**20)
    assert stated.memory_share == 0.7
