"""The tensors of a GGUF file by the weights of a program that lie in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from roofline.models.gguf.header import GgufTensor

_LAYER = re.compile(r"blk\.(\d+)\.(.*)\.weight")

_OUTSIDE = {
    "token_embd.weight": ("token_table",),
    "output.weight": ("w_head",),
    "position_embd.weight": ("position_table",),
}

_WEIGHTS: dict[str, tuple[str, ...]] = {
    "attn_q": ("w_q", "w_attention_gate"),
    "attn_k": ("w_k",),
    "attn_v": ("w_v",),
    "attn_qkv": ("w_q", "w_k", "w_v"),
    "attn_output": ("w_out",),
    "attn_q_a": ("w_q_down",),
    "attn_q_b": ("w_q", "w_qr"),
    "attn_kv_a_mqa": ("w_kv_down", "w_k_rotary"),
    "attn_kv_b": ("w_k_up", "w_v_up"),
    "attn_k_b": ("w_k_up",),
    "attn_v_b": ("w_v_up",),
    "ffn_gate": ("w_gate",),
    "ffn_up": ("w_up",),
    "ffn_down": ("w_down",),
    "ffn_gate_inp": ("w_router",),
    "ffn_gate_inp_shexp": ("w_shared_router",),
    "ffn_gate_exps": ("w_expert_gate",),
    "ffn_up_exps": ("w_expert_up",),
    "ffn_gate_up_exps": ("w_expert_gate", "w_expert_up"),
    "ffn_down_exps": ("w_expert_down",),
    "ffn_gate_shexp": ("w_shared_gate",),
    "ffn_up_shexp": ("w_shared_up",),
    "ffn_down_shexp": ("w_shared_down",),
    "ssm_in": ("w_mamba_x", "w_mamba_gate", "w_ssm_x_in", "w_ssm_b_in", "w_ssm_c_in", "w_ssm_dt", "w_ssm_gate"),
    "ssm_x": ("w_mamba_b", "w_mamba_c", "w_mamba_dt_low"),
    "ssm_dt": ("w_mamba_dt",),
    "ssm_out": ("w_mamba_out", "w_ssm_out", "w_delta_out"),
}
"""What GGUF calls a matrix of a layer -> the weights of a program that it holds, in one family or another."""


def weights_in(tensor: str) -> Iterator[tuple[str, int]]:
    """The weights that lie in a tensor, and the layer; none for one that no modelled network has by that name.

    >>> list(weights_in("blk.3.attn_qkv.weight"))
    [('w_q', 3), ('w_k', 3), ('w_v', 3)]
    """
    if tensor in _OUTSIDE:
        yield from ((weight, 0) for weight in _OUTSIDE[tensor])
    elif found := _LAYER.fullmatch(tensor):
        yield from ((weight, int(found[1])) for weight in _WEIGHTS.get(found[2], ()))


def types_of(tensors: Mapping[str, GgufTensor]) -> dict[tuple[str, int], str]:
    """The type of each weight in each layer."""
    return {place: tensor.kind for name, tensor in tensors.items() for place in weights_in(name)}
