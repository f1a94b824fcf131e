"""Weights in the host's memory: what is left on the device, and what each step copies over the host link."""

from __future__ import annotations

import pytest

from roofline import predict
from roofline.errors import RooflineError
from roofline.prediction.recording import Recording
from roofline.reports.explanation import explain

LINK = 31.5e9
"""An RTX 4090's PCIe 4.0 x16. [B/s]"""
LAYERS = 2 * 6_979_321_856 + 2 * 32 * 2 * 4096  # bytes of llama-3.1-8b's 32 layers, gains of norms in fp32
EXPERTS = 48 * 128 * 3 * 2048 * 768  # of qwen3-30b-a3b


def asked(model="llama-3.1-8b", hardware="rtx-4090", **options):
    lengths = {} if "context" in options else {"prompt": 512, "generate": 1}
    return predict(model, hardware, constants="class", **lengths, **options)


@pytest.mark.parametrize(
    ("offload", "bytes_there"),
    [("weights=8", LAYERS / 4), ("weights=32", LAYERS), ("weights=3GB", 3e9)],
)
def test_a_pass_takes_longer_by_what_it_copies(offload, bytes_there):
    """Bytes by hand; the whole of a size but the embeddings, of which a pass reads its tokens' alone."""
    before, after = asked(), asked(offload=offload)
    weights = before.memory.footprint.weights_bytes
    assert after.hosted_bytes == pytest.approx(bytes_there, abs=1)
    assert after.memory.footprint.weights_bytes == pytest.approx(weights - bytes_there, abs=1)
    table, row = 128256 * 4096 * 2, 4096 * 2
    copied = bytes_there if "GB" not in offload else 3e9 / weights * (weights - table + 512 * row)
    one, other = (each.phases["prefill"].figures for each in (before, after))
    assert other.time_s == pytest.approx(one.time_s + copied / LINK, rel=1e-9)
    assert other.timing.link_s == pytest.approx(copied / LINK, rel=1e-9)
    assert copied / LINK <= other.timing.bound_s <= other.low_s <= other.time_s <= other.high_s


def test_of_experts_those_that_are_touched_are_copied():
    before, after = (
        asked("qwen3-30b-a3b", "h100", context=512, **kept) for kept in ({}, {"offload": "weights=experts"})
    )
    assert after.hosted_bytes == 2 * EXPERTS
    one, other = (each.phases["decode"].figures.time_s for each in (before, after))
    assert other - one == pytest.approx(2 * EXPERTS * 8 / 128 / 63e9, rel=1e-6)


def test_each_device_copies_its_part():
    one, two = (asked(offload="weights=16", tp=tp) for tp in (1, 2))
    assert two.hosted_bytes == pytest.approx(one.hosted_bytes / 2, rel=1e-3)


def test_the_explanation_names_the_copy():
    text = explain(asked(offload="weights=16"))
    assert "copied = " in text
    assert "; + copied; = " in text
    assert any("host's memory" in note for note in asked(offload="weights=16").notes)


@pytest.mark.parametrize(
    ("offload", "model", "hardware", "message"),
    [
        ("weights=33", "llama-3.1-8b", "rtx-4090", "has 32 layers, expected 1 to 32"),
        ("weights=0", "llama-3.1-8b", "rtx-4090", "expected 1 to 32"),
        ("weights=experts", "llama-3.1-8b", "rtx-4090", "no routed experts"),
        ("weights=99GB", "llama-3.1-8b", "rtx-4090", "the weights are 16.1 GB"),
        ("weights=some", "llama-3.1-8b", "rtx-4090", "expected weights= and a number of layers, experts, or a size"),
        ("kv=tape:2TB", "llama-3.1-8b", "rtx-4090", "is no tier with its size"),
        ("kv=ssd:2TB", "llama-3.1-8b", "rtx-4090", "no rate of it is stated"),
        ("kv=20GB", "bert-base", "rtx-4090", "bert-base keeps no cache of a prompt"),
        ("weights=3", "llama-3.1-8b", "apple-m4", "states no host link"),
    ],
)
def test_what_it_is_not(offload, model, hardware, message):
    with pytest.raises(RooflineError, match=message):
        asked(model, hardware, offload=offload)


def test_a_tape_refuses_it():
    with pytest.raises(RooflineError, match="a tape knows nothing of weights in the host's memory"):
        Recording.asked("llama-3.1-8b", "rtx-4090", (), {"offload": "weights=3"})


def test_a_prompt_whose_cache_lies_below_is_loaded_where_that_is_faster():
    found = predict(
        "llama-3.1-70b", "4xh100", prompt=8000, generate=10, batch=4, tp=4, offload="kv=200GB+ssd:4TB@2GB/s"
    )
    plain = predict("llama-3.1-70b", "4xh100", prompt=8000, generate=10, batch=4, tp=4)
    assert (found.request_s, found.memory) == (plain.request_s, plain.memory)
    below = found.caches_below
    assert below is not None
    assert below.held == 4 * 8000 * 80 * 2 * 8 * 128 * 2  # layers, keys and values, heads of 128 in 16 bits
    host, ssd = below.to_dict()["tiers"]
    assert (host["loads"], ssd["loads"]) == (True, False)
    assert host["load_s"] == pytest.approx(below.held / (4 * 63e9))  # over the links of all devices
    assert host["sequences"] == int(200e9 / (below.held / 4))
    even = below.break_even
    assert even is not None
    assert below.held / even.bandwidth == pytest.approx(plain.ttft_s)  # loaded at that rate it takes as long
    assert sum("KV tier" in note or "break-even" in note for note in found.notes) == 3


def test_each_rank_loads_the_caches_of_its_own_sequences():
    asked = {"prompt": 1000, "generate": 10, "batch": 8, "offload": "kv=200GB", "dtype": "fp8"}
    ranks = predict("deepseek-v2-lite", "4xh100", dp=4, ep=4, **asked).caches_below
    split = predict("deepseek-v2-lite", "4xh100", tp=4, ep=4, **asked).caches_below
    assert (ranks.prompts, split.prompts) == (2, 8)
    assert ranks.tiers[0].read * 4 == split.tiers[0].read
    assert split.held / split.prompts == 4 * ranks.held / ranks.prompts  # latents are whole on each device of tp
