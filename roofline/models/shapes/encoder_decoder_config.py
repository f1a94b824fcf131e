"""What tells one encoder-decoder from another: the options of the shape."""

from __future__ import annotations

from typing import Any, Literal

from roofline.errors import shown
from roofline.files.fields import Field, model_validator
from roofline.layers.normalization import Norm
from roofline.models.shapes.config import MAX_SIZE, Config, Layers, Size
from roofline.program.traffic.lengths import Lengths


class EncoderDecoderConfig(Config):
    """An encoder of text or sound, and a causal decoder that attends to what it has read.

    The fields without a prefix are the decoder's, but for ``max_position_embeddings``, the most that the encoder reads.
    blocks: ``pre`` norms the input of each branch (T5), ``post`` each sum (BART). positions: rows of a trained table, a
    fixed one that is kept (``sinusoidal``) or not (``computed``), or a bias of the scores by distance (``relative``).
    """

    vocab_size: Size
    head_dim: Size | None = Field(default=None, description="if not hidden_size / heads")
    encoder_layers: Layers
    encoder_attention_heads: Size
    encoder_ffn_dim: Size
    decoder_positions: Size
    blocks: Literal["pre", "post"]
    positions: Literal["learned", "sinusoidal", "computed", "relative"]
    position_offset: int = Field(default=0, ge=0, le=2, description="rows of the position table before the first")
    position_buckets: int = Field(default=0, ge=0, le=MAX_SIZE, description="distances that bias the scores")
    embedding_norm: bool = False
    norm: Norm = "layer"
    gated: bool = False
    bias: bool = True
    key_bias: bool = True
    tie_word_embeddings: bool
    num_mel_bins: Size | None = Field(default=None, description="elements of a frame of sound; none: it reads text")
    decoder_start_tokens: Size = 1
    stacks: Literal["both", "encoder"] = "both"
    head: bool = True
    logits_bias: bool = Field(default=False, description="a bias of the scores that was never trained")
    position_fields: tuple[str, str] = Field(
        default=("max_position_embeddings", "max_position_embeddings"), description="the positions' names in the file"
    )

    @model_validator(mode="after")
    def _heads_of_the_encoder_divide(self) -> EncoderDecoderConfig:
        if self.head_dim is None and self.hidden_size % self.encoder_attention_heads:
            heads = f"encoder_attention_heads {shown(self.encoder_attention_heads)}"
            msg = f"{heads} does not divide the hidden size {shown(self.hidden_size)}"
            raise ValueError(msg)
        return self

    @property
    def lengths(self) -> Lengths:
        """The encoder's positions and the decoder's; sound is padded to all that the encoder can read."""
        decoder: dict[str, Any] = {}
        if self.stacks == "both":
            decoder = {"decoder_start": self.decoder_start_tokens, "decoder_positions": self.decoder_positions}
        usual = None if self.num_mel_bins is None else self.max_position_embeddings
        encoder_field, decoder_field = self.position_fields
        return Lengths(
            self.max_position_embeddings, usual=usual, field=encoder_field, decoder_field=decoder_field, **decoder
        )
