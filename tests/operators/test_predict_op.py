"""One operator by itself: counts by hand, arrays as numbers, constants, errors, and the same operator in a model."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from grids import counts

import roofline
from roofline.errors import RooflineError, UsageError, WorkloadError
from roofline.hardware.loading import load_hardware
from roofline.operators.predict_op import FIGURES, predict_op
from roofline.operators.sizes import KINDS, OPERATIONS, ROUTED, RULES
from roofline.reports.operator import op_text

ATTENTION = {"batch": 2, "query": 3, "context": 5, "heads": 8, "kv_heads": 2, "head_dim": 16}
LATENTS = {"batch": 2, "context": 5, "heads": 8, "latent_dim": 32, "rope_dim": 4, "head_dim": 16, "value_dim": 12}
SILU = 3  # a sum, a quotient, a product; the exponential is special

CASES: list[tuple[str, dict[str, Any], int, int, int]] = [
    # kind, sizes, FLOPs, vector FLOPs, bytes in bf16
    ("matmul", {"m": 2, "k": 3, "n": 5}, 2 * 2 * 3 * 5, 0, 2 * (2 * 3 + 3 * 5 + 2 * 5)),
    # two tokens to all of three experts: x once, each expert's weights, a row for each token and expert
    (
        "grouped_matmul",
        {"tokens": 2, "experts": 3, "topk": 3, "k": 5, "n": 7},
        2 * 6 * 35,
        0,
        2 * (2 * 5 + 3 * 35 + 6 * 7),
    ),
    # with a gate: x once, two rows of 7 for each of 6 pairs out and in, one out and in, 6 rows of 5, then 2; SwiGLU
    (
        "experts",
        {"tokens": 2, "experts": 3, "topk": 3, "hidden": 5, "width": 7},
        3 * 2 * 6 * 35,
        6 * 7 * (SILU + 1) + 2 * 6 * 5,
        2 * (3 * 3 * 35 + 2 * 5 + 2 * 6 * 7 + 3 * 6 * 7 + 6 * 7 + 6 * 5 + 6 * 5 + 6 + 2 * 5),
    ),
    # values of 8 where keys have 16: 24 for each pair, and half of what is written and of the cache of values
    (
        "attention",
        {**ATTENTION, "causal": True, "value_dim": 8},
        2 * 24 * 2 * 8 * 12,
        5 * 2 * 8 * 12,
        2 * (768 + 384 + 320 // 2 + 320),
    ),
    # a window of 2: each of 3 queries sees 2 keys, and 4 of the 5 are read
    (
        "attention",
        {**ATTENTION, "causal": True, "window": 2},
        4 * 2 * 8 * 16 * 6,
        5 * 2 * 8 * 6,
        2 * (2 * 768 + 2 * 320 * 4 // 5),
    ),
    ("attention", {**ATTENTION, "causal": False}, 4 * 2 * 8 * 16 * 15, 5 * 2 * 8 * 15, 2 * (2 * 768 + 2 * 320)),
    ("attention", {**ATTENTION, "causal": True}, 4 * 2 * 8 * 16 * 12, 5 * 2 * 8 * 12, 2 * (2 * 768 + 2 * 320)),
    # expanded: heads of 16 + 4 and 12 over 12 pairs; absorbed: of 32 + 4 and 32 over the 5 latents themselves
    (
        "latent_attention",
        LATENTS | {"query": 3},
        2 * 32 * 2 * 8 * 12,
        5 * 2 * 8 * 12,
        2 * (2 * 3 * 8 * (16 + 4 + 12) + 2 * 5 * (8 * (16 + 12) + 4)),
    ),
    (
        "latent_attention",
        LATENTS | {"query": 1},
        2 * 68 * 2 * 8 * 5,
        5 * 2 * 8 * 5,
        2 * (2 * 8 * (32 + 4 + 32) + 2 * 5 * (32 + 4)),
    ),
    # a step: 7 per element of a state of 3 x 5 for each of 4 heads, which is read and written
    (
        "scan",
        {"rule": "delta_rule", "batch": 2, "query": 1, "key_heads": 2, "heads": 4, "key_dim": 3, "head_dim": 5},
        0,
        7 * 2 * 60 + 2 * 40 + 6 * 8 + 8 * 12,
        2 * (2 * 12 + 2 * 40 + 2 * 8 + 2 * 4 + 2 * 2 * 60),
    ),
    # two chunks of two tokens: the state twice, and 3 pairs a chunk
    (
        "scan",
        {"rule": "mamba2", "batch": 1, "query": 4, "key_heads": 1, "heads": 2, "key_dim": 3, "head_dim": 5, "chunk": 2},
        4 * 4 * 30 + 2 * 6 * (3 + 10),
        4 * 8 + 2 * 40 + 2 * 60 + 2 * 2 * 6 + 4 * 40,
        2 * (2 * 12 + 2 * 40 + 8 + 3 * 2 + 30),
    ),
    (
        "convolution",
        {"batch": 2, "query": 1, "channels": 5, "taps": 3},
        0,
        (2 * 3 + SILU) * 10,
        2 * (2 * 10 + 15 + 2 * 20),
    ),
    ("elementwise", {"rows": 3, "columns": 7, "inputs": 1}, 0, 21, 2 * 2 * 21),
    ("elementwise", {"rows": 3, "columns": 7, "inputs": 3}, 0, 42, 2 * 4 * 21),
    ("quantize", {"rows": 3, "columns": 7}, 0, 3 * 21, 2 * 21 + 21 + 4 * 3),
    ("norm", {"rows": 3, "columns": 7}, 0, 4 * 21, 2 * (2 * 21 + 7)),
    ("softmax", {"rows": 3, "columns": 7}, 0, 5 * 21, 2 * 2 * 21),
    ("embedding", {"tokens": 3, "columns": 7}, 0, 0, 2 * 2 * 21 + 8 * 3),
    ("collective", {"operation": "all_reduce", "message_bytes": 800, "devices": 8}, 0, 0, 2 * 800),
    ("collective", {"operation": "all_gather", "message_bytes": 800, "devices": 8}, 0, 0, 100 + 800),
]


@pytest.mark.parametrize(("kind", "sizes", "flops", "vector_flops", "moved"), CASES)
def test_counts_by_hand_are_exact(kind: str, sizes: dict[str, Any], flops: int, vector_flops: int, moved: int) -> None:
    found = predict_op(kind, "h100", **sizes)
    assert (found.flops, found.vector_flops, found.bytes) == (flops, vector_flops, moved)
    assert type(found.flops) is type(found.bytes) is int
    assert found.intensity == flops / moved


def test_a_uniform_router_touches_an_expected_number_of_experts() -> None:
    """8 experts, 2 tokens with 2 each: 3.5 are touched; from 10^4 tokens on all are; one call times them all."""
    sizes = {"experts": 8, "topk": 2, "k": 4096, "n": 14336}
    one, many = (predict_op("grouped_matmul", "h100", tokens=n, **sizes) for n in (2, 10_000))
    weights = 2 * 4096 * 14336
    assert one.bytes == pytest.approx(3.5 * weights + 2 * (2 * 4096 + 4 * 14336))
    assert many.bytes == pytest.approx(8 * weights + 2 * 10_000 * (4096 + 2 * 14336))
    assert (one.bound_by, many.bound_by) == ("memory", "compute")
    both = predict_op("grouped_matmul", "h100", tokens=np.array([2, 10_000]), **sizes)
    assert both.time_s.tolist() == pytest.approx([one.time_s, many.time_s])


@pytest.mark.parametrize("recipe", ["w4a16", "w8a8", "fp8-block", "mxfp4", "q8_0:16"])
def test_a_matmul_of_a_recipe_is_that_of_a_model(recipe: str) -> None:
    """FLOPs, bytes with scales and vector work of the same matmul in a step, whose input was narrowed before it."""
    step = roofline.predict("llama-3.2-1b", "h100", batch=8, context=512, dtype=recipe).phases
    (op,) = (op for phase in step.values() for op in phase.operators if op.name == "out_proj")
    alone = predict_op("matmul", "h100", m=8, k=2048, n=2048, dtype=recipe, engine="vllm")
    counts = (alone.flops, alone.bytes, alone.vector_flops)
    assert [op.count * each for each in counts] == [op.figures.flops, op.figures.bytes, op.figures.vector_flops]
    assert any(note.startswith("weights ") for note in alone.notes)
    many = predict_op("matmul", "h100", m=np.array([8, 64]), k=2048, n=2048, dtype=recipe, engine="vllm")
    assert many.time_s[0] == pytest.approx(alone.time_s)
    assert many.time_s[1] > alone.time_s


def test_a_recipe_of_what_reads_no_weights_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^dtype w4a16 says how weights are stored, and norm reads none"):
        predict_op("norm", "h100", rows=8, columns=64, dtype="w4a16")
    with pytest.raises(UsageError, match="expected w4a16"):
        predict_op("matmul", "h100", m=8, k=64, n=64, dtype="int4")


def test_an_answer_from_a_warm_cache_says_so() -> None:
    """84 MB of keys lie in the 101 MB of an L40S's last-level cache when the kernel runs again."""
    sizes = {"batch": 1, "query": 1, "heads": 32, "kv_heads": 8, "head_dim": 40}
    near, far = (predict_op("attention", "l40s", context=2**n, **sizes) for n in (16, 22))
    assert "from device memory alone 97.1 us at best" in near.notes[0]
    assert not any("cache" in note for note in far.notes)


