"""llama.cpp as others timed it: decode and prefill of GGUF models on the devices that people have at home.

python benchmarks/llama_cpp.py --data DIR [--fit]

Rows are the fastest back end of each device, model, mix and length, one line for each generation of its kernels.
Prefill is told by prompts of 512 tokens on and below, which is how many a micro-batch has. Constants are fitted to each
class but for the pair of device and model that is scored, and in a second table but for all rows of the model, to which
the band owes nothing there either; --fit prints those of all rows as a class has them. Columns as in scores.py.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import yaml
from scores import Scored, table

from roofline.calibration import constants as known
from roofline.calibration.calibration_file import KindConstants
from roofline.calibration.constants import load_class
from roofline.compression.mixes import MIXES
from roofline.cost.cost import Cost
from roofline.errors import SpecError
from roofline.hardware.loading import load_hardware
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.prediction.predict import predict
from roofline.timing.machine import kind_of
from roofline.timing.operator import time_operator

LIBRARY, OLD = "llama-cpp", "llama-cpp-b6000"
AMD_MATRIX_UNITS = "2025-12"
"""When llama.cpp's own kernels came to use AMD's matrix units (its pull requests 17156 and 17576): until then weights
were unpacked in memory for hipBLASLt, or in tiles by Vulkan."""
GRAPHS = "2024-05"
"""When its decode steps came to be replayed from CUDA graphs (its pull request 6766)."""
FLASH = "2024-04"
"""When attention came to be one kernel on Metal (its pull request 5021): until then its scores went through memory, in
kernels of few rows. The kernels that unpack weights in their tiles stayed (its pull request 2615)."""
SAYS_FLASH = "strix_halo_testing"
"""The source whose rows say of each run whether attention was one kernel, as builds of 2025 let one choose on AMD."""
MICRO_BATCH = 512
FEW, FEW_WIDER = 5, 1.25

_PRESETS = {
    "llama-2-7b.Q4_K_M": "llama-2-7b",
    "llama-2-7b.Q4_0": "llama-2-7b",
    "shisa-v2-llama3.1-8b.i1-Q4_K_M": "llama-3.1-8b",
    "shisa-v2-llama3.3-70b.i1-Q4_K_M": "llama-3.1-70b",
    "Gemma-4-31B": "gemma-4-31b",
}
_NAMED = {
    "gemma-4-31B-it": "gemma-4-31b",
    "gemma-4-26B-A4B-it": "gemma-4-26b-a4b",
    "Ministral-3-8B-Instruct-2512": "ministral-3-8b",
    "Hunyuan-A13B-Instruct": "hunyuan-a13b",
    "gpt-oss-120b": "gpt-oss-120b",
}
"""How the names of files begin -> presets."""
_MIXES = {
    "mxfp4": "mxfp4_moe",
    "f16": "fp16",
    "q3_k_xl": "q3_k_l",
    "q4_k_xl": "q4_k_m",
    "q5_k_xl": "q5_k_m",
    "q6_k_xl": "q6_k",
    "q8_k_xl": "q8_0",
}
"""Unsloth's mixes -> the one of llama.cpp's that is nearest."""


@dataclass(frozen=True, slots=True)
class Row:
    """A timing: tokens of a prompt, or of the context of a decode step, of a micro-batch, and its time. [s]

    ``library``: the generation of its kernels. ``replayed``: whether a decode step was launched from a graph.
    ``flash``: whether attention is one kernel.
    """

    device: str
    model: str
    dtype: str
    phase: str
    batch: int
    tokens: int
    chunk: int
    library: str
    replayed: bool
    flash: bool
    measured_s: float

    def asked(self) -> dict[str, object]:
        """Keywords of ``predict``."""
        lengths = {"context": self.tokens} if self.phase == "decode" else {"prompt": self.tokens, "generate": 1}
        engine = dict.fromkeys(("engine.matmul", "engine.attention", "engine.experts"), self.library)
        edits: dict[str, object] = {"engine.chunk": self.chunk, **engine}
        if not self.replayed:
            edits["engine.graphs"] = {}
        return {"dtype": self.dtype, "batch": self.batch, "engine": LIBRARY, "set": edits, **lengths}


@dataclass(frozen=True, slots=True)
class Constants:
    """What a library's kernels reach on a class: shares of the peak of wide weights, of blocks, of super-blocks, of
    experts (times those), of attention, and before it was one kernel; traffic of unpacking in memory; the share of the
    bandwidth; the latency, and what a launch by the host takes beyond it [s]; what a unit loads and unpacks in a cycle
    in decode steps. [B]

    Without a share of wide weights all shares are the class's. The latency of these kernels holds that of those beside
    them that are not listed: rotation, copies to the cache, quantising of activations.
    """

    matmul: float | None = None
    blocks: float | None = None
    super_blocks: float | None = None
    experts: float = 1.0
    attention: float = 0.12
    attention_before: float = 0.12
    traffic: float | None = None
    memory: float = 0.8
    latency_s: float = 5e-6
    host_s: float = 5e-6
    issued: float | None = None

    def with_value(self, name: str, value: float | None) -> Constants:
        """The same with another constant."""
        return Constants(**{each: value if each == name else getattr(self, each) for each in self.__slots__})

    def of_experts(self) -> Constants:
        """Those of grouped matmuls."""
        shares = {name: getattr(self, name) for name in ("matmul", "blocks", "super_blocks")}
        values = {name: share and share * self.experts for name, share in shares.items()}
        return Constants(**{name: values.get(name, getattr(self, name)) for name in self.__slots__})


SHARES = (0.08, 0.1, 0.13, 0.16, 0.2, 0.24, 0.28, 0.33, 0.36, 0.4, 0.44, 0.48, 0.53, 0.58, 0.64, 0.7, 0.76, 0.82)
TRIED: dict[str, tuple[float | None, ...]] = {
    "matmul": SHARES,
    "blocks": SHARES,
    "super_blocks": SHARES,
    "experts": (0.33, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0),
    "attention": (0.03, 0.06, 0.12, 0.25, 0.5),
    "attention_before": (0.02, 0.03, 0.04, 0.06, 0.12, 0.25, 0.5),
    "traffic": (0.5, 1.0, 1.4, 2.0, 2.5),
    "memory": (0.6, 0.65, 0.7, 0.74, 0.78, 0.8, 0.82, 0.85, 0.88, 0.91, 0.94),
    "latency_s": (1e-6, 1.5e-6, 2e-6, 3e-6, 4e-6, 5e-6, 7e-6, 1e-5, 1.4e-5, 2e-5),
    "host_s": (5e-6, 7e-6, 1e-5, 1.4e-5),
    "issued": (None, 2.8, 3.3, 3.9, 4.6, 5.4, 6.4, 7.5, 9.0),
}
"""Values of constants that are tried, one after the other."""
STARTS: dict[str, tuple[float | None, ...]] = {
    "attention": TRIED["attention"],
    "memory": (0.65, 0.8, 0.94),
    "latency_s": (3e-6, 1.4e-5),
    "issued": (None, 4.6, 9.0),
}
"""Where the search begins, of constants that others stand in for."""


@dataclass(frozen=True, slots=True)
class Family:
    """A class under one generation of kernels: what is fitted to its prefills and to its decode steps, and the start.

    What rows cannot tell is not fitted: those of M1 and M2 since attention is one kernel are of 512 tokens, where it is
    small, and take its share from M3 and M4. Decode is fitted where launches or units hold it up; elsewhere its share
    of the bandwidth was never fitted to anything, and stays. ``alike``: the classes whose decode steps have the same
    constants, since driver and memory are the same.
    """

    prefill: tuple[str, ...]
    start: Constants
    decode: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()


APPLE = ("apple-gpu", "apple-gpu-9")
STEPS = ("memory", "latency_s", "issued")
FAMILIES: dict[tuple[str, str], Family] = {
    ("amd-rdna", LIBRARY): Family(("matmul", "experts", "attention"), Constants(0.4)),
    ("amd-rdna", OLD): Family(
        ("matmul", "blocks", "traffic", "attention", "attention_before"), Constants(0.33, 0.1, traffic=2)
    ),
    ("unified-memory", LIBRARY): Family(("matmul", "attention"), Constants(0.24)),
    ("apple-gpu", LIBRARY): Family(
        ("matmul", "blocks", "super_blocks", "attention_before"), Constants(0.7, 0.6, 0.5, attention=0.5), STEPS, APPLE
    ),
    ("apple-gpu-9", LIBRARY): Family(("matmul", "attention"), Constants(0.76), STEPS, APPLE),
    ("intel-gpu", LIBRARY): Family(("matmul",), Constants(0.25)),
    ("nvidia-gddr", LIBRARY): Family((), Constants(latency_s=3e-6), (*STEPS, "host_s")),
}


Key: TypeAlias = tuple[str, str, str, str, int, int, int, str, bool]
"""What a row is, but for its time and for what the fastest back end chose."""


def rows_of(data: Path) -> list[Row]:
    """The fastest back end of each device, model, mix, length and generation of kernels, one device each."""
    best = dict[Key, tuple[float, bool]]()
    for file in sorted((data / "other").glob("*/whole_models.csv")):
        for line in csv.DictReader(file.open(encoding="utf-8")):
            if (key := _key(line)) is not None:
                best[key] = max(best.get(key, (0.0, False)), (float(line["value"]), _is_flash(line)))
    return [
        Row(*key, flash=flash, measured_s=key[4] * (1 if key[3] == "decode" else key[5]) / rate)
        for key, (rate, flash) in sorted(best.items())
    ]


def _is_flash(line: Mapping[str, str]) -> bool:
    """Whether attention was one kernel: as a line says where its source does, else by its date."""
    return "flash attention" in line["note"] if line["source"] == SAYS_FLASH else line["date"] >= FLASH


def _key(line: Mapping[str, str]) -> Key | None:
    """What a line times; None for what is no step of a GGUF model on one device that is modelled.

    Left out are answers that a CPU computed, or a part of, beside a GPU, and a prompt that was read token by token,
    which runs no head.
    """
    stated = line["metric"] == "throughput" and line["unit"] in ("tokens/s", "generated tokens/s")
    others = "(CPU)" in line["engine"] or "(GPU/CPU)" in line["engine"] or "micro-batch 1," in line["note"]
    if not stated or others or line["devices"] != "1" or "llama" not in line["engine"].lower():
        return None
    named = (preset for begin, preset in _NAMED.items() if line["model"].startswith(begin))
    model = next(named, line["params_or_preset"] or _PRESETS.get(line["model"], ""))
    prompt, new, depth, batch = (int(line[name] or 0) for name in ("prompt", "generate", "depth", "batch"))
    mix = line["quantisation"].lower().replace(" ", "_")
    mix = _MIXES.get(mix, mix)
    decodes = line["phase"] == "decode"
    if model not in _presets() or (mix not in MIXES and mix not in ("fp16", "bf16")):
        return None
    if (not decodes and (line["phase"] != "prefill" or depth)) or not _is_modelled(line["device"]):
        return None
    tokens = max(depth + prompt + new // 2, 1) if decodes else prompt
    if tokens >= load_model(model).lengths.positions:
        return None
    said = re.search(r"micro-batch (?:of )?(\d+)", line["note"])
    spec = load_hardware(line["device"])
    library = OLD if spec.calibration_class == "amd-rdna" and line["date"] < AMD_MATRIX_UNITS else LIBRARY
    replayed = not (spec.vendor == "NVIDIA" and line["date"] < GRAPHS)
    chunk = int(said[1]) if said else MICRO_BATCH
    return line["device"], model, mix, line["phase"], batch, tokens, chunk, library, replayed


@cache
def _presets() -> set[str]:
    return set(preset_names())


@cache
def _is_modelled(device: str) -> bool:
    try:
        return bool(load_hardware(device))
    except SpecError:
        return False


KINDS = ("matmul", "grouped_matmul", "any_attention_prefill", "any_attention_decode")


def entry(kind: str, constants: Constants, *, flash: bool = True) -> dict[str, str]:
    """What a library's entry of a kind states; ``flash``: where attention is one kernel."""
    own = constants.of_experts() if kind == "grouped_matmul" else constants
    latency, host = own.latency_s * 1e6, own.host_s * 1e6
    found = {"memory": f"{own.memory:.3g}", "latency": f"{{graph: {latency:g} us, eager: {latency + host:g} us}}"}
    if own.issued and kind != "any_attention_prefill":
        found["unit_rate"] = f"{own.issued:g} B/cycle"
    if kind == "any_attention_decode":
        return found
    share = own.matmul and (_attention(own, flash=flash) if kind == "any_attention_prefill" else own.matmul)
    found = {"compute": f"{share:.3g}", **found} if share else found
    if kind == "any_attention_prefill":
        return found
    if own.blocks:
        found["unpack_tiles"] = f"{{blocks: {own.blocks:.3g}, super_blocks: {own.super_blocks or own.blocks:.3g}}}"
    if own.traffic:
        found["unpack_memory"] = f"{own.traffic:g}"
    return found


