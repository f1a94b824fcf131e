"""Every ``model_type`` that is modelled: one entry each, which maps its fields onto a shape.

An entry says which shape, what its fields are called, what its absent fields mean (the defaults of the Hugging Face
class), which of its classes have which head, and which options must keep their usual value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from roofline.architectures import decoder, encoder
from roofline.architectures.config import Config
from roofline.conventions import Conventions
from roofline.program import Program

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """How one ``model_type`` maps onto a shape.

    rename: its field -> the shape's field. defaults: a shape's field -> what its absence means, a value or a function
    of the other fields. fixed: options of the shape that this family never varies. classes: Hugging Face class ->
    options, the first one being meant when the configuration names none. only: field -> the one value that is
    modelled. inert: fields of this family that change no count. options: fields of the shape, beyond those that every
    configuration has, that this family really reads.
    """

    config: type[Config]
    program: Callable[[Any, Conventions], Program]
    classes: Mapping[str, Fields]
    rename: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Fields = field(default_factory=dict)
    only: Fields = field(default_factory=dict)
    inert: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()


INERT = frozenset(
    "model_type architectures transformers_version torch_dtype dtype use_cache bos_token_id eos_token_id pad_token_id "
    "sep_token_id decoder_start_token_id initializer_range layer_norm_eps rms_norm_eps layer_norm_epsilon "
    "attention_dropout attention_probs_dropout_prob hidden_dropout_prob classifier_dropout rope_theta rope_scaling "
    "rope_parameters pretraining_tp id2label label2id problem_type output_attentions output_hidden_states return_dict "
    "return_dict_in_generate chunk_size_feed_forward finetuning_task task_specific_params gradient_checkpointing "
    "position_embedding_type _name_or_path unsloth_fixed unsloth_version _attn_implementation tokenizer_class prefix "
    "is_decoder".split()
)
"""Fields that change no count, in any family."""

_USUAL: Fields = {"is_encoder_decoder": False, "add_cross_attention": False, "quantization_config": None}
_CAUSAL = {"head": True}
_BASE = {"head": False}

FAMILIES: dict[str, Family] = {
    "bert": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=frozenset(("type_vocab_size", "tie_word_embeddings")),
        classes={
            "BertModel": {"pooler": True},
            "BertForMaskedLM": {"head": "masked_lm"},
        },
        defaults={"type_vocab_size": 2, "hidden_act": "gelu", "tie_word_embeddings": True},
        only={**_USUAL, "is_decoder": False, "position_embedding_type": "absolute"},
    ),
    "gpt2": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=frozenset(("tie_word_embeddings",)),
        classes={"GPT2LMHeadModel": _CAUSAL, "GPT2Model": _BASE},
        rename={
            "n_embd": "hidden_size",
            "n_layer": "num_hidden_layers",
            "n_head": "num_attention_heads",
            "n_positions": "max_position_embeddings",
            "n_inner": "intermediate_size",
            "activation_function": "hidden_act",
        },
        defaults={
            "intermediate_size": lambda fields: 4 * fields["hidden_size"],
            "hidden_act": "gelu_new",
            "tie_word_embeddings": True,
        },
        fixed={
            "norm": "layer",
            "positions": "learned",
            "gated": False,
            "attention_bias": True,
            "attention_out_bias": True,
            "mlp_bias": True,
            "packed_qkv": True,
        },
        only=_USUAL,
        inert=frozenset(
            "n_ctx embd_pdrop attn_pdrop resid_pdrop scale_attn_weights scale_attn_by_inverse_layer_idx "
            "reorder_and_upcast_attn summary_activation summary_first_dropout summary_proj_to_labels "
            "summary_type summary_use_proj".split()
        ),
    ),
    "llama": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=frozenset(("num_key_value_heads", "head_dim", "attention_bias", "mlp_bias", "tie_word_embeddings")),
        classes={"LlamaForCausalLM": _CAUSAL, "LlamaModel": _BASE},
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "attention_out_bias": lambda fields: fields.get("attention_bias", False),
        },
        fixed={"norm": "rms", "positions": "rotary", "gated": True},
        only=_USUAL,
    ),
    "qwen3": Family(
        decoder.DecoderConfig,
        decoder.program,
        options=frozenset(("num_key_value_heads", "head_dim", "attention_bias", "tie_word_embeddings")),
        classes={"Qwen3ForCausalLM": _CAUSAL, "Qwen3Model": _BASE},
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "head_dim": 128,
            "attention_out_bias": lambda fields: fields.get("attention_bias", False),
        },
        fixed={"norm": "rms", "positions": "rotary", "gated": True, "query_key_norm": True},
        only={**_USUAL, "use_sliding_window": False},
        inert=frozenset(("sliding_window", "max_window_layers", "layer_types")),
    ),
    "tutorial_encoder": Family(
        encoder.EncoderConfig,
        encoder.program,
        options=frozenset(("type_vocab_size",)),
        classes={"TutorialEncoder": {"head": "linear"}},
        fixed={"blocks": "plain", "tie_word_embeddings": False},
        only=_USUAL,
    ),
}
"""``model_type`` -> how it maps onto a shape."""
