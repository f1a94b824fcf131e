"""Which devices a table shows, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from roofline.errors import SpecError, near_matches, shown
from roofline.hardware.roofs import Roofline
from roofline.hardware.spec import HardwareSpec
from roofline.hardware.systems import System

Value = float | str | None

COLUMNS: dict[str, Callable[[HardwareSpec], Value]] = {
    "memory": lambda spec: spec.capacity,
    "bandwidth": lambda spec: spec.bandwidth,
    "peak": lambda spec: spec.contraction_unit(spec.default_dtype())[1],
    "ridge": lambda spec: Roofline.of(spec, spec.default_dtype()).ridge_point,
    "price": lambda spec: min((price.usd for price in spec.prices if price.kind != "purchase"), default=None),
    "purchase": lambda spec: min((price.usd for price in spec.prices if price.kind == "purchase"), default=None),
}
"""Fields that are derived, by the names that ``--sort`` takes beside the paths of a spec."""


def named(spec: HardwareSpec | System, text: str | None) -> bool:
    """Whether a name, the title or an alias of a device or a system has ``text`` in it, large or small."""
    words = (spec.name, spec.title or "", *spec.aliases)
    return text is None or any(text.lower() in word.lower() for word in words)


def select(
    specs: Sequence[HardwareSpec],
    *,
    text: str | None = None,
    vendor: str | None = None,
    kind: str | None = None,
    memory: float | None = None,
    dtype: str | None = None,
    announced: bool = False,
) -> list[HardwareSpec]:
    """The devices of a vendor and a kind, sold with at least ``memory`` [B], that contract in ``dtype``.

    ``text`` stands in a name of theirs. What is only announced is left out unless ``announced``. Raises SpecError for a
    vendor, a kind or a dtype that no device has.
    """
    _known("vendor", vendor, [spec.vendor or "" for spec in specs])
    _known("kind", kind, [spec.kind for spec in specs])
    _known("dtype", dtype, [name for spec in specs for name in spec.dtypes()])
    return [
        spec
        for spec in specs
        if (announced or spec.status != "announced")
        and named(spec, text)
        and (vendor is None or (spec.vendor or "").lower() == vendor.lower())
        and (kind is None or spec.kind == kind.lower())
        and (memory is None or (spec.main_memory.capacity or 0.0) >= memory)
        and (dtype is None or dtype.lower() in spec.dtypes())
    ]


def sort_by(specs: Sequence[HardwareSpec], field: str) -> list[HardwareSpec]:
    """Devices by a field: numbers from the largest, texts from A; those that do not state it last.

    A field is a name of COLUMNS or a path in a spec, ``memory.l2.capacity``. Raises SpecError where no device has it.
    """
    values = [(field_of(spec, field), spec) for spec in specs]
    if specs and all(value is None for value, _ in values):
        known = {*COLUMNS, *(path for spec in specs for path in _paths(spec.to_dict()))}
        hint = near_matches(field, known)
        hint = f"try {', '.join(sorted(COLUMNS))} or tdp" if hint.startswith("known") else hint
        msg = f"--sort {shown(field)}: no device states it; {hint}"
        raise SpecError(msg)
    stated = [(value, spec) for value, spec in values if value is not None]
    words = sorted(((v, s) for v, s in stated if isinstance(v, str)), key=lambda pair: (pair[0].lower(), pair[1].name))
    numbers = sorted(((v, s) for v, s in stated if not isinstance(v, str)), key=lambda pair: (-pair[0], pair[1].name))
    return [spec for _, spec in [*numbers, *words]] + [spec for value, spec in values if value is None]


def field_of(spec: HardwareSpec, field: str) -> Value:
    """The value of a column or of a path, ``links.scale_up.bandwidth_per_direction``, or None."""
    if field in COLUMNS:
        return COLUMNS[field](spec)
    here: Any = spec.to_dict()
    for step in field.split("."):
        here = here.get(step) if isinstance(here, dict) else None
    here = here.get("value") if isinstance(here, dict) else here
    return here if isinstance(here, (int, float, str)) else None


def _paths(fields: dict[str, Any], before: str = "") -> list[str]:
    found = []
    for name, field in fields.items():
        path = f"{before}{name}"
        found += _paths(field, f"{path}.") if isinstance(field, dict) else [path]
    return found


def _known(flag: str, given: str | None, known: Sequence[str]) -> None:
    words = {word.lower() for word in known if word}
    if given is not None and given.lower() not in words:
        msg = f"--{flag} {shown(given)}: no device has it; {near_matches(given.lower(), words)}"
        raise SpecError(msg)
