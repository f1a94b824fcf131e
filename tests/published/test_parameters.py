"""Parameter counts: published ones to the digit, a tutorial's module, and the modules of transformers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from grids import counts, quick
from hypothesis import HealthCheck, given, settings
from modules import check_parameters
from strategies import (
    ARCHITECTURES,
    DECODERS,
    bert_configs,
    decoder_configs,
    gpt2_configs,
    llama_configs,
    qwen3_configs,
    with_fields_left_out,
)

from roofline.models.model import load_model
from roofline.models.sources import preset_names

PUBLISHED = {
    # google-research/bert README states 110M and 340M; the digits are the sum over the released checkpoints' tensors.
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    # karpathy/nanoGPT, transformer_sizing.ipynb: 124,439,808 in the released GPT-2 checkpoint.
    "gpt2": 124_439_808,
    # Model cards on the Hugging Face hub, "model size": 6.74B, 8.03B, 70.6B, 8.19B; the digits are those of the
    # safetensors index of meta-llama/Llama-2-7b-hf, Llama-3.1-8B, Llama-3.1-70B and Qwen/Qwen3-8B.
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "qwen3-8b": 8_190_735_360,
    # mistralai/Mamba-Codestral-7B-v0.1, model card: "Number of parameters: 7,285,403,648".
    "mamba-codestral-7b": 7_285_403_648,
}

STATED = {
    # What the paper or the model card named in the preset states, in billions, with as many digits as it has there.
    "bloom-176b": "176.247",
    "bloom-7b1": "7.069",
    "command-r": "35",
    "command-r7b": "8.03",
    "devstral-2-123b": "1.2e2",
    "dots.llm1": "142",
    "ernie-4.5-0.3b": "0.36",
    "ernie-4.5-21b-a3b": "21",
    "exaone-4.0-32b": "32.0",
    "glm-4-9b-0414": "9",
    "colbertv2": "0.11",
    "gte-multilingual-base": "0.305",
    "mistral-small-3.2-24b": "24",
    "nomic-embed-text-v1.5": "0.137",
    "qwen3-embedding-8b": "7.57",
    "qwen2.5-vl-7b": "8",
    "qwen3-vl-8b": "9",
    "dbrx": "132",
    "laguna-xs.2": "33.4",
    "internvl3-8b": "7.94",
    "kimi-vl-a3b": "16.4",
    "llava-1.5-7b": "7.06",
    "llava-v1.6-mistral-7b": "7.57",
    "mimo-7b": "7",  # 7.83 with its layer of multi-token prediction
    "nemotron-3-ultra-550b-a55b": "5.5e2",
    "qwen3-vl-2b": "2.1",
    "qwen3-vl-4b": "4.4",
    "qwen3-vl-32b": "33",
    "qwen3-vl-30b-a3b": "31",
    "qwen3-vl-235b-a22b": "236",
    "qwen3.5-122b-a10b": "122",
    "step-3": "316",  # of 321, the rest its tower of images: table 1 of its report
    "kimi-k2-thinking": "1.0e3",
    "qwen2-audio-7b": "8.4",
    "qwen2.5-omni-7b": "8.9",  # 7.6 of Qwen2.5-7B, 0.675 of the vision encoder, 0.64 of Whisper's encoder
    "qwen3-omni-30b-a3b": "31",  # 30, 0.65 and 0.54: table 1 of its report
    "smolvlm2-2.2b": "2.2",
    "lfm2-vl-1.6b": "1.6",
    "voxtral-mini-3b": "4.7",
    "voxtral-small-24b": "24.3",
    "glm-4.5": "3.5e2",
    "glm-4.5-air": "106",
    # Log of transformers 5.7 that loads it: 107,710,933,120 with 45 x 128 biases of scores, which are no parameters.
    "glm-4.5v": "107.711",
    "glm-4.1v-9b": "10",
    "glm-4.6": "3.5e2",
    "glm-4.7-flash": "30",
    "granite-3.1-1b-a400m": "1.3",
    "granite-3.1-3b-a800m": "3.3",
    "hunyuan-a13b": "80",
    "hy3-preview": "295",
    "k-exaone-236b-a23b": "236.6",
    "mimo-v2-flash": "309",
    "step-3.5-flash": "197",
    "kimi-k2.5": "1.0e3",
    "kimi-linear-48b-a3b": "49",
    "minimax-m2": "229",
    "minimax-m3": "4.3e2",
    "minimax-text-01": "456",
    "ministral-3-8b": "8.4",
    "olmo-3-7b": "7",
    "olmo-3-32b": "32",
    "phi-3.5-moe": "41.9",
    "qwen3-coder-30b-a3b": "30.5",
    "qwen3-coder-480b-a35b": "480",
    "qwen3.5-27b": "27",
    "qwen3.5-397b-a17b": "397",
    "seed-oss-36b": "36",
    "solar-open-100b": "102",
    "deepseek-llm-7b": "7",
    "deepseek-v3.2": "671",
    "deepseek-v4-flash": "284",
    "deepseek-v4-pro": "1.6e3",
    "glm-5": "744",
    "glm-5.2": "744",
    "falcon-7b": "7",
    "falcon-40b": "41",
    "falcon-180b": "1.8e2",
    "gemma-2b": "2.51",
    "gemma-7b": "8.54",
    "gemma-2-2b": "2.61",
    "gemma-2-9b": "9.24",
    "gemma-2-27b": "27.2",
    "gemma-3-1b": "1.00",
    "gemma-4-26b-a4b": "25.8",
    "gemma-4-31b": "31.3",
    # KerasHub's presets: 5.1 and 7.9 with the towers of images and sound, which transformers builds with 0.47.
    "gemma-4-e2b": "4.6",
    "gemma-4-e4b": "7.4",
    # Ollama's library, text alone: 4.46 and 6.87, with 0.021 and 0.031 of keys and values that no layer reads.
    "gemma-3n-e2b": "4.44",
    "gemma-3n-e4b": "6.84",
    "gemma-3-4b": "4.30",
    "gemma-3-12b": "12.2",
    "gemma-3-27b": "27.4",
    "gpt-j-6b": "6.05",
    "gpt-neox-20b": "20.554567680",
    "gpt2-medium": "0.355",
    "gpt2-large": "0.774",
    "gpt2-xl": "1.558",
    "granite-3.0-8b": "8.2",
    "llama-2-13b": "13.0",
    "llama-2-70b": "69.0",
    "llama-3.1-405b": "406",
    "llama-3.2-1b": "1.24",
    "llama-3.2-3b": "3.21",
    "mistral-7b": "7.24",
    "mistral-7b-v0.3": "7.25",
    "mistral-nemo-12b": "12.2",
    "mistral-small-24b": "23.6",
    "mpt-7b": "6.65",
    "olmo-2-7b": "7.3",
    "olmo-2-13b": "13.7",
    "opt-1.3b": "1.3",
    "opt-6.7b": "6.7",
    "opt-66b": "66",
    "phi-1.5": "1.42",
    "phi-2": "2.78",
    "phi-3-mini": "3.82",
    "phi-4": "14.7",
    "pythia-1.4b": "1.414647808",
    "pythia-6.9b": "6.857302016",
    "pythia-12b": "11.846072320",
    "qwen2.5-0.5b": "0.49",
    "qwen2.5-1.5b": "1.54",
    "qwen2.5-7b": "7.61",
    "qwen2.5-14b": "14.7",
    "qwen2.5-32b": "32.8",
    "qwen2.5-72b": "72.7",
    "qwen3-0.6b": "0.6",
    "qwen3-1.7b": "1.7",
    "qwen3-4b": "4.0",
    "qwen3-14b": "14.8",
    "qwen3-32b": "32.8",
    "smollm2-1.7b": "1.71",
    "smollm3-3b": "3.08",
    "stablelm-3b-4e1t": "2.795443200",
    "starcoder2-3b": "3.03",
    "starcoder2-15b": "16",
    "tinyllama-1.1b": "1.1",
    "mixtral-8x7b": "46.7",
    "deepseek-v3": "671",
    "deepseek-v2": "236",
    "deepseek-v2-lite": "15.7",
    "kimi-k2": "1.03e3",
    "mixtral-8x22b": "141",
    "qwen3-30b-a3b": "30.5",
    "qwen3-235b-a22b": "235",
    "qwen1.5-moe-a2.7b": "14.3",
    "gpt-oss-20b": "20.9",
    "gpt-oss-120b": "117",
    "llama-4-scout": "109",
    "llama-4-maverick": "4.0e2",
    "olmoe-1b-7b": "6.9",
    "yi-34b": "34.4",
    "bert-tutorial": "0.058",
    "bart-base": "0.140",
    "bart-large": "0.406",
    "distil-whisper-large-v3": "0.756",
    "flan-t5-small": "0.08",
    "flan-t5-base": "0.25",
    "flan-t5-large": "0.78",
    "flan-t5-xl": "3",
    "flan-t5-xxl": "11",
    "mbart-large-50": "0.611",
    "mt5-small": "0.300",
    "mt5-base": "0.58",
    "mt5-large": "1.2",
    "mt5-xl": "3.7",
    "mt5-xxl": "13",
    "nllb-200-3.3b": "3.3",
    "nllb-200-distilled-600m": "0.6",
    "opus-mt-en-de": "0.074",
    "pegasus-large": "0.57",
    "t5-small": "0.060",
    "t5-base": "0.22",
    "t5-large": "0.738",
    "t5-3b": "2.8",
    "t5-11b": "11",
    "whisper-tiny": "0.0378",
    "whisper-base": "0.0726",
    "whisper-small": "0.242",
    "whisper-medium": "0.764",
    "whisper-large-v2": "1.54",
    "whisper-large-v3": "1.54",
    "whisper-large-v3-turbo": "0.809",
    "clip-text-large": "0.123",
    "clip-vit-base-patch16": "0.150",
    "clip-vit-base-patch32": "0.151",
    "clip-vit-huge-patch14-laion2b": "0.986",
    "clip-vit-large-patch14": "0.428",
    "clip-vit-large-patch14-336": "0.428",
    "vit-base-patch16-224": "0.0866",
    "vit-huge-patch14-224": "0.632",
    "vit-large-patch16-224": "0.304",
    "albert-base-v2": "0.011",
    "albert-large-v2": "0.017",
    "albert-xlarge-v2": "0.058",
    "albert-xxlarge-v2": "0.223",
    "all-minilm-l6-v2": "0.0227",
    "all-mpnet-base-v2": "0.1",
    "bge-base-en-v1.5": "0.109",
    "bge-m3": "0.6",
    "bge-reranker-v2-m3": "0.6",
    "camembert-base": "0.110",
    "deberta-v3-base": "0.184",
    "deberta-v3-large": "0.435",
    "deberta-v3-small": "0.142",
    "deberta-v3-xsmall": "0.070",
    "distilbert-base": "0.066",
    "electra-small": "0.014",
    "electra-base": "0.110",
    "electra-large": "0.335",
    "modernbert-base": "0.149",
    "modernbert-large": "0.395",
    "multilingual-e5-large": "0.6",
    "roberta-base": "0.125",
    "roberta-large": "0.355",
    "xlm-roberta-base": "0.27",
    "xlm-roberta-large": "0.560",
    "bamba-9b": "9.78",
    "falcon-h1-0.5b": "0.521",
    "falcon-h1-7b": "7.585",
    "falcon-h1-34b": "33.642",
    "granite-4.0-h-micro": "3.19",
    "granite-4.0-h-tiny": "6.94",
    "granite-4.0-h-small": "32.2",
    "jamba-v0.1": "52",
    "jamba-1.5-large": "398",
    "lfm2-350m": "0.35",
    "lfm2-700m": "0.74",
    "lfm2-1.2b": "1.17",
    "lfm2-8b-a1b": "8.3",
    "lfm3-1.7b": "1.7",
    "nemotron-h-8b": "8",
    "nemotron-nano-9b-v2": "8.89",
    "nemotron-3-nano-30b-a3b": "31.6",
    "nemotron-3-super-120b-a12b": "120.6",
    "olmo-hybrid-7b": "7",
    "qwen3-next-80b-a3b": "80",
    "qwen3.5-9b": "9",
    "qwen3.5-35b-a3b": "35",
    "recurrentgemma-2b": "2.7",
    "recurrentgemma-9b": "8.6",
    "mamba-130m": "0.13",
    "mamba-1.4b": "1.4",
    "mamba-2.8b": "2.8",
    "falcon-mamba-7b": "7.27",
    "mamba2-130m": "0.13",
    "mamba2-370m": "0.37",
    "mamba2-780m": "0.78",
    "mamba2-1.3b": "1.3",
    "mamba2-2.7b": "2.7",
}


KERAS_HUB = {
    # "params" of the presets of KerasHub 0.32.0, which each file's source names: without the head where it has none.
    "albert-base-v2": 11_683_584,
    "albert-large-v2": 17_683_968,
    "albert-xlarge-v2": 58_724_864,
    "albert-xxlarge-v2": 222_595_584,
    "all-minilm-l6-v2": 22_713_216,
    "bge-base-en-v1.5": 109_482_240,
    "deberta-v3-base": 183_831_552,
    "deberta-v3-large": 434_012_160,
    "deberta-v3-small": 141_304_320,
    "deberta-v3-xsmall": 70_682_112,
    "gemma-2b": 2_506_172_416,
    "gemma-3-1b": 999_885_952,
    "gpt-oss-20b": 20_914_757_184,
    "gpt2-large": 774_030_080,
    "gpt2-medium": 354_823_168,
    "gpt2-xl": 1_557_611_200,
    "mistral-7b": 7_241_732_096,
    "mistral-small-24b": 23_572_403_200,
    "phi-3-mini": 3_821_079_552,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-small": 60_506_624,
    "vit-base-patch16-224": 85_798_656,
    "vit-huge-patch14-224": 630_764_800,
    "vit-large-patch16-224": 303_301_632,
    "whisper-base": 72_593_920,
    "whisper-large-v2": 1_543_304_960,
    "whisper-medium": 763_857_920,
    "whisper-small": 241_734_912,
    "whisper-tiny": 37_760_640,
}


@pytest.mark.parametrize(("preset", "count"), KERAS_HUB.items())
def test_as_many_as_another_library_counts(preset, count):
    program = load_model(preset).program()
    heads = [each for each in program.weights() if each[0].name == "head"]
    head = sum(program.resident(*each, program.sizes) for each in heads)
    assert count in (program.parameters(), program.parameters() - head)


def agrees(count: int, stated: str) -> bool:
    """Whether ``count`` is within one of the last digit of so many billions: sources round up, down and to even."""
    digits = Decimal(stated)
    return abs(Decimal(count) / 10**9 - digits) < Decimal(1).scaleb(digits.as_tuple().exponent)


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_agrees_with_what_its_source_states(preset):
    assert preset in PUBLISHED or agrees(load_model(preset).parameters, STATED[preset])


def test_the_agreement_can_fail():
    assert not agrees(7_241_732_096, "7.26")
    assert not agrees(7_241_732_096, "9")


@pytest.mark.parametrize(("preset", "count"), PUBLISHED.items())
def test_published(preset, count):
    model = load_model(preset)
    assert model.parameters == count
    assert isinstance(model.parameters, int)


def is_bias(name: str) -> bool:
    """The biases of linear layers and the shifts of LayerNorm."""
    return name.startswith("b_") or name.endswith("_shift")


def test_gpt2_without_biases():
    """karpathy/nanoGPT, transformer_sizing.ipynb, states 124,337,664 with ``bias=False`` in Linear and LayerNorm."""
    program = load_model("gpt2").program()
    biases = sum(program.resident(*stated, program.sizes) for stated in program.weights() if is_bias(stated[2].name))
    D, F, L = program.sizes["D"], program.sizes["F"], program.sizes["L"]
    assert biases == L * (3 * D + D + F + D + 2 * D) + D  # qkv, out, up, down, two shifts; the last norm's shift
    assert program.parameters() - biases == 124_337_664


def test_llama_2_7b_by_hand():
    V, D, F, L = 32_000, 4096, 11_008, 32
    by_hand = 2 * V * D + L * (4 * D * D + 3 * D * F + 2 * D) + D  # two tables; q k v o, gate up down, norms; last norm
    assert load_model("llama-2-7b").parameters == by_hand


def test_step_3_by_hand():
    """Step-3 (arXiv 2507.19427), section 3.1: 64 queries of 256 by way of a latent of 2,048, one key and one value."""
    V, D, Q, heads, H, F, E = 128_815, 7168, 2048, 64, 256, 5120, 48
    attention = D * (Q + 2 * H) + Q + Q * heads * H + heads * H * D
    routed, dense = (E + 1) * 3 * D * F + D * E, 3 * D * 18_432
    assert load_model("step-3").parameters == 61 * (attention + 2 * D) + 56 * routed + 5 * dense + 2 * V * D + D


def test_mimo_7b_is_a_qwen2():
    """Its modeling file inherits Qwen2's; 7.83 B with a layer of prediction as published: 0.2 of it and its matmul."""
    model = load_model("mimo-7b")
    fields = {name: value for name, value in model.fields.items() if name not in ("head_dim", "use_mrope")}
    assert (
        model.parameters
        == load_model({**fields, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}).parameters
    )