@pytest.mark.parametrize(
    ("kind", "library"),
    [("attention", "deepgemm"), ("matmul", "fa3"), ("grouped_matmul", "vllm"), ("scan", "fa2"), ("norm", "trtllm")],
)
def test_a_library_without_kernels_of_a_kind_is_refused(kind: str, library: str) -> None:
    """It could change nothing, and the answer would be another library's."""
    sizes = next(sizes for each, sizes, *_ in CASES if each == kind)
    with pytest.raises(UsageError, match=f"^kernels {library} are for .*, not for {kind}; name others"):
        predict_op(kind, "h100", kernels=library, **sizes)


@pytest.mark.parametrize("dtype", ["bf16", "fp8", "fp8-block", "w4a16"])
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_experts_are_those_of_a_model(engine: str, dtype: str) -> None:
    """Qwen3-30B-A3B has 128 experts of 768, of which a token goes to 8, in each of 48 layers."""
    routed: dict[str, Any] = {"engine": engine, "routing": "power_law:1.2", "dtype": dtype}
    inside = roofline.predict("qwen3-30b-a3b", "h100", batch=64, prompt=8, generate=2, **routed)
    alone = predict_op("experts", "h100", tokens=64, experts=128, topk=8, hidden=2048, width=768, **routed)
    own = [op for op in inside.phases["decode"].operators if "expert" in op.name]
    assert sum(op.figures.flops for op in own) == 48 * alone.flops
    for figure in ("time_s", "low_s", "high_s"):
        assert getattr(alone, figure) == pytest.approx(sum(getattr(op.figures, figure) for op in own) / 48, rel=1e-9)