def _attention(constants: Constants, *, flash: bool) -> float:
    return constants.attention if flash else constants.attention_before


def entries(library: str, kinds: Mapping[str, Mapping[str, str]]) -> str:
    """The lines of a class's file that state a library's constants."""
    found = ["kinds:"] if kinds else []
    for kind, stated in kinds.items():
        found += [f"  {kind}:", "    libraries:", f"      {library}:"]
        found += [f"        {name}: {value}" for name, value in stated.items()]
    return "".join(f"{line}\n" for line in found)


Stated = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


@cache
def calibration(device: str, library: str, kinds: Stated) -> str:
    """A calibration of a device: its class's general constants, with these of llama.cpp's kernels."""
    data = load_class(load_hardware(device).calibration_class)
    general = {name: getattr(data, name) for name in ("p", "compute", "memory", "vector", "special")}
    latency = f"{{graph: {data.latency.graph} s, eager: {data.latency.eager} s}}"
    stated = "".join(f"{name}: {value}\n" for name, value in general.items())
    file = Path(tempfile.mkdtemp()) / "llama-cpp.yaml"
    band = "band: {low: 0.5, high: 3.0, evidence: a fit}\nsource: a fit\n"
    head = f"name: {device}-llama-cpp\nextends: {device}\ntitle: a fit\n{stated}latency: {latency}\n"
    lines = entries(library, {kind: dict(own) for kind, own in kinds})
    file.write_text(head + lines + band, encoding="utf-8")
    return str(file)


