"""The files of the page: read once, by names that are known beforehand; what a request says is only looked up."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"
_KEPT = Path(__file__).parents[1] / "tape" / "kept.js"

MODULES = (
    *("format", "kept", "tape", "state", "answer", "source", "dom", "combobox", "slider", "formula", "gguf"),
    *("roofline", "intensity", "regimes", "table", "export"),
)
"""Modules of JavaScript, each after those that it imports."""

PAGE, LESSON = "page.html", "lesson.html"
STARTS = {PAGE: "app", LESSON: "lesson"}
"""The module that starts each page."""

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@cache
def assets() -> dict[str, bytes]:
    """Every file of the page by its name."""
    names = (*STARTS, "page.css", "icon.svg", *(f"{name}.js" for name in (*MODULES, *STARTS.values())))
    found = {name: _KEPT if name == _KEPT.name else _FOLDER / name for name in names}
    return {name: path.read_bytes() for name, path in found.items()}


POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: no text is run as code, and nothing is asked of anyone else."""
