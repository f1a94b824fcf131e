"""Charts by their artists: roofs, points and bars stand where the numbers are, texts never overlap, files are whole."""

from __future__ import annotations

import csv
import itertools
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from grids import paired, quick
from hypothesis import given, settings
from matplotlib.figure import Figure
from matplotlib.text import Text
from pictures import (
    RECIPES,
    Recipe,
    artist,
    check_texts,
    intersect,
    on_devices,
    over_batches,
    pairs_of,
    prediction,
    texts,
)

import roofline
from roofline.charts.drawing import saving
from roofline.charts.drawing.theme import SIZES, THEMES
from roofline.charts.kinds import (
    breakdown,
    compare,
    memory,
    sensitivity,
    side_by_side,
    timeplane,
    validation,
    waterfall,
)
from roofline.charts.kinds import roofline as chart
from roofline.charts.marks import points
from roofline.charts.marks.measured import measured_phases, read_measured, read_pairs
from roofline.errors import SpecError, UsageError
from roofline.hardware.roofs import Roofline
from roofline.operators.predict_op import predict_op
from roofline.operators.table import time_table
from roofline.prediction.predict import predict
from roofline.prediction.sensitivity import find_elasticities
from roofline.program.phases import Phase
from roofline.reports.prediction import quantity

CASES = [
    ("bert-base", "t4", {}),
    ("bert-base", "h100", {}),
    ("llama-3.1-8b", "h100", {"phase": Phase.PREFILL}),
    ("llama-3.1-8b", "h100", {"context": 2048}),
    ("gpt2", "xeon", {}),
]
IDS = [f"{model}-{device}-{'-'.join(map(str, keywords.values()))}" for model, device, keywords in CASES]

DRAW: dict[str, Callable[..., Figure]] = {
    "roofline": chart.draw_roofline,
    "breakdown": breakdown.draw_breakdown,
    "breakdown over batch": lambda one, **look: breakdown.draw_breakdown_over_batch(over_batches(one), **look),
    "compare": lambda one, **look: compare.draw_compare(on_devices(one), **look),
    "memory": lambda one, **look: memory.draw_memory(over_batches(one), **look),
    "waterfall": lambda one, **look: waterfall.draw_waterfall(
        one, measured_s={p: 1.2 * w.figures.time_s for p, w in one.phases.items()}, **look
    ),
    "sensitivity": sensitivity.draw_sensitivity,
    "timeplane": timeplane.draw_timeplane,
    "validation": lambda one, **look: validation.draw_validation(pairs_of(one), **look),
}
NAMED = ("roofline", "breakdown", "waterfall", "sensitivity", "timeplane")


# The texts


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", DRAW)
@settings(max_examples=1)
@given(recipe=RECIPES)
def test_no_two_texts_overlap(kind: str, size: str, recipe: Recipe) -> None:
    check_texts(DRAW[kind](recipe.prediction(), size=size))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", DRAW)
@settings(max_examples=200)
@given(recipe=RECIPES)
def test_no_two_texts_overlap_at_length(kind: str, size: str, recipe: Recipe) -> None:
    check_texts(DRAW[kind](recipe.prediction(), size=size))


LOOKS = [(kind, *look) for kind, look in paired(NAMED, list(itertools.product(SIZES, THEMES)))]
LOOKS.append(("roofline", "column", "dark"))  # the fullest picture in both sizes; colours move no text


@pytest.mark.parametrize(
    ("case", "look"),
    quick(
        [*paired(range(len(CASES)), LOOKS), *paired(range(len(CASES))[::-1], LOOKS)],
        of=itertools.product(range(len(CASES)), itertools.product(NAMED, SIZES, THEMES)),
    ),
)
def test_the_named_cases_are_free_of_collisions(case: int, look: tuple[str, str, str]) -> None:
    model, device, keywords = CASES[case]
    kind, size, theme = look
    check_texts(DRAW[kind](prediction(model, device, **keywords), size=size, theme=theme))


@pytest.mark.parametrize("size", SIZES)
def test_several_devices_and_models_are_free_of_collisions(size: str) -> None:
    devices = [prediction("llama-3.1-8b", device) for device in ("h100", "mi300x", "a100")]
    check_texts(chart.draw_roofline(devices, size=size))
    models = [prediction(model, "h100", phase="decode") for model in ("llama-3.1-8b", "qwen3-8b")]
    check_texts(chart.draw_roofline(models, size=size))
    batches = [prediction("llama-3.1-8b", "h100", batch=batch) for batch in (1, 8, 64)]
    check_texts(breakdown.draw_breakdown_over_batch(batches, size=size))


