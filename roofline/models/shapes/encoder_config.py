"""What tells one encoder from another: the options of the shape."""

from __future__ import annotations

from typing import Literal

from roofline.errors import shown
from roofline.files.fields import Field, model_validator
from roofline.layers.normalization import Norm
from roofline.models.shapes.config import MAX_SIZE, ActivationName, Config, Size
from roofline.program.traffic.lengths import Lengths


class EncoderConfig(Config):
    """Bidirectional encoder of text.

    blocks: ``post`` norms each sum (BERT), ``pre`` the input of each branch (ModernBERT), ``plain`` too, without
    residuals. positions: a table of rows, rotation, or a bias of the scores by distance (MPNet),
    or distances that content attends to (DeBERTa).
    """

    vocab_size: Size
    type_vocab_size: int = Field(default=0, ge=0, le=MAX_SIZE, description="rows of the segment table, 0 for none")
    embedding_size: Size | None = Field(default=None, description="width of the embeddings, if they are projected")
    positions: Literal["learned", "rotary", "disentangled"] = "learned"
    distances: Size | None = Field(default=None, description="rows of the table of distances, if disentangled")
    position_buckets: int = Field(default=0, ge=0, le=MAX_SIZE, description="distances that bias the scores, 0: none")
    unused_positions: int = Field(default=0, ge=0, le=MAX_SIZE, description="rows of the table that no token takes")
    blocks: Literal["post", "pre", "plain"] = "post"
    norm: Norm = "layer"
    gated: bool = False
    attention_bias: bool = True
    mlp_bias: bool = True
    down_bias: bool = Field(default=False, description="a bias of the feed-forward layer's last matrix alone")
    packed_qkv: bool = Field(default=False, description="query, key and value projections are one matmul")
    packed_gate: bool = Field(default=False, description="gate and up projections are one matmul")
    layer_types: list[Literal["full_attention", "sliding_attention"]] = Field(
        default=[], description="the attention of each layer; empty: full everywhere"
    )
    local_attention: Size | None = Field(default=None, description="the window, half of it on either side")
    num_hidden_groups: int = Field(
        default=0, ge=0, le=MAX_SIZE, description="sets that the layers share; 0: each its own"
    )
    tie_word_embeddings: bool = True
    head: Literal["none", "masked_lm", "linear", "classifier", "token_classifier"] = "none"
    head_bias: bool = Field(default=True, description="bias of the head's dense layer")
    head_act: ActivationName | None = Field(default=None, description="activation of the head, if not hidden_act")
    head_norm: bool = Field(default=False, description="a norm between the dense layer and the classifier")
    pooling: Literal["none", "first", "mean", "every"] = Field(
        default="none", description="which token the dense layer before a classifier runs on"
    )
    num_labels: Size = 2
    labels_bias: bool = Field(default=True, description="a bias of what scores the labels")

    @model_validator(mode="after")
    def _options_agree(self) -> EncoderConfig:
        if len(self.layer_types) not in (0, self.num_hidden_layers):
            given = len(self.layer_types)
            msg = f"layer_types has {given} entries, expected one for each of {self.num_hidden_layers} layers"
            raise ValueError(msg)
        if "sliding_attention" in self.layer_types and self.local_attention is None:
            msg = "local_attention: missing, expected a whole number, since layer_types has sliding_attention"
            raise ValueError(msg)
        if self.num_hidden_groups > self.num_hidden_layers:
            most = f"expected at most num_hidden_layers {self.num_hidden_layers}"
            msg = f"num_hidden_groups: given {self.num_hidden_groups}, {most}"
            raise ValueError(msg)
        if self.unused_positions >= self.max_position_embeddings:
            rows = f"max_position_embeddings: given {shown(self.max_position_embeddings)}"
            msg = f"{rows}, expected more than the {self.unused_positions} rows that no token takes"
            raise ValueError(msg)
        return self

    @property
    def lengths(self) -> Lengths:
        """The rows of the position table that a token may take."""
        return Lengths(self.max_position_embeddings - self.unused_positions)
