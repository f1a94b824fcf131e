"""Small configurations of networks with states, with Hugging Face field names."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SMALL = st.integers(1, 40)
FEW = st.integers(1, 4)
WIDE = st.integers(2, 40)  # torch.einsum multiplies elementwise where a contracted axis has one element
TAPS = st.integers(2, 4)
FLAG = st.booleans()


@st.composite
def _mamba(draw: st.DrawFn, model_type: str, stem: str) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "architectures": [draw(st.sampled_from((f"{stem}ForCausalLM", f"{stem}Model")))],
        "vocab_size": draw(SMALL),
        "hidden_size": draw(SMALL),
        "num_hidden_layers": draw(FEW),
        "state_size": draw(SMALL),
        "expand": draw(FEW),
        "conv_kernel": draw(TAPS),
        "time_step_rank": draw(st.just("auto") | SMALL),
        "use_bias": draw(FLAG),
        "use_conv_bias": draw(FLAG),
        "tie_word_embeddings": draw(FLAG),
    }


@st.composite
def _mamba2(draw: st.DrawFn) -> dict[str, Any]:
    expand, groups, heads, width = draw(st.integers(1, 2)), draw(FEW), draw(FEW), 2 * draw(FEW)
    return {
        "model_type": "mamba2",
        "architectures": [draw(st.sampled_from(("Mamba2ForCausalLM", "Mamba2Model")))],
        "vocab_size": draw(SMALL),
        "hidden_size": groups * heads * width // expand,
        "num_hidden_layers": draw(FEW),
        "num_heads": groups * heads,
        "head_dim": width,
        "n_groups": groups,
        "state_size": draw(WIDE),
        "chunk_size": draw(WIDE),
        "expand": expand,
        "conv_kernel": draw(TAPS),
        "use_bias": draw(FLAG),
        "use_conv_bias": draw(FLAG),
        "tie_word_embeddings": draw(FLAG),
    }


@st.composite
def _decoder(draw: st.DrawFn, model_type: str, stem: str, base: str = "") -> dict[str, Any]:
    """What all hybrids have: sizes, heads, a head or none."""
    kv_heads, group, half = draw(FEW), draw(FEW), draw(FEW)
    width = kv_heads * group * 2 * half
    return {
        "model_type": model_type,
        "architectures": [draw(st.sampled_from((f"{stem}ForCausalLM", f"{base or stem}Model")))],
        "vocab_size": draw(SMALL),
        "hidden_size": width,
        "num_hidden_layers": draw(st.integers(1, 5)),
        "num_attention_heads": kv_heads * group,
        "num_key_value_heads": kv_heads,
        "intermediate_size": draw(SMALL.map(lambda half: 2 * half) | st.sampled_from((width, 2 * width))),
        "max_position_embeddings": 256,
        "tie_word_embeddings": draw(FLAG),
    }


def _with(shared: st.SearchStrategy[dict[str, Any]], *, but: str = "", **own: Any) -> st.SearchStrategy[dict[str, Any]]:
    """The shared fields, without those named in ``but``, and the family's own."""
    kept = shared.map(lambda fields: {key: value for key, value in fields.items() if key not in but.split()})
    return st.builds(lambda fields, more: {**fields, **more}, kept, st.fixed_dictionaries(own))


