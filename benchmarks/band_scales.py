"""Bands for architectures that were not timed, made in several ways and judged: one for many kernels, or one for each.

python benchmarks/band_scales.py --data DIR

A device is left out with all that is of its architecture. What kernels of attention, scans and quantising err on the
other architectures, each left out in turn, is divided by a scale that is known without the rows it is for; the band of
a kernel on the device is the 5th and 95th percentile of that, times its own scale. Each way is judged by its mean
coverage over kernels, how many are covered by 85 to 96 %, the mean of ln(high / low), and the interval score; beside
that how much the score differs from that of one band, with 90 % of it, kinds and devices drawn with replacement.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from band_coverage import asked, drawn_means
from class_attention import KINDS, Unseen, is_attention, unseen
from fit_devices import devices

from roofline.fitting.operators import band_of
from roofline.hardware.loading import load_hardware

Scale = Callable[[Unseen, Sequence[Unseen]], float]
_SHRUNK = 2
"""Of a kernel's own scale counts n / (n + 2), seen on n devices."""


def one(_: Unseen, others: Sequence[Unseen]) -> float:
    """The same for all."""
    return 1.0


def of_kernel(kernel: Unseen, others: Sequence[Unseen]) -> float:
    """What the same kernel errs on the other devices, shrunk towards all."""
    known = [(other, np.log(np.sqrt((other.logs**2).mean()))) for other in others]
    alike = [size for other, size in known if (other.kind, other.library) == (kernel.kind, kernel.library)]
    among = np.mean([size for _, size in known])
    return float(np.exp(among + len(alike) / (len(alike) + _SHRUNK) * (np.mean(alike or [among]) - among)))


def of_donors(power: float) -> Scale:
    """What the rows err that its constants were fitted to, to a power."""
    return lambda kernel, _: float(np.abs(kernel.donors).mean() ** power)


WAYS: Mapping[str, tuple[Scale, Callable[[str, str], bool]]] = {
    "one for attention, one for scans": (one, lambda a, b: is_attention(a) == is_attention(b)),
    "one for all": (one, lambda a, b: True),
    "one for each kind": (one, lambda a, b: a == b),
    "scale of the kernel": (of_kernel, lambda a, b: is_attention(a) == is_attention(b)),
    "scale of the kernel, one for all": (of_kernel, lambda a, b: True),
    "fourth root of the donors' errors": (of_donors(0.25), lambda a, b: is_attention(a) == is_attention(b)),
    "root of the donors' errors": (of_donors(0.5), lambda a, b: is_attention(a) == is_attention(b)),
}
"""How a scale is known, and of which kinds errors are taken together."""


def band_by(scale: Scale, kernel: Unseen, others: Sequence[Unseen]) -> tuple[float, float]:
    """ln of the ends of a kernel's band, from what others err."""
    parts = [other.logs / scale(other, [each for each in others if each is not other]) for other in others]
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts])
    low, high = np.log(band_of(np.concatenate(parts), weights)) * scale(kernel, others)
    return float(low), float(high)


def judged(kernels: Mapping[str, Sequence[Unseen]], others: Mapping[str, Sequence[Unseen]], way: str) -> Any:
    """Coverage, width and score of each kernel on each device left out: [kernels, 3]."""
    scale, alike = WAYS[way]
    found = []
    for device, own in kernels.items():
        for kernel in own:
            known = [other for other in others[device] if alike(other.kind, kernel.kind)]
            low, high = band_by(scale, kernel, known or others[device])
            outside = np.maximum(low - kernel.logs, 0) + np.maximum(kernel.logs - high, 0)
            found.append((np.mean(outside == 0), high - low, (high - low + 20 * outside).mean()))
    return np.array(found)


def report(data: Path) -> Iterator[str]:
    """A Markdown table: a line for each way."""
    every = [kernel for kind in KINDS for kernel in unseen(kind, data, "")]
    names = [device.name for device in devices(data)]
    kernels = {name: [kernel for kernel in every if kernel.device == name] for name in names}
    others = {name: [kernel for kind in KINDS for kernel in unseen(kind, data, name)
                     if _generation(kernel.device) != _generation(name)] for name in names}  # fmt: skip
    order = [kernel for own in kernels.values() for kernel in own]
    yield "| band | kernels | cover | 85 to 96 % | ln(high / low) | score | difference |\n|---" + "|--:" * 6 + "|"
    first = judged(kernels, others, next(iter(WAYS)))
    for way in WAYS:
        found = judged(kernels, others, way)
        cover, width, score = found.mean(axis=0)
        means = drawn_means(found[:, 2] - first[:, 2], [kernel.kind for kernel in order], [k.device for k in order])
        low, high = np.quantile(means, [0.05, 0.95])
        yield (f"| {way} | {len(found)} | {100 * cover:.1f} % | {int(asked(found[:, 0]).sum())} | {width:.2f} "
               f"| {score:.2f} | {score - first[:, 2].mean() + 0.0:+.2f} ({low:+.2f} to {high:+.2f}) |")  # fmt: skip


def _generation(device: str) -> str:
    return load_hardware(device).calibration_class


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Ways to make bands for architectures that were not timed.")
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    print("\n".join(report(parser.parse_args().data)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
