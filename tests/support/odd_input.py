"""Valid but odd commands, drawn from a seed, and what must hold of every answer: no traceback, no NaN, doors agree."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from shell import roofline

import roofline as api
from roofline.buying.documents import documents_of
from roofline.errors import RooflineError
from roofline.files.library import data_folder
from roofline.formulas.catalogue import LAYERS
from roofline.hardware.loading import hardware_names
from roofline.models.sources import PRESETS, preset_names
from roofline.options.edits import read_edit

MODELS, DEVICES = preset_names(), hardware_names()
TRAINED = (
    "gpt2",
    "bert-large",
    "llama-3.1-8b",
    "gemma-2-9b",
    "mixtral-8x7b",
    "deepseek-v2-lite",
    "bamba-9b",
    "vit-base",
)
"""For the search of a training step, which takes seconds where hundreds of billions of parameters fit nowhere."""

LATER = (
    *("deepseek-v4-flash", "deepseek-v4-pro", "deepseek-v3.2", "mimo-v2-flash", "kimi-linear-48b-a3b", "minimax-m3"),
    *("glm-5.2", "qwen3.5-397b-a17b", "gemma-4-31b", "gpt-oss-20b"),
)
"""Whose attention, states or experts are of a kind of their own."""

SERVED = (*LATER, "gpt2", "qwen3-0.6b", "gemma-2-9b", "mixtral-8x7b", "bamba-9b", "rwkv-4-169m", "mistral-7b")
"""For simulations, which are of decoders."""

LENGTHS = (1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 500, 511, 512, 513, 1000, 2047, 2048, 2049, 4096)
RECIPES = (
    *("bf16", "fp16", "fp32", "fp8", "fp8-block", "int8", "w8a8", "w8a16", "w4a16", "awq", "gptq", "w4a8", "mxfp8"),
    *("mxfp4", "nvfp4", "nf4", "nf4-dq", "w4a16+kv8", "w4a16+kv4", "w4a16+g64+zp", "w4a16+g7", "fp8+kv8", "kv4"),
    *("q4_k_m", "q8_0", "iq2_xxs+kv8", "mxfp4_moe"),
)
ENGINES = ("vllm", "sglang", "tensorrt-llm", "tensorrt", "torch-compile", "transformers", "llama-cpp", "mlx", "exllama")
EDITS = (
    *("engine.chunk=0", "engine.chunk=1", "engine.chunk=100", "engine.chunk=512", "engine.chunk=8192"),
    *("engine.kv_block=1", "engine.kv_block=7", "engine.kv_block=256", "engine.attention=materialised"),
    *("engine.overlap=0.5", "engine.overlap=1", "engine.memory_share=0.5", "model.num_hidden_layers=3"),
)
CODES = (0, 2, 3, 4)
"""An answer, a flag or a value refused, a target that nothing meets."""

Flags = dict[str, str]


def command_of(seed: int) -> list[str]:
    """A command, the same for the same seed: of forty seeds in a row thirty predict, op or formula, eight buy."""
    draw, turn = Random(seed), seed % 40
    if turn < 30:
        (verb,) = draw.choices([_predict, _op, _formula], [4, 6, 5])
        return verb(draw)
    rarer = [_compare, _size, _train, _simulate] if turn < 38 else [_plot] if turn < 39 else [_models, _hardware]
    return draw.choice(rarer)(draw)


def check(command: list[str]) -> int:
    """Run a command in this process. Raises AssertionError for what must not be; returns the exit code."""
    code, out, err = roofline(*command)
    said = " ".join(command)
    assert code in CODES, f"{said}: exit {code}: {err}"
    assert "Traceback" not in err, said
    if code in (2, 3):
        last = err.splitlines()[-1]
        assert out == "" or command[:2] == ["hardware", "check"], f"{said}: refused, and printed"
        assert last.startswith("roofline: "), f"{said}: {err}"
        assert all(line.startswith("warning: ") for line in err.splitlines()[:-1]), f"{said}: {err}"
        return code
    assert not re.search(r"(?<![\w-])(?:nan|inf|None)(?![\w-])", out), f"{said}: {out}"
    if command[:2] == ["models", "check"]:
        _models_agree(command[2], out)
    agree = _AGREE.get(command[0])
    if agree and "--json" in command:
        agree(command, json.loads(out, parse_constant=_refuse))
    return code


# What is drawn


def _some(draw: Random, flags: dict[str, Callable[[], Any]], odds: float) -> list[str]:
    """Each flag with these odds."""
    return [word for name, value in flags.items() if draw.random() < odds for word in (f"--{name}", str(value()))]


def _model(draw: Random) -> str:
    return draw.choice(MODELS if draw.random() < 0.8 else LATER)


def _form(draw: Random) -> list[str]:
    """Mostly JSON, which other doors are held against."""
    return ["--json"] if draw.random() < 0.8 else []


def _length(draw: Random) -> int:
    return draw.choice([*LENGTHS, draw.randrange(1, 10 ** draw.randrange(1, 7))])


def _device(draw: Random, most: int = 16) -> str:
    name = draw.choice(DEVICES)
    return name if draw.random() < 0.8 else f"{draw.choice([1, 2, 3, 4, 6, 8, 12, 16, most])}x{name}"


def _predict(draw: Random) -> list[str]:
    flags: dict[str, Callable[[], Any]] = {
        "batch": lambda: draw.choice([1, 2, 3, 7, 8, 64, 1000, 10**6]),
        "dtype": lambda: draw.choice(RECIPES),
        "kv-dtype": lambda: draw.choice(["fp8", "int8", "int4", "fp16"]),
        "phase": lambda: draw.choice(["encode", "prefill", "decode"]),
        "engine": lambda: draw.choice(ENGINES),
        "count": lambda: "square",
        "lm-head": lambda: "all",
        "constants": lambda: draw.choice(["datasheet", "class", "published", "calibrated"]),
        "set": lambda: draw.choice(EDITS),
        "reserve": lambda: draw.choice(["0", "0.1", "0.999", "2GiB"]),
        "prune": lambda: draw.choice(["heads=0.25", "ffn=0.5", "layers=1", "layers=0.9", "heads=1,ffn=0.1"]),
        "sparsity": lambda: draw.choice(["2:4", "0.9:csr", "0.5:bitmap", "0.99:block16"]),
        "tp": lambda: draw.choice([1, 2, 3, 8]),
        "pp": lambda: draw.choice([1, 2, 5]),
        "cp": lambda: draw.choice([1, 2, 7]),
        "dcp": lambda: draw.choice([1, 2, 7]),
        "ep": lambda: draw.choice([1, 2, 8]),
        "lora": lambda: draw.choice(["1x1", "16x64", "4x256"]),
        "routing": lambda: draw.choice(["uniform", "balanced", "power_law:1.2", "power_law:0"]),
        "state-dtype": lambda: draw.choice(["fp32", "bf16"]),
        "weight-dtype": lambda: draw.choice(["nf4", "int8", "fp32"]),
        "activation-dtype": lambda: draw.choice(["fp8", "fp16"]),
    }
    lengths: dict[str, Callable[[], Any]] = {"prompt": lambda: _length(draw), "generate": lambda: _length(draw)}
    asked = ["--context", str(_length(draw))] if draw.random() < 0.3 else _some(draw, lengths, 0.4)
    hardware = _device(draw)
    return ["predict", _model(draw), "--hardware", hardware, *asked, *_some(draw, flags, 0.12), *_form(draw)]


def _op(draw: Random) -> list[str]:
    def size() -> int:
        return draw.choice([1, 2, 7, 8, 64, 127, 128, 129, 4096, draw.randrange(1, 10**6)])

    heads = draw.choice([1, 2, 8])
    sizes: dict[str, Flags] = {
        "matmul": {name: str(size()) for name in ("m", "k", "n")},
        "grouped_matmul": {name: str(size()) for name in ("tokens", "experts", "topk", "k", "n")},
        "attention": {
            **{name: str(size()) for name in ("batch", "query", "context", "head-dim")},
            "heads": str(heads * draw.choice([1, 4, 7])),
            "kv-heads": str(heads),
        },
        "elementwise": {"rows": str(size()), "columns": str(size()), "inputs": str(draw.choice([1, 2, 5]))},
        "norm": {"rows": str(size()), "columns": str(size())},
        "softmax": {"rows": str(size()), "columns": str(size())},
        "embedding": {"tokens": str(size()), "columns": str(size())},
        "collective": {
            "operation": draw.choice(["all_reduce", "all_gather", "reduce_scatter", "all_to_all"]),
            "message-bytes": str(size() * size()),
            "devices": draw.choice(["1", "2", "3", "8", "16"]),
        },
    }
    kind = draw.choice(list(sizes))
    given = [word for name, value in sizes[kind].items() for word in (f"--{name}", value)]
    more = _some(draw, {"dtype": lambda: draw.choice(["bf16", "fp16", "fp32", "fp8", "int8"]),
                        "engine": lambda: draw.choice(ENGINES)}, 0.3)  # fmt: skip
    hardware = f"8x{draw.choice(DEVICES)}" if kind == "collective" else draw.choice(DEVICES)
    return ["op", kind, *given, *more, "--hardware", hardware, *_form(draw)]


def _formula(draw: Random) -> list[str]:
    if draw.random() < 0.3:
        subject = draw.choice(list(LAYERS))
        return ["formula", subject, "--quantity", draw.choice(["flops", "bytes", "intensity"]), "--json"]
    numbers = {"B": draw.choice([1, 3, 64]), "S": draw.choice(LENGTHS)}
    subs = ",".join(f"{letter}={number}" for letter, number in numbers.items())
    quantity = draw.choice(["flops", "bytes", "parameters", "kv_cache", "memory", "intensity"])
    phase = draw.choice(["decode", "decode", "prefill", "encode"])
    more = _some(draw, {"dtype": lambda: draw.choice(["bf16", "fp8", "w4a16"]), "keep": lambda: "D"}, 0.2)
    return ["formula", _model(draw), "--quantity", quantity, "--phase", phase, "--subs", subs, *more, "--json"]


def _serving(draw: Random) -> list[str]:
    speculated = _some(draw, {
        "speculate": lambda: draw.choice(["4:0.7", "1:0.01", "8:1", "3:0.9,0.7", "3:0.9,0.7,0.5", "2:1,0.5"]),
    }, 0.2)  # fmt: skip
    if speculated and draw.random() < 0.4:
        speculated += ["--draft", draw.choice(["llama-3.2-1b", "qwen3-0.6b", "bert-base"])]
    return speculated + _some(draw, {
        "workload": lambda: draw.choice(["chat", "rag", "code-completion", "summarise", "batch"]),
        "prompt": lambda: draw.choice(["1", "128", "100/500", "512:2000"]),
        "generate": lambda: draw.choice(["1", "2", "64", "50/60", "100:300"]),
        "dtype": lambda: draw.choice([*RECIPES, "bf16,fp8"]),
        "ttft": lambda: draw.choice(["1ms", "500ms", "10s", "p95:2s"]),
        "tpot": lambda: draw.choice(["1ms", "30ms", "1s"]),
        "set": lambda: draw.choice(EDITS),
        "engine": lambda: draw.choice(ENGINES),
        "lora": lambda: draw.choice(["1x1", "16x64"]),
        "prefix-hits": lambda: draw.choice(["0", "0.5", "0.99"]),
        "reserve": lambda: draw.choice(["0", "0.5", "2GiB"]),
    }, 0.15)  # fmt: skip


def _prices(draw: Random) -> list[str]:
    return _some(draw, {
        "api": lambda: "0.6/0.8",
        "price-kind": lambda: draw.choice(["reserved", "spot", "purchase"]),
    }, 0.15)  # fmt: skip


def _apart(draw: Random) -> list[str]:
    """KV caches below the devices' memory, and a prefill on devices of its own."""
    return _some(draw, {
        "offload": lambda: draw.choice(["kv=1GB", "kv=200GB", "kv=200GB+ssd:4TB@12GB/s", "kv=1B+ssd:1TB@1MB/s"]),
        "prefill-on": lambda: draw.choice(["h100", "dgx-h100", "2xh200", draw.choice(DEVICES)]),
    }, 0.2)  # fmt: skip


