"""What is simulated: replicas of a layout behind a router, the clock of one, and the room for its cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from roofline.classes import frozen
from roofline.errors import UsageError, WorkloadError
from roofline.errors import shown as told
from roofline.hardware.cache_tiers import Tier, read_tiers
from roofline.hardware.reservation import Reserve, read_reserve
from roofline.hardware.spec import HardwareSpec
from roofline.options import groups
from roofline.options.groups import Degrees, Loaded
from roofline.options.keywords import part
from roofline.options.verbs.predicting import StepClockOptions
from roofline.options.verbs.serving import SimulateOptions
from roofline.parallelism.dimensions import devices_of, given_degrees
from roofline.prediction.fleet import names_several
from roofline.prediction.request import Hardware, Request
from roofline.prediction.shown import shown_by
from roofline.program.traffic.lengths import NOTHING, Shown
from roofline.serving.batch_sweep import MOST
from roofline.serving.curve import groups_of
from roofline.serving.pools.encode_pool import EncodePool, encoding_s
from roofline.serving.replica_layouts import replica_layouts
from roofline.serving.scenario import KEPT
from roofline.serving.speculation import Speculation, read_speculation
from roofline.serving.step_clock import AnyModel, Line, StepClock
from roofline.simulation.cache import CacheRoom
from roofline.simulation.ledger import Ledger
from roofline.simulation.lockstep.ranks import Ranks
from roofline.simulation.pools import Transfers
from roofline.simulation.prefix_cache import PrefixCache
from roofline.simulation.scheduler import Replica
from roofline.simulation.speculating import DraftedClock, Guesses, drafting
from roofline.simulation.tiers import Channel, Shelf

_WHOLE = ("prefill_on", "encode_on", "speculate", "offload")
"""What neither stages of a pipeline nor ranks that share experts are simulated with."""


@frozen(eq=False)
class Deployment:
    """So many replicas, each with this clock, this room for its cache and at most so many sequences at once.

    Of pipeline stages these are of each of the groups of sequences, which follow each other on a ``line``; of
    data-parallel ranks that share experts, of each rank.

    Below that room each has ``tiers`` that keep caches. In disaggregated serving these replicas decode what those of
    ``prefill`` have read, and ``transfers`` are the times of the hand-over. What each request has ``shown``, the pool
    ``encoding`` encodes; without one those that read prompts do.
    """

    clock: StepClock
    replicas: int
    room: CacheRoom
    most: int
    reserve: Reserve
    tiers: tuple[Tier, ...] = ()
    prefill: Deployment | None = None
    transfers: Transfers | None = None
    speculation: Speculation | None = None
    draft: StepClock | None = None
    shown: Shown = NOTHING
    encoding: EncodePool | None = None
    line: Line | None = None

    @property
    def schedulers(self) -> int:
        """What is scheduled apart: replicas, the groups of sequences of their stages, or their ranks."""
        return self.replicas * groups_of(self.clock.replica.layout)

    @property
    def devices(self) -> int:
        """Devices of all replicas of all pools."""
        return sum(pool.own_devices for pool in self.pools) + (self.encoding.devices if self.encoding else 0)

    @property
    def seen(self) -> Shown:
        """What each request shows, whatever encodes it."""
        return self.encoding.shown if self.encoding else self.pools[0].shown

    @property
    def own_devices(self) -> int:
        """Devices of this pool alone."""
        return self.replicas * int(self.clock.replica.layout.devices)

    @property
    def pools(self) -> tuple[Deployment, ...]:
        """What reads prompts, then what decodes; one that does both."""
        return (self.prefill, self) if self.prefill else (self,)

    def at_work(self, ledger: Ledger, hits: float, paces: Sequence[float], seed: int) -> tuple[list[Replica], ...]:
        """Idle replicas of each pool that serve the requests of a ledger, each step at its ``paces`` times its time.

        What is accepted of proposed tokens comes from the ``seed``.
        """
        found: list[list[Replica]] = []
        for pool, pace in zip(self.pools, paces, strict=True):
            found.append(pool._idle(ledger, hits, pace, seed, len(found[0]) if found else 0))
        own = encoding_s(self.pools[0].clock.replica, self.shown) if self.encoding is None else 0.0
        for replica in found[0]:
            replica.hands_over = self.prefill is not None
            replica.encode_s = own
        return tuple(found)

    def _idle(self, ledger: Ledger, hits: float, pace: float, seed: int, before: int) -> list[Replica]:
        """The replicas of this pool, ``before`` which others have numbers."""
        tiers = [tier.part_of(int(self.clock.replica.layout.devices)) for tier in self.tiers]
        clock = self.paced
        shared = {tier.name: Shelf(tier, PrefixCache(self.room)) for tier in tiers if tier.shared}
        lines = [self.line.anew() if self.line else None for _ in range(self.replicas)]
        found = [
            Replica(before + number, clock, self.room, ledger, self.most, hits, pace,
                    [Channel(shared.get(tier.name) or Shelf(tier, PrefixCache(self.room))) for tier in tiers],
                    transfers=self.transfers, guesses=self._guesses(seed, before + number),
                    line=lines[number % self.replicas])
            for number in range(self.schedulers)
        ]  # fmt: skip
        if self.clock.replica.layout.dp > 1:
            for first in range(self.replicas):
                members = found[first :: self.replicas]
                crew = Ranks(self.clock, members, pace)
                for rank in members:
                    rank.crew = crew
        return found

    @property
    def paced(self) -> StepClock | DraftedClock:
        """The clock of its steps, with what is checked of each sequence and the draft that proposes it."""
        if self.speculation is None:
            return self.clock
        return DraftedClock(self.clock.checking(self.checked), self.speculation.tokens, self.draft)

    @property
    def checked(self) -> int:
        """Tokens of a sequence that a decode step runs."""
        return 1 + self.speculation.tokens if self.speculation else 1

    def _guesses(self, seed: int, number: int) -> Guesses | None:
        """What is accepted on a replica; None where nothing is proposed."""
        if self.speculation is None:
            return None
        return Guesses(np.array(self.speculation.accepted), np.random.default_rng((seed, 2, number)))

    @property
    def words(self) -> str:
        """What serves, in a few words."""
        if self.encoding:
            rest = replace(self, encoding=None).words
            return f"{rest if self.prefill else f'pools: {rest}'}, {self.encoding.words} to encode"
        if self.prefill:
            return f"pools: {self.prefill.words} to prefill, {replace(self, prefill=None).words} to decode"
        device, each = self.clock.request.device, str(self.clock.replica.layout)
        many = f"{self.replicas} replicas, {each} each" if self.replicas > 1 else each
        return f"{self.own_devices} x {device.name}, {many}" if self.own_devices > 1 else device.name


def deployed(
    request: Request, model: AnyModel, hardware: Hardware, longest: int, options: SimulateOptions, degrees: Degrees
) -> Deployment:
    """Replicas of these degrees. Raises RooflineError for what no clock is of."""
    if request.device.dataflow:
        msg = f"{request.device.name} launches no kernels, and no timings of a dataflow chip are at hand"
        raise WorkloadError(msg)
    asked: StepClockOptions = {**part(StepClockOptions, options), **degrees}
    clock, replicas = clock_of(model, hardware, asked)
    shown = shown_by(request.model, options) if options["encode_on"] is None else NOTHING
    found = deployment_of(clock, replicas, longest, options, options["offload"], shown)
    return speculating(found, read_speculation(options, request.model), hardware, asked)


def clock_of(model: AnyModel, hardware: Hardware, asked: StepClockOptions) -> tuple[StepClock, int]:
    """The clock of a replica of these degrees, in stages or of ranks that share experts too; and how many there are.

    Raises RooflineError for what no clock is of.
    """
    if (asked["pp"] or 1) > 1:
        return StepClock.of_stages(model, hardware, **asked), asked["dp"] or 1
    ranks = max(1, (asked["ep"] or 1) // (asked["tp"] or 1))
    if ranks == 1:
        return StepClock(model, hardware, **asked), asked["dp"] or 1
    return StepClock.of_ranks(model, hardware, **asked), max(1, (asked["dp"] or 1) // ranks)


def deploy(request: Request, model: AnyModel, hardware: Hardware, longest: int, options: SimulateOptions) -> Deployment:
    """Replicas of the fewest devices whose memory holds a request of ``longest`` tokens.

    Raises WorkloadError where none does.
    """
    found = None
    for degrees in open_degrees(request, options).values():
        found = deployed(request, model, hardware, longest, options, degrees)
        if found.room.holds(longest):
            return found
    assert found is not None, "one device is a layout"
    found.room.check(longest)
    return found


def speculating(
    found: Deployment, asked: Speculation | None, hardware: Hardware, options: StepClockOptions
) -> Deployment:
    """With speculative decoding; a draft takes room and time on all devices, a head as its network's layout has it."""
    if asked is None:
        return found
    _check_whole(found.clock, "speculate")
    request, draft = found.clock.request, None
    if asked.draft is not None:
        draft = drafting(asked.draft, hardware, options, request.fleet.count, request.recipe.name)
    room = found.room.with_draft(draft.replica) if draft else found.room
    return replace(found, speculation=asked, draft=draft, room=room)