def _stated(constants: Constants, *, flash: bool) -> Stated:
    return tuple((kind, tuple(entry(kind, constants, flash=flash).items())) for kind in KINDS)


@cache
def _figures(row: Row, kinds: Stated | None) -> tuple[float, float, float, float]:
    hardware = row.device if kinds is None else calibration(row.device, row.library, kinds)
    (phase,) = [each for name, each in predict(row.model, hardware, **row.asked()).by_phase if name == row.phase]
    figures = phase.figures
    return figures.time_s, figures.bound_s, figures.low_s, figures.high_s


def seconds_of(row: Row, constants: Constants | None) -> tuple[float, float, float, float]:
    """Time, bound and the ends of the band of a row; by the constants as they are where none are given. [s]"""
    return _figures(row, None if constants is None else _stated(constants, flash=row.flash))


@cache
def _operators(row: Row) -> tuple[float, dict[str, list[tuple[Cost, known.Constants]]], HardwareSpec]:
    """The time of what has no constants of llama.cpp, the other operators by kind, with their constants, the device."""
    hardware = row.device
    (phase,) = [each for name, each in predict(row.model, hardware, **row.asked()).by_phase if name == row.phase]
    machine, others = phase.listing.machine, 0.0
    found: dict[str, list[tuple[Cost, known.Constants]]] = {kind: [] for kind in KINDS}
    for cost, timing in phase.listing.pairs:
        kind = kind_of(cost)
        kind = f"any_{kind}" if kind.startswith("attention") else kind
        if kind in found:
            found[kind].append((cost, machine.constants_of(cost)))
        else:
            others += float(cost.count * timing.mean().time_s)
    return others, found, load_hardware(row.device)


