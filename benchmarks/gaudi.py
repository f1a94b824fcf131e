"""Requests on Gaudi 2 and 3 as others timed them: generated tokens per second of a whole batch, prompts included.

python benchmarks/gaudi.py --data DIR

Nothing is fitted to these rows. Steps are replayed from graphs, as Optimum Habana's are. Of rows that are alike but for
their options the fastest is kept. Where no prompt is stated it is the built-in one, about ten tokens. Columns as in
scores.py.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scores import Scored, table

from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.prediction.predict import predict

ENGINE = "torch-compile"
DTYPES = {"bf16": "bf16", "fp8": "fp8+kv8"}
BUILT_IN_PROMPT = 10


@dataclass(frozen=True, slots=True)
class Request:
    """A batch of requests on so many devices, and the time that it took. [s]"""

    device: str
    devices: int
    model: str
    dtype: str
    batch: int
    prompt: int
    generate: int
    measured_s: float

    def seconds(self) -> tuple[float, float, float, float]:
        """Time, bound and the ends of the band, of the prompts and of all steps. [s]"""
        name = self.device if self.devices == 1 else f"{self.devices}x{self.device}"
        asked = {"batch": self.batch, "prompt": self.prompt, "generate": self.generate, "tp": self.devices}
        phases = predict(self.model, name, dtype=DTYPES[self.dtype], engine=ENGINE, **asked).phases.values()
        steps = [(phase.steps, phase.figures) for phase in phases]
        return (
            sum(float(count * each.time_s) for count, each in steps),
            sum(float(count * each.bound_s) for count, each in steps),
            sum(float(count * each.low_s) for count, each in steps),
            sum(float(count * each.high_s) for count, each in steps),
        )


def requests_of(data: Path) -> list[Request]:
    """The rows whose model is a preset, the fastest of those that are alike."""
    presets, best = set(preset_names()), dict[tuple[str, int, str, str, int, int, int], float]()
    for folder in ("optimum_habana", "intel_gaudi_performance"):
        for line in csv.DictReader((data / "other" / folder / "whole_models.csv").open(encoding="utf-8")):
            dtype, timed = line["quantisation"].lower(), (line["phase"], line["metric"])
            if line["params_or_preset"] not in presets or dtype not in DTYPES or timed != ("request", "throughput"):
                continue
            devices, batch, prompt, new = (int(line[name] or 0) for name in ("devices", "batch", "prompt", "generate"))
            prompt = prompt or BUILT_IN_PROMPT
            key = (line["device"], devices, line["params_or_preset"], dtype, batch, prompt, new)
            best[key] = max(best.get(key, 0.0), float(line["value"]))
    return [Request(*key, measured_s=key[4] * key[6] / rate) for key, rate in sorted(best.items())]


def board(requests: list[Request]) -> Iterator[Scored]:
    """Each device and format, then all, then those of experts and of the others."""
    mixed = {each.model for each in requests if load_model(each.model).program().sizes.get("E")}
    parts = [
        *((f"{device} {dtype}", [r for r in requests if (r.device, r.dtype) == (device, dtype)])
          for device, dtype in sorted({(r.device, r.dtype) for r in requests})),
        ("all requests", requests),
        ("dense networks", [r for r in requests if r.model not in mixed]),
        ("mixtures of experts", [r for r in requests if r.model in mixed]),
    ]  # fmt: skip
    for name, kept in parts:
        predicted = np.array([each.seconds() for each in kept]).T
        yield Scored(name, name, *predicted, np.array([each.measured_s for each in kept]))


def main() -> None:
    """Print the board."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    print("\n".join(table(board(requests_of(parser.parse_args().data)))))


if __name__ == "__main__":
    main()
