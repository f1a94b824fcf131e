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


STATES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "falcon_mamba": _mamba("falcon_mamba", "FalconMamba"),
    "mamba": _mamba("mamba", "Mamba"),
    "mamba2": _mamba2(),
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
