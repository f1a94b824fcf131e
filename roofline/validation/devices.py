"""The device that is timed: how to wait for it, how a burst of calls is timed, what its caches and memory hold."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from roofline.errors import MissingExtraError, RooflineError, UsageError
from roofline.units import parse_quantity

DeviceKind: TypeAlias = Literal["cpu", "cuda", "mps"]
Call: TypeAlias = Callable[[int], object]
"""One execution of what is timed; the argument is the turn, by which it picks its copy of the inputs."""

TORCH_DTYPES = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_CALLS_IN_GRAPH = 10
_PROBE_WARM_S, _PROBE_S = 6e-3, 2e-3


class DeviceMissingError(RooflineError):
    """The device, or a dtype of it, is not there."""

    exit_code = 7


def load_torch() -> Any:
    """The library. Raises MissingExtraError where it is not installed."""
    try:
        import torch  # noqa: PLC0415  (slow to import; only who measures needs it)
    except ImportError:
        purpose = "measuring"
        raise MissingExtraError(purpose, "torch") from None
    return torch


@dataclass(slots=True)
class Device:
    """A torch device under the stopwatch. ``graphs`` keeps the CUDA graphs of calls that were captured."""

    kind: DeviceKind
    torch: Any
    threads: int = 1
    graphs: dict[Call, tuple[Any, int] | None] = field(default_factory=dict)

    @classmethod
    def open(cls, kind: str | None = None, threads: int = 1) -> Device:
        """The device of this kind, or the best there is. Raises DeviceMissingError where there is none."""
        torch = load_torch()
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        chosen = kind or next(name for name, found in there.items() if found)
        if chosen not in there:
            msg = f"--device {chosen!r}: expected cuda, cpu or mps"
            raise UsageError(msg)
        if not there[chosen]:
            msg = f"--device {chosen}: torch {torch.__version__} finds none here; expected {_listed(there)}"
            raise DeviceMissingError(msg)
        torch.set_num_threads(threads)
        return cls(chosen, torch, threads)  # type: ignore[arg-type]  # checked above

    def dtype(self, name: str) -> Any:
        """The torch dtype of ours. Raises DeviceMissingError where the device cannot contract in it."""
        if name not in TORCH_DTYPES:
            msg = f"dtype {name!r} is not timed; expected {', '.join(TORCH_DTYPES)}"
            raise DeviceMissingError(msg)
        found = getattr(self.torch, TORCH_DTYPES[name])
        try:
            one = self.torch.ones(8, 8, dtype=found, device=self.kind)
            (one @ one).sum().item()
        except RuntimeError:
            msg = f"{self.title} has no {name} in torch {self.torch.__version__}"
            raise DeviceMissingError(msg) from None
        if self.kind == "cuda":
            self.torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        return found

    def random(self, *shape: int, dtype: Any = None) -> Any:
        """Random numbers, never zeros: those run faster than real data on chips that save power."""
        found = self.torch.randn(*shape, dtype=self.torch.float32, device=self.kind) * 0.05
        return found if dtype is None else found.to(dtype)

    def wait(self) -> None:
        """Until everything that was asked of the device is done."""
        if self.kind == "cuda":
            self.torch.cuda.synchronize()
        elif self.kind == "mps":
            self.torch.mps.synchronize()

    def burst(self, call: Call, turn: int, at_least_s: float, *, graph: bool = True) -> tuple[float, int]:
        """Seconds of one call, the mean over a burst of at least this length, and the next turn.

        CUDA: replays of a graph of several calls, by events, so that launch gaps do not count; calls that no graph
        takes are timed one after another. ``graph=False`` times what the host does too. One thread of a CPU: by
        ``clock``.
        """
        if self.kind == "cuda" and graph:
            return self._cuda_burst(call, turn, at_least_s)
        clock = self.clock
        start, calls = clock(), 0
        while True:
            call(turn + calls)
            calls += 1
            if self.kind != "cpu" and calls % 8 == 0:
                self.wait()
            if (clock() - start) * 1e-9 >= at_least_s:
                break
        self.wait()
        return (clock() - start) * 1e-9 / calls, turn + calls

    @property
    def clock(self) -> Callable[[], int]:
        """Nanoseconds: of one thread of a CPU those for which it had a core, so that others on it do not count."""
        alone = self.kind == "cpu" and self.threads == 1
        return time.process_time_ns if alone else time.perf_counter_ns

    def probe(self) -> Callable[[], float | None]:
        """A small matmul, always the same, and what one takes at the median of a few. A GPU has none: it is ours.

        After a stretch of waiting for memory a core takes some milliseconds to come up to speed; these do not count.
        """
        if self.kind != "cpu":
            return lambda: None
        a, b = (self.torch.randn(128, 128) for _ in range(2))
        product = self.torch.empty(128, 128)

        def run() -> float:
            times: list[int] = []
            clock = self.clock
            begun = clock()
            while (now := clock()) - begun < (_PROBE_WARM_S + _PROBE_S) * 1e9 or len(times) < 9:
                self.torch.mm(a, b, out=product)
                if now - begun > _PROBE_WARM_S * 1e9:
                    times.append(clock() - now)
            return statistics.median(times) * 1e-9

        run()
        return run

    def _cuda_burst(self, call: Call, turn: int, at_least_s: float) -> tuple[float, int]:
        cuda = self.torch.cuda
        if call not in self.graphs:
            self.graphs[call] = self._captured(call)
        captured = self.graphs[call]
        play, each = (captured[0].replay, captured[1]) if captured else (lambda: call(turn), 1)
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        spent, rounds = 0.0, 0
        while spent < at_least_s:
            begin.record()
            play()
            end.record()
            end.synchronize()
            spent += begin.elapsed_time(end) * 1e-3
            rounds += 1
        return spent / rounds / each, turn + rounds * each

    def _captured(self, call: Call) -> tuple[Any, int] | None:
        """A CUDA graph of several turns, or None where these calls cannot be captured."""
        cuda = self.torch.cuda
        stream = cuda.Stream()
        stream.wait_stream(cuda.current_stream())
        try:
            with cuda.stream(stream):
                for turn in range(3):
                    call(turn)
            cuda.current_stream().wait_stream(stream)
            graph = cuda.CUDAGraph()
            with cuda.graph(graph):
                for turn in range(_CALLS_IN_GRAPH):
                    call(turn)
        except RuntimeError:
            self.wait()
            return None
        return graph, _CALLS_IN_GRAPH

    @property
    def title(self) -> str:
        """What the machine calls it."""
        if self.kind == "cuda":
            return str(self.torch.cuda.get_device_name())
        return _cpu_name() if self.kind == "cpu" else "Apple GPU"

    @property
    def cache_bytes(self) -> float:
        """The last cache before device memory. [B]"""
        if self.kind == "cuda":
            return float(self.torch.cuda.get_device_properties(0).L2_cache_size)
        return _last_cache() if self.kind == "cpu" else 32e6

    @property
    def memory_bytes(self) -> float:
        """All of its memory. [B]"""
        if self.kind == "cuda":
            return float(self.torch.cuda.get_device_properties(0).total_memory)
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    @property
    def units(self) -> tuple[str, int] | None:
        """What a device's work is spread over, and how many there are."""
        if self.kind == "cuda":
            return "SM", int(self.torch.cuda.get_device_properties(0).multi_processor_count)
        return ("core", self.threads) if self.kind == "cpu" else None


def _listed(there: dict[str, bool]) -> str:
    return " or ".join(name for name, found in there.items() if found)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        import platform  # noqa: PLC0415

        return platform.processor() or "CPU"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")


def _last_cache() -> float:
    """The largest cache that the kernel names, 32 MiB where it names none. [B]"""
    sizes = []
    for entry in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = entry.read_text(encoding="utf-8").strip()
        sizes.append(float(parse_quantity(f"{text[:-1]} {text[-1]}iB".replace("KiB", "KiB"), "bytes")))
    return max(sizes, default=32 * 2.0**20)
