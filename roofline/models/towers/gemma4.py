"""The tower of Gemma 4: images at their own shape within a budget of tokens, means of squares of patches."""

from __future__ import annotations

from roofline.errors import shown
from roofline.models.families.family import Family, Fields, Rule, names, rule
from roofline.models.families.rules import stated, whole
from roofline.models.shapes.tower import TowerConfig, program
from roofline.models.towers.fields import patch_elements, side, sizes


@rule("pooling_kernel_size head_dim num_key_value_heads")
def _pool(fields: Fields) -> int:
    """The side of the squares; heads that do not make up the hidden size are refused."""
    heads, hidden = fields["num_attention_heads"], fields["hidden_size"]
    width, keys = whole(fields, "head_dim", 64), whole(fields, "num_key_value_heads", 12)
    if width * heads != hidden or keys != heads:
        msg = f"head_dim {width}, num_key_value_heads {keys}: expected {shown(hidden)} / {heads} and {heads}"
        raise ValueError(msg)
    return whole(fields, "pooling_kernel_size", 3)


GEMMA4 = Family(
    TowerConfig,
    program,
    classes={"": {}},
    rename={"hidden_activation": "hidden_act"},
    options={**sizes(768, 3072, 16, 12, "gelu_pytorch_tanh")},
    fixed={
        "patch_size": side("patch_size", 16),
        "patch_elements": patch_elements,
        "patch_bias": False,
        "positions": "axes",
        "max_position_embeddings": stated("position_embedding_size", 10_240),
        "rotary": True,
        "norm": "rms",
        "placement": "sandwich",
        "query_key_norm": "shared",
        "value_norm": True,
        "gated": True,
        "attention_bias": False,
        "out_bias": False,
        "mlp_bias": False,
        "final_norm": False,
        "pool": _pool,
        "projector_norm": "rms_bare",
        "projector": Rule("outer.text_width", lambda fields: [{"width": fields["outer.text_width"], "bias": False}]),
        "rule": "budget",
        "max_tokens": stated("processor.max_soft_tokens", 280),
    },
    only={"attention_bias": False},
    inert=names(
        "max_position_embeddings use_clipped_linears standardize global_head_dim default_output_length layer_types "
        "outer.vision_soft_tokens_per_image"
    ),
)
