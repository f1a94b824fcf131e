"""The JSON of ``engines list`` and ``engines show``, field by field."""

from __future__ import annotations

from typing import TypeAlias

from roofline.engines.engine import Engine

EngineAnswer: TypeAlias = Engine
"""All that an engine states, as in its file, with numbers in SI base units."""

EngineListAnswer: TypeAlias = dict[str, Engine]
"""Engines by name."""
