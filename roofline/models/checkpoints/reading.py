"""How a published file stores its network: ``quantization_config`` or a side file, and the dtype of its states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roofline.compression.modules import Modules
from roofline.compression.recipes import AS_ASKED, Checkpoint
from roofline.errors import ConfigError, near_matches, shown
from roofline.models.checkpoints.methods import METHODS, UNREAD
from roofline.models.checkpoints.options import left_alone, listed
from roofline.models.sources import read_json

SIDE_FILE = "hf_quant_config.json"
"""Where ModelOpt puts its scheme, beside a config.json that says nothing."""

_AS_PLAIN = "; to ask for another --dtype, --set model.quantization_config=null"
_FIELDS = ("quantization_config", "compression_config")
_WIDE_STATES = ("deepseek_v4", "kimi_linear")
"""Types whose states are fp32 though no field says so: in the model.py of DeepSeek-V4, in vLLM's kda_state_dtype."""

_STATES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def read_checkpoint(
    fields: Mapping[str, Any], where: str, folder: Path | None = None
) -> tuple[Checkpoint, tuple[str, ...]]:
    """How the network of ``fields`` is stored, and warnings about modules that are counted otherwise than they are.

    ``folder`` may hold a side file. Raises ConfigError, in one line, for a method, or an option of one, that is stored
    in a way that is not modelled; it says which.

    >>> given = {"quant_method": "gptq", "bits": 4, "group_size": 64}
    >>> read_checkpoint({"quantization_config": given}, "config.json")[0].recipe
    'w4a16+g64+zp'
    """
    state = _state(fields, where)
    stated = next((fields[name] for name in _FIELDS if fields.get(name) is not None), None)
    if stated is None and not any(name in fields for name in _FIELDS):
        stated, where = _beside(folder, where)
    if stated is None:
        return Checkpoint(state=state), ()
    if not isinstance(stated, Mapping):
        msg = f"{where}: quantization_config {shown(stated)}: expected a mapping with a quant_method"
        raise ConfigError(msg)
    if fields.get("expert_dtype") is not None:  # which newer files say among the options
        stated = {"expert_dtype": fields["expert_dtype"], **stated}
    method = _method(stated, where)
    try:
        stored = METHODS[method](stated)
        rules = (*left_alone(stated), *stored.rules)
        kept = tuple((part, own) for modules, own in rules if (part := modules.known()).names)
        wide = _quantised_heads(stated, stored.rules) + _heads_not_ignored(method, stated, fields)
    except ValueError as failure:
        msg = f"{where}: {method} with {str(failure).rstrip(',')} is not modelled{_AS_PLAIN}"
        raise ConfigError(msg) from None
    return Checkpoint(stored.recipe, kept, state), _strange(rules, where) + _counted_wide(wide, where)


def _method(stated: Mapping[str, Any], where: str) -> str:
    """The method, by its name or by whose options these are."""
    method = stated.get("quant_method")
    if method is None:
        producer = stated.get("producer")
        named = producer.get("name") if isinstance(producer, Mapping) else None
        if named == "modelopt" or "quant_algo" in stated or "quantization" in stated:
            return "modelopt"
        if "config_groups" in stated:
            return "compressed-tensors"
        if stated.get("load_in_8bit") or stated.get("load_in_4bit"):  # files of 2023
            return "bitsandbytes"
    if isinstance(method, str) and method.lower() in UNREAD:
        stored = UNREAD[method.lower()]
        msg = f"{where}: {method} of quantization_config stores {stored}, which is not modelled{_AS_PLAIN}"
        raise ConfigError(msg)
    if not isinstance(method, str) or method.lower() not in METHODS:
        near = near_matches(shown(method), METHODS)
        msg = f"{where}: quant_method {shown(method)} of quantization_config is not modelled; {near}{_AS_PLAIN}"
        raise ConfigError(msg)
    return method.lower()


def _beside(folder: Path | None, where: str) -> tuple[Mapping[str, Any] | None, str]:
    """The scheme of ModelOpt's side file, and the file."""
    file = folder / SIDE_FILE if folder else None
    if file is None or not file.is_file():
        return None, where
    return read_json(file, "ModelOpt's scheme"), str(file)


def _state(fields: Mapping[str, Any], where: str) -> str:
    """The dtype of recurrent states that the file states."""
    given = fields.get("mamba_ssm_dtype") or fields.get("mamba_ssm_cache_dtype")
    if given is None and fields.get("model_type") in _WIDE_STATES:
        given = "float32"
    if given is None or given == "auto":
        return AS_ASKED.state
    if not isinstance(given, str) or given not in _STATES:
        msg = f"{where}: mamba_ssm_dtype {shown(given)} is not modelled; {near_matches(shown(given), _STATES)}"
        raise ConfigError(msg)
    return _STATES[given]


_HEADS = {
    "lm_head": "lm_head",
    "include_input_output_embeddings": "embeddings and lm_head",
    "quantize_embeddings": "embeddings",
}
"""Options that quantise what is no linear layer between the embeddings and the head."""


def _quantised_heads(stated: Mapping[str, Any], rules: tuple[tuple[Modules, str], ...]) -> list[str]:
    """Embeddings and heads that options or rules say to be quantised."""
    said = [what for option, what in _HEADS.items() if stated.get(option) is True]
    said += map(str, listed("modules_to_convert", stated.get("modules_to_convert") or ()))
    ruled = (name for modules, own in rules if own for name in modules.names)
    return said + [name for name in ruled if "lm_head" in name or "embed" in name]


_HEADS_TAKEN = {
    "compressed-tensors": ("ignore",),
    "bitsandbytes": ("llm_int8_skip_modules",),
    **dict.fromkeys(("eetq", "fbgemm_fp8", "fp8", "quanto", "torchao"), ("modules_to_not_convert", "ignored_layers")),
}
"""Methods that take the LM head as any linear layer once their list of what is left alone is given, and lacks it."""


def _heads_not_ignored(method: str, stated: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    """The head of a decoder, which some methods leave alone only where they are told to."""
    ignored = next((stated[name] for name in _HEADS_TAKEN.get(method, ()) if stated.get(name)), None)
    named, heads = fields.get("architectures"), ("ForCausalLM", "ForConditionalGeneration")
    decoder = any(str(name).endswith(heads) for name in (named if isinstance(named, list) else ()))
    if not decoder or fields.get("tie_word_embeddings") or not ignored:
        return []
    alone = Modules((ignored,) if isinstance(ignored, str) else tuple(ignored))
    return [] if alone.hold_head() else ["lm_head"]


def _counted_wide(names: list[str], where: str) -> tuple[str, ...]:
    """A warning about quantised modules that are counted in 16 bits."""
    if not names:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (f"{where}: quantization_config quantises {names[0][:60]}{more}, which is counted in 16 bits",)


def _strange(rules: tuple[tuple[Modules, str], ...], where: str) -> tuple[str, ...]:
    """A warning about modules with a treatment of their own that no modelled network has."""
    names = [name for modules, _ in rules for name in modules.unknown()]
    if not names:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (f"{where}: quantization_config names {shown(names[0])}{more}, which is not known; counted as the rest",)