THIRTEEN = (
    "h100", "h200", "b200-180gb", "mi300x", "mi325x", "a100", "l40s", "rtx-4090", "rtx-5090", "l4", "a10g",
    "gh200-96gb", "rtx-pro-6000-blackwell",
)  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("draw", [compare.draw_compare, side_by_side.draw_breakdowns, side_by_side.draw_memories])
def test_a_picture_grows_with_its_devices(draw: Callable[..., Figure], size: str) -> None:
    several = [prediction("llama-3.1-8b", device) for device in THIRTEEN]
    figure = draw(several, size=size)
    check_texts(figure)
    written = [text.get_text() for ax in figure.axes for text in ax.get_yticklabels()]
    written += [text.get_text() for text in figure.texts]
    for one in several:
        title = one.hardware.title
        assert any(text == title or (text.endswith("…") and title.startswith(text[:-1])) for text in written), title
    assert figure.get_size_inches()[1] > draw(several[:2], size=size).get_size_inches()[1]
    assert not any(text.endswith("…") for text in written if text.startswith("Expected times"))


def test_bars_side_by_side_add_up() -> None:
    several = [prediction("llama-3.1-8b", device, batch=16) for device in ("l4", "h100")]
    times = side_by_side.draw_breakdowns(several)
    held = side_by_side.draw_memories(several)
    for row, one in enumerate(sorted(several, key=lambda p: p.request_s)):
        bars = [
            bar for ax in times.axes for bar in ax.patches if str(bar.get_gid()).startswith(f"decode, one step:{row}:")
        ]
        assert sum(bar.get_width() for bar in bars) == pytest.approx(one.phases["decode"].figures.time_s)
    for row, one in enumerate(several):
        bars = [
            bar for ax in held.axes for bar in ax.patches if str(bar.get_gid()).startswith(f"a device holds:{row}:")
        ]
        assert sum(bar.get_width() for bar in bars) == pytest.approx(one.memory.total_bytes)
        assert line(held, f"capacity:{row}")[0].tolist() == [one.memory.capacity_bytes] * 2
    assert side_by_side.describe_memories(several).endswith("24.2 GB; NVIDIA H100 SXM 80GB 30.2 GB of 85.5 GB.")
    with pytest.raises(UsageError, match="same phases"):
        side_by_side.draw_breakdowns([prediction("bert-base", "t4"), prediction("gpt2", "t4")])


def test_the_charts_of_python_are_those_of_the_command_line() -> None:
    figure = Figure()
    ax = figure.add_subplot()
    assert roofline.charts.roofline(prediction(), ax=ax) is figure
    assert roofline.charts.compare is compare.draw_compare
    assert {name for name in roofline.charts.__all__ if not callable(getattr(roofline.charts, name))} == set()
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        _ = roofline.charts.pie


@pytest.mark.parametrize(
    "seed", [(26, 2703866056), (57, 513170966), (16, 2725486708), (60, 847729469), (45, 290473401)]
)
def test_long_names_keep_off_the_next_column(seed: tuple[int, int]) -> None:
    check_texts(chart.draw_roofline(Recipe(seed[0], False, seed[1]).prediction(), size="column"))


def test_the_test_of_overlaps_can_fail() -> None:
    figure = Figure()
    figure.text(0.5, 0.5, "one")
    figure.text(0.52, 0.5, "other")
    with pytest.raises(AssertionError, match="overlap"):
        check_texts(figure)
    figure = Figure()
    figure.text(0.99, 0.5, "too far to the right")
    with pytest.raises(AssertionError, match="leaves the canvas"):
        check_texts(figure)
    figure = Figure()  # two slanted texts whose upright boxes overlap, and they do not
    figure.text(0.3, 0.3, "along the slope", rotation=45)
    figure.text(0.3, 0.4, "along the slope", rotation=45)
    (_, a), (_, b) = texts(figure)
    assert not intersect(a, b)
    assert max(a[:, 1].min(), b[:, 1].min()) < min(a[:, 1].max(), b[:, 1].max())


