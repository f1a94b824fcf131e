"""The constants of classes: shipped files, refusals, and what each kind gets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from roofline.calibration import constants as calibration
from roofline.calibration.constants import DATASHEET, class_names, load_class, load_constants
from roofline.calibration.kernels import Kernels
from roofline.errors import SpecError
from roofline.files.library import data_folder, read_yaml
from roofline.hardware.loading import hardware_names, load_hardware
from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.program.conventions import Conventions

CLASSES = class_names()
CLASS_FILES = data_folder("calibrations") / "classes"
PLAIN = {
    "name": "toy",
    "title": "a toy",
    "p": 2,
    "compute": 0.5,
    "memory": 0.6,
    "vector": 0.7,
    "special": 0.8,
    "latency": {"graph": "3 us", "eager": "8 us"},
    "kinds": {
        "norm": {"memory": 0.4},
        "attention_decode": {"compute": 0.3, "latency": {"graph": "9 us", "eager": "10 us"}},
    },
    "band": {"low": 0.7, "high": 1.5, "evidence": "none"},
    "source": "arithmetic",
}

LATENCY_ENDS = [
    {"share": 0, "low": 0.9, "high": 1.1},
    {"share": 0.5, "low": 0.8, "high": 1.5},
    {"share": 1, "low": 0.5, "high": 1.6},
]
BY_LATENCY = {"low": 0.7, "high": 1.4, "by_latency": LATENCY_ENDS, "evidence": "toy"}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a class file and loads it."""
    (tmp_path / "classes").mkdir()
    monkeypatch.setattr(calibration, "data_folder", lambda _: tmp_path)

    def write(fields: Any) -> Any:
        text = fields if isinstance(fields, str) else yaml.safe_dump(fields)
        (tmp_path / "classes" / "toy.yaml").write_text(text, encoding="utf-8")
        return load_class("toy")

    return write


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_file_loads_and_is_plausible(name: str) -> None:
    data = load_class(name)
    assert data.name == name
    assert data.band.low <= 1 <= data.band.high
    assert data.latency.graph <= data.latency.eager < 1e-3
    assert 0.5 <= data.p <= 10
    assert len(data.source) > 20
    assert len(data.band.evidence) > 10
    for share in (data.compute, data.memory, data.vector, data.special):
        assert 0 < share <= 1.2
    constants = load_constants(name)
    assert (constants.provenance, constants.name) == ("class", name)
    assert (constants.low, constants.high) == (data.band.low, data.band.high)


@pytest.fixture(scope="module")
def kinds() -> set[str]:
    """The kinds of operators of every preset, with attention and matmuls told apart as constants tell them."""
    found = {"grouped_matmul", "routed", "quantize", "attention_encoder", "attention_training"}
    found |= {f"{of}attention_{phase}" for of in ("", "latent_", "any_") for phase in ("prefill", "decode")}
    found |= {f"{of}_{phase}" for of in ("convolution", "delta_rule", "mamba2") for phase in ("prefill", "decode")}
    for preset in preset_names():
        for attention in ("fused", "materialised"):
            program = load_model(preset).program(Conventions(attention=attention))
            found |= {op.kind for group in program.groups for op in group.ops}
    return found - {"attention"}


@pytest.mark.parametrize("name", CLASSES)
def test_every_kind_that_a_class_names_exists(kinds: set[str], name: str) -> None:
    assert set(load_class(name).kinds) <= kinds


def test_every_device_has_a_class_and_no_class_is_idle() -> None:
    assert {load_hardware(name).calibration_class for name in hardware_names()} <= set(CLASSES)
    assert [path.name for path in CLASS_FILES.iterdir() if path.suffix != ".yaml"] == []


def test_no_class_holds_facts_of_a_device() -> None:
    for name in CLASSES:
        assert not {"peak", "bandwidth", "capacity"} & set(read_yaml(CLASS_FILES / f"{name}.yaml"))


@pytest.mark.parametrize(("name", "text"), [("nvidia-tensorcore", "did you mean nvidia-tensor-core"), ("", "known: ")])
def test_an_unknown_class_is_one_line_with_near_matches(name: str, text: str) -> None:
    with pytest.raises(SpecError, match=f"class {name!r} has no calibration; .*{text}"):
        load_class(name)
    with pytest.raises(SpecError):
        load_constants(name)


