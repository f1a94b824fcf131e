"""What the operators of ATen are: views, contractions, elementwise work ... One table, for tracing and for validation.

Torch renames its operators freely. What an operator is comes from its schema (does it return what it was given?) and
its tags (pointwise, reduction) first, and from its name where neither says it: contractions, gathers, sorts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from roofline.models.traced.calls import GROUPED, Kind


class Operator(Protocol):
    """An operator as torch's dispatcher hands it over."""

    @property
    def namespace(self) -> str: ...

    @property
    def tags(self) -> Any: ...

    @property
    def _schema(self) -> Any: ...


MATMULS: tuple[str, ...] = ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "_scaled_mm", "_int_mm")
"""Contractions of two tensors."""

_ALIASES = {"_unsafe_view": "view"}
"""Names that stand for another in a timing: they run the same kernel."""

_MOVES_NOTHING = (
    "detach alias lift lift_fresh lift_fresh_copy _unsafe_view _reshape_alias reshape set_ resize_ sym_size as_strided"
)
_EMPTY = "empty empty_like empty_strided new_empty new_empty_strided empty_permuted"
_FILL = """zeros ones full arange linspace eye zeros_like ones_like full_like new_zeros new_ones new_full
scalar_tensor tril_indices triu_indices fill zero rand randn randint rand_like randn_like randperm"""
_CONVOLUTIONS = (
    "convolution _convolution convolution_overrideable mkldnn_convolution conv1d conv2d conv3d convolution_backward"
)
_NORMS = """native_layer_norm native_group_norm native_batch_norm _native_batch_norm_legit
_native_batch_norm_legit_no_training _native_batch_norm_legit_functional cudnn_batch_norm _fused_rms_norm
_weight_norm_interface _batch_norm_no_update _batch_norm_with_update native_layer_norm_backward
native_group_norm_backward native_batch_norm_backward _fused_rms_norm_backward"""
_SOFTMAXES = "_softmax _safe_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data"
OVER_AN_AXIS = ("_softmax", "_safe_softmax", "_log_softmax")
"""Those whose second argument is the axis that they run over."""

_GATHERS = "embedding index gather index_select take _embedding_bag _embedding_bag_forward_only _unsafe_index"
_SCATTERS = """scatter scatter_add scatter_reduce index_put _unsafe_index_put index_add index_copy index_reduce
masked_scatter index_fill"""
_SCANS = "cumsum cumprod cummax cummin logcumsumexp"
_POOLS = """max_pool2d_with_indices avg_pool2d avg_pool3d max_pool3d_with_indices avg_pool1d max_pool1d
_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d"""
_RESAMPLES = """upsample_bilinear2d upsample_bicubic2d upsample_linear1d upsample_trilinear3d _upsample_bilinear2d_aa
_upsample_bicubic2d_aa grid_sampler_2d grid_sampler_3d upsample_bilinear2d_backward upsample_bicubic2d_backward
upsample_linear1d_backward grid_sampler_2d_backward"""
_REDUCTIONS = """sum mean amax amin argmax argmin max min var var_mean std std_mean norm linalg_vector_norm logsumexp
all any prod topk histc _is_all_true bincount mse_loss smooth_l1_loss huber_loss binary_cross_entropy
nll_loss_forward nll_loss2d_forward"""
_POINTWISE = """clone _to_copy cat copy copy_ stack roll flip repeat slice_scatter select_scatter constant_pad_nd tril
triu reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d upsample_nearest1d upsample_nearest2d
upsample_nearest3d split_with_sizes_copy im2col col2im native_dropout bernoulli normal uniform dropout where one_hot
diagonal_copy permute_copy expand_copy glu pixel_shuffle _pdist_forward bucketize searchsorted channel_shuffle
repeat_interleave _local_scalar_dense rrelu_with_noise celu index_fill _assert_async _assert_scalar nonzero
masked_select contiguous floor_divide
binary_cross_entropy_with_logits select_backward slice_backward embedding_dense_backward nll_loss_backward
nll_loss2d_backward mse_loss_backward smooth_l1_loss_backward huber_loss_backward binary_cross_entropy_backward
leaky_relu_backward hardtanh_backward elu_backward softplus_backward log_sigmoid_backward hardswish_backward
glu_backward max_pool2d_with_indices_backward avg_pool2d_backward _adaptive_avg_pool2d_backward unfold_backward
upsample_nearest2d_backward constant_pad_nd_backward native_dropout_backward diagonal_backward"""

_KINDS: dict[Kind, str] = {
    "view": _MOVES_NOTHING,
    "empty": _EMPTY,
    "fill": _FILL,
    "matmul": " ".join((*MATMULS, GROUPED, "mv addmv dot")),
    "convolution": _CONVOLUTIONS,
    "norm": _NORMS,
    "softmax": _SOFTMAXES,
    "gather": _GATHERS,
    "scatter": _SCATTERS,
    "scan": _SCANS,
    "pool": _POOLS,
    "resample": _RESAMPLES,
    "reduction": _REDUCTIONS,
    "pointwise": _POINTWISE,
}
_BY_NAME: dict[str, Kind] = {name: kind for kind, names in _KINDS.items() for name in names.split()}