def _compare(draw: Random) -> list[str]:
    names = ",".join(_device(draw, 8) for _ in range(draw.choice([1, 1, 2])))
    more = ["--pools"] if "x" in names and draw.random() < 0.1 else []
    more += _prices(draw)
    return ["compare", _model(draw), "--hardware", names, *_serving(draw), *more, *_form(draw)]


def _size(draw: Random) -> list[str]:
    load = draw.choice(["1req/s", "0.001req/s", "50req/s", "20kreq/s"])
    more = [*_prices(draw), *_apart(draw)]
    return ["size", _model(draw), "--hardware", _device(draw, 8), "--load", load, *_serving(draw), *more, *_form(draw)]


def _simulate(draw: Random) -> list[str]:
    load = ["--concurrency", draw.choice(["1", "7", "100"])]
    if draw.random() < 0.7:
        load = ["--load", draw.choice(["1req/s", "0.001req/s", "50req/s", "1kreq/s"])]
    more = _some(draw, {
        "arrivals": lambda: draw.choice(["gamma:0.1", "gamma:9", "all at the start"]),
        "seed": lambda: draw.randrange(9),
        "tp": lambda: draw.choice([1, 2, 8]),
        "dp": lambda: draw.choice([1, 2, 3]),
        "router": lambda: draw.choice(["least-loaded", "prefix-aware"]),
        "workload": lambda: "agent",
    }, 0.2)  # fmt: skip
    few = ["--requests", draw.choice(["1", "2", "40", "100"])]
    asked = [*load, *few, *more, *_serving(draw), *_apart(draw)]
    hardware = _device(draw, 8) if draw.random() < 0.5 else draw.choice(["h100", "8xb200", "mi300x", "tpu-v6e"])
    return ["simulate", draw.choice(SERVED), "--hardware", hardware, *asked, *_form(draw)]


