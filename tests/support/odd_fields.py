"""Fields of a published configuration deleted, nulled and mistyped, beside what transformers counts of it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from modules import transformers_count

from roofline.errors import RooflineError
from roofline.models.families import FAMILIES
from roofline.models.model import load_model

ODD: tuple[Any, ...] = (None, "x", -1, 0, 3, 1.5, True, [], {})
"""What a field may be given in place of its value."""

_LAYERS = "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers".split()
_BY_LAYER = (
    "layer_types",
    "no_rope_layers",
    "layers_block_type",
    "block_types",
    "hybrid_override_pattern",
    "moe_layer_freq",
    "num_attention_heads_per_layer",
    "mlp_layer_types",
)
_INDEXER = "sparse_attention_config"
_OF_NO_NETWORK = ("architectures", "dtype", "id2label", "label2id", "transformers_version")
_BUILT: dict[str, dict[str, Any]] = {
    "glm4v_moe_text": {"num_attention_heads": 32},
    "hunyuan_v1_dense": {"head_dim": 128},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 48},
    "qwen3_omni_moe_text": {"num_attention_heads": 32},
}
"""What makes a module of the defaults of a type, which by themselves make none."""
_MOST = 8
"""So many layers show all kinds of them."""


def shortened(name: str) -> dict[str, Any]:
    """The fields of a preset with few layers."""
    fields = dict(load_model(name).fields)
    for key in _LAYERS:
        if isinstance(fields.get(key), int):
            fields[key] = min(fields[key], _MOST)
    if isinstance(shared := fields.get("num_kv_shared_layers"), int):
        fields["num_kv_shared_layers"] = min(shared, _MOST // 4)
    if isinstance(inner := fields.get(_INDEXER), dict):
        fields[_INDEXER] = {key: each[:_MOST] if isinstance(each, list) else each for key, each in inner.items()}
    fields |= {key: fields[key][:_MOST] for key in _BY_LAYER if fields.get(key)}
    if fields["model_type"] == "gemma4_text":  # transformers makes the last layer full, whatever the file says
        fields["layer_types"] = [*fields["layer_types"][:-1], "full_attention"]
    return fields


def short_defaults(model_type: str) -> dict[str, Any]:
    """The fields that transformers has where a file of a type says nothing, with few layers."""
    transformers = pytest.importorskip("transformers")
    fields = transformers.AutoConfig.for_model(model_type).to_dict()
    fields = {name: value for name, value in fields.items() if name not in _OF_NO_NETWORK} | _BUILT.get(model_type, {})
    layers = next(fields[key] for key in _LAYERS if key in fields)
    for name, value in fields.items():
        if name in _LAYERS:
            fields[name] = min(value, _MOST)
        elif isinstance(value, list) and len(value) == layers:
            fields[name] = value[:_MOST]
    classes = [name for name in FAMILIES[model_type].classes if hasattr(transformers, name)]
    whole = [name for name in classes if "ConditionalGeneration" not in name]  # whose fields are the wrapper's
    return {**fields, "model_type": model_type, "architectures": whole[:1]}


def changed(fields: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field deleted, and given each odd value, with words that say so."""
    for key, value in fields.items():
        if key in ("model_type", "architectures", "vision_config"):
            continue  # without a tower the text model alone is read, and that is told
        yield f"without {key}", {name: other for name, other in fields.items() if name != key}
        for odd in ODD:
            if type(odd) is not type(value) or odd != value:
                yield f"{key} = {odd!r}", {**fields, key: deepcopy(odd)}  # transformers writes into what it is given


def contradiction(fields: dict[str, Any]) -> str:
    """How an answer differs from that of transformers; empty where both count alike, and where either refuses.

    Empty too where the answer says that it is of the text model alone, or of one of two towers.
    """
    try:
        model = load_model(fields)
        ours = model.parameters
        if any(" alone is read" in warning or " is missing: " in warning for warning in model.warnings):
            return ""
    except RooflineError:
        return ""
    try:
        theirs = transformers_count(fields)
    except Exception:
        return ""
    return "" if ours == theirs else f"{ours:,} parameters, transformers has {theirs:,}"
