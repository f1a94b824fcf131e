"""Which engine runs a network on a device: the one asked for, else what is usual there; what of it concerns timing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from roofline.calibration.constants import ConstantSet, Execution, Provenance
from roofline.calibration.kernels import EXPERTS, Kernels
from roofline.calibration.young_ports import load_young_ports
from roofline.classes import frozen
from roofline.compression.recipes import Recipe
from roofline.engines.engine import Engine
from roofline.engines.kernel_devices import KERNEL_DEVICES, runs_on
from roofline.engines.library import load_engine, load_every_engine
from roofline.errors import UsageError, WorkloadError, shown
from roofline.hardware.spec import HardwareSpec
from roofline.identity import Same
from roofline.number import Number
from roofline.options.edits import edits_by_room
from roofline.options.groups import Timing
from roofline.program.phases import Phase
from roofline.timing.machine import PACKED, ConstantSource, Machine
from roofline.timing.networks import Network
from roofline.timing.rates import Rates

_SERVING = ("gpu", "apu")
"""Kinds of device that engines for serving run on."""

_USUAL = ("vllm", "transformers")
"""What decoders run in there: the first that runs on the device."""

VECTOR = 16
"""Elements of which Triton loads vectors: kernels are compiled for sizes that are multiples of it (tt.divisibility)."""

DECODER = (Phase.PREFILL, Phase.DECODE)


def read_engine(
    asked: Timing,
    device: HardwareSpec | None,
    phases: Collection[Phase] | None,
    edits: Mapping[str, object] | None = None,
    *,
    stored: Recipe | None = None,
) -> Engine:
    """The engine that options ask for, or the usual one for a network of these phases on a device, with its ``edits``.

    ``phases`` None: one operator, or a formula, which no engine merges unless asked. ``stored``: how weights lie, which
    the usual engine loads, or gives way to one that does. Raises UsageError for what names none, SpecError for one that
    is not known, WorkloadError for one that does not serve this network or device.
    """
    found = _named(asked, device, phases, edits_by_room(edits)["engine"], stored)
    kernels = None if (named := asked.get("kernels")) is None else str(named)
    return _settled(Same(found), None if device is None else Same(device), kernels)


@lru_cache(maxsize=64)
def _settled(engine: Same[Engine], device: Same[HardwareSpec] | None, kernels: str | None) -> Engine:
    """The engine with its chunk on a device and with ``kernels``: one object each, since memos key on it."""
    found = engine.it if device is None else engine.it.on(device.it.words, device.it.capacity)
    if kernels is None:
        return found
    chosen = found.with_kernels(kernels)
    if device is not None:
        _check_kernels(kernels, device.it)
    return chosen


def _check_kernels(library: str, device: HardwareSpec) -> None:
    """Raises WorkloadError for a library that has no kernels for a device whose vendor is known."""
    able = KERNEL_DEVICES.get(library, ())
    if device.vendor is None or runs_on(able, device.words):
        return
    msg = f"kernels {library} run on {' or '.join(able)}, and {device.name} is {_kind_of(device)}"
    msg += "; name others, or leave --kernels out for those of the engine"
    raise WorkloadError(msg)


def _kind_of(device: HardwareSpec) -> str:
    """Vendor and architecture in words: NVIDIA Ampere (GA100, sm_80)."""
    return f"{device.vendor or ''} {device.architecture or device.kind}".strip()


def _named(
    asked: Timing,
    device: HardwareSpec | None,
    phases: Collection[Phase] | None,
    fields: Mapping[str, object],
    stored: Recipe | None,
) -> Engine:
    name = asked.get("engine")
    if name is None:
        usual = _usual(device, phases)
        able = (each for each in (*usual, _OF_BLOCKS) if _runs(load_engine(each), device, phases, stored))
        return load_engine(next(able, usual[0]), fields)
    if not isinstance(name, str | Path | Engine):
        msg = f"engine {shown(name)}: expected a name, a YAML file or an engine that was loaded"
        raise UsageError(msg)
    engine = load_engine(name, fields)
    _check(engine, device, phases)
    return engine


def _usual(device: HardwareSpec | None, phases: Collection[Phase] | None) -> list[str]:
    """The usual engines on a device: those that its file names for decoders, else those of its kind."""
    if device is not None and device.kind == "cpu":
        return ["transformers"]
    if device is None or phases is None or tuple(phases) not in (DECODER, DECODER[:1]):
        return ["torch-compile"]
    if device.engines or device.kind not in _SERVING:
        return device.engines or ["torch-compile"]
    return [next(each for each in _USUAL if runs_on(load_engine(each).devices, device.words))]


_OF_BLOCKS = "llama-cpp"
"""The engine of GGUF files, where the usual one loads none."""


def _runs(engine: Engine, device: HardwareSpec | None, phases: Collection[Phase] | None, stored: Recipe | None) -> bool:
    """Whether an engine loads what is stored, and runs a network of these phases on a device."""
    if stored is None or device is None or phases is None:
        return True
    try:
        check_loaded(engine, stored)
        _check(engine, device, phases)
    except WorkloadError:
        return False
    return True


def check_loaded(engine: Engine, recipe: Recipe) -> None:
    """Raises WorkloadError for an engine that does not compute with weights as a recipe stores them.

    Weights of 16 bits and MXFP4 lie alike in both kinds of file.
    """
    for form, _ in recipe.pairs:
        if not form.is_narrow or form.name == "mxfp4":
            continue
        if form.block and "gguf" not in engine.loads:
            able = [each.name for each in load_every_engine() if "gguf" in each.loads]
            msg = f"engine {engine.name} loads no GGUF, in whose types {recipe.name} stores weights"
            msg += f"; expected engine {', '.join(able[:-1])} or {able[-1]}, or a dtype such as w4a16"
            raise WorkloadError(msg)
        if not form.block and "safetensors" not in engine.loads:
            msg = f"engine {engine.name} loads GGUF alone, and {recipe.name} is none of its types"
            msg += "; expected a dtype such as q4_k_m, q8_0 or bf16, or another engine"
            raise WorkloadError(msg)


def _check(engine: Engine, device: HardwareSpec | None, phases: Collection[Phase] | None) -> None:
    """Raises WorkloadError where an engine does not serve such a network, or does not run on such a device."""
    needed = {"encoders" if phase.encodes else "decoders" for phase in phases or ()}
    if lacking := needed - set(engine.serves):
        msg = f"{engine.name} serves {' and '.join(engine.serves)}, and this network has {lacking.pop()}; name another"
        raise WorkloadError(msg)
    if device is not None and not runs_on(engine.devices, device.words):
        able = ", ".join(engine.devices)
        msg = f"{engine.name} runs on {able}, and {device.name} is {_kind_of(device)}; name another engine"
        raise WorkloadError(msg)


def kernels_of(engine: Engine, device: HardwareSpec) -> Kernels:
    """Whose kernels an engine runs on a device; the bands of a young engine are wider already, whosever they are.

    What quantises in a step rounds to scales that the checkpoint holds, or finds them in the same pass: one kernel, and
    not the two of TensorRT-LLM's matmul with activations of unknown scale.
    """
    slower = load_young_ports().slower if engine.is_mature_on(device.words) else 1.0
    known = device.words
    experts = tuple(engine.experts_on(known).items())
    scans = engine.scan_on(known)
    return Kernels(engine.attention_on(known), engine.matmul_on(known), slower, experts=experts, scan=scans)


def unknown_kernels(constants: ConstantSet, kinds: Iterable[str]) -> str:
    """What to know of kernels of a library that nobody timed on a device; empty where they were."""
    asked = constants.kernels
    untimed: dict[tuple[str, str], dict[str, None]] = {}
    for kind in kinds:
        if instead := constants.instead(kind):
            untimed.setdefault((_in_words(kind), asked.of(kind)), {})[instead] = None
    wider = f", the slow end of its band widened {asked.slower:g} x" if asked.slower > 1 else ""
    name = constants.name
    told = (
        f"no {kind} of {library} was timed for {name}: it takes the constants of {' and '.join(instead)}{wider}"
        for (kind, library), instead in untimed.items()
    )
    return "; ".join(told)


def unpacks_untimed(constants: ConstantSet, recipe: Recipe, *, experts: bool) -> str:
    """What to know of matmuls that widen their weights, where none was timed; empty where some were, or none widen."""
    wide = recipe.compute_dtype
    timed = (experts and constants.unpacks_experts(wide)) or constants.unpacks_blocks()
    unpacked = ", ".join(recipe.unpacked if constants.calibration and not timed else ())
    told = f"no matmul that unpacks {unpacked} weights was timed: they take the constants of {wide} ones"
    return told if unpacked else ""


def single_loads(constants: ConstantSet, device: HardwareSpec, experts: Iterable[tuple[str, Number]]) -> str:
    """What to know of experts whose rows Triton's kernels load element by element; empty where there are none.

    ``experts``: by the dtype of their constants, what is summed over in a matmul of theirs: a hidden size, or a width
    on each device. Weights of 4 bits have kernels of their own, which pad.
    """
    found = {
        int(size)
        for dtype, sizes in experts
        if constants.library_of("grouped_matmul", dtype) == "triton" and not dtype.endswith(PACKED)
        for size in np.unique(np.asarray(sizes, dtype=np.float64))
        if size % VECTOR
    }
    if not found or "nvidia" not in device.words:
        return ""
    widths = " and ".join(f"{size:,}" for size in sorted(found))
    return (
        f"experts with rows of {widths} elements on a device: no multiple of {VECTOR}, so that Triton's kernels load "
        "them one by one, which took 2 (bf16, Hopper) to 50 times (fp8, L40S) what is told"
    )


def _in_words(kind: str) -> str:
    """What a kind of constants does, whatever its phase."""
    if kind in EXPERTS:
        return "grouped matmul of experts"
    return (
        "attention" if "attention" in kind else kind.removesuffix("_prefill").removesuffix("_decode").replace("_", " ")
    )


def caution(engine: Engine, device: HardwareSpec) -> str:
    """What to know of an engine whose kernels were not timed on such a device; empty where they were."""
    if engine.is_mature_on(device.words):
        return ""
    young = load_young_ports()
    told = f"{engine.words} was not timed on devices like {device.name}"
    return f"{told}: the slow end of its band is widened {young.slower:g} x ({young.evidence})"


@frozen
class Launching:
    """What of an engine a machine needs: how steps are launched, whether as single kernels, how young they are.

    ``host``: its times between steps, times this. ``joins``: whether its all-reduces compute norms too. ``beside``:
    whether its graphs run operators beside others.
    """

    execution: Execution
    single: bool
    slower: float
    host: float = 1.0
    joins: bool = False
    beside: bool = False

    @classmethod
    def of(cls, engine: Engine, device: HardwareSpec | None, constants: Provenance | None = None) -> Launching:
        """That of ``engine`` on a device; a data sheet's bound has no band to widen, and no host."""
        mature = device is None or constants == "datasheet" or engine.is_mature_on(device.words)
        execution: Execution = "graph" if engine.graphs else "eager"
        slower = 1.0 if mature else load_young_ports().slower
        joins = device is not None and engine.reduces_norm_on(device.words)
        beside = device is not None and engine.runs_beside_on(device.words)
        host = 0.0 if constants == "datasheet" else 1.0
        return cls(execution, engine.kernels == "single", slower, host, joins, beside)

    def machine(
        self,
        rates: Rates,
        constants: ConstantSource,
        network: Network | None = None,
        room_bytes: float | None = None,
        host_link: float | None = None,
    ) -> Machine:
        """A machine whose steps are launched so; what it takes is as for :class:`Machine`."""
        launched = self.single, self.slower, self.host, self.joins, host_link, self.beside
        return Machine(rates, constants, self.execution, network, room_bytes, *launched)
