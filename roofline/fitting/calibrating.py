"""A calibration, start to end: measure in rounds, find the roofs, fit, check on shapes kept out, write it down."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from roofline.calibration.calibration_file import Calibration
from roofline.classes import frozen
from roofline.files.atomic import atomic_writer
from roofline.fitting.calibrator import Calibrator, Fitted, kind_fields
from roofline.fitting.campaign import Point, designed_points
from roofline.fitting.collectives import collective_fields
from roofline.fitting.measured_roofs import best_rate, long_streams, measured_bandwidths, measured_spec, slug
from roofline.fitting.timed_collectives import MeasuredLinks, measure_links
from roofline.hardware.loading import load_hardware, spec_from_fields
from roofline.hardware.spec import HardwareSpec
from roofline.validation.capture import TorchCall, capture_step
from roofline.validation.devices import Call, Device
from roofline.validation.environment import describe_environment
from roofline.validation.host_overhead import small_decode
from roofline.validation.replay import distinct, prepared_call
from roofline.validation.stopwatch import Samples, Stopwatch, Tell, silent

HOST_S = 10e-6
"""What the host adds to a launch where no step could be timed."""

LINKS_PART = 0.15
"""Of a budget, for collectives, where there are several devices."""

FIT_S = 8.0
"""Seconds of a budget that are left for the fits."""


@frozen
class Calibrated:
    """What a calibration found: the fields of its file, of a spec measured from nothing if there was none, the rest.

    ``environment``: the machine that was timed, its threads and software.
    """

    fields: dict[str, Any]
    spec: dict[str, Any] | None
    fitted: Mapping[str, Fitted]
    bandwidths: Mapping[str, float]
    rate: float
    host_s: float
    rounds: int
    seconds: float
    interrupted: bool
    samples: Mapping[str, Any]
    environment: Mapping[str, Any]
    links: MeasuredLinks | None = None

    def to_dict(self) -> dict[str, Any]:
        """As ``calibrate --json`` prints it."""
        return {
            "environment": dict(self.environment),
            "calibration": self.fields,
            "spec": self.spec,
            "bandwidths_bytes_per_s": dict(self.bandwidths),
            "matmul_flops_per_s": self.rate,
            "host_s": self.host_s,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "kinds": {
                name: {
                    "rows": found.fit.rows,
                    "median_ape": found.fit.median_ape,
                    "held_out_errors": list(found.errors),
                    "intervals": {key: [i.value, i.low, i.high] for key, i in found.fit.intervals.items()},
                }
                for name, found in self.fitted.items()
            },
            "samples_s": self.samples,
            **({"collectives": self.links.to_dict()} if self.links else {}),
        }

    def write(self, path: Path) -> list[Path]:
        """The calibration under ``path``; a measured spec beside it, which the calibration extends by its name."""
        written = [path]
        fields = self.fields
        if self.spec is not None:
            beside = path.with_name(f"{path.stem}-device.yaml")
            fields = {**fields, "extends": beside.name}
            written.insert(0, beside)
            _dump({**self.spec, "name": slug(beside.stem)}, beside)
        _dump(fields, path)
        return written


def calibrate_device(
    device: Device,
    *,
    dtype: str,
    budget_s: float = 120.0,
    extends: str | None = None,
    seed: int = 0,
    tell: Tell = silent,
) -> Calibrated:
    """Measure, fit and check within the budget. An interruption ends the measuring; what was measured is fitted.

    Raises WorkloadError where too little was timed to fit anything, DeviceMissingError for a dtype that is not there.
    """
    begun = time.monotonic()
    known = load_hardware(extends) if extends else None
    links = links_between(device, known, LINKS_PART * budget_s, tell)
    with device.torch.no_grad():
        points = designed_points(device, dtype)
        streams, tensor_bytes = long_streams(device)
        host = Host.of(device, dtype)
        samples, interrupted = _measured(device, points, streams, host, begun + budget_s - FIT_S, seed, tell)
    bandwidths = measured_bandwidths(samples, tensor_bytes)
    rate = best_rate(points, samples, dtype)
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    environment = describe_environment(device)
    source = f"measured by roofline calibrate on {when}: {environment['torch']}"
    name = known.name if known else slug(device.title)
    spec = None if known else measured_spec(name, device, {dtype: rate}, max(bandwidths.values()), source, links)
    hardware = known or spec_from_fields(spec or {}, name)
    calibrator = Calibrator(points, samples, hardware, dtype)
    fitted = calibrator.run()
    host_s = host.seconds(samples)
    fields = fields_of_calibration(name, hardware, calibrator, host_s, dtype, source)
    if links is not None:
        fields["collectives"] = {name: collective_fields(found) for name, found in links.constants.items()}
    rounds = min(len(found.every) for found in samples.values())
    seconds = time.monotonic() - begun
    raw = {key: [[s.seconds, s.probe_s] for s in found.every] for key, found in samples.items()}
    return Calibrated(
        fields, spec, fitted, bandwidths, rate, host_s, rounds, seconds, interrupted, raw, environment, links
    )


def links_between(device: Device, known: HardwareSpec | None, budget_s: float, tell: Tell) -> MeasuredLinks | None:
    """The collectives of all GPUs of this machine; None for one device, and for a known one without such a link."""
    count = device.torch.cuda.device_count() if device.kind == "cuda" else 1
    rated = known.links.get("scale_up") if known else None
    if count < 2 or (known and (rated is None or rated.bandwidth_per_direction is None)):
        return None
    tell("collectives", 0.0)
    return measure_links(device.kind, count, budget_s, link=rated.bandwidth_per_direction if rated else None)


@frozen
class Host:
    """A step whose kernels are known, by which the host's part of a launch is found."""

    step: Call | None
    kernels: Mapping[str, TorchCall]
    runs: Mapping[str, int]
    calls: Mapping[str, Call]

    @classmethod
    def of(cls, device: Device, dtype: str) -> Host:
        """The small decoder's step; nothing where transformers is not installed."""
        found = small_decode(device, dtype)
        if found is None:
            return cls(None, {}, {}, {})
        counted = distinct(capture_step(found.run, found.resident).calls)
        named = {f"host {index} {call.name}": call for index, call in enumerate(counted)}
        runs = {name: counted[call] for name, call in named.items()}
        calls = {name: prepared_call(device, call) for name, call in named.items()}
        run = found.run
        return cls(lambda _: run(), named, runs, calls)

    def seconds(self, samples: Mapping[str, Samples]) -> float:
        """What the host adds to each launch: the step, less its kernels by themselves, by the number of kernels. [s]"""
        if self.step is None or any(name not in samples for name in ("host step", *self.calls)):
            return HOST_S
        alone = sum(runs * samples[name].time_s for name, runs in self.runs.items())
        return max(0.0, samples["host step"].time_s - alone) / sum(self.runs.values())


