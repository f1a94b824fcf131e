"""The state-space models without attention: one entry each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import shown
from roofline.models.families.family import USUAL, Family, causal, names
from roofline.models.families.recurrent_fields import expanded, rank_of_time_steps
from roofline.models.shapes import state_space
from roofline.program.workload import MAX_LENGTH

_INERT = names(
    "residual_in_fp32 rescale_prenorm_residual time_step_min time_step_max time_step_floor time_step_limit "
    "time_step_scale time_step_init_scheme use_mambapy use_falcon_mambapy use_associative_scan use_mamba_kernels "
    "mixer_rms_eps rms_norm intermediate_size"
)
_ONLY = {**USUAL, "hidden_act": "silu"}


_inner_width = expanded("expand")


def _whole_heads(fields: Mapping[str, Any]) -> str:
    """Mamba-2: the kind, if the heads fill the inner width, without which transformers does not build it."""
    heads, width = fields["num_attention_heads"], fields["head_dim"]
    if heads * width != _inner_width(fields):
        msg = f"num_heads {shown(heads)} x head_dim {shown(width)} is not expand x hidden_size {_inner_width(fields)}"
        raise ValueError(msg)
    return "mamba2"


def _mamba(stem: str, *, tied: bool, norms: str | None, **defaults: Any) -> Family:
    """Mamba, and Falcon Mamba, which norms B, C and the time step on the way."""
    return Family(
        state_space.StateSpaceConfig,
        state_space.program,
        options=names("tie_word_embeddings"),
        classes=causal(stem),
        rename={
            "state_size": "recurrence.state_size",
            "conv_kernel": "recurrence.conv_kernel",
            "use_bias": "recurrence.bias",
            "use_conv_bias": "recurrence.conv_bias",
        },
        defaults={
            "tie_word_embeddings": tied,
            "hidden_act": "silu",
            "intermediate_size": _inner_width,
            "num_attention_heads": _inner_width,
            "recurrence.state_size": 16,
            "recurrence.conv_kernel": 4,
            "recurrence.width": _inner_width,
            "recurrence.time_step_rank": rank_of_time_steps("time_step_rank"),
            **defaults,
        },
        fixed={
            "head_dim": 1,
            "max_position_embeddings": MAX_LENGTH,
            "recurrence.kind": "mamba",
            "recurrence.norms": norms,
        },
        only=_ONLY,
        reads=names("expand time_step_rank"),
        inert=_INERT,
    )


STATE_SPACES: dict[str, Family] = {
    "falcon_mamba": _mamba("FalconMamba", tied=True, norms="rms_bare"),
    "mamba": _mamba("Mamba", tied=True, norms=None),
    "mamba2": Family(
        state_space.StateSpaceConfig,
        state_space.program,
        options=names("tie_word_embeddings head_dim"),
        classes=causal("Mamba2"),
        rename={
            "num_heads": "num_attention_heads",
            "n_groups": "recurrence.groups",
            "state_size": "recurrence.state_size",
            "conv_kernel": "recurrence.conv_kernel",
            "chunk_size": "recurrence.chunk_size",
            "use_bias": "recurrence.bias",
            "use_conv_bias": "recurrence.conv_bias",
        },
        defaults={
            "tie_word_embeddings": False,
            "hidden_act": "silu",
            "num_attention_heads": 128,
            "head_dim": 64,
            "intermediate_size": _inner_width,
            "recurrence.heads": lambda fields: fields["num_attention_heads"],
            "recurrence.head_dim": lambda fields: fields["head_dim"],
            "recurrence.groups": 8,
            "recurrence.state_size": 128,
            "recurrence.conv_kernel": 4,
            "recurrence.chunk_size": 256,
            "recurrence.out_bias": lambda fields: fields.get("use_bias", False),
            "recurrence.kind": _whole_heads,
        },
        fixed={"max_position_embeddings": MAX_LENGTH},
        only=_ONLY,
        reads=names("expand"),
        inert=_INERT | names("time_step_rank"),
    ),
}
