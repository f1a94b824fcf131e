"""A real training step under the stopwatch: forward pass, backward pass and update, whole and kernel by kernel.

Nothing drops out. Each kernel is timed where it runs, in the step itself; a step with a mode of the dispatcher around
it is slower by Python alone, which lies between the kernels.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from roofline.errors import UsageError, WorkloadError
from roofline.training.step import TrainingStep
from roofline.validation.capture import TorchCall, call_of, storage_addresses
from roofline.validation.devices import Device
from roofline.validation.session import BUSY, NOISY, STEP_BURST_S
from roofline.validation.stopwatch import SLOWER, Samples, Stopwatch, Tell, silent, steady
from roofline.validation.training.comparison import PASSES, Measured, Timed

MOST_TRACED = 9
"""Steps whose kernels are timed, at most."""

FORMATS = ("fp32", "bf16")
"""Recipes that are timed: weights, gradients and states in the format that is computed in."""


@dataclass(slots=True)
class TrainedModule:
    """A module, its optimizer and a batch. ``scored``: whether the loss is cross-entropy over a vocabulary.

    ``parts``: seconds of each pass of each step so far.
    """

    device: Device
    module: Any
    optimizer: Any
    tokens: Any
    scored: bool
    parts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def loss(self) -> Any:
        """The forward pass: cross-entropy of what follows, or a sum over all outputs where none is a score."""
        from inspect import signature  # noqa: PLC0415

        known = signature(self.module.forward).parameters
        asked: dict[str, Any] = {"use_cache": False} if "use_cache" in known else {}
        if self.scored and "labels" in known:
            return self.module(self.tokens, labels=self.tokens, **asked).loss
        found = self.module(self.tokens, **asked)
        outputs = found.to_tuple() if hasattr(found, "to_tuple") else (found,)
        if not self.scored:
            return sum(each.sum() for each in outputs if isinstance(each, self.device.torch.Tensor))
        scores = outputs[0].float().flatten(0, 1)
        return self.device.torch.nn.functional.cross_entropy(scores, self.tokens.flatten())

    def passes(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """The passes of a step, each to be run in turn."""
        made: list[Any] = []
        yield "forward", lambda: made.append(self.loss())
        yield "backward", lambda: made.pop().backward()
        yield "update", self._update

    def _update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    def run(self) -> None:
        """One step; what its passes took is noted."""
        clock = self.device.clock
        for name, each in self.passes():
            begun = clock()
            each()
            self.device.wait()
            self.parts[name].append((clock() - begun) * 1e-9)


def trained_module(step: TrainingStep, module: Any, device: Device) -> TrainedModule:
    """What is timed. Raises UsageError or WorkloadError for an optimizer, a recipe or a model that is not."""
    q = step.question
    program = q.network.forward
    if q.recipe.name not in FORMATS:
        msg = f"dtype {q.recipe.name}: validate --train times {' and '.join(FORMATS)}"
        raise UsageError(msg)
    if "V" not in program.sizes or "patch_size" in q.request.model.fields:
        msg = f"{q.request.model.name} reads no tokens; validate --train times models of text"
        raise WorkloadError(msg)
    optimizer = _optimizer(q.optimizer.name, module, device)
    scored = any(op.function.startswith("cross_entropy") for group in program.groups for op in group.ops)
    tokens = device.torch.randint(0, int(program.sizes["V"]), (q.batch, q.sequence), device=device.kind)
    return TrainedModule(device, module, optimizer, tokens, scored)


def _optimizer(name: str, module: Any, device: Device) -> Any:
    """The optimizer of torch, one kernel for all weights."""
    optim = device.torch.optim
    known: dict[str, Callable[[Any], Any]] = {
        "adamw": lambda weights: optim.AdamW(weights, lr=1e-6, fused=True),
        "sgd": lambda weights: optim.SGD(weights, lr=1e-6, fused=True),
        "sgd-momentum": lambda weights: optim.SGD(weights, lr=1e-6, momentum=0.9, fused=True),
    }
    if name not in known:
        msg = f"optimizer {name}: validate --train times {', '.join(known)}, which torch has as one kernel"
        raise UsageError(msg)
    return known[name](list(module.parameters()))


def measure_step(
    trained: TrainedModule, budget_s: float, *, reference_s: float | None = None, tell: Tell = silent
) -> Measured:
    """Half of the budget whole steps, then steps kernel by kernel, then one whose tensors are counted."""
    device = trained.device
    trained.run()
    trained.parts.clear()
    watch = Stopwatch(device, burst_s=STEP_BURST_S, graph=False, reference_s=reference_s)
    watch.run({"step": lambda _: trained.run()}, 0.5 * budget_s, tell=tell)
    step = watch.samples()["step"]
    passes = {name: statistics.median(trained.parts[name]) for name in PASSES}
    tell("kernels of the step", 0.5)
    kernels = _kernels(trained, 0.4 * budget_s)
    tell("memory of the step", 0.9)
    saved, peak = saved_bytes(trained), peak_bytes(trained)
    return Measured(step, passes, kernels, saved, peak, tuple(_flags(step, watch)))


def _flags(step: Samples, watch: Stopwatch) -> Iterator[str]:
    if watch.waited > BUSY:
        yield f"busy: other processes had the core for {watch.waited:.0%} of the time"
    if step.noise > NOISY:
        yield f"noise: the median of the step is known to {step.noise:.0%} only ({len(step.every)} samples)"
    if step.slower > SLOWER - 1:
        yield f"speed: a small matmul took {step.slower:.0%} longer than when the device was calibrated"


# Kernels


def _kernels(trained: TrainedModule, budget_s: float) -> Timed:
    """The kernels of each pass in order, each with the median of its seconds over several steps."""
    end = time.monotonic() + budget_s
    steps: list[dict[str, list[tuple[TorchCall, float]]]] = []
    with steady():
        while not steps or (time.monotonic() < end and len(steps) < MOST_TRACED):
            steps.append(_traced(trained))
    calls = {name: [call for call, _ in steps[0][name]] for name in PASSES}
    same = [each for each in steps if all([call for call, _ in each[name]] == calls[name] for name in PASSES)]
    return {
        name: [
            (call, statistics.median(each[name][place][1] for each in same))
            for place, call in enumerate(calls[name])
            if not call.view
        ]
        for name in PASSES
    }


def _traced(trained: TrainedModule) -> dict[str, list[tuple[TorchCall, float]]]:
    """One step, each kernel of it timed."""
    from torch.utils._python_dispatch import TorchDispatchMode  # noqa: PLC0415

    device, known = trained.device, storage_addresses(trained.module.parameters())
    found: dict[str, list[tuple[TorchCall, float]]] = {name: [] for name in PASSES}
    clock = device.clock
    here: list[tuple[TorchCall, float]] = []

    class Mode(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            begun = clock()
            result = function(*args, **(kwargs or {}))
            device.wait()
            seconds = (clock() - begun) * 1e-9
            if function.namespace != "profiler":  # marks of the optimizer, no kernels
                here.append((call_of(device.torch, function, args, kwargs or {}, result, known), seconds))
            return result

    for name, each in trained.passes():
        here = found[name]
        with Mode():
            each()
    return found


# Memory


def saved_bytes(trained: TrainedModule) -> float:
    """Bytes of all storages that the forward pass saves, but for those of weights and of whole numbers."""
    torch, kept = trained.device.torch, {}
    weights = storage_addresses(trained.module.parameters())

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights and tensor.dtype.is_floating_point:
            kept[storage._cdata] = storage  # held, so that no other tensor takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = trained.loss()
    del loss
    return float(sum(storage.nbytes() for storage in kept.values()))


def peak_bytes(trained: TrainedModule) -> float | None:
    """The most bytes that the tensors of a step take at once: by the allocator's count on a GPU, else by torch's own.

    None where this torch has neither.
    """
    torch, device = trained.device.torch, trained.device
    if device.kind == "cuda":
        torch.cuda.reset_peak_memory_stats()
        trained.run()
        return float(torch.cuda.max_memory_allocated())
    try:
        from torch.distributed._tools.mem_tracker import MemTracker  # noqa: PLC0415
    except ImportError:
        return None
    seen = MemTracker()
    seen.track_external(trained.module, trained.optimizer, trained.tokens)
    with _quiet(), seen:
        for _, each in trained.passes():
            each()
    return float(sum(of["Total"] for of in seen.get_tracker_snapshot("peak").values()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracker's warnings, which are about its own hooks."""
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
