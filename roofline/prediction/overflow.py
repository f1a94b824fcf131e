"""What fits a device, and what to do where it does not: more devices, or weights in the host's memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from roofline.classes import frozen
from roofline.compression.recipes import NARROWER_BLOCKS
from roofline.cost.memory_fit import MemoryFit
from roofline.errors import UsageError, WorkloadError
from roofline.parallelism.divisibility import check_layout
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import fit_layout, fullest_stage
from roofline.parallelism.sharding import shard
from roofline.prediction.request import Request, most_tokens, stored_as
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.timing.dtype_support import narrower_recipes

LARGEST_CLUSTER = 1024
"""The most devices that are looked at for what one does not hold."""


@frozen
class Offload:
    """Weights in the host's memory, read over its link in every step. [B, B/s, s]

    A forward pass takes ``transfer_s`` at least, where it hides all other work, and both times at most.
    """

    bytes: int
    link: str
    bandwidth: float

    @property
    def transfer_s(self) -> float:
        """The time of one forward pass's transfer. [s]"""
        return self.bytes / self.bandwidth

    def step_s(self, time_s: float, passes: int = 1) -> tuple[float, float]:
        """A step that takes ``time_s`` by itself: behind the transfers or beside them, and after them. [s]

        >>> Offload(63_000_000_000, "PCIe", 63e9).step_s(0.5)
        (1.0, 1.5)
        """
        moved = passes * self.transfer_s
        return max(moved, time_s), moved + time_s


@frozen
class Overflow:
    """What holds a model that is too large: the fewest devices, a narrower recipe, or weights in the host's memory.

    ``layout`` is None where no number of devices holds it, else ``fit`` is what is on each of them. ``narrower`` is the
    first recipe in which it fits where it is, with what it then takes. ``chunked_bytes``: what is on each device where
    prompts are read in pieces of ``chunk`` tokens (chunked prefill), None where they are as short as one. ``offload``
    is None where that does not help, else ``steps_s`` has the least and the most that a step of each phase then takes.
    [s]
    """

    layout: Layout | None
    fit: MemoryFit | None
    narrower: tuple[str, MemoryFit] | None
    chunked_bytes: int | None
    chunk: int | None
    offload: Offload | None
    steps_s: Mapping[Phase, tuple[float, float]]

    def to_dict(self) -> dict[str, Any]:
        """The overflow as the JSON of ``predict`` has it."""
        devices = host = None
        if self.layout is not None and self.fit is not None:
            layout = self.layout
            devices = {"count": int(layout.devices), "layout": str(layout), "bytes": self.fit.total_bytes}
        if self.offload is not None:
            moved = {"link": self.offload.link, "bandwidth_bytes_per_s": self.offload.bandwidth}
            steps = {phase: list(ends) for phase, ends in self.steps_s.items()}
            host = {"bytes": self.offload.bytes, **moved, "steps_s": steps}
        narrower = {"name": self.narrower[0], "bytes": self.narrower[1].total_bytes} if self.narrower else None
        return {"devices": devices, "dtype": narrower, "chunked_prefill_bytes": self.chunked_bytes, "offload": host}


def find_overflow(request: Request, on: Layout, fit: MemoryFit, times_s: Mapping[Phase, float]) -> Overflow:
    """What holds ``request``, whose ``fit`` is too large for the devices that it is ``on``.

    The steps of one device take ``times_s`` by themselves, to which the host's memory adds its transfers.
    """
    layout, spread = needed_layout(request) or (None, None)
    moved = offload(request, fit) if on.devices == 1 else None
    own = request.workload
    passes = {phase: int(own.passes(phase, own.batch)) for phase in times_s}
    steps = {phase: moved.step_s(time, passes[phase]) for phase, time in times_s.items()} if moved else {}
    return Overflow(
        layout, spread, _narrower(request, on), chunked_bytes(request, on), request.engine.mixed_tokens, moved, steps
    )


def chunked_bytes(request: Request, on: Layout) -> int | None:
    """What resides on a device of the fullest stage under the chunked prefill that serving would have.

    None without a prefill of more tokens than its step takes, and where the engine says already how it reads prompts.
    """
    whole, most = request.workload, request.engine.mixed_tokens
    read = whole.batch // int(on.dp) * whole.first
    if Phase.PREFILL not in request.phases or whole.chunk is not None or most is None or read <= most:
        return None
    chunked = replace(request, workload=replace(whole, chunk=most))
    program = shard(request.program, on) if on.devices > 1 else request.program
    return resident_bytes(chunked, on, program) + request.reserved


def _narrower(request: Request, on: Layout) -> tuple[str, MemoryFit] | None:
    """The first narrower recipe that the engine loads, the device computes in and that fits; what it then takes."""
    scaled = "safetensors" in request.engine.loads
    for word in narrower_recipes(request.recipe, request.device) if scaled else NARROWER_BLOCKS:
        try:
            stored = stored_as(request, word)
            fit = fit_request(stored, on, shard(stored.program, on) if on.devices > 1 else stored.program)
        except (UsageError, WorkloadError):
            continue
        if fit.fits:
            return word, fit
    return None


def fit_request(request: Request, layout: Layout, program: Program) -> MemoryFit:
    """What resides on a device of the fullest stage of a sharded program, beside what the runtime keeps for itself."""
    capacity, room = request.device.capacity, request.room_bytes
    most = most_tokens(request.model, request.workload)
    fit = fit_layout(program, layout, request.workload, request.phases, request.precision, room, most)
    return replace(fit, capacity_bytes=None if capacity is None else int(capacity), overhead_bytes=request.reserved)


def resident_bytes(request: Request, layout: Layout, program: Program) -> int:
    """What resides on a device of the fullest stage of a sharded program. [B]"""
    return fullest_stage(program, layout, request.workload, request.phases, request.precision).total_bytes


def needed_layout(request: Request) -> tuple[Layout, MemoryFit] | None:
    """The fewest devices that hold what one does not: tensor parallel up to a link's domain, pipelines beyond.

    None where no such layout holds it.
    """
    for layout in _layouts(request):
        try:
            check_layout(layout, request.program, request.phases, request.workload, request.model.name)
            fit = fit_request(request, layout, shard(request.program, layout))
        except WorkloadError:
            continue
        if fit.fits:
            return layout, fit
    return None


def _layouts(request: Request) -> Iterator[Layout]:
    """Layouts by how many devices they take, tensor parallelism before pipelines."""
    link = request.device.links.get("scale_up")
    domain = min(link.domain or 8, 8) if link else 8
    sizes = [2**power for power in range(1, LARGEST_CLUSTER.bit_length())]
    for devices in sizes:
        for tp in (size for size in (1, *sizes) if size <= min(devices, domain)):
            if tp == min(devices, domain):
                yield Layout.of(tp=tp, pp=devices // tp)


def offload(request: Request, fit: MemoryFit) -> Offload | None:
    """The weights that are too many, in the host's memory; None without a host link, or where that does not help."""
    link = request.device.host_link
    if link is None or fit.capacity_bytes is None:
        return None
    excess = fit.total_bytes - fit.capacity_bytes
    if not 0 < excess <= fit.footprint.weights_bytes:
        return None
    return Offload(excess, link.name, link.bandwidth)
