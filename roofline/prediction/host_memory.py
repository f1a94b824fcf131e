"""What lies in the host's memory: weights, and caches of prompts in tiers below the devices' memory.

Weights there are read over the host link in every step: ``--offload weights=20|experts|30GB``.

llama.cpp (``--n-gpu-layers``, ``--cpu-moe``) and vLLM (``--cpu-offload-gb``) leave them there. An operator then takes

    time = time on the device + bytes of its weights there / bandwidth of the host link

since the copy comes before the kernel; the low end of its band takes the longer of both, as where a kernel reads the
host's memory itself. llama.cpp computes few tokens on the CPU in place of copying: that is not told.

``--offload kv=200GB``: a prompt whose cache lies in a tier is loaded in place of being computed, where that is faster.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from roofline.classes import frozen
from roofline.cost.residency import weights_bytes
from roofline.errors import UnitError, UsageError, WorkloadError, shown
from roofline.hardware.cache_tiers import BreakEven, Tier, named_tiers
from roofline.hardware.spec import HardwareSpec
from roofline.number import as_fraction, exact
from roofline.program.op import Op, Tensor
from roofline.program.program import Group, Program
from roofline.program.workload import Precision
from roofline.units import format_quantity, parse_quantity

_EXPECTED = (
    "expected weights= and a number of layers, experts, or a size, such as weights=20, weights=experts, weights=30GB, "
    "or kv= and tiers of caches such as kv=200GB"
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
    if of_caches(named):
        named_tiers(named)
        return program
    if word.strip() != "weights" or not what.strip():
        msg = f"offload {shown(named)}: {_EXPECTED}"
        raise UsageError(msg)
    if device.host_link is None:
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


def of_caches(offload: str | None) -> bool:
    """Whether ``--offload`` names tiers of caches."""
    return str(offload or "").partition("=")[0].strip() == "kv"


@frozen
class CachesBelow:
    """Prompts whose cache lies in tiers below the devices' memory, those of a replica's batch together.

    ``held``: the bytes of their cache in a replica, of ``prompts`` of so many tokens; ``computed_s``: the time of
    computing them, None where no prompt is read. [B, tokens, s]
    """

    tiers: tuple[Tier, ...]
    prompts: int
    tokens: int
    held: float
    computed_s: float | None

    @property
    def break_even(self) -> BreakEven | None:
        """Where loading them takes as long as computing them; None where no prompt is read."""
        if self.computed_s is None:
            return None
        return BreakEven(self.tokens, self.held / self.prompts, self.computed_s / self.prompts)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        told = [
            {**tier.to_dict(), "name": tier.name, "sequences": int(tier.bytes * self.prompts // self.held),
             "load_s": self.held / tier.read, "loads": self._loads(tier)}
            for tier in self.tiers
        ]  # fmt: skip
        even = self.break_even
        return {"tiers": told, "break_even": even.to_dict() if even else None}

    @property
    def words(self) -> list[str]:
        """A line for each tier, and the break-even bandwidth."""
        several = f"{self.prompts:,} prompts" if self.prompts > 1 else "a prompt"
        lines = []
        for tier in self.tiers:
            room = f"{int(tier.bytes * self.prompts // self.held):,} sequences of {self.tokens:,} tokens"
            time = format_quantity(self.held / tier.read, "time_s")
            line = f"KV tier {tier.words}: holds {room}; {several} loaded in {time}"
            if self.computed_s is not None:
                line += f", computed in {format_quantity(self.computed_s, 'time_s')}: "
                line += "loaded" if self._loads(tier) else "computed"
            lines.append(line)
        return [*lines, *([self.break_even.words] if self.break_even else [])]

    def _loads(self, tier: Tier) -> bool | None:
        return self.break_even.pays(tier) if self.break_even else None


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