@pytest.mark.parametrize("kind", NAMED)
def test_a_given_place_holds_the_whole_picture(kind: str) -> None:
    figure = Figure(figsize=(20, 6))
    left, right = figure.subplots(1, 2)
    place = right.get_position()
    assert DRAW[kind](prediction(), ax=left) is figure
    assert DRAW[kind](prediction("bert-base", "t4"), ax=right) is figure
    check_texts(figure)
    width = figure.bbox.width
    assert len(texts(figure)) > 30
    for text, box in texts(figure):
        assert box[:, 0].max() / width < 0.5 or box[:, 0].min() / width > place.x0 - 2 / width, text.get_text()


# The roofline


def line(figure: Figure, gid: str) -> tuple[np.ndarray, np.ndarray]:
    drawn = artist(figure, gid)
    return np.asarray(drawn.get_xdata()), np.asarray(drawn.get_ydata())


@pytest.mark.parametrize(("model", "device", "keywords"), CASES, ids=IDS)
def test_the_slope_is_the_bandwidth_the_plateau_the_peak_and_they_meet_at_the_ridge(
    model: str, device: str, keywords: dict[str, Any]
) -> None:
    one = prediction(model, device, **keywords)
    figure = chart.draw_roofline(one)
    roof = Roofline.of(one.hardware, one.precision.weights)
    reached = one.constants.of("matmul", one.steps.machine.execution, dtype=one.recipe.compute_dtype)
    for kind, moved, worked in (("rated", 1.0, 1.0), ("expected", reached.memory, reached.compute)):
        x, y = line(figure, f"roof:memory:{roof.bandwidth.name}:{kind}")
        assert y / x == pytest.approx(roof.bandwidth.rate * moved)
        plateau_x, plateau_y = line(figure, f"roof:compute:{roof.compute.name}:{kind}")
        assert plateau_y == pytest.approx(roof.compute.rate * worked)
        (ridge_x,), (ridge_y,) = line(figure, f"ridge:{kind}")
        assert ridge_x == pytest.approx(roof.ridge_point * worked / moved)
        assert (x[-1], y[-1]) == pytest.approx((ridge_x, ridge_y)) == (plateau_x[0], plateau_y[0])
    assert artist(figure, f"roof:compute:{roof.compute.name}:expected").get_linestyle() == "-"
    assert artist(figure, f"roof:compute:{roof.compute.name}:rated").get_linestyle() == "--"


def test_without_losses_there_is_one_roof() -> None:
    figure = chart.draw_roofline(prediction("bert-base", "t4", constants="datasheet"))
    drawn = {str(a.get_gid()) for a in figure.findobj(lambda a: str(a.get_gid()).startswith("roof:memory"))}
    assert drawn == {"roof:memory:gddr:expected"}
    x, y = line(figure, "roof:memory:gddr:expected")
    assert y / x == pytest.approx(320e9)


@pytest.mark.parametrize(("model", "device", "keywords"), CASES, ids=IDS)
def test_each_point_stands_at_its_intensity_and_rate(model: str, device: str, keywords: dict[str, Any]) -> None:
    one = prediction(model, device, **keywords)
    figure = chart.draw_roofline(one)
    drawn = 0
    for phase, whole in one.phases.items():
        areas = []
        for op in whole.operators:
            work = op.figures.flops or op.figures.vector_flops
            gid = f"operator:0:{phase}:{op.name}"
            if not work:
                assert not figure.findobj(lambda a, gid=gid: a.get_gid() == gid)
                continue
            drawn += 1
            point = artist(figure, gid)
            ((x, y),) = point.get_offsets()
            assert (x, y) == pytest.approx((work / op.figures.bytes, work / op.figures.time_s))
            areas.append((op.figures.time_s / whole.figures.time_s, float(point.get_sizes()[0])))
        least = min(area for _, area in areas)
        ratios = [area / share for share, area in areas if area > 1.01 * least]
        assert ratios == pytest.approx([ratios[0]] * len(ratios))  # area is the share, down to the smallest marker
    assert drawn == len(points.points_of([one])) >= 12


def test_points_lie_inside_the_axes_and_under_the_roof_of_their_bound() -> None:
    for model, device, keywords in CASES:
        one = prediction(model, device, **keywords)
        figure = chart.draw_roofline(one)
        (x0, x1), (y0, y1) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
        for point in points.points_of([one]):
            assert x0 < point.intensity < x1
            assert y0 < point.rate < y1
            assert point.headroom >= 1 - 1e-9


