"""Every verb declares its JSON: real answers have the declared fields, no others, and every declared one occurs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from json_schema import MismatchError, check, declared
from shell import answer, roofline
from terminal import check_fits

from roofline.buying.training_costs import train
from roofline.calibration.constants import Constants
from roofline.cli.app import app
from roofline.cli.served import served_in_json
from roofline.cli.verb import Verb, Verbs
from roofline.fitting.calibrating import Calibrated
from roofline.fitting.calibrator import Fitted
from roofline.fitting.operators import Fit, Interval
from roofline.fitting.timed_collectives import LinkRow, MeasuredLinks
from roofline.prediction.predict import predict
from roofline.reports.measuring import calibration_text, findings_text
from roofline.reports.validation import trained_text, validation_text
from roofline.served.comparison import Figure, ServingComparison
from roofline.sweeps.answers import rows_answer
from roofline.sweeps.columns import COLUMNS
from roofline.sweeps.several import predict as predict_points
from roofline.sweeps.sweep import sweep
from roofline.units import format_quantity
from roofline.validation.comparison import Profiled, compare
from roofline.validation.devices import Device
from roofline.validation.doctor import Findings
from roofline.validation.environment import SelfTest, describe_environment
from roofline.validation.profiling import Profile
from roofline.validation.runner import Validation
from roofline.validation.served_results import Load, ServingResult
from roofline.validation.stopwatch import Sample, Samples
from roofline.validation.training.comparison import Measured, compare_step

COMMANDS = {
    "predict": [
        "llama-3.1-8b --hardware 4xh100 --tp 2 --pp 2 --batch 4 --sensitivity --launch vllm --verify",
        "llama-3.1-8b --hardware 8xh100 --batch 8 --offload kv=100GB",
        "llama-3.1-70b --hardware h100 --dtype w4a16+kv8 --set hardware.memory.hbm.bandwidth=6TB/s",
        "mixtral-8x7b --hardware h100",
        "olmoe-1b-7b --hardware h100 --offload weights=experts",
        "mixtral-8x7b --hardware 3xh100 --dp 3 --ep 3 --batch 192 --set engine.two_batches=true",
        "t5-base --hardware t4 --prune ffn=0.5",
        "bert-base --hardware xeon",
        "bert-base --hardware 7xh100 --tp 1 --cp 1 --pp 1",
        "llama-3.1-8b --hardware h100 --context 500 --reserve 2GiB",
        "qwen2.5-omni-7b --hardware h100 --images 1 --image-size 640x480 --audio 10s",
        "qwen3-vl-8b --hardware h100 --video 10s --fps 1",
        "dit-xl-2 --hardware h100 --denoise-steps 4",
    ],
    "compare": [
        "llama-3.1-8b --hardware h100,l40s,xeon,dgx-h100 --ttft 500ms --api 1/2 --speculate 4:0.7",
        "llama-3.1-8b --hardware 2xl40s --pools --speculate 4:0.7 --draft llama-3.2-1b --lora 2x8",
        "llama-3.1-8b --hardware h100 --launch tensorrt-llm --verify",
        "bge-m3 --hardware h100 --latency 50ms --api 1/0",
        "resnet-50 --hardware h100",
        "qwen2.5-omni-7b --hardware h100 --images 1 --audio 10s --encode-on h100",
    ],
    "size": [
        "llama-3.1-8b --hardware h100,l40s --load 50req/s --pools",
        "llama-3.1-8b --hardware mi300x --prefill-on h100 --pools --load 50req/s --speculate 4:0.7"
        " --draft llama-3.2-1b --lora 2x8 --api 1/2",
        "llama-3.1-8b --hardware h100 --users 30 --activity 0.2 --budget 1MUSD --power 40kW --prompt 512 --generate 16"
        " --ttft p95:500ms --tpot p99:50ms --launch vllm --verify",
        "resnet-50 --hardware h100,l40s --load 5kreq/s --latency 50ms",
        "qwen2.5-omni-7b --hardware h100 --images 1 --audio 10s --load 5req/s --encode-on h100",
    ],
    "train": [
        "gpt2 --hardware h100,8xl40s --batch 64 --tokens 1B --pp 1",
        "llama-3.1-8b --hardware h100 --batch 1",
        "gpt2 --hardware h100 --batch 8 --recompute optimal",
        "gpt2 --hardware h100 --batch 8 --sequence 512 --launch megatron",
    ],
    "simulate": [
        "qwen2.5-omni-7b --hardware h100 --images 1 --audio 4s --load 2req/s --requests 20 --prompt 20 --generate 5 "
        "--encode-on h100",
        "llama-3.1-8b --hardware h100 --load 5req/s --requests 50 --ttft 100ms --offload kv=100GB --speculate 2:0.8",
    ],
    "op": [
        "matmul --m 16 --k 4096 --n 4096 --hardware h100",
        "grouped_matmul --tokens 16 --experts 128 --topk 8 --k 4096 --n 1536 --hardware h100",
        "attention --batch 1 --query 1 --context 512 --heads 32 --kv-heads 8 --head-dim 128 --hardware h100",
        "elementwise --rows 16 --columns 4096 --inputs 2 --hardware xeon",
        "embedding --tokens 16 --columns 4096 --hardware h100",
        "collective --operation all_reduce --message-bytes 1000000 --hardware 8xh100",
    ],
    "formula": [
        "attention",
        "llama-3.1-8b --subs B=1,S=2048",
        "llama-3.1-8b --hardware h100 --solve B",
        "llama-3.1-8b --hardware h100 --solve D --keep D",
    ],
    "hardware list": ["--announced", "--kind system"],
    "hardware show": ["h100", "dgx-h100", "8xh100"],
    "hardware diff": ["h100 mi300x"],
    "engines list": [""],
    "engines show": ["vllm", "tensorrt", "sglang"],
    "models list": ["bert", "qwen3-8b"],
    "models show": ["llama-3.1-8b", "clip-vit-base-patch32", "qwen3-8b"],
}

ELSEWHERE = {
    *(("EnvironmentAnswer", name) for name in ("cuda", "driver", "power_limit")),
    ("TrainingInputs", "fusion"),
    *(("EnvironmentAnswer", name) for name in ("scipy", "matplotlib", "pyarrow", "transformers", "huggingface_hub")),
}
"""Fields that need a GPU, a package that may be absent, or the code of a module."""


def verbs(group: Any, before: str = "") -> Iterator[tuple[str, Verb]]:
    """Every verb that prints JSON, with those of groups."""
    for name, command in group.commands.items():
        if isinstance(command, Verbs):
            yield from verbs(command, f"{before}{name} ")
        elif isinstance(command, Verb) and any(field.name == "json" for field in command.flags):
            yield f"{before}{name}", command


VERBS = [name for name, _ in verbs(app)]
MEASURED = ["doctor", "calibrate", "validate", "sweep"]


def schema_of(verb: str) -> dict[str, Any]:
    return dict(json.loads(answer(*verb.split(), "--json-schema")))


def checked(schema: dict[str, Any], answers: Iterable[Any]) -> None:
    """Raises MismatchError for a field that is not declared, AssertionError for one that never occurs."""
    met = set().union(*(check(json.loads(json.dumps(found)), schema) for found in answers))
    assert set(declared(schema)) - met - ELSEWHERE == set()


def test_every_verb_is_checked() -> None:
    assert set(VERBS) == {*COMMANDS, *MEASURED}


@pytest.mark.parametrize("verb", VERBS)
def test_every_field_says_what_it_means(verb: str) -> None:
    schema = schema_of(verb)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    fields = declared(schema)
    assert [field for field, own in fields.items() if len(own.get("description", "")) < 4] == []
    suffixes = {"_s": "s", "_bytes": "B", "_per_s": "/s", "_w": "W", "flops": "FLOP", "_hours": "h"}
    for (_, name), own in fields.items():
        for suffix, unit in suffixes.items():
            if name.endswith(suffix) and "letters" not in own["description"] and not name.endswith("_s" * 2):
                assert own.get("unit", "").endswith(unit), name


@pytest.mark.parametrize("verb", COMMANDS)
def test_answers_are_as_declared(verb: str) -> None:
    found = []
    for words in COMMANDS[verb]:
        code, out, _ = roofline(*verb.split(), *words.split(), "--json")
        assert code in (0, 4)
        found.append(json.loads(out))
    if verb.startswith("hardware") and verb != "hardware diff":
        for each in found:  # no device states everything
            check(each, schema_of(verb))
    else:
        checked(schema_of(verb), found)


def test_a_file_is_as_declared(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    code, out, err = roofline("predict", "bert-base", "--hardware", "t4", "--sensitivity", "-o", str(path))
    assert (code, err) == (0, f"{path}: {format_quantity(path.stat().st_size, 'bytes')}\n")
    assert out.startswith("\n")  # the gains alone
    found = json.loads(path.read_text())
    assert ("answer", "sensitivity") in check(found, schema_of("predict"))


def test_what_is_not_declared_is_seen() -> None:
    schema, found = schema_of("op"), json.loads(answer("op", *COMMANDS["op"][0].split(), "--json"))
    check(found, schema)
    for wrong in (found | {"strange": 1}, found | {"flops": "many"}, {k: v for k, v in found.items() if k != "bytes"}):
        with pytest.raises(MismatchError):
            check(wrong, schema)


def test_rows_of_a_sweep(tmp_path: Path) -> None:
    study = {"models": "gpt2,bert-base", "hardware": "a10", "batch": 1, "prompt": 9, "keep": list(COLUMNS)}
    study |= {"phases": "request,train", "sequence": 9, "tokens": 1e9}
    found = sweep({**study, "prices": "a10=1USD/h"}, tmp_path).scan().to_table().to_pylist()
    asked = {"batch": [1], "context": [5, 2000]}
    checked(
        schema_of("sweep"), [rows_answer("all", found, ["a note"]), predict_points("gpt2", "a10", **asked).to_dict()]
    )
    words = ["--pivot", "model,batch", "--of", "request_s", "--where", "phase = request"]
    told = json.loads(answer("sweep", "show", str(tmp_path), *words, "--json"))
    check(told, schema_of("sweep"))
    assert {row["model"]: row["request_s"] for row in told["rows"]} == {
        row["model"]: row["request_s"] for row in found if row["phase"] == "request"
    }


# What is measured, without measuring


def test_doctor() -> None:
    pytest.importorskip("torch")
    environment = describe_environment(Device.open("cpu"))
    found = Findings(environment, SelfTest(False, 1.0, 1.0, 0.01), {"OMP_NUM_THREADS": "1"})
    checked(schema_of("doctor"), [found.to_dict()])
    check_fits(lambda: findings_text(found))
    check_fits(lambda: findings_text(replace(found, test=SelfTest(True, 1.0, 8.0, 0.5))))


def test_calibrate() -> None:
    interval = {"compute": Interval(0.7, 0.6, 0.8)}
    fitted = {"matmul": Fitted(Fit(Constants(), interval, 9, 0.05, 0.06), Constants(), (0.1, -0.1), (0.9, 1.1))}
    links = MeasuredLinks((LinkRow("all_reduce", 2, 4096, 1e-5),), 1e11, {}, {"all_reduce": interval})
    samples = {"matmul": [[1e-3, 1e-4]]}
    pytest.importorskip("torch")
    there = {**describe_environment(Device.open("cpu")), "numa_nodes": 2}
    rates = ({"read": 1e11}, 1e12, 1e-5, 3, 9.0)
    found = Calibrated({"name": "a"}, {"name": "b"}, fitted, *rates, False, samples, there, links)
    checked(schema_of("calibrate"), [found.to_dict()])
    told = {
        "title": "CPU at hand",
        "band": {"low": 0.9, "high": 1.1, "evidence": "shapes that were kept out of the fit"},
    }
    check_fits(lambda: calibration_text(replace(found, fields=told), 4.0))
    text = calibration_text(replace(found, fields=told), 9.0)
    assert "2 NUMA nodes" in text
    assert "longer than its budget" not in text
    assert "longer than its budget of 4 s" in calibration_text(replace(found, fields=told), 4.0)


def test_validate() -> None:
    pytest.importorskip("torch")
    one = predict("llama-3.2-1b", "xeon", context=500, dtype="fp32", engine="transformers")
    operators = {op.name: 1.1 * op.figures.time_s for op in one.phases["decode"].operators}
    counted = dict.fromkeys(operators, 1000000.0)
    case = compare(one, "decode", 1, 500, operators, dram_bytes=counted, measured_s=1.0, digest="0" * 64,
                   samples=[(1.0, 0.001)], profile=Profile(1.2, {"mm": 1.0}), alone_s={"mm": 0.9},
                   profiled=Profiled("Nsight Systems", 2.0, 0.97, 1.0, one.engine.words, "usual"))  # fmt: skip
    step = train("gpt2", "xeon", batch=1, sequence=64, microbatch=1, dtype="fp32", recompute="none", zero=0).step
    samples = Samples((Sample(1.0, 0.001),), 0.001)
    trained = compare_step(step, "0" * 64, Measured(samples, {"forward": 0.3}, {"forward": []}, 1e6, None))
    device = Device.open("cpu")
    result = Validation.of([case], device, "roofline validate", hardware="xeon", run="1", training=[trained])
    figure = Figure("ttft_s", "p99", 0.2, 0.21, 0.1, 0.3)
    run = ServingResult("vllm bench serve", "llama-3.2-1b", Load(512.0, 256.0, 80, 8), {})
    served = ServingComparison(run, one.engine, "xeon", "one device", (figure,), ("a note",))
    checked(schema_of("validate"), [result.to_dict(), served_in_json([served], "roofline validate")])
    check_fits(lambda: validation_text([case], result.verdict, wide=True))
    check_fits(lambda: trained_text([trained], result.verdict))
