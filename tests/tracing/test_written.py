"""A trace as a file: what is read is what was recorded, without torch; other numbers of its letters; shipped ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from grids import quick
from shell import answer, refusal
from shell import roofline as shell

import roofline
from roofline.errors import ConfigError, UsageError
from roofline.models.sources import TRACES, trace_names

PUBLISHED = {
    "resnet-50": 25_557_032, "swin-tiny": 28_288_354, "swin-base": 87_768_224, "dinov2-base": 86_580_480,
    "dinov2-large": 304_368_640, "siglip-so400m": 428_225_600, "wav2vec2-base": 94_371_712,
    "wav2vec2-large": 315_438_720, "hubert-base": 94_371_712, "hubert-large": 315_438_720,
    "dit-xl-2-transformer": 749_826_464, "sd3-medium-transformer": 2_028_328_000,
    "flux.1-dev-transformer": 11_901_408_320, "wan2.1-t2v-1.3b-transformer": 1_418_996_800,
    "wan2.1-t2v-14b-transformer": 14_288_491_584, "sd-1.5-unet": 859_520_964, "sdxl-unet": 2_567_463_684,
}  # fmt: skip
"""Parameters of the modules that transformers and diffusers build."""


def test_every_shipped_trace_is_listed_with_the_parameters_of_its_module() -> None:
    assert set(trace_names()) == set(PUBLISHED)


@pytest.mark.parametrize("name", quick(["resnet-50", "dinov2-base", "hubert-base"], of=list(PUBLISHED)))
def test_a_shipped_trace_answers_as_a_preset(name: str) -> None:
    model = roofline.load_model(name.upper())
    assert (model.name, model.parameters, model.model_type) == (name, PUBLISHED[name], "traced")
    one, eight = (roofline.predict(name, "h100", batch=batch) for batch in (1, 8))
    flops = [each.phases["encode"].figures.flops for each in (one, eight)]
    assert flops[1] == 8 * flops[0]
    assert 0 < one.request_s < eight.request_s < 8 * one.request_s


def test_flops_of_a_convolution_by_hand() -> None:
    """The stem of ResNet-50: 64 channels of 7 x 7 x 3 taps at 112 x 112 places."""
    stem = roofline.formula("resnet-50", op="resnet.embedder", subs="B=1")
    assert stem.expression == 2 * 112 * 112 * 64 * 7 * 7 * 3


def test_other_numbers_of_letters_are_those_of_another_trace() -> None:
    """Twice the side is four times the work of convolutions, all but the classifier's."""
    code, out, _ = shell("predict", "resnet-50", "--hardware", "h100", "--dims", "image_size=448", "--json")
    large = json.loads(out)["phases"]["encode"]["flops"]
    head = 2 * 2048 * 1000
    small = roofline.predict("resnet-50", "h100").phases["encode"].figures.flops
    assert (code, large - head) == (0, 4 * (small - head))
    edited = roofline.predict("resnet-50", "h100", set={"model.image_size": 448})
    assert edited.phases["encode"].figures.flops == large


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resnet-50", "--dims", "image_size=32"), "traced where"),
        (("resnet-50", "--dims", "size=32"), '"size" is no letter of it; known: image_size'),
        (("dit-xl-2-transformer", "--dims", "size=32"), "it has none but B and S"),
        (("gpt2", "--dims", "size=32"), "--dims goes with a MODEL that is code or a recorded trace"),
        (("resnet-50", "--input", "x=B"), "--input goes with a MODEL that is code"),
        (("resnet-50", "--dims", "image_size=0"), "expected a whole number from 1"),
    ],
)
def test_what_a_trace_does_not_say_is_refused_in_a_line(words: tuple[str, ...], said: str) -> None:
    code, out, err = shell("predict", *words, "--hardware", "h100")
    assert (code in (2, 3), out, len(err.splitlines())) == (True, "", 1)
    assert said in err


def _fields(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((TRACES / f"{name}.json").read_text())
    return found


def test_a_file_that_was_changed_or_is_of_another_version_is_refused() -> None:
    fields = _fields("dinov2-base")
    with pytest.raises(ConfigError, match="this version reads 1"):
        roofline.load_model({**fields, "roofline_trace": 2})
    fields["trace"]["name"] = "other"
    with pytest.raises(ConfigError, match="the file was changed"):
        roofline.load_model(fields)


def test_a_network_that_was_not_traced_has_no_trace(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not traced"):
        roofline.load_model("gpt2").write_trace(tmp_path / "x.json")
    assert "expected code" in refusal(2, "models", "record", "gpt2")


def test_a_trace_needs_no_torch() -> None:
    code = "import sys, roofline; roofline.predict('dinov2-base', 'h100'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_models_list_and_show_have_traces() -> None:
    rows = [line.split() for line in answer("models", "list", "--kind", "traced").splitlines()[1:]]
    assert [row[0] for row in rows] == list(trace_names())
    assert "ResNetForImageClassification of transformers" in answer("models", "show", "resnet-50")


def test_a_recorded_module_is_the_traced_one(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import traced_modules as zoo

    for make, inputs in ((zoo.Decoder, {"tokens": "B,S"}), (zoo.Shared, {"x": "B,S,32"})):
        traced = roofline.trace(make(), inputs, name="own", source="a test")
        first, second = tmp_path / "first.json", tmp_path / "second.json"
        traced.write_trace(first)
        read = roofline.load_model(str(first))
        read.write_trace(second)
        assert first.read_text() == second.read_text()
        assert (read.name, read.source, read.parameters) == ("own", "a test", traced.parameters)
        assert read.program() == traced.program()
        assert read.lengths == traced.lengths
    assert torch
