"""What kernels add: tiles and waves by hand, extra keys, blocks that work alone, and the laws that still hold."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from grids import examples
from hypothesis import given
from hypothesis import strategies as st

from roofline.calibration.constants import Constants, device_names, load_device
from roofline.calibration.corrections.matmuls import UnpackMemory, UnpackTiles
from roofline.calibration.corrections.registry import Corrections
from roofline.calibration.provenance import constants_of
from roofline.cost.cost import Cost, operator_cost
from roofline.cost.kernel_shapes import AttentionShape, GroupedShape, MatmulShape, RowShape, shape_of
from roofline.errors import SpecError, WorkloadError
from roofline.hardware.loading import hardware_names, load_hardware, spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.layers.mixture_of_experts import experts
from roofline.operators.predict_op import OperatorClock, predict_op
from roofline.operators.statements import statement_of
from roofline.options.verbs.operators import ClockOptions
from roofline.prediction.predict import predict
from roofline.program.op import Tensor, contract, fuse, weight
from roofline.program.phases import Phase
from roofline.program.workload import Precision
from roofline.timing.kernels.bandwidth import memory_s
from roofline.timing.kernels.tiles import TiledMatmul, Tiling
from roofline.timing.kernels.work import work_factor
from roofline.timing.machine import kind_of
from roofline.timing.operator import time_operator

SIZES = st.integers(min_value=1, max_value=20_000)
PLAIN = Constants(compute=0.8, memory=0.8, latency_s=1.0, p=2)
TILED = PLAIN.replaced({"tiles": 1.0, "split_k.reduction": 1e-3, "split_k.partial": 0.5})
UNCUT = TILED.without("split_k")


def toy(units: int | None = 4) -> HardwareSpec:
    """1000 FLOP/s, 10 B/s, an L2 of 100 B, four units."""
    memory = {"dram": {"capacity": "1 GB", "bandwidth": "10 B/s"}, "l2": {"capacity": "100 B"}}
    peak = {"matrix": {"fp16": "1000 FLOP/s"}, "vector": {"fp32": "100 FLOP/s"}}
    fields: dict[str, Any] = {"name": "toy", "source": "arithmetic", "class": "cpu", "peak": peak, "memory": memory}
    if units:
        fields["units"] = {"name": "SM", "count": units}
    return spec_from_fields(fields, "toy.yaml", what_if=True)


def matmul(m: Any, n: Any, k: Any) -> Cost:
    return Cost(
        "g", "op", "matmul", "fp16", 1, 2.0 * m * n * k, 0, 0, 2.0 * (m * k + k * n + m * n), MatmulShape(m, n, k)
    )


def attention(batch: int = 3, queries: int = 1, keys: int = 10, kv_heads: int = 2, groups: int = 1) -> Cost:
    pair_flops = 4 * batch * kv_heads * groups * 8
    cached = 4 * batch * keys * kv_heads * 8
    shape = AttentionShape(batch, queries, keys, kv_heads, groups, pair_flops, cached)
    return Cost("g", "op", "attention", "fp16", 1, pair_flops * queries * keys, 0, 0, cached + 100.0, shape)


def attended(**sizes: int) -> Cost:
    op, bound = statement_of("attention", {"causal": 1, **sizes})
    return operator_cost(op, bound, Precision("fp8", "fp8", "fp8"))


def tile(shape: MatmulShape, peak: float, hardware: HardwareSpec, constants: Constants) -> Tiling:
    found = constants.corrections
    assert found.tiles is not None
    return TiledMatmul(found.tiles, peak, constants.compute, hardware, found.split_k, found.least_tile).fastest(shape)


# By hand


def test_kernels_that_unpack_weights_take_few_rows_as_they_are() -> None:
    """Up to 32 rows, the smallest tile; for numbers and arrays alike."""
    tiles, split = TILED.corrections.tiles, TILED.corrections.split_k
    assert tiles is not None
    streaming = TiledMatmul(tiles, 1000.0, TILED.compute, toy(), split, streams=True)
    one, few, more = (MatmulShape(float(rows), 256.0, 4096.0) for rows in (1, 32, 33))
    assert streaming.fastest(one).compute_s == pytest.approx(2 * 1 * 256 * 4096 / (TILED.compute * 1000))
    assert streaming.fastest(one).total_s < tile(one, 1000.0, toy(), TILED).total_s
    assert streaming.fastest(few).total_s <= tile(few, 1000.0, toy(), TILED).total_s
    assert streaming.fastest(more).total_s == tile(more, 1000.0, toy(), TILED).total_s
    rows = np.array([1.0, 32.0, 33.0])
    together = streaming.fastest(MatmulShape(rows, np.full(3, 256.0), np.full(3, 4096.0))).total_s
    assert together == pytest.approx([streaming.fastest(each).total_s for each in (one, few, more)])


def test_weights_are_narrow_where_activations_are_wider() -> None:
    def narrow(**formats: Any) -> set[float]:
        found = predict("llama-3.2-1b", "a100", context=100, **formats)
        costs = found.steps.costs(Phase.DECODE)
        return {float(cost.shape.narrow) for cost in costs if isinstance(cost.shape, MatmulShape)
                and cost.name != "lm_head"}  # fmt: skip

    assert narrow(dtype="bf16") == narrow(dtype="w8a8") == {0.0}
    assert narrow(dtype="bf16", weight_dtype="int8") == narrow(dtype="w4a16") == {1.0}


def test_an_encoder_writes_no_cache() -> None:
    kept = attention(queries=10)
    assert isinstance(kept.shape, AttentionShape)
    encoder = replace(kept, shape=replace(kept.shape, bidirectional=True))
    written = PLAIN.replaced({"cache_write.traffic": 2.0, "cache_write.each": 1e-3})
    with_cache, plain, without = (
        time_operator(each, toy(), constants).time_s
        for each, constants in ((kept, written), (encoder, PLAIN), (encoder, written))
    )
    assert without == plain < with_cache


def test_registers_spill_in_narrow_and_in_wide_heads() -> None:
    """Of heads of 64 and 256, a pair of query and key moves bytes that wait for the last cache; of others, none."""
    tiles = {"query_tiles.rows": 64.0, "query_tiles.narrow_rows": 64.0, "query_tiles.packed": 0.0,
             "query_tiles.each": 1e-9, "query_tiles.tail": 0.0}  # fmt: skip
    spilled = {"spilled_tiles.narrow": 700.0, "spilled_tiles.wide": 500.0, "spilled_tiles.rate": 15.0}
    sizes = {"batch": 4, "query": 8192, "context": 8192, "heads": 32, "kv_heads": 8}
    for width, slower in ((64, True), (128, False), (192, False), (256, True)):
        times = [
            time_operator(attended(**sizes, head_dim=width), load_hardware("l40s"), constants).time_s
            for constants in (PLAIN.replaced(tiles), PLAIN.replaced({**tiles, **spilled}))
        ]
        assert (times[1] > times[0]) is slower


def test_one_tile_more_than_a_wave_takes_two_waves() -> None:
    full, more = (tile(MatmulShape(128 * n, 256, 1 << 20), 1000.0, toy(), TILED) for n in (4, 5))
    # 4 tiles of 128 x 256 on 4 units run at once at 0.8 x 1000 FLOP/s
    assert full.compute_s == pytest.approx(2 * 512 * 256 * (1 << 20) / 800)
    assert (full.partial_s, full.latency_s) == (0.0, 0.0)
    assert more.compute_s > full.compute_s * 1.2


@given(
    m=st.integers(1, 70_000),
    n=st.integers(1, 70_000),
    k=st.integers(1, 200_000),
    partial=st.sampled_from([None, 0.0, 0.4, 1.7]),
)
def test_all_tilings_at_once_find_what_one_after_the_other_does(m: int, n: int, k: int, partial: float | None) -> None:
    uncut = UNCUT.replaced({"least_tile": 60.0})
    cut = {} if partial is None else {"split_k.partial": partial, "split_k.reduction": 3e-6}
    constants = uncut.replaced(cut)
    h100 = load_hardware("h100")
    one = tile(MatmulShape(m, n, k), 900e12, h100, constants)
    several = tile(MatmulShape(np.array([7.0, m]), np.array([9.0, n]), np.array([80.0, k])), 900e12, h100, constants)
    assert (one.compute_s, one.partial_s, one.latency_s) == tuple(
        np.asarray(each)[1] for each in (several.compute_s, several.partial_s, several.latency_s)
    )


def test_a_small_tile_is_fed_more_slowly() -> None:
    # a 32 x 32 tile at its share of the peak, 16 / 64, on one of four units; its depth is cut into steps of 32
    one = tile(MatmulShape(32, 32, 1), 1000.0, toy(), UNCUT)
    assert one.compute_s == pytest.approx(2 * 32 * 32 * 32 * 4 / (1000 * 16 / 64))


@pytest.mark.parametrize("columns", [32, 64])
def test_a_tile_smaller_than_the_smallest_takes_as_long_as_that(columns: int) -> None:
    """All of a step of 64 x 64, at its share of the peak, 32 / 64, on one of four units."""
    whole = UNCUT.replaced({"least_tile": 64.0})
    one = tile(MatmulShape(1, columns, 1), 1000.0, toy(), whole)
    assert one.compute_s == pytest.approx(2 * 64 * 64 * 32 * 4 / (1000 * 32 / 64))


@given(m=st.integers(1, 5000), n=st.integers(1, 5000), k=st.integers(1, 100_000), side=st.floats(16, 200))
def test_a_smallest_tile_never_makes_a_matmul_faster(m: int, n: int, k: int, side: float) -> None:
    h100, shape = load_hardware("h100"), MatmulShape(m, n, k)
    plain, limited = (tile(shape, 900e12, h100, each) for each in (TILED, TILED.replaced({"least_tile": side})))
    assert limited.total_s >= plain.total_s * (1 - 1e-12)


def test_a_deep_matmul_of_one_tile_is_split_and_pays_for_it() -> None:
    shape = MatmulShape(32, 32, 32 * 1024)
    alone = tile(shape, 1000.0, toy(), UNCUT)
    split = tile(shape, 1000.0, toy(), TILED)
    assert split.compute_s < alone.compute_s / 3
    assert split.latency_s == 1e-3
    assert split.partial_s >= 2 * 32 * 32 * 8 * 0.5 / 10


def test_extra_keys_are_work_and_no_traffic() -> None:
    cost = attention(queries=10)
    more = time_operator(cost, toy(), PLAIN.replaced({"extra_keys": 5.0, "p": 1}))
    plain = time_operator(cost, toy(), replace(PLAIN, p=1))
    # each of 10 queries sees 10 keys, and 5 in vain: half as much again
    assert more.time_s - plain.time_s == pytest.approx(0.5 * cost.flops / 800)
    assert more.bound_s == plain.bound_s


def test_extra_reads_are_traffic_per_sequence_and_head() -> None:
    cost = attention()
    more = time_operator(cost, toy(), PLAIN.replaced({"extra_reads": 5.0, "p": 1}))
    plain = time_operator(cost, toy(), replace(PLAIN, p=1))
    assert more.time_s - plain.time_s == pytest.approx(5 * 3 * 2 * 8 * 4 / 8)  # 5 keys and values of 6 heads of 8


def test_a_lone_head_has_its_units_part_of_the_bandwidth() -> None:
    constants = PLAIN.replaced({"compute": 2.0, "latency_s": 0.0, "block_bandwidth": 0.5, "p": 10})
    cost = attention(batch=3, kv_heads=2)  # 6 blocks on 4 units: two waves
    assert time_operator(cost, toy(), constants).time_s == pytest.approx(cost.bytes * 8 / 6 / (10 * 0.5), rel=1e-3)
    grouped = attention(batch=3, kv_heads=2, groups=2)
    assert time_operator(grouped, toy(), constants).time_s == pytest.approx(grouped.bytes / 8, rel=1e-2)


def test_regrouping_costs_a_launch_where_there_are_several() -> None:
    constants = PLAIN.replaced({"regroup": 7.0})
    for numbers, paid in (((2, 2, 2), 7.0), ((1, 2, 2), 0.0), ((2, 1, 2), 0.0), ((2, 2, 1), 0.0)):
        cost = attention(**dict(zip(("batch", "kv_heads", "groups"), numbers, strict=True)))
        added = time_operator(cost, toy(), constants).time_s - time_operator(cost, toy(), PLAIN).time_s
        assert added == pytest.approx(paid)


def test_what_fits_half_the_cache_moves_at_its_rate() -> None:
    cost = Cost("g", "op", "norm", "fp16", 1, 0, 0, 0, 80.0, RowShape(3, 25))
    timing = time_operator(cost, toy(), PLAIN.replaced({"latency_s": 0.0, "cache_bandwidth": 1.6}))
    assert timing.time_s == pytest.approx((50 / 1.6 + 30 / 0.8) / 10)
    assert timing.bound_s == pytest.approx(80 / (10 * 1.6))  # the roof of what was measured


def test_rows_alone_go_in_waves_of_two_blocks_a_unit() -> None:
    constants = PLAIN.replaced({"memory": 2.0, "latency_s": 0.0, "block_bandwidth": 0.1})
    few, more = (Cost("g", "op", "norm", "fp16", 1, 0, 0, 0, 10.0 * rows, RowShape(rows, 10)) for rows in (8, 9))
    slow = time_operator(few, toy(), constants).time_s
    assert slow == pytest.approx(math.hypot(80 / 20, 80 / (10 * 0.1)))
    assert time_operator(more, toy(), constants).time_s == pytest.approx(math.hypot(90 / 20, 160 / 1))


def test_a_device_without_units_is_refused() -> None:
    with pytest.raises(WorkloadError, match="toy states no units, which its calibration needs"):
        time_operator(matmul(8, 8, 8), toy(None), TILED)


# Shapes


def test_a_packed_projection_has_the_columns_of_its_parts() -> None:
    x, sizes = Tensor("x", "B D"), {"B": 2, "D": 4, "F": 5, "V": 7}
    parts = [contract(f"p{axis}", x, weight(f"w{axis}", f"D {axis}"), Tensor(axis, f"B {axis}")) for axis in "FV"]
    assert shape_of(fuse("packed", parts, kind="matmul"), sizes, lambda _: 2) == MatmulShape(2, 12, 4)


def test_a_matmul_without_weights_has_no_shape() -> None:
    scores = contract("scores", Tensor("q", "B T H"), Tensor("k", "B S H"), Tensor("s", "B T S"))
    assert shape_of(scores, {"B": 1, "T": 2, "S": 3, "H": 4}, lambda _: 2) is None


def test_a_row_that_a_unit_cannot_hold_is_read_again() -> None:
    constants = PLAIN.replaced({"latency_s": 0.0, "long_rows.capacity": 40.0, "long_rows.reread": 0.5})
    for row_bytes, part in ((20, 0.0), (40, 0.0), (60, 0.5), (80, 1.0), (800, 1.0)):
        cost = Cost("g", "op", "norm", "fp16", 1, 0, 0, 0, 3.0 * row_bytes, RowShape(3, row_bytes))
        seconds = 3 * row_bytes * (1 + 0.5 * part) / (10 * 0.8)
        assert time_operator(cost, toy(), constants).time_s == pytest.approx(seconds)
        assert time_operator(cost, toy(), constants).bound_s == pytest.approx(3 * row_bytes / 10)


def test_a_matmul_with_experts_is_grouped_and_each_group_fills_a_tile() -> None:
    ops = {op.name: op for op in experts(function="silu")}
    sizes = {"B": 3, "T": 2, "A": 4, "D": 8, "F": 16, "X": 5, "E": 7}
    for name in ("experts_gate_up", "experts_down"):
        cost = operator_cost(ops[name], sizes, Precision("fp16", "fp16", "fp16"))
        assert cost.shape == GroupedShape(groups=5, rows=24)  # 3 x 2 tokens, 4 experts each
        assert kind_of(cost) == "grouped_matmul"
        constants = replace(PLAIN, p=1, latency_s=0.0)
        plain = time_operator(cost, toy(), constants)
        padded = time_operator(cost, toy(), constants.replaced({"group_rows": 64.0}))
        assert padded.time_s - plain.time_s == pytest.approx((5 * 64 / 24 - 1) * float(cost.flops) / 800)
        assert padded.bound_s == plain.bound_s
        assert time_operator(cost, toy(), constants.replaced({"group_rows": 4.0})).time_s == plain.time_s
        assert time_operator(cost, toy(), replace(constants, corrections=TILED.corrections)).time_s == plain.time_s


def test_the_rows_of_groups_take_symbols() -> None:
    from sympy import Symbol

    batch = Symbol("B", positive=True, integer=True)
    cost = replace(matmul(8, 8, 8), shape=GroupedShape(4, 2 * batch))
    factor = work_factor(cost, load_hardware("a100"), PLAIN.replaced({"group_rows": 64.0}).corrections)
    assert [float(factor.subs(batch, b)) for b in (1, 64, 128, 1000)] == [128.0, 2.0, 1.0, 1.0]


# Properties


@given(SIZES, SIZES, SIZES)
def test_tiles_never_beat_the_plain_form(m: int, n: int, k: int) -> None:
    a100 = load_hardware("a100")
    tiled = tile(MatmulShape(m, n, k), 312e12, a100, TILED.replaced({"tiles": 1.5}))
    assert tiled.compute_s >= 2 * m * n * k / (0.8 * 312e12) * (1 - 1e-12)


@examples(st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=5), few=20, many=200)
def test_arrays_equal_numbers(shapes: list[tuple[int, int, int]]) -> None:
    m, n, k = (np.array(column, float) for column in zip(*shapes, strict=True))
    many = predict_op("matmul", "a100", m=m, n=n, k=k)
    for row, (rows, columns, depth) in enumerate(shapes):
        one = predict_op("matmul", "a100", m=rows, n=columns, k=depth)
        for name in ("time_s", "bound_s", "low_s", "high_s", "share_latency", "share_compute", "share_memory"):
            assert getattr(many, name)[row] == pytest.approx(getattr(one, name), rel=1e-12, abs=1e-15)


@examples(st.sampled_from(("matmul", "attention", "norm")), SIZES, SIZES, st.integers(1, 8), few=50, many=500)
def test_the_order_of_the_band_and_the_sum_of_the_shares_hold(kind: str, a: int, b: int, c: int) -> None:
    sizes: dict[str, dict[str, Any]] = {
        "matmul": {"m": a, "n": b, "k": 64 * c},
        "attention": {
            "batch": c,
            "query": 1,
            "context": a,
            "heads": 8 * c,
            "kv_heads": c,
            "head_dim": 128,
            "causal": True,
        },
        "norm": {"rows": a, "columns": b},
    }
    found = predict_op(kind, "a100", **sizes[kind])
    assert found.bound_s <= found.low_s <= found.time_s <= found.high_s
    assert found.share_latency + found.share_compute + found.share_memory == pytest.approx(1.0, abs=1e-12)
    assert min(found.share_latency, found.share_compute, found.share_memory) >= -1e-12


@examples(SIZES, SIZES, SIZES, few=50, many=500)
def test_shares_are_elasticities_with_tiles_too(m: int, n: int, k: int) -> None:
    step = 1e-6
    constants = constants_of(load_hardware("a100")).of("matmul", "graph")
    cost = matmul(float(m), float(n), float(k))

    def device(compute: float = 0.0, bandwidth: float = 0.0) -> HardwareSpec:
        peak = {"matrix": {"fp16": f"{312e12 * math.exp(compute)!r} FLOP/s"}}
        memory = {"dram": {"bandwidth": f"{2e12 * math.exp(bandwidth)!r} B/s"}}
        fields = {"name": "toy", "source": "s", "class": "cpu", "units": {"name": "SM", "count": 108}}
        return spec_from_fields({**fields, "peak": peak, "memory": memory}, "toy", what_if=True)

    def slope(rate: str) -> float:
        times = [time_operator(cost, device(**{rate: s}), constants).time_s for s in (step, -step)]
        return math.log(times[0] / times[1]) / (2 * step)

    timing = time_operator(cost, device(), constants)
    picks = [tile(cost.shape, 312e12 * math.exp(s), device(s, t), constants).latency_s  # type: ignore[arg-type]
             for s, t in ((step, 0), (-step, 0), (0, step), (0, -step))]  # fmt: skip
    if len(set(picks)) == 1:  # the same tiling on both sides of the derivative
        assert timing.share("compute") == pytest.approx(-slope("compute"), abs=1e-3)
        assert timing.share("memory") == pytest.approx(-slope("bandwidth"), abs=1e-3)


def test_terms_take_symbols() -> None:
    from sympy import Symbol, lambdify

    m, n, k = (Symbol(letter, positive=True, integer=True) for letter in "mnk")
    a100 = load_hardware("a100")
    constants = constants_of(a100).of("matmul", "graph")
    compiled = lambdify((m, n, k), tile(MatmulShape(m, n, k), 312e12, a100, constants).total_s, "math")
    for numbers in ((1, 4096, 4096), (300, 1024, 65536), (8192, 8192, 512)):
        seconds = tile(MatmulShape(*numbers), 312e12, a100, constants).total_s
        assert compiled(*numbers) == pytest.approx(seconds, rel=1e-12)
    context = Symbol("S", positive=True, integer=True)
    cost = replace(attention(), shape=replace(attention().shape, keys=context))  # type: ignore[type-var]
    decode = constants_of(a100).of("attention_decode", "graph")
    formula = memory_s(replace(cost, bytes=context * 100), a100, decode)
    number = memory_s(replace(attention(keys=64), bytes=6400.0, shape=replace(cost.shape, keys=64)), a100, decode)  # type: ignore[type-var]
    assert float(formula.subs(context, 64)) == pytest.approx(number, rel=1e-12)


# Calibrations of devices


@pytest.mark.parametrize("name", device_names())
def test_a_device_calibration_extends_a_shipped_device(name: str) -> None:
    data = load_device(name)
    assert data.name == name
    assert data.extends in hardware_names()
    assert name.startswith(str(data.extends))
    for named, kind in data.kinds.items():
        for stated in (kind,) if kind.latency else kind.dtypes.values():
            assert stated.band is not None
            assert stated.band.low <= 1 <= stated.band.high
            if kind.latency and named.startswith(("matmul", "attention")):  # that of all is of what every model has
                assert data.band.low <= stated.band.low
                assert stated.band.high <= data.band.high


def test_a_calibrated_device_defaults_to_its_calibration() -> None:
    assert constants_of(load_hardware("a100")).provenance == "calibrated"
    assert constants_of(load_hardware("a100"), "class").name == "nvidia-ampere"
    assert constants_of(load_hardware("h100-pcie")).whose.startswith("as h100-sxm-80gb, under 350 W")
    assert constants_of(load_hardware("v100")).provenance == "class"
    asked: ClockOptions = {"constants": "datasheet", "set": None, "routing": "uniform"}
    assert OperatorClock.of(load_hardware("a100"), asked).constants.provenance == "datasheet"
    with pytest.raises(SpecError, match=r"^v100-sxm2-16gb has no calibration \(calibrated are a100-sxm-80gb"):
        constants_of(load_hardware("v100"), "calibrated")


def test_the_band_of_an_operator_is_that_of_its_kind() -> None:
    attention = {"batch": 1, "heads": 8, "kv_heads": 2, "head_dim": 128, "causal": True}
    kinds = load_device("a100-sxm-80gb").kinds
    for query, kind in ((1, "attention_decode"), (64, "attention_prefill")):
        found, band = predict_op("attention", "a100", query=query, context=64, **attention), kinds[kind].band
        assert band is not None
        assert found.to_dict()["band"] == {"low": band.low, "high": band.high, "evidence": band.evidence}
    both = predict_op("attention", "a100", query=np.array([1.0, 64.0]), context=64, **attention)
    assert both.band[0] == load_device("a100-sxm-80gb").band.low


def test_an_edited_device_was_not_measured() -> None:
    edited = load_hardware("a100", overrides={"memory.hbm.bandwidth": "6 TB/s"})
    assert constants_of(edited).provenance == "class"
    assert constants_of(edited, "calibrated").provenance == "calibrated"  # who asks for it gets it


def test_each_operator_of_a_calibrated_phase_has_the_band_of_its_kind() -> None:
    phase = predict("llama-3.1-8b", "a100", context=2048).phases["decode"]
    kinds = load_device("a100-sxm-80gb").kinds
    for operator in phase.operators:
        own = kinds.get(operator.name) or kinds.get(operator.kind) or kinds["attention_decode"]
        if operator.kind not in ("softmax", "host"):
            assert own.band is not None
            assert operator.figures.high_s == pytest.approx(operator.figures.time_s * own.band.high)
    assert phase.figures.high_s == pytest.approx(sum(operator.figures.high_s for operator in phase.operators))


# what unpacks


def unpacking(rows: float, *, narrow: int = 1, groups: int = 0, nested: bool = False) -> tuple[Cost, float]:
    """A matmul of blocks, or of experts', and its contractions at the peak of an H200. [s]"""
    flops, weights = 2.0 * rows * 4096 * 4096, 4096 * 4096
    shape = (
        GroupedShape(groups, rows, 0.5 * groups * weights, unpacked=narrow * groups * weights, nested=nested)
        if groups
        else MatmulShape(rows, 4096, 4096, 0.5 * weights, narrow, nested=nested)
    )
    cost = Cost("g", "op", "matmul", "fp16", 1, flops, 0, 0, 0.5 * weights, shape)
    return cost, flops / load_hardware("h200").contraction_unit("fp16")[1]


