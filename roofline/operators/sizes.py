"""The sizes of operators: which each kind has, and how they are checked, as numbers and as arrays."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches, shown
from roofline.program.transfers import Collective

KINDS: dict[str, tuple[str, ...]] = {
    "matmul": ("m", "k", "n"),
    "grouped_matmul": ("tokens", "experts", "topk", "k", "n"),
    "experts": ("tokens", "experts", "topk", "hidden", "width"),
    "attention": ("batch", "query", "context", "heads", "kv_heads", "head_dim", "causal"),
    "latent_attention": ("batch", "query", "context", "heads", "latent_dim", "rope_dim", "head_dim", "value_dim"),
    "scan": ("rule", "batch", "query", "key_heads", "heads", "key_dim", "head_dim", "chunk"),
    "convolution": ("batch", "query", "channels", "taps"),
    "elementwise": ("rows", "columns", "inputs"),
    "quantize": ("rows", "columns"),
    "norm": ("rows", "columns"),
    "softmax": ("rows", "columns"),
    "embedding": ("tokens", "columns"),
    "collective": ("operation", "message_bytes", "devices"),
}
"""Kind -> its sizes, all of which are needed."""

OPTIONAL: dict[str, tuple[str, ...]] = {"attention": ("value_dim", "window")}
"""Kind -> sizes that may be left out, for which nothing stands then."""

ROUTED = ("grouped_matmul", "experts")
"""Kinds that a router sends tokens to."""

OPERATIONS: tuple[Collective, ...] = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
"""The collectives; in columns a number stands for each."""

RULES = ("delta_rule", "mamba2")
"""What a scan computes; in columns a number stands for each."""

WORDS: dict[str, tuple[str, ...]] = {"operation": OPERATIONS, "rule": RULES}
"""Sizes that are words."""

MAX_SIZE = 10**12
"""The largest size that is taken: products of seven stay finite."""

MAX_INPUTS = 256
"""The most tensors that an elementwise operator reads."""

Columns: TypeAlias = Mapping[str, Any]
"""Name of a size -> a number, or one float64 array per size, all of one shape."""


@frozen
class BadSize:
    """A size that is refused: which, in which row (0 for a number), what was given and what was expected."""

    column: str
    row: int
    given: object
    expected: str


def check_names(kind: str, names: Mapping[str, object]) -> None:
    """Raises UsageError for an unknown kind, or if ``names`` are not exactly its sizes."""
    if kind not in KINDS:
        msg = f"kind {shown(kind)}: {near_matches(str(kind), KINDS)}"
        raise UsageError(msg)
    wanted = ", ".join(KINDS[kind])
    for name in KINDS[kind]:
        if name not in names:
            msg = f"{kind}: {name} is missing; it needs {wanted}"
            raise UsageError(msg)
    for name in names:
        if name not in sizes_of(kind):
            msg = f"{kind}: {name} is not one of its sizes; it needs {wanted}"
            raise UsageError(msg)


def sizes_of(kind: str) -> tuple[str, ...]:
    """The sizes that a kind has, those that may be left out last."""
    return (*KINDS[kind], *OPTIONAL.get(kind, ()))


def find_bad_size(kind: str, columns: Columns) -> BadSize | None:
    """The first row of ``columns`` (numbers, or arrays of one shape) that is refused, and why; None if all are fine."""
    found = []
    for name in (each for each in sizes_of(kind) if each in columns):
        most = MAX_INPUTS if name == "inputs" else MAX_SIZE
        value = columns[name]
        if name == "causal":
            good, expected = (value == 0) | (value == 1), "true or false"
        elif name in WORDS:
            good, expected = value >= 0, f"one of {', '.join(WORDS[name])}"
        elif name == "devices":
            good, expected = _is_whole(value, MAX_SIZE) & (value >= 2), "2 devices or more"
        else:
            good, expected = _is_whole(value, most), f"a whole number from 1 to {most}"
        found.append(_first(name, value, good, expected))
    if kind in ROUTED and not any(found):
        found.append(_first("topk", columns["topk"], columns["topk"] <= columns["experts"], "at most experts"))
    if kind == "attention" and not any(found):
        heads, kv_heads = columns["heads"], columns["kv_heads"]
        found.append(_first("heads", heads, heads % kv_heads == 0, "a multiple of kv_heads"))
    if kind == "scan" and not any(found):
        found.append(
            _first("heads", columns["heads"], columns["heads"] % columns["key_heads"] == 0, "a multiple of key_heads")
        )
    if kind in ("attention", "latent_attention") and not any(found):
        context = columns["context"]
        causal = columns.get("causal", 1)
        if "window" in columns:
            found.append(_first("window", columns["window"], causal == 1, "a causal mask, which it narrows"))
        enough = (causal == 0) | (context >= columns["query"])
        found.append(_first("context", context, enough, "at least query, which a causal mask attends to"))
    return min((bad for bad in found if bad), key=lambda bad: bad.row, default=None)


def read_size(name: str, value: Any) -> Any:
    """An array as float64; a number as it is, whole ones as int. Raises UsageError for anything else."""
    if name in WORDS:
        return word_number(name, value)
    if hasattr(value, "__array__") and np.ndim(value):
        try:
            return np.asarray(value).astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            msg = f"{name}: an array of {np.asarray(value).dtype}, expected numbers"
            raise UsageError(msg) from None
    plain = value.item() if hasattr(value, "item") else value
    if name == "causal" and isinstance(plain, bool):
        return int(plain)
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        expected = "true or false" if name == "causal" else f"a whole number from 1 to {MAX_SIZE}"
        msg = f"{name}: {shown(plain)}, expected {expected}"
        raise UsageError(msg)
    return int(float(plain)) if _is_whole(plain, MAX_SIZE) else plain


def word_number(name: str, value: Any) -> Any:
    """The number of a collective, or of a scan's rule, or of an array of such. Raises UsageError for an unknown one."""
    if hasattr(value, "__array__") and np.ndim(value):
        words = np.asarray(value)
        return np.array([word_number(name, str(word)) for word in words.ravel()], np.float64).reshape(words.shape)
    if value not in WORDS[name]:
        msg = f"{name}: {shown(value)}; {near_matches(str(value), WORDS[name])}"
        raise UsageError(msg)
    return WORDS[name].index(value)


def broadcast(columns: dict[str, Any]) -> dict[str, Any]:
    """All numbers as they are, or all of them as arrays of one shape."""
    shapes = {name: value.shape for name, value in columns.items() if isinstance(value, np.ndarray)}
    if not shapes:
        return columns
    try:
        arrays = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in columns.values()))
    except ValueError:
        msg = f"shapes do not match: {', '.join(f'{name} {shape}' for name, shape in shapes.items())}"
        raise UsageError(msg) from None
    except OverflowError:
        msg = f"sizes: a number beyond float64, expected at most {MAX_SIZE}"
        raise UsageError(msg) from None
    return dict(zip(columns, arrays, strict=True))


def _is_whole(value: Any, most: int) -> Any:
    if isinstance(value, np.ndarray):
        return (value >= 1) & (value <= most) & (np.floor(value) == value)
    return 1 <= value <= most and value == int(value)


def _first(name: str, value: Any, good: Any, expected: str) -> BadSize | None:
    if np.all(good):
        return None
    row = int(np.argmin(good))
    given = np.ravel(value)[row].item() if isinstance(value, np.ndarray) else value
    whole = isinstance(given, float) and given.is_integer()
    return BadSize(name, row, int(given) if whole else given, expected)
