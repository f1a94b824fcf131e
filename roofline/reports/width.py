"""A report in the width that a terminal has: tables fold, lines break between words; without a terminal as it is."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

Row = Sequence[str]

_ROOM: ContextVar[int | None] = ContextVar("room", default=None)

_TABLES: ContextVar[list[str] | None] = ContextVar("tables", default=None)
"""Tables of a report that a notebook shows; None where it is text."""

_TABLE = "\0"

NARROWEST = 20
"""Columns below which a column of text is not made narrower."""

_GAP = 2


@contextmanager
def room(columns: int | None) -> Iterator[None]:
    """Within it tables have so many columns; None leaves them as wide as they are."""
    token = _ROOM.set(columns)
    try:
        yield
    finally:
        _ROOM.reset(token)


def set_room(columns: int | None) -> None:
    """From here on tables have so many columns."""
    _ROOM.set(columns)


def aligned(cells: Sequence[Row], left: Sequence[int]) -> list[str]:
    """Rows under their header, those columns of ``left`` left-aligned; folded where the room is narrower.

    Text that is left-aligned is broken between words, beside the first column; where that does not do, the columns that
    have no room follow in a table of their own below, each row under its first cell, or under as many of its first
    cells as tell it from the other rows.

    >>> with room(12):
    ...     aligned([("name", "size", "time"), ("a", "10 GB", "3 ms")], (0,))
    ['name   size', 'a     10 GB', '', 'name  time', 'a     3 ms']
    """
    if (tables := _TABLES.get()) is not None:
        tables.append(_html_table(cells, left))
        return [f"{_TABLE}{len(tables) - 1}"]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    columns = _ROOM.get()
    if columns is None or _whole(widths) <= columns:
        return _lines(cells, widths, left)
    words = [max(len(word) for row in cells for word in ["", *row[column].split()]) for column in range(len(widths))]
    narrow = _narrowed(widths, words, left, columns)
    key = _key(cells, narrow, columns)
    blocks = list(_blocks(narrow, columns, key, cells[0]))
    if not any(0 in block for block in blocks):
        blocks = [key, *blocks]
    lines: list[str] = []
    for block in blocks:
        some = [[row[column] for column in block] for row in cells]
        sides = [place for place, column in enumerate(block) if column in left]
        own = _narrowed([widths[c] for c in block], [words[c] for c in block], sides, columns)  # room of what left it
        lines += ["", *_lines(_broken(some, own), own, sides)]
    return lines[1:]


def html_of(report: Callable[[], str]) -> str:
    """A report for a notebook, its tables as tables, its lines as paragraphs: no script, no style, nothing fetched.

    >>> html_of(lambda: "\\n".join(["a < b", *aligned([("name",), ("a",)], (0,))]))
    '<div><p>a &lt; b</p><table><tr><th align="left">name</th></tr><tr><td align="left">a</td></tr></table></div>'
    """
    from html import escape  # noqa: PLC0415  (costs start-up only where a notebook asks)

    tables: list[str] = []
    token = _TABLES.set(tables)
    try:
        lines = report().splitlines()
    finally:
        _TABLES.reset(token)
    shown = [tables[int(line[1:])] if line.startswith(_TABLE) else f"<p>{escape(line)}</p>" for line in lines if line]
    return f"<div>{''.join(shown)}</div>"


def _html_table(cells: Sequence[Row], left: Sequence[int]) -> str:
    from html import escape  # noqa: PLC0415  (as above)

    rows = []
    for index, row in enumerate(cells):
        tag = "td" if index else "th"
        sides = ("left" if column in left else "right" for column in range(len(row)))
        rows.append("".join(f'<{tag} align="{s}">{escape(text)}</{tag}>' for s, text in zip(sides, row, strict=True)))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _whole(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _lines(cells: Sequence[Row], widths: Sequence[int], left: Sequence[int]) -> list[str]:
    sides = ["<" if column in left else ">" for column in range(len(widths))]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in cells
    ]


def _narrowed(widths: Sequence[int], words: Sequence[int], left: Sequence[int], columns: int) -> list[int]:
    """Columns of text as narrow as the room asks for, the widest first, none narrower than its longest word."""
    found = list(widths)
    for column in sorted(left, key=lambda each: -widths[each]):
        surplus = _whole(found) - columns
        if surplus > 0:
            found[column] = max(found[column] - surplus, words[column], min(found[column], NARROWEST))
    return [min(width, columns) for width in found]


def _key(cells: Sequence[Row], widths: Sequence[int], columns: int) -> list[int]:
    """The fewest first columns that tell all rows apart; the first alone where they take more than half of the room."""
    for count in range(1, len(widths)):
        if _whole(widths[:count]) > columns / 2:
            break
        if len({tuple(row[:count]) for row in cells}) == len(cells):
            return list(range(count))
    return [0]


def _blocks(widths: Sequence[int], columns: int, key: Sequence[int], header: Row) -> Iterator[list[int]]:
    """Columns that stand side by side, each block with those of the key, where that leaves room for another.

    A band stands beside the figure that it is of.
    """
    block = [*key]
    for column in range(len(key), len(widths)):
        banded = [column, column + 1] if list(header[column + 1 : column + 2]) == ["band"] else [column]
        if _whole([widths[each] for each in [*block, *banded]]) > columns and block != [*key]:
            yield block
            block = [*key]
        if block == [*key] and _whole([widths[each] for each in [*key, column]]) > columns:
            yield [column]
        else:
            block = [*block, column]
    if block != [*key]:
        yield block


def _broken(cells: Sequence[Row], widths: Sequence[int]) -> list[Row]:
    """Rows whose cells fit their columns: long ones go on in the lines below."""
    found: list[Row] = []
    for row in cells:
        parts = [
            textwrap.wrap(cell, width, break_on_hyphens=False) if len(cell) > width else [cell]
            for cell, width in zip(row, widths, strict=True)
        ]
        found += [list(line) for line in itertools.zip_longest(*parts, fillvalue="")]
    return found


def fitted(text: str, columns: int) -> str:
    """A text whose lines are no longer than that: broken between words, what goes on is indented by two.

    >>> print(fitted("fits: 24.9 GB of 85.5 GB", 16))
    fits: 24.9 GB of
      85.5 GB
    """
    return "\n".join(piece for line in text.split("\n") for piece in _pieces(line, columns))


def _pieces(line: str, columns: int) -> list[str]:
    if len(line) <= columns:
        return [line]
    start = line[: len(line) - len(line.lstrip())]
    if line.count(" --") >= _FLAGS:
        return pasteable(line, columns)
    return textwrap.wrap(line.strip(), columns, initial_indent=start, subsequent_indent=f"{start}  ",
                         break_on_hyphens=False)  # fmt: skip


_FLAGS = 3
"""A line with so many flags is a command: it goes on behind a backslash, so that it can be pasted."""


def pasteable(command: str, columns: int) -> list[str]:
    """The lines of a command that is no wider than that: it goes on behind a backslash, between flags."""
    start = command[: len(command) - len(command.lstrip())]
    if len(command) <= columns:
        return [command]
    label, colon, rest = command.partition(": ")
    if colon and " --" not in label:  # whose command it is, on a line of its own: what is below can be pasted
        return [f"{label}:", *pasteable(f"{start}{rest}", columns)]
    return _command(command.strip().replace(" --", "\n--").split("\n"), columns - len(start), start)


def _command(words: Sequence[str], columns: int, start: str) -> list[str]:
    """A command, whose parts are flags with what they take, in lines that a shell reads as one.

    >>> _command(["vllm serve m", "--a 1", "--b 2", "--c 3"], 22, "")
    ['vllm serve m --a 1 \\\\', '  --b 2 --c 3']
    """
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 3 > columns:
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}"
    return [start + line + (" \\" if index + 1 < len(lines) else "") for index, line in enumerate(lines)]


_COLOURS = {
    r"DOES NOT FIT": "1;31",
    r"^(?:each device )?fits(?=:)": "1;32",
    r"(?<=  )(?:memory|compute|latency|link)-bound \d+%": "1",
    r"(?<=[\w%]) \([^()\n]*\d \S+ to \d[^()\n]*\)": "2",
    r"^(?:warning|note)(?=: )": "33",
    r"(?<= )misses(?= )|meets\?": "33",
}
"""What stands out in a report: the verdict, what binds, and, dimmed, the band beside a number."""


def coloured(text: str) -> str:
    """A text with the verdict, what binds and the bands in the colours of a terminal."""
    for pattern, code in _COLOURS.items():
        text = re.sub(pattern, f"\x1b[{code}m\\g<0>\x1b[0m", text, flags=re.MULTILINE)
    return text
