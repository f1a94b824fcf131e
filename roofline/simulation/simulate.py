"""Serving simulated in discrete events: :func:`simulate`, percentiles of what requests wait under a load."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Unpack

import numpy as np

from roofline.errors import WorkloadError
from roofline.options.keywords import part, takes
from roofline.options.verbs import RequestOptions, SimulateOptions, StepClockOptions
from roofline.prediction.predict import engine_in_json
from roofline.prediction.request import Hardware, read_request
from roofline.program.phases import Phase
from roofline.program.traffic import Traffic, in_flight, read_traffic
from roofline.serving.chunked_prefill import Stream, mixed_step_costs
from roofline.serving.operating_points import Targets
from roofline.serving.step_clock import AnyModel
from roofline.simulation.arrivals import Planned
from roofline.simulation.deployment import Deployment, deploy
from roofline.simulation.events import ROUTERS, round_robin, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.load import Offered
from roofline.simulation.sampling import drawn
from roofline.simulation.statistics import Outcome, outcome
from roofline.timing.engine_choice import caution
from roofline.version import versions

_FULL, _LEAST_FULL, _MOST_FULL = 8, 400, 8192  # so many times the sequences in flight tell what a full replica serves


@dataclass(frozen=True, eq=False)
class Simulation:
    """What requests waited: ``ledger`` has them one by one, ``outcome`` their percentiles, as expected.

    ``cut``: how many were longer than the model has positions for. What else a report shows is simulated when it is
    asked for.
    """

    deployment: Deployment
    traffic: Traffic
    asked: Offered
    targets: Targets
    options: SimulateOptions
    ledger: Ledger
    outcome: Outcome
    cut: int

    @cached_property
    def fast(self) -> Outcome:
        """The same requests with every step at the fast end of its band."""
        return self._at_pace(self._band[0])

    @cached_property
    def slow(self) -> Outcome:
        """The same requests with every step at the slow end of its band."""
        return self._at_pace(self._band[1])

    @cached_property
    def saturation(self) -> float:
        """Requests per second that are served while some always wait: from a quarter to three quarters of many."""
        d, own = self.deployment, self.ledger
        slots = min(d.most, d.room.sequences(int((own.prompt + own.generate).mean())))
        many = min(_MOST_FULL, max(_LEAST_FULL, _FULL * slots)) * d.replicas
        full = Ledger.of(np.resize(own.prompt, many), np.resize(own.generate, many))
        run(full, Planned(np.zeros(many)), d.at_work(full, self.traffic.cached), round_robin)
        ended = np.sort(full.finished)
        first, last = many // 4, 3 * many // 4
        return float((last - first) / (ended[last] - ended[first]))

    def _at_pace(self, pace: float) -> Outcome:
        return _served(self.deployment, self.ledger.anew(), self.options, pace)

    @cached_property
    def _band(self) -> tuple[float, float]:
        """The ends of the band of the mean step, as factors of its time."""
        steps, found, traffic = self.deployment.clock.replica, self.outcome, self.traffic
        lengths, weights = in_flight(traffic)
        beside = max(1.0, found.sequences / (max(found.busy, 1e-9) * self.deployment.replicas))
        decoding = Stream(Phase.DECODE, beside, weights, np.ones_like(lengths), lengths)
        new, often = np.array([max(1.0, traffic.new_prompt)]), found.requests / found.steps
        reading = Stream(Phase.PREFILL, often, np.ones(1), new, np.array([traffic.prompt.mean]))
        timing = steps.machine.step(mixed_step_costs(steps.program, [decoding, reading], steps.precision, steps.engine))
        low, mean, high = (float(np.asarray(each).item()) for each in (timing.low_s, timing.time_s, timing.high_s))
        return low / mean, high / mean

    @property
    def load(self) -> float | None:
        """The part of the saturation that the load is; None where the clients or the cache set the pace."""
        return None if self.asked.per_second is None else self.asked.per_second / self.saturation

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""
        request = self.deployment.clock.request
        young, notes = caution(request.engine, request.device), list(request.device.cautions)
        if young:
            notes.append(young)
        if self.cut:
            positions = request.model.lengths.output
            notes.append(f"{self.cut:,} requests were longer than the {positions:,} positions and are cut to them")
        if self.load is not None and self.load >= 1:
            notes.append("more arrives than is served: waits grow with every request, and percentiles with --requests")
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``simulate``."""
        d, a, traffic = self.deployment, self.asked, self.traffic
        request, steps = d.clock.request, d.clock.replica
        lengths = {"prompt": traffic.prompt.words, "generate": traffic.generate.words}
        return {
            **versions(), "model": request.model.name,
            "hardware": {"name": request.device.name, "devices": d.devices, "replicas": d.replicas,
                         "layout": str(steps.layout), "overrides": dict(request.overrides)},
            "engine": engine_in_json(request.engine),
            "inputs": {
                "workload": traffic.name, "workload_source": traffic.source, **lengths,
                "prefix_hits": traffic.cached, "arrivals": "closed loop" if a.clients else a.process,
                "load_requests_per_s": a.per_second, "concurrency": a.clients, "requests": a.requests,
                "seed": a.seed, "router": self.options["router"], "ttft_s": self.targets.ttft_s,
                "tpot_s": self.targets.tpot_s, "dtype": request.recipe.name, "chunk": steps.engine.mixed_tokens or 0,
                "max_sequences": d.most, "kv_block": d.room.block, "constants": request.constants.name,
            },
            "saturation_requests_per_s": self.saturation,
            "load": self.load,
            **_told(self.outcome, self.fast, self.slow),
            "notes": list(self.notes),
        }  # fmt: skip


