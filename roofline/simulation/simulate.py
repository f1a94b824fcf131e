"""Serving simulated in discrete events: :func:`simulate`, percentiles of what requests wait under a load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Unpack

import numpy as np

from roofline.errors import UsageError, WorkloadError
from roofline.hardware.cache_tiers import BreakEven
from roofline.number import Grid
from roofline.options.keywords import part, takes
from roofline.options.verbs.predicting import RequestOptions, StepClockOptions
from roofline.options.verbs.serving import SimulateOptions
from roofline.prediction.predict import engine_in_json
from roofline.prediction.request import Hardware, read_request
from roofline.prediction.shown import shown_by
from roofline.program.phases import Phase
from roofline.program.traffic.lengths import Shown
from roofline.program.traffic.traces import Path
from roofline.serving.chunked_prefill import Stream, mixed_step_costs
from roofline.serving.kv_cache_transfer import End
from roofline.serving.operating_points import Targets
from roofline.serving.pools.encode_pool import EncodePool, band_of, encoding_of
from roofline.serving.replica_layouts import ONE
from roofline.serving.speculation import RESTORED, keeps_states
from roofline.serving.step_clock import AnyModel
from roofline.simulation.arrivals import Arrivals
from roofline.simulation.deployment import Deployment, deploy, disaggregated, one_pool
from roofline.simulation.events import ROUTERS, round_robin, run
from roofline.simulation.job import JobCost
from roofline.simulation.layouts import choose
from roofline.simulation.ledger import Ledger
from roofline.simulation.load import Offered
from roofline.simulation.pools import encode_queue
from roofline.simulation.statistics import Outcome, counted_of, outcome
from roofline.simulation.workload import Workload, read_workload
from roofline.timing.engine_choice import caution
from roofline.version import versions

_AS_EXPECTED = (1.0, 1.0, 1.0)
_PARTS, _PER_LOAD = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05, 1.2), 1500
_FULL, _LEAST_FULL, _MOST_FULL = 8, 400, 8192  # so many times the sequences in flight tell what a full replica serves


@dataclass(frozen=True, eq=False)
class Simulation:
    """What requests waited: ``ledger`` has them one by one, ``outcome`` their percentiles, as expected.

    ``why``: why the replicas have their layout, where nobody asked for it.
    What else a report shows is simulated when it is asked for.
    """

    deployment: Deployment
    workload: Workload
    asked: Offered
    targets: Targets
    ledger: Ledger
    outcome: Outcome
    cost: JobCost | None = None
    why: str = ""

    @property
    def counted(self) -> Ledger:
        """The requests whose times count."""
        return counted_of(self.ledger, warm=self.asked.steady)

    @cached_property
    def fast(self) -> Outcome:
        """The same requests with every step at the fast end of its band."""
        return self._at_paces([low for low, _ in self._band])

    @cached_property
    def slow(self) -> Outcome:
        """The same requests with every step at the slow end of its band."""
        return self._at_paces([high for _, high in self._band])

    @cached_property
    def saturation(self) -> float | None:
        """Requests per second that are served while some always wait: from a quarter to three quarters of many.

        Those of the whole run where one step ends all of these, as of requests that share all their prompts. None for
        sessions, whose turns never all wait.
        """
        d, own = self.deployment, self.ledger
        if self.workload.follows.any():
            return None
        slots = min(d.most, d.room.sequences(int((own.prompt + own.generate).mean()) - 1))
        many = min(_MOST_FULL, max(_LEAST_FULL, _FULL * slots)) * d.schedulers
        full = Ledger.of(np.resize(own.prompt, many), np.resize(own.generate, many), self._shared(many))
        first, *then = d.at_work(full, self.workload.hits, _AS_EXPECTED[: len(d.pools)], self.asked.seed)
        encoders = encode_queue(d.encoding, 1.0) if d.encoding else None
        run(full, Arrivals.at(np.zeros(many)), first, round_robin, *then, encoders=encoders)
        ended = np.sort(full.finished)
        start, end = many // 4, 3 * many // 4
        if ended[end] == ended[start]:
            return float(many / ended[-1])
        return float((end - start) / (ended[end] - ended[start]))

    @cached_property
    def curve(self) -> list[tuple[float, Outcome]]:
        """Requests per second at parts of the saturation, and what the first requests meet under them.

        Empty where no rate was asked for, or none saturates.
        """
        if self.load is None or self.saturation is None:
            return []
        some, found = self.workload.some(_PER_LOAD), []
        for load in (share * self.saturation for share in _PARTS):
            asked = replace(self.asked, per_second=load)
            found.append((load, serve(self.deployment, some, some.ledger(), asked, self.targets)))
        return found

    @cached_property
    def break_even(self) -> BreakEven | None:
        """Where loading a prompt of mean length takes as long as computing it; None without tiers."""
        d, tokens = self.deployment.pools[0], round(float(self.ledger.prompt.mean()))
        if not d.tiers:
            return None
        whole: Grid = np.array([float(tokens)])
        held = float(d.room.of_tokens(tokens)) * int(d.clock.replica.layout.devices)
        return BreakEven(tokens, held, d.paced.seconds(whole, whole))

    def _shared(self, many: int) -> dict[int, Path]:
        """The paths of requests that are repeated up to so many."""
        paths, count = self.ledger.paths, len(self.ledger)
        return {request: paths[request % count] for request in range(many) if request % count in paths}

    def paced(self, end: int) -> Ledger:
        """The same requests with every step at the fast end of its band, 0, or at the slow one, 1."""
        ledger = self.ledger.anew()
        paces = [ends[end] for ends in self._band]
        serve(self.deployment, self.workload, ledger, self.asked, self.targets, paces)
        return ledger

    def _at_paces(self, paces: Sequence[float]) -> Outcome:
        return serve(self.deployment, self.workload, self.ledger.anew(), self.asked, self.targets, paces)

    @cached_property
    def _band(self) -> list[tuple[float, float]]:
        """The ends of the band of the mean step of each pool, as factors of its time; what encodes last."""
        own, pools, many = self.ledger, self.deployment.pools, self.outcome.requests
        weights = np.maximum(own.generate - 1.0, 1e-9)
        lengths: Grid = np.array([np.average(own.prompt + own.generate / 2, weights=weights)])
        new, whole = np.array([(own.prompt - own.cached).mean()]), np.array([own.prompt.mean()])
        found = []
        for number, (pool, used) in enumerate(zip(pools, self.outcome.pools, strict=True)):
            ranks = int(pool.clock.replica.layout.dp)
            beside = max(1.0, used.sequences / ranks / max(used.busy, 1e-9))
            streams = []
            if number == len(pools) - 1:
                more = pool.checked - 1
                streams.append(Stream(Phase.DECODE, beside, np.ones(1), np.ones(1) + more, lengths + more, 1 + more))
            if number == 0:
                streams.append(Stream(Phase.PREFILL, many / used.steps, np.ones(1), new, whole))
            steps = pool.clock.replica
            costs = mixed_step_costs(steps.program, streams, steps.precision, steps.engine)
            if number == 0 and self.deployment.encoding is None:
                encode = encoding_of(steps, self.deployment.shown)
                costs = (*costs, *(replace(cost, count=cost.count * many / used.steps) for cost in encode))
            found.append(band_of(steps, costs))
        return [*found, self.deployment.encoding.ends] if self.deployment.encoding else found

    @property
    def load(self) -> float | None:
        """The part of the saturation that the load is; None where the clients or the cache set the pace."""
        rate = self.asked.per_second
        return None if rate is None or self.saturation is None else rate / self.saturation

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""
        request = self.deployment.clock.request
        young, notes = caution(request.engine, request.device), list(request.device.cautions)
        if young:
            notes.append(young)
        if self.deployment.speculation and keeps_states(self.deployment.clock.replica.program):
            notes.append(RESTORED)
        if request.adapters:
            notes.append(request.adapters.note)
        if self.deployment.pools[0].tiers and not self.ledger.paths:
            notes.append(
                "tiers below the devices' memory hold nothing: what requests share is known of --workload agent and of "
                "traces with hash_ids"
            )
        if self.workload.cut:
            positions = request.model.lengths.output
            notes.append(
                f"{self.workload.cut:,} requests were longer than the {positions:,} positions and are cut to them"
            )
        if self.load is not None and self.load >= 1:
            notes.append("more arrives than is served: waits grow with every request, and percentiles with --requests")
        return tuple(notes)

    def _repr_html_(self) -> str:
        from roofline.reports.serving.simulation import (  # noqa: PLC0415  (a floor up: only a notebook asks for it)
            simulation_html,
        )

        return simulation_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``simulate``."""
        d, a, w = self.deployment, self.asked, self.workload
        request, steps = d.clock.request, d.clock.replica
        lengths = dict(zip(("prompt", "generate"), w.lengths, strict=True))
        return {
            **versions(), "model": request.model.name,
            "hardware": {"name": request.device.name, "devices": d.devices, "replicas": d.replicas,
                         "layout": str(steps.layout), "layout_reason": self.why or None,
                         "overrides": dict(request.overrides)},
            "engine": engine_in_json(request.engine),
            "inputs": {
                "workload": w.name, "workload_source": w.source, **lengths,
                "sessions": int(np.count_nonzero(~w.follows)), "prefix_hits": w.hits,
                "arrivals": "closed loop" if a.clients else a.process, "load_requests_per_s": a.per_second,
                "concurrency": a.clients, "think_s": a.think_s,
                "requests": len(w.prompt), "seed": a.seed, "router": a.router,
                **self.targets.to_dict(), "dtype": request.recipe.name,
                "speculate": d.speculation.words if d.speculation else None,
                "lora": request.adapters.words if request.adapters else None,
                "chunk": steps.engine.mixed_tokens or 0,
                **{f"{name}_tokens": one.tokens for name, one in d.seen.each},
                "max_sequences": d.most, "kv_block": d.room.block, "offload": a.offload,
                "constants": request.constants.whose,
            },
            "saturation_requests_per_s": self.saturation,
            "load": self.load,
            **_told(self.outcome, self.fast, self.slow),
            "pools": [
                *([{"hardware": d.encoding.request.device.name, "layout": str(ONE), **asdict(self.outcome.encode)}]
                  if d.encoding and self.outcome.encode else []),
                *({"hardware": pool.clock.request.device.name, "layout": str(pool.clock.replica.layout), **asdict(used)}
                  for pool, used in zip(d.pools, self.outcome.pools, strict=True)),
            ],
            "tiers": [{**a.to_dict(), **asdict(b)} for a, b in zip(d.pools[0].tiers, self.outcome.tiers, strict=True)],
            "break_even": self.break_even.to_dict() if self.break_even else None,
            **({"cost": self.job} if self.job else {}),
            "notes": list(self.notes),
        }  # fmt: skip

    @property
    def job(self) -> dict[str, Any] | None:
        """What the run costs, by its makespan and the ends of its band; None where nobody asked."""
        seconds = self.outcome.makespan_s, self.fast.makespan_s, self.slow.makespan_s
        return None if self.cost is None else self.cost.to_dict(seconds, int(self.ledger.generate.sum()))


