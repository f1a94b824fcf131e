"""Scans and convolutions: their kinds, chunks in turn, channels walked, what units issue; more never takes less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline.calibration.constants import Constants
from roofline.cost.cost import Cost, operator_cost
from roofline.cost.kernel_shapes import ConvolutionShape, ScanShape
from roofline.hardware.loading import load_hardware
from roofline.models.model import load_model
from roofline.operators.predict_op import predict_op
from roofline.operators.statements import statement_of
from roofline.program.phases import Phase
from roofline.program.workload import Precision
from roofline.timing.machine import kind_of
from roofline.timing.operator import time_operator

SCAN = {"batch": 2, "key_heads": 4, "heads": 8, "key_dim": 128, "head_dim": 64, "chunk": 64}
CONVOLUTION = {"batch": 2, "channels": 4096, "taps": 4}
PLAIN = Constants(compute=0.8, memory=0.8, p=1)
H100 = load_hardware("h100")
UNITS, CLOCK = 132, 1.98e9


def cost(kind: str, state: str = "", **sizes: Any) -> Cost:
    op, bound = statement_of(kind, sizes)
    return operator_cost(op, bound, Precision("bf16", "bf16", "bf16", state), decoding=sizes["query"] == 1)


def added(timed: Cost, **constants: float) -> float:
    named = {name.replace("__", "."): value for name, value in constants.items()}
    return float(time_operator(timed, H100, PLAIN.replaced(named)).time_s - time_operator(timed, H100, PLAIN).time_s)


@pytest.mark.parametrize(("rule", "name"), [(0, "delta_rule"), (1, "mamba2")])
def test_a_prompt_and_a_step_are_kinds_of_their_own(rule: int, name: str) -> None:
    for query, phase in ((1, "decode"), (100, "prefill")):
        assert kind_of(cost("scan", rule=rule, query=query, **SCAN)) == f"{name}_{phase}"
        assert kind_of(cost("convolution", query=query, **CONVOLUTION)) == f"convolution_{phase}"


def test_a_step_reads_and_writes_its_states_in_their_dtype() -> None:
    states = 2 * 8 * 128 * 64
    for dtype, width in (("", 2), ("fp32", 4)):
        shape = cost("scan", dtype, rule=0, query=1, **SCAN).shape
        assert isinstance(shape, ScanShape)
        assert (shape.state_bytes, shape.heads) == (2 * states * width, 16)
    kept = cost("convolution", query=1, **CONVOLUTION).shape
    assert isinstance(kept, ConvolutionShape)
    assert (kept.state_bytes, kept.channels) == (2 * 2 * 2 * 4096 * 3, 2 * 4096)


def test_the_layers_of_a_model_are_these_kinds() -> None:
    for model, rule in (("qwen3-next-80b-a3b", "delta_rule"), ("mamba2-130m", "mamba2")):
        program = load_model(model).program()
        ops = [op for _, op in program.in_phase(Phase.DECODE) if op.name in ("scan", "convolution")]
        assert {op.function for op in ops} == {rule, ""}


def test_chunks_go_one_after_the_other_and_their_heads_side_by_side() -> None:
    timed = cost("scan", rule=0, query=200, **SCAN)  # four chunks, 16 heads of two sequences
    known = {"scan_chunks__passes": 1.0}
    chain = added(timed, scan_chunks__each=1e-12, scan_chunks__chain=1e-3, **known)
    assert chain == pytest.approx(4e-3)
    spread = added(timed, scan_chunks__each=1e-3, scan_chunks__chain=1e-12, **known)
    assert spread == pytest.approx(4 * 16 * 1e-3 / UNITS)
    twice = added(timed, scan_chunks__each=1e-12, scan_chunks__chain=1e-12, scan_chunks__passes=2.0)
    tokens = timed.bytes - timed.shape.state_bytes  # type: ignore[union-attr]
    assert twice == pytest.approx(tokens / (0.8 * 3.35e12), rel=1e-4)


def test_heads_of_sequences_are_taken_in_waves() -> None:
    """One on a unit, which goes through its chunks; their work is theirs."""
    waves = {}
    for batch in (16, 17):  # 128 and 136 heads on 132 units
        timed = cost("scan", rule=0, query=200, **{**SCAN, "batch": batch})
        found = time_operator(timed, H100, PLAIN.replaced({"scan_waves.start": 5e-3, "scan_waves.chain": 1e-3}))
        waves[batch] = float(found.time_s - timed.bytes / (0.8 * 3.35e12))
    assert waves[16] == pytest.approx(9e-3)
    assert waves[17] == pytest.approx(18e-3)


def test_a_channel_walks_its_tokens_by_1024() -> None:
    one, two = (
        added(cost("convolution", query=n, **CONVOLUTION), channel_walk__first=1e-6, channel_walk__each=3e-6)
        for n in (1024, 1025)
    )
    assert one == pytest.approx(4e-6 * 8192 / UNITS)
    assert two == pytest.approx(7e-6 * 8192 / UNITS)


def test_units_issue_no_more_than_they_can() -> None:
    timed = cost("convolution", query=1000, **CONVOLUTION)
    slow = added(timed, unit_rate=0.1)
    assert slow == pytest.approx(timed.bytes / (0.1 * UNITS * CLOCK) - timed.bytes / (0.8 * 3.35e12))
    assert added(timed, unit_rate=1000.0) == 0.0


@pytest.mark.parametrize("name", ["h100", "b200", "l40s", "a100", "mi300x"])
@pytest.mark.parametrize("query", [1, 64])
def test_more_requests_heads_or_tokens_never_take_less(name: str, query: int) -> None:
    for rule in ("delta_rule", "mamba2"):
        rising = 8 * np.arange(1, 30)
        for size in ("batch", "heads", *(("query",) if query > 1 else ())):
            found = predict_op("scan", name, rule=rule, **{**SCAN, "query": query, size: rising})
            assert (np.diff(found.time_s) >= 0).all(), size
            assert (found.bound_s <= found.low_s).all()
    found = predict_op("convolution", name, batch=2, query=query, channels=np.geomspace(64, 65536, 40).round())
    assert (np.diff(found.time_s) >= 0).all()
    assert (found.bound_s <= found.low_s).all()