@cache
def _kind_s(row: Row, kind: str, stated: tuple[tuple[str, str], ...]) -> float:
    """The time of all operators of a kind under what an entry states. [s]"""
    text = "".join(f"{name}: {value}\n" for name, value in stated)
    own = KindConstants.model_validate(yaml.safe_load(text))
    _, found, device = _operators(row)
    seconds = 0.0
    for cost, base in found[kind]:
        assert own.latency is not None
        latency_s = own.latency.under("graph" if cost.replayed else "eager")
        constants = replace(
            base, compute=own.compute or base.compute, memory=own.memory or base.memory, latency_s=latency_s,
            p=load_class(device.calibration_class).p, corrections=own,
        )  # fmt: skip
        seconds += float(cost.count * time_operator(cost, device, constants).mean().time_s)
    return seconds


def expected_s(row: Row, constants: Constants) -> float:
    """The time of a row, kind by kind: what many constants share is computed once. [s]"""
    stated = {kind: tuple(entry(kind, constants, flash=row.flash).items()) for kind in KINDS}
    return _operators(row)[0] + sum(_kind_s(row, kind, own) for kind, own in stated.items())


def fitted(rows: Iterable[Row], names: tuple[str, ...], start: Constants) -> Constants:
    """The constants under which the models of some rows are off by least, each model counting alike."""

    def error(constants: Constants) -> float:
        models: dict[str, list[float]] = {}
        for row in rows:
            models.setdefault(row.model, []).append(abs(np.log(expected_s(row, constants) / row.measured_s)))
        return float(np.mean([np.mean(each) for each in models.values()]))

    rows = list(rows)
    starts = [start]
    for name, values in STARTS.items():
        if name in names:
            starts = [each.with_value(name, value) for each in starts for value in values]
    return min((_descended(error, names, each) for each in starts), key=error)