@pytest.mark.parametrize("name", ["../classes/cpu", "/etc/passwd", "cpu.yaml", "classes/cpu", "."])
def test_a_class_is_a_name_and_not_a_path(name: str) -> None:
    with pytest.raises(SpecError, match="has no calibration"):
        load_class(name)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"compute": None}, "toy.yaml: compute: "),
        ({"compute": 0}, "toy.yaml: compute: "),
        ({"compute": 2.5}, "toy.yaml: compute: "),
        ({"compute": "fast"}, "toy.yaml: compute: "),
        ({"memory": -0.5}, "toy.yaml: memory: "),
        ({"p": 0}, "toy.yaml: p: "),
        ({"p": 100}, "toy.yaml: p: "),
        ({"peak": 1}, "toy.yaml: peak: "),
        ({"latency": {"graph": "3 us"}}, "toy.yaml: latency.eager: "),
        ({"latency": {"graph": 3, "eager": 8}}, "toy.yaml: latency.graph: "),
        ({"latency": {"graph": "3 GB", "eager": "8 us"}}, "toy.yaml: latency.graph: "),
        ({"band": {"low": 1.1, "high": 1.5, "evidence": "x"}}, "toy.yaml: band.low: "),
        ({"band": {"low": 0.5, "high": 0.9, "evidence": "x"}}, "toy.yaml: band.high: "),
        ({"band": {"low": 0.5, "high": 1.5}}, "toy.yaml: band.evidence: "),
        (
            {"band": {**BY_LATENCY, "by_latency": [LATENCY_ENDS[0]]}},
            "band: by_latency: shares 0, expected to rise",
        ),
        ({"band": {**BY_LATENCY, "by_latency": LATENCY_ENDS[::-1]}}, "shares 1, 0.5, 0, expected to rise from 0 to 1"),
        ({"band": {**BY_LATENCY, "by_latency": LATENCY_ENDS[:2]}}, "shares 0, 0.5, expected to rise from 0 to 1"),
        ({"band": {**BY_LATENCY, "by_latency": [{"share": 0.5, "low": 2}]}}, "toy.yaml: band.by_latency.0.low: "),
        ({"kinds": {"norm": {"flops": 1}}}, "toy.yaml: kinds.norm.flops: "),
        (
            {"kinds": {"norm": {"block_bandwith": 1}}},
            "kinds.norm.block_bandwith: unknown field; did you mean block_band",
        ),
        ({"kinds": {"norm": {"extra_keys": 0}}}, "kinds.norm.extra_keys: given 0, expected above 0"),
        ({"kinds": {"norm": {"extra_keys": "many"}}}, 'kinds.norm.extra_keys: given "many", expected a number'),
        (
            {"kinds": {"norm": {"extra_keys": {"tokens": 3}}}},
            "kinds.norm.extra_keys: given a mapping, expected a number",
        ),
        ({"kinds": {"norm": {"regroup": 3}}}, 'kinds.norm.regroup: "3" has no unit, expected a time such as "30 ms"'),
        ({"kinds": {"norm": {"split_k": 3}}}, "kinds.norm.split_k: given 3, expected a mapping of reduction, partial"),
        ({"kinds": {"norm": {"split_k": {}}}}, "kinds.norm.split_k: given an empty mapping, expected a mapping of"),
        (
            {"kinds": {"norm": {"split_k": {"partial": 1}}}},
            "kinds.norm.split_k: given partial, expected a mapping of reduction,",
        ),
        ({"kinds": {"norm": {"least_tile": 64}}}, "kinds.norm: given least_tile without tiles, expected both"),
        ({"kinds": {"norm": {"long_rows": {"capacity": "3 us", "reread": 1}}}}, "kinds.norm.long_rows.capacity: "),
        (
            {"kinds": {"norm": {"cache_bandwidth": 1, "reuse_bandwidth": 1}}},
            "kinds.norm: given cache_bandwidth and reuse",
        ),
        ({"kinds": []}, "toy.yaml: kinds: "),
        ({"source": 3}, "toy.yaml: source: "),
        ({"source": None}, "toy.yaml: source: "),
    ],
    ids=str,
)
def test_a_malformed_file_is_one_line_that_names_the_field(toy: Any, change: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        toy({**PLAIN, **change})
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "- 1", "p: [", "p: 1\np: 2", "p: .inf", "p: .nan", "\x00"], ids=repr)
def test_a_file_that_is_no_mapping_is_one_line(toy: Any, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        toy(text)
    assert "toy.yaml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("latency", ["-3 us", "inf s", "nan s"])
def test_a_latency_is_a_number_of_seconds_and_not_negative(toy: Any, latency: str) -> None:
    with pytest.raises(SpecError, match=r"toy\.yaml: latency\.graph: "):
        toy({**PLAIN, "latency": {"graph": latency, "eager": "8 us"}})


def test_a_kind_takes_its_own_constants_and_the_defaults_for_the_rest(toy: Any) -> None:
    toy(PLAIN)
    constants = load_constants("toy")
    matmul, norm = constants.of("matmul", "graph"), constants.of("norm", "graph")
    assert (matmul.compute, matmul.memory, matmul.vector, matmul.special) == (0.5, 0.6, 0.7, 0.8)
    assert (matmul.latency_s, constants.of("matmul", "eager").latency_s) == (3e-6, 8e-6)
    assert (norm.compute, norm.memory, norm.latency_s, norm.p) == (0.5, 0.4, 3e-6, 2)
    decode = constants.of("attention_decode", "eager")
    assert (decode.compute, decode.memory, decode.latency_s) == (0.3, 0.6, 10e-6)


CLOCKED = {
    **PLAIN,
    "clock": "1 GHz",
    "kinds": {
        "matmul": {
            "latency": {"graph": "4.6 kcycle", "eager": "4.6 kcycles + 5 us"},
            "dtypes": {"fp8": {"latency": {"graph": "7 us", "eager": "7 us"}, "compute": 0.9}},
            "libraries": {
                "fast": {"latency": {"graph": "1 us", "eager": "1 us"}},
                "narrow": {"dtypes": {"fp8": {"latency": {"graph": "2 us", "eager": "2 us"}}}},
            },
        }
    },
}


def test_cycles_are_seconds_at_the_clock_of_the_device_or_of_the_file(toy: Any) -> None:
    toy(CLOCKED)
    for clock, seconds in ((None, 4.6e-6), (2e9, 2.3e-6)):
        latency = load_class("toy", clock).kinds["matmul"].latency
        assert latency is not None
        assert latency.graph == pytest.approx(seconds)
        assert latency.eager == pytest.approx(seconds + 5e-6)


@pytest.mark.parametrize("text", ["4.6 kcycle + 5 B", "4.6 kcycle + ", "x kcycle", "-1 kcycle", "kcycle"])
def test_a_sum_of_times_has_times_alone(toy: Any, text: str) -> None:
    with pytest.raises(SpecError, match=r"toy\.yaml: latency\.graph: "):
        toy({**CLOCKED, "latency": {"graph": text, "eager": "8 us"}})


def test_cycles_without_any_clock_are_refused_with_the_fix(toy: Any) -> None:
    with pytest.raises(SpecError, match=r'"4.6 kcycle" needs a clock: add clock: '):
        toy({name: value for name, value in CLOCKED.items() if name != "clock"})


def test_a_library_and_a_dtype_have_constants_of_their_own(toy: Any) -> None:
    toy(CLOCKED)
    plain = load_constants("toy")

    def graph(library: str, dtype: str) -> float:
        return plain.using(Kernels(matmul=library)).of("matmul", "graph", dtype=dtype).latency_s

    assert graph("", "bf16") == graph("narrow", "bf16") == graph("unknown", "bf16") == pytest.approx(4.6e-6)
    assert graph("fast", "bf16") == 1e-6
    assert graph("narrow", "fp8") == 2e-6
    assert graph("", "fp8") == graph("fast", "fp8") == 7e-6
    assert plain.of("matmul", "graph", dtype="fp8").compute == 0.9


def test_the_data_sheet_has_no_losses_and_no_latency() -> None:
    constants = load_constants("cpu", "datasheet")
    assert (constants.provenance, constants.low, constants.high) == ("datasheet", 1.0, 1.0)
    assert constants.of("matmul", "eager") is DATASHEET
    assert (DATASHEET.compute, DATASHEET.memory, DATASHEET.latency_s, DATASHEET.p) == (1.0, 1.0, 0.0, math.inf)


def test_gpus_have_a_soft_corner_and_cpus_an_additive_one() -> None:
    for name in hardware_names():
        spec = load_hardware(name)
        assert load_class(spec.calibration_class).p == (1 if spec.kind == "cpu" else 2), name


def test_one_class_for_all_would_flip_a_ranking() -> None:
    assert load_class("amd-matrix-core").compute < load_class("nvidia-tensor-core").compute


def test_a_band_by_latency_is_that_of_the_part_of_the_time_that_is_latency(toy: Any) -> None:
    """Answers tell it of one operator; a device that inherits it has it wider everywhere."""
    band = toy({**PLAIN, "band": BY_LATENCY}).band
    constants = calibration.ConstantSet.from_calibration(toy({**PLAIN, "band": BY_LATENCY}))
    assert constants.of("norm", "graph").by_latency == tuple((e["share"], e["low"], e["high"]) for e in LATENCY_ENDS)
    assert constants.band("norm")[:2] == (0.7, 1.4)
    assert constants.band("norm", latency=0.25)[:2] == pytest.approx((0.85, 1.3))
    assert "25% of the time" in constants.band("norm", latency=0.25)[2]
    wide = band.widened(2.0, "inherited")
    for latency in (0.0, 0.3, 1.0):
        low, high = band.at(latency)
        assert wide.at(latency) == pytest.approx((low / 2, high * 2))
    assert (wide.low, wide.high, wide.evidence) == (0.35, 2.8, "inherited")