def test_values_as_wide_as_keys_change_nothing() -> None:
    plain, told = (
        predict_op("attention", "h100", **GOOD, **more) for more in ({}, {"value_dim": ATTENTION["head_dim"]})
    )
    assert [getattr(told, name) for name in FIGURES] == [getattr(plain, name) for name in FIGURES]


def test_large_counts_are_exact() -> None:
    found = predict_op("matmul", "h100", m=10**12, k=10**12 - 1, n=7)
    assert found.flops == 2 * 10**12 * (10**12 - 1) * 7


@pytest.mark.parametrize("constants", ["class", "datasheet"])
@pytest.mark.parametrize(("kind", "sizes"), [case[:2] for case in CASES])
def test_the_laws_of_the_time(kind: str, sizes: dict[str, Any], constants: Any) -> None:
    found = predict_op(kind, "h100", constants=constants, **sizes)
    assert 0 < found.bound_s <= found.low_s <= found.time_s <= found.high_s
    shares = {name: getattr(found, f"share_{name}") for name in ("latency", "compute", "memory", "link")}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[found.bound_by] == max(shares.values())
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["time_s"] == found.time_s


def arrays_of(kind: str, rows: int = 40) -> dict[str, Any]:
    draw = np.random.default_rng(3)
    sizes: dict[str, Any] = {name: draw.integers(1, 5000, rows) for name in KINDS[kind]}
    if kind == "attention":
        sizes |= {"query": draw.choice([1, 64], rows), "kv_heads": draw.choice([1, 8], rows)}
        sizes |= {"heads": 8 * sizes["kv_heads"], "context": sizes["context"] + 64, "causal": draw.random(rows) < 0.5}
    if kind == "latent_attention":
        sizes |= {"query": draw.choice([1, 64], rows), "context": sizes["context"] + 64}
    if kind in ("scan", "convolution"):
        sizes |= {"query": draw.choice([1, 64], rows)}
    if kind == "scan":
        sizes |= {"rule": draw.choice(RULES, rows), "heads": 2 * sizes["key_heads"]}
    if kind in ROUTED:
        sizes["experts"] = sizes["topk"] + draw.integers(0, 100, rows)
    if kind == "elementwise":
        sizes["inputs"] = draw.integers(1, 4, rows)
    if kind == "collective":
        sizes |= {"operation": draw.choice(OPERATIONS, rows), "devices": draw.integers(2, 64, rows)}
    return sizes