def _descended(error: Callable[[Constants], float], names: tuple[str, ...], start: Constants) -> Constants:
    """Constants from which no other value of one makes the error less."""
    best = error(start)
    while True:
        before = best
        for name in names:
            for value in TRIED[name]:
                tried = start.with_value(name, value)
                if (found := error(tried)) < best - 1e-9:
                    best, start = found, tried
        if best == before:
            return start


Apart: TypeAlias = Callable[[Row], str]
"""What no constants that a row is told by were fitted to: its pair of device and model, or its model."""
Told: TypeAlias = Mapping[str, Constants | None]
"""The constants by which the rows are told that are held apart together; None are those that a class has."""


def pair_of(row: Row) -> str:
    """Its device and its model."""
    return f"{row.device} {row.model}"


def model_of(row: Row) -> str:
    """Its model."""
    return row.model


def scored(
    name: str, rows: list[Row], told: Told, apart: Apart, ends: Mapping[str, Ends | None] | None = None
) -> Scored:
    """A line of the board; bands are as wide as answers print, or of the ``ends`` of each row's model."""
    ours = [seconds_of(row, told[apart(row)]) for row in rows]
    time_s, bound_s = np.array(ours).T[:2]
    widths = [(ends or {}).get(model_of(row)) or _printed(row) for row in rows]
    low_s, high_s = (time_s * np.array(widths).T[end] for end in (0, 1))
    return Scored(name, name, time_s, bound_s, low_s, high_s, np.array([row.measured_s for row in rows]))