@takes(SimulateOptions)
def simulate(model: AnyModel, hardware: Hardware, **options: Unpack[SimulateOptions]) -> Simulation:
    """Percentiles of TTFT, TPOT and latency under load: an engine's continuous batching in discrete events.

    ``load`` in requests per second with ``arrivals`` poisson or gamma:SHAPE; ``arrivals`` all puts everything there at
    the start; ``concurrency`` clients ask in a closed loop. Lengths are drawn from ``workload``, ``prompt`` and
    ``generate``. The token budget of chunked prefill, the most sequences, cache blocks and captured batches are the
    engine's. ``tp`` to ``cp`` are a replica's degrees, ``dp`` the replicas; without them replicas are of the fewest
    devices that hold the model, as many as the hardware makes. ``ttft`` and ``tpot`` are what goodput is within. All
    randomness comes from ``seed``. Raises RooflineError, in one line, for whatever is refused.

    >>> found = simulate("llama-3.1-8b", "h100", load="5 req/s", requests=200, ttft="200 ms")
    >>> found.outcome.times["ttft_s"].percentiles[50] < found.outcome.times["ttft_s"].percentiles[99] < 0.2
    True
    """
    asked, traffic, targets = Offered.of(options), read_traffic(options), Targets.of(options)
    request = read_request(model, hardware, **part(RequestOptions, part(StepClockOptions, options)))
    if not request.model.generates:
        msg = f"{request.model.name} generates no text from prompts alone; serving is simulated for decoders"
        raise WorkloadError(msg)
    ledger, cut = drawn(traffic, asked.requests, request.model.lengths.output, np.random.default_rng((asked.seed, 0)))
    deployment = deploy(model, hardware, int((ledger.prompt + ledger.generate).max()) - 1, options)
    found = _served(deployment, ledger, options)
    return Simulation(deployment, traffic, asked, targets, options, ledger, found, cut)


def _served(deployment: Deployment, ledger: Ledger, options: SimulateOptions, pace: float = 1.0) -> Outcome:
    """Have the requests of a ledger served as options ask."""
    asked = Offered.of(options)
    replicas = deployment.at_work(ledger, read_traffic(options).cached, pace)
    run(ledger, asked.arrivals(), replicas, ROUTERS[options["router"]])
    return outcome(ledger, replicas, Targets.of(options), warm=asked.steady)


def _told(expected: Outcome, fast: Outcome, slow: Outcome) -> dict[str, Any]:
    """The figures of an outcome as JSON, its times with both ends of their band."""
    ends = (("", expected), ("_low", fast), ("_high", slow))
    times = {f"{name}{end}": found.times[name].to_dict() for name in expected.times for end, found in ends}
    told = {name: getattr(expected, name) for name in expected.__slots__ if name != "times"}
    return {**times, **told, "goodput_requests_per_s": expected.goodput}
