"""What is said of a name that no model has: its family's nearest in size, the newest first; else what is known."""

from __future__ import annotations

import math
import re

import pytest
from shell import refusal

from roofline import compare, predict, size
from roofline.errors import ConfigError
from roofline.models.near_names import like_name, read_name
from roofline.models.sources import preset_names


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("llama5-8b", "llama-3.1-8b, llama-2-7b, "),
        ("qwen4-30b", "qwen3.6-27b, qwen3.6-35b-a3b, qwen3-30b-a3b "),
        ("gemma5", "gemma-4-"),
        ("deepseek-v5", "deepseek-v4-flash, deepseek-v4-pro, deepseek-v3.2 "),
        ("qwen3-31b", "qwen3-32b, qwen3-30b-a3b, "),  # a generation that there is
        ("qwen4-coder-480b", "qwen3-coder-480b-a35b, "),
        ("llama-5-70b", "llama-3.3-70b, "),  # a later release of the same network
        ("gema-7b", "gemma-7b, "),  # misspelt
        ("whisper-large-v4", "whisper-large-v3, "),
    ],
)
def test_a_name_is_read_as_family_generation_and_size(name: str, nearest: str) -> None:
    said = refusal(3, "models", "show", name)
    assert f"nearest of its family: {nearest}" in said or f"did you mean {nearest.rstrip(', ')}?" in said


def test_what_is_named_is_of_the_family_that_was_asked_for() -> None:
    names = preset_names()
    for name in names:
        own = read_name(name)
        if own.family and own.size is not None:
            asked = f"{own.family}-97-{own.size / 1e9:g}b"
            near = re.findall(
                r"[a-z0-9.-]*\d[a-z0-9.-]*|[a-z-]+",
                like_name(asked, {name: name for name in names}, lambda _: 1e9, str),
            )
            assert own.family == read_name(near[near.index("family") + 1]).family, (name, near)


def test_parameters_in_a_name_are_those_of_the_network() -> None:
    assert read_name("mixtral-8x22b").size == 176e9
    assert read_name("gemma-3n-e2b").size == 2e9
    assert read_name("qwen1.5-moe-a2.7b").size is None  # how many are active is not how many there are
    assert math.isclose(read_name("owner/Kimi-K3-1T").size or 0, 1e12)
    assert read_name("kimi-k2.5").generation == 2.5


def test_every_door_says_the_same_of_a_name() -> None:
    said = 'unknown model "zzzz"; known by kind: '
    for ask in (
        lambda: predict("zzzz", "h100"),
        lambda: compare("zzzz", "h100"),
        lambda: size("zzzz", "h100", load="1req/s"),
    ):
        with pytest.raises(ConfigError, match=re.escape(said)) as failure:
            ask()
        for kind in ("decoder", "hybrid", "vlm", "encoder", "generator", "traced", "state-space"):
            assert re.search(rf"\d+ {kind} \(", str(failure.value)), kind
    for verb in (("predict",), ("compare",), ("size", "--load", "1req/s")):
        assert said in refusal(3, verb[0], "zzzz", "--hardware", "h100", *verb[1:])


def test_a_hub_id_of_a_known_family_gets_its_nearest() -> None:
    said = refusal(3, "models", "show", "meta-llama/Llama-5-8B")
    assert "asks the hub; nearest of its family: llama-3.1-8b, llama-2-7b, llama-2-13b or " in said
