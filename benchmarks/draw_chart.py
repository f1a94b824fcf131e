"""How long drawing a roofline of a 100-operator program takes, as a ratio to importing matplotlib.

    python benchmarks/draw_chart.py [runs]

Both are timed in turn, in fresh processes; the ratio is of medians within this run. Drawing is from predictions to the
bytes of a PNG for a slide, without the import; the program is a prefill and a decode of 50 operators each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

BAR = 5.0

_CODE = """
import sys, time
begin = time.perf_counter()
import matplotlib
from matplotlib.figure import Figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
imported = time.perf_counter() - begin
import io
from dataclasses import replace
import roofline
from roofline.charts.kinds.roofline import draw_roofline
one = roofline.predict("llama-3.1-8b", "h100")
many = []
for name, phase in one.by_phase:
    ops = [replace(op, name=f"{op.name}_{copy}") for copy in range(4) for op in phase.operators][:50]
    shift = lambda f, k: replace(f, flops=f.flops * (1 + 0.02 * k), vector_flops=f.vector_flops * (1 + 0.02 * k))
    shifted = tuple(replace(op, figures=shift(op.figures, k)) for k, op in enumerate(ops))
    many.append((name, replace(phase, listing=lambda shifted=shifted: shifted)))
program = replace(one, by_phase=tuple(many))
assert sum(len(phase.operators) for _, phase in program.by_phase) == 100
begin = time.perf_counter()
draw_roofline(program).savefig(io.BytesIO(), format="png", dpi=150)
print(imported, time.perf_counter() - begin)
"""


def main(runs: int) -> int:
    """Print the ratio beside its bar; the exit code is 1 where it is above it."""
    pairs = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", _CODE], check=True, capture_output=True, text=True)
        pairs.append([float(seconds) for seconds in done.stdout.split()])
    imported, drawn = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = drawn / imported
    print(f"a roofline of 100 operators: {ratio:.2f} x importing matplotlib (bar {BAR:g}), {runs} runs")
    return int(ratio > BAR)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
