"""What the property tests draw from: sizes of axes, and small configurations with Hugging Face field names."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from state_strategies import STATES

from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.program.axes import LEGEND

ARCHITECTURES = list({load_model(name).model_type: name for name in reversed(preset_names())}.values())[::-1]
"""A preset of each architecture."""


def _structure(name: str) -> tuple[Any, ...]:
    """The operators of a preset and their tensors, whatever the sizes."""
    program = load_model(name).program()
    return tuple(
        (group.name, op.name, op.reads, op.writes, len(op.work)) for group in program.groups for op in group.ops
    )


STRUCTURES = list({_structure(name): name for name in reversed(preset_names())}.values())[::-1]
"""A preset of each different program; others differ in sizes alone."""


def _features(name: str) -> set[str]:
    """The shape of a preset's configuration, and the kinds, axes and rebound axes of its operators."""
    model = load_model(name)
    found = {type(model.config).__name__}
    for group in model.program().groups:
        found |= {f"{letter} of a group" for letter in group.local}
        for op in group.ops:
            found |= {op.kind, *(f"{letter} of an operator" for letter in op.local)}
            found |= {letter for tensor in (*op.reads, *op.writes) for letter in tensor.letters}
    return found


def _spanning() -> list[str]:
    features = {name: _features(name) for name in ARCHITECTURES}
    missing, chosen = set().union(*features.values()), []
    while missing:
        chosen.append(max(ARCHITECTURES, key=lambda name: len(features[name] & missing)))
        missing -= features[chosen[-1]]
    return chosen


SPANNING = _spanning()
"""A few presets that between them have every shape of configuration, kind of operator, axis and rebound axis."""

SMALL = st.integers(1, 64)
FEW = st.integers(1, 4)


def axis_sizes(letters: str = "".join(LEGEND)) -> st.SearchStrategy[dict[str, int]]:
    """A size of 1 to 64 for each letter, with at least as many keys as queries."""

    def with_context(sizes: dict[str, int]) -> dict[str, int]:
        return {**sizes, "S": sizes["S"] + sizes["T"]} if {"T", "S"} <= set(sizes) else sizes

    return st.fixed_dictionaries(dict.fromkeys(letters, SMALL)).map(with_context)


def workloads() -> st.SearchStrategy[dict[str, int]]:
    """Batch, new tokens and context of one step."""
    return axis_sizes("BTS")


@st.composite
def bert_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A small BERT: bare, or with the masked-LM head, whose table is tied or not."""
    heads = draw(FEW)
    return {
        "model_type": "bert",
        "architectures": [draw(st.sampled_from(("BertModel", "BertForMaskedLM")))],
        "vocab_size": draw(SMALL),
        "hidden_size": heads * draw(FEW),
        "num_hidden_layers": draw(FEW),
        "num_attention_heads": heads,
        "intermediate_size": draw(SMALL),
        "max_position_embeddings": draw(SMALL),
        "type_vocab_size": draw(FEW),
        "hidden_act": draw(st.sampled_from(("gelu", "relu", "silu"))),
        "tie_word_embeddings": draw(st.booleans()),
    }


@st.composite
def gpt2_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A small GPT-2, whose feed-forward width is stated or four times the hidden size."""
    heads = draw(FEW)
    return {
        "model_type": "gpt2",
        "architectures": [draw(st.sampled_from(("GPT2LMHeadModel", "GPT2Model")))],
        "vocab_size": draw(SMALL),
        "n_embd": heads * draw(FEW),
        "n_layer": draw(FEW),
        "n_head": heads,
        "n_positions": draw(SMALL),
        "n_inner": draw(st.none() | SMALL),
        "activation_function": draw(st.sampled_from(("gelu_new", "relu"))),
        "tie_word_embeddings": draw(st.booleans()),
    }


@st.composite
def _rotary_configs(draw: st.DrawFn, model_type: str, classes: tuple[str, ...]) -> dict[str, Any]:
    kv_heads, group, half = draw(FEW), draw(FEW), draw(FEW)
    return {
        "model_type": model_type,
        "architectures": [draw(st.sampled_from(classes))],
        "vocab_size": draw(SMALL),
        "hidden_size": kv_heads * group * 2 * half,
        "num_hidden_layers": draw(FEW),
        "num_attention_heads": kv_heads * group,
        "num_key_value_heads": kv_heads,
        "head_dim": 2 * draw(FEW),  # seldom hidden size / heads
        "intermediate_size": draw(SMALL),
        "max_position_embeddings": 256,
        "hidden_act": "silu",
        "attention_bias": draw(st.booleans()),
        "tie_word_embeddings": draw(st.booleans()),
    }


