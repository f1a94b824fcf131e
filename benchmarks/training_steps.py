"""Training steps of this CPU, predicted with a calibration of it and measured by ``validate --train``: six points.

    roofline calibrate --budget 60s -o cpu.yaml
    python benchmarks/training_steps.py cpu.yaml [SECONDS OF A POINT]

The points were listed before any of them was measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LLAMA = ("llama-3.2-1b", "--set", "model.num_hidden_layers=4", "--set", "model.vocab_size=32000")
POINTS = [(("bert-base",), 1, 128), (("bert-base",), 4, 64), (("bert-base",), 2, 256),
          (LLAMA, 1, 64), (LLAMA, 1, 128), (LLAMA, 2, 128)]  # fmt: skip
"""Model and its edits, sequences, tokens of each."""


def measured(calibration: str, model: tuple[str, ...], batch: int, length: int, seconds: int) -> dict[str, object]:
    """The JSON of one step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.json"
        sizes = ("--train", "--batch", str(batch), "--sequence", str(length), "--budget", f"{seconds}s")
        command = [sys.executable, "-m", "roofline", "validate", *model, "--hardware", calibration, *sizes,
                   "--threads", "1", "-o", str(path)]  # fmt: skip
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        found: dict[str, object] = json.loads(path.read_text())["training"][0]
        return found


def main() -> None:
    """A line for each point, then the medians."""
    calibration, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    errors, peaks = [], []
    for model, batch, length in POINTS:
        step = measured(calibration, model, batch, length, seconds)
        memory, passes = step["memory_bytes"], step["passes_s"]
        assert isinstance(memory, dict)
        assert isinstance(passes, dict)
        error, peak = step["error"], memory["peak"]["error"]
        each = ", ".join(f"{name} {found['error']:+.1%}" for name, found in passes.items())
        saved = memory["saved_activations"]["error"]
        print(
            f"{model[0]} {batch}x{length}: predicted {step['predicted_s']:.3g} s, measured {step['measured_s']:.3g} s, "
            f"{error:+.1%} ({each}); saved {saved:+.1%}, peak {peak:+.2%}; {'; '.join(map(str, step['flags']))}",  # type: ignore[call-overload]
            flush=True,
        )
        errors.append(abs(error))
        peaks.append(abs(peak))
    print(f"median APE {statistics.median(errors):.1%}, worst {max(errors):.1%}; peak worst {max(peaks):.2%}")


if __name__ == "__main__":
    main()
