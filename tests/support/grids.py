"""How much runs each time and what waits for ``-m slow``: the cases of a grid, and the number of random examples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def paired(ones: Sequence[Any], others: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pairs in which each of ``ones`` and each of ``others`` stands at least once: the longer of the two, not n x m.

    >>> paired("abc", "xy")
    [('a', 'x'), ('b', 'y'), ('c', 'x')]
    """
    return [(ones[index % len(ones)], others[index % len(others)]) for index in range(max(len(ones), len(others)))]


def quick(cases: Iterable[Any], of: Iterable[Any]) -> list[Any]:
    """``cases`` each time, and the rest of the grid ``of`` under ``-m slow``; a case of several arguments is a tuple.

    Raises ValueError for a case that is not in ``of``, so that the long run misses nothing that the short one has.
    """
    chosen, every = list(dict.fromkeys(cases)), list(dict.fromkeys(of))
    if unknown := [case for case in chosen if case not in every]:
        msg = f"{unknown[0]!r} is not a case of the full grid"
        raise ValueError(msg)
    rest = [case for case in every if case not in chosen]
    later = [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in rest]
    return [*chosen, *later]


def counts(few: int, many: int) -> list[Any]:
    """``few`` each time and ``many`` under ``-m slow``: random examples, rows, steps."""
    return [few, pytest.param(many, marks=pytest.mark.slow)]


def examples(
    *drawn: st.SearchStrategy[Any], few: int, many: int, suppress: Collection[HealthCheck] = ()
) -> Callable[[Callable[..., None]], Callable[[int], None]]:
    """``given(*drawn)``, with ``few`` examples each time and ``many`` under ``-m slow``."""

    def decorate(law: Callable[..., None]) -> Callable[[int], None]:
        @pytest.mark.parametrize("count", counts(few, many))
        def run(count: int) -> None:
            checks = (*settings.default.suppress_health_check, *suppress)
            settings(max_examples=count, suppress_health_check=checks)(given(*drawn)(law))()

        run.__name__, run.__doc__ = law.__name__, law.__doc__
        return run

    return decorate
