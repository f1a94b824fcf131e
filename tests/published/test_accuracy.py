"""The scoreboards: their split, their figures by hand, and the tables of the page, which are what they print.

python tests/published/test_accuracy.py refreshes the tables.
"""

from __future__ import annotations

import itertools
import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "measured"
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]

import accuracy  # noqa: E402
import band_coverage  # noqa: E402
import band_scales  # noqa: E402
import class_attention  # noqa: E402
import device_bands  # noqa: E402
import device_board  # noqa: E402
import expert_board  # noqa: E402
import expert_fits  # noqa: E402
import expert_sets  # noqa: E402
import fit_calibrations  # noqa: E402
import fit_classes  # noqa: E402
import fit_devices  # noqa: E402
import fit_links  # noqa: E402
import fit_serving  # noqa: E402
import siblings  # noqa: E402
import simulated_serving  # noqa: E402
import splitwise  # noqa: E402
import whole_models  # noqa: E402
from class_campaigns import load_campaigns  # noqa: E402
from device_tables import Table  # noqa: E402
from expert_sets import ExpertSet  # noqa: E402
from grids import quick  # noqa: E402
from grouped_sets import HIDDEN_FIT, judged_mixture, mixture, step_of  # noqa: E402
from limited_routing import limited_load  # noqa: E402
from measured_sets import MeasuredSet, assert_disjoint, load_sets  # noqa: E402
from scores import Scored, joined, table  # noqa: E402
from whole_model_sets import load_whole_models  # noqa: E402

from roofline.calibration.constants import Constants  # noqa: E402
from roofline.calibration.siblings import load_siblings  # noqa: E402
from roofline.hardware.loading import load_hardware  # noqa: E402
from roofline.operators.predict_op import predict_op  # noqa: E402
from roofline.timing.timing import Timing  # noqa: E402

PAGE = ROOT / "docs" / "accuracy.md"
TABLE = re.compile(r"<!-- (short|whole) (operators|models|classes) -->\n(.*?)<!-- end -->", re.DOTALL)
FITTED_LONG = tuple(kind for kind in fit_classes.FREE if kind.startswith("matmul") and kind != "matmul fp32")
"""Kinds that take a fit of matmuls, which takes seconds."""
measured = pytest.mark.skipif(not DATA.is_dir(), reason="needs the measurements in ../shared/measured")


