"""What a layer has instead of attention, or beside it: a mixer with a state, and its sizes."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from roofline.errors import shown
from roofline.files.door import Door
from roofline.files.fields import model_validator
from roofline.layers.convolution import short_convolution
from roofline.layers.delta_rule import gated_delta_net, kimi_delta_attention
from roofline.layers.linear_recurrence import lightning_attention, recurrent_block
from roofline.layers.mamba import mamba
from roofline.layers.mamba2 import mamba2
from roofline.layers.normalization import Norm
from roofline.models.shapes.config import ActivationName, Size
from roofline.program.op import Op

Kind: TypeAlias = Literal["mamba", "mamba2", "delta", "kda", "convolution", "lru", "lightning"]

_NEEDED: dict[Kind, str] = {
    "mamba": "conv_kernel width state_size time_step_rank",
    "mamba2": "conv_kernel groups heads head_dim state_size chunk_size",
    "delta": "conv_kernel groups heads head_dim state_size chunk_size",
    "kda": "conv_kernel groups heads head_dim state_size chunk_size",
    "convolution": "conv_kernel width",
    "lru": "conv_kernel heads head_dim",
    "lightning": "groups heads head_dim state_size chunk_size",
}


class Recurrence(Door):
    """A mixer with a state.

    width: channels of mixers without heads. heads: of values; groups: of what they share, keys and queries of a state.
    head_dim, state_size: a head's state is so many values times so many elements for each. conv_kernel: taps.
    norms: of Mamba's B, C and time step. normed: whether a norm follows the scan.
    """

    kind: Kind
    conv_kernel: Size | None = None
    width: Size | None = None
    groups: Size | None = None
    heads: Size | None = None
    head_dim: Size | None = None
    state_size: Size | None = None
    chunk_size: Size | None = None
    time_step_rank: Size | None = None
    bias: bool = False
    out_bias: bool = False
    conv_bias: bool = True
    norms: Norm | None = None
    normed: bool = True
    function: ActivationName = "silu"

    @model_validator(mode="after")
    def _is_whole(self) -> Recurrence:
        for name in _NEEDED[self.kind].split():
            if getattr(self, name) is None:
                msg = f"{name} of {self.kind}: missing, expected a whole number"
                raise ValueError(msg)
        if self.groups and self.heads and self.heads % self.groups:
            msg = f"{shown(self.groups)} groups do not divide {shown(self.heads)} heads"
            raise ValueError(msg)
        return self

    @property
    def sizes(self) -> dict[str, int]:
        """The letters of the mixer's operators."""
        grouped = self.groups or self.heads
        named = {
            "F": self.width,
            "K": grouped,
            "G": self.heads // self.groups if self.heads and self.groups else None,
            "H": self.head_dim,
            "U": self.head_dim if self.kind == "lru" else None,
            "N": self.state_size,
            "W": self.chunk_size,
            "R": self.time_step_rank,
            "Z": self.conv_kernel,
            "c": self.conv_kernel - 1 if self.conv_kernel else None,
        }
        return {letter: size for letter, size in named.items() if size is not None}


def mixer(recurrence: Recurrence, *, step: bool, square: bool, output: str = "a") -> tuple[Op, ...]:
    """The operators of the mixer, from the normed input ``h`` to ``output``; a ``step`` of decode or a whole prompt."""
    r = recurrence
    common: dict[str, Any] = {"step": step, "output": output}
    match r.kind:
        case "mamba":
            found = mamba(**common, bias=r.bias, conv_bias=r.conv_bias, norms=r.norms)
        case "mamba2":
            common |= {"bias": r.bias, "out_bias": r.out_bias, "conv_bias": r.conv_bias}
            found = mamba2(**common, normed=r.normed, square=square)
        case "delta":
            found = gated_delta_net(**common, square=square)
        case "kda":
            found = kimi_delta_attention(**common, square=square, ranked=r.time_step_rank is not None)
        case "convolution":
            found = short_convolution(**common, bias=r.bias)
        case "lightning":
            found = lightning_attention(**common, square=square, function=r.function)
        case "lru":
            found = recurrent_block(**common, function=r.function)
    return found
