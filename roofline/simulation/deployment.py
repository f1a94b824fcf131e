"""What is simulated: replicas of a layout behind a router, the clock of one, and the room for its cache."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError
from roofline.hardware.reservation import Reserve, read_reserve
from roofline.options import groups
from roofline.options.groups import Degrees
from roofline.options.keywords import part
from roofline.options.verbs import SimulateOptions, StepClockOptions
from roofline.parallelism.dimensions import devices_of, given_degrees
from roofline.prediction.request import Hardware, Request
from roofline.serving.batch_sweep import MOST
from roofline.serving.replica_layouts import replica_layouts
from roofline.serving.scenario import KEPT
from roofline.serving.step_clock import AnyModel, StepClock
from roofline.simulation.cache import CacheRoom
from roofline.simulation.ledger import Ledger
from roofline.simulation.prefix_cache import PrefixCache
from roofline.simulation.scheduler import Replica
from roofline.simulation.tiers import Channel, Shelf, Tier, read_tiers


@frozen(eq=False)
class Deployment:
    """So many replicas, each with this clock, this room for its cache and at most so many sequences at once.

    Below that room each has ``tiers`` that keep caches.
    """

    clock: StepClock
    replicas: int
    room: CacheRoom
    most: int
    reserve: Reserve
    tiers: tuple[Tier, ...] = ()

    @property
    def devices(self) -> int:
        """Devices of all replicas."""
        return self.replicas * int(self.clock.replica.layout.devices)

    def at_work(self, ledger: Ledger, hits: float, pace: float = 1.0) -> list[Replica]:
        """Idle replicas that serve the requests of a ledger, each step at ``pace`` times its time."""
        tiers = [tier.part_of(int(self.clock.replica.layout.devices)) for tier in self.tiers]
        shared = {tier.name: Shelf(tier, PrefixCache(self.room)) for tier in tiers if tier.shared}
        return [
            Replica(number, self.clock, self.room, ledger, self.most, hits, pace,
                    [Channel(shared.get(tier.name) or Shelf(tier, PrefixCache(self.room))) for tier in tiers])
            for number in range(self.replicas)
        ]  # fmt: skip

    @property
    def words(self) -> str:
        """What serves, in a few words."""
        device, each = self.clock.request.device, str(self.clock.replica.layout)
        many = f"{self.replicas} replicas, {each} each" if self.replicas > 1 else each
        return f"{self.devices} x {device.name}, {many}" if self.devices > 1 else device.name


def deployments(
    request: Request, model: AnyModel, hardware: Hardware, longest: int, options: SimulateOptions
) -> Iterator[Deployment]:
    """The layouts of a replica that the options leave open, the fewest devices first; one where they fix it.

    ``request`` is what is asked of the hardware in any of them.

    Raises RooflineError for what no clock is of.
    """
    asked = part(StepClockOptions, options)
    if request.device.dataflow:
        msg = f"{request.device.name} launches no kernels, and no timings of a dataflow chip are at hand"
        raise WorkloadError(msg)
    for degrees in _degrees(request, asked):
        each: StepClockOptions = {**asked, **degrees}
        clock, replicas = StepClock(model, hardware, **each), degrees["dp"] or 1
        yield deployment_of(clock, replicas, longest, options, options["offload"])


def deploy(request: Request, model: AnyModel, hardware: Hardware, longest: int, options: SimulateOptions) -> Deployment:
    """Replicas of the fewest devices whose memory holds a request of ``longest`` tokens.

    Raises WorkloadError where none does.
    """
    found = None
    for found in deployments(request, model, hardware, longest, options):
        if found.room.holds(longest):
            return found
    assert found is not None, "one device is a layout"
    found.room.check(longest)
    return found


def _degrees(request: Request, asked: StepClockOptions) -> Iterator[Degrees]:
    """Degrees of a replica, and how many replicas the devices make."""
    given, fleet = given_degrees(asked), request.fleet
    if given.get("pp", 1) > 1:
        msg = f"pp {given['pp']}: pipelines are not simulated; give tp, ep, cp or dp"
        raise UsageError(msg)
    own = {flag: degree for flag, degree in given.items() if flag not in ("pp", "dp")}
    if own.get("ep", 1) > 1:
        own.setdefault("tp", own["ep"])
    if own or "dp" in given or not fleet.counted:
        own = own or {"tp": max(1, fleet.count // given.get("dp", 1))}
        replicas = max(1, fleet.count // int(devices_of(own)))
        yield part(Degrees, {**own, "pp": 1, "dp": given.get("dp", replicas)})
        return
    for layout in replica_layouts(request.program, fleet.count):
        if layout.ep == 1:
            yield part(Degrees, {**layout.to_dict(), "dp": fleet.count // int(layout.devices)})


def deployment_of(
    clock: StepClock, replicas: int, longest: int, options: groups.Reserve, offload: str | None = None
) -> Deployment:
    """So many replicas with this clock; what is reserved is asked for by options."""
    request, steps = clock.request, clock.replica
    most = request.engine.most_sequences or MOST
    reserve = read_reserve(options, request.engine, otherwise=KEPT)
    capacity = request.device.capacity
    memory = inf if capacity is None else reserve.room(capacity)
    tiers = read_tiers(offload, request, int(steps.layout.devices))
    return Deployment(clock, replicas, CacheRoom.of(steps, memory, longest, most), most, reserve, tiers)
