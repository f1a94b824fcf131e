"""How long `roofline predict` takes from start to finish, beside importing its three libraries, and `train` beside it.

    python benchmarks/start_up.py [runs]

Both sides run in turn, in fresh processes; the ratio is of medians within this run. Bytecode is cached, as it is for
every installed package. A training step is compared with the same model's prediction on the same devices; of both the
layout is searched, or one that is given.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

BASE = ["-c", "import numpy, pydantic, yaml"]
COMMANDS = {
    "predict llama-3.1-8b --hardware h100": 2.0,
    "--help": 0.8,
}
STEPS = {
    "searched": ("", "", 1.5),
    "given": (" --tp 1 --pp 1 --cp 1 --zero 3 --microbatch 1 --recompute none", " --tp 8", 1.5),
}
"""What is given of a training step and of a prediction of llama-3.1-8b on 8 H100, and the most of their ratio."""


def seconds(arguments: list[str]) -> float:
    """Wall time of one run of this Python."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def main(runs: int) -> int:
    """Print each command's ratio beside its bar; the exit code counts those above it."""
    above = 0
    for command, bar in COMMANDS.items():
        pairs = [(seconds(BASE), seconds(["-m", "roofline", *command.split()])) for _ in range(runs)]
        base, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        above += ours / base > bar
        print(f"roofline {command}: {ours / base:.2f} x the imports (bar {bar:g}), {runs} runs each")
    for name, (training, prediction, bar) in STEPS.items():
        verbs = [f"{verb} llama-3.1-8b --hardware 8xh100" for verb in ("predict", "train")]
        asked = [verbs[0] + prediction, verbs[1] + training]
        pairs = [(*(seconds(["-m", "roofline", *each.split()]) for each in asked),) for _ in range(runs)]
        base, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        above += ours / base > bar
        print(f"roofline train, layout {name}: {ours / base:.2f} x predict (bar {bar:g}), {runs} runs each")
    return above


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
