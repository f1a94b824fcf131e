"""What tells one decoder from another: the options of the shape."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from roofline.errors import shown
from roofline.files.fields import Field, model_validator
from roofline.layers.normalization import Norm
from roofline.models.shapes.config import MAX_LAYERS, MAX_SIZE, Config, Size
from roofline.models.shapes.recurrence import Recurrence
from roofline.models.shapes.sound_tower import SoundTowerConfig
from roofline.models.shapes.tower import TowerConfig

LayerType = Literal[
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "compressed_sparse_attention",
    "heavily_compressed_attention",
    "block_sparse_attention",
    "linear_attention",
    "hybrid",
    "mlp",
    "moe",
]
"""What mixes the tokens: attention, a recurrence, both side by side; ``mlp`` and ``moe`` are feed-forward alone."""

COMPRESSED = ("compressed_sparse_attention", "heavily_compressed_attention")
"""Attention to a window and to compressed entries, those that an indexer picks or all of them (DeepSeek-V4)."""


_ALL_ALIKE = (
    ("layer_types", "full_attention"),
    ("no_rope_layers", 1),
    ("moe_layers", 1),
    ("indexers", 1),
    ("borrowing", 0),
)
"""Lists with an entry for each layer, and the entry that all have where the list is empty."""


class Layer(NamedTuple):
    """What tells the layers of one network apart. ``lone``: one branch, tokens mixed or fed forward, not both.

    ``picks``: an indexer of its own says which keys attention sees. ``borrows``: it sees the keys and values that the
    last layer of its kind before it keeps, and has none of its own.
    """

    attention: LayerType
    rotary: bool
    experts: bool
    lone: bool = False
    picks: bool = False
    borrows: bool = False

    @property
    def attends(self) -> bool:
        """Whether there is attention."""
        return self.attention not in ("linear_attention", "mlp", "moe")

    @property
    def compresses(self) -> bool:
        """Whether tokens are summed up to entries, which goes on from those of the steps before."""
        return self.attention in COMPRESSED

    @property
    def scans(self) -> bool:
        """Whether there is a recurrence."""
        return self.attention in ("linear_attention", "hybrid")

    @property
    def dense(self) -> bool:
        """Whether there is a feed-forward layer that every token goes through alone."""
        return self.attention == "mlp" if self.lone else not self.experts


class DecoderConfig(Config):
    """Causal decoder: which norms and where, which positions, how many key/value heads, which biases, which windows.

    blocks: ``pre`` norms the input of each branch, ``branch`` its output (OLMo 2), ``sandwich`` both (Gemma 2);
    ``parallel`` runs attention and feed-forward on the same input (GPT-J), ``parallel_norms`` with a norm each
    (GPT-NeoX).
    """

    vocab_size: Size
    num_key_value_heads: Size
    head_dim: Size
    tie_word_embeddings: bool
    norm: Norm
    positions: Literal["rotary", "learned", "alibi", "none"]
    gated: bool
    blocks: Literal["pre", "branch", "sandwich", "parallel", "parallel_norms"] = "pre"
    attention_bias: bool = False
    attention_out_bias: bool = Field(default=False, description="bias of the output projection")
    mlp_bias: bool = False
    head_bias: bool = False
    packed_qkv: bool = Field(default=False, description="query, key and value projections are one matmul")
    packed_gate: bool = Field(default=False, description="gate and up projections are one matmul")
    query_key_norm: Literal["none", "shared", "per_head", "across", "bare"] = "none"
    inner_norms: bool = Field(default=False, description="norms of what the last matrix of each branch reads")
    value_norm: bool = Field(default=False, description="a norm of the values, without a gain")
    keys_as_values: bool = Field(default=False, description="values of full layers are the keys as projected, normed")
    global_head_dim: Size | None = Field(default=None, description="head dimension of full layers, if not head_dim")
    global_key_value_heads: Size | None = Field(default=None, description="those of full layers, if not as many")
    global_attention_heads: Size | None = Field(default=None, description="query heads of full layers, if not as many")
    embedding_norm: bool = False
    position_offset: int = Field(default=0, ge=0, le=2, description="rows of the position table before the first")
    attn_logit_softcapping: float | None = Field(default=None, gt=0)
    final_logit_softcapping: float | None = Field(default=None, gt=0)
    sliding_window: Size | None = None
    attention_chunk_size: Size | None = None
    layer_types: list[LayerType] = Field(default=[], description="the attention of each layer; empty: full everywhere")
    no_rope_layers: list[int] = Field(default=[], description="0 for each layer without rotation; empty: all rotate")
    attention_gate: Literal["none", "element", "head"] = Field(
        default="none", description="a gate on each element of what each head says, or one for the head"
    )
    sinks: Literal["none", "all", "sliding"] = Field(
        default="none", description="a trained score per head in the softmax of all layers, or of those with a window"
    )
    num_local_experts: Size | None = None
    num_experts_per_tok: Size | None = None
    moe_intermediate_size: Size | None = None
    moe_latent_size: Size | None = Field(default=None, description="width of the latent that experts read and write")
    shared_expert_intermediate_size: int = Field(default=0, ge=0, le=MAX_SIZE)
    shared_expert_gate: bool = False
    expert_norms: bool = Field(
        default=False,
        description="norms of what router and experts read, of what each branch says; the shared ones first",
    )
    expert_gate: bool = Field(default=True, description="experts have a gate and are three matrices each, not two")
    expert_activation: Literal["clamped_silu"] | None = Field(default=None, description="if not hidden_act")
    expert_bias: bool = Field(default=False, description="biases of the experts and of their router")
    router_bias: bool = Field(default=False, description="a bias of the router, where the experts have none")
    kv_lora_rank: Size | None = Field(default=None, description="rank of the latent that keys and values are kept as")
    q_lora_rank: Size | None = None
    qk_rope_head_dim: Size | None = None
    v_head_dim: Size | None = Field(default=None, description="head dimension of values, if not that of keys")
    index_topk: Size | None = Field(default=None, description="keys that an indexer picks for each query")
    index_n_heads: Size | None = None
    index_head_dim: Size | None = None
    indexers: list[int] = Field(
        default=[], description="1 for each layer with an indexer, 0: it sees the keys picked before; empty: all"
    )
    index_block_size: Size | None = Field(default=None, description="keys of a block that an indexer picks whole")
    index_topk_blocks: Size | None = Field(default=None, description="blocks that it picks for each query")
    csa_rate: Size | None = Field(default=None, description="tokens to an entry where an indexer picks entries")
    hca_rate: Size | None = Field(default=None, description="tokens to an entry where all entries are seen")
    o_groups: Size | None = Field(default=None, description="groups of heads that are projected to a latent each")
    o_lora_rank: Size | None = None
    borrowing: list[int] = Field(
        default=[], description="1 for each layer that sees the keys and values of one before it; empty: none does"
    )
    borrowing_intermediate_size: Size | None = Field(default=None, description="feed-forward width of those layers")
    per_layer_input_size: Size | None = Field(default=None, description="width of the embeddings that layers have")
    per_layer_vocab_size: Size | None = Field(default=None, description="rows of their table")
    laurel_rank: Size | None = Field(default=None, description="rank of a projection beside attention (LAuReL)")
    residual_streams: Size | None = Field(default=None, description="streams of the residual, if more than a sum")
    stream_updates: Literal["hyper_connections", "alternating"] = "hyper_connections"
    stream_rounds: int = Field(default=0, ge=0, le=MAX_LAYERS, description="how often their mixture is balanced")
    moe_layers: list[int] = Field(default=[], description="1 for each layer with experts; empty: all, if there are any")
    recurrence: Recurrence | None = Field(default=None, description="what layers of linear_attention and hybrid have")
    vision: TowerConfig | None = Field(default=None, description="the tower of images in front of the decoder")
    sound: SoundTowerConfig | None = Field(default=None, description="the tower of sound in front of the decoder")
    lone_branches: bool = Field(default=False, description="each layer mixes tokens or feeds forward, not both")
    head: bool = True
    classifier: bool = Field(default=False, description="scores of the last token in place of a head")
    num_labels: Size = 2

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, fields: Any) -> Any:
        heads = fields.get("num_attention_heads")
        derived = dict(fields)
        if derived.get("num_key_value_heads") is None:
            derived["num_key_value_heads"] = heads
        if derived.get("head_dim") is None and isinstance(heads, int) and isinstance(fields.get("hidden_size"), int):
            derived["head_dim"] = fields["hidden_size"] // max(heads, 1)
            if fields["hidden_size"] % max(heads, 1):
                msg = f"num_attention_heads {shown(heads)} does not divide hidden_size {shown(fields['hidden_size'])}"
                raise ValueError(msg)
        layers = fields.get("num_hidden_layers")
        for name, usual in _ALL_ALIKE:
            if isinstance(layers, int) and layers <= MAX_LAYERS and derived.get(name) == [usual] * layers:
                derived[name] = []  # all alike
        kv_heads = derived["num_key_value_heads"]
        if isinstance(kv_heads, int) and isinstance(heads, int) and kv_heads > 0 and heads % kv_heads:
            msg = f"num_key_value_heads {shown(kv_heads)} does not divide num_attention_heads {shown(heads)}"
            raise ValueError(msg)
        return derived

    @model_validator(mode="after")
    def _layers_agree(self) -> DecoderConfig:
        for name, _ in _ALL_ALIKE:
            given = len(getattr(self, name))
            if given not in (0, self.num_hidden_layers):
                msg = f"{name} has {given} entries, expected one for each of {self.num_hidden_layers} layers"
                raise ValueError(msg)
        for kind, window in (("sliding_attention", "sliding_window"), ("chunked_attention", "attention_chunk_size")):
            if kind in self.layer_types and getattr(self, window) is None:
                msg = f"{window}: missing, expected a whole number, since layer_types has {kind}"
                raise ValueError(msg)
        if {"sliding_attention", "chunked_attention"} <= set(self.layer_types):
            msg = "layer_types: windows and chunks in one network are not modelled"
            raise ValueError(msg)
        if self.kv_lora_rank is not None:
            for name in ("qk_rope_head_dim", "v_head_dim"):
                if getattr(self, name) is None:
                    msg = f"{name}: missing, expected a whole number, since kv_lora_rank is given"
                    raise ValueError(msg)
        self._compressions_agree()
        self._tower_agrees()
        self._experts_agree()
        self._indexers_agree()
        self._recurrence_agrees()
        self._borrowing_agrees()
        return self

    def _borrowing_agrees(self) -> None:
        kept: set[tuple[str, bool]] = set()
        for number, layer in enumerate(self.layers):
            if layer.borrows and (layer.attention, layer.rotary) not in kept:
                msg = f"borrowing: layer {number} ({layer.attention}) has no layer of its kind before it to borrow from"
                raise ValueError(msg)
            kept |= set() if layer.borrows else {(layer.attention, layer.rotary)}

    def _compressions_agree(self) -> None:
        needed = {
            "block_sparse_attention": "index_block_size index_topk_blocks index_n_heads index_head_dim",
            "compressed_sparse_attention": "csa_rate o_groups index_topk index_n_heads index_head_dim",
            "heavily_compressed_attention": "hca_rate o_groups",
        }
        for kind, names in needed.items():
            for name in names.split():
                if kind in self.layer_types and getattr(self, name) is None:
                    msg = f"{name}: missing, expected a whole number, since layer_types has {kind}"
                    raise ValueError(msg)
        if self.o_groups is None:
            return
        for name in ("o_lora_rank", "q_lora_rank", "qk_rope_head_dim", "sliding_window", "residual_streams"):
            if getattr(self, name) is None:
                msg = f"{name}: missing, expected a whole number, since o_groups is given"
                raise ValueError(msg)
        if self.num_attention_heads % self.o_groups:
            msg = f"o_groups {shown(self.o_groups)} does not divide num_attention_heads {self.num_attention_heads}"
            raise ValueError(msg)

    def _tower_agrees(self) -> None:
        if self.vision is not None and (width := self.vision.token_width) != self.hidden_size:
            msg = (
                f"vision_config: its tokens are {width} wide, expected hidden_size {self.hidden_size}, as the decoder's"
            )
            raise ValueError(msg)

    def _recurrence_agrees(self) -> None:
        if any(layer.scans for layer in self.layers) and (
            self.recurrence is None or self.blocks not in ("pre", "sandwich")
        ):
            msg = "layer_types has recurrent layers, but the network has no recurrence, or norms that it cannot have"
            raise ValueError(msg)
        if {"mlp", "moe"} & set(self.layer_types) and not self.lone_branches:
            msg = "layer_types: mlp and moe are layers of networks of lone branches"
            raise ValueError(msg)

    def _indexers_agree(self) -> None:
        if self.indexers and not self.indexers[0]:
            msg = "indexers: the first layer has none, expected it to pick the keys that the next ones see"
            raise ValueError(msg)

    def _experts_agree(self) -> None:
        number, picked = self.num_local_experts, self.num_experts_per_tok
        if number is not None and (picked is None or picked > number):
            msg = f"num_experts_per_tok: given {shown(picked)}, expected at most the number of experts, {number}"
            raise ValueError(msg)

    def own_heads(self, kind: Layer) -> dict[str, int]:
        """What the letters of heads mean in layers of ``kind`` that attend in full, where the others have windows."""
        own = (self.global_head_dim, self.global_key_value_heads, self.global_attention_heads)
        if kind.attention != "full_attention" or own == (None, None, None):
            return {}
        kv_heads = self.global_key_value_heads or self.num_key_value_heads
        heads = self.global_attention_heads or self.num_attention_heads
        return {"H": self.global_head_dim or self.head_dim, "K": kv_heads, "G": heads // kv_heads}

    @property
    def has_dense_layers(self) -> bool:
        """Whether any layer has a feed-forward layer that every token goes through alone."""
        return any(layer.dense for layer in self.layers)

    @property
    def layers(self) -> list[Layer]:
        """Each layer in the order in which they run."""
        number = self.num_hidden_layers
        attentions = self.layer_types or ["full_attention"] * number
        rotations = self.no_rope_layers or [int(self.positions == "rotary")] * number
        routed = self.moe_layers or [1] * number
        picking = self.indexers or [int(self.index_topk is not None)] * number
        borrowing = self.borrowing or [0] * number
        found = []
        for kind, rotation, route, picks, borrows in zip(
            attentions, rotations, routed, picking, borrowing, strict=True
        ):
            sent = kind == "moe" if self.lone_branches else route != 0
            layer = Layer(kind, False, sent and self.num_local_experts is not None, self.lone_branches)
            rotary = rotation != 0 and layer.attends
            found.append(layer._replace(rotary=rotary, picks=picks != 0, borrows=borrows != 0))
        return found