@st.composite
def _mamba2_beside(draw: st.DrawFn, configs: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """With a Mamba-2 mixer whose heads fill twice the hidden size, in as many groups as divide the heads."""
    fields = draw(configs)
    width = 2 * fields["hidden_size"]
    heads = draw(st.sampled_from([number for number in range(1, width // 2 + 1) if width % number == 0]))
    groups = draw(st.sampled_from([number for number in range(1, heads + 1) if heads % number == 0]))
    mixer = {
        "mamba_n_heads": heads,
        "mamba_n_groups": groups,
        "mamba_d_state": draw(WIDE),
        "mamba_d_conv": draw(TAPS),
        "mamba_chunk_size": draw(WIDE),
        "mamba_conv_bias": draw(FLAG),
        "mamba_proj_bias": draw(FLAG),
    }
    return {**fields, **mixer}


@st.composite
def _with_kinds(draw: st.DrawFn, configs: st.SearchStrategy[dict[str, Any]], field: str, *kinds: str) -> dict[str, Any]:
    """With a list of kinds of layers in ``field``; of their numbers where there is one kind."""
    fields = draw(configs)
    count = fields["num_hidden_layers"]
    if len(kinds) == 1:
        return {**fields, field: sorted(draw(st.sets(st.integers(0, count - 1))))}
    return {**fields, field: draw(st.lists(st.sampled_from(kinds), min_size=count, max_size=count))}


_BOTH = ("linear_attention", "full_attention")
_EXPERTS = {"num_experts": st.integers(2, 5), "num_experts_per_tok": st.integers(1, 2), "moe_intermediate_size": SMALL}
_DELTA = {
    "head_dim": st.sampled_from((8, 16)),
    "attention_bias": FLAG,
    "linear_key_head_dim": WIDE,
    "linear_value_head_dim": WIDE,
    "linear_conv_kernel_dim": TAPS,
}


@st.composite
def _qwen(draw: st.DrawFn, model_type: str, stem: str, base: str = "", **own: Any) -> dict[str, Any]:
    fields = draw(_with(_decoder(model_type, stem, base), **_DELTA, **own))
    keys, each = draw(FEW), draw(FEW)
    counts = {"linear_num_key_heads": keys, "linear_num_value_heads": keys * each}
    listed = draw(_with_kinds(st.just(fields), "layer_types", *_BOTH)) if draw(FLAG) else fields
    return {**listed, **counts}


@st.composite
def _bailing(draw: st.DrawFn) -> dict[str, Any]:
    own = {
        "kv_lora_rank": WIDE,
        "qk_nope_head_dim": WIDE,
        "qk_rope_head_dim": st.sampled_from((2, 4)),
        "v_head_dim": WIDE,
        "head_dim": WIDE,
        "num_experts_per_tok": st.integers(1, 2),
        "num_local_experts": st.sampled_from((4, 6)),
        "n_shared_experts": FEW,
        "n_group": st.just(1),
        "topk_group": st.just(1),
        "moe_intermediate_size": SMALL,
        "first_k_dense_replace": st.integers(0, 3),
        "short_conv_kernel_size": TAPS,
        "layer_group_size": st.integers(1, 3),
    }
    fields = draw(_with(_decoder("bailing_hybrid", "BailingHybrid"), but="tie_word_embeddings", **own))
    fields["num_key_value_heads"] = fields["num_attention_heads"]
    return draw(_with_kinds(st.just(fields), "layer_types", *_BOTH)) if draw(FLAG) else fields


@st.composite
def _olmo(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(_with(_decoder("olmo_hybrid", "OlmoHybrid"), **{**_DELTA, "linear_key_head_dim": st.none() | WIDE}))
    del fields["head_dim"]
    count = max(fields["num_hidden_layers"], 2)
    own = {"linear_num_value_heads": fields["num_attention_heads"] * draw(FEW), "num_hidden_layers": count}
    kinds = list(draw(st.permutations([*_BOTH, *draw(st.lists(st.sampled_from(_BOTH), min_size=count - 2,
                                                              max_size=count - 2))])))  # fmt: skip
    return {**fields, **own, **({"layer_types": kinds} if draw(FLAG) else {})}


@st.composite
def _kimi(draw: st.DrawFn) -> dict[str, Any]:
    own = {
        "kv_lora_rank": WIDE,
        "q_lora_rank": st.none() | SMALL,
        "qk_nope_head_dim": WIDE,
        "qk_rope_head_dim": st.sampled_from((2, 4)),
        "v_head_dim": WIDE,
        "num_experts": st.integers(2, 5),
        "num_experts_per_token": st.integers(1, 2),
        "num_shared_experts": FEW,
        "moe_intermediate_size": SMALL,
        "linear_num_heads": FEW,
        "linear_head_dim": WIDE,
        "linear_conv_kernel_dim": TAPS,
    }
    fields = draw(_with(_decoder("kimi_linear", "KimiLinear"), but="tie_word_embeddings", **own))
    fields["num_key_value_heads"] = fields["num_attention_heads"]
    return draw(_with_kinds(st.just(fields), "layer_types", *_BOTH))


@st.composite
def _nemotron(draw: st.DrawFn) -> dict[str, Any]:
    groups, heads = draw(FEW), draw(FEW)
    pattern = draw(st.text("M*-E", min_size=1, max_size=6))
    mixer = {"mamba_num_heads": groups * heads, "n_groups": groups, "hybrid_override_pattern": pattern}
    own = {
        "head_dim": st.sampled_from((4, 10)),
        "mamba_head_dim": WIDE,
        "ssm_state_size": WIDE,
        "conv_kernel": TAPS,
        "chunk_size": WIDE,
        "use_bias": FLAG,
        "use_conv_bias": FLAG,
        "n_routed_experts": st.integers(2, 5),
        "num_experts_per_tok": st.integers(1, 2),
        "moe_intermediate_size": SMALL,
        "moe_shared_expert_intermediate_size": SMALL,
        "moe_latent_size": st.none() | SMALL,
    }
    return {
        **draw(_with(_decoder("nemotron_h", "NemotronH"), but="num_hidden_layers tie_word_embeddings", **own)),
        **mixer,
    }


@st.composite
def _recurrent_gemma(draw: st.DrawFn) -> dict[str, Any]:
    shared = _decoder("recurrent_gemma", "RecurrentGemma")
    own = {"attention_bias": FLAG, "attention_window_size": st.integers(2, 64), "conv1d_width": TAPS}
    fields = draw(_with(shared, but="max_position_embeddings", **own))
    kinds = draw(st.lists(st.sampled_from(("recurrent", "attention")), min_size=1, max_size=3))
    return {**fields, "block_types": kinds}


_PERIODS = {
    "attn_layer_period": st.just(3),
    "attn_layer_offset": st.integers(0, 2),
    "expert_layer_period": st.just(2),
    "expert_layer_offset": st.integers(0, 1),
}
_ROPE = {"position_embedding_type": st.sampled_from((None, "rope")), "attention_bias": FLAG}


@st.composite
def _minimax(draw: st.DrawFn) -> dict[str, Any]:
    experts = {"num_local_experts": st.integers(2, 5), "num_experts_per_tok": st.integers(1, 2)}
    own = {"head_dim": st.sampled_from((4, 10)), "block_size": WIDE, "hidden_act": st.just("silu")}
    fields = draw(_with(_decoder("minimax", "MiniMax"), **own, **experts))
    rest = draw(st.lists(st.sampled_from(_BOTH), min_size=5, max_size=5))
    return {**fields, "layer_types": ["full_attention", *rest][: fields["num_hidden_layers"]]}  # its cache asks layer 0


STATES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "bamba": _with_kinds(
        _mamba2_beside(_with(_decoder("bamba", "Bamba"), attention_bias=FLAG, mlp_bias=FLAG)), "attn_layer_indices", ""
    ),
    "falcon_h1": _mamba2_beside(
        _with(
            _decoder("falcon_h1", "FalconH1"),
            attention_bias=FLAG,
            mlp_bias=FLAG,
            projectors_bias=FLAG,
            mamba_rms_norm=FLAG,
            mamba_d_ssm=st.none(),
        )
    ),
    "falcon_mamba": _mamba("falcon_mamba", "FalconMamba"),
    "granitemoehybrid": _with_kinds(
        _mamba2_beside(
            _with(
                _decoder("granitemoehybrid", "GraniteMoeHybrid"),
                num_local_experts=st.sampled_from((0, 2, 5)),
                num_experts_per_tok=st.integers(1, 2),
                shared_intermediate_size=SMALL,
                **_ROPE,
            )
        ),
        "layer_types",
        *_BOTH,
    ),
    "jamba": _with(
        _decoder("jamba", "Jamba"),
        num_experts=st.integers(1, 5),
        num_experts_per_tok=st.just(1),
        mamba_d_state=SMALL,
        mamba_d_conv=TAPS,
        mamba_expand=st.integers(1, 3),
        mamba_dt_rank=st.just("auto") | SMALL,
        mamba_conv_bias=FLAG,
        mamba_proj_bias=FLAG,
        **_PERIODS,
    ),
    "bailing_hybrid": _bailing(),
    "kimi_linear": _kimi(),
    "minimax": _minimax(),
    "lfm2": _with_kinds(
        _with(
            _decoder("lfm2", "Lfm2"),
            conv_bias=FLAG,
            conv_L_cache=TAPS,
            block_multiple_of=st.integers(1, 16),
            block_auto_adjust_ff_dim=FLAG,
        ),
        "full_attn_idxs",
        "",
    ),
    "lfm2_moe": _with_kinds(
        _with(
            _decoder("lfm2_moe", "Lfm2Moe"),
            conv_bias=FLAG,
            conv_L_cache=TAPS,
            num_dense_layers=st.integers(0, 5),
            **_EXPERTS,
        ),
        "layer_types",
        "conv",
        "full_attention",
    ),
    "lfm3": _with_kinds(
        _with(
            _decoder("lfm3", "Lfm3"),
            conv_bias=FLAG,
            conv_L_cache=TAPS,
            head_dim=st.sampled_from((8, 16)),
            attention_bias=FLAG,
            sliding_window=st.integers(1, 40),
            use_attention_gate=FLAG,
            use_sandwich_norm=FLAG,
        ),
        "layer_types",
        "conv",
        "sliding_attention",
        "full_attention",
    ),
    "olmo_hybrid": _olmo(),
    "mamba": _mamba("mamba", "Mamba"),
    "mamba2": _mamba2(),
    "nemotron_h": _nemotron(),
    "qwen3_5_moe_text": _qwen(
        "qwen3_5_moe_text", "Qwen3_5Moe", "Qwen3_5MoeText", shared_expert_intermediate_size=SMALL, **_EXPERTS
    ).map(lambda fields: {key: value for key, value in fields.items() if key != "intermediate_size"}),
    "qwen3_5_text": _qwen("qwen3_5_text", "Qwen3_5", "Qwen3_5Text"),
    "qwen3_next": _qwen(
        "qwen3_next",
        "Qwen3Next",
        shared_expert_intermediate_size=SMALL,
        decoder_sparse_step=st.integers(1, 3),
        mlp_only_layers=st.lists(st.integers(0, 4), max_size=2),
        **_EXPERTS,
    ),
    "recurrent_gemma": _recurrent_gemma(),
}
"""model_type -> its small configurations."""

OPTIONAL = ("time_step_rank", "conv_kernel", "use_bias", "use_conv_bias", "tie_word_embeddings", "expand")
"""Fields whose absence transformers takes for a size that is not large."""


@st.composite
def without_some(draw: st.DrawFn, configs: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """The same without some of the optional fields, as far as the rest still fits."""
    config, left_out = draw(configs), draw(st.sets(st.sampled_from(OPTIONAL)))
    if config["model_type"] == "mamba2" and config["expand"] != 2:
        left_out -= {"expand"}
    return {key: value for key, value in config.items() if key not in left_out}
