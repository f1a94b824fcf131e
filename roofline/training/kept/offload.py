"""Optimizer offload: states and master copies in the host's memory, streamed through the device or updated by the CPU.

Streamed, a device reads the states of its part over the host link, updates, and writes them back, both ways at once, as
paged optimizers do. Updated by the CPU, gradients go down, the host's memory moves what an update moves, weights come
back.

Sources: ZeRO-Offload, Ren et al. 2021 (arXiv 2101.06840), section 4; QLoRA, Dettmers et al. 2023 (arXiv 2305.14314),
section 3, paged optimizers.
"""

from __future__ import annotations

from collections.abc import Mapping

from roofline.classes import frozen
from roofline.errors import UnitError, UsageError, shown
from roofline.hardware.fields import HostLink, Link
from roofline.hardware.spec import HardwareSpec
from roofline.number import Number, maximum
from roofline.timing.timing import Timing
from roofline.units import parse_quantity

_EXPECTED = "expected optimizer or optimizer-cpu, with a size for each device and rates: optimizer=200GB@55GB/s"
_WORDS = ("optimizer", "optimizer-cpu")

_CPU_BAND = 2.0
"""How many times as long an update by the CPU may take as its memory allows: assumed."""


@frozen
class HostMemory:
    """The host's memory of one device: its size [B], the rate of the link each way, and, where the CPU updates, that of
    the memory itself [B/s].
    """

    bytes: float
    link: float
    memory: float | None = None

    @property
    def words(self) -> str:
        """Who updates, for people."""
        return "updated by the CPU" if self.memory else "streamed through the device"

    def update(self, on_device: Timing, states: Number, gradients: Number, weights: Number, moved: Number) -> Timing:
        """The time of an update: ``on_device`` of one whose states were there, bytes of states, gradients and weights
        of a device, and what an update moves. [s, B]
        """
        if self.memory is None:
            sent = states / self.link
            longer = maximum(sent, on_device.time_s)
            high = sent + on_device.high_s
            return Timing(longer, maximum(sent, on_device.bound_s), maximum(sent, on_device.low_s), high, link_s=longer)
        sent, worked = (gradients + weights) / self.link, moved / self.memory
        least = maximum(sent, worked)
        return Timing(sent + worked, least, least, sent + _CPU_BAND * worked, memory_s=worked, link_s=sent)


def read_offload(text: str | None, device: HardwareSpec, links: Mapping[str, Link]) -> HostMemory | None:
    """What ``--offload`` asks for of devices whose system states ``links``; None where nothing is.

    Raises UsageError for another word, and where the host's memory, the link's rate or the memory's is not known.
    """
    if text is None:
        return None
    word, given, amounts = str(text).partition("=")
    size, _, rates = amounts.partition("@")
    if word not in _WORDS or (given and not size):
        msg = f"offload {shown(str(text))}: {_EXPECTED}"
        raise UsageError(msg)
    link, _, memory = rates.partition(":")
    try:
        whole = parse_quantity(size, "bytes") if size else _stated_size(device)
        rate = parse_quantity(link, "bytes_per_s") if link else _stated_link(device, links)
        own = (
            (parse_quantity(memory, "bytes_per_s") if memory else _stated_rate(device)) if word != "optimizer" else None
        )
    except UnitError as failure:
        msg = f"offload {shown(str(text))}: {failure}"
        raise UsageError(msg) from None
    if not (whole > 0 and rate > 0 and (own is None or own > 0)) or (memory and own is None):
        msg = f"offload {shown(str(text))}: a size and rates above 0; {_EXPECTED}"
        raise UsageError(msg)
    return HostMemory(whole, rate, own)


def _stated_size(device: HardwareSpec) -> float:
    level = device.host_memory
    if level is None or not level.capacity:
        msg = f"offload: {device.name} states no host_memory; give its size for each device, such as optimizer=200GB"
        raise UsageError(msg)
    return float(level.capacity)


def _stated_link(device: HardwareSpec, links: Mapping[str, Link]) -> float:
    link = HostLink.of(links.get("host")) or device.host_link
    if link is None:
        msg = f"offload: {device.name} states no host link; give its rate, such as optimizer=200GB@55GB/s"
        raise UsageError(msg)
    return link.bandwidth


def _stated_rate(device: HardwareSpec) -> float:
    level = device.host_memory
    if level is None or not level.bandwidth:
        msg = (
            f"offload: {device.name} states no bandwidth of host_memory; give it for each device behind the link's: "
            "optimizer-cpu=200GB@55GB/s:75GB/s"
        )
        raise UsageError(msg)
    return float(level.bandwidth)
