"""What a token leaves in memory: the table of docs/kv-cache.md by hand, and what sparse attention costs."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from roofline.cost.cost import step_cost
from roofline.cost.kernel_shapes import AttentionShape
from roofline.cost.kv_cache import cache_bytes, cache_growth
from roofline.errors import ConfigError
from roofline.models.model import load_model
from roofline.number import exact
from roofline.program.phases import Phase
from roofline.program.workload import Precision

PAGE = Path(__file__).parents[2] / "docs" / "kv-cache.md"
ROWS = re.findall(r"^\| ([a-z0-9.-]+) \| ([0-9x+() ]+) \| ([0-9x+() ]+) \|$", PAGE.read_text(), re.MULTILINE)
LONG = 102_400
"""Longer than every window, and a whole number of compressed entries."""


def by_hand(formula: str) -> int:
    """The number that a line states, with x for times."""
    return int(eval(formula.replace("x", "*"), {"__builtins__": {}}))


def test_the_page_has_its_lines() -> None:
    assert len(ROWS) == PAGE.read_text().count("\n| ") - 1 > 15


@pytest.mark.parametrize(("preset", "grows", "besides"), ROWS)
def test_what_a_token_adds_is_what_the_page_says(preset: str, grows: str, besides: str) -> None:
    model = load_model(preset)
    precision = Precision("bf16", "bf16", "bf16", model.checkpoint.state)
    program = model.program()
    assert cache_growth(program, precision, LONG) == by_hand(grows)
    sizes = {name: exact(size) for name, size in {**program.sizes, "B": 1, "T": 1, "S": LONG}.items()}
    assert cache_bytes(program, sizes, precision) == by_hand(grows) * LONG + by_hand(besides)


def flops(preset: str, kind: str, phase: Phase, new: int, context: int) -> Fraction:
    """FLOPs of all layers' operators of a name, for one sequence."""
    program = load_model(preset).program()
    sizes = {name: Fraction(size) for name, size in {**program.sizes, "B": 1, "T": new, "S": context}.items()}
    found = [(group, op) for group, op in program.in_phase(phase) if op.name == kind]
    assert found
    return sum((group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in found), Fraction(0))


def test_sparse_attention_grows_no_more_than_its_keys() -> None:
    """Of 131,072 tokens each of 128 heads sees 2,048, as latents of 512 + 64 and 512; the indexer sees them all."""
    assert flops("deepseek-v3.2", "attention", Phase.DECODE, 1, 131_072) == 61 * 128 * 2 * (2 * 512 + 64) * 2048
    assert flops("deepseek-v3.2", "index_scores", Phase.DECODE, 1, 131_072) == 61 * 64 * 2 * (128 + 1) * 131_072


MILLION = 1 << 20


def test_the_caches_of_a_million_tokens_are_those_that_vllm_states() -> None:
    """vLLM's announcement of DeepSeek-V4: 9.62 GiB a sequence in bf16, 83.9 GiB for a network like V3.2."""
    for preset, stated in (("deepseek-v4-pro", 9.62), ("deepseek-v3.2", 83.9)):
        program = load_model(preset).program()
        sizes = {name: exact(size) for name, size in {**program.sizes, "B": 1, "T": 1, "S": MILLION}.items()}
        held = cache_bytes(program, sizes, Precision("bf16", "bf16", "bf16", "bf16"), ("kv_cache",))
        assert abs(float(held) / 2**30 / stated - 1) < 0.001


def test_a_token_of_deepseek_v4_takes_the_share_of_v3_2_that_the_report_states() -> None:
    """27 % of the FLOPs at a million tokens, V4-Flash 10 %; it counts FP4 as fewer, here all count one."""

    def whole(preset: str) -> Fraction:
        program = load_model(preset).program()
        sizes = {name: Fraction(size) for name, size in {**program.sizes, "B": 1, "T": 1, "S": MILLION}.items()}
        ops = program.in_phase(Phase.DECODE)
        return sum((group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in ops), Fraction(0))

    shares = [float(whole(preset) / whole("deepseek-v3.2")) for preset in ("deepseek-v4-pro", "deepseek-v4-flash")]
    assert [round(share, 3) for share in shares] == [0.260, 0.120]


