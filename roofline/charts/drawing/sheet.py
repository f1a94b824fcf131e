"""A sheet to draw on: a figure, or the place of one Axes in a figure, measured in points.

Everything is laid out by measured text, so that nothing is cut off and nothing overlaps at any size. Styles are set on
each artist; global settings are neither read where they would matter nor written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from roofline.charts.drawing.theme import FONT, Size, Theme, size_named, theme_named
from roofline.errors import UsageError

POINTS = 72.0  # per inch
HINTING = 1.05
"""Glyphs snapped to pixels are up to so much wider than they are drawn for; files are saved without that."""

LEADING = 1.38  # line to line, in heights of type

Side = Literal["left", "center", "right"]
Rise = Literal["top", "center", "bottom", "baseline"]


@lru_cache(maxsize=64)
def _font(points: float, weight: str) -> FontProperties:
    return FontProperties(family=FONT, size=points, weight=weight)


@lru_cache(maxsize=1)
def _renderer() -> Any:
    agg: Any = RendererAgg  # not annotated
    return agg(16, 16, 4 * POINTS)


@lru_cache(maxsize=8192)
def measure(text: str, points: float, weight: str = "normal") -> tuple[float, float]:
    """Width and height of a line of text, with what hinting adds to its width at low resolutions. [pt]"""
    font, renderer = _font(points, weight), _renderer()
    width, height, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
    _, least, _ = renderer.get_text_width_height_descent("lp", font, ismath=False)
    return HINTING * width / 4, max(height, least) / 4


def shorten(text: str, points: float, room: float, weight: str = "normal") -> str:
    """``text``, or as much of it as fits in ``room`` points, ended by an ellipsis."""
    if measure(text, points, weight)[0] <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        whole = measure(text[:middle].rstrip() + "…", points, weight)[0] <= room
        low, high = (middle, high) if whole else (low, middle - 1)
    return text[:low].rstrip(" ,;·(") + "…"


def wrap(text: str, points: float, room: float, most: int, weight: str = "normal") -> list[str]:
    """``text`` in at most ``most`` lines of ``room`` points; what is left over is shortened."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most:
        taken = 1
        while taken < len(words) and measure(" ".join(words[: taken + 1]), points, weight)[0] <= room:
            taken += 1
        last = len(lines) == most - 1
        lines.append(shorten(" ".join(words if last else words[:taken]), points, room, weight))
        words = words[taken:]
    return lines


