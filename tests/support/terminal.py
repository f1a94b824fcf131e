"""A terminal as reports see it: how wide it is, and that none of their lines is longer."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from roofline.reports.width import fitted, room


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def is_a_row(line: str) -> bool:
    """Whether a line is a row of many columns, which is to fold with its table and not to be broken."""
    return len(re.findall(r"\S {2,}\S", line)) >= 4


def check_fits(report: Callable[[], str]) -> None:
    """Asserts that a report has no line longer than a terminal, without a row of a table that is broken."""
    for columns in (80, 120):
        with room(columns):
            text = report()
        assert [line for line in text.splitlines() if len(line) > columns and is_a_row(line)] == []
        assert [line for line in fitted(text, columns).splitlines() if len(line) > columns] == []
        assert text.split() == fitted(text, columns).split()
