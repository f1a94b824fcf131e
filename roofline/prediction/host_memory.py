"""Weights kept in the host's memory, which every step reads over its link: ``--offload weights=20|experts|30GB``.

llama.cpp (``--n-gpu-layers``, ``--cpu-moe``) and vLLM (``--cpu-offload-gb``) leave them there. An operator then takes

    time = time on the device + bytes of its weights there / bandwidth of the host link

since the copy comes before the kernel; the low end of its band takes the longer of both, as where a kernel reads the
host's memory itself. llama.cpp computes few tokens on the CPU in place of copying: that is not told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from roofline.cost.residency import weights_bytes
from roofline.errors import UnitError, UsageError, WorkloadError, shown
from roofline.hardware.spec import HardwareSpec
from roofline.number import as_fraction, exact
from roofline.program.op import Op, Tensor
from roofline.program.program import Group, Program
from roofline.program.workload import Precision
from roofline.units import format_quantity, parse_quantity

_EXPECTED = (
    "expected weights= and a number of layers, experts, or a size, such as weights=20, weights=experts, weights=30GB"
)


def kept_in_host(program: Program, offload: str | None, device: HardwareSpec, precision: Precision) -> Program:
    """``program`` with the weights that ``offload`` names in the host's memory; itself where it is None.

    A number of layers, or a size, is an even share of the weights of all layers, or of all weights. Raises UsageError
    for what is none of these, and WorkloadError where the network has no such weights or the device no host link.

    >>> from roofline.hardware.loading import load_hardware
    >>> from roofline.models.model import load_model
    >>> llama, bf16 = load_model("llama-3.1-8b").program(), Precision("bf16", "bf16", "bf16")
    >>> held = kept_in_host(llama, "weights=16", load_hardware("rtx-4090"), bf16)
    >>> [float(weights_bytes(each, each.sizes, bf16)) / 1e9 for each in (llama, held)]
    [16.060522496, 9.080938496]
    """
    if offload is None:
        return program
    named = str(offload).strip()
    word, _, what = named.partition("=")
    if word.strip() != "weights" or not what.strip():
        kept = "; simulate and size take kv=" if word.strip() == "kv" else ""
        msg = f"offload {shown(named)}: {_EXPECTED}{kept}"
        raise UsageError(msg)
    link = device.links.get("host")
    if link is None or not link.bandwidth_per_direction:
        msg = f"offload weights: {device.name} states no host link with a bandwidth, over which they would be read"
        raise WorkloadError(msg)
    what = what.strip()
    if what == "experts":
        return _with_hosted(program, lambda _, tensor: Fraction("X" in tensor.letters))
    if re.fullmatch(r"\d{1,6}", what, re.ASCII):
        layers = _layers(program, int(what))
        return _with_hosted(program, lambda group, _: layers if group.stacked else Fraction(0))
    part = _size(program, what, precision)
    return _with_hosted(program, lambda _, __: part)


def _layers(program: Program, asked: int) -> Fraction:
    """Which share of the layers so many are."""
    every = {group.name: int(as_fraction(group.layers(program.sizes))) for group in program.groups if group.stacked}
    have = sum(every.values())
    if not 0 < asked <= have:
        msg = f"offload weights={asked}: the network has {have} layers, expected 1 to {have} of them"
        raise WorkloadError(msg)
    return Fraction(asked, have)


def _size(program: Program, what: str, precision: Precision) -> Fraction:
    """Which share of all weights so many bytes are."""
    try:
        asked = parse_quantity(what, "bytes")
    except UnitError:
        msg = f"offload weights={shown(what)}: {_EXPECTED}"
        raise UsageError(msg) from None
    have = as_fraction(weights_bytes(program, {name: exact(size) for name, size in program.sizes.items()}, precision))
    if not 0 < asked <= have:
        whole = format_quantity(float(have), "bytes")
        msg = f"offload weights={what}: the weights are {whole}, expected a size above 0 and no larger"
        raise WorkloadError(msg)
    return as_fraction(asked) / have


def _with_hosted(program: Program, share: Callable[[Group, Tensor], Fraction]) -> Program:
    """The program with a share of its weights in the host's memory; adapters stay on the device."""

    def moved(group: Group, op: Op) -> Op:
        reads = tuple(
            replace(tensor, hosted=share(group, tensor))
            if tensor.role in ("weight", "scale") and not tensor.adapts
            else tensor
            for tensor in op.reads
        )
        return op if reads == op.reads else replace(op, reads=reads)

    groups = tuple(replace(group, ops=tuple(moved(group, op) for op in group.ops)) for group in program.groups)
    if groups == program.groups:
        msg = "offload weights=experts: the network has no routed experts"
        raise WorkloadError(msg)
    return replace(program, groups=groups)
