"""The one palette, in light and dark, and the sizes of a picture. Colours never speak alone.

The colours of what binds are those of Okabe and Ito (2008, Color universal design), which people with any common form
of colour blindness tell apart; each comes with a hatch, a fill of its marker and a letter.
"""

from __future__ import annotations

from collections.abc import Mapping

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that a picture looks and measures the same everywhere."""

BOUNDS = ("compute", "memory", "latency", "link")
"""What time is made of, in the order in which it is stacked."""

HATCHES: Mapping[str, str] = {"compute": "////", "memory": "", "latency": "....", "link": "xxxx"}
SHAPES: Mapping[str, str] = {"encode": "D", "listen": "^", "prefill": "o", "decode": "s"}
"""The marker of a phase."""

DEVICE_SHAPES = "soD^vP"
"""Markers of several devices, where all points are of one phase: colours alone would not tell them apart."""


@frozen
class Theme:
    """Colours by what they mean."""

    name: str
    paper: str
    ink: str
    muted: str
    faint: str
    bound: Mapping[str, str]
    parts: tuple[str, str, str, str, str]
    series: tuple[str, ...]


@frozen
class Size:
    """The width and the height of a picture, and its three sizes of type. [inch, point]"""

    name: str
    width: float
    height: float
    title: float
    text: float
    small: float


_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

THEMES: Mapping[str, Theme] = {
    "light": Theme(
        name="light",
        paper="#FFFFFF",
        ink="#1B1F24",
        muted="#59636E",
        faint="#E4E7EB",
        bound={"compute": "#D55E00", "memory": "#0072B2", "latency": "#E69F00", "link": "#009E73"},
        parts=("#0072B2", "#56B4E9", "#CC79A7", "#8C959F", "#C9CFD6"),
        series=_OKABE_ITO,
    ),
    "dark": Theme(
        name="dark",
        paper="#14171C",
        ink="#EEF1F4",
        muted="#A3ADB8",
        faint="#2C323B",
        bound={"compute": "#F0824A", "memory": "#56B4E9", "latency": "#F0C24B", "link": "#2FC79A"},
        parts=("#56B4E9", "#2E86C1", "#DE9CC3", "#8C959F", "#4A525C"),
        series=("#56B4E9", "#F0824A", "#2FC79A", "#DE9CC3", "#F0C24B", "#9CCBEB"),
    ),
}

SIZES: Mapping[str, Size] = {
    "slide": Size("slide", 10.0, 5.625, 13.0, 9.5, 8.5),
    "column": Size("column", 3.5, 2.9, 8.0, 6.5, 6.0),
}


def theme_named(name: str) -> Theme:
    """Light or dark. Raises UsageError for another name."""
    if name not in THEMES:
        msg = f"theme {name!r}; {near_matches(name, THEMES)}"
        raise UsageError(msg)
    return THEMES[name]


def size_named(name: str) -> Size:
    """For a slide, or for a column of a paper. Raises UsageError for another name."""
    if name not in SIZES:
        msg = f"size {name!r}; {near_matches(name, SIZES)}"
        raise UsageError(msg)
    return SIZES[name]


def ink_on(colour: str, theme: Theme) -> str:
    """Black or white, whichever reads better on ``colour`` (relative luminance, WCAG 2.1)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#FFFFFF" if luminance < 0.18 else "#000000" if theme.name == "dark" else "#1B1F24"
