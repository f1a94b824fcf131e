"""The mixes of llama.cpp: sizes as files are published, one type for each tensor, and what they are refused for."""

from __future__ import annotations

import pytest

from roofline.compression.mixes import MIXES
from roofline.compression.quantization import quantized
from roofline.compression.recipes import read_recipe
from roofline.cost.residency import weights_bytes
from roofline.errors import UsageError, WorkloadError
from roofline.models.model import load_model
from roofline.number import exact
from roofline.operators.predict_op import predict_op
from roofline.prediction.predict import predict
from roofline.program.workload import BLOCKS

PUBLISHED = {
    **{("qwen3-4b", mix): size for mix, size in {
        "q8_0": 4.28, "q6_k_l": 3.40, "q6_k": 3.31, "q5_k_l": 2.98, "q5_k_m": 2.89, "q5_k_s": 2.82, "q4_1": 2.60,
        "q4_k_l": 2.59, "q4_k_m": 2.50, "q4_k_s": 2.38, "q4_0": 2.38,
    }.items()},
    ("qwen3-32b", "q8_0"): 34.82,
    ("llama-3.1-70b", "q4_k_m"): 42.52,
    ("gemma-4-e2b", "q8_0"): 4.97, ("gemma-4-e2b", "q5_k_m"): 3.63,
    ("gemma-4-e2b", "q4_k_m"): 3.43, ("gemma-4-e2b", "q2_k"): 2.99,
}  # fmt: skip
"""Gigabytes of files with their tokenizers. Sources: the cards of bartowski/Qwen_Qwen3-4B-GGUF and -32B-GGUF (llama.cpp
b5200), of Meta-Llama-3.1-70B-Instruct-GGUF; of dahus/gemma-4-e2b-it-Q3_K_S-GGUF, which lists its series."""


def bytes_in(name: str, mix: str) -> float:
    model = load_model(name)
    recipe = read_recipe(mix, default="bf16", checkpoint=model.stored(mix))
    stored = quantized(model.program(), recipe)
    sizes = {letter: exact(size) for letter, size in stored.sizes.items()}
    return float(weights_bytes(stored, sizes, recipe.precision))


@pytest.mark.parametrize(("name", "mix"), PUBLISHED)
def test_sizes_are_those_of_published_files(name: str, mix: str) -> None:
    assert bytes_in(name, mix) / 1e9 == pytest.approx(PUBLISHED[name, mix], rel=0.01)


@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v2-lite", "gpt2", "mamba-2.8b", "gemma-2-9b"])
def test_more_bits_weigh_more_in_every_kind_of_network(name: str) -> None:
    order = ["q2_k", "q3_k_m", "q4_k_s", "q4_k_m", "q5_k_m", "q6_k", "q8_0"]
    sizes = [bytes_in(name, mix) for mix in order]
    assert sizes == sorted(sizes)
    assert sizes[-1] < 2 * load_model(name).parameters


def test_tables_of_each_layer_are_quantized_as_the_tied_head_is() -> None:
    model = load_model("gemma-4-e2b")
    program = quantized(model.program(), read_recipe("q4_k_m", default="bf16", checkpoint=model.stored("q4_k_m")))
    kinds = {tensor.name: tensor.dtype for _, _, tensor in program.weights()}
    assert (kinds["per_layer_table"], kinds["token_table"], kinds["w_per_layer_projection"]) == ("q6_k", "q6_k", "fp16")


@pytest.mark.parametrize("name", ["qwen2.5-vl-7b", "voxtral-mini-3b"])
def test_a_tower_is_in_a_file_of_its_own_in_16_bits(name: str) -> None:
    model = load_model(name)
    text = model.of_text_alone()
    towers = model.parameters - text.parameters
    assert towers > 0
    alone, whole = (predict(each, "h100", dtype="q4_k_m", prompt=64, generate=4) for each in (text, model))
    assert whole.memory.footprint.weights_bytes - alone.memory.footprint.weights_bytes == 2 * towers
    assert whole.tpot_s == alone.tpot_s
    assert "towers in 16 bits, from a file of their own" in " ".join(whole.notes)


def test_every_mix_names_types_that_are_known() -> None:
    kinds = {"base", "grouped", "head", "table"}
    for mix in MIXES.values():
        named = {getattr(mix, kind) for kind in kinds} | set(mix.of_eight.values())
        named |= {name for rules in mix.parts.values() for _, name in rules}
        assert named <= {*BLOCKS, ""}


def test_a_mix_reads_fewer_bytes_and_widens_them() -> None:
    few = {"batch": 1, "prompt": 64, "generate": 4}
    wide, narrow = (predict("llama-3.1-8b", "rtx-4090", dtype=dtype, **few) for dtype in ("bf16", "q4_k_m"))  # type: ignore[arg-type]
    assert narrow.tpot_s < 0.5 * wide.tpot_s
    bytes_read = [{op.name: op.figures.bytes for _, _, op in each.costliest(60)} for each in (narrow, wide)]
    assert bytes_read[0]["lm_head"] < bytes_read[1]["lm_head"] / 2


def test_a_mix_is_refused_where_no_file_of_it_is() -> None:
    with pytest.raises(UsageError, match="for one matrix: q4_k:16"):
        predict_op("experts", "h100", dtype="q4_k_m", tokens=16, experts=8, topk=2, hidden=4096, width=1024)
    with pytest.raises(WorkloadError, match="an encoder with a decoder"):
        predict("t5-small", "h100", dtype="q4_k_m")
    with pytest.raises(WorkloadError, match="which tensors of an encoder have which type is not known"):
        predict("bert-base", "h100", dtype="q8_0")
    with pytest.raises(UsageError, match="did you mean q4_k_s or q4_k_m"):
        predict("gpt2", "h100", dtype="q4_k")
