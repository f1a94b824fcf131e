"""What serves nothing: few in a line each, many together by their reason, every name told."""

from __future__ import annotations

import pytest

from roofline.reports.serving.misses import MANY, alike_notes, miss_lines, no_cost_lines

SMALL = [(f"t{n} fp8", f"t{n}", (f"does not fit: {n} GB of 16 GB",)) for n in range(MANY)]
SLOW = [(f"s{n}", f"s{n}", (f"TPOT {n} ms > 1 ms", "TTFT 9 s > 1 s")) for n in range(MANY)]
LOST = [(f"l{n}", f"l{n}", (f"no spot price of l{n}: the library has none",)) for n in range(2)]


def test_few_have_a_line_each_with_every_reason() -> None:
    lines = miss_lines(SMALL)
    assert len(lines) == MANY
    assert lines[3] == "t3 fp8 misses: does not fit: 3 GB of 16 GB"
    assert miss_lines(SLOW[:1]) == ["s0 misses: TPOT 0 ms > 1 ms, TTFT 9 s > 1 s"]


def test_many_stand_together_by_their_reason_and_none_is_lost() -> None:
    missed = [*SLOW, *SMALL, *LOST]
    lines = miss_lines(missed)
    assert len(lines) == 8 + 4  # the nearest; more of them, those of each reason, and where the rest is told
    assert lines[0] == "s0 misses: TPOT 0 ms > 1 ms, TTFT 9 s > 1 s"
    assert f"{MANY} miss (does not fit): {', '.join(who for who, _, _ in SMALL)}" in lines
    assert "2 miss (no spot price): l0, l1" in lines
    told = " ".join(lines).replace(",", " ").split()
    assert all(who.split()[0] in told for who, _, _ in missed)


@pytest.mark.parametrize("count", [1, MANY + 1])
def test_a_missing_price_is_told_of_each(count: int) -> None:
    lines = no_cost_lines([(f"l{n}", f"l{n}", f"no spot price of l{n}: none") for n in range(count)])
    assert len(lines) == 1
    assert all(f"l{n}" in lines[0] for n in range(count))


def test_notes_that_differ_in_the_device_are_one_note() -> None:
    assert alike_notes([("a1", "a1: 2 dies"), ("b2", "b2: 2 dies"), ("a1", "a1: 2 dies")]) == ["a1, b2: 2 dies"]
