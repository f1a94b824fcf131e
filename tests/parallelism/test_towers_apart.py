"""Towers that the devices of tensor parallelism do not divide: whole on each, images dealt out among them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import roofline
from roofline.errors import UsageError
from roofline.models.model import load_model
from roofline.parallelism.layout import Layout
from roofline.parallelism.replication import replicated_weights, replicated_work
from roofline.parallelism.sharding import shard
from roofline.parallelism.split_axes import towers_apart
from roofline.prediction.launching import launch_line, predict_launched
from roofline.prediction.layouts.programs import PhaseRows
from roofline.prediction.request import read_request
from roofline.program.phases import Phase

GLM = load_model("glm-4.5v")
PATCHES = {"T": 256, "S": 256, "w": 256}


def flops(layout: Layout, images: int) -> Fraction:
    """Contractions of one device in a step of the tower."""
    program = shard(GLM.program(), layout)
    sizes = {letter: Fraction(size) for letter, size in {**program.sizes, **PATCHES, "B": images}.items()}
    found = [(group, op) for group, op in program.in_phase(Phase.ENCODE) if op.kind in ("matmul", "attention")]
    return sum((group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in found), Fraction(0))


@pytest.mark.parametrize("images", [1, 7, 8, 9, 24])
def test_each_device_works_at_whole_images(images: int) -> None:
    one = flops(Layout(), 1)
    assert flops(Layout(tp=8), images) == -(-images // 8) * one
    assert flops(Layout(tp=4), images) < images * one / 2, "four devices divide its twelve heads"


def test_only_what_the_tower_says_goes_between_devices() -> None:
    apart = shard(GLM.program(), Layout(tp=8))
    sent = [op.transfer.operation for _, op in apart.in_phase(Phase.ENCODE) if op.transfer is not None]
    assert sent == ["all_gather"]
    split = shard(GLM.program(), Layout(tp=4))
    assert len([op for _, op in split.in_phase(Phase.ENCODE) if op.transfer is not None]) > 2


def test_its_weights_lie_on_every_device_and_its_work_is_done_once() -> None:
    program, layout = GLM.program(), Layout(tp=8)
    towers = {group.name for group in program.groups if group.in_tower}
    held = [each for each in replicated_weights(program, layout) if each.group in towers]
    assert {each.name for each in held} >= {"w_q", "w_k", "w_out", "w_down"} & {
        tensor.name for group, _, tensor in program.weights() if group.name in towers
    }
    assert all(each.surplus == 7 * each.whole for each in held)
    work = list(replicated_work(program, layout, Phase.ENCODE, {**PATCHES, "B": Fraction(16)}))
    assert work == []


def test_layouts_in_arrays_are_split_as_each_by_itself() -> None:
    layouts = [Layout(tp=4), Layout(tp=8), Layout(tp=4, pp=2), Layout(tp=8, ep=8)]
    columns = Layout.stacked(layouts)
    assert towers_apart(GLM.program(), Phase.ENCODE, columns).tolist() == [False, True, False, True]
    assert not np.any(towers_apart(GLM.program(), Phase.PREFILL, columns))
    request = read_request("glm-4.5v", "8xh200", images=2, prompt=100)
    rows = PhaseRows.of(request, Phase.ENCODE, columns)
    assert not any(mask[0] and mask[1] for mask in rows.masks)


def test_the_best_layout_is_the_same_layout_asked_alone() -> None:
    asked = {"images": 3, "prompt": 100, "generate": 10}
    best = roofline.predict("glm-4.5v", "8xh200", **asked)
    degrees = {flag: degree for flag, degree in best.layout.to_dict().items() if degree > 1}
    assert degrees["tp"] == 8
    alone = roofline.predict("glm-4.5v", "8xh200", **asked, **degrees)
    assert alone.phases["encode"].figures.time_s == pytest.approx(best.phases["encode"].figures.time_s, rel=1e-12)
    assert any("--mm-encoder-tp-mode data" in note for note in alone.notes)
    assert not any("--mm-encoder" in note for note in roofline.predict("glm-4.5v", "8xh200", tp=4, dp=2, batch=2,
                                                                        **asked).notes)  # fmt: skip


@pytest.mark.parametrize("engine", ["sglang", "vllm"])
def test_a_launch_line_says_that_towers_are_whole_and_is_read_back(engine: str) -> None:
    asked = {"images": 1, "prompt": 100, "generate": 10}
    flag = {"vllm": "--mm-encoder-tp-mode data", "sglang": "--mm-enable-dp-encoder"}[engine]
    apart, split = (
        str(launch_line(roofline.predict("glm-4.5v", f"{tp}xh200", engine=engine, tp=tp, **asked), engine))
        for tp in (8, 4)
    )
    assert flag in apart
    assert "--mm-" not in split
    assert predict_launched(apart, "8xh200", **asked).layout.tp == 8
    with pytest.raises(UsageError, match=rf"tp 4 divides the towers, .* leave out {flag}"):
        predict_launched(f"{split} {flag}", "4xh200", **asked)


def test_a_launch_line_that_splits_towers_which_tp_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match=r"tp 8 does not divide the towers, .* give --mm-encoder-tp-mode data"):
        predict_launched("vllm serve zai-org/GLM-4.5V -tp 8 --mm-encoder-tp-mode weights", "8xh200", images=1)
    text = "vllm serve meta-llama/Llama-3.1-8B -tp 2 --mm-encoder-tp-mode data"
    assert predict_launched(text, "2xh200").layout.tp == 2  # it has no towers