def _check_whole(clock: StepClock, what: str) -> None:
    """Raises UsageError for stages, and for ranks that share experts, which are not simulated with it."""
    layout = clock.replica.layout
    if groups_of(layout) > 1:
        which = "stages" if layout.pp > 1 else "ranks that share experts"
        msg = f"layout {layout}: {which} are not simulated with {what}; leave one of them out"
        raise UsageError(msg)


def one_pool(given: Loaded | Sequence[str | Loaded] | None, flag: str = "prefill_on") -> Hardware:
    """The one hardware that prefills, or does what ``flag`` says. Raises UsageError for several."""
    if names_several(given) or not isinstance(given, str | HardwareSpec):
        msg = f"{flag} {told(str(given))}: one pool {flag.removesuffix('_on')}s; expected one name, such as 4xh100"
        raise UsageError(msg)
    return given


def disaggregated(prefill: Deployment, decode: Deployment, longest: int) -> Deployment:
    """Pools: what reads prompts up to the ``longest``, and what decodes them; tiers are those of the first.

    Raises WorkloadError where no link hands caches over, or where they are not alike.
    """
    for pool in (prefill, decode):
        _check_whole(pool.clock, "a hand-over between pools")
    sender, receiver = ((pool.clock.request, pool.clock.replica) for pool in (prefill, decode))
    transfers = Transfers.of(sender, receiver, decode.room, prefill.devices + decode.devices, longest)
    return replace(decode, tiers=(), prefill=prefill, transfers=transfers)