@takes(SimulateOptions)
def simulate(model: AnyModel, hardware: Hardware, **options: Unpack[SimulateOptions]) -> Simulation:
    """What requests wait under a load; ``roofline.simulate`` says what the keywords are, and adds what the run costs.

    Raises RooflineError, in one line, for whatever is refused.
    """
    asked, targets = Offered.of(options), Targets.of(options)
    request = read_request(model, hardware, **part(RequestOptions, part(StepClockOptions, options)))
    if not request.model.generates:
        msg = f"{request.model.name} generates no text from prompts alone; serving is simulated for decoders"
        raise WorkloadError(msg)
    positions = request.model.lengths.output
    shown = shown_by(request.model, options)
    if options["encode_on"] is not None and not shown.phases:
        msg = "encode_on: requests show nothing that is encoded; give images, video or audio too, or leave it out"
        raise UsageError(msg)
    positions = max(1, positions - shown.tokens)
    workload = read_workload(options, asked.requests, positions, asked.seed, request.adapters).showing(shown)
    ledger = workload.ledger()
    asked.arrivals(workload)  # a process that is unknown is refused before any work
    longest, plain = int((ledger.prompt + ledger.generate).max()) - 1, not (ledger.paths or shown.phases)
    chosen = choose(request, model, hardware, longest, options, plain=plain)
    deployment = chosen.deployment
    if ledger.paths and deployment.line:
        msg = f"layout {deployment.clock.replica.layout}: stages are not simulated with prompts that requests share; "
        msg += "give lengths, or a workload such as chat"
        raise UsageError(msg)
    if options["prefill_on"] is not None:
        other = one_pool(options["prefill_on"])
        longest = int(ledger.prompt.max())
        asks = read_request(model, other, **part(RequestOptions, part(StepClockOptions, options)))
        deployment = disaggregated(deploy(asks, model, other, longest, options), deployment, longest)
    if options["encode_on"] is not None:
        deployment = _encoding_apart(deployment, model, shown, options)
    found = serve(deployment, workload, ledger, asked, targets)
    return Simulation(deployment, workload, asked, targets, ledger, found, why=chosen.why)