def _train(draw: Random) -> list[str]:
    names = ",".join(_device(draw, 8) for _ in range(draw.choice([1, 1, 1, 2])))
    asked = _some(draw, {
        "sequence": lambda: draw.choice([1, 7, 512, 4096]),
        "batch": lambda: draw.choice([1, 8, 60]),
        "microbatch": lambda: draw.choice([1, 3]),
        "zero": lambda: draw.choice([0, 1, 3]),
        "recompute": lambda: draw.choice(["none", "full", "every:3", "selective", "optimal:1GB", "optimal:10GB"]),
        "lora": lambda: draw.choice([1, 16, 256]),
        "weight-dtype": lambda: draw.choice(["nf4", "nf4-dq", "int8"]),
        "trained": lambda: draw.choice(["attention", "ffn,head", "q_proj,v_proj", "norms"]),
        "sequence-lengths": lambda: draw.choice(["512", "7,100", "512x4,2048"]),
        "gradients": lambda: draw.choice(["bf16", "fp32"]),
        "hidden": lambda: draw.choice(["0", "0.5", "1"]),
        "schedule": lambda: draw.choice(["gpipe", "interleaved:2", "zb-h1", "zb-h2", "dualpipe"]),
        "optimizer": lambda: draw.choice(["sgd", "adafactor", "muon", "adamw8bit"]),
        "dtype": lambda: draw.choice(["bf16", "fp32", "fp16-mixed", "bf16-autocast"]),
        "tokens": lambda: draw.choice(["1T", "300Gtok", "1 tok"]),
        "engine": lambda: draw.choice(ENGINES),
        "reserve": lambda: draw.choice(["0", "0.5", "2GiB"]),
        "set": lambda: draw.choice(EDITS),
        "tp": lambda: draw.choice([1, 2]),
        "pp": lambda: draw.choice([1, 2, 4]),
    }, 0.16)  # fmt: skip
    return ["train", draw.choice(TRAINED), "--hardware", names, *asked, *_form(draw)]