def test_every_number_has_a_name_and_shares_add_up() -> None:
    figure = chart.draw_roofline(prediction(context=2048))
    words = [text.get_text() for text in figure.findobj(Text)]
    table = [text.get_text() for text in figure.texts if text.get_weight() == "normal" and text.get_ha() == "left"]
    plot = [text.get_text() for text in figure.texts if text.get_weight() == "bold" and text.get_ha() == "center"]
    numbers = [int(n) for word in table + plot if re.fullmatch(r"\d+(,\d+)*", word) for n in word.split(",")]
    numbered = max(numbers)
    assert sorted(numbers) == sorted([*range(1, numbered + 1)] * 2)  # once in the plot, once in the table
    shares = [float(word[:-1]) for word in words if re.fullmatch(r"[\d.]+%", word)]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))


def test_the_arrow_says_how_far_the_roof_is() -> None:
    one = prediction(context=2048)
    figure = chart.draw_roofline(one)
    working = [op for op in one.phases["decode"].operators if op.figures.bytes]
    best = max(working, key=lambda op: op.figures.time_s - op.figures.bound_s)
    (label,) = figure.findobj(lambda a: isinstance(a, Text) and a.get_text().endswith("to its roof"))
    assert label.get_text() == f"{best.name}: {best.figures.time_s / best.figures.bound_s:.2g}x to its roof"


def test_devices_differ_in_shape_where_phases_do_not_take_the_shapes() -> None:
    decode = [predict("llama-3.1-8b", device, context=2048) for device in ("h100", "mi300x", "a100")]
    figure = chart.draw_roofline(decode)
    shapes = {series: artist(figure, f"operator:{series}:decode:gate_up").get_paths()[0] for series in range(3)}
    assert len({path.vertices.tobytes() for path in shapes.values()}) == 3
    (label,) = figure.findobj(lambda a: isinstance(a, Text) and a.get_text().endswith("to its roof"))
    assert label.get_text().startswith("gate_up on a100-sxm-80gb: ")  # which has the most to gain


def test_bound_is_told_by_the_marker_as_well_as_by_colour() -> None:
    figure = chart.draw_roofline(prediction(), theme="light")
    faces = {}
    for point in points.points_of([prediction()]):
        drawn = artist(figure, f"operator:0:{point.phase}:{point.name}")
        face, edge = (tuple(np.round(c[0][:3], 3)) for c in (drawn.get_facecolor(), drawn.get_edgecolor()))
        hollow = face == (1.0, 1.0, 1.0)
        ringed = edge == tuple(np.round(mpl.colors.to_rgb(THEMES["light"].ink), 3))
        faces.setdefault(point.bound_by, set()).add((hollow, ringed))
    assert faces == {"compute": {(False, True)}, "memory": {(False, False)}, "latency": {(True, False)}}


# The breakdown


@pytest.mark.parametrize(("model", "device", "keywords"), CASES, ids=IDS)
def test_the_bars_of_a_phase_add_up_to_its_time(model: str, device: str, keywords: dict[str, Any]) -> None:
    one = prediction(model, device, **keywords)
    for size in SIZES:
        figure = breakdown.draw_breakdown(one, size=size)
        for phase, whole in one.phases.items():
            bars = figure.findobj(lambda a, phase=phase: str(a.get_gid()).startswith(f"{phase}:"))
            assert sum(bar.get_width() for bar in bars) == pytest.approx(whole.figures.time_s)
            for part in ("compute", "memory", "latency"):
                widths = [bar.get_width() for bar in bars if str(bar.get_gid()).endswith(f":{part}")]
                assert sum(widths) == pytest.approx(
                    getattr(whole.figures.shares, part) * whole.figures.time_s, abs=1e-12
                )


def test_the_curves_over_the_batch_are_the_predictions() -> None:
    several = [prediction(batch=batch) for batch in (64, 1, 8)]
    figure = breakdown.draw_breakdown_over_batch(several)
    x, y = line(figure, "decode:whole")
    assert x.tolist() == [1, 8, 64]
    assert y == pytest.approx([prediction(batch=batch).phases["decode"].figures.time_s for batch in (1, 8, 64)])
    x, y = line(figure, "decode:memory")
    f = prediction(batch=8).phases["decode"].figures
    assert y[1] == pytest.approx(f.shares.memory * f.time_s)
    assert {axes.get_xscale() for axes in figure.axes} == {axes.get_yscale() for axes in figure.axes} == {"log"}


