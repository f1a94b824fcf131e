"""What the property tests draw from: sizes of axes, and small configurations with Hugging Face field names."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from roofline.architectures.model import load_model, preset_names
from roofline.axes import LEGEND

ARCHITECTURES = list({load_model(name).model_type: name for name in reversed(preset_names())}.values())[::-1]
"""A preset of each architecture."""

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


@st.composite
def with_fields_left_out(draw: st.DrawFn, configs: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """The same without some of the fields that have a default in their Hugging Face class."""
    left_out = draw(st.sets(st.sampled_from(OPTIONAL)))
    return {key: value for key, value in draw(configs).items() if key not in left_out}


OPTIONAL = (
    *("attention_bias", "mlp_bias", "head_dim", "n_inner", "type_vocab_size"),
    *("hidden_act", "activation_function", "tie_word_embeddings"),
)


def model_configs() -> st.SearchStrategy[dict[str, Any]]:
    """A small configuration of any family."""
    return st.one_of(bert_configs(), gpt2_configs(), llama_configs(), qwen3_configs())
