"""What software reaches of a data sheet: fitted constants, with their provenance and their error band."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, TypeAlias

from roofline.calibration.calibration_file import Calibration, KindConstants, with_kinds_of
from roofline.calibration.corrections.registry import Corrections, named_constants
from roofline.calibration.kernels import ANY_KERNELS, NO_LIBRARY, UNPACKING, Kernels
from roofline.classes import frozen
from roofline.errors import SpecError, UnitError, near_matches
from roofline.files.findings import validated
from roofline.files.library import data_folder, parsed_yaml, read_text
from roofline.identity import Same
from roofline.number import Number
from roofline.options import words
from roofline.units import parse_quantity

Execution: TypeAlias = words.Execution
Provenance: TypeAlias = words.Provenance

NO_CORRECTIONS = Corrections.model_construct()
_WIDER = {
    "attention_encoder": ("attention_prefill", "any_attention_prefill"),
    "attention_prefill": ("any_attention_prefill",),
    "attention_decode": ("any_attention_decode",),
    "latent_attention_prefill": ("attention_prefill", "any_attention_prefill"),
    "latent_attention_decode": ("attention_decode", "any_attention_decode"),
    "routed": ("elementwise",),
    "delta_rule_prefill": ("scan",),
    "delta_rule_decode": ("scan",),
    "mamba2_prefill": ("scan",),
    "mamba2_decode": ("scan", "delta_rule_decode"),
    "quantize": ("elementwise",),
    "convolution_prefill": ("elementwise",),
    "convolution_decode": ("elementwise",),
}
"""Whose constants a kind takes, in order, that neither a calibration nor its class has; any: those of all libraries."""
_ALIKE = {
    "fp8": ("fp8", "fp8_block"),
    "fp8_block": ("fp8_block", "fp8"),
    "bf16_w4": ("bf16_w4",),
    "fp8_w4": ("fp8_w4", "fp8_block", "fp8"),
    **{dtype: (dtype, "fp8", "fp8_block") for dtype in ("int8", "fp6", "fp4", "int4")},
}
"""In which dtypes kernels of experts are alike: those of the first that there are, since their launches are."""
_SCALED = {
    "fp8_block": ("fp8_block", "fp8"),
    "int8": ("int8", "fp8"),
    **{dtype: (dtype, "fp8_block", "fp8") for dtype in ("fp4", "fp6", "int4")},
}
"""A matmul in a format that was not timed takes the constants of the nearest one."""


def _nearest(kind: str, dtype: str, theirs: KindConstants, own: KindConstants) -> Iterator[tuple[KindConstants, str]]:
    """Where constants of a dtype may stand, nearest first: of experts a library's, of matmuls the format's.

    Another library's matmuls in the same format are nearer than this one's in another.
    """
    if kind == "grouped_matmul":
        return ((place, alike) for place in (theirs, own) for alike in _ALIKE.get(dtype, (dtype,)))
    places = (theirs, own, *own.libraries.values()) if kind == "matmul" else (theirs, own)
    return ((place, alike) for alike in _SCALED.get(dtype, (dtype,)) for place in places)


@frozen
class Constants:
    """The constants of one kind of operator: shares of matrix, vector and special peak and of bandwidth; latency; p.

    Then the corrections of its kernels, and the band: measured / expected, 5th and 95th percentile. ``by_latency``: the
    same by how much of the time is latency: shares from 0 to 1, each with its low and its high. ``boost``: the
    highest clock that cards are seen at, as a factor of that of their peaks: the bound is at it.
    """

    compute: float = 1.0
    vector: float = 1.0
    special: float = 1.0
    memory: float = 1.0
    latency_s: Number = 0.0
    p: float = float("inf")
    low: float = 1.0
    high: float = 1.0
    by_latency: tuple[tuple[float, float, float], ...] = ()
    boost: float = 1.0
    corrections: Corrections = NO_CORRECTIONS

    def value(self, name: str) -> float:
        """A constant by its name in a fit: ``memory``, or one of a correction, ``extra_keys``, ``split_k.partial``.

        Raises AttributeError where there is none.
        """
        return self.corrections.value(name) if name in named_constants() else float(getattr(self, name))

    def replaced(self, values: Mapping[str, float]) -> Constants:
        """The same with other constants, by their names in a fit.

        Raises TypeError for an unknown name, and where a correction lacks some of its constants.

        >>> Constants(memory=0.8).replaced({"memory": 0.7, "extra_keys": 100.0}).corrections.extra_keys
        ExtraKeys(tokens=100.0)
        """
        own: dict[str, Any] = {name: value for name, value in values.items() if name not in named_constants()}
        others = {name: value for name, value in values.items() if name in named_constants()}
        return replace(self, **own, corrections=self.corrections.replaced(others))

    def has(self, name: str) -> bool:
        """Whether there is a constant of that name in a fit: those of a correction are, if it is."""
        return name not in named_constants() or named_constants()[name][0] in self.corrections.given()

    def without(self, correction: str) -> Constants:
        """The same without a correction."""
        return replace(self, corrections=self.corrections.model_copy(update={correction: None}))

    def with_times_divided(self, factor: float) -> Constants:
        """The same with the latency, and every time among the corrections, divided by ``factor``."""
        corrections = self.corrections.with_times_divided(factor)
        return replace(self, latency_s=self.latency_s / factor, corrections=corrections)


DATASHEET = Constants(vector=float("inf"), special=float("inf"))
"""No losses, no latency, a sharp corner, work beside the contractions free: the bound itself."""


@frozen
class ConstantSet:
    """Where constants come from, their band over all kinds, and the constants of each kind.

    ``otherwise`` serves dtypes that the calibration was not measured in. ``kernels``: whose run, where the
    calibration knows them; the default ones otherwise, with a wider band on the slow side. ``sustained``: what matmuls
    reach under sustained load, by dtype, as a share of what they reach in a burst; all of it where none is stated.
    ``under``: in what the device differs from the one of its chip that was measured, in words.
    """

    provenance: Provenance
    name: str
    low: float
    high: float
    evidence: str
    calibration: Calibration | None = None
    otherwise: Calibration | None = None
    kernels: Kernels = ANY_KERNELS
    sustained: Mapping[str, float] = field(default_factory=dict)
    under: str = ""
    _known: dict[tuple[str, ...], Constants] = field(init=False, default_factory=dict, compare=False, repr=False)
    _others: dict[Kernels, ConstantSet] = field(init=False, default_factory=dict, compare=False, repr=False)

    def using(self, kernels: Kernels) -> ConstantSet:
        """These constants with the kernels of libraries, for kinds whose kernels of them are known."""
        if kernels not in self._others:
            self._others[kernels] = replace(self, kernels=kernels)
        return self._others[kernels]

    @property
    def whose(self) -> str:
        """Whose they are, in words: ``h100-sxm-80gb``, or ``as a100-sxm-80gb, under 300 W``."""
        return f"as {self.name}, under {self.under}" if self.under else self.name

    @property
    def named(self) -> str:
        """Where they come from, and whose they are."""
        return f"{self.provenance} {self.whose}"

    def covers(self, dtype: str) -> bool:
        """Whether the constants were measured in ``dtype``, or hold for any."""
        measured = self.calibration.measured_dtypes if self.calibration else []
        return not measured or not dtype or dtype.partition("_")[0] in measured

    def knows(self, dtype: str) -> bool:
        """Whether some kernels, those that run or those whose constants they take, were measured in ``dtype``."""
        kinds = self.calibration.kinds if self.calibration else {}
        places = (place for kind, own in kinds.items() for place in self._nearest_of(kind, dtype, own))
        return self.covers(dtype) or any(alike in place.dtypes for place, alike in places)

    def lender(self, dtype: str) -> str:
        """The library whose matmuls in ``dtype`` stand for those that run; empty where these, or any's, were timed.

        >>> h100 = ConstantSet.from_calibration(load_device("h100-sxm-80gb"))
        >>> [h100.using(Kernels("", library)).lender("fp8") for library in ("vendor", "vllm")]
        ['trtllm', '']
        """
        own = self.calibration.kinds.get("matmul") if self.calibration else None
        if own is None:
            return ""
        taken = next((place for place, alike in self._nearest_of("matmul", dtype, own) if alike in place.dtypes), own)
        lent = next((name for name, place in own.libraries.items() if place is taken), "")
        return "" if lent == self.kernels.of("matmul", dtype) else lent

    def _nearest_of(self, kind: str, dtype: str, own: KindConstants) -> Iterator[tuple[KindConstants, str]]:
        return _nearest(kind, dtype, own.libraries.get(self.kernels.of(kind, dtype), own), own)

    def unpacks_experts(self, dtype: str) -> bool:
        """Whether experts of 4-bit weights that are multiplied in ``dtype`` were timed."""
        own = self.calibration.kinds.get("grouped_matmul") if self.calibration else None
        return own is not None and any(f"{dtype}_w4" in place.dtypes for place in (own, *own.libraries.values()))

    def unpacks_blocks(self) -> bool:
        """Whether matmuls that unpack blocks of weights were timed, of the library that runs."""
        library = self.kernels.of("matmul")
        found = (base.kinds.get("matmul") for base in (self.calibration, self.otherwise) if base)
        kernels = (own.libraries[library] for own in found if own is not None and library in own.libraries)
        return library in UNPACKING and any(not each.inherited for each in kernels)

    def has_own(self, kind: str) -> bool:
        """Whether ``kind`` has constants of its own, with the device or its class, fitted to timings of its kernels."""
        return any(kind in base.kinds for base in (self.calibration, self.otherwise) if base)

    def unfused(self, dtype: str) -> bool:
        """Whether the constants that hold in ``dtype`` are those of single kernels."""
        base = self.calibration if self.covers(dtype) else self.otherwise
        return base is not None and base.unfused

    @property
    def probe_s(self) -> float | None:
        """What a small matmul took when the constants were measured. [s]"""
        return self.calibration.probe if self.calibration else None

    def for_dtypes(self, dtypes: Iterable[str]) -> ConstantSet:
        """These constants, or those of the class by name if they were measured in none of ``dtypes``."""
        if self.calibration is None or self.otherwise is None:
            return self
        asked = tuple(dtypes)
        if any(self.covers(dtype) for dtype in asked):
            return self
        kinds = self.calibration.kinds.values()
        told = {dtype for kind in kinds for place in (kind, *kind.libraries.values()) for dtype in place.dtypes}
        if not told.isdisjoint(asked):
            return self
        return _of_class(Same(self.otherwise)).using(self.kernels)

    def of(self, kind: str, execution: Execution, name: str = "", dtype: str = "") -> Constants:
        """The constants of the operator ``name`` if it has its own, else of ``kind`` (matmul, attention_decode ...).

        ``dtype`` is that of its contractions; fp8_block is fp8 in blocks that have scales of their own, bf16_w4 and
        fp8_w4 are weights of 4 bits that are multiplied in those.
        """
        asked = (kind, execution, name, dtype)
        if asked not in self._known:
            self._known[asked] = self._of(kind, execution, name, dtype)
        return self._known[asked]

    def _of(self, kind: str, execution: Execution, name: str, dtype: str) -> Constants:
        base, own, known = self._own(kind, name, dtype)
        if base is None:
            return DATASHEET
        latency, band, format_ = own.latency or base.latency, own.band or base.band, dtype.partition("_")[0]
        kept = self.sustained.get(format_, 1.0) if kind in ("matmul", "grouped_matmul") else 1.0
        return Constants(
            compute=(own.compute or base.dtypes.get(format_, base.compute)) * kept,
            vector=own.vector or base.vector,
            special=own.special or base.special,
            memory=own.memory or base.memory,
            latency_s=latency.under(execution),
            p=own.p or base.p,
            low=band.low,
            high=band.high * self._slower(known=known),
            by_latency=tuple((ends.share, ends.low, ends.high * self._slower(known=known)) for ends in band.by_latency),
            boost=base.boost,
            corrections=own,
        )

    def band(self, kind: str, dtype: str = "", latency: float | None = None) -> tuple[float, float, str]:
        """Low and high of the band of ``kind``, or of all kinds where it has none of its own, and its evidence.

        ``latency``: of an operator whose time is latency to such a part, where the kind's band goes by it; else they
        are those of all its operators together.
        """
        base, own, known = self._own(kind, "", dtype)
        if base is None:
            return self.low, self.high, self.evidence
        band = own.band or base.band
        if latency is None or not band.by_latency:
            return band.low, band.high * self._slower(known=known), band.evidence
        low, high = band.at(latency)
        told = f"{band.evidence}; where latency is {latency:.0%} of the time"
        return low, high * self._slower(known=known), told

    def told_band(self, dtype: str) -> tuple[str, float, float, str]:
        """The band that an answer tells of itself, with whose it is: of matmuls in ``dtype``, empty for that of all."""
        low, high, evidence = self.band("matmul", dtype)
        return "" if evidence == self.evidence else f"matmuls in {dtype}", low, high, evidence

    def _slower(self, *, known: bool) -> float:
        """How much further off the slow end of a band lies, by whether the library's own kernels were timed."""
        return 1.0 if known else self.kernels.slower

    def instead(self, kind: str, dtype: str = "") -> str:
        """Whose constants ``kind`` takes in place of the library's that was asked for; empty where its own are known.

        >>> h100 = ConstantSet.from_calibration(load_device("h100-sxm-80gb"))
        >>> h100.using(Kernels("sdpa")).instead("attention_decode"), h100.using(Kernels("trtllm")).instead("matmul")
        ('fa3', '')
        """
        _, own, known = self._own(kind, "", dtype)
        return "" if known else own.library or ""

    def library_of(self, kind: str, dtype: str = "") -> str:
        """Whose kernels a kind of operator runs: those asked for, else those that its constants are of first.

        >>> h100 = ConstantSet.from_calibration(load_device("h100-sxm-80gb"))
        >>> h100.library_of("grouped_matmul"), h100.using(Kernels("", "trtllm")).library_of("grouped_matmul")
        ('triton', 'trtllm')
        """
        asked = self.kernels.of(kind, dtype)
        if asked not in NO_LIBRARY:
            return asked
        return next((own.library for _, own in self._places(kind, "") if own.library), "")

    def _own(self, kind: str, name: str, dtype: str) -> tuple[Calibration | None, KindConstants, bool]:
        """The file that an operator's constants are from, what it has of the operator's kernels, and whether these are
        the library's that was asked for.

        A kind that the calibration does not have is the class's, and so is a dtype that it was not measured in, unless
        the kind has constants of its own in it.
        """
        library = self.kernels.of(kind, dtype)
        places = list(self._places(kind, name))
        if (
            library in UNPACKING
        ):  # no other library's kernels are like them, not even those that this device was timed with
            places.sort(key=lambda place: library not in place[1].libraries)
        for base, own in places:
            theirs = own.libraries.get(library, own)
            known = theirs is not own or own.library in (None, library) or library in NO_LIBRARY
            for place, alike in _nearest(kind, dtype, theirs, own):
                if alike in place.dtypes:
                    return base, place.dtypes[alike], known
            if self.covers(dtype) or base is self.otherwise:
                return base, theirs if theirs.latency else own, known
        return self.calibration if self.covers(dtype) else self.otherwise, KindConstants(), True

    def _places(self, kind: str, name: str) -> Iterator[tuple[Calibration, KindConstants]]:
        """Where the constants of an operator may stand: with the device, then its class; its own kind first.

        Latents do not take those of a library's kernels for heads.
        """
        latent = kind.startswith("latent")
        for base in (self.calibration, self.otherwise):
            for alike in (kind, *_WIDER.get(kind, ())) if base else ():
                own = base.kinds.get(name) or base.kinds.get(alike) if base else None
                if base and own and (alike == kind or own.library is None or not latent):
                    yield base, own

    @classmethod
    def from_calibration(cls, data: Calibration, otherwise: Calibration | None = None) -> ConstantSet:
        """The constants of a file, and of its device's class for dtypes that it was not measured in."""
        provenance: Provenance = "calibrated" if data.extends else "class"
        return cls(provenance, data.name, data.band.low, data.band.high, data.band.evidence, data, otherwise or data)