# A module built here


def test_the_tutorial_is_the_module_that_it_says_it_is():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    V, D, F, L, heads, P = 10_000, 768, 768, 12, 12, 128

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_norm, self.ffn_norm = nn.LayerNorm(D), nn.LayerNorm(D)
            self.attention = nn.MultiheadAttention(D, heads, batch_first=True)
            self.ffn = nn.Sequential(nn.Linear(D, F), nn.ReLU(), nn.Linear(F, D))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(V, D), nn.Embedding(P, D)
            self.blocks = nn.ModuleList(Block() for _ in range(L))
            self.head = nn.Linear(D, V)

    with torch.device("meta"):
        module = Encoder()
    assert load_model("bert-tutorial").parameters == sum(p.numel() for p in module.parameters())


# Modules of transformers

ELSEWHERE = ("bert-tutorial", "colbertv2", "kimi-vl-a3b", "mimo-7b", "step-3", "step-3.5-flash")
"""Presets of modules that transformers has not, or, Step's, without a head."""

MODULES = [name for name in ARCHITECTURES if name not in ELSEWHERE]
"""A preset of each family: the other sizes of a family differ by numbers, which the random configurations have too."""


def test_a_qwen3_head_is_128_wide_unless_it_says_otherwise():
    """transformers.Qwen3Config, ``head_dim`` = 128, whatever hidden size / heads is."""
    fields = {key: value for key, value in load_model("qwen3-8b").fields.items() if key != "head_dim"}
    assert load_model({**fields, "hidden_size": 2048}).program().sizes["H"] == 128