@dataclass(slots=True)
class Sheet:
    """Where a picture is drawn: x to the right, y upwards, in points from the figure's lower left corner.

    ``head`` and ``foot`` take their room from ``y1`` and ``y0``; what is between is the body.
    """

    figure: Figure
    theme: Theme
    size: Size
    x0: float
    y0: float
    x1: float
    y1: float
    given: Axes | None = None

    @classmethod
    def open(cls, theme: str, size: str, ax: Axes | None, tall: float = 1.0) -> Sheet:
        """A new figure, ``tall`` times the height of its size, or the place of ``ax`` in its figure."""
        look, measures = theme_named(theme), size_named(size)
        if ax is None:
            width, height = measures.width, measures.height * tall
            figure = Figure(figsize=(width, height), dpi=150, facecolor=look.paper, edgecolor=look.paper)
            FigureCanvasAgg(figure)
            margin = 0.9 * measures.text
            right, top = width * POINTS - margin, height * POINTS - margin
            return cls(figure, look, measures, margin, margin, right, top)
        home = ax.figure
        if home is None or isinstance(home, SubFigure):
            msg = "ax stands in no plain figure; give an Axes of a Figure"
            raise UsageError(msg)
        place = ax.get_position()
        across, up = (inches * POINTS for inches in home.get_size_inches())
        corners = (place.x0 * across, place.y0 * up, place.x1 * across, place.y1 * up)
        return cls(home, look, measures, *corners, given=ax)

    @property
    def width(self) -> float:
        """Of the body. [pt]"""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Of the body. [pt]"""
        return self.y1 - self.y0

    @property
    def line(self) -> float:
        """From one line of small type to the next. [pt]"""
        return self.size.small * LEADING

    @property
    def narrow(self) -> bool:
        """Whether there is no room for two things side by side."""
        return self.width < 55 * self.size.text

    def write(
        self,
        at: tuple[float, float],
        text: str,
        *,
        points: float | None = None,
        colour: str | None = None,
        align: tuple[Side, Rise] = ("left", "center"),
        weight: str = "normal",
        rotation: float = 0.0,
        plate: bool = False,
    ) -> Text:
        """One line of text, small unless ``points`` are given; a ``plate`` of paper keeps lines behind it off."""
        across, up = (inches * POINTS for inches in self.figure.get_size_inches())
        artist = self.figure.text(
            at[0] / across, at[1] / up, text, fontproperties=_font(points or self.size.small, weight),
            color=colour or self.theme.ink, ha=align[0], va=align[1], rotation=rotation, rotation_mode="anchor",
            parse_math=False, zorder=10,
        )  # fmt: skip
        if plate:
            artist.set_bbox({"boxstyle": "square,pad=0.08", "fc": self.theme.paper, "ec": "none", "alpha": 0.8})
        return artist

    def add(self, artist: Any) -> None:
        """An artist whose coordinates are points, as those of texts are."""
        artist.set_transform(Affine2D().scale(1 / POINTS) + self.figure.dpi_scale_trans)
        self.figure.add_artist(artist)

    def head(self, title: str, subtitle: str = "") -> None:
        """Title and, in small muted type, what it rests on."""
        for text, points, weight, colour, most in (
            (title, self.size.title, "bold", self.theme.ink, 2),
            (subtitle, self.size.small, "normal", self.theme.muted, 2),
        ):
            for line in wrap(text, points, self.width, most, weight):
                self.write((self.x0, self.y1), line, align=("left", "top"), points=points, weight=weight, colour=colour)
                self.y1 -= points * LEADING
        self.y1 -= 0.5 * self.size.text

    def foot(self, text: str, most: int = 4) -> None:
        """Where the numbers come from, in small muted type, in at most ``most`` lines."""
        lines = wrap(text, self.size.small, self.width, most)
        for line in reversed(lines):
            self.write((self.x0, self.y0), line, align=("left", "bottom"), colour=self.theme.muted)
            self.y0 += self.line
        self.y0 += 0.4 * self.size.text

    def axes(self, x0: float, y0: float, x1: float, y1: float) -> Axes:
        """Axes in this rectangle: the given one the first time, new ones after that."""
        across, up = (inches * POINTS for inches in self.figure.get_size_inches())
        place = (x0 / across, y0 / up, (x1 - x0) / across, (y1 - y0) / up)
        if self.given is None:
            ax = self.figure.add_axes(place)
        else:
            ax, self.given = self.given, None
            ax.set_in_layout(False)
            ax.set_position(place)
        self.dress(ax)
        return ax

    def dress(self, ax: Axes) -> None:
        """Plain axes in the colours of the theme."""
        ax.set_facecolor(self.theme.paper)
        ax.set_axisbelow(True)
        for name, spine in ax.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(self.theme.muted)
            spine.set_linewidth(0.7)

    def panels(self, count: int, *, stacked: bool | None = None) -> list[tuple[float, float, float, float]]:
        """The body in ``count`` equal rectangles: side by side, or below one another where it is narrow."""
        gap = 2.0 * self.size.small
        high = (self.height - gap * (count - 1)) / count
        wide = (self.width - gap * (count - 1)) / count
        if self.narrow if stacked is None else stacked:
            tops = [self.y1 - index * (high + gap) for index in range(count)]
            return [(self.x0, top - high, self.x1, top) for top in tops]
        lefts = [self.x0 + index * (wide + gap) for index in range(count)]
        return [(left, self.y0, left + wide, self.y1) for left in lefts]

    def locate(self, ax: Axes, x: float, y: float) -> tuple[float, float]:
        """Where a point of ``ax`` lies on the sheet. [pt]"""
        px, py = ax.transData.transform((x, y))
        scale = POINTS / self.figure.dpi
        return float(px * scale), float(py * scale)


def names(sequence: Sequence[str]) -> str:
    """A list in words.

    >>> names(["a"]), names(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    items = list(dict.fromkeys(sequence))
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def rounded(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, without powers of ten where people would not write them.

    >>> rounded(1254.2), rounded(0.66667), rounded(118.3, 2), rounded(1.0)
    ('1,250', '0.667', '120', '1')
    """
    if not 1e-4 < abs(value) < 1e7:
        return f"{value:.{digits}g}"
    near = float(f"{value:.{digits}g}")
    return f"{near:,.0f}" if abs(near) >= 10 ** (digits - 1) else f"{near:g}"