@functools.lru_cache(maxsize=256)
def _of_class(data: Same[Calibration]) -> ConstantSet:
    """One object each, since memos key on it."""
    return ConstantSet.from_calibration(data.it)


def load_constants(calibration_class: str, provenance: Provenance | None = None) -> ConstantSet:
    """The constants for a class of devices; ``datasheet`` asks for none. Raises SpecError for an unknown class."""
    if provenance == "datasheet":
        return ConstantSet(
            "datasheet", "datasheet", 1.0, 1.0, "the data sheet's roofline: a lower bound, not a forecast"
        )
    return ConstantSet.from_calibration(load_class(calibration_class))


def class_names() -> list[str]:
    """The names of the shipped classes."""
    return list(_names("classes"))


def device_names() -> list[str]:
    """The names of the shipped calibrations of devices."""
    return list(_names("devices"))


def load_class(name: str, clock: float | None = None) -> Calibration:
    """The calibration of a class of devices, its cycles at ``clock``, or at the one that the file states. [Hz]

    What a class has no timings for it inherits (``with_kinds_of``). Raises SpecError for an unknown class or a
    malformed file.
    """
    data = _load("classes", name, f"class {name!r} has no calibration", clock)
    if data.inherits is None:
        return data
    return _with_kinds_of(Same(data), Same(load_class(data.inherits.name, clock if data.inherits.in_cycles else None)))


