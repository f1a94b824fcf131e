"""Valid but odd commands: no traceback, no NaN, no answer that another door contradicts."""

from __future__ import annotations

from collections import Counter

import pytest
from odd_input import check, command_of


@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in range(0, 200, 20)], ids=str)
def test_odd_commands_are_answered_or_refused_in_a_line(seeds: range) -> None:
    outcomes = Counter(check(command_of(seed)) for seed in seeds)
    assert sum(outcomes.values()) == len(seeds)