def _encoding_apart(deployment: Deployment, model: AnyModel, shown: Shown, options: SimulateOptions) -> Deployment:
    """With a pool that encodes what requests have ``shown``."""
    other = one_pool(options["encode_on"], "encode_on")
    asks = read_request(model, other, **part(RequestOptions, part(StepClockOptions, options)))
    first = deployment.pools[0].clock
    own, layout = first.request, first.replica.layout
    receiver = End(own.fleet, own.device, own.constants, int(layout.devices), int(layout.dp))
    pool = EncodePool.of(asks, shown, deployment.reserve, receiver, deployment.devices)
    return replace(deployment, encoding=pool)


def serve(
    deployment: Deployment,
    workload: Workload,
    ledger: Ledger,
    asked: Offered,
    targets: Targets,
    paces: Sequence[float] = _AS_EXPECTED,
) -> Outcome:
    """Have the requests of a ledger served as they arrive, the steps of each pool at its pace times their time."""
    many = len(deployment.pools)
    pools = deployment.at_work(ledger, workload.hits, paces[:many], asked.seed)
    encoders = encode_queue(deployment.encoding, paces[many]) if deployment.encoding else None
    first, *then = pools
    run(ledger, asked.arrivals(workload), first, ROUTERS[asked.router], *then, encoders=encoders)
    return outcome(ledger, pools, targets, warm=asked.steady, encoders=encoders)


_APART = ("times", "tiers", "pools", "encode")


def _told(expected: Outcome, fast: Outcome, slow: Outcome) -> dict[str, Any]:
    """The figures of an outcome as JSON, its times with both ends of their band."""
    ends = (("", expected), ("_low", fast), ("_high", slow))
    times = {f"{name}{end}": found.times[name].to_dict() for name in expected.times for end, found in ends}
    told = {each.name: getattr(expected, each.name) for each in fields(expected) if each.name not in _APART}
    return {**times, **told, "goodput_requests_per_s": expected.goodput}