@st.composite
def llama_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A small Llama: grouped heads, biases, a head dimension of its own or none."""
    config = draw(_rotary_configs("llama", ("LlamaForCausalLM", "LlamaModel")))
    if draw(st.booleans()):
        del config["head_dim"]
    return {**config, "mlp_bias": draw(st.booleans())}


def qwen3_configs() -> st.SearchStrategy[dict[str, Any]]:
    """A small Qwen3: a head dimension that is not hidden size / heads."""
    return _rotary_configs("qwen3", ("Qwen3ForCausalLM", "Qwen3Model"))


_PLAIN = ("vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size tie_word_embeddings "
          "max_position_embeddings")  # fmt: skip
_GROUPED = _PLAIN + " num_key_value_heads"
_GPT_NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
    "intermediate_size": "n_inner",
}
_MPT_NAMES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "max_position_embeddings": "max_seq_len",
}
_WIDTHS = st.integers(2, 64)  # transformers keeps the last W - 1 keys by a slice that takes all of them where W is 1
_WINDOW = {"sliding_window": st.none() | _WIDTHS}
_PATTERN = {"sliding_window": _WIDTHS, "sliding_window_pattern": st.integers(1, 6)}
_LATE_WINDOW = {**_WINDOW, "use_sliding_window": st.booleans(), "max_window_layers": st.integers(0, 4)}
_WHOLE_ROTATION = {  # a part of so small a head would be an odd number of elements
    "rope_parameters": st.just({"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0})
}
_OF_ITS_OWN = " head_dim attention_bias"

DECODERS: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    # class stem; fields that the family shares with Llama; what it has besides; what it calls them
    "apertus": ("Apertus", _GROUPED + " attention_bias", {"hidden_act": st.sampled_from(("xielu", "silu"))}, {}),
    "arcee": ("Arcee", _GROUPED + " head_dim attention_bias mlp_bias", {}, {}),
    "bitnet": ("BitNet", _GROUPED + " attention_bias", {"hidden_act": st.sampled_from(("relu2", "silu"))}, {}),
    "bloom": ("Bloom", _PLAIN, {}, {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}),
    "cohere": ("Cohere", _GROUPED + " attention_bias", {"use_qk_norm": st.booleans()}, {}),
    "cohere2": (
        "Cohere2",
        _GROUPED + " attention_bias",
        {"sliding_window": _WIDTHS, "sliding_window_pattern": st.integers(1, 5)},
        {},
    ),
    "cwm": ("Cwm", _GROUPED + " head_dim mlp_bias", {"sliding_window": _WIDTHS}, {}),
    "ernie4_5": ("Ernie4_5", _GROUPED + " head_dim", {"use_bias": st.booleans()}, {}),
    "exaone4": (
        "Exaone4",
        _GROUPED + " head_dim",
        {"sliding_window": _WIDTHS, "sliding_window_pattern": st.integers(1, 5)},
        {},
    ),
    "falcon": (
        "Falcon",
        _PLAIN,
        {name: st.booleans() for name in ("bias", "alibi", "parallel_attn", "new_decoder_architecture", "multi_query")}
        | {"num_ln_in_parallel_attn": st.sampled_from((None, 1, 2)), "num_kv_heads": st.none()},
        {"intermediate_size": "ffn_hidden_size"},
    ),
    "gemma": ("Gemma", _GROUPED + _OF_ITS_OWN, {}, {}),
    "gemma2": ("Gemma2", _GROUPED + _OF_ITS_OWN, {"sliding_window": _WIDTHS}, {}),
    "gemma3_text": ("Gemma3", _GROUPED + _OF_ITS_OWN, _PATTERN, {}),
    "glm": ("Glm", _GROUPED + _OF_ITS_OWN, {}, {}),
    "glm4": ("Glm4", _GROUPED + _OF_ITS_OWN, {}, {}),
    "gemma4_text": (
        "Gemma4",
        _GROUPED + _OF_ITS_OWN,
        {
            "sliding_window": _WIDTHS,
            "hidden_size_per_layer_input": st.integers(0, 3),
            "vocab_size_per_layer_input": SMALL,
            "global_head_dim": st.sampled_from((8, 16)),
            "attention_k_eq_v": st.booleans(),
            "num_global_key_value_heads": st.just(1),
            "enable_moe_block": st.booleans(),
            "num_experts": st.integers(4, 8),
            "top_k_experts": FEW,
            "moe_intermediate_size": SMALL,
        },
        {},
    ),
    "gemma3n_text": (
        "Gemma3n",
        _GROUPED + _OF_ITS_OWN,
        {
            "sliding_window": _WIDTHS,
            "hidden_size_per_layer_input": FEW,
            "vocab_size_per_layer_input": SMALL,
            "altup_num_inputs": st.integers(2, 4),
            "laurel_rank": FEW,
        },
        {},
    ),
    "gpt_neox": (
        "GPTNeoX",
        _PLAIN + " attention_bias",
        {"use_parallel_residual": st.booleans(), **_WHOLE_ROTATION},
        {},
    ),
    "gptj": ("GPTJ", _PLAIN, {"rotary_dim": st.just(2)}, _GPT_NAMES),
    "granite": ("Granite", _GROUPED + " attention_bias mlp_bias", {}, {}),
    "gpt_bigcode": ("GPTBigCode", _PLAIN, {"multi_query": st.booleans()}, _GPT_NAMES),
    "helium": ("Helium", _GROUPED + " attention_bias mlp_bias", {"head_dim": st.none()}, {}),
    "hyperclovax": ("HyperCLOVAX", _GROUPED + _OF_ITS_OWN + " mlp_bias", {"use_post_norm": st.booleans()}, {}),
    "internlm3": ("Llama", _GROUPED + " head_dim", {}, {}),
    "iquestcoder": ("Llama", _GROUPED + _OF_ITS_OWN + " mlp_bias", {}, {}),
    "hunyuan_v1_dense": ("HunYuanDenseV1", _GROUPED + _OF_ITS_OWN, {}, {}),
    "granite_swa": (
        "GraniteSWA",
        _GROUPED + " attention_bias mlp_bias",
        {"sliding_window": _WIDTHS, "attention_multiplier": st.just(0.5)},
        {},
    ),
    "jais2": ("Jais2", _GROUPED + _OF_ITS_OWN + " mlp_bias", {}, {}),
    "nemotron": ("Nemotron", _GROUPED + _OF_ITS_OWN + " mlp_bias", _WHOLE_ROTATION, {}),
    "vaultgemma": ("VaultGemma", _GROUPED + _OF_ITS_OWN, {"sliding_window": _WIDTHS}, {}),
    "ministral": ("Ministral", _GROUPED + " head_dim", {"sliding_window": _WIDTHS}, {}),
    "ministral3": ("Ministral3", _GROUPED + " head_dim", _WINDOW, {}),
    "mistral": ("Mistral", _GROUPED + " head_dim", _WINDOW, {}),
    "mpt": ("Mpt", _PLAIN, {}, _MPT_NAMES),
    "olmo": ("Olmo", _GROUPED + " attention_bias", {}, {}),
    "olmo2": ("Olmo2", _GROUPED + " attention_bias", {}, {}),
    "olmo3": ("Olmo3", _GROUPED + " attention_bias", {"sliding_window": _WIDTHS}, {}),
    "opt": ("OPT", _PLAIN, {}, {"intermediate_size": "ffn_dim"}),
    "phi": ("Phi", _GROUPED, _WHOLE_ROTATION, {}),
    "phi3": ("Phi3", _GROUPED, {**_WINDOW, "pad_token_id": st.just(0)}, {}),
    "qwen2": ("Qwen2", _GROUPED, _LATE_WINDOW, {}),
    "seed_oss": (
        "SeedOss",
        _GROUPED + " head_dim attention_bias mlp_bias",
        {"attention_out_bias": st.booleans()},
        {},
    ),
    "smollm3": ("SmolLM3", _GROUPED + " attention_bias mlp_bias", {"no_rope_layer_interval": st.integers(1, 5)}, {}),
    "stablelm": (
        "StableLm",
        _GROUPED,
        {"use_qkv_bias": st.booleans(), "use_parallel_residual": st.booleans(), **_WHOLE_ROTATION},
        {},
    ),
    "starcoder2": ("Starcoder2", _GROUPED, {**_WINDOW, "use_bias": st.booleans()}, {}),
}

_ROUTED = {"num_experts_per_tok": FEW, "num_local_experts": st.integers(4, 8)}
_SPARSE = {"decoder_sparse_step": st.integers(1, 3), "mlp_only_layers": st.lists(st.integers(0, 4), max_size=2)}
_EVEN = st.integers(1, 32).map(lambda half: 2 * half)
_LATENT = {
    "kv_lora_rank": _EVEN,
    "q_lora_rank": st.none() | SMALL,
    "qk_nope_head_dim": _EVEN,
    "v_head_dim": _EVEN,
    "qk_rope_head_dim": st.sampled_from((2, 4, 6)),
    "first_k_dense_replace": st.integers(0, 4),
    "n_routed_experts": st.integers(4, 8),
    "num_experts_per_tok": FEW,
    "n_shared_experts": FEW,
    "moe_intermediate_size": SMALL,
    "n_group": st.just(1),
    "topk_group": st.just(1),
}
_INDEXED = {
    "q_lora_rank": SMALL,
    "index_topk": SMALL,
    "index_n_heads": FEW,
    "index_head_dim": st.integers(3, 8).map(lambda half: 2 * half),  # its rotated part is at most 6 wide
}
_SHARED = {
    "n_routed_experts": st.integers(4, 8),
    "num_experts_per_tok": FEW,
    "n_shared_experts": FEW,
    "moe_intermediate_size": SMALL,
    "n_group": st.just(1),
    "topk_group": st.just(1),
}
_DBRX_EXPERTS = st.fixed_dictionaries(
    {"ffn_hidden_size": SMALL, "moe_num_experts": st.integers(4, 8), "moe_top_k": FEW}
)
MIXTURES: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    "deepseek_v2": ("DeepseekV2", _PLAIN + " attention_bias", _LATENT, {}),
    "deepseek_v3": ("DeepseekV3", _PLAIN + " attention_bias", _LATENT, {}),
    "deepseek_v4": (
        "DeepseekV4",
        _PLAIN,
        {
            "head_dim": st.just(16),  # the eighth of it that rotates is even
            "q_lora_rank": SMALL,
            "o_groups": st.just(1),
            "o_lora_rank": SMALL,
            "sliding_window": _WIDTHS,
            "index_n_heads": FEW,
            "index_head_dim": st.integers(1, 8).map(lambda half: 2 * half),
            "index_topk": SMALL,
            "n_routed_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "n_shared_experts": st.just(1),
            "moe_intermediate_size": SMALL,
            "hc_mult": FEW,
            "compress_rates": st.fixed_dictionaries(
                {
                    "compressed_sparse_attention": st.integers(1, 6),
                    "heavily_compressed_attention": st.integers(1, 12),
                }
            ),
        },
        {},
    ),
    "deepseek_v32": ("DeepseekV32", _PLAIN + " attention_bias", {**_LATENT, **_INDEXED}, {}),
    "dots1": (
        "Dots1",
        _GROUPED + " attention_bias",
        {**_SHARED, "first_k_dense_replace": st.integers(0, 4), "sliding_window": _WIDTHS}
        | {"max_window_layers": st.integers(0, 4)},
        {},
    ),
    "ernie4_5_moe": (
        "Ernie4_5_Moe",
        _GROUPED,
        {
            "moe_num_experts": st.integers(4, 8),
            "moe_k": FEW,
            "moe_num_shared_experts": st.integers(0, 3),
            "moe_intermediate_size": SMALL,
            "moe_layer_start_index": st.integers(0, 3),
            "moe_layer_end_index": st.integers(-1, 3),
            "moe_layer_interval": st.integers(1, 3),
        },
        {},
    ),
    "afmoe": (
        "Afmoe",
        _GROUPED + " head_dim",
        {
            "num_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "num_shared_experts": FEW,
            "num_dense_layers": st.integers(0, 4),
            "moe_intermediate_size": SMALL,
            "sliding_window": _WIDTHS,
            "global_attn_every_n_layers": st.integers(1, 4),
        },
        {},
    ),
    "cohere2_moe": (
        "Cohere2Moe",
        _GROUPED + _OF_ITS_OWN,
        {
            "num_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "num_shared_experts": st.integers(0, 2),
            "first_k_dense_replace": st.integers(0, 1),  # transformers builds no network of fewer layers
            "prefix_dense_intermediate_size": SMALL,
            "prefix_dense_sliding_window_pattern": st.integers(1, 3),
            "sliding_window": _WIDTHS,
            "sliding_window_pattern": st.integers(1, 4),
            "rms_norm_eps": st.sampled_from((None, 1e-5)),
        },
        {},
    ),
    "exaone_moe": (
        "ExaoneMoe",
        _GROUPED + " head_dim",
        {
            "num_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "num_shared_experts": FEW,
            "moe_intermediate_size": SMALL,
            "first_k_dense_replace": st.integers(0, 4),
            "n_group": st.just(1),
            "topk_group": st.just(1),
            "sliding_window": _WIDTHS,
            "sliding_window_pattern": st.integers(1, 5),
        },
        {},
    ),
    "flex_olmo": ("FlexOlmo", _GROUPED + " attention_bias", _ROUTED, {}),
    "glm4_moe": (
        "Glm4Moe",
        _GROUPED + _OF_ITS_OWN,
        {**_SHARED, "first_k_dense_replace": st.integers(0, 4), "use_qk_norm": st.booleans()},
        {},
    ),
    "dbrx": (
        "Dbrx",
        "vocab_size hidden_size num_hidden_layers num_attention_heads max_position_embeddings",
        {"attn_config": st.just({"kv_n_heads": 1, "clip_qkv": 8, "rope_theta": 10000.0}), "ffn_config": _DBRX_EXPERTS},
        _MPT_NAMES,
    ),
    "laguna": (
        "Laguna",
        _GROUPED + " head_dim",
        {
            "num_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "moe_intermediate_size": SMALL,
            "shared_expert_intermediate_size": SMALL,
            "sliding_window": _WIDTHS,
            "gating": st.sampled_from((True, "per-head", "per-element")),
        },
        {},
    ),
    "mellum": (
        "Mellum",
        _GROUPED + _OF_ITS_OWN,
        {
            "num_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "moe_intermediate_size": SMALL,
            "sliding_window": _WIDTHS,
        },
        {},
    ),
    "minicpm3": (
        "MiniCPM3",
        _PLAIN + " attention_bias",
        {name: _LATENT[name] for name in ("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "v_head_dim")}
        | {"qk_rope_head_dim": _LATENT["qk_rope_head_dim"]},
        {},
    ),
    "mistral4": ("Mistral4", _PLAIN + " attention_bias", _LATENT, {}),
    "glm4_moe_lite": (
        "Glm4MoeLite",
        _PLAIN + " attention_bias",
        {name: strategy for name, strategy in _LATENT.items() if name != "first_k_dense_replace"},
        {},
    ),
    "glm_moe_dsa": (
        "GlmMoeDsa",
        _PLAIN + " attention_bias",
        {**_LATENT, **_INDEXED, "index_topk_freq": st.integers(1, 3), "index_skip_topk_offset": st.integers(1, 3)},
        {},
    ),
    "gpt_oss": ("GptOss", _GROUPED + _OF_ITS_OWN, {**_ROUTED, "sliding_window": _WIDTHS}, {}),
    "granitemoe": ("GraniteMoe", _GROUPED + " attention_bias", _ROUTED, {}),
    "granitemoe_swa": (
        "GraniteMoeSWA",
        _GROUPED + " attention_bias",
        {**_ROUTED, "shared_intermediate_size": st.integers(0, 64), "sliding_window": _WIDTHS},
        {},
    ),
    "granitemoeshared": (
        "GraniteMoeShared",
        _GROUPED + " attention_bias",
        {**_ROUTED, "shared_intermediate_size": st.integers(0, 64)},
        {},
    ),
    "hunyuan_v1_moe": (
        "HunYuanMoEV1",
        _GROUPED + _OF_ITS_OWN,
        {"num_experts": st.integers(4, 8), "moe_topk": FEW},
        {},
    ),
    "hy_v3": (
        "HYV3",
        _GROUPED + _OF_ITS_OWN,
        {
            "num_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "num_shared_experts": FEW,
            "moe_intermediate_size": SMALL,
        },
        {},
    ),
    "llama4_text": (
        "Llama4",
        _GROUPED + _OF_ITS_OWN,
        {
            "num_local_experts": st.just(3),
            "num_experts_per_tok": st.just(3),  # its module computes all experts for all tokens
            "intermediate_size_mlp": SMALL,
            "interleave_moe_layer_step": st.integers(1, 3),
            "use_qk_norm": st.booleans(),
            "attention_chunk_size": st.integers(81, 99),
        },
        {},
    ),
    "mimo_v2_flash": (
        "MiMoV2Flash",
        _GROUPED + _OF_ITS_OWN,
        {
            "v_head_dim": FEW,
            "sliding_window": _WIDTHS,
            "n_routed_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "moe_intermediate_size": SMALL,
            "rope_parameters": st.just(
                {
                    kind: {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
                    for kind in ("full_attention", "sliding_attention")
                }
            ),
        },
        {},
    ),
    "minimax_m2": ("MiniMaxM2", _GROUPED + " head_dim", {**_ROUTED, **_WHOLE_ROTATION}, {}),
    "minimax_m3_vl_text": (
        "MiniMaxM3VL",
        _GROUPED,
        {
            "head_dim": st.integers(1, 4).map(lambda half: 2 * half),
            "num_local_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "dense_intermediate_size": SMALL,
            "shared_intermediate_size": SMALL,
            "moe_layer_freq": st.just([0, 1, 1, 1]),
            "index_block_size": st.integers(1, 8),
            "index_topk_blocks": FEW,
            **_WHOLE_ROTATION,
        },
        {},
    ),
    "mixtral": ("Mixtral", _GROUPED + " head_dim", {**_WINDOW, **_ROUTED}, {}),
    "olmoe": ("Olmoe", _GROUPED + " attention_bias", _ROUTED, {}),
    "phimoe": (
        "Phimoe",
        _GROUPED + " attention_bias",
        {**_WINDOW, **_ROUTED, "num_experts_per_tok": st.just(2), "lm_head_bias": st.booleans()},
        {},
    ),
    "qwen2_moe": (
        "Qwen2Moe",
        _GROUPED,
        {
            **_SPARSE,
            "num_experts_per_tok": FEW,
            "num_experts": st.integers(4, 8),
            "qkv_bias": st.booleans(),
            "moe_intermediate_size": SMALL,
            "shared_expert_intermediate_size": SMALL,
        },
        {},
    ),
    "qwen3_moe": ("Qwen3Moe", _GROUPED + _OF_ITS_OWN, {**_SPARSE, **_ROUTED, "moe_intermediate_size": SMALL}, {}),
    "step3p5": (
        "Step3p7",
        _GROUPED + " head_dim",
        {
            "n_routed_experts": st.integers(4, 8),
            "num_experts_per_tok": FEW,
            "moe_intermediate_size": SMALL,
            "share_expert_dim": SMALL,
            "sliding_window": _WIDTHS,
            "moe_layers_enum": st.sampled_from(("1,2", "0", [])),
        },
        {},
    ),
    "youtu": (
        "Youtu",
        _PLAIN + " attention_bias",
        {
            name: _LATENT[name]
            for name in ("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "v_head_dim", "qk_rope_head_dim")
        },
        {},
    ),
    "solar_open": ("SolarOpen", _GROUPED + " head_dim", _SHARED, {}),
}
DECODERS |= MIXTURES


def _runs_as_falcon(drawn: dict[str, Any]) -> None:
    """Combinations that transformers itself can run."""
    drawn["parallel_attn"] |= drawn["new_decoder_architecture"]
    if not drawn["new_decoder_architecture"]:
        drawn["num_ln_in_parallel_attn"] = 1


def _borrow(draw: st.DrawFn, kept: dict[str, Any], drawn: dict[str, Any]) -> None:
    """Layers that borrow keys and values from others of their kind; transformers then slices per-layer inputs."""
    number = kept["num_hidden_layers"] = draw(st.sampled_from((2, 4)))
    kinds = ["sliding_attention", "full_attention"][draw(st.integers(0, 1)) :]
    drawn["layer_types"] = (kinds * number)[:number]
    drawn["num_kv_shared_layers"] = draw(st.integers(0, number - len(kinds)))
    if drawn["num_kv_shared_layers"]:
        drawn["hidden_size_per_layer_input"] = max(1, drawn["hidden_size_per_layer_input"])
    if "enable_moe_block" in drawn:
        drawn["use_double_wide_mlp"] = not drawn["enable_moe_block"] and draw(st.booleans())


@st.composite
def decoder_configs(draw: st.DrawFn, model_type: str | None = None) -> dict[str, Any]:
    """A small configuration of one of DECODERS, or of any of them."""
    model_type = model_type or draw(st.sampled_from(sorted(DECODERS)))
    stem, shared, own, called = DECODERS[model_type]
    base = f"{stem}Text" if stem in ("Gemma3", "Gemma3n", "Gemma4", "Llama4", "MiniMaxM3VL", "Step3p7") else stem
    classes = (f"{base}Model",) if stem == "Step3p7" else (f"{stem}ForCausalLM", f"{base}Model")
    fields = draw(_rotary_configs(model_type, classes)) | {"mlp_bias": draw(st.booleans())}
    if "num_key_value_heads" not in shared:
        fields["hidden_size"] = fields["num_attention_heads"] * 2 * draw(FEW)
    kept = {called.get(name, name): fields[name] for name in shared.split()}
    drawn = {name: draw(strategy) for name, strategy in own.items()}
    if model_type == "falcon":
        _runs_as_falcon(drawn)
    if model_type == "helium":
        drawn["head_dim"] = kept["hidden_size"] // kept["num_attention_heads"]
    if "kv_lora_rank" in own:
        drawn["num_key_value_heads"] = fields["num_attention_heads"]
    if model_type == "mimo_v2_flash":
        kept["num_attention_heads"] *= 2  # layers with a window have twice the key/value heads
    if model_type == "minimax_m3_vl_text":
        drawn["moe_layer_freq"] = drawn["moe_layer_freq"][: kept["num_hidden_layers"]]
        drawn["index_n_heads"], drawn["index_head_dim"] = kept["num_key_value_heads"], drawn["head_dim"]
        kinds = st.sampled_from(("full_attention", "minimax_m3_sparse"))
        drawn["layer_types"] = [draw(kinds) for _ in range(kept["num_hidden_layers"])]
    if model_type == "deepseek_v4":
        kinds = st.sampled_from(("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"))
        drawn["layer_types"] = [draw(kinds) for _ in range(kept["num_hidden_layers"])]
        drawn["o_groups"] = kept["num_attention_heads"] // draw(st.sampled_from((1, kept["num_attention_heads"])))
        del kept["intermediate_size"]
    if model_type == "dbrx":
        drawn["ffn_config"] |= {"hidden_size": kept["d_model"]}
    if model_type == "laguna":
        kinds, number = ("full_attention", "sliding_attention"), kept["num_hidden_layers"]
        own = {kind: kept["num_key_value_heads"] * draw(FEW) for kind in kinds}
        drawn["layer_types"] = [draw(st.sampled_from(kinds)) for _ in range(number)]
        drawn["num_attention_heads_per_layer"] = [own[kind] for kind in drawn["layer_types"]]
        drawn["mlp_layer_types"] = [draw(st.sampled_from(("dense", "sparse"))) for _ in range(number)]
    if model_type == "step3p5":
        kinds = st.sampled_from(("full_attention", "sliding_attention"))
        drawn["layer_types"] = [draw(kinds) for _ in range(kept["num_hidden_layers"])]
        drawn["attention_other_setting"] = {"num_attention_heads": kept["num_key_value_heads"] * draw(FEW)}
    if model_type in ("gemma3n_text", "gemma4_text"):
        _borrow(draw, kept, drawn)
    if model_type in ("bloom", "mpt"):
        del kept["intermediate_size"]  # always four times the hidden size
    return {name: fields[name] for name in ("model_type", "architectures")} | kept | drawn


_ENCODER_CLASSES = "Model ForMaskedLM ForSequenceClassification ForTokenClassification ForQuestionAnswering".split()
_TABLE = {"type_vocab_size": FEW, "hidden_act": st.sampled_from(("gelu", "relu", "silu"))}
_PADDED = {**_TABLE, "max_position_embeddings": st.integers(42, 99), "pad_token_id": st.just(0)}
_DISTILBERT_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
}
ENCODERS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    # class stem; what the family has beside what all have; what it calls them
    "albert": ("Albert", {**_TABLE, "embedding_size": SMALL, "num_hidden_groups": st.just(1)}, {}),
    "bert": ("Bert", _TABLE, {}),
    "camembert": ("Camembert", _PADDED, {}),
    "deberta-v2": (
        "DebertaV2",
        {
            "relative_attention": st.just(True),
            "pos_att_type": st.sampled_from(("p2c|c2p", ["c2p", "p2c"])),
            "position_biased_input": st.just(False),
            "share_att_key": st.just(True),
            "norm_rel_ebd": st.just("layer_norm"),
            "position_buckets": st.sampled_from((-1, 4, 16)),
            "max_relative_positions": st.sampled_from((-1, 48)),
            "type_vocab_size": st.integers(0, 2),
        },
        {},
    ),
    "distilbert": ("DistilBert", {}, _DISTILBERT_NAMES),
    "electra": ("Electra", {**_TABLE, "embedding_size": SMALL}, {}),
    "gte": ("Gte", {**_TABLE, "type_vocab_size": st.integers(0, 2), "pad_token_id": st.just(0)}, {}),
    "jina_embeddings_v3": ("JinaEmbeddingsV3", {**_TABLE, "pad_token_id": st.just(0)}, {}),
    "modernbert": (
        "ModernBert",
        {
            "attention_bias": st.booleans(),
            "mlp_bias": st.booleans(),
            "norm_bias": st.booleans(),
            "classifier_bias": st.booleans(),
            "classifier_activation": st.sampled_from(("gelu", "relu")),
            "classifier_pooling": st.sampled_from(("cls", "mean")),
            "local_attention": st.integers(1, 64),
            "global_attn_every_n_layers": st.integers(1, 4),
            "pad_token_id": st.just(0),
        },
        {},
    ),
    "mpnet": (
        "MPNet",
        {"max_position_embeddings": st.integers(42, 99), "relative_attention_num_buckets": st.integers(32, 40)},
        {},
    ),
    "nomic_bert": ("NomicBert", {**_TABLE, "pad_token_id": st.just(0)}, {}),
    "roberta": ("Roberta", _PADDED, {}),
    "xlm-roberta": ("XLMRoberta", _PADDED, {}),
}


@st.composite
def encoder_configs(draw: st.DrawFn, model_type: str | None = None) -> dict[str, Any]:
    """A small encoder with any of its heads, whose table is tied or not; of one of ENCODERS, or of any of them."""
    model_type = model_type or draw(st.sampled_from(sorted(ENCODERS)))
    stem, own, called = ENCODERS[model_type]
    heads = draw(FEW)
    shared = {
        "vocab_size": draw(SMALL) + 1,  # the padding token of MPNet is number 1
        "hidden_size": 2 * heads * draw(FEW),  # rotation takes an even head
        "num_hidden_layers": draw(FEW),
        "num_attention_heads": heads,
        "intermediate_size": draw(SMALL),
        "max_position_embeddings": 64,
        "tie_word_embeddings": draw(st.booleans()),
    }
    spans = -1 if model_type in ("gte", "nomic_bert") else None  # which have no class of answers
    kind = draw(st.sampled_from(_ENCODER_CLASSES[:spans] + ["ForPreTraining"] * (model_type == "electra")))
    labels = 2 if kind == "ForQuestionAnswering" else draw(FEW)  # where an answer starts, and where it ends
    return {
        "model_type": model_type,
        "architectures": [stem + kind],
        "id2label": {number: str(number) for number in range(labels)},
        **{called.get(name, name): value for name, value in shared.items()},
        **{name: draw(strategy) for name, strategy in own.items()},
    }


@st.composite
def _tower(draw: st.DrawFn) -> dict[str, Any]:
    heads = draw(FEW)
    return {
        "hidden_size": heads * draw(FEW),
        "num_hidden_layers": draw(FEW),
        "num_attention_heads": heads,
        "intermediate_size": draw(SMALL),
    }


@st.composite
def vit_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A small ViT, bare or with a classifier; images that patches may not fill."""
    patch = draw(FEW)
    return {
        "model_type": "vit",
        "architectures": [draw(st.sampled_from(("ViTModel", "ViTForImageClassification")))],
        **draw(_tower()),
        "hidden_act": draw(st.sampled_from(("gelu", "relu"))),
        "patch_size": patch,
        "image_size": patch + draw(st.integers(0, 12)),
        "num_channels": draw(FEW),
        "qkv_bias": draw(st.booleans()),
        "id2label": {number: str(number) for number in range(draw(FEW))},
    }