def _plot(draw: Random) -> list[str]:
    kind = draw.choice(["roofline", "breakdown", "compare", "memory", "regime", "sensitivity", "timeplane"])
    asked = _some(draw, {"batch": lambda: draw.choice([1, 7, 512]), "context": lambda: _length(draw)}, 0.3)
    picture = str(Path(tempfile.gettempdir()) / f"odd_input_{os.getpid()}.svg")
    return ["plot", kind, draw.choice(MODELS), "--hardware", draw.choice(DEVICES), *asked, "-o", picture]


def _models(draw: Random) -> list[str]:
    """The fields of a preset, one of them odd, as a file."""
    import yaml

    preset = yaml.safe_load((PRESETS / f"{draw.choice(MODELS)}.yaml").read_text(encoding="utf-8"))
    fields = dict(preset["config"])
    odd = draw.choice([None, 0, 1, 3, -1, 1.5, "", "x", True, [], {}, 10**12])
    name = draw.choice(sorted(fields))
    fields[name] = fields[name] * 2 if type(fields[name]) is int and draw.random() < 0.6 else odd
    return ["models", "check", _written(json.dumps(fields), "json")]


def _hardware(draw: Random) -> list[str]:
    import yaml

    fields = yaml.safe_load((data_folder("hardware_specs") / f"{draw.choice(DEVICES)}.yaml").read_text())
    odd = draw.choice([None, 0, 1, -1, 1.5, "", "x", True, [], {}, "1e9 GB/s", "3 TB/s"])
    name = draw.choice(sorted(fields))
    fields.pop(name)
    if draw.random() < 0.5:
        fields[name] = odd
    return ["hardware", "check", _written(yaml.safe_dump(fields, sort_keys=False), "yaml")]


