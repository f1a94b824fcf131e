"""The state-space models without attention: Mamba, and how the others depart from it."""

from __future__ import annotations

from roofline.errors import shown
from roofline.models.families.family import USUAL, Family, Fields, causal, names
from roofline.models.families.recurrent_rules import expanded, rank_of_time_steps
from roofline.models.shapes import state_space
from roofline.program.workload import MAX_LENGTH

_inner_width = expanded("expand")


def _whole_heads(fields: Fields) -> str:
    """Mamba-2: the kind, if the heads fill the inner width, without which transformers does not build it."""
    heads, width = fields["num_attention_heads"], fields["head_dim"]
    if heads * width != _inner_width(fields):
        msg = f"num_heads {shown(heads)} x head_dim {shown(width)} is not expand x hidden_size {_inner_width(fields)}"
        raise ValueError(msg)
    return "mamba2"


_STATE_SPACE = Family(
    state_space.StateSpaceConfig,
    state_space.program,
    classes=causal("Mamba"),
    rename={
        "state_size": "recurrence.state_size",
        "conv_kernel": "recurrence.conv_kernel",
        "use_bias": "recurrence.bias",
        "use_conv_bias": "recurrence.conv_bias",
    },
    options={"hidden_act": "silu", "recurrence.conv_kernel": 4},
    fixed={"intermediate_size": _inner_width, "max_position_embeddings": MAX_LENGTH},
    only={**USUAL, "hidden_act": "silu"},
    inert=names(
        "residual_in_fp32 rescale_prenorm_residual time_step_min time_step_max time_step_floor time_step_limit "
        "time_step_scale time_step_init_scheme use_mambapy use_falcon_mambapy use_associative_scan use_mamba_kernels "
        "mixer_rms_eps rms_norm intermediate_size"
    ),
)
_MAMBA = _STATE_SPACE.but(
    options={"tie_word_embeddings": True, "num_attention_heads": _inner_width, "recurrence.state_size": 16},
    fixed={
        "head_dim": 1,
        "recurrence.kind": "mamba",
        "recurrence.width": _inner_width,
        "recurrence.time_step_rank": rank_of_time_steps("time_step_rank"),
    },
)

STATE_SPACES: dict[str, Family] = {
    "falcon_mamba": _MAMBA.but(causal("FalconMamba"), fixed={"recurrence.norms": "rms_bare"}),
    "mamba": _MAMBA,
    "mamba2": _STATE_SPACE.but(
        causal("Mamba2"),
        rename={
            "num_heads": "num_attention_heads",
            "n_groups": "recurrence.groups",
            "chunk_size": "recurrence.chunk_size",
        },
        options={
            "tie_word_embeddings": False,
            "num_attention_heads": 128,
            "head_dim": 64,
            "recurrence.groups": 8,
            "recurrence.state_size": 128,
            "recurrence.chunk_size": 256,
        },
        fixed={
            "recurrence.kind": _whole_heads,
            "recurrence.heads": lambda fields: fields["num_attention_heads"],
            "recurrence.head_dim": lambda fields: fields["head_dim"],
            "recurrence.out_bias": lambda fields: fields.get("use_bias", False),
        },
        inert="time_step_rank",
    ),
}