@st.composite
def clip_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A small CLIP, or one of its towers alone."""
    patch, projection = draw(FEW), {"projection_dim": draw(SMALL)}
    text = {**draw(_tower()), "vocab_size": draw(SMALL) + 3, "max_position_embeddings": draw(SMALL)}
    image = {**draw(_tower()), "patch_size": patch, "image_size": patch + draw(st.integers(0, 12)), "num_channels": 3}
    kind = draw(st.sampled_from(("Model", "TextModel", "TextModelWithProjection", "VisionModel",
                                 "VisionModelWithProjection")))  # fmt: skip
    family = {"M": "clip", "T": "clip_text_model", "V": "clip_vision_model"}[kind[0]]
    own = {"clip": {"text_config": text, "vision_config": image}, "clip_text_model": text, "clip_vision_model": image}
    return {"model_type": family, "architectures": [f"CLIP{kind}"], **own[family], **projection}


_T5 = {
    "d_kv": SMALL,
    "feed_forward_proj": st.sampled_from(("relu", "gated-gelu", "gated-silu")),
    "relative_attention_num_buckets": st.sampled_from((4, 8, 32)),
}
_BART = {"max_position_embeddings": st.integers(40, 64), "activation_function": st.sampled_from(("gelu", "relu"))}
_WHISPER = {
    "max_source_positions": st.integers(1, 40),
    "max_target_positions": st.integers(20, 40),
    "num_mel_bins": SMALL,
    "activation_function": st.sampled_from(("gelu", "relu")),
}
ENCODER_DECODERS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    # classes; what the family has beside what all have
    "bart": (("BartForConditionalGeneration", "BartModel"), _BART),
    "m2m_100": (("M2M100ForConditionalGeneration", "M2M100Model"), _BART),
    "marian": (("MarianMTModel", "MarianModel"), _BART),
    "mbart": (("MBartForConditionalGeneration", "MBartModel"), _BART),
    "mt5": (("MT5ForConditionalGeneration", "MT5Model", "MT5EncoderModel"), _T5),
    "pegasus": (("PegasusForConditionalGeneration", "PegasusModel"), _BART),
    "t5": (("T5ForConditionalGeneration", "T5Model", "T5EncoderModel"), _T5),
    "whisper": (("WhisperForConditionalGeneration", "WhisperModel"), _WHISPER),
}


@st.composite
def encoder_decoder_configs(draw: st.DrawFn, model_type: str | None = None) -> dict[str, Any]:
    """A small encoder-decoder whose stacks may differ; of one of ENCODER_DECODERS, or of any of them."""
    model_type = model_type or draw(st.sampled_from(sorted(ENCODER_DECODERS)))
    classes, own = ENCODER_DECODERS[model_type]
    heads = [draw(st.sampled_from((1, 2, 4))) for _ in "ed"]
    width = 4 * draw(st.integers(1, 4))
    if model_type in ("t5", "mt5"):
        sizes = {"d_model": width, "d_ff": draw(SMALL), "num_heads": heads[0]}
        sizes |= {"num_layers": draw(FEW), "num_decoder_layers": draw(FEW)}
    else:
        sizes = {"d_model": width}
        for stack, count in zip(("encoder", "decoder"), heads, strict=True):
            sizes |= {f"{stack}_layers": draw(FEW), f"{stack}_attention_heads": count, f"{stack}_ffn_dim": draw(SMALL)}
    return {
        "model_type": model_type,
        "architectures": [draw(st.sampled_from(classes))],
        "vocab_size": draw(SMALL) + 3,
        **sizes,
        **{name: draw(strategy) for name, strategy in own.items()},
    }


@st.composite
def with_fields_left_out(draw: st.DrawFn, configs: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """The same without some of the fields that have a default in their Hugging Face class."""
    left_out, config = draw(st.sets(st.sampled_from(OPTIONAL))), draw(configs)
    needed = {"head_dim"} if config["model_type"] in _HEADS_NEED_A_WIDTH else set()
    return {key: value for key, value in config.items() if key not in left_out - needed}


_HEADS_NEED_A_WIDTH = ("helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "ministral")
"""What transformers itself cannot build, or run, without a stated ``head_dim``."""

OPTIONAL = (
    *("attention_bias", "mlp_bias", "head_dim", "n_inner", "type_vocab_size"),
    *("hidden_act", "activation_function", "tie_word_embeddings"),
)


def model_configs() -> st.SearchStrategy[dict[str, Any]]:
    """A small configuration of any family."""
    return st.one_of(
        bert_configs(),
        gpt2_configs(),
        llama_configs(),
        qwen3_configs(),
        decoder_configs(),
        encoder_configs(),
        vit_configs(),
        clip_configs(),
        encoder_decoder_configs(),
        *STATES.values(),
    )
