"""Which models of the library are meant: by family, kind, parameters, experts, and what fits."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from shell import answer, refusal

from roofline.models.model import load_model
from roofline.models.selection import has_experts, parse_range, select
from roofline.models.sources import preset_names

EVERY = [load_model(name) for name in preset_names()]


def listed(*flags: str) -> list[str]:
    """The names that ``models list`` prints."""
    return list(json.loads(answer("models", "list", *flags, "--json")))


def test_each_preset_is_of_one_kind_and_the_kinds_are_all_of_them() -> None:
    kinds = Counter(model.kind for model in EVERY)
    perceiving = {"vision", "vlm", "audio", "omni"}
    assert set(kinds) == {"decoder", "hybrid", "state-space", "encoder", "encoder-decoder", *perceiving}
    assert sum(len(select(EVERY, kind=kind)) for kind in kinds) == len(EVERY)
    assert {load_model(name).kind for name in ("clip-text-large", "bert-base", "modernbert-base")} == {"encoder"}


def test_filters_hold_together() -> None:
    assert listed("--moe", "--parameters", "220B..240B") == [
        "deepseek-v2",
        "k-exaone-236b-a23b",
        "minimax-m2",
        "qwen3-235b-a22b",
        "qwen3-vl-235b-a22b",
    ]
    assert listed("--family", "glm_moe_dsa") == ["glm-5", "glm-5.2"]
    assert listed("nano", "--kind", "hybrid", "--moe") == ["nemotron-3-nano-30b-a3b"]


def test_a_release_that_has_the_network_of_a_preset_is_found_by_its_name() -> None:
    assert listed("llama-3.3") == ["llama-3.3-70b"]
    assert listed("bert-large-unc") == ["bert-large-uncased"]
    assert "llama-3.3-70b" not in listed("llama-3")  # whose preset stands there


def test_a_mixture_of_experts_has_layers_with_them() -> None:
    assert not has_experts(load_model("nemotron-h-8b"))  # its class has experts, its layers have none
    assert has_experts(load_model("nemotron-3-nano-30b-a3b"))
    assert not has_experts(load_model("bert-base"))


def test_what_fits_is_what_predict_says_fits() -> None:
    assert listed("--fits", "h100", "--family", "qwen3", "--parameters", "14B..") == ["qwen3-14b", "qwen3-32b"]
    small = ["qwen3-4b", "qwen3-8b", "qwen3-embedding-8b"]
    assert listed("--fits", "rtx-4090", "--family", "qwen3", "--parameters", "4B..40B") == small


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7B..80B", 7 * 10**9, 80 * 10**9),
        ("..80G", 0, 80 * 10**9),
        ("500M..", 5 * 10**8, None),
        ("7k..7k", 7000, 7000),
    ],
)
def test_a_range(text: str, least: int, most: int | None) -> None:
    assert parse_range(text) == (least, most)


@pytest.mark.parametrize(
    ("code", "flags", "said"),
    [
        (2, ("--parameters", "7B"), 'given "7B", expected a range such as "7B..80B"'),
        (2, ("--parameters", "7X..9X"), 'given "7X..9X", expected a range'),
        (2, ("--parameters", ".."), 'given "..", expected a range'),
        (2, ("--parameters", "7..80B"), 'given "7..80B", whose 7 has no unit; expected a range'),
        (2, ("--parameters", "..80"), 'given "..80", whose 80 has no unit; expected a range'),
        (2, ("--parameters", "8B..7B"), "a range that ends before it begins"),
        (2, ("--family", "qwen33"), '"qwen33" is not modelled; nearest of its family: qwen3'),
        (3, ("zzz", "--moe"), "no preset has 'zzz' in its name or family and is what these flags ask for"),
        (3, ("--moe", "--kind", "encoder"), "no preset is what these flags ask for"),
        (3, ("--fits", "rtx-3090", "--parameters", "600B.."), "none of these models fits rtx-3090"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(code: int, flags: tuple[str, ...], said: str) -> None:
    assert re.search(re.escape(said), refusal(code, "models", "list", *flags))