@functools.lru_cache(maxsize=256)
def _with_kinds_of(data: Same[Calibration], relative: Same[Calibration]) -> Calibration:
    return with_kinds_of(data.it, relative.it)


def load_device(name: str) -> Calibration:
    """The calibration of a device. Raises SpecError for an unknown device or a malformed file."""
    return _load("devices", name, f"device {name!r} has no calibration")


def read_calibration(path: Path, clock: float | None = None) -> Calibration:
    """The calibration in a YAML file, its cycles at ``clock``, or at the one that the file states. [Hz]

    Raises SpecError: file, field, what was given, what was expected.
    """
    return _calibration(read_text(path, SpecError), path, clock)


def _stated_clock(text: object) -> float | None:
    """The clock that a file states; None where it states none, or nonsense, which its field is refused for. [Hz]"""
    try:
        return parse_quantity(text, "frequency_hz")
    except UnitError:
        return None


@functools.lru_cache(maxsize=256)
def _calibration(text: str, path: Path, clock: float | None) -> Calibration:
    """The calibration in a text: one that is asked for again is not read again."""
    fields = parsed_yaml(text, str(path))
    return validated(Calibration, fields, path.name, {"clock": clock or _stated_clock(fields.get("clock"))})


def _names(folder: str) -> tuple[str, ...]:
    return _stems(data_folder("calibrations") / folder)


@functools.cache
def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _load(folder: str, name: str, problem: str, clock: float | None = None) -> Calibration:
    if name not in _names(folder):
        msg = f"{problem}; {near_matches(name, _names(folder))}"
        raise SpecError(msg)
    return _shipped(data_folder("calibrations") / folder / f"{name}.yaml", clock)


@functools.lru_cache(maxsize=512)
def _shipped(path: Path, clock: float | None) -> Calibration:
    """A shipped calibration, which is read and checked once a process."""
    return read_calibration(path, clock)
