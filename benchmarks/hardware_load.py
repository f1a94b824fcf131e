"""How long it takes to load all specs, in seconds and as a ratio to reading the same YAML files without any check.

    python benchmarks/hardware_load.py [runs]

Fresh processes in turn; medians within this run. The bars: half a second for all of them together, and one file of a
device read for one prediction.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

LIMIT_S = 0.5
_LOAD = "from roofline.hardware.loading import load_every_hardware; work = load_every_hardware"
_BARE = """
import yaml
from roofline.files.library import data_folder
files = sorted(data_folder("hardware_specs").glob("*.yaml"))
work = lambda: [yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) for file in files]
"""
_TIMED = "import time; start = time.perf_counter(); done = work(); print(time.perf_counter() - start, len(done))"
_OPENED = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import roofline
roofline.predict("bert-base", "h100")
print(sum("hardware_specs" in name and name.endswith(".yaml") for name in opened))
"""


def run(code: str) -> list[str]:
    """The words that a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def main(runs: int) -> int:
    """Print the figures beside their bars; the exit code counts those that miss."""
    loads, bares, count = [], [], "0"
    for _ in range(runs):
        seconds, count = run(f"{_LOAD}\n{_TIMED}")
        loads.append(float(seconds))
        bares.append(float(run(f"{_BARE}\n{_TIMED}")[0]))
    whole, ratio = statistics.median(loads), statistics.median(loads) / statistics.median(bares)
    files = int(run(_OPENED)[0])
    print(f"{count} specs in {whole:.3f} s (bar {LIMIT_S} s), {ratio:.1f} x reading their YAML unchecked")
    print(f"one prediction opens {files} of them (bar 1)")
    return (whole > LIMIT_S) + (files != 1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