def _written(text: str, suffix: str) -> str:
    path = Path(tempfile.gettempdir()) / f"odd_input_{os.getpid()}.{suffix}"
    path.write_text(text, encoding="utf-8")
    return str(path)


# What another door says


def _flags(command: list[str]) -> dict[str, Any]:
    """Flags as keywords of Python, whole numbers as numbers."""
    words = [word for word in command[2:] if word != "--json"]
    pairs = list(zip(words[::2], words[1::2], strict=True))
    edits = [value for flag, value in pairs if flag == "--set"]
    numbers = ("reserve", "prune", "sparsity", "prompt", "generate") if command[0] != "predict" else ("reserve",)
    return {
        flag.removeprefix("--").replace("-", "_"): int(value)
        if value.isdecimal() and flag.removeprefix("--") not in numbers
        else value
        for flag, value in pairs
        if flag != "--set"
    } | ({"set": dict(read_edit(each) for each in edits)} if edits else {})


def _predict_agrees(command: list[str], found: dict[str, Any]) -> None:
    flags = _flags(command)
    hardware = flags.pop("hardware")
    result = api.predict(command[1], hardware, **flags)
    documents = found.pop("documents", None)
    assert documents == (None if result.documents_per_s is None else documents_of(result)), " ".join(command)
    assert json.loads(json.dumps(result.to_dict())) == found, " ".join(command)
    said, memory = " ".join(command), found["memory"]
    if memory["max_batch"] is not None and found.get("layout", {}).get("dp", 1) == 1 and "pp" not in flags:
        assert found["fits"] == (found["inputs"]["batch"] <= memory["max_batch"]), said
    for phase in found["phases"].values():
        assert phase["bound_s"] <= phase["low_s"] * (1 + 1e-9), said
        assert phase["low_s"] <= phase["time_s"] <= phase["high_s"], said
        assert abs(sum(phase["shares"].values()) - 1) < 1e-6, said


