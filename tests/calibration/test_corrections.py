"""Every correction has unit, evidence, doctest and words; files, timing, --explain and fits read the one list."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace
from typing import Annotated, Any

import pytest
import yaml

from roofline.calibration.calibration_file import KindConstants
from roofline.calibration.constants import Constants, ConstantSet, read_calibration
from roofline.calibration.corrections.correction import Correction, Prior, Tokens, constants_of
from roofline.calibration.corrections.registry import CORRECTIONS, Corrections, named_constants
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import (
    AttentionShape,
    ConvolutionShape,
    GroupedShape,
    MatmulShape,
    RowShape,
    ScanShape,
    Shape,
)
from roofline.fitting.calibrator import PRIORS, Fitted, kind_fields
from roofline.fitting.operators import Fit
from roofline.hardware.loading import load_hardware
from roofline.reports.explanation import what_kernels_add
from roofline.timing.operator import time_operator

NAMES = list(CORRECTIONS)
PLAIN = Constants(compute=0.8, memory=0.7, latency_s=5e-6, p=2)


WITHIN = {"split_k": "tiles", "least_tile": "tiles", "window_edge": "query_tiles",
          "head_padding": "query_tiles", "slow_width": "query_tiles",
          "kernel_widths": "query_tiles", "spilled_tiles": "query_tiles", "gathered_rows": "routed_passes",
          "head_blocks": "decode_blocks", "key_time": "query_tiles", "key_tiles": "query_tiles",
          "key_split": "decode_blocks key_time key_tiles",
          "block_search": "decode_blocks key_time key_tiles key_split"}  # fmt: skip
"""Corrections of what others compute."""


def usual(name: str) -> dict[str, float]:
    """The constants of one correction at the medians of their priors, by their names in a fit."""
    return {each: constant.prior.median for each, (of, constant) in named_constants().items() if of == name}


def with_usual(name: str) -> Constants:
    return PLAIN.replaced(usual(name))


def around(name: str) -> Constants:
    """With those that compute what the correction corrects."""
    return PLAIN.replaced({each: value for of in WITHIN.get(name, "").split() for each, value in usual(of).items()})


# The list


def test_every_correction_that_there_is_stands_in_the_list_once() -> None:
    there = {each.__name__ for each in Correction.__subclasses__()}
    listed = [each.__name__ for each in CORRECTIONS.values()]
    assert sorted(listed) == sorted(there - {"Unmeasured"})
    for name, each in CORRECTIONS.items():
        assert name == re.sub(r"(?<!^)([A-Z])", r"_\1", each.__name__).lower()


def test_the_fields_of_a_kind_are_the_corrections_and_its_constants() -> None:
    own = {"compute", "memory", "vector", "special", "latency", "p", "band", "library", "libraries", "dtypes"}
    own |= {"inherited"}
    assert set(KindConstants.stated) == own | set(NAMES)


# What each states


@pytest.mark.parametrize("name", NAMES)
def test_a_correction_has_units_evidence_and_words(name: str) -> None:
    correction = CORRECTIONS[name]
    for constant in constants_of(correction):
        assert constant.unit.name
        assert constant.prior.median > 0
        assert constant.prior.sigma > 0
        assert f"{{{constant.field}}}" in correction.explained
    assert re.search(r"[0-9]", correction.source), "no figure, no publication"
    assert "source" in vars(correction)
    assert "explained" in vars(correction)


@pytest.mark.parametrize("name", NAMES)
def test_a_correction_evaluates_its_formula_in_its_docstring(name: str) -> None:
    correction = CORRECTIONS[name]
    examples = [each.source for test in doctest.DocTestFinder(recurse=False).find(correction) for each in test.examples]
    assert any(re.search(rf"\b{correction.__name__}\(.*\)", example) for example in examples)


@frozen
class Unmeasured(Correction):
    tokens: Annotated[float, Prior(1.0, 1.0)]
    keys: Tokens = 1.0


def test_a_constant_without_unit_or_prior_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Unmeasured\.tokens: expected one Unit and one Prior"):
        constants_of(Unmeasured)


# Who reads the list


@pytest.mark.parametrize("name", NAMES)
def test_a_calibration_file_has_it(name: str, tmp_path: Any) -> None:
    band = {"low": 0.9, "high": 1.1, "evidence": "arithmetic"}
    corrections = around(name).replaced(usual(name)).corrections
    fields = {"name": "toy", "title": "a toy", "p": 2, "compute": 0.8, "memory": 0.7, "vector": 1.0, "special": 1.0,
              "latency": {"graph": "5 us", "eager": "5 us"}, "band": band, "source": "arithmetic",
              "kinds": {"norm": corrections.written()}}  # fmt: skip
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    found = ConstantSet.from_calibration(read_calibration(path)).of("norm", "graph")
    assert found.corrections.given() == corrections.given() != {}
    assert ConstantSet.from_calibration(read_calibration(path)).of("matmul", "graph").corrections.given() == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_explanation_words_it(name: str) -> None:
    text = what_kernels_add(with_usual(name).corrections)
    assert text.startswith(f"; with what kernels add (roofline/calibration/corrections): {name} (")
    assert "{" not in text
    assert len(re.findall(r"[0-9]", text)) >= len(usual(name))
    assert what_kernels_add(PLAIN.corrections) == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_frees_and_writes_it(name: str) -> None:
    assert set(usual(name)) <= set(PRIORS)
    constants = with_usual(name)
    assert {each: constants.value(each) for each in usual(name)} == usual(name)
    written = kind_fields(Fitted(Fit(constants, {}, 1, 0.0, 0.0), constants, (), (1.0, 1.0)), host_s=0.0)
    assert written[name] == constants.corrections.written()[name]


def cost(kind: str, flops: float, moved: float, shape: Shape) -> Cost:
    return Cost("g", "op", kind, "fp16", 1, flops, 0, 0, moved, shape, alone=True)


def masked(groups: int, width: int = 64, window: int = 0, *, backward: bool = False) -> Cost:
    """Three prompts of 1,000 tokens, two heads of keys and values."""
    each = (10.0 if backward else 4.0) * 3 * 2 * groups * width
    shape = AttentionShape(3, 1000, 1000, 2, groups, each, 1.5e6, window, backward=backward)
    return cost("attention", each * 500_500, 3e6, shape)


KERNELS = [
    cost("matmul", 2.0 * 300 * 5000 * 700, 1e7, MatmulShape(300.0, 5000.0, 700.0, 7e6)),
    cost("matmul", 2.0 * 128 * 65536, 1.7e7, MatmulShape(1.0, 128.0, 65536.0, 1.7e7)),
    replace(cost("matmul", 2.0 * 5000 * 700, 1e7, MatmulShape(1.0, 5000.0, 700.0, 7e6)), weight_sets=2),
    cost("matmul", 2.0 * 300 * 5000 * 700, 5e6, MatmulShape(300.0, 5000.0, 700.0, 2e6, narrow=1)),
    cost("matmul", 2.0 * 16 * 5000 * 700, 6e7, GroupedShape(8.0, 16.0, columns=700.0, held=8.0)),
    replace(
        cost(
            "matmul",
            2.0 * 16 * 5000 * 700,
            6e7,
            GroupedShape(8.0, 16.0, 5e7, tokens=16.0, experts=8.0, row_bytes=1400.0, columns=5000.0, held=8.0),
        ),
        alone=True,
    ),
    masked(groups=1),
    masked(groups=4),
    masked(groups=4, width=72, window=128),
    masked(groups=1, backward=True),
    cost("norm", 0.0, 4e6, RowShape(4, 1e6)),
    cost("scan", 1e9, 1e6, ScanShape("delta_rule", 2, 1000, 64, 32, 5e5)),
    cost("elementwise", 0.0, 1e6, ConvolutionShape(2, 1000, 4096, 1e5)),
]


@pytest.mark.parametrize("name", NAMES)
def test_timing_applies_it(name: str) -> None:
    cached, quick = load_hardware("l40s"), load_hardware("h200")  # whose last cache, and whose memory is the faster one
    plain, corrected = (
        [time_operator(each, device, constants) for each in KERNELS for device in (cached, quick)]
        for constants in (around(name), around(name).replaced(usual(name)))
    )
    assert any(new.time_s != old.time_s for new, old in zip(corrected, plain, strict=True))
    for timing in corrected:
        assert timing.bound_s <= timing.time_s
        assert timing.latency_s + timing.compute_s + timing.memory_s == pytest.approx(timing.time_s)


# Changing constants


def test_constants_are_replaced_by_their_names_in_a_fit() -> None:
    tiled = PLAIN.replaced({"memory": 0.6, "tiles": 1.0, "split_k.reduction": 2e-6, "split_k.partial": 0.5})
    again = tiled.replaced({"split_k.reduction": 4e-6})
    assert (again.memory, again.value("memory"), again.value("tiles"), again.value("split_k.reduction")) == (
        0.6, 0.6, 1.0, 4e-6)  # fmt: skip
    assert tiled.value("split_k.reduction") == 2e-6
    assert PLAIN.corrections == Corrections()


@pytest.mark.parametrize("values", [{"split_k.partial": 1.0}, {"warm": 1.0}, {"split_k": 1.0}])
def test_half_a_correction_and_an_unknown_constant_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(TypeError):
        PLAIN.replaced(values)


def test_all_times_are_divided_and_nothing_else() -> None:
    every = PLAIN.replaced(
        {each: value for name in NAMES if name != "reuse_bandwidth" for each, value in usual(name).items()}
    )
    quicker = every.with_times_divided(2.0)
    times = {"latency_s", "split_k.reduction", "regroup", "quantize.latency", "ramp", "query_tiles.each",
             "cache_write.each", "decode_blocks.each", "head_blocks.each", "key_growth", "dispatch.token",
             "dispatch.expert", "scan_chunks.each", "scan_chunks.chain", "scan_waves.start", "scan_waves.chain",
             "channel_walk.first", "channel_walk.each", "row_walk.each", "key_time", "key_split.each",
             "key_split.reduction", "block_search",
             "group_blocks"}  # fmt: skip
    for each in ("latency_s", "memory", *(name for name in named_constants() if name != "reuse_bandwidth")):
        assert quicker.value(each) == every.value(each) / (2 if each in times else 1)
