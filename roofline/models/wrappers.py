"""What stands around the fields of a network: a wrapper of text and images, another name for a known type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.models.families import FAMILIES, SYNONYMS

_OUTER = ("tie_word_embeddings", "quantization_config", "compression_config", "torch_dtype", "dtype")
"""Fields of a wrapper that speak of its text model, where that does not state them itself."""

_FLAT = {"qwen2_vl": "qwen2_vl_text", "qwen2_5_vl": "qwen2_5_vl_text"}
"""Wrappers whose files may state the fields of the text model beside the ``vision_config``, and what it is then."""

_AHEAD = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", "num_mtp_layers")


_THINKER = "thinker_config"
"""What an omni model calls its part that reads text, images and sound and writes text."""

_SIZES = (
    "hidden_size intermediate_size num_hidden_layers num_attention_heads vocab_size max_position_embeddings".split()
)
_SILENT = {
    "llama": dict(zip(_SIZES, (4096, 11_008, 32, 32, 32_000, 2048), strict=True)),
    "mistral": dict(zip(_SIZES, (4096, 14_336, 32, 32, 32_000, 131_072), strict=True)),
    "qwen2": dict(zip(_SIZES, (4096, 22_016, 32, 32, 151_936, 32_768), strict=True)),
}
"""What the class of a text model takes for the sizes that a wrapper's file leaves out, as transformers writes it."""


SILENT_HEAD = {"internvl": True, "kimi_k25": True, "qwen3_vl": False, "qwen3_vl_moe": False}
"""Whether the class of a wrapper ties the head where its file is silent, if its text model's class does otherwise."""

_UNNAMED = {"llava": "llama", "llava_next": "llama", "minimax_m3_vl": "minimax_m3_vl_text"}
"""What the class of a wrapper takes its text model for, where the file does not say of which type that is."""


def opened(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The fields of a file, the thinker of an omni model in place of the whole; and what is left out of it, in words.

    A text model within has the sizes that its file leaves out, where transformers would.

    >>> opened({"model_type": "omni", "thinker_config": {"model_type": "thinker"}, "talker_config": {}})
    ({'model_type': 'thinker'}, ('the thinker of "omni" alone is read; its talker_config is not counted',))
    """
    inner = fields.get(_THINKER)
    if not isinstance(inner, Mapping):
        return _filled(fields), ()
    beside = {name: fields[name] for name in (*_OUTER, "processor", "video_processor") if name in fields}
    return _filled({**beside, **inner}), (_said(fields, "thinker", _THINKER),)


def _filled(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    text = fields.get("text_config")
    if not isinstance(text, Mapping):
        return fields
    kind = str(fields.get("model_type"))
    head = False if kind.endswith("_thinker") else SILENT_HEAD.get(kind)
    if head is not None and "tie_word_embeddings" not in text:
        fields = {"tie_word_embeddings": head, **fields}
    unnamed = _UNNAMED.get(kind) if text.get("model_type") is None else None
    named = {"model_type": unnamed} if unnamed is not None else {}
    silent = _SILENT.get(str({**text, **named}.get("model_type")), {})
    return {**fields, "text_config": {**silent, **text, **named}} if silent or named else fields


def text_model(fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of the network that is modelled, and what of the file is left out of it, in words.

    A wrapper, whose own type is not modelled but whose ``text_config`` is, stands for its text model. A type of remote
    code that is a known one under another name has the known one's.

    >>> text_model({"model_type": "seer", "text_config": {"model_type": "llama"}, "vision_config": {}})
    ({'model_type': 'llama'}, ('the text model of "seer" alone is read; its vision_config is not counted',))
    """
    plain = _renamed(fields)
    inner = plain.get("text_config")
    kind = plain.get("model_type")
    if isinstance(kind, str) and kind in _FLAT and not isinstance(inner, Mapping):
        rest = {name: value for name, value in plain.items() if name != "vision_config"}
        return {**rest, "model_type": _FLAT[kind]}, (_said(plain),)
    if _is_modelled(plain) or not isinstance(inner, Mapping) or not _is_modelled(text := _renamed(inner)):
        return plain, ()
    return {**{name: plain[name] for name in _OUTER if name in plain}, **text}, (_said(plain),)


def _said(plain: Mapping[str, Any], read: str = "text model", room: str = "text_config") -> str:
    """What of a wrapper is not read, in words."""
    towers = [name for name in plain if name.endswith("_config") and name not in (room, *_OUTER)]
    rest = f"; its {' and '.join(sorted(towers))} {'is' if len(towers) == 1 else 'are'} not counted" if towers else ""
    return f'the {read} of "{plain.get("model_type")}" alone is read{rest}'


def _is_modelled(fields: Mapping[str, Any]) -> bool:
    kind = fields.get("model_type")
    return isinstance(kind, str) and kind in FAMILIES


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    kind = fields.get("model_type")
    return {**fields, "model_type": SYNONYMS.get(kind, kind)} if isinstance(kind, str) else dict(fields)


def left_out(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """What the file has beside the network that answers, in words: remote code, layers that predict further tokens."""
    found = []
    if fields.get("auto_map"):
        found.append(f"auto_map is not run: {fields.get('model_type')} is modelled as transformers has it")
    ahead = [fields[name] for name in _AHEAD if isinstance(fields.get(name), int)]
    if any(ahead):
        found.append(f"its multi-token prediction ({max(ahead)}) is not counted")
    return tuple(found)