def test_curves_need_batches_of_one_workload() -> None:
    with pytest.raises(UsageError, match="two or more batches"):
        breakdown.draw_breakdown_over_batch([prediction()])
    with pytest.raises(UsageError, match="two or more batches"):
        breakdown.draw_breakdown_over_batch([prediction(), prediction("gpt2", "xeon", batch=4)])


# Devices, memory, losses


def test_devices_stand_at_their_figures_the_fastest_first() -> None:
    several = [prediction("llama-3.1-8b", device, batch=16) for device in ("a100", "h100", "mi300x")]
    figure = compare.draw_compare(several)
    for one in several:
        decode = one.phases["decode"].figures
        name = one.hardware.name
        x, row = line(figure, f"value:{name}:TPOT")
        assert x == pytest.approx([decode.time_s])
        assert row == [["mi300x", "h100-sxm-80gb", "a100-sxm-80gb"].index(name)]
        assert line(figure, f"band:{name}:TPOT")[0] == pytest.approx([decode.low_s, decode.high_s])
        rate = line(figure, f"value:{name}:tokens/s")[0]
        assert rate == pytest.approx([one.tokens_per_s])
        low, high = line(figure, f"band:{name}:tokens/s")[0]
        assert low < rate < high
        slowest = sum(phase.steps * phase.figures.high_s for phase in one.phases.values())
        assert one.tokens_per_s / low == pytest.approx(slowest / one.request_s)
    assert "most tokens/s first: AMD Instinct MI300X" in compare.describe_compare(several)


def test_what_does_not_fit_is_crossed_out_and_named() -> None:
    several = [prediction("llama-3.1-8b", device, dtype="fp16", batch=16) for device in ("h100", "t4")]
    figure = compare.draw_compare(several)
    assert artist(figure, "value:t4:TPOT").get_marker() == "x"
    assert artist(figure, "value:h100-sxm-80gb:TPOT").get_marker() != "x"
    assert any(text.get_text() == "does not fit: NVIDIA T4" for text in figure.texts)
    assert "which does not fit" in compare.describe_compare(several)
    with pytest.raises(UsageError, match="same phases"):
        compare.draw_compare([prediction("bert-base", "t4"), prediction("gpt2", "t4")])


def test_memory_stacks_up_to_the_total_and_marks_the_largest_batch() -> None:
    several = [prediction(batch=batch) for batch in (1, 64, 256)]
    figure = memory.draw_memory(several)
    x, y = line(figure, "memory:total")
    assert x.tolist() == [1, 64, 256]
    assert y.tolist() == [one.memory.total_bytes for one in several]
    assert set(line(figure, "memory:capacity")[1]) == {several[0].memory.capacity_bytes}
    assert set(line(figure, "memory:largest")[0]) == {several[0].memory.max_batch}
    weights = artist(figure, "memory:weights").get_paths()[0].vertices
    assert weights[:, 1].max() == several[0].memory.footprint.weights_bytes
    lengths = [prediction(prompt=prompt, generate=2) for prompt in (100, 5000)]
    assert line(memory.draw_memory(lengths, over="context"), "memory:total")[0].tolist() == [101, 5001]
    for wrong in ([prediction()], [prediction(), prediction()], [prediction(), prediction("gpt2", "xeon", batch=2)]):
        with pytest.raises(UsageError, match="two or more batches"):
            memory.draw_memory(wrong)