def _op_agrees(command: list[str], found: dict[str, Any]) -> None:
    flags = _flags(command)
    result = api.predict_op(command[1], flags.pop("hardware"), **flags)
    assert json.loads(json.dumps(result.to_dict())) == found, " ".join(command)
    assert found["bound_s"] <= found["low_s"] * (1 + 1e-9)
    assert found["low_s"] <= found["time_s"] <= found["high_s"]


def _formula_agrees(command: list[str], found: dict[str, Any]) -> None:
    """A decode step's FLOPs in letters are those that the same step is predicted with."""
    flags = _flags(command)
    (formula, *_) = found["formulas"]
    if flags.get("phase") != "decode" or flags.get("quantity") != "flops" or "keep" in flags:
        return
    numbers = dict(pair.split("=") for pair in flags["subs"].split(","))
    asked = {"batch": int(numbers["B"]), "context": int(numbers["S"]), "dtype": flags.get("dtype")}
    try:
        step = api.predict(command[1], "h100", **asked)
    except RooflineError:  # beyond the model's positions, which a formula does not ask
        return
    predicted = step.phases["decode"].figures.flops  # type: ignore[index]
    value = formula.get("value")
    assert value is None or abs(value - predicted) <= 1e-9 * predicted, " ".join(command)


def _models_agree(path: str, printed: str) -> None:
    """A configuration that is good is predicted, with as many parameters, or refused for this device in a line."""
    (parameters,) = re.findall(r"([\d,]+) parameters", printed)
    try:
        found = api.predict(path, "h100")
    except RooflineError:
        return
    assert found.parameters == int(parameters.replace(",", "")), printed


def _compare_agrees(command: list[str], found: dict[str, Any]) -> None:
    for row in found["rows"]:
        if "batch" in row and row["max_batch"] is not None:
            assert row["batch"] <= row["max_batch"], " ".join(command)
        assert row["qualifies"] == ("batch" in row and not row["misses"]), " ".join(command)


def _size_agrees(command: list[str], found: dict[str, Any]) -> None:
    for order in filter(None, (found["choice"], found["runner_up"], *found["others"])):
        assert order["utilization"] <= 1, " ".join(command)
        assert order["capacity_requests_per_s"] >= found["inputs"]["load_requests_per_s"] * (1 - 1e-9)


def _simulate_agrees(command: list[str], found: dict[str, Any]) -> None:
    """Waits rise with their percentiles and lie in their bands, and another run of Python says the same."""
    said, flags = " ".join(command), _flags(command)
    for name in ("ttft_s", "request_s"):
        rises = [found[name][key] for key in ("p50", "p90", "p95", "p99", "max")]
        assert rises == sorted(rises), said
    if "prefix_hits" in flags:
        flags["prefix_hits"] = float(flags["prefix_hits"])
    again = api.simulate(command[1], flags.pop("hardware"), **flags)
    assert json.loads(json.dumps(again.to_dict())) == found, said


def _train_agrees(command: list[str], found: dict[str, Any]) -> None:
    """A step lies in its band, learns no more parameters than there are, and has at least its layout's devices."""
    for row in found["rows"]:
        step = row.get("step")
        assert (step is None) == (row["problem"] is not None), " ".join(command)
        if step is None or not step["fits"]:
            continue
        assert step["bound_s"] <= step["low_s"] * (1 + 1e-9), " ".join(command)
        assert step["low_s"] <= step["time_s"] <= step["high_s"], " ".join(command)
        assert 0 < step["mfu"] <= step["hfu"] * (1 + 1e-9) <= 1 + 1e-9, " ".join(command)
        assert "--lora" in command or step["inputs"]["trained_parameters"] <= found["parameters"], " ".join(command)


_AGREE: dict[str, Callable[[list[str], dict[str, Any]], None]] = {
    "predict": _predict_agrees,
    "op": _op_agrees,
    "formula": _formula_agrees,
    "compare": _compare_agrees,
    "simulate": _simulate_agrees,
    "size": _size_agrees,
    "train": _train_agrees,
}


def _refuse(word: str) -> NoReturn:
    msg = f"{word} is not JSON"
    raise AssertionError(msg)
