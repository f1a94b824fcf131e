"""Text as a cell of a table that another program opens: no formula of a spreadsheet, no markup."""

from __future__ import annotations

from html import escape
from typing import TypeVar

Value = TypeVar("Value")

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")
"""With what a spreadsheet takes a text for a formula."""


def csv_cell(value: Value) -> Value | str:
    """A value that no spreadsheet computes: a text that would begin a formula has an apostrophe before it.

    >>> csv_cell("=1+1"), csv_cell("bf16"), csv_cell("-1.5"), csv_cell(-1.5)
    ("'=1+1", 'bf16', '-1.5', -1.5)
    """
    if not isinstance(value, str) or not value.startswith(_BEGINNINGS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def markdown_cell(text: str) -> str:
    """A text in one cell of a Markdown table, whatever is in it.

    >>> markdown_cell("a|b <b>")
    'a\\\\|b &lt;b&gt;'
    """
    return " ".join(escape(text, quote=False).replace("|", "\\|").splitlines())