def _measured(
    device: Device,
    points: Sequence[Point],
    streams: Mapping[str, Call],
    host: Host,
    end: float,
    seed: int,
    tell: Tell,
) -> tuple[dict[str, Samples], bool]:
    """All samples, and whether somebody interrupted. The host's step is timed as the host runs it, from no graph."""
    kernels = Stopwatch(device, seed=seed)
    steps = Stopwatch(device, seed=seed, graph=False)
    calls = {**{point.name: point.call for point in points}, **streams, **host.calls}
    whole = {"host step": host.step} if host.step else {}
    interrupted = False
    try:
        if whole:
            steps.run(whole, 1.0, most=30, tell=tell)
        kernels.run(calls, max(1.0, end - time.monotonic() - 1.0), tell=tell)
        if whole:
            steps.run(whole, 1.0, most=30, tell=tell)
    except KeyboardInterrupt:
        interrupted = True
        if not kernels.found:
            raise
    steps.reference_s = kernels.usual_s
    return {**kernels.samples(), **steps.samples()}, interrupted


def fields_of_calibration(
    name: str, hardware: HardwareSpec, calibrator: Calibrator, host_s: float, dtype: str, source: str
) -> dict[str, Any]:
    """The calibration's file, checked as it will be read."""
    fitted = calibrator.fitted
    rest, matmul = fitted["elementwise"], fitted["matmul"].constants
    low, high, checks = calibrator.band()
    plain = kind_fields(rest, host_s)
    probe_s = next(iter(calibrator.samples.values())).reference_s
    fields = {
        "name": f"{name}-measured",
        "extends": hardware.name,
        "title": f"{hardware.title or hardware.name}, as measured",
        "p": plain["p"],
        "compute": matmul.compute,
        "memory": plain["memory"],
        "vector": 1.0,
        "special": 0.1,
        "latency": plain["latency"],
        "measured_dtypes": [dtype],
        "unfused": True,
        **({"probe": f"{probe_s * 1e3:.4g} ms"} if probe_s else {}),
        "kinds": {group: kind_fields(found, host_s) for group, found in fitted.items()},
        "band": {
            "low": round(low, 2),
            "high": round(high + 0.005, 2),
            "evidence": f"{checks} shapes kept out of the fit",
        },
        "source": source,
    }
    Calibration.model_validate(fields)
    return fields


def _dump(fields: Mapping[str, Any], path: Path) -> None:
    with atomic_writer(path) as file:
        file.write(yaml.safe_dump(dict(fields), sort_keys=False, width=118, default_flow_style=None))
