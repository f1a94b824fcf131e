"""A commented spec to fill in, made from that of a device that exists."""

from __future__ import annotations

import re
from typing import Any

from roofline.errors import SpecError, shown
from roofline.files.template import commented_yaml
from roofline.hardware.library import A_NAME
from roofline.hardware.loading import read_hardware_fields, spec_from_fields

COMMENTS = {
    "title": "for people",
    "kind": "gpu, apu, soc, cpu, tpu or npu",
    "class": "whose constants serve it until it has its own: a file of calibrations/classes",
    "source": "where the figures were read; {default: sheet, tdp: page} if they come from several places",
    "confidence": "high, medium or low; low is shown as unverified. By field: {default: high, tdp: low}",
    "units": "with rate and clock of a peak, these are checked against it",
    "clock": "the highest clock; for a CPU the base clock",
    "peak": "dense, one direction, fp32 accumulation; a figure 'with sparsity' is twice the dense one",
    "sparsity": "what structured sparsity would gain; peaks never include it",
    "memory": "from device memory inwards; 80 GB of device memory are 80 GiB; scope unit: per unit",
    "links": "per device and per direction; a sheet often prints both directions added",
    "tdp": "board or socket power",
    "exceptions": "loader checks that the device really breaks",
}
"""What stands above a field of the template."""

_LEFT_OUT = (
    "aliases",
    "chip",
    "prices",
    "sources",
    "source",
    "confidence",
    "note",
    "status",
    "released",
    "name",
    "title",
)


def new_spec(name: str, template: str) -> str:
    """YAML text of a spec called ``name`` with the figures of ``template``, marked as copied from there.

    Raises SpecError for a name that cannot be one, and for an unknown template.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,59}", name) or re.match(r"[0-9]+x", name):
        msg = f"{shown(name)}: expected {A_NAME}"
        raise SpecError(msg)
    fields, where = read_hardware_fields(template)
    spec_from_fields(fields, where)
    known = str(fields["name"])
    head: dict[str, Any] = {
        "name": name,
        "title": f"{name} (from {known})",
        "source": f"copied from {known}, to be replaced",
    }
    return commented_yaml({**head, "confidence": "low", **_kept(fields)}, COMMENTS)


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {field: _bare(value) for field, value in fields.items() if field not in _LEFT_OUT}


def _bare(value: Any) -> Any:
    """A block without what is said about it."""
    if isinstance(value, dict):
        return {name: _bare(inner) for name, inner in value.items() if name not in ("source", "confidence", "note")}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value
