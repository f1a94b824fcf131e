"""Which version answers, as every result says it."""

from __future__ import annotations

from typing import Any

SCHEMA_VERSION = 1
"""The version of the fields of all results: it grows where one is renamed, is dropped, or changes its meaning; the
schemas state it as the only value of the field (``schema.Answer``)."""


def tool_version() -> str:
    """The version of this package, as results carry it."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  (costs start-up only where asked)

    try:
        return version("roofline")
    except PackageNotFoundError:
        return "0+source"


def versions() -> dict[str, Any]:
    """What every result starts with: the version of its fields, and that of this package."""
    return {"schema_version": SCHEMA_VERSION, "version": tool_version()}