@pytest.mark.parametrize("rows", counts(10, 40))
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_give_what_numbers_give(kind: str, rows: int) -> None:
    sizes = arrays_of(kind, rows)
    found = predict_op(kind, "h100", **sizes)
    for row in range(rows):
        alone = predict_op(kind, "h100", **{name: values[row] for name, values in sizes.items()})
        for name in FIGURES:
            one, many = getattr(alone, name), getattr(found, name)[row]
            assert one == many if name == "bound_by" else many == pytest.approx(one, rel=1e-13, abs=1e-15), name
    assert not found.time_s.flags.writeable
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_numbers_and_arrays_broadcast() -> None:
    found = predict_op("matmul", "h100", m=np.array([[1], [2]]), k=np.array([3.0, 4.0, 5.0]), n=7)
    assert found.flops.tolist() == [[42, 56, 70], [84, 112, 140]]
    assert found.bound_by.shape == (2, 3)
    many = predict_op("attention", "h100", **{**ATTENTION, "query": np.array([[1], [3]]), "causal": True})
    assert many.flops.tolist() == [[4 * 2 * 8 * 16 * 5], [4 * 2 * 8 * 16 * 12]]
    for kind in KINDS:
        nothing = predict_op(kind, "h100", **dict.fromkeys(KINDS[kind], np.array([])))
        assert nothing.time_s.shape == nothing.bound_by.shape == (0,)


def test_attention_of_one_query_has_the_constants_of_decode() -> None:
    sizes = {"batch": 1, "context": 8, "heads": 8, "kv_heads": 8, "head_dim": 64, "causal": True}
    constants = predict_op("norm", "h100", rows=1, columns=1).constants
    for query, kind in ((1, "attention_decode"), (2, "attention_prefill")):
        found = predict_op("attention", "h100", query=query, **sizes)
        latency = constants.of(kind, "graph").latency_s  # beside it its blocks and a kernel that writes the cache
        assert latency <= found.share_latency * found.time_s < 1.3 * latency
        eager = predict_op("attention", "h100", query=query, engine="transformers", **sizes)
        assert eager.time_s > found.time_s


def operator(phase: str, name: str, **inputs: Any) -> Any:
    found = roofline.predict("llama-3.1-8b", "h100", engine="torch-compile", **inputs).phases[phase]  # type: ignore[index]
    return next(op for op in found.operators if op.name == name)