def _printed(row: Row) -> Ends:
    """Of the band that an answer prints."""
    time_s, _, low_s, high_s = seconds_of(row, None)
    return low_s / time_s, high_s / time_s


def unseen(rows: list[Row], names: tuple[str, ...], start: Constants, apart: Apart) -> Told:
    """The constants by which rows are told: those fitted to what is apart from them, as they are where nothing is."""
    held = sorted({apart(row) for row in rows})
    if not names:
        return dict.fromkeys(held)
    others = {each: [row for row in rows if apart(row) != each] for each in held}
    return {each: fitted(kept, names, start) if kept else None for each, kept in others.items()}


Ends: TypeAlias = tuple[float, float]
"""Of a band: times what is told."""


def ends_of(rows: list[Row], told: Told) -> Ends:
    """Between which nine in ten further rows lie, 1 among them, each row told by the constants of the other models.

    Of n rows a further one is as likely to come before, between or behind any, so that the ranks are those of n + 1.
    Of fewer than ``FEW`` models it is wider by ``FEW_WIDER`` either way: they say little of a further one.
    """
    ratios = np.sort([row.measured_s / seconds_of(row, told[model_of(row)])[0] for row in rows])
    ranks = (len(rows) + 1) * np.array([0.05, 0.95]) - 1
    low, high = np.interp(ranks, np.arange(len(rows)), ratios)
    few = FEW_WIDER if len({model_of(row) for row in rows}) < FEW else 1.0
    return min(1.0, float(low)) / few, max(1.0, float(high)) * few


def band_of(rows: list[Row], told: Told, what: str) -> str:
    """A band as a class's file states it."""
    low, high = ends_of(rows, told)
    timed = f"{len(rows)} {what} of {len(told)} models under llama.cpp, each model left out in turn"
    return f"{{low: {low:.2f}, high: {high:.2f}, evidence: '{timed}'}}"


def unseen_ends(rows: list[Row], told: Told) -> Mapping[str, Ends | None]:
    """The ends by which each model's rows are judged: those of the other models' rows; None where there are none."""
    models = {model_of(row) for row in rows}
    others = {model: [row for row in rows if model_of(row) != model] for model in models}
    return {model: ends_of(kept, told) if kept else None for model, kept in others.items()}


def _of(rows: list[Row], names: tuple[str, ...], library: str, phase: str) -> list[Row]:
    kept = [row for row in rows if row.library == library and row.phase == phase]
    return [row for row in kept if load_hardware(row.device).calibration_class in names]


@cache
def _told_of(rows: tuple[Row, ...], name: str, library: str, phase: str, apart: Apart) -> Told:
    family = FAMILIES[name, library]
    if phase == "prefill":
        return unseen(_of(list(rows), (name,), library, phase), family.prefill, family.start, apart)
    steps = _of(list(rows), family.alike or (name,), library, phase)
    return unseen(steps, family.decode, family.start, apart)


def _told(rows: list[Row], name: str, library: str, phase: str, apart: Apart) -> Told:
    """The constants by which a class's rows of a phase are told."""
    return _told_of(tuple(rows), name, library, phase, apart)


def _line(name: str, rows: list[Row], of: tuple[str, str, str], apart: Apart, kept: list[Row]) -> Scored:
    """Some rows of a class, a library and a phase, by constants fitted to what is apart from each.

    Where whole models are apart, so are the rows that made the band.
    """
    told = _told(rows, *of, apart)
    ends = _ends_of(tuple(rows), *of) if apart is model_of else None
    return scored(name, kept, told, apart, ends)


@cache
def _ends_of(rows: tuple[Row, ...], name: str, library: str, phase: str) -> Mapping[str, Ends | None] | None:
    """The ends by which rows are judged whose model is apart; None where no constant of the phase is fitted."""
    family = FAMILIES[name, library]
    if not (family.prefill if phase == "prefill" else family.decode):
        return None
    pool = _of(list(rows), (name,) if phase == "prefill" else family.alike or (name,), library, phase)
    return unseen_ends(pool, _told_of(rows, name, library, phase, model_of))