@pytest.mark.parametrize("preset", quick(MODULES, of=[name for name in preset_names() if name not in ELSEWHERE]))
def test_presets_equal_transformers(preset):
    check_parameters(load_model(preset))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM"])
def test_bert_heads_equal_transformers(head, tied):
    check_parameters(load_model("bert-base", overrides={"architectures": [head], "tie_word_embeddings": tied}))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("preset", ["gpt2", "llama-3.1-8b", "qwen3-8b"])
def test_tied_and_untied_equal_transformers(preset, tied):
    check_parameters(load_model(preset, overrides={"tie_word_embeddings": tied}))


@pytest.mark.parametrize("count", counts(15, 100))
@pytest.mark.parametrize("strategy", [bert_configs, gpt2_configs, llama_configs, qwen3_configs])
def test_random_configurations_equal_transformers(strategy, count):
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(config=strategy() | with_fields_left_out(strategy()))
    def equal(config):
        check_parameters(load_model(config))

    equal()


@pytest.mark.parametrize("count", counts(4, 50))
@pytest.mark.parametrize("model_type", DECODERS)
def test_random_decoders_equal_transformers(model_type, count):
    pytest.importorskip("transformers")

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
    @given(config=decoder_configs(model_type) | with_fields_left_out(decoder_configs(model_type)))
    def equal(config):
        check_parameters(load_model(config))

    equal()