@pytest.mark.parametrize(
    ("phase", "name", "inputs", "kind", "sizes"),
    [
        ("decode", "up", {"batch": 16, "context": 100}, "matmul", {"m": 16, "k": 4096, "n": 14336}),
        ("decode", "attention", {"batch": 16, "context": 100}, "attention",
         {"batch": 16, "query": 1, "context": 100, "heads": 32, "kv_heads": 8, "head_dim": 128, "causal": True}),
        ("prefill", "attention", {"batch": 2, "prompt": 300}, "attention",
         {"batch": 2, "query": 300, "context": 300, "heads": 32, "kv_heads": 8, "head_dim": 128, "causal": True}),
        ("decode", "token_embedding", {"batch": 16, "context": 100}, "embedding", {"tokens": 16, "columns": 4096}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("constants", ["class", "datasheet"])
def test_it_is_the_operator_that_a_model_has(
    phase: str, name: str, inputs: dict[str, Any], kind: str, sizes: dict[str, Any], constants: Any
) -> None:
    inside = operator(phase, name, constants=constants, **inputs)
    alone = predict_op(kind, "h100", constants=constants, **sizes)
    assert inside.kind == kind
    assert inside.figures.flops == inside.count * alone.flops
    assert inside.figures.vector_flops == inside.count * alone.vector_flops
    assert inside.figures.bytes == inside.count * alone.bytes
    assert inside.figures.bound_by == alone.bound_by
    for figure in ("time_s", "bound_s", "low_s", "high_s"):
        assert getattr(inside.figures, figure) == pytest.approx(inside.count * getattr(alone, figure), rel=1e-13)
    for share in ("latency", "compute", "memory"):
        assert getattr(inside.figures.shares, share) == pytest.approx(getattr(alone, f"share_{share}"), abs=1e-13)


WHOLE = "expected a whole number from 1 to 1000000000000"
GOOD = {**ATTENTION, "causal": True}
MESSAGE = {"operation": "all_gather", "message_bytes": 8, "devices": 2}


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("matmull", {}, 'kind "matmull": did you mean matmul?'),
        ("collect", {}, 'kind "collect": did you mean collective?'),
        ("collective", {**MESSAGE, "operation": "all_reduc"}, 'operation: "all_reduc"; did you mean all_reduce?'),
        ("collective", {**MESSAGE, "devices": 1}, "collective: devices: 1, expected 2 devices or more"),
        ("matmul", {"m": 1, "k": 1}, "matmul: n is missing; it needs m, k, n"),
        ("norm", {"rows": 1, "columns": 1, "m": 1}, "norm: m is not one of its sizes; it needs rows, columns"),
        ("matmul", {"m": 0, "k": 1, "n": 1}, f"matmul: m: 0, {WHOLE}"),
        ("matmul", {"m": 1, "k": -4, "n": 1}, f"matmul: k: -4, {WHOLE}"),
        ("matmul", {"m": 1, "k": 1, "n": 1.5}, f"matmul: n: 1.5, {WHOLE}"),
        ("matmul", {"m": float("nan"), "k": 1, "n": 1}, f"matmul: m: nan, {WHOLE}"),
        ("matmul", {"m": float("inf"), "k": 1, "n": 1}, f"matmul: m: inf, {WHOLE}"),
        ("matmul", {"m": 10**400, "k": 1, "n": 1}, f"matmul: m: a number of hundreds of digits, {WHOLE}"),
        ("matmul", {"m": "4", "k": 1, "n": 1}, f'm: "4", {WHOLE}'),
        ("matmul", {"m": True, "k": 1, "n": 1}, f"m: true, {WHOLE}"),
        ("matmul", {"m": None, "k": 1, "n": 1}, "matmul: m is missing; it needs m, k, n"),
        ("matmul", {"m": np.array([3, 0, -1]), "k": 1, "n": 1}, f"matmul: m, row 1: 0, {WHOLE}"),
        ("matmul", {"m": np.array([3, 4, -1]), "k": np.array([1, np.nan, 1]), "n": 1},
         f"matmul: k, row 1: nan, {WHOLE}"),
        ("matmul", {"m": np.array(["a"]), "k": 1, "n": 1}, "m: an array of <U1, expected numbers"),
        ("matmul", {"m": np.ones(2), "k": np.ones(3), "n": 1}, "shapes do not match: m (2,), k (3,)"),
        ("elementwise", {"rows": 1, "columns": 1, "inputs": 257},
         "elementwise: inputs: 257, expected a whole number from 1 to 256"),
        ("grouped_matmul", {"tokens": 1, "experts": 4, "topk": 5, "k": 1, "n": 1},
         "grouped_matmul: topk: 5, expected at most experts"),
        ("attention", {**GOOD, "heads": 7}, "attention: heads: 7, expected a multiple of kv_heads"),
        ("attention", {**GOOD, "heads": np.array([8, 7])},
         "attention: heads, row 1: 7, expected a multiple of kv_heads"),
        ("attention", {**GOOD, "context": 2},
         "attention: context: 2, expected at least query, which a causal mask attends to"),
        ("attention", {**GOOD, "causal": 2}, "attention: causal: 2, expected true or false"),
        ("attention", {**GOOD, "causal": "yes"}, 'causal: "yes", expected true or false'),
    ],
)  # fmt: skip
def test_errors_are_one_exact_line(kind: str, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        predict_op(kind, "h100", **sizes)
    assert str(caught.value) == message


def test_dtypes_are_those_of_the_device() -> None:
    assert predict_op("norm", "t4", rows=1, columns=1).dtype == "fp16"
    with pytest.raises(WorkloadError, match=r"^t4 has no bf16; it has fp16, int8"):
        predict_op("norm", "t4", rows=1, columns=1, dtype="bf16")
    with pytest.raises(UsageError, match=r"^dtype 'bf17' is not known; did you mean bf16"):
        predict_op("norm", "t4", rows=1, columns=1, dtype="bf17")
    with pytest.raises(RooflineError, match="unknown hardware"):
        predict_op("norm", "zzz", rows=1, columns=1)


def test_rows_are_vectorised() -> None:
    """Fewer functions are called than there are rows; one row by itself calls thousands."""
    sizes = {name: np.random.default_rng(1).integers(1, 9999, 20_000) for name in "mkn"}
    predict_op("matmul", "h100", m=1, k=1, n=1)  # which reads the device
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        predict_op("matmul", "h100", **sizes)
    finally:
        sys.setprofile(None)
    assert calls < 20_000


WIDER = {"hardware.memory.hbm.bandwidth": "6.7TB/s"}


def test_a_field_of_the_device_is_edited_and_the_answer_says_so() -> None:
    sizes = {"m": 16, "k": 4096, "n": 14336}
    plain = predict_op("matmul", "h100", constants="datasheet", **sizes)
    wider = predict_op("matmul", "h100", constants="datasheet", set=WIDER, **sizes)
    assert wider.bound_s == pytest.approx(plain.bound_s / 2, rel=1e-12)
    assert wider.to_dict()["hardware"]["overrides"] == WIDER
    assert "edited: hardware.memory.hbm.bandwidth = 6.7TB/s" in op_text(wider)
    assert "edited" not in op_text(plain)


@pytest.mark.parametrize(
    ("hardware", "path", "message"),
    [
        ("h100", "model.hidden_size", "set model.hidden_size: expected a path such as hardware.memory.hbm.bandwidth"),
        ("h100", "hardware", "set hardware: expected a path"),
        (load_hardware("h100"), "hardware.tdp", "set hardware.tdp: the hardware is loaded already"),
    ],
)
def test_edits_that_cannot_be_made_are_refused(hardware: Any, path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predict_op("matmul", hardware, m=1, k=1, n=1, set={path: 1})


@pytest.mark.parametrize("many", [False, True])
def test_the_message_of_a_collective_is_the_whole(many: bool) -> None:
    """Eight devices: a scatter leaves each with its part of what a gather brings together, 7/8 of which are sent."""
    size = np.array([1e9, 2e9]) if many else 1_000_000_000
    asked = {"message_bytes": size, "devices": np.array([8, 8]) if many else 8}
    gathered, scattered = (
        predict_op("collective", "8xh100", operation=name, **asked) for name in ("all_gather", "reduce_scatter")
    )
    assert np.all(scattered.link_bytes == np.asarray(size) * 7 / 8)
    assert scattered.time_s == pytest.approx(gathered.time_s)


@pytest.mark.parametrize("query", [64, 65536])
def test_an_operator_tells_the_band_of_its_own_part_of_latency(query: int) -> None:
    """Several operators tell that of their kind."""
    one = predict_op("convolution", "h200", batch=1, query=query, channels=8192)
    low, high, evidence = one.band
    assert float(one.low_s) == pytest.approx(max(low * float(one.time_s), float(one.bound_s)))
    assert float(one.high_s) == pytest.approx(high * float(one.time_s))
    assert f"latency is {float(one.share_latency):.0%} of the time" in evidence
    both = predict_op("convolution", "h200", batch=1, query=np.array([64, 65536]), channels=8192)
    assert both.band[0] < low or both.band[1] > high
    assert "latency" not in both.band[2]
