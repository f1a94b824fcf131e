"""What an entry of a ``model_type`` says: how the fields of its ``config.json`` map onto those of a shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any, Generic, TypeVar

from roofline.classes import frozen
from roofline.models.shapes.config import Config
from roofline.program.conventions import Conventions
from roofline.program.program import Program

Fields = Mapping[str, Any]
Value = TypeVar("Value")


@frozen
class Rule(Generic[Value]):
    """How a field of the shape follows from other fields: a function of the file's and of the shape's known so far.

    ``consumes``: the fields of the file that it alone reads, as words; they are mapped onto nothing else.
    A rule raises ValueError, in one line that names the field, for what it cannot read.
    """

    consumes: str
    function: Callable[[Fields], Value]

    def __call__(self, fields: Fields) -> Value:
        """The value of the shape's field."""
        return self.function(fields)


def rule(consumes: str) -> Callable[[Callable[[Fields], Value]], Rule[Value]]:
    """Decorates a function of the fields as a :class:`Rule` that ``consumes`` some of them."""
    return lambda function: Rule(consumes, function)


@frozen
class Family:
    """How the ``config.json`` of one ``model_type`` maps onto a shape, ``config`` and ``program``.

    A field of the shape is stated by the file or it is not:

    - options: a field that the file may state -> what its absence means: the default of the configuration's class in
      transformers, a rule, or None, which leaves it to the shape. The sizes that every network has are options without
      being listed.
    - fixed: a field that no file states -> the value that the family's code builds in, or the rule that derives it.
    - classes: the class that ``architectures`` names -> fields of the shape that it fixes; the first one is meant where
      the file names none.

    A field of the file that is no option by its own name is one of these, or it is reported as not modelled:

    - rename: the file's name -> the option that it states.
    - consumed: what a rule reads.
    - only: a field -> the one value of it that is modelled; any other is refused by name. Null and absence pass.
    - inert: a field that changes no count, beyond those of :data:`INERT`.
    - positive: an option by the file's name whose 0 no code of the family means anything by.

    A field of a mapping within the shape goes by its path, ``recurrence.heads``, and so do those of the file's mappings
    that ``nested`` lists.
    """

    config: type[Config]
    program: Callable[[Any, Conventions], Program]
    classes: Mapping[str, Fields]
    rename: Mapping[str, str] = field(default_factory=dict)
    options: Fields = field(default_factory=dict)
    fixed: Fields = field(default_factory=dict)
    only: Fields = field(default_factory=dict)
    inert: frozenset[str] = frozenset()
    nested: tuple[str, ...] = ()
    positive: frozenset[str] = frozenset()

    def but(
        self,
        classes: Mapping[str, Fields] | None = None,
        *,
        without: str = "",
        rename: Mapping[str, str] | None = None,
        options: Fields | None = None,
        fixed: Fields | None = None,
        only: Fields | None = None,
        inert: str = "",
        positive: str = "",
    ) -> Family:
        """The family that differs from this one in what is stated, and in nothing else.

        ``without``: options that it lacks, as words. An option that ``fixed`` names is none any more, and the other way
        round. Raises KeyError for an option that was none.
        """
        kept = dict(self.options)
        for name in without.split():
            del kept[name]
        options, fixed = options or {}, fixed or {}
        return replace(
            self,
            classes=self.classes if classes is None else classes,
            rename={**self.rename, **(rename or {})},
            options={**{name: kept[name] for name in kept if name not in fixed}, **options},
            fixed={**{name: self.fixed[name] for name in self.fixed if name not in options}, **fixed},
            only={**self.only, **(only or {})},
            inert=self.inert | names(inert),
            positive=self.positive | names(positive),
        )

    @property
    def consumed(self) -> frozenset[str]:
        """The fields of the file that only rules read."""
        rules = (value for value in (*self.options.values(), *self.fixed.values()) if isinstance(value, Rule))
        return frozenset(name for each in rules for name in each.consumes.split())

    @property
    def by_own_name(self) -> frozenset[str]:
        """The fields of the shape that a file may state under the shape's name; a path goes by another."""
        everywhere = {*Config.stated, *({"vocab_size"} & set(self.config.stated))}
        return frozenset(everywhere | {name for name in self.options if "." not in name})


INERT = frozenset(
    "model_type architectures transformers_version torch_dtype dtype use_cache bos_token_id eos_token_id pad_token_id "
    "sep_token_id decoder_start_token_id initializer_range layer_norm_eps rms_norm_eps layer_norm_epsilon "
    "attention_dropout attention_probs_dropout_prob hidden_dropout_prob classifier_dropout rope_theta rope_scaling "
    "rope_parameters pretraining_tp id2label label2id problem_type output_attentions output_hidden_states return_dict "
    "return_dict_in_generate chunk_size_feed_forward finetuning_task task_specific_params gradient_checkpointing "
    "position_embedding_type _name_or_path unsloth_fixed unsloth_version _attn_implementation tokenizer_class prefix "
    "is_decoder resid_pdrop embd_pdrop attn_pdrop hidden_dropout bad_words_ids begin_suppress_tokens suppress_tokens "
    "attn_implementation use_bfloat16 torchscript pruned_heads tf_legacy_loss "
    "cross_attention_hidden_size quantization_config compression_config auto_map text_config "
    "mamba_ssm_dtype mamba_ssm_cache_dtype num_nextn_predict_layers num_mtp_layers num_mtp_modules "
    "mtp_num_hidden_layers mtp_use_dedicated_embeddings "
    "mtp_transformer_layers use_mtp max_length min_length do_sample early_stopping num_beams num_beam_groups "
    "diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size "
    "encoder_no_repeat_ngram_size num_return_sequences output_scores remove_invalid_values forced_bos_token_id "
    "forced_eos_token_id exponential_decay_length_penalty tie_encoder_decoder generation_config "
    "vision_config audio_config audio_token_id audio_token_index image_token_id image_token_index video_token_id "
    "vision_start_token_id "
    "vision_end_token_id processor video_processor".split()
)
"""Fields that change no count, in any family."""

USUAL: Fields = {"is_encoder_decoder": False, "add_cross_attention": False}
"""Options of transformers that are the same in every family, and the one value of each that is modelled."""


def causal(stem: str, base: str = "") -> dict[str, Fields]:
    """The two classes of a decoder family: ``LlamaForCausalLM`` with a head, ``LlamaModel`` without.

    ``base``: the stem of the second one, where it differs.
    """
    return {f"{stem}ForCausalLM": {"head": True}, f"{base or stem}Model": {"head": False}}


def text_part(stem: str) -> dict[str, Fields]:
    """The two classes of the text part of a network that sees: with the head of the whole, and without."""
    return {f"{stem}ForConditionalGeneration": {"head": True}, f"{stem}TextModel": {"head": False}}


def names(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())
