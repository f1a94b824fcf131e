"""What an entry of a ``model_type`` says, and what all entries share.

An entry says which shape, what its fields are called, what its absent fields mean (the defaults of the Hugging Face
class), which of its classes have which head, and which options must keep their usual value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from roofline.models.shapes.config import Config
from roofline.program.conventions import Conventions
from roofline.program.program import Program

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """How one ``model_type`` maps onto a shape.

    rename: its field -> the shape's field. defaults: a shape's field -> what its absence means, a value or a function
    of the other fields, in the file's names and the shape's. reads: fields that only those functions read. fixed:
    options of the shape that this family never varies. classes: Hugging Face class -> options, the first one being
    meant when the configuration names none. only: field -> the one value that is modelled. inert: fields of this family
    that change no count. options: fields of the shape, beyond those that every configuration has, that this family
    really reads. A field of a mapping within the shape goes by its path: ``recurrence.heads``. nested: fields of the
    file that are mappings, whose own fields go by their path too.
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
    reads: frozenset[str] = frozenset()
    nested: tuple[str, ...] = ()


INERT = frozenset(
    "model_type architectures transformers_version torch_dtype dtype use_cache bos_token_id eos_token_id pad_token_id "
    "sep_token_id decoder_start_token_id initializer_range layer_norm_eps rms_norm_eps layer_norm_epsilon "
    "attention_dropout attention_probs_dropout_prob hidden_dropout_prob classifier_dropout rope_theta rope_scaling "
    "rope_parameters pretraining_tp id2label label2id problem_type output_attentions output_hidden_states return_dict "
    "return_dict_in_generate chunk_size_feed_forward finetuning_task task_specific_params gradient_checkpointing "
    "position_embedding_type _name_or_path unsloth_fixed unsloth_version _attn_implementation tokenizer_class prefix "
    "is_decoder resid_pdrop embd_pdrop attn_pdrop hidden_dropout bad_words_ids begin_suppress_tokens suppress_tokens "
    "attn_implementation use_bfloat16 torchscript pruned_heads tf_legacy_loss "
    "cross_attention_hidden_size quantization_config".split()
)
"""Fields that change no count, in any family."""

USUAL: Fields = {"is_encoder_decoder": False, "add_cross_attention": False}
"""Options of transformers that are the same in every family, and the one value of each that is modelled."""

CAUSAL: Fields = {"head": True}
BASE: Fields = {"head": False}


def causal(stem: str) -> dict[str, Fields]:
    """The two classes of a decoder family: ``LlamaForCausalLM`` with a head, ``LlamaModel`` without."""
    return {f"{stem}ForCausalLM": CAUSAL, f"{stem}Model": BASE}


def names(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())