def test_a_query_sees_sixteen_blocks_the_last_of_them_up_to_itself() -> None:
    """Of 131,072 keys 16 x 128 in 57 layers and all in 3; in a prompt of 5,000, block by block."""
    each = 4 * 64 * 128
    assert flops("minimax-m3", "attention", Phase.DECODE, 1, 131_072) == each * (57 * 2048 + 3 * 131_072)
    blocks = sum(min((token - 1) // 128, 15) * 128 + (token - 1) % 128 + 1 for token in range(1, 5001))
    assert flops("minimax-m3", "attention", Phase.PREFILL, 5000, 5000) == each * (57 * blocks + 3 * 5000 * 5001 // 2)


def test_entries_are_seen_once_they_are_complete() -> None:
    """A token sees 128 tokens of the window and 512 of 32,768 entries, or 1,024 of 1,024, in 64 heads of 512."""
    sparse, heavy = (4 * 64 * 512 * (128 + seen) for seen in (512, 1024))
    assert flops("deepseek-v4-flash", "attention", Phase.DECODE, 1, 131_072) == (
        21 * sparse + 20 * heavy + 2 * 4 * 64 * 512 * 128
    )
    entries = sum(min(token // 4, 512) for token in range(1, 5001))
    near, far = (sum(min(token, 128) for token in range(1, 5001)), sum(token // 128 for token in range(1, 5001)))
    assert flops("deepseek-v4-flash", "attention", Phase.PREFILL, 5000, 5000) == 4 * 64 * 512 * (
        43 * near + 21 * entries + 20 * far
    )


def test_the_layers_of_glm_5_2_share_the_keys_of_21_indexers() -> None:
    assert flops("glm-5.2", "attention", Phase.DECODE, 1, 9000) == 78 * 64 * 2 * (2 * 512 + 64) * 2048
    assert flops("glm-5.2", "index_scores", Phase.DECODE, 1, 9000) == 21 * 32 * 2 * (128 + 1) * 9000


def test_a_short_context_is_attended_whole() -> None:
    assert flops("deepseek-v3.2", "attention", Phase.DECODE, 1, 1000) == flops(
        "deepseek-v3", "attention", Phase.DECODE, 1, 1000
    )


def test_a_prompt_sees_each_token_up_to_the_keys_that_are_picked() -> None:
    pairs = sum(min(token, 2048) for token in range(1, 4097))
    assert flops("deepseek-v3.2", "attention", Phase.PREFILL, 4096, 4096) == 61 * 128 * 2 * (2 * 512 + 64) * pairs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"indexer_types": ["shared"] + ["full"] * 77}, "the first layer has none"),
        ({"indexer_types": ["some"] * 78}, "indexer_types: given"),
        ({"index_topk_pattern": "F" * 77 + "X"}, "index_topk_pattern: given"),
        ({"index_topk_pattern": "F" * 7}, "indexers has 7 entries, expected one for each of 78 layers"),
    ],
)
def test_an_indexer_that_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_model({**load_model("glm-5").fields, **changes})


@pytest.mark.parametrize("preset", ["deepseek-v4-flash", "minimax-m3"])
def test_picked_attention_is_timed_by_the_pairs_that_it_sees(preset: str) -> None:
    program = load_model(preset).program()
    sizes = {name: exact(size) for name, size in {**program.sizes, "B": 1, "T": 4096, "S": 4096}.items()}
    shapes = [
        (cost.shape, cost.flops)
        for cost in step_cost(program, Phase.PREFILL, sizes, Precision("bf16", "bf16", "bf16"))
        if isinstance(cost.shape, AttentionShape)
        and cost.shape.window
        and cost.group.startswith(("comp", "heav", "block"))
    ]
    assert shapes
    for shape, counted in shapes:
        assert float(shape.pair_flops * shape.window * shape.queries) == pytest.approx(float(counted))
