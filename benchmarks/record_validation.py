"""Records a validation of this device: calibrate, predict all points and freeze them, time the real modules.

python benchmarks/record_validation.py --run 1 -o FILE.json [--list cpu] [--step calibrate|validate|kernels|all]

The points stand in validation_points.yaml, written down before. Steps resume: the calibration of a run is kept beside
the result, and points that are in the result are not timed again. Every sample is kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from roofline.fitting.calibrating import calibrate_device
from roofline.models.model import Model, load_model
from roofline.prediction.predict import Prediction, predict
from roofline.validation.devices import Device
from roofline.validation.environment import default_threads, restart_with
from roofline.validation.modules import build_module, out_of_memory
from roofline.validation.runner import Validation, restored, write_record
from roofline.validation.scores import Pair, Score
from roofline.validation.session import Case, compared, prepare, time_kernels, time_steps

POINTS = Path(__file__).with_name("validation_points.yaml")


def points(name: str, dtypes: str = "fp32,bf16") -> list[tuple[Model, str, int, int, str]]:
    """Model, phase, batch, length, dtype of every point of a list in one of ``dtypes``."""
    listed = yaml.safe_load(POINTS.read_text(encoding="utf-8"))
    found = []
    for model, phase, batch, length, *dtype in listed[name]:
        fields = listed.get(model)
        network = replace(load_model(fields), name=model) if isinstance(fields, dict) else load_model(model)
        if (held := dtype[0] if dtype else "fp32") in dtypes.split(","):
            found.append((network, phase, batch, length, held))
    return found


def predicted(network: Model, phase: str, batch: int, length: int, dtype: str, hardware: Path) -> Prediction:
    """The prediction of one point, as eager torch runs it."""
    lengths: dict[str, Any] = {"context": length} if phase == "decode" else {"prompt": length}
    if phase == "prefill":
        lengths["generate"] = 1
    return predict(network, hardware, batch=batch, phase=phase, dtype=dtype, engine="transformers", **lengths)  # type: ignore[arg-type]


def main() -> int:
    """Run the steps that were asked for."""
    parser = argparse.ArgumentParser(description="Record a validation of this device.")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--run", default="1", help="which of several runs this is")
    parser.add_argument("--list", default="cpu", help="the list of points")
    parser.add_argument("--device")
    parser.add_argument("--extends", help="a known device that this is")
    parser.add_argument(
        "--dtypes", default="fp32", help="with commas, whose points are timed; each is calibrated by itself"
    )
    parser.add_argument("--step", default="all", choices=("calibrate", "validate", "kernels", "all"))
    parser.add_argument("--calibration-budget", type=float, default=60.0)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds for all steps of all models")
    asked = parser.parse_args()
    device = Device.open(asked.device, default_threads())
    if asked.step in ("calibrate", "all"):
        for dtype in asked.dtypes.split(","):
            calibrate(device, dtype, asked)
    if asked.step != "calibrate":
        validate(device, asked)
    return 0


def calibration_of(output: Path, run: str, dtype: str) -> Path:
    """Where the calibration of a run lies: beside the result."""
    return output.with_name(f"{output.stem}-run-{run}-{dtype}.yaml")


def calibrate(device: Device, dtype: str, asked: argparse.Namespace) -> None:
    """Calibrate, unless this run has been."""
    path = calibration_of(asked.output, asked.run, dtype)
    if path.is_file():
        return
    found = calibrate_device(device, dtype=dtype, budget_s=asked.calibration_budget, extends=asked.extends)
    found.write(path)
    print(f"run {asked.run}: calibrated {dtype} in {found.seconds:.0f} s, band {found.fields['band']}", flush=True)


def validate(device: Device, asked: argparse.Namespace) -> None:
    """Predict and freeze every point, then time those that are not in the result yet, all in rounds."""
    results: dict[str, Any] = json.loads(asked.output.read_text()) if asked.output.is_file() else {"runs": {}}
    run = results["runs"].get(asked.run, {"cases": []})
    done: list[Any] = []
    with device.torch.no_grad():
        kernels = asked.step == "kernels"
        cases = prepared(device, asked, run, [] if kernels else done)
        if cases and not kernels:
            time_steps(cases, device, asked.budget)
        for case in cases if kernels else ():
            time_steps([case], device, 0.4 * asked.budget / len(cases))
            time_kernels(case, device, 0.6 * asked.budget / len(cases))
        done += [compared(case) for case in cases if case.steps]
    command = "python benchmarks/record_validation.py " + " ".join(
        Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]
    )
    hardware = ", ".join(calibration_of(asked.output, asked.run, dtype).name for dtype in asked.dtypes.split(","))
    result = Validation.of(done, device, command, hardware=hardware, run=asked.run).to_dict()
    shelf, name = (results, "kernels") if kernels else (results["runs"], asked.run)
    new = {case["prediction_sha256"] for case in result["cases"]}
    result["cases"] += [
        case for case in shelf.get(name, {"cases": []})["cases"] if case["prediction_sha256"] not in new
    ]
    shelf[name] = result
    write_record(results, asked.output)
    show(done)


def prepared(device: Device, asked: argparse.Namespace, run: Mapping[str, Any], done: list[Any]) -> list[Case]:
    """The cases that are not done yet; what does not fit in memory is named and left out. Kernels are timed anew."""
    cases, modules = [], {}
    for network, phase, batch, length, dtype in points(asked.list, asked.dtypes):
        prediction = predicted(network, phase, batch, length, dtype, calibration_of(asked.output, asked.run, dtype))
        if asked.step != "kernels" and (old := restored(run, prediction)):
            done += old
            continue
        key = (json.dumps(dict(network.fields), sort_keys=True, default=str), dtype)
        try:
            if key not in modules:
                modules[key] = build_module(network, device, dtype)
            cases.append(prepare(prediction, phase, modules[key], device))  # type: ignore[arg-type]
        except (MemoryError, RuntimeError) as failure:
            if not out_of_memory(failure):
                raise
            print(f"out of memory: {network.name} {phase} {batch}x{length}", flush=True)
    return cases


def show(done: list[Any]) -> None:
    """A line a point, and what they come to: as the clock had it, and scaled to the speed of the calibration."""
    for case in sorted(done, key=lambda c: c.name):
        whole = case.whole_s or math.nan
        scaled = case.steady_s or whole
        print(
            f"{case.name:38} predicted {case.predicted.time_s * 1e3:9.2f} ms  measured {whole * 1e3:9.2f}  "
            f"{case.predicted.time_s / whole - 1:+6.1%}  scaled {scaled * 1e3:9.2f}  "
            f"{case.predicted.time_s / scaled - 1:+6.1%}  noise {case.noise:.1%}  n {len(case.samples)}"
        )
    for name, seconds in (("measured", "whole_s"), ("scaled", "steady_s"), ("data sheet", "")):
        times = [
            (c.predicted.time_s if seconds else c.predicted.bound_s, getattr(c, seconds or "whole_s")) for c in done
        ]
        score = Score.of([Pair(p, m) for p, m in times if m])
        print(f"{name:12} {', '.join(score.words())}")


if __name__ == "__main__":
    restart_with(default_threads(), __file__, *sys.argv[1:])
    begun = time.monotonic()
    code = main()
    print(f"{time.monotonic() - begun:.0f} s")
    sys.exit(code)