_MOVES = """clone _to_copy cat copy stack roll flip repeat slice_scatter select_scatter constant_pad_nd tril
triu contiguous reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d upsample_nearest1d
upsample_nearest2d upsample_nearest3d split_with_sizes_copy im2col diagonal_copy permute_copy expand_copy
pixel_shuffle channel_shuffle repeat_interleave masked_select nonzero one_hot _local_scalar_dense _assert_async
_assert_scalar select_backward slice_backward nll_loss_backward nll_loss2d_backward constant_pad_nd_backward"""

FUNCTIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(_MOVES.split(), (0, 0)),
    **dict.fromkeys("exp exp2 expm1 log log2 log10 log1p sin cos tan atan atan2 erf erfc tanh lgamma".split(), (0, 1)),
    "gelu": (7, 1), "silu": (3, 1), "sigmoid": (2, 1), "softplus": (1, 2), "mish": (2, 3), "elu": (2, 1),
    "log_sigmoid_forward": (2, 2), "hardswish": (4, 0), "hardsigmoid": (3, 0), "glu": (3, 1), "addcmul": (3, 0),
    "gelu_backward": (9, 2), "silu_backward": (7, 1), "tanh_backward": (3, 0), "sigmoid_backward": (3, 0),
    "addcdiv": (3, 0), "lerp": (3, 0), "celu": (2, 1), "selu": (3, 1), "native_dropout": (2, 0), "tanhshrink": (1, 1),
}  # fmt: skip
"""Vector FLOPs and transcendental operations per element of the output; one FLOP where an operator is not named.

GELU, SiLU as in ``layers/feed_forward.py``; the others are counted from their formulas.
"""

NORM_FLOPS: dict[str, int] = {
    "_fused_rms_norm": 4, "native_layer_norm": 7, "native_group_norm": 7, "_fused_rms_norm_backward": 10,
    **dict.fromkeys(("native_layer_norm_backward", "native_group_norm_backward", "native_batch_norm_backward"), 13),
}  # fmt: skip
"""FLOPs per element of a norm, as in ``layers/normalization.py``; a batch norm subtracts, scales, multiplies, adds."""

SOFTMAX_FLOPS = (4, 1)
"""Per element: running maximum, subtract, sum, divide, and the exponential."""

RESAMPLE_FLOPS = 7
"""Of a bilinear interpolation, per element: four products and three sums."""


def plain_name(function: Operator) -> str:
    """The name without namespace and overload: ``add_`` of ``aten::add_.Tensor``."""
    return str(function._schema.name).rpartition("::")[2]


def base_name(name: str) -> str:
    """What an operator in place is called where it is not: ``add`` of ``add_``."""
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def timed_as(name: str) -> str:
    """By which name a kernel is known where kernels of two names are the same: one in place runs as one that is not.

    >>> timed_as("relu_"), timed_as("_unsafe_view")
    ('relu', 'view')
    """
    return _ALIASES.get(name, base_name(name))


def gathers(name: str) -> bool:
    """Whether an operator takes rows of a table."""
    return _BY_NAME.get(base_name(name)) == "gather"


def scatters(name: str) -> bool:
    """Whether an operator writes rows of a table, as many as its last input has."""
    return _BY_NAME.get(base_name(name)) == "scatter"


def is_attention(name: str) -> bool:
    """Whether it is a fused attention, in any of its forms for a device."""
    return "scaled_dot_product" in name


def moves_nothing(name: str) -> bool:
    """Whether an operator that may return its input, or memory that nothing wrote, moves no data."""
    return _BY_NAME.get(name) in ("view", "empty")


def kind_of(function: Operator) -> Kind:
    """What an operator does; ``unknown`` for one of another library than ATen, or that neither says."""
    name = plain_name(function)
    base = base_name(name)
    if function.namespace not in ("aten", "prims"):
        return "unknown"
    if is_attention(name):
        return "attention"
    if not function._schema.is_mutable and any(each.alias_info is not None for each in function._schema.returns):
        return "view"
    named = _BY_NAME.get(name) or _BY_NAME.get(base)
    if named:
        return named
    tags = {tag.name for tag in function.tags}
    if "pointwise" in tags or "pointwise" in _tags_elsewhere(function):
        return "pointwise"
    return "reduction" if "reduction" in tags else "unknown"


def _tags_elsewhere(function: Operator) -> set[str]:
    """The tags of the operator that is not in place: torch tags that one alone."""
    name = plain_name(function)
    if base_name(name) == name:
        return set()
    packet: Any = getattr(_namespace(function), base_name(name), None)
    overloads: list[Callable[..., Any]] = [getattr(packet, each) for each in packet.overloads()] if packet else []
    return {tag.name for each in overloads for tag in getattr(each, "tags", ())}


def _namespace(function: Operator) -> Any:
    import torch  # noqa: PLC0415  (an operator of torch is there, and so is torch)

    return getattr(torch.ops, function.namespace)
