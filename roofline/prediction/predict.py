"""Where the wings meet: a model, a device and a workload become a :class:`Prediction`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from roofline.calibration.constants import ConstantSet
from roofline.compression.recipes import Recipe
from roofline.compression.transform import Compression
from roofline.cost.kernel_shapes import GroupedShape
from roofline.cost.kv_cache import cache_bytes
from roofline.cost.memory_fit import MemoryFit
from roofline.engines.engine import Engine
from roofline.errors import WorkloadError
from roofline.hardware.cache_tiers import read_tiers
from roofline.hardware.spec import HardwareSpec
from roofline.layers.expert_load import note_of
from roofline.models.model import Model
from roofline.number import exact, mean, settled
from roofline.options.groups import Degrees
from roofline.options.keywords import part, takes
from roofline.options.verbs.predicting import PredictOptions, RequestOptions
from roofline.parallelism.layout import Layout
from roofline.parallelism.replication import Replicated, replicated_weights
from roofline.parallelism.split_axes import towers_apart
from roofline.prediction.before_after import Change, changes, uncompressed
from roofline.prediction.cache_at_start import CacheAtStart, cache_at_start
from roofline.prediction.components import Component, components_of
from roofline.prediction.figures import Operator, PhasePrediction
from roofline.prediction.fleet import layout_of
from roofline.prediction.host_memory import CachesBelow, of_caches
from roofline.prediction.overflow import Overflow, find_overflow, fit_request
from roofline.prediction.request import Hardware, Request, read_request
from roofline.prediction.step import Steps, steps_of
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.workload import Precision, Workload
from roofline.timing.engine_choice import caution, single_loads, unknown_kernels, unpacks_untimed
from roofline.timing.machine import dtype_of, kind_of
from roofline.version import versions

if TYPE_CHECKING:
    from roofline.prediction.layouts.search import Chosen
from roofline.cost.residency import hosted_bytes
from roofline.units import format_quantity


class Phases(Mapping[Phase, PhasePrediction]):
    """Phase -> its prediction; a phase is asked for by its name, such as ``"decode"``."""

    def __init__(self, held: Iterable[tuple[Phase, PhasePrediction]]) -> None:
        self._held: dict[str, PhasePrediction] = dict(held)

    def __getitem__(self, phase: str) -> PhasePrediction:
        return self._held[phase]

    def __iter__(self) -> Iterator[Phase]:
        return map(Phase, self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return repr(self._held)


@dataclass(frozen=True)
class Prediction:
    """What a model costs on a device: memory, time, what binds, how sure, phase by phase.

    Times are those of a prediction that is made; memory and parameters are counted when they are asked for.
    """

    model: Model
    hardware: HardwareSpec
    workload: Workload
    recipe: Recipe
    conventions: Conventions
    program: Program
    engine: Engine
    constants: ConstantSet
    by_phase: tuple[tuple[Phase, PhasePrediction], ...]
    steps: Steps
    request: Request = field(compare=False, repr=False)
    overrides: tuple[tuple[str, Any], ...] = ()
    system: str = ""
    chosen: Chosen | None = None

    @cached_property
    def parameters(self) -> int:
        """How many parameters the network has, tied ones once."""
        return int(settled(self.program.parameters()) * self.model.counted)

    @cached_property
    def memory(self) -> MemoryFit:
        """What resides on a device of the fullest stage, and what would fit."""
        return fit_request(self.request, self.layout, self.steps.program)

    @cached_property
    def cache_at_start(self) -> CacheAtStart | None:
        """The KV cache that the engine makes at its start, and prints; None where it is not known to."""
        return cache_at_start(self.request, self.steps, self.memory.footprint.weights_bytes)

    @cached_property
    def hosted_bytes(self) -> int:
        """The weights that lie in the host's memory, for each device. [B]"""
        if not self.request.asked["offload"] or of_caches(self.request.asked["offload"]):
            return 0
        program = self.steps.program
        return int(settled(hosted_bytes(program, program.sizes, self.precision)))

    @cached_property
    def caches_below(self) -> CachesBelow | None:
        """What tiers below the devices' memory hold of the caches, and whether loading is faster; None without any."""
        offload = self.request.asked["offload"]
        if not of_caches(offload):
            return None
        replicas, work = int(self.layout.dp), self.workload
        prompts, tokens = int(work.batch) // replicas, int(work.context or work.prompt)
        sizes = {letter: exact(size) for letter, size in self.steps.program.sizes.items()}
        step = {**sizes, **work.step(Phase.DECODE, exact(prompts), exact(tokens))}
        held = settled(cache_bytes(self.steps.program, step, self.precision))
        if not held:
            msg = f"offload kv=: {self.model.name} keeps no cache of a prompt; leave it out"
            raise WorkloadError(msg)
        each = int(self.layout.stage_devices) // replicas
        tiers = read_tiers(offload, self.hardware, self.request.fleet.links, each * int(self.layout.pp))
        return CachesBelow(tiers, prompts, tokens, float(held) * each, self.ttft_s)

    @property
    def layout(self) -> Layout:
        """How the work is spread over the devices."""
        return self.steps.layout

    @property
    def count(self) -> int:
        """How many devices there are."""
        return int(self.layout.devices)

    @property
    def compression(self) -> Compression:
        """What was pruned, and which zeros are left out."""
        return self.request.compression

    @property
    def precision(self) -> Precision:
        """The dtypes by role, of all tensors that are not quantised."""
        return self.recipe.precision

    @property
    def phases(self) -> Phases:
        """Phase -> its prediction, in the order in which they run; cannot be changed."""
        return Phases(self.by_phase)

    @property
    def request_s(self) -> float:
        """What is encoded + prefill + all decode steps. [s]"""
        return sum(phase.steps * phase.figures.time_s for phase in self.phases.values())

    @property
    def ttft_s(self) -> float | None:
        """Time to first token, head and sampling included; None for encoders and where a part of it is left out. [s]

        Encode + prefill behind an encoder.
        """
        needed = [phase for phase in self.model.phases if not phase.one_token] + [*self.workload.shown.phases]
        if Phase.PREFILL not in needed or not set(needed) <= set(self.phases):
            return None
        return sum(self.phases[phase].figures.time_s for phase in needed)

    @property
    def tpot_s(self) -> float | None:
        """Time per output token: the mean over the decode steps. [s]"""
        return self.phases[Phase.DECODE].figures.time_s if Phase.DECODE in self.phases else None

    @property
    def tokens_per_s(self) -> float:
        """Generated tokens per second over the batch; input tokens for encoders and for prefill alone."""
        decode = self.phases.get(Phase.DECODE)
        read = self.workload.read(self.phases)
        tokens = read if decode is None else decode.steps + (Phase.PREFILL in self.phases)
        return self.workload.batch * tokens / self.request_s

    @property
    def documents_per_s(self) -> float | None:
        """Sequences that are read per second, by a network that reads text and generates nothing; else None. [1/s]"""
        return self.workload.batch / self.request_s if self.model.reads == "documents" else None

    @property
    def replicated(self) -> tuple[Replicated, ...]:
        """The weights that all devices together hold more often than once, most first. [elements]"""
        found = replicated_weights(self.request.program, self.layout) if self.count > 1 else ()
        return tuple(sorted(found, key=lambda each: -each.surplus))

    @property
    def components(self) -> tuple[Component, ...]:
        """The networks of a generator of images or videos, in the order in which they run; none of any other."""
        return tuple(components_of(self.model, self.steps, self.phases.values()))

    @property
    def redundant_experts(self) -> int:
        """The experts that a device holds a further copy of, over all devices of ep: so that each holds as many."""
        return int(self.layout.redundant_experts(self.request.program.sizes.get("E", 0)))

    @property
    def dispatch_hidden(self) -> dict[Phase, float]:
        """Phase -> the part of dispatch and combine that two-batch overlap hides, where steps are run so."""
        parts = {name: self.steps.hidden(phase.listing.pairs) for name, phase in self.phases.items()}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def overflow(self) -> Overflow | None:
        """What would hold it; None where it fits."""
        if self.memory.fits is not False:
            return None
        times = {name: phase.figures.time_s for name, phase in self.phases.items()}
        return find_overflow(self.request, self.layout, self.memory, times)

    @property
    def before(self) -> Prediction | None:
        """The same without pruning, sparsity and quantisation, in the same layout; None where there are none."""
        whole = uncompressed(self.request)
        return predict_request(whole, self.layout) if whole else None

    @property
    def changes(self) -> tuple[Change, ...]:
        """What pruning, sparsity and quantisation change, figure by figure; empty where there are none."""
        before = self.before
        return changes(before, self, lone=self.workload.context is not None) if before else ()

    def costliest(self, most: int) -> list[tuple[Phase, PhasePrediction, Operator]]:
        """The operators that take most of the request, all steps of their phases together, the costliest first."""
        every = [(name, phase, op) for name, phase in self.phases.items() for op in phase.operators]
        return sorted(every, key=lambda each: -each[1].steps * each[2].figures.time_s)[:most]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know about this prediction."""
        notes = list(self.model.warnings)
        strange = [dtype for dtype in self.recipe.timed_dtypes if not self.constants.knows(dtype)]
        if strange:
            class_name = self.hardware.calibration_class
            notes.append(f"{self.constants.name} was not measured in {', '.join(strange)}: it takes class {class_name}")
        for dtype, library in self._lenders.items():
            notes.append(f"matmuls of {self.engine.title} in {dtype} take the constants of {library}'s kernels")
        if unpacks := unpacks_untimed(self.constants, self.recipe, experts=self.recipe.experts_only):
            notes.append(unpacks)
        if "conv" in self._kinds and self.constants.calibration and not self.constants.has_own("conv"):
            notes.append("convolutions take the constants of other operators: none was timed")
        if untimed := self._untimed_scans:
            notes.append(
                f"scans of {untimed} were never timed on such a device: they take other constants of "
                f"{self.constants.name}"
            )
        if self.recipe.cache_advice and Phase.DECODE in self.phases and self.memory.footprint.kv_cache_bytes:
            notes.append(self.recipe.cache_advice)
        told = note_of(self.conventions.routing), caution(self.engine, self.hardware)
        notes += [each for each in (*told, unknown_kernels(self.constants, self._kinds), self.single_loads) if each]
        notes += (*self.request.storage, *self.request.unused)
        if self.hosted_bytes:
            notes.append(self._copied)
        notes += self.caches_below.words if self.caches_below else []
        program, encoding = self.request.program, [phase for phase in self.phases if phase.encodes]
        if any(towers_apart(program, phase, self.layout) for phase in encoding):
            notes.append(
                f"tp {self.layout.tp} does not divide the tower: each device has it whole and encodes its part of the "
                "images, as --mm-encoder-tp-mode data of vLLM has it"
            )
        if self.memory.capacity_bytes is None:
            notes.append(f"{self.hardware.name} states no memory capacity (it is what one installs): fit unknown")
        return (*notes, *self.hardware.cautions)

    @property
    def _lenders(self) -> dict[str, str]:
        """The libraries whose matmuls stand for the engine's, by dtype."""
        lent = {dtype: self.constants.lender(dtype) for dtype in self.recipe.timed_dtypes}
        return {dtype: library for dtype, library in lent.items() if library}

    @property
    def single_loads(self) -> str:
        """What to know of experts whose rows are loaded element by element, by far slower than is told."""
        summed = [
            (dtype_of(cost), float(mean(cost.flops)) / (2 * float(mean(cost.shape.rows)) * float(cost.shape.columns)))
            for phase in self.phases.values()
            for cost in phase.listing.costs
            if isinstance(cost.shape, GroupedShape) and cost.shape.columns
        ]
        return single_loads(self.constants, self.hardware, [(dtype, round(each)) for dtype, each in summed])

    @property
    def _copied(self) -> str:
        link = self.hardware.host_link
        assert link is not None, "what is read from the host's memory has a link"
        rate = format_quantity(link.bandwidth, "bytes_per_s")
        return (
            f"{format_quantity(self.hosted_bytes, 'bytes')} of weights lie in the host's memory and are copied before "
            f"each operator, at {rate} ({link.name}); llama.cpp computes few tokens on the CPU "
            "instead, which is not told"
        )

    @property
    def _kinds(self) -> dict[str, None]:
        """The kinds of operators, by whose constants they are timed."""
        return dict.fromkeys(kind_of(cost) for phase in self.phases.values() for cost in phase.listing.costs)

    @property
    def _untimed_scans(self) -> str:
        """The phases whose scans take constants that are not those of their kernels."""
        if not self.constants.calibration or self.constants.has_own("scan"):
            return ""
        scans = [(phase, op) for phase in self.phases for _, op in self.program.in_phase(phase) if op.kind == "scan"]
        untimed = [phase for phase, op in scans if not self.constants.has_own(f"{op.function}_{phase}")]
        return " and ".join(dict.fromkeys(untimed))

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``predict``: SI base units, names with their units."""
        return {
            **versions(),
            "model": self.model.name,
            "engine": engine_in_json(self.engine),
            "hardware": {"name": self.hardware.name, "count": self.count, "overrides": dict(self.overrides)},
            **self._spread(),
            "inputs": self._inputs(),
            "parameters": self.parameters,
            "fits": self.memory.fits,
            "memory": self.memory.to_dict(),
            **({"hosted_weights_bytes": self.hosted_bytes} if self.hosted_bytes else {}),
            **({"cache_at_start": made.to_dict()} if (made := self.cache_at_start) else {}),
            **({"caches_below": below.to_dict()} if (below := self.caches_below) else {}),
            "phases": {name: phase.to_dict() for name, phase in self.phases.items()},
            **({"components": [each.to_dict() for each in made_of]} if (made_of := self.components) else {}),
            "request_s": self.request_s,
            **{k: v for k, v in (("ttft_s", self.ttft_s), ("tpot_s", self.tpot_s)) if v is not None},
            "tokens_per_s": self.tokens_per_s,
            "provenance": self.constants.provenance,
            "band": {
                "low": self.constants.low,
                "high": self.constants.high * self.steps.machine.slower,
                "evidence": self.constants.evidence,
            },
            "notes": list(self.notes),
            **({"overflow": overflow.to_dict()} if (overflow := self.overflow) else {}),
            **({"before_after": [change.to_dict() for change in found]} if (found := self.changes) else {}),
        }

    def _spread(self) -> dict[str, Any]:
        """The system and the layout, of several devices; why others idle."""
        idle = {"idle": self.chosen.idle} if self.chosen and self.chosen.idle else {}
        if self.count == 1:
            return idle
        chosen = {"chosen": self.chosen.to_dict()} if self.chosen else {}
        system = {"system": self.system} if self.system else {}
        network = self.steps.machine.network
        hidden = network.use.overlap if network else 0.0
        again = {each.name: int(each.surplus) for each in self.replicated}
        spread = {"layout": self.layout.to_dict(), "overlap": hidden, "replicated_parameters": again}
        if found := self.dispatch_hidden:
            spread["dispatch_hidden"] = {str(phase): part for phase, part in found.items()}
        if self.redundant_experts:
            spread["redundant_experts"] = self.redundant_experts
        return {**system, **spread, **chosen, **idle}

    def _inputs(self) -> dict[str, Any]:
        kept = self.recipe
        stored = {"weight": kept.weights, "activation": kept.activations, "kv": kept.kv_cache}
        precision = {"dtype": kept.name, **{f"{role}_dtype": form.name for role, form in stored.items()}}
        precision["state_dtype"] = kept.state or kept.precision.activations
        constants = {
            "engine": self.engine.name,
            "constants": self.constants.whose,
            "kernels": self.constants.kernels.attention,
        }
        asked = {name: value for name, value in asdict(self.workload).items() if name != "decoder_start" or value}
        del asked["shown"]
        if (seen := self.workload.shown.pictures) is not None:
            asked |= {"image_tokens": seen.tokens, "image_sequences": seen.sequences, "image_patches": seen.patches}
        if (heard := self.workload.shown.sounds) is not None:
            asked |= {"sound_tokens": heard.tokens, "sound_sequences": heard.sequences, "sound_places": heard.places}
        if self.workload.context is not None:
            asked |= {"generate": None} if self.workload.decoder_start else {"prompt": None, "generate": None}
        what = self.compression
        shrunk = {
            "prune": {part: float(amount) for part, amount in what.pruning} or None,
            "sparsity": what.sparsity.words if what.sparsity else None,
        }
        resolved = {**asked, **precision, **shrunk, **asdict(self.conventions), **constants}
        del resolved["apart"]
        if not self.request.program.anonymous:
            del resolved["fusion"]
        told = {*resolved, "set", "fusion"}  # the edits stand beside the hardware
        return resolved | {name: value for name, value in self.request.asked.items() if name not in told}

    def _repr_html_(self) -> str:
        from roofline.reports.prediction import html  # noqa: PLC0415  (a floor up: only a notebook asks for it)

        return html(self)


def engine_in_json(engine: Engine) -> dict[str, Any]:
    """What JSON says of the engine that runs a model."""
    return {"name": engine.name, "title": engine.title, "version": engine.version, "date": engine.date}


@takes(PredictOptions)
def predict(
    model: str | Path | Mapping[str, Any] | Model, hardware: Hardware, **options: Unpack[PredictOptions]
) -> Prediction:
    """Predict what ``model`` costs on ``hardware`` at one point; ``roofline.predict`` says what the keywords are.

    Raises RooflineError, in one line, for whatever the model or the device refuses.

    >>> predict("bert-base", "h100").phases["encode"].steps
    1
    """
    return predict_read(read_request(model, hardware, **part(RequestOptions, options)), options)


def predict_read(request: Request, degrees: Degrees, runs: Callable[[Layout], bool] | None = None) -> Prediction:
    """The prediction of what was read, in the layout that ``degrees`` fix, else the best that ``runs`` takes."""
    fixed = layout_of(degrees, request.fleet)
    if fixed is not None:
        return predict_request(request, fixed)
    from roofline.prediction.layouts.search import choose_layout_of_some  # noqa: PLC0415  (start-up: one device has one)

    chosen = choose_layout_of_some(request, degrees, runs)
    return predict_request(request, chosen.layout, chosen)


def predict_request(request: Request, layout: Layout, chosen: Chosen | None = None) -> Prediction:
    """The prediction of what was read, for one layout."""
    steps = steps_of(request, layout)
    found = Prediction(
        request.model,
        request.device,
        request.workload,
        request.recipe,
        request.conventions,
        request.program,
        request.engine,
        request.constants,
        by_phase=tuple((name, steps.predict(name)) for name in request.phases),
        steps=steps,
        request=request,
        overrides=request.overrides,
        system=request.fleet.name,
        chosen=chosen,
    )  # fmt: skip
    _ = found.caches_below  # tiers that are none, or of no cache, are refused before anything is told
    return found
