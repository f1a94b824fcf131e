"""What a measurement depends on: machine, threads, instructions, versions; what to set, and whether threads stall."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from roofline.classes import frozen
from roofline.validation.devices import Device
from roofline.validation.stopwatch import STALL_S, Stopwatch, stalled

ADVISED = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "KMP_BLOCKTIME": "0",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
}
"""Set before torch loads. Threads that spin while they wait make others miss whole ticks on small virtual machines; an
allocator that hands freed memory back makes the next tensor pay for each of its pages anew."""

OPTIONAL = ("numpy", "scipy", "matplotlib", "pyarrow", "transformers", "huggingface_hub")


def settings(threads: int) -> dict[str, str]:
    """The environment variables that a measurement with so many threads wants."""
    return {**ADVISED, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def missing_settings(threads: int, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Those that are not set yet, or set otherwise."""
    found = os.environ if given is None else given
    return {name: value for name, value in settings(threads).items() if found.get(name) != value}


def default_threads() -> int:
    """One on a machine of two virtual cores or fewer, where a second one gains little and stalls; else the cores."""
    cores = os.cpu_count() or 1
    return 1 if cores <= 2 else cores


def restart_with(threads: int, *command: str) -> None:
    """Start this command, or another one, anew with the settings, unless they are there: libraries read them once."""
    missing = missing_settings(threads)
    if missing and "torch" not in sys.modules and os.environ.get("ROOFLINE_RESTARTED") is None:
        os.environ.update(missing)
        os.environ["ROOFLINE_RESTARTED"] = "1"
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *(command or ("-m", "roofline", *sys.argv[1:]))])


def describe_environment(device: Device) -> dict[str, Any]:
    """Machine and software, as results carry them; no path and no name of a host."""
    torch = device.torch
    found: dict[str, Any] = {
        "device": device.title,
        "device_kind": device.kind,
        "threads": device.threads,
        "cores": os.cpu_count(),
        "memory_bytes": device.memory_bytes,
        "cache_bytes": device.cache_bytes,
        "python": platform.python_version(),
        "torch": f"torch {torch.__version__}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "settings": {name: os.environ[name] for name in settings(1) if name in os.environ},
        "system": f"{platform.system()} {platform.machine()}",
        **{name: installed(name) for name in OPTIONAL if installed(name)},
    }
    if device.kind == "cpu" and (nodes := numa_nodes()):
        found["numa_nodes"] = nodes
    if device.kind == "cuda":
        found |= {
            "cuda": torch.version.cuda,
            "driver": _nvidia("driver_version"),
            "power_limit": _nvidia("power.limit"),
        }
    return found


def numa_nodes(where: Path = Path("/sys/devices/system/node")) -> int:
    """The NUMA nodes that Linux sees: parts of the memory that are nearer to some cores. 0 where it does not say."""
    return sum(1 for node in where.glob("node[0-9]*"))


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@frozen
class SelfTest:
    """What a stall test saw: the slowest of its shapes against what the others let expect."""

    stalled: bool
    worst_s: float
    expected_s: float
    flicker: float

    @property
    def words(self) -> str:
        """In a sentence."""
        if self.stalled:
            return (
                f"threads stall: a kernel of {self.expected_s * 1e3:.2f} ms takes {self.worst_s * 1e3:.1f} ms "
                f"(a tick is {STALL_S * 1e3:.0f} ms); set OMP_WAIT_POLICY=PASSIVE before torch loads, or use one thread"
            )
        if self.flicker > 0.15:
            return (
                f"no stall, but one kernel's time varies by {self.flicker:.0%}: somebody shares the core or its power; "
                "times are means of bursts over many rounds, and the noise floor stands beside them"
            )
        return f"no stall; one kernel's time varies by {self.flicker:.0%}"


def stall_test(device: Device, budget_s: float = 2.0) -> SelfTest:
    """Twenty matmuls of growing size: no one may take a tick of the scheduler where its neighbours take far less."""
    torch = device.torch
    calls, work = {}, {}
    for index in range(20):
        side = 32 + 12 * index
        a, b = device.random(side, side), device.random(side, side)
        calls[f"matmul {side}"] = lambda _, a=a, b=b: torch.mm(a, b)
        work[f"matmul {side}"] = 2.0 * side**3
    watch = Stopwatch(device, burst_s=1e-3, graph=False)
    watch.run(calls, budget_s, most=40)
    found = watch.samples()
    rates = sorted(work[name] / samples.time_s for name, samples in found.items())
    usual = rates[len(rates) // 2]
    worst = max(found, key=lambda name: found[name].time_s * usual / work[name])
    expected = work[worst] / usual
    spread = sorted(sample.seconds for sample in found[f"matmul {32 + 12 * 19}"].every)
    flicker = spread[len(spread) * 9 // 10] / spread[len(spread) // 10] - 1
    bad = stalled([sample.seconds for sample in found[worst].every], expected)
    return SelfTest(bad, found[worst].time_s, expected, flicker)


def gpu_state(device: Device) -> dict[str, float]:
    """Clock of the multiprocessors [MHz] and use [%] of an NVIDIA GPU just now; empty for others."""
    found = {}
    for name, field in (("clock_mhz", "clocks.sm"), ("used_percent", "utilization.gpu")):
        text = (_nvidia(field) or "").split(" ")[0] if device.kind == "cuda" else ""
        if text.isdigit():
            found[name] = float(text)
    return found


def _nvidia(field: str) -> str | None:
    """A field of nvidia-smi, which only reads; None where it does not answer."""
    import shutil  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, f"--query-gpu={field}", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.strip() or None
