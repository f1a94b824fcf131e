"""How much CPU one `roofline predict` takes with the layout open, on every preset or some of them.

    python benchmarks/layout_time.py [each n-th preset, 1 is all]

Each runs from the shell in a fresh process on 1, 8 and 72 devices; the operating system's own
count of its CPU time is what is compared with the bars, since a search runs on one core.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from roofline.models.sources import PRESETS

HARDWARE = ("h100", "8xh100", "gb300-nvl72")
MEDIAN_BAR, WORST_BAR = 1.0, 1.5


def cpu_seconds(model: str, hardware: str) -> float | None:
    """CPU time of one command; None where it refuses."""
    command = [sys.executable, "-m", "roofline", "predict", model, "--hardware", hardware, "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime if child.returncode == 0 else None


def main(step: int) -> int:
    """Print the median and the worst of each number of devices; the exit code counts bars that do not hold."""
    above = 0
    names = sorted(path.stem for path in PRESETS.glob("*.yaml"))[::step]
    for hardware in HARDWARE:
        found = {name: seconds for name in names if (seconds := cpu_seconds(name, hardware)) is not None}
        median, worst = statistics.median(found.values()), max(found, key=lambda name: found[name])
        above += (median > MEDIAN_BAR) + (found[worst] > WORST_BAR)
        print(
            f"{hardware}: {len(found)} of {len(names)} presets, CPU {median:.2f} s at the median (bar {MEDIAN_BAR:g}), "
            f"{found[worst]:.2f} s at worst ({worst}, bar {WORST_BAR:g})"
        )
    return above


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