def test_memory_without_a_capacity_has_no_line() -> None:
    figure = memory.draw_memory([prediction("gpt2", "xeon", batch=batch) for batch in (1, 8)])
    assert not figure.findobj(lambda a: a.get_gid() == "memory:capacity")
    assert any("capacity is not stated" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize(("model", "device", "keywords"), CASES, ids=IDS)
def test_the_losses_lead_from_the_bound_to_the_expected_time(model: str, device: str, keywords: dict[str, Any]) -> None:
    one = prediction(model, device, **keywords)
    measured = {phase: 1.3 * whole.figures.time_s for phase, whole in one.phases.items()}
    figure = waterfall.draw_waterfall(one, measured_s=measured)
    for phase, whole in one.phases.items():
        steps = waterfall.steps_of(whole, measured[phase])
        bars = [artist(figure, f"{phase}:{step.name}") for step in steps]
        tops = [bar.get_y() + bar.get_height() for bar in bars]
        f = whole.figures
        assert tops[0] == pytest.approx(f.bound_s)
        assert bars[2].get_height() == pytest.approx(f.shares.latency * f.time_s)
        assert tops[2] == tops[3] == pytest.approx(f.time_s)
        assert tops[4] == tops[5] == pytest.approx(measured[phase])
        assert bars[1].get_y() == pytest.approx(tops[0])
        assert line(figure, f"{phase}:band")[1] == pytest.approx([f.low_s, f.high_s])
    with pytest.raises(UsageError, match="measured phase 'later'"):
        waterfall.draw_waterfall(one, measured_s={"later": 1.0})


# What would help, the plane of seconds, how good predictions are


@pytest.mark.parametrize(("model", "device", "keywords"), CASES, ids=IDS)
def test_elasticities_are_the_shares_and_bars_the_exact_times(
    model: str, device: str, keywords: dict[str, Any]
) -> None:
    one = prediction(model, device, **keywords)
    figure = sensitivity.draw_sensitivity(one)
    for phase, whole in one.phases.items():
        found = find_elasticities(one, phase, 1e-4)
        for part in ("compute", "memory", "latency"):
            share = sum(each.elasticity for each in found if each.resource.part == part)
            expected = getattr(whole.figures.shares, part)
            held = one.constants.calibration is not None and one.constants.calibration.flop_energy is not None
            if part == "compute" and held:  # the power limit grows with no peak
                assert 0.5 * expected - 2e-5 < share < expected + 2e-5
            elif part == "memory" and device == "t4":  # what lies in the last cache comes no faster
                assert 0.9 * expected < share < expected
            else:
                assert share == pytest.approx(expected, abs=2e-5)
        for each in find_elasticities(one, phase):
            bar = artist(figure, f"{phase}:{each.resource.name}:better")
            assert bar.get_width() == pytest.approx(100 * (each.better_s / whole.figures.time_s - 1))


def test_ten_percent_more_bandwidth_is_what_a_wider_memory_gives() -> None:
    found = find_elasticities(prediction(context=2048), Phase.DECODE)[0]
    wider = predict("llama-3.1-8b", "h100", context=2048, set={"hardware.memory.hbm.bandwidth": "3685 GB/s"})
    assert found.resource.name == "memory bandwidth"
    assert found.better_s == pytest.approx(wider.phases["decode"].figures.time_s)
    for wrong in (0.0, 1.0, math.nan):
        with pytest.raises(UsageError, match="between 0 and 1"):
            find_elasticities(prediction(), Phase.DECODE, wrong)
    with pytest.raises(UsageError, match="no encode phase"):
        find_elasticities(prediction(), Phase.ENCODE)


def test_spots_of_the_plane_are_seconds_by_the_data_sheet() -> None:
    one = prediction(context=2048)
    figure = timeplane.draw_timeplane(one)
    for spot in timeplane.spots_of(one):
        op = next(op for op in one.phases["decode"].operators if op.name == spot.name)
        f = op.figures
        assert spot.memory_s == pytest.approx(f.bytes / 3350e9 / op.count)
        assert spot.compute_s == pytest.approx((f.flops / 989.4e12 + f.vector_flops / 66.9e12) / op.count)
        ((x, y),) = artist(figure, f"operator:0:decode:{spot.name}").get_offsets()
        assert (x, y) == spot.place
        assert x >= spot.memory_s
        assert y >= spot.compute_s
    x, y = line(figure, "balance")
    reached = one.constants.of("matmul", "graph", dtype="bf16")
    assert y / x == pytest.approx(reached.compute / reached.memory)
    x, y = line(figure, "arc:0.0001")
    memory, compute = x[:-1] / reached.memory, y[:-1] / reached.compute
    assert (memory**reached.p + compute**reached.p) ** (1 / reached.p) == pytest.approx(1e-4)
    shortest = min(spot.latency_s for spot in timeplane.spots_of(one))
    square = artist(figure, "latency").get_xy()
    assert square[:, 0].max() == square[:, 1].max() == pytest.approx(shortest)


def test_points_of_a_validation_and_their_score() -> None:
    pairs = [validation.Pair(t * r, t) for t, r in ((1e-3, 1.2), (1e-4, 0.95), (1e-5, 1.0), (1e-6, 0.5))]
    fitted = [validation.Pair(2e-3, 2e-3, fitted=True)]
    figure = validation.draw_validation([*pairs, *fitted])
    drawn = artist(figure, "points:held-out").get_offsets()
    assert np.asarray(drawn) == pytest.approx(np.array([(p.measured_s, p.predicted_s) for p in pairs]))
    assert len(artist(figure, "points:fitted").get_offsets()) == 1
    score = validation.Score.of(pairs)  # errors 0.2, 0.05, 0, 0.5
    assert (score.n, score.median, score.within) == (4, pytest.approx(0.125), (0.75, 0.5))
    assert score.bias == pytest.approx((1.2 * 0.95 * 0.5) ** 0.25)
    words = [text.get_text() for text in figure.texts]
    assert {"n 4", "median error 12.5%", "within 10%: 50%"} <= set(words)
    assert "fitted: n 1" in validation.describe_validation([*pairs, *fitted])
    assert "no evidence for other shapes" in " ".join(t.get_text() for t in validation.draw_validation(fitted).texts)
    for wrong in ([], [validation.Pair(0.0, 1.0)], [validation.Pair(1.0, math.nan)]):
        with pytest.raises(UsageError, match=r"above 0|give one"):
            validation.draw_validation(wrong)


# What goes with a picture


def test_the_rows_are_the_points() -> None:
    rows = points.point_rows([prediction()])
    drawn = [row for row in rows if row["record"] == "operator"]
    assert [row["name"] for row in drawn] == [point.name for point in points.points_of([prediction()])]
    assert {row["name"]: row["rated_bytes_per_s"] for row in rows if row["record"] == "memory ceiling"} == {
        "hbm": 3.35e12
    }
    gate = next(row for row in drawn if (row["phase"], row["name"]) == (Phase.DECODE, "gate_up"))
    op = next(op for op in prediction().phases["decode"].operators if op.name == "gate_up")
    assert gate["roof_flops_per_s"] == pytest.approx(op.figures.flops / op.figures.bound_s)
    assert gate["expected_flops_per_s"] == pytest.approx(op.figures.flops / op.figures.time_s)


def test_the_sentence_has_the_numbers_of_the_report() -> None:
    one = prediction(context=2048)
    words = chart.describe_roofline(one)
    step = quantity(one.phases["decode"].figures.time_s, "time_s")
    assert f"{step} a step, memory-bound" in words
    reached = one.constants.of("matmul", "graph", dtype="bf16")
    ridge = 989.4e12 / 3350e9
    assert f"expected ridge point is {ridge * reached.compute / reached.memory:.0f} FLOP/B" in words
    assert f"by the data sheet {ridge:.0f}" in words
    assert "\n" not in words


def test_nothing_global_is_touched_and_nothing_is_shown(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figure = chart.draw_roofline(prediction())
    saving.save(figure, tmp_path / "a.svg")
    assert dict(mpl.rcParams) == before
    code = "import sys, roofline; from roofline.charts.kinds.roofline import draw_roofline as draw;"
    code += "draw(roofline.predict('gpt2', 'xeon')); sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("suffix", saving.SUFFIXES)
def test_files_are_whole_the_same_each_time_and_described(tmp_path: Path, suffix: str) -> None:
    contents = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        saving.save(chart.draw_roofline(prediction("bert-base", "t4")), path, words="a sentence of it")
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert sorted(tmp_path.iterdir()) == [tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"]
    if suffix == ".svg":
        text = contents[0].decode()
        assert ">attention<" in re.sub(r"\s+", "", text)
        assert "a sentence of it" in text
    if suffix == ".png":
        assert b"a sentence of it" in contents[0]


@pytest.mark.parametrize(("name", "dpi"), [("a.jpg", 150), ("a", 150), ("a.png", 10), ("a.png", math.nan)])
def test_a_name_or_a_resolution_that_cannot_be_is_refused(tmp_path: Path, name: str, dpi: float) -> None:
    with pytest.raises(UsageError, match="expected"):
        saving.save(Figure(), tmp_path / name, dpi=dpi)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("look", [{"theme": "drak"}, {"size": "poster"}])
def test_an_unknown_look_is_refused(look: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"did you mean dark|known: column, slide"):
        chart.draw_roofline(prediction(), **look)
    with pytest.raises(UsageError, match="no prediction"):
        chart.draw_roofline([])


# Measurements


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["phase,name,measured_s", *rows]) + "\n")
    return path


def test_measured_points_stand_at_their_rate(tmp_path: Path) -> None:
    one = prediction(context=2048)
    found = read_measured(write(tmp_path / "m.csv", "decode,gate_up,0.0021", "decode,down,"), one)
    assert found == {(Phase.DECODE, "gate_up"): 0.0021}
    figure = chart.draw_roofline(one, measured=found)
    gate = next(op for op in one.phases["decode"].operators if op.name == "gate_up")
    (x,), (y,) = line(figure, "measured:decode:gate_up")
    assert (x, y) == pytest.approx((gate.figures.flops / gate.figures.bytes, gate.figures.flops / 0.0021))
    check_texts(figure)
    with pytest.raises(UsageError, match="did you mean decode"):
        chart.draw_roofline(one, measured={(Phase.DECODE, "gat"): 1.0})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("decode,gate_u,0.1", "line 2: the prediction has no .*did you mean decode gate_up"),
        ("decode,gate_up,-1", "line 2: column measured_s"),
        ("decode,gate_up,nan", "line 2: column measured_s"),
        ("decode,gate_up,soon", "line 2: column measured_s"),
        ("decode,gate_up", "line 2: column measured_s is missing"),
        ("decode,gate_up,1\ndecode,gate_up,1", "line 3: decode gate_up stands twice"),
        ("decode,gate_up,", "no row has a measured_s"),
    ],
)
def test_a_wrong_measurement_file_is_refused(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        read_measured(write(tmp_path / "m.csv", row), prediction(context=2048))
    with pytest.raises(SpecError, match="cannot be read"):
        read_measured(tmp_path / "none.csv", prediction(context=2048))


def test_a_whole_measured_phase_is_summed_and_a_part_is_refused(tmp_path: Path) -> None:
    one = prediction(context=2048)
    names = [op.name for op in one.phases["decode"].operators]
    whole = write(tmp_path / "m.csv", *(f"decode,{name},0.001" for name in names))
    assert measured_phases(whole, one) == {Phase.DECODE: pytest.approx(0.001 * len(names))}
    part = write(tmp_path / "p.csv", *(f"decode,{name},0.001" for name in names[1:]))
    with pytest.raises(SpecError, match=f"decode {names[0]} has none"):
        measured_phases(part, one)


def test_a_table_of_operators_as_pairs(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("kind,m,k,n,split,measured_s\nmatmul,64,64,64,fitted,5e-6\nmatmul,4096,4096,4096,,3e-4\n")
    pairs = read_pairs(table, "h100", {})
    assert [(p.measured_s, p.fitted, p.kind) for p in pairs] == [(5e-6, True, "matmul"), (3e-4, False, "matmul")]
    assert pairs[1].predicted_s == pytest.approx(predict_op("matmul", "h100", m=4096, k=4096, n=4096).time_s)
    with pytest.raises(SpecError, match="column time_s is missing; name a device"):
        read_pairs(table, None, {})
    timed = tmp_path / "timed.csv"
    time_table(table, "h100", timed)
    assert read_pairs(timed, None, {}) == pairs
    for row, problem in (("1,0,fitted", "column measured_s"), ("1,1,half", "column split"), ("x,1,", "column time_s")):
        table.write_text(f"time_s,measured_s,split\n{row}\n")
        with pytest.raises(SpecError, match=f"line 2: {problem}"):
            read_pairs(table, None, {})
    table.write_text("time_s,measured_s\n")
    with pytest.raises(SpecError, match="no rows"):
        read_pairs(table, None, {})


def test_rows_as_csv(tmp_path: Path) -> None:
    saving.save_rows(breakdown.breakdown_rows(prediction(context=2048)), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    parts = ("compute_s", "memory_s", "latency_s", "link_s")
    assert all(sum(float(row[p]) for p in parts) == pytest.approx(float(row["time_s"])) for row in rows)
    assert sum(float(row["time_s"]) for row in rows) == pytest.approx(prediction(context=2048).tpot_s)