def board(rows: list[Row], apart: Apart) -> Iterator[Scored]:
    """Prefill and decode of each class, then all its rows, each by constants fitted to what is apart from it."""
    classes: dict[str, list[Scored]] = {}
    for name, library in FAMILIES:
        said = name if library == LIBRARY else f"{name}, builds before {AMD_MATRIX_UNITS}"
        own = _of(rows, (name,), library, "prefill")
        sets = [
            _line(f"{said}: {kind}", rows, (name, library, "prefill"), apart, kept)
            for kind, kept in (
                (f"prefill from {MICRO_BATCH} tokens", [row for row in own if row.tokens >= MICRO_BATCH]),
                ("shorter prefill", [row for row in own if row.tokens < MICRO_BATCH]),
            )
            if kept
        ]
        steps = (name, library, "decode")
        own = _of(rows, (name,), library, "decode")
        sets.append(_line(f"{said}: decode", rows, steps, apart, own))
        yield from sets
        if name == "amd-rdna":
            for chip in ("strix-halo", "radeon-ai-pro-r9700"):
                kept = [row for row in own if row.device == chip]
                if kept:
                    yield _line(f"{said}: decode of {chip}", rows, steps, apart, kept)
        classes.setdefault("Apple" if name in APPLE else name, []).extend(sets)
    yield from (
        Scored.together(f"Apple, both classes: {phase}", [each for each in classes["Apple"] if phase in each.name])
        for phase in ("prefill", "decode")
    )
    yield from (Scored.together(f"{name}: all its rows", sets) for name, sets in classes.items())


def ordered(rows: list[Row]) -> tuple[int, int]:
    """Of the pairs of devices that decode one model in one mix at about one length: in the measured order, and all."""
    times: dict[tuple[str, str, int], dict[str, tuple[float, float]]] = {}
    for row in rows:
        if row.phase == "decode" and row.batch == 1:
            found = times.setdefault((row.model, row.dtype, row.tokens // 200), {})
            found[row.device] = min(found.get(row.device, (np.inf, 0.0)), (row.measured_s, seconds_of(row, None)[0]))
    pairs = [pair for each in times.values() for pair in itertools.combinations(each.values(), 2)]
    return sum((one[0] < two[0]) == (one[1] < two[1]) for one, two in pairs), len(pairs)


def main() -> None:
    """Print the board, or what a class's file states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of measurements")
    parser.add_argument("--fit", action="store_true", help="print the constants that each class's file states")
    asked = parser.parse_args()
    rows = rows_of(asked.data)
    if not asked.fit:
        for said, apart in (("pairs of device and model", pair_of), ("models", model_of)):
            print(f"{said} apart\n\n" + "\n".join(table(board(rows, apart))) + "\n")
        right, pairs = ordered(rows)
        print(f"pairs of devices that decode a model in the measured order, one sequence at a time: {right} of {pairs}")
        return
    for (name, library), family in FAMILIES.items():
        prompts = _of(rows, (name,), library, "prefill")
        steps = _of(rows, family.alike or (name,), library, "decode")
        constants = fitted(prompts, family.prefill, fitted(steps, family.decode, family.start))
        stated = {kind: entry(kind, constants) for kind in KINDS if family.decode or kind != "any_attention_decode"}
        bands = (
            band_of(prompts, _told(rows, name, library, "prefill", model_of), "prefills"),
            band_of(steps, _told(rows, name, library, "decode", model_of), "decode steps"),
        )
        for kind, own in stated.items():
            own["band"] = bands[0 if family.prefill and kind != "any_attention_decode" else 1]
        print(f"{name}:\n{entries(library, stated)}", end="")


if __name__ == "__main__":
    main()
