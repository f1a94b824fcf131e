"""Discrete events: requests arrive at a router, replicas end steps, and whichever comes first happens first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import TypeAlias

from roofline.program.workload import MAX_LENGTH
from roofline.simulation.arrivals import Arrivals
from roofline.simulation.ledger import Ledger
from roofline.simulation.pools import EncodeQueue
from roofline.simulation.scheduler import Replica

Router: TypeAlias = Callable[[Sequence[Replica], int], Replica]
"""Which replica a request goes to."""


def round_robin(replicas: Sequence[Replica], request: int) -> Replica:
    """One after the other, by the number of the request."""
    return replicas[request % len(replicas)]


def least_loaded(replicas: Sequence[Replica], request: int) -> Replica:
    """The one with the fewest requests in flight; of several, they take turns."""
    first = request % len(replicas)
    return min([*replicas[first:], *replicas[:first]], key=lambda replica: replica.in_flight)


def prefix_aware(replicas: Sequence[Replica], request: int) -> Replica:
    """The one that has cached most of the prompt, unless it is much fuller than the others; else the least loaded."""
    least = least_loaded(replicas, request)
    path, most = least.ledger.paths.get(request, ()), _SLACK + _UNEVEN * least.in_flight
    near = [replica for replica in replicas if replica.in_flight <= most]
    best = max(near, key=lambda replica: replica.prefixes.match(path, MAX_LENGTH))
    return best if best.prefixes.match(path, MAX_LENGTH) > least.prefixes.match(path, MAX_LENGTH) else least


_UNEVEN, _SLACK = 1.5, 8

ROUTERS: dict[str, Router] = {
    "round-robin": round_robin,
    "least-loaded": least_loaded,
    "prefix-aware": prefix_aware,
}


def run(
    ledger: Ledger, arrivals: Arrivals, replicas: Sequence[Replica], router: Router, decoding: Sequence[Replica] = (),
    *, encoders: EncodeQueue | None = None,
) -> None:  # fmt: skip
    """Have all requests served; what happens to them is written into the ledger.

    In disaggregated serving ``replicas`` read prompts, and the least loaded of those that are ``decoding`` goes on.
    Their numbers are those of their places among all. What requests show, ``encoders`` encode before they are routed.
    """
    everyone = [*replicas, *decoding]
    stepping = list(dict.fromkeys(replica.crew or replica for replica in everyone))
    coming = [(time, _ARRIVES, request) for time, request in arrivals.first()]
    heapq.heapify(coming)
    while True:
        soonest = min(stepping, key=lambda each: each.due)
        now = coming[0][0] if coming else inf
        if now <= soonest.due < inf or (coming and soonest.due == inf):
            for replica in _submitted(ledger, coming, everyone, lambda request: router(replicas, request), encoders):
                replica.wake(now)
        elif soonest.due < inf:
            now = soonest.due
            for request in soonest.advance():
                if isinstance(soonest, Replica) and request in soonest.sent:
                    ready = least_loaded(decoding, request).take_over(request, soonest, now)
                    heapq.heappush(coming, (ready, _ENTERS, request))
                elif (following := arrivals.after(request, now)) is not None:
                    heapq.heappush(coming, (following[0], _ARRIVES, following[1]))
        else:
            return


def _submitted(
    ledger: Ledger, coming: list[_Coming], replicas: Sequence[Replica], routed: Callable[[int], Replica],
    encoders: EncodeQueue | None,
) -> Iterable[Replica]:  # fmt: skip
    """Encode and route what arrives now, submit what front ends let out; the replicas that have more to look at."""
    now, woken = coming[0][0], {}
    while coming and coming[0][0] == now:
        _, stage, request = heapq.heappop(coming)
        if stage == _ARRIVES:
            ledger.arrived[request] = now
            if encoders is not None:
                heapq.heappush(coming, (encoders.encode(now), _ENCODED, request))
                continue
        if stage != _ENTERS:
            ready = routed(request).receive(request, now)
            heapq.heappush(coming, (ready, _ENTERS, request))
            continue
        replica = replicas[ledger.replica[request]]
        replica.submit(request, now)
        woken[replica.number] = replica
    return woken.values()


_ARRIVES, _ENCODED, _ENTERS = range(3)
"""A request arrives, has left the pool that encodes, comes out of a front end."""

_Coming: TypeAlias = tuple[float, int, int]
"""When, which of these, and which request. [s]"""