def toy() -> MeasuredSet:
    """Nine matmuls: n and k from 1, 2, 3; 1 is fitted."""
    n, k = (column.ravel() for column in np.meshgrid([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))
    known = {"n": frozenset((1,)), "k": frozenset((1,))}
    sizes = {"m": np.full(9, 4.0), "n": n, "k": k}
    return MeasuredSet("toy", "matmul", load_hardware("h100"), "bf16", sizes, np.full(9, 1e-5), known)


def widths(fast: int) -> MeasuredSet:
    """Elementwise rows of widths 1024, 2048, both fitted, and 4096: one of them runs twice as fast as the others."""
    columns = np.repeat([1024.0, 2048.0, 4096.0], 8)
    sizes = {"rows": np.tile(2.0 ** np.arange(12, 20), 3), "columns": columns, "inputs": np.ones(24)}
    known = {"columns": frozenset((1024, 2048))}
    whole = MeasuredSet("toy", "elementwise", load_hardware("a100"), "fp16", sizes, np.ones(24), known)
    seconds = whole.cost().bytes / 1e12 / np.where(columns == fast, 2, 1)
    return replace(whole, measured_s=seconds)


def pairs(rows: MeasuredSet) -> set[tuple[float, float]]:
    return set(zip(rows.sizes["n"].tolist(), rows.sizes["k"].tolist(), strict=True))


def test_the_split_shares_no_value_and_loses_no_row() -> None:
    rows = toy()
    assert pairs(rows.fitted()) == {(1, 1)}
    assert pairs(rows.held_out()) == {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert pairs(rows.between()) == {(1, 2), (1, 3), (2, 1), (3, 1)}
    assert_disjoint([rows.fitted()], [rows.held_out()])


def test_the_band_of_streams_is_of_widths_that_the_constants_did_not_see() -> None:
    alike, unlike = (fit_calibrations.fit_streams({"elementwise": [widths(fast)]}) for fast in (4096, 2048))
    low, high = alike["elementwise"].band  # the fast width is judged, not fitted
    assert 0.97 < low <= 1 <= high < 1.03
    low, high = unlike["elementwise"].band  # each fitted width is predicted by the other
    assert low < 0.6
    assert high > 1.7
    assert unlike["elementwise"].band_rows == 16


def test_the_band_that_a_row_is_judged_by_has_not_seen_its_values() -> None:
    """Of three values one lies off: a band of all would hold it, one of the others does not."""
    rows, scatter = widths(fast=4096), np.tile(np.linspace(-0.1, 0.1, 8), 3)
    apart = np.where(rows.sizes["columns"] == 2048, 1.0, scatter)

    def covered(logs: Any) -> float:
        (ends,) = device_bands.ends_unseen([fit_devices.Judged((rows,), fit_devices.Constants(), logs)], "elementwise")
        return float(((ends[0] <= -logs) & (-logs <= ends[1])).mean())

    assert covered(scatter) >= 0.75
    assert covered(apart) <= 2 / 3


def test_what_few_like_rows_share_is_made_wider_and_their_scatter_is_not() -> None:
    def shared(combinations: int) -> float:
        values = np.repeat(np.arange(combinations), 8)[:, None]
        means, scatter = np.where(values[:, 0] % 2, 0.1, -0.1), np.tile([-0.01, 0.01], 4 * combinations)
        wide = device_bands.widened(means + scatter, values).reshape(combinations, 8)
        assert wide - wide.mean(axis=1, keepdims=True) == pytest.approx(scatter.reshape(combinations, 8))
        return float(np.abs(wide.mean(axis=1)).mean() / 0.1)

    assert shared(4) == pytest.approx(1.6, abs=0.01)  # Student's t of 3 degrees of freedom, and one more mean
    assert 1.0 < shared(400) < 1.01


def test_a_band_by_latency_is_narrow_where_rows_of_such_a_part_of_latency_lie_near() -> None:
    """Four hundred rows, whose errors grow with what of their time is latency."""
    latency = np.linspace(0.0, 1.0, 400)
    logs = 0.2 * latency * ndtri((np.random.default_rng(0).permutation(400) + 0.5) / 400)
    rows = device_bands.Errors(logs, np.zeros((400, 1)), latency)
    whole, by_latency = (device_bands.made(rows, "toy", by_latency=by) for by in (False, True))
    assert [ends["share"] for ends in by_latency["by_latency"]][::3] == [0.0, 1.0]
    widths = [np.subtract(*device_bands.ends_at(band, latency)[::-1]) for band in (whole, by_latency)]
    assert np.ptp(widths[0]) == 0
    assert widths[1][0] < widths[0][0] / 3
    assert widths[1][-1] > 1.2 * widths[0][-1]
    assert "by_latency" not in device_bands.made(rows.where(latency < 0.1), "toy", by_latency=True)  # few rows


def told(low: float, high: float, logs: Any) -> dict[str, float]:
    """The figures of rows that lie so far from a second, in a band of these ends: all in logarithms."""
    seconds = np.ones(len(logs))
    timing = Timing(seconds, 0.01 * seconds, np.exp(low) * seconds, np.exp(high) * seconds)
    return device_board.figures(timing, seconds, np.exp(logs))


def test_a_true_band_holds_what_each_level_says_and_has_the_best_score() -> None:
    logs = 0.1 * ndtri((np.arange(4000) + 0.5) / 4000)
    end = 0.1 * ndtri(0.95)
    found = told(-end, end, logs)
    assert [found[f"cover_{level}"] for level in device_board.LEVELS] == pytest.approx([0.5, 0.8, 0.95], abs=1e-3)
    assert found["cover"] == pytest.approx(0.9, abs=1e-3)
    assert found["width"] == pytest.approx(2 * end)
    assert found["score"] < min(told(-times * end, times * end, logs)["score"] for times in (0.8, 1.25))


def test_what_rows_share_is_told_from_their_scatter() -> None:
    groups, scatter = np.repeat(np.arange(4), 500), np.tile([-0.1, 0.1], 1000)
    found = device_board.shares(np.where(groups % 2, 0.2, -0.2) + scatter, groups)
    assert found == pytest.approx({"shared": 0.2, "scatter": 0.1, "draws": 4}, rel=0.01)
    assert device_board.shares(scatter, groups)["shared"] == 0


def test_a_true_band_covers_a_set_whose_rows_share_much_by_far_more_or_less() -> None:
    """In the mean over draws nine in ten, whatever they share."""

    def drawn(shared: float, draws: int) -> Any:
        return band_coverage.if_true(shared, scatter=0.1, draws=draws)

    assert drawn(0.0, 1) == pytest.approx(0.9)
    assert drawn(0.2, 1).mean() == pytest.approx(0.9, abs=0.01)
    share_of = [float(band_coverage.asked(drawn(*of)).mean()) for of in ((0.02, 1), (0.2, 1), (0.2, 30))]
    assert share_of[0] > 0.95
    assert share_of[1] < 0.3
    assert share_of[1] < share_of[2]
    unknown = band_coverage.if_true(0.0, scatter=0.1, draws=1, unforeseen=0.2)
    assert unknown.mean() == pytest.approx(0.9, abs=1e-3)
    assert 0.5 < band_coverage.asked(unknown).mean() < 0.75


def test_a_scale_that_is_known_makes_each_band_as_wide_as_its_rows_ask_for() -> None:
    spread = ndtri((np.arange(400) + 0.5) / 400)
    narrow, wide, other = (
        class_attention.Unseen("toy", name, name, of * spread, of * spread)
        for name, of in zip("abc", (0.1, 0.4, 0.1), strict=True)
    )
    low, high = band_scales.band_by(band_scales.of_donors(1.0), narrow, [wide, other])
    assert (low, high) == pytest.approx(0.1 * ndtri([0.05, 0.95]), rel=0.01)
    assert band_scales.band_by(band_scales.one, narrow, [wide, other])[1] > 2 * high
    assert band_scales.of_kernel(narrow, [wide, other]) == pytest.approx(
        0.2, rel=0.01
    )  # alike are none: the mean of ln


def test_the_table_of_bands_is_what_their_scoreboard_finds() -> None:
    assert _shown("bands") == "\n".join(band_coverage.table(band_coverage.lines()))


@pytest.mark.parametrize("subject", band_coverage.SUBJECTS)
def test_bands_hold_nine_rows_in_ten_in_the_mean_over_sets(subject: str) -> None:
    """Of fitted devices each subject's; of devices left out those of operators, whose architecture was timed or not."""
    covers: dict[str, list[float]] = {}
    for one in band_coverage.bands(subject):
        covers.setdefault(one.group, []).append(one.cover)
    groups = ["fitted"] + [band_coverage.SIBLING, band_coverage.STRANGER] * (subject == "operators")
    assert all(band_coverage.asked(np.mean(covers[group])) for group in groups)


def mixtures() -> ExpertSet:
    """Four campaigns of 14 numbers of tokens, timed as by known constants."""
    tokens, experts = (column.ravel() for column in np.meshgrid(2.0 ** np.arange(14), [8.0, 16.0, 32.0, 64.0]))
    ones = np.ones(56)
    campaigns = np.unique(experts, return_inverse=True)[1]
    sizes = {"B": tokens, "T": ones, "A": 2 * ones, "E": experts, "D": 4096 * ones, "F": 2048 * ones,
             "X": np.minimum(experts, 2 * tokens), "gated": ones, "skewed": 0 * ones}  # fmt: skip
    table = Table(load_hardware("h100"), "toy", "1", [], "", Path())
    rows = ExpertSet(table.device, "bf16", "toy", table, sizes, ones, campaigns)
    seconds = expert_fits.timing_of(rows, expert_fits.chain_of(KNOWN, 0.5)).time_s
    return replace(rows, measured_s=seconds)


KNOWN = Constants(0.6, 0.65, 0.9, 0.8, 1e-5, 2.0).replaced(
    {"group_tail": 64.0, "group_blocks": 1e-6, "routed_passes": 0.5, "dispatch.token": 2e-9, "dispatch.expert": 2e-8}
)


def test_a_fit_of_mixtures_finds_the_constants_that_they_were_timed_by() -> None:
    found = expert_fits.fitted([mixtures()]).grouped
    assert found.memory == pytest.approx(0.8, rel=0.02)
    assert found.compute == pytest.approx(0.6, rel=0.05)


def test_the_band_of_sizes_that_were_not_fitted_is_of_other_kernels_and_as_wide_as_its_own_spread_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own rows that were not fitted, far off here, say nothing."""
    chain = expert_fits.chain_of(KNOWN, 0.5)
    scattered = np.exp(0.1 * ndtri((np.arange(56) + 0.5) / 56))

    def seeds(rows: ExpertSet, _: Path) -> tuple[expert_fits.Judged, ...]:
        off = 10.0 if rows.library == "triton" else 1.0
        return (expert_fits.Judged(replace(rows, measured_s=rows.measured_s * scattered * off), chain, 0.1),)

    sets = tuple(replace(mixtures(), library=library) for library in ("triton", "trtllm"))
    monkeypatch.setattr(expert_fits, "load_experts", lambda _: sets)
    monkeypatch.setattr(expert_fits, "judged", seeds)
    (low, high), count = expert_fits.band_unseen(0.1, sets[0].kernel, Path("toy"))
    assert count == 56
    assert (low, high) == pytest.approx(tuple(np.exp(0.1 * ndtri([0.05, 0.95]))), rel=0.02)
    wider, _ = expert_fits.band_unseen(0.2, sets[0].kernel, Path("toy"))
    assert np.log(wider) == pytest.approx(np.log((low, high)) * 2**expert_fits.SPREAD_POWER)


def test_the_band_of_an_unseen_architecture_is_of_architectures_that_were_not_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = tuple(replace(mixtures(), device=load_hardware(name), library="triton") for name in ("h100", "h200", "l40s"))
    seen: list[tuple[ExpertSet, ...]] = []

    def pooled(donors: tuple[ExpertSet, ...], _: Path) -> expert_fits.Chain:
        seen.append(donors)
        return expert_fits.chain_of(KNOWN, 0.5)

    monkeypatch.setattr(expert_fits, "load_experts", lambda _: sets)
    monkeypatch.setattr(expert_fits, "_pooled", pooled)
    h100, h200, l40s = sets
    for without, asked in (("", [(l40s,), (l40s,), (h100, h200)]), (h100.device.name, [(l40s,), (h200,)])):
        seen.clear()
        assert len(expert_fits.unseen_generations(Path("toy"), without)) == len(asked)
        assert seen == asked


def timed_layout(dtype: str, topk: int, experts: int, devices: int) -> dict[str, str]:
    return {"kernel_source": "k", "moe_dtype": dtype, "hidden_size": "5120", "inter_size": "8192", "topk": str(topk),
            "num_experts": str(experts), "moe_tp_size": "1", "moe_ep_size": str(devices)}  # fmt: skip


def test_tactics_are_a_rows_own_where_no_other_layout_wrote_a_file_whose_name_begins_so() -> None:
    rows = [
        timed_layout("fp8", 1, 16, 1), timed_layout("fp8", 1, 128, 8),  # 16 experts at hand, of one device and of eight
        timed_layout("fp8", 1, 64, 1), timed_layout("fp8", 1, 64, 64), timed_layout("fp8", 1, 32, 1),
        timed_layout("fp8_block", 1, 16, 1), timed_layout("fp8_block", 1, 128, 8),
    ]  # fmt: skip
    table = Table(load_hardware("h100"), "trtllm", "1", rows, "", Path())
    own = expert_sets._own_tactics(table)
    assert own == {"fp8_5120_8192_16": False, "fp8_5120_8192_64": True, "fp8_5120_8192_32": True,
                   "fp8_5120_8192_1": False}  # fmt: skip
    assert expert_sets._own_tactics(replace(table, framework="vllm")) == {}


def test_rows_apart_are_those_that_share_tactics_or_load_no_vectors() -> None:
    """Of eight widths that tensor parallelism leaves, 704 to 176 are multiples of 16 elements, 88 and less are not."""
    kernel, times = "vllm_unquantizedfusedmoe_triton_tritonexperts", ("balanced", "0.1", "8")
    more = dict(zip(("distribution", "latency_ms", "num_tokens"), times, strict=True))
    rows = [
        {**timed_layout("bfloat16", 8, 128, 1), **more, "kernel_source": kernel, "inter_size": "704",
         "moe_tp_size": str(split)} for split in (1, 2, 4, 8, 16, 32)
    ]  # fmt: skip
    table = Table(load_hardware("h100"), "vllm", "1", rows, "", Path())
    widths = [set(found.sizes["F"]) for usual in (True, False) for found in expert_sets._sets(table, usual=usual)]
    assert widths == [{704, 352, 176}, {88, 44, 22}]


def test_deepseeks_router_sends_balanced_tokens_to_four_of_eight_groups() -> None:
    """One expert asked for in each kept group, and the first four that nobody asked for."""
    assert limited_load(4096, 1, 0.0) == (8 * 4096, 128)
    assert limited_load(4096, 2, 0.0) == (8 * 4096, 128)
    assert limited_load(4096, 8, 0.0) == (5 * 4096, 32)
    pairs, touched = limited_load(512, 8, 1.2)
    assert 512 < pairs < 8 * 512
    assert touched <= 32


def test_a_shared_value_is_an_error() -> None:
    rows = toy()
    with pytest.raises(AssertionError, match=r"toy: n \[1.0\] stand among the fitted rows"):
        assert_disjoint([rows.fitted()], [rows.between()])


def test_the_figures_are_those_of_the_definition() -> None:
    predicted = predict_op("matmul", "h100", m=np.array([16.0, 16.0]), n=4096, k=4096)
    measured_s = np.array([predicted.time_s[0] / 1.1, predicted.high_s[1] * 2])
    scored = Scored.of("toy", "toys", predicted, measured_s)
    n, median, mean, _, bias, cover, *_ = scored.figures()
    second = 1 - predicted.time_s[1] / measured_s[1]
    assert (n, cover) == ("2", "50 %")
    assert median == mean == f"{100 * (0.1 + second) / 2:.1f} %"
    assert bias == f"{np.sqrt(1.1 * (1 - second)):.2f}"
    (both,) = joined([scored, scored])
    assert (both.name, both.figures()[:3]) == ("toys", ("4", median, mean))


def test_a_table_has_a_line_for_each_set() -> None:
    predicted = predict_op("matmul", "h100", m=np.array([16.0]), n=4096, k=4096)
    scored = Scored.of("toy", "toys", predicted, predicted.time_s)
    assert list(table([scored]))[2].startswith("| toy | 1 | 0.0 % | 0.0 % | 0.0 % | 1.00 | 100 % |")


@measured
def test_no_judged_shape_was_fitted_and_no_row_is_lost() -> None:
    sets = load_sets(DATA)
    assert_disjoint([rows.fitted() for rows in sets if rows.fit_values], [rows.held_out() for rows in sets])
    assert len(sets) > 20
    for rows in sets:
        assert len(rows.held_out()) >= 9, rows.name
        assert np.isfinite(rows.measured_s).all(), rows.name


@measured
@pytest.mark.parametrize("kind", quick(["attention_prefill"], of=["matmul", "attention_prefill"]))
def test_no_class_constants_come_from_the_device_that_they_are_judged_on(kind: str) -> None:
    campaigns = fit_classes.class_campaigns(DATA)
    devices = {campaign.device.name for campaign in campaigns if campaign.kind == kind}
    assert set(fit_classes.left_out(kind, campaigns)) == devices
    assert len(load_campaigns(DATA)) > len(campaigns)


@measured
def test_mixtures_of_experts_are_judged_on_sizes_that_were_not_fitted_and_do_better_than_by_the_class() -> None:
    judged, fitted = judged_mixture(DATA), mixture(DATA, HIDDEN_FIT)
    assert judged.widths
    assert not judged.widths & fitted.widths
    medians = []
    for constants in ("calibrated", "class"):
        found = accuracy.grouped_constants(judged.device, constants)
        scored = Scored.of("judged", "judged", step_of(judged, found), judged.measured_s)
        medians.append(float(scored.figures()[1].split()[0]))
    assert medians[0] < medians[1]


@measured
def test_whole_models_are_timed_as_they_were_run() -> None:
    sets = load_whole_models(DATA)
    assert len(sets) > 15
    assert all(rows.runs for rows in sets)
    assert all(run.measured_s > 0 for rows in sets for run in rows.runs)
    assert all(("hardware" in run.asked) and ("model" in run.asked) for rows in sets for run in rows.runs)


@measured
@pytest.mark.parametrize("subject", quick(["operators", "models"], of=["operators", "models", "classes"]))
def test_the_tables_of_the_page_are_what_the_scoreboards_print(subject: str) -> None:
    found = {(size, of): shown for size, of, shown in TABLE.findall(PAGE.read_text(encoding="utf-8"))}
    assert len(found) == 5
    for size in (size for size, of in found if of == subject):
        assert found[size, subject] == f"{_table(size, subject)}\n"


@measured
@pytest.mark.parametrize("kind", [kind for kind in fit_classes.FREE if kind not in FITTED_LONG])
def test_the_rows_of_a_kind_are_what_the_fit_of_classes_prints(kind: str) -> None:
    """The slow run makes those of matmuls too, with all the rest of the table."""
    (whole,) = (shown for size, of, shown in TABLE.findall(PAGE.read_text(encoding="utf-8")) if of == "classes")
    header, *rows = fit_classes.report([each for each in fit_classes.class_campaigns(DATA) if each.kind == kind])
    assert rows
    assert whole.startswith(header)
    assert [line for line in whole.splitlines() if line.startswith(f"| {kind} |")] == rows


@pytest.mark.parametrize(("subject", "marker"), [("operators", "devices"), ("collectives", "collectives")])
def test_a_table_of_devices_is_its_copy_and_no_row_lies_below_a_bound(subject: str, marker: str) -> None:
    records = device_board.stored(subject)
    assert _shown(marker) == "\n".join(device_board.table(records))
    assert all(record["below_bound"] < 0.01 for record in records)
    assert all(record["median"] < record["naive_median"] for record in records)


def _shown(marker: str) -> str:
    """A table of docs/accuracy.md."""
    shown = re.search(rf"<!-- {marker} -->\n(.*?)\n<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    return shown[1]


def test_the_table_of_experts_is_its_copy_and_beats_the_naive_roofline() -> None:
    """Loads are drawn, so that some rows had fewer experts than we count."""
    records = device_board.stored("experts")
    assert _shown("experts") == "\n".join(device_board.table(records))
    assert all(record["below_bound"] < 0.02 for record in records)
    assert all(record["median"] < record["naive_median"] for record in records)


def test_the_table_of_siblings_is_its_copy_and_a_chip_tells_matmuls_better_than_the_class() -> None:
    records = device_board.stored("siblings")
    assert _shown("siblings") == "\n".join(siblings.table(records))
    matmuls = [one for one in records if one["kind"].startswith("matmul") and one["board"] != "mi308x"]
    assert len(matmuls) == 8
    assert all(one["median"] < one["class_median"] for one in matmuls)
    for name in ("median", "score"):
        assert np.mean([one[name] for one in records]) < np.mean([one[f"class_{name}"] for one in records])


@measured
def test_best_matmuls_of_siblings_are_as_the_page_has_them_and_within_what_their_bands_allow() -> None:
    records = siblings.best_records(siblings.bests(DATA))
    assert records == device_board.stored("best siblings")
    assert _shown("best siblings") == "\n".join(siblings.best_table(records))
    off = np.abs(np.log([one["told"] / one["seen"] for one in records]))
    assert np.quantile(off, 0.9) < np.log(load_siblings().widened.board)


@measured
@pytest.mark.slow
def test_the_copy_of_siblings_is_what_their_scoreboard_finds() -> None:
    every = (*siblings.by_memory(DATA), *siblings.by_units(DATA))
    assert [each.record() for each in every] == device_board.stored("siblings")


def test_the_table_of_serving_is_its_copy_and_holds_what_is_asked_of_it() -> None:
    """Time per output token of the judged half: median error, bias, and none that grows with tensor parallelism."""
    records = device_board.stored("serving")
    shown = re.search(r"<!-- serving -->\n(.*?)\n<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert shown[1] == "\n".join(fit_serving.table(records))
    judged = [one for one in records if one["rows"] == "judged half"]
    assert judged[0]["engine"] == judged[0]["tp"] == "all"
    assert judged[0]["median"] <= 0.10
    assert 0.9 <= judged[0]["bias"] <= 1.05
    assert judged[0]["cover"] >= 0.85
    degrees = [one["bias"] for one in judged if one["tp"] != "all"]
    assert len(degrees) == 4
    assert max(degrees) - min(degrees) <= 0.08


def test_the_table_of_simulated_serving_is_its_copy_and_holds_what_is_asked_of_it() -> None:
    """The judged half: medians of all times, and the 90th percentile of the time per output token."""
    records = device_board.stored("simulated serving")
    assert _shown("simulated serving") == "\n".join(simulated_serving.table(records))
    whole = {one["time"]: one for one in records if (one["rows"], one["by"]) == ("judged half", "all")}
    for time, most in zip(simulated_serving.NAMES, (0.25, 0.10, 0.10), strict=True):
        assert whole[time]["median"] <= most, time
    assert whole["TPOT"]["p90"] <= 0.25
    assert all(one["median"] < one["naive_median"] for one in whole.values())
    for by in ("engine", "model", "device", "in flight"):
        counted = [one["n"] for one in records if (one["rows"], one["by"], one["time"]) == ("judged half", by, "TTFT")]
        assert sum(counted) == whole["TTFT"]["n"]


@measured
def test_a_row_that_was_simulated_lies_between_its_ends_and_above_the_roofline() -> None:
    (first, *_) = simulated_serving.halves(simulated_serving.load_deployments(DATA, most=8))[1][::60]
    answer = simulated_serving.Answer.of(first)
    assert np.all(answer.naive < answer.low)
    assert np.all(answer.low < answer.expected)
    assert np.all(answer.expected < answer.high)


_SPLITWISE = {("llama-2-70b", "TTFT"): 0.19, ("llama-2-70b", "TPOT"): 0.335, ("bloom-176b", "TTFT"): 0.175,
              ("bloom-176b", "TPOT"): 0.25}  # fmt: skip
"""Medians of the error that were reached, which no change is to make worse."""


@measured
def test_the_copy_of_splitwise_is_what_its_scoreboard_finds_and_its_rows_are_no_worse_than_they_were() -> None:
    records = list(splitwise.board(DATA))
    assert records == device_board.stored("splitwise")
    assert _shown("splitwise") == "\n".join(splitwise.table(records))
    found = {(one["model"], one["time"]): one for one in reversed(records)}  # the first of a model is of all its rows
    assert {key for key, one in found.items() if one["median"] <= _SPLITWISE[key]} == set(_SPLITWISE)


@measured
@pytest.mark.slow
def test_the_copy_of_simulated_serving_is_what_its_scoreboard_finds() -> None:
    assert list(simulated_serving.board(DATA)) == device_board.stored("simulated serving")


@measured
def test_serving_is_split_by_model_and_hardware() -> None:
    rows = fit_serving.load_deployments(DATA)
    first, other = fit_serving.halves(row for row in rows if row.model in fit_serving.DENSE)
    assert not {row.pair for row in first} & {row.pair for row in other}
    assert len(first) + len(other) == 384


@measured
def test_some_rows_of_serving_are_what_the_table_was_made_of() -> None:
    """One call of ``compare``: vLLM's host as it is stated lowers the error on rows that no fit has seen."""
    rows = [row for row in fit_serving.load_deployments(DATA) if (row.pair, row.engine, row.prompt, row.generate) == (
        ("llama-3.1-70b", "h100"), "vllm", 922, 922)]  # fmt: skip
    with_host, without = fit_serving.answers(rows), fit_serving.answered(rows, {})
    ratios = [[float(one.tpot.time_s) / one.row.tpot_s for one in found] for found in (with_host, without)]
    assert len(ratios[0]) == 9
    assert np.mean(np.abs(np.log(ratios[0]))) < np.mean(np.abs(np.log(ratios[1]))) < 0.1


@measured
@pytest.mark.slow
def test_the_copy_of_serving_is_what_the_scoreboard_finds() -> None:
    assert list(fit_serving.board(DATA)) == device_board.stored("serving")


@measured
@pytest.mark.slow
def test_the_copy_is_what_the_scoreboard_finds() -> None:
    assert list(device_board.board(DATA)) == device_board.stored()


@measured
@pytest.mark.slow
def test_the_copy_of_experts_is_what_their_scoreboard_finds() -> None:
    assert list(expert_board.board(DATA)) == device_board.stored("experts")


@measured
@pytest.mark.slow
def test_classes_without_a_device_are_what_the_fit_finds() -> None:
    for name, device in fit_classes.judged(DATA).items():
        assert fit_classes.stored_class_without(device) == fit_classes.class_without(device, DATA), name


@measured
def test_the_copy_of_collectives_is_what_their_scoreboard_finds() -> None:
    """The left-out half of it, whose constants are the file's."""
    stored = {(one["device"], one["kind"], one["library"]): one for one in device_board.stored("collectives")
              if one["constants"] == "left out"}  # fmt: skip
    assert {fit_links.key(one): one for one in fit_links.left_out(DATA)} == stored


@measured
def test_a_calibration_beats_its_class_and_the_data_sheet_on_rows_that_were_not_fitted() -> None:
    def medians(constants: Any) -> list[float]:
        first = itertools.islice(accuracy.scored(DATA, constants), 8)  # matmuls and attentions of the A100
        return [float(rows.figures()[1].split()[0]) for rows, _ in first]

    calibrated, data_sheet = medians("calibrated"), medians("datasheet")
    assert all(ours < naive for ours, naive in zip(calibrated, data_sheet, strict=True))
    assert sum(calibrated) < sum(medians("class"))
    h20, a100 = (fit_classes.stored_class_without(load_hardware(name)) for name in ("h20", "a100"))
    assert h20.kinds["matmul"] != a100.kinds["matmul"]


@cache
def _table(size: str, subject: str) -> str:
    lines = {
        ("short", "operators"): lambda: accuracy.short(DATA, None),
        ("whole", "operators"): lambda: accuracy.page(DATA, None, regimes_too=True),
        ("short", "models"): lambda: whole_models.short(DATA, None),
        ("whole", "models"): lambda: table(whole_models.board(DATA, None)),
        ("whole", "classes"): lambda: fit_classes.report(fit_classes.class_campaigns(DATA)),
    }
    return "\n".join(lines[size, subject]())


def _filled(text: str) -> str:
    return TABLE.sub(lambda m: f"<!-- {m[1]} {m[2]} -->\n{_table(m[1], m[2])}\n<!-- end -->", text)


if __name__ == "__main__":
    PAGE.write_text(_filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    tables = {
        "bands": band_coverage.table(band_coverage.lines()),
        "devices": device_board.table(device_board.stored("operators")),
        "experts": device_board.table(device_board.stored("experts")),
        "collectives": device_board.table(device_board.stored("collectives")),
        "serving": fit_serving.table(device_board.stored("serving")),
        "simulated serving": simulated_serving.table(device_board.stored("simulated serving")),
        "splitwise": splitwise.table(device_board.stored("splitwise")),
        "siblings": siblings.table(device_board.stored("siblings")),
        "best siblings": siblings.best_table(device_board.stored("best siblings")),
    }
    for marker, lines in tables.items():
        rows = "\n".join(lines)
        marked = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- end -->)", re.DOTALL)
        PAGE.write_text(
            marked.sub(lambda m, rows=rows: f"{m[1]}{rows}\n{m[2]}", PAGE.read_text(encoding="utf-8")), encoding="utf-8"
        )