def open_degrees(request: Request, options: SimulateOptions, *, several: bool = False) -> dict[str, Degrees]:
    """The degrees of a replica that the options leave open, and how many the devices make, by its layout in words.

    The fewest devices first; one where they fix it. ``several``: stages, and ranks that share experts, are among them.
    ``request`` is what is asked of the hardware in any of them. Raises UsageError for stages or ranks beside what is
    not simulated with them.
    """
    given, fleet = given_degrees(part(StepClockOptions, options)), request.fleet
    stages, asked = given.get("pp", 1), dict[str, Any](options)
    own = {flag: degree for flag, degree in given.items() if flag not in ("pp", "dp")}
    if own.get("ep", 1) > 1:
        alone = own["ep"] if "dp" not in given else max(1, fleet.count // given["dp"] // stages)
        own.setdefault("tp", alone)
    ranks = own.get("ep", 1) // own.get("tp", 1)
    apart = next((name for name in _WHOLE if asked[name] is not None), "")
    if apart and (stages > 1 or ranks > 1):
        which = f"pp {stages}: stages" if stages > 1 else f"ep {own['ep']}: ranks that share experts"
        msg = f"{which} are not simulated with {apart}; leave one of them out"
        raise UsageError(msg)
    if own or "dp" in given or stages > 1 or not fleet.counted:
        own = own or {"tp": max(1, fleet.count // given.get("dp", 1) // stages)}
        replicas = max(1, fleet.count // (int(devices_of(own)) * stages))
        return {"": part(Degrees, {**own, "pp": stages, "dp": given.get("dp", replicas)})}
    return {
        str(layout): part(Degrees, {**layout.to_dict(), "dp": fleet.count // int(layout.devices) * int(layout.dp)})
        for layout in replica_layouts(request.program, fleet.count)
        if layout.dp == layout.pp == 1 or (several and not apart and 1 in (layout.dp, layout.pp))
    }


def deployment_of(
    clock: StepClock, replicas: int, longest: int, options: groups.Reserve, offload: str | None = None,
    shown: Shown = NOTHING,
) -> Deployment:  # fmt: skip
    """So many replicas with this clock, which encode what requests have ``shown``; what is reserved is asked for by
    options.
    """
    if offload is not None:
        _check_whole(clock, "offload")
    request, steps = clock.request, clock.replica
    most = request.engine.most_sequences or MOST
    reserve = read_reserve(options, request.engine, otherwise=KEPT)
    capacity = request.device.capacity
    memory = inf if capacity is None else reserve.room(capacity)
    tiers = read_tiers(offload, request.device, request.fleet.links, int(steps.layout.devices))
    if (stages := int(steps.layout.pp)) == 1:
        room = CacheRoom.of(steps, memory, longest, most, shown)
        return Deployment(clock, replicas, room, most, reserve, tiers, shown=shown)
    if shown.phases:
        msg = f"layout {steps.layout}: stages are not simulated with what a tower encodes; leave one of them out"
        raise UsageError(msg)
    most = max(1, most // stages)
    room = CacheRoom.of_stages(steps, memory, longest, most)
    return Deployment(clock, replicas, room, most, reserve, tiers, line=Line.of(clock))