def test_blocks_are_unpacked_in_tiles_or_in_memory_whichever_is_faster() -> None:
    h200 = load_hardware("h200")
    tiles = UnpackTiles(blocks=0.2, super_blocks=0.1)
    plain = Constants(compute=0.5, memory=0.8, p=2.0)
    in_tiles = replace(plain, corrections=Corrections.model_construct(unpack_tiles=tiles))
    both = Corrections.model_construct(unpack_tiles=tiles, unpack_memory=UnpackMemory(2.0))
    in_both = replace(plain, corrections=both)

    def added(cost: Cost, constants: Constants) -> float:
        return float(time_operator(cost, h200, constants).time_s - time_operator(cost, h200, plain).time_s)

    few, _ = unpacking(8)
    wide, _ = unpacking(512, narrow=0)
    for cost in (few, wide, unpacking(64, groups=8)[0]):  # eight rows of each expert
        assert added(cost, in_tiles) == added(cost, in_both) == 0
    for nested, share in ((False, 0.2), (True, 0.1)):
        cost, peak_s = unpacking(512, nested=nested)
        assert added(cost, in_tiles) == pytest.approx(peak_s * (1 / share - 1 / 0.5))
    moved_s = 4 * 4096 * 4096 / (h200.bandwidth * 0.8)
    many, peak_s = unpacking(65536)
    assert added(many, in_both) == pytest.approx(moved_s)
    less, peak_s = unpacking(16)
    assert added(less, in_both) == pytest.approx(min(peak_s * 3, moved_s)) == pytest.approx(peak_s * 3)
    experts, _ = unpacking(512, groups=4)
    assert added(experts, in_both) <= 4 * moved_s
    for cost in (many, less, experts):
        found = time_operator(cost, h200, in_both)
        assert found.latency_s + found.compute_s + found.memory_s == pytest.approx(found.time_s)
