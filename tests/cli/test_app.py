"""The command line: exit codes, one line per error, text and JSON, pipes, and random flags."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from click.shell_completion import ShellComplete
from grids import paired, quick
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shell import answer, refusal, roofline
from strategies import STRUCTURES

import roofline as api
from roofline.cli import app as cli
from roofline.errors import UsageError
from roofline.formulas.catalogue import LAYERS
from roofline.hardware.loading import hardware_names
from roofline.models.sources import generator_names, preset_names, trace_names
from roofline.operators.sizes import KINDS
from roofline.options.option import fields_of
from roofline.options.verbs.predicting import PredictFlags
from roofline.reports import prediction as report
from roofline.reports.answer import text as text_of

ROOT = Path(__file__).resolve().parents[2]
PREDICT = ("predict", "llama-2-7b", "--hardware", "a100")


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, piped."""
    return subprocess.run(
        [sys.executable, "-m", "roofline", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# Answers


def test_alone_it_says_what_it_is_in_15_lines() -> None:
    lines = answer().splitlines()
    assert len(lines) <= 15
    assert all(len(line) <= 80 for line in lines)
    assert len(_asked(lines)) == 3
    assert answer("--help").splitlines() == lines


def _asked(lines: list[str]) -> list[str]:
    """The commands of the first page."""
    return [command for line in lines for command in re.findall(r"^  [A-Z].*\? +roofline (.*)$", line)]


def test_the_welcome_can_be_pasted() -> None:
    for command in _asked(answer().splitlines()):
        assert answer(*command.split())


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", answer("--version"))


@pytest.mark.parametrize("verb", [("predict",), ("hardware",), ("hardware", "list"), ("models", "show")])
def test_help(verb: tuple[str, ...]) -> None:
    assert "--help" in answer(*verb, "--help")


def test_the_help_names_the_verbs_that_exist_and_no_other() -> None:
    panels = re.findall(r"^(?:Ask|Explore|Explain|Measure|Library) +(.*)$", answer("--help"), re.MULTILINE)
    named = " ".join(panels).split()
    verbs = "predict compare size train simulate sweep page mcp formula plot op doctor calibrate validate"
    assert named == [*verbs.split(), "hardware", "models", "engines"]
    assert {*named, "completion"} == set(cli.app.commands)


def test_examples_of_help_have_flags_that_exist() -> None:
    """Those of the page of each verb; an empty list of a verb with flags of its own would be an oversight."""
    context, shown = click.Context(cli.app), 0
    for name, verb in cli.app.commands.items():
        for example in getattr(verb, "examples", ()):
            first, *words = example.split()
            assert first == name
            verb.make_context(name, words, parent=context)
            shown_as = answer(name, "--help").replace(" \\\n    ", " ")  # long ones go on behind a backslash
            assert f"\n  roofline {example}\n" in shown_as
            shown += 1
    assert shown >= 12
    assert "Exit codes: 0 answered, 2 a wrong flag, 3 refused, 4 it does not fit (--check)" in " ".join(
        answer("predict", "--help").split()
    )


def test_a_missing_model_is_told_with_names_that_exist() -> None:
    for verb in ("predict", "compare", "train"):
        line = refusal(2, verb, "--hardware", "h100")
        assert line.startswith("roofline: MODEL is missing; a name such as llama-3.1-8b, qwen3-32b, ")
        for name in re.findall(r"[a-z0-9.]+-[a-z0-9.-]*[a-z0-9]", line.split("such as ")[1].split(" (")[0]):
            assert name in preset_names()


def test_a_group_alone_is_told_its_verbs() -> None:
    assert refusal(2, "engines") == "roofline: one of list, show, check, new is missing (roofline engines --help)\n"


def test_a_model_in_the_place_of_a_picture_is_told_what_stands_before_it() -> None:
    for words in ((), ("llama-3.1-8b", "--hardware", "h100")):
        assert "KIND is missing: " in (line := refusal(2, "plot", *words))
        assert "one of roofline, breakdown, " in line
    assert "'llama-3.1-8b' stands in its place" in line


@pytest.mark.parametrize(("batch", "code"), [("16", 0), ("400", 4), ("16,400", 4)])
def test_check_exits_4_where_it_does_not_fit(batch: str, code: int) -> None:
    ended, out, _ = roofline("predict", "llama-3.1-8b", "--hardware", "h100", "--batch", batch, "--check", "--quiet")
    assert ended == code
    assert out
    assert roofline("predict", "llama-3.1-8b", "--hardware", "h100", "--batch", batch, "--quiet")[0] == 0


@pytest.mark.parametrize(("devices", "code"), [("2xh100", 0), ("h100", 4), ("2xh100,h100", 4)])
def test_check_of_a_training_step_exits_4_where_it_does_not_fit(devices: str, code: int) -> None:
    asked = ("train", "llama-3.1-8b", "--hardware", devices, "--batch", "16", "--zero", "1", "--quiet")
    assert roofline(*asked)[0] == 0
    assert roofline(*asked, "--check")[0] == code


def test_a_formula_of_nothing_lists_the_layers_by_kind() -> None:
    listed = answer("formula")
    assert {name for line in listed.splitlines()[1:-2] for name in line[24:].split(", ")} == set(LAYERS)


def test_hardware_is_found_by_a_part_of_a_name() -> None:
    assert set(json.loads(answer("hardware", "list", "RTX-40", "--json"))) >= {"rtx-4090", "rtx-4080"}
    assert all("gtx" not in line for line in answer("hardware", "list", "rtx").splitlines())
    assert "dgx-h100" in answer("hardware", "list", "dgx", "--kind", "system")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_completion(shell: str) -> None:
    assert f"_ROOFLINE_COMPLETE={shell}_complete" in answer("completion", shell)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("predict llama-3.1-", "llama-3.1-8b"),
        ("predict gpt2 --hardware rtx-40", "rtx-4090"),
        ("compare gpt2 --hardware h100,8xmi3", "h100,8xmi300x"),
        ("predict gpt2 --engine vl", "vllm"),
        ("predict gpt2 --lm-head a", "all"),
        ("hardware show h10", "h100"),
        ("co", "completion"),
        ("predict gpt2 --sens", "--sensitivity"),
        ("plot wat", "waterfall"),
        ("formula gated_f", "gated_feed_forward"),
        ("formula gpt", "gpt2"),
        ("completion z", "zsh"),
        *((f"op {kind[:3]}", kind) for kind in KINDS),
    ],
)
def test_names_are_completed(typed: str, offered: str) -> None:
    *words, last = typed.split()
    found = ShellComplete(cli.app, {}, "roofline", "_ROOFLINE_COMPLETE").get_completions(words, last)
    assert offered in [item.value for item in found]


def test_the_help_shows_what_people_use_and_the_rest_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, whole = answer("predict", "--help"), answer("predict", "--help-all")
    assert "  --tp --pp --dp --ep --cp --dcp --sp N\n" in short
    assert len(re.findall(r"^  --", short, re.MULTILINE)) <= 15
    assert "--reserve" not in short
    assert "--engine NAME" in short
    assert re.search(r"^Parallel degrees:\n  --tp N  +Tensor", whole, re.MULTILINE)
    batch = r"--batch N +Sequences at once, over all devices\.\s+\[default:\s+1\]"
    assert re.search(batch, short)
    assert max(len(line) for line in (short + whole).splitlines()) <= 80
    assert "--json-schema" not in short + whole
    flags = {flag for field in fields_of(PredictFlags) if not field.option.hidden for flag in field.flags}
    assert {flag for flag in flags if f"{flag} " in whole or f"{flag}\n" in whole} == flags


@pytest.mark.parametrize(
    ("verb", "asked"),
    [
        (api.predict, {"phase": "nope"}),
        (api.predict, {"count": "nope"}),
        (api.predict, {"lm_head": "nope"}),
        (api.predict, {"constants": "nope"}),
        (api.compare, {"price_kind": "nope"}),
        (api.formula, {"quantity": "nope"}),
    ],
)
def test_python_refuses_a_word_as_the_command_line_does(verb: Any, asked: dict[str, str]) -> None:
    ((name, word),) = asked.items()
    with pytest.raises(UsageError) as caught:
        verb("llama-3.1-8b", hardware="h100", **asked)
    flags = (verb.__name__, "llama-3.1-8b", "--hardware", "h100", f"--{name.replace('_', '-')}", word)
    assert refusal(2, *flags) == f"roofline: {caught.value}\n"


def test_python_refuses_a_keyword_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"^predict: bach is no keyword of it; did you mean batch\?$"):
        api.predict("gpt2", "h100", bach=3)  # type: ignore[call-arg]


def test_the_verdict_comes_before_the_operators() -> None:
    lines = answer(*PREDICT, "--operators").splitlines()
    verdict = next(i for i, line in enumerate(lines) if line.startswith("fits: "))
    header = next(i for i, line in enumerate(lines) if line.startswith("operator "))
    assert verdict < header
    assert [line.split()[0] for line in lines[2:5]] == ["prefill", "decode", "TTFT"]
    assert any(re.match(r"total .*100\.0%", line) for line in lines[header:])
    footer = "\n".join(lines[-4:])
    assert re.search(r"band 0\.\d+ to 1\.\d+ x expected", footer)
    assert "inputs: batch 1, prompt 2048, generate 256, bf16, vLLM 0.18.0 (2026-03)" in footer


def test_what_does_not_fit_is_an_answer() -> None:
    text = answer("predict", "llama-3.1-70b", "--hardware", "h100")
    assert "DOES NOT FIT: " in text.splitlines()[1]
    assert json.loads(answer("predict", "llama-3.1-70b", "--hardware", "h100", "--json"))["fits"] is False


def test_an_unknown_capacity_is_said() -> None:
    text = answer("predict", "bert-base", "--hardware", "xeon")
    assert "the device's capacity is not stated" in text
    assert json.loads(answer("predict", "bert-base", "--hardware", "xeon", "--json"))["fits"] is None


def test_text_and_json_agree() -> None:
    arguments = (*PREDICT, "--batch", "4", "--context", "1000")
    decode = json.loads(answer(*arguments, "--json"))["phases"]["decode"]
    names = [operator["name"] for operator in decode["operators"]]
    rows = [line.split()[0] for line in answer(*arguments, "--operators").splitlines() if line]
    assert names == rows[rows.index("operator") + 1 : rows.index("total")]


SOME_DEVICES = ("h100-sxm-80gb", "mi300x", "t4", "xeon-8380")
SMALL_PRESETS = ("bert-base", "gpt2")
STRUCTURES_AND_DEVICES = paired(STRUCTURES, hardware_names())
ALL_DEVICES = list(itertools.product(SMALL_PRESETS, hardware_names()))


@pytest.mark.parametrize(("preset", "device"), quick(STRUCTURES_AND_DEVICES, of=STRUCTURES_AND_DEVICES + ALL_DEVICES))
def test_every_preset_and_every_device(preset: str, device: str) -> None:
    check_answers(preset, device)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "device"), list(itertools.product(preset_names(), SOME_DEVICES)))
def test_every_preset_on_some_devices(preset: str, device: str) -> None:
    check_answers(preset, device)


def check_answers(preset: str, device: str) -> None:
    """JSON without a NaN, and text, of one prediction: what the verb prints."""
    found = api.predict(preset, device)
    result = json.loads(report.to_json(found.to_dict()), parse_constant=pytest.fail)
    assert (result["model"], result["hardware"]["name"]) == (preset, device)
    text = text_of(found, operators=False, wide=False, quiet=False)
    assert text.startswith(f"{preset} (")
    assert not re.search(r"\b(?:nan|inf)\b", text)


def test_every_flag_arrives() -> None:
    flags = (
        "--batch 3 --prompt 100 --generate 7 --dtype fp16 --weight-dtype int8 --activation-dtype bf16 --kv-dtype int8"
    )
    choices = (
        "--set engine.attention=materialised --count square --lm-head all --engine transformers --constants datasheet "
        "--json"
    )
    result = json.loads(answer(*PREDICT, *flags.split(), *choices.split()))
    wanted = {"batch": 3, "prompt": 100, "generate": 7, "weight_dtype": "int8", "activation_dtype": "bf16"}
    wanted |= {"kv_dtype": "int8", "attention": "materialised", "count": "square", "lm_head": "all"}
    wanted |= {"engine": "transformers", "constants": "datasheet"}
    assert {key: result["inputs"][key] for key in wanted} == wanted
    assert list(json.loads(answer(*PREDICT, "--phase", "prefill", "--json"))["phases"]) == ["prefill"]


def test_an_ignored_field_is_a_warning_on_stderr(tmp_path: Path) -> None:
    fields = json.loads(answer("models", "show", "gpt2", "--json"))
    assert fields["model_type"] == "gpt2"
    from roofline.models.model import load_model

    (tmp_path / "config.json").write_text(json.dumps({**load_model("gpt2").fields, "odd_field": 1}))
    code, out, err = roofline("predict", str(tmp_path), "--hardware", "h100", "--json")
    assert code == 0
    assert re.fullmatch(r"warning: .*odd_field is not modelled.*\n", err)
    assert json.loads(out)["parameters"] == 124_439_808


def test_hardware_list_and_show() -> None:
    table = answer("hardware", "list", "--announced").splitlines()
    assert [line.split()[0] for line in table[1:-2]] == hardware_names()
    assert sorted(json.loads(answer("hardware", "list", "--announced", "--json"))) == hardware_names()
    page = answer("hardware", "show", "h100")
    assert "989.4 TFLOP/s" in page
    assert "3.35 TB/s" in page
    spec = json.loads(answer("hardware", "show", "h100", "--json"))
    assert spec["name"] == "h100-sxm-80gb"
    assert spec["memory"]["hbm"]["bandwidth"] == 3.35e12
    assert json.loads(answer("hardware", "list", "--json"))["h100-sxm-80gb"] == spec


def test_models_check(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    fields = json.loads(answer("models", "show", "gpt2", "--json"))["config"]
    written = {"model_type": "llama", "odd_field": 1} | {
        name: fields[name] for name in fields if name in ("vocab_size", "hidden_size", "intermediate_size",
        "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
    }  # fmt: skip
    file.write_text(json.dumps(written), encoding="utf-8")
    code, out, err = roofline("models", "check", str(tmp_path))
    assert (code, out) == (0, f"{tmp_path}: llama, 190,460,160 parameters, 1 field ignored\n")
    assert "field odd_field is not modelled and was ignored" in err
    file.write_text(json.dumps({**written, "model_type": "lama"}), encoding="utf-8")
    assert "did you mean llama?" in refusal(3, "models", "check", str(file))
    assert answer("models", "check", "gpt2") == "gpt2: gpt2, 124,439,808 parameters\n"


def test_models_list_and_show() -> None:
    table = answer("models", "list").splitlines()
    every = sorted([*preset_names(), *trace_names(), *generator_names()])
    assert [line.split()[0] for line in table[1:]] == every
    gemmas = [row.split()[0] for row in answer("models", "list", "gemma-3-", "--sort", "parameters").splitlines()[1:]]
    assert gemmas == ["gemma-3-1b", "gemma-3-4b", "gemma-3-12b", "gemma-3-27b"]
    assert list(json.loads(answer("models", "list", "gemma-3-", "--sort", "parameters", "--json"))) == gemmas
    page = answer("models", "show", "llama-3.1-8b")
    assert "8,030,261,248 parameters" in page
    assert "attention: q[B T K G H], k_cache[B S K H], v_cache[B S K H] -> context[B T K G H]" in page
    assert json.loads(answer("models", "show", "llama-3.1-8b", "--json"))["parameters"] == 8_030_261_248


# Errors


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("predict", "gpt2"), "--hardware is missing; try h100, mi300x or t4 (roofline hardware list)"),
        (("predict",), "MODEL"),
        ((*PREDICT, "--batch", "0"), "batch 0: expected a whole number from 1"),
        ((*PREDICT, "--batch", "-3"), "batch -3"),
        ((*PREDICT, "--batch", "many"), "--batch"),
        ((*PREDICT, "--batch", "1.5"), "--batch"),
        ((*PREDICT, "--batch", "nan"), "--batch"),
        ((*PREDICT, "--batch", "9" * 5000), "--batch"),
        ((*PREDICT, "--batch"), "--batch"),
        ((*PREDICT, "--prompt", "0"), "prompt 0"),
        ((*PREDICT, "--generate", "0"), "generate 0"),
        ((*PREDICT, "--context", "0"), "context 0"),
        ((*PREDICT, "--context", "5", "--phase", "prefill"), "phase prefill"),
        ((*PREDICT, "--phase", "decode", "--generate", "1"), "generate 1 has no decode step"),
        ((*PREDICT, "--phase", "train"), "--phase 'train': expected encode or listen or prefill or decode"),
        ((*PREDICT, "--count", ""), "--count '': expected attended or square"),
        ((*PREDICT, "--lm-head", "first"), "--lm-head 'first': expected last or all"),
        ((*PREDICT, "--constants", "best"), "--constants 'best': expected datasheet or class"),
        ((*PREDICT, "--dtype", "bf17"), 'dtype "bf17" is not known; did you mean bf16'),
        ((*PREDICT, "--bach", "3"), "--bach"),
        ((*PREDICT, "more"), "more"),
        (("predikt",), "predikt"),
        (("hardware", "lst"), "lst"),
        (("hardware", "show"), "NAME"),
        (("--nonsense",), "--nonsense"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_a_wrong_flag_is_exit_2(arguments: tuple[str, ...], text: str) -> None:
    assert text in refusal(2, *arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("predict", "lama-2-7b", "--hardware", "a100"), 'unknown model "lama-2-7b"; did you mean llama-2-7b'),
        (("predict", "gpt2", "--hardware", "h10"), "unknown hardware 'h10'; did you mean h100"),
        (("predict", "gpt2", "--hardware", ""), "unknown hardware ''"),
        (("predict", "", "--hardware", "h100"), ""),
        (("predict", "gpt2", "--hardware", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("predict", "nowhere/config.json", "--hardware", "h100"), "nowhere/config.json: no such file"),
        (("predict", "gpt2", "--hardware", "t4", "--dtype", "bf16"), "t4 has no bf16; it has fp16"),
        ((*PREDICT, "--dtype", "fp8"), "a100-sxm-80gb has no fp8"),
        ((*PREDICT, "--engine", "vlm"), "unknown engine 'vlm'; did you mean vllm"),
        ((*PREDICT, "--engine", "tensorrt"), "tensorrt serves encoders, and this network has decoders"),
        (("predict", "gpt2", "--hardware", "mi300x", "--engine", "trtllm"), "runs on nvidia sm_80+, and mi300x is"),
        ((*PREDICT, "--set", "engine.attention=flash"), 'attention.default: given "flash"; did you mean'),
        ((*PREDICT, "--prompt", "5000"), "max_position_embeddings 4096"),
        ((*PREDICT, "--context", "4097"), "max_position_embeddings 4096"),
        ((*PREDICT, "--phase", "encode"), "llama-2-7b has no encode phase"),
        (("predict", "bert-base", "--hardware", "h100", "--context", "5"), "bert-base has no decode phase"),
        (("hardware", "show", "h10"), "did you mean h100"),
        (("hardware", "show", "../hardware_specs"), ""),
        (("models", "show", "gpt3"), "nearest of its family: gpt2"),
        (("models", "list", "zzz"), "no preset has 'zzz' in its name or family"),
        (("models", "show", "."), "config.json"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_what_the_model_or_device_refuses_is_exit_3(arguments: tuple[str, ...], text: str) -> None:
    assert text in refusal(3, *arguments)


def test_a_name_with_line_breaks_and_escapes_stays_one_plain_line() -> None:
    for name in ("a\nb", "a\rb", "\x1b[31mred", "x/\x1b[31mred", "a\u2028b/c", "a\x00b", "x/a\x00b"):
        for arguments in (("predict", name, "--hardware", "h100"), ("predict", "gpt2", "--hardware", name)):
            assert "\x1b" not in refusal(3, *arguments), repr(name)


# Processes


def test_a_pipe_gets_plain_text() -> None:
    for arguments in ((), ("--help",), PREDICT, ("hardware", "list"), ("models", "show", "gpt2")):
        done = process(*arguments, FORCE_COLOR="", TERM="xterm-256color")
        assert done.returncode == 0
        assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("predict", "gpt2"), 2), (("predict", "gpt2", "--hardware", "h10"), 3), (("predict", "gpt2", "--bach"), 2)],
)
def test_a_process_fails_in_one_line(arguments: tuple[str, ...], code: int) -> None:
    done = process(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_json_of_a_process_parses() -> None:
    result = json.loads(process(*PREDICT, "--json").stdout)
    assert result["model"] == "llama-2-7b"


def test_a_closed_pipe_is_no_traceback() -> None:
    command = [sys.executable, "-m", "roofline", "hardware", "list", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for unbuffered in ("", "1"):
        child = subprocess.Popen(
            command,
            env={**environment, "PYTHONUNBUFFERED": unbuffered},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        error = child.stderr.read().decode()
        child.stderr.close()
        assert child.wait() == 0, error
        assert error == ""


def test_a_narrow_encoding_is_no_traceback(tmp_path: Path) -> None:
    from roofline.models.model import load_model

    folder = tmp_path / "modèle"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(dict(load_model("gpt2").fields)))
    done = process("predict", str(folder), "--hardware", "h100", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_is_a_traceback_and_exit_1() -> None:
    with (
        mock.patch.object(sys, "argv", ["roofline", "hardware", "list"]),
        mock.patch("roofline.reports.hardware.hardware_table", side_effect=ZeroDivisionError("a bug of ours")),
        pytest.raises(ZeroDivisionError, match="a bug of ours"),
    ):
        cli.main()  # uncaught, which python makes exit 1


def test_an_interruption_is_exit_130() -> None:
    with mock.patch("roofline.reports.hardware.hardware_table", side_effect=KeyboardInterrupt):
        code, out, err = roofline("hardware", "list")
    assert (code, out) == (130, "")
    assert len(err.splitlines()) <= 1


# Random flags

NUMBERS = st.integers(-(10**30), 10**30).map(str) | st.integers(1, 5000).map(str) | st.floats().map(str)
WORDS = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=12)
VALUES: dict[str, st.SearchStrategy[str]] = {
    **dict.fromkeys(("--batch", "--prompt", "--generate", "--context"), NUMBERS | WORDS),
    **dict.fromkeys(
        ("--dtype", "--weight-dtype", "--activation-dtype", "--kv-dtype"),
        st.sampled_from(("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "int4", "BF16")) | WORDS,
    ),
    "--phase": st.sampled_from(("encode", "prefill", "decode")) | WORDS,
    "--count": st.sampled_from(("attended", "square")) | WORDS,
    "--lm-head": st.sampled_from(("last", "all")) | WORDS,
    "--engine": st.sampled_from(("vllm", "sglang", "transformers", "torch-compile", "tensorrt")) | WORDS,
    "--constants": st.sampled_from(("datasheet", "class")) | WORDS,
}
FLAGS = st.dictionaries(st.sampled_from(list(VALUES)), st.none(), max_size=4).flatmap(
    lambda chosen: st.fixed_dictionaries({flag: VALUES[flag] for flag in chosen})
)
MODELS = st.sampled_from(preset_names()) | WORDS
DEVICES = st.sampled_from(hardware_names()) | WORDS


def check_finite(value: Any) -> None:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            check_finite(inner)
    elif isinstance(value, float):
        assert math.isfinite(value)
        assert value >= 0


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random names of the form owner/name never ask the network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def check_run(model: str, device: str, flags: dict[str, str], as_json: bool) -> None:
    words = [f"{flag}={value}" for flag, value in flags.items()]
    code, out, err = roofline("predict", f"--hardware={device}", *words, *["--json"] * as_json, "--", model)
    assert code in (0, 2, 3), err
    if code:
        assert out == ""
        assert len(err.splitlines()) == 1
        assert len(err) < 1000
    else:
        assert err == ""
        assert not re.search(r"\b(?:nan|inf)\b", out)
        if as_json:
            check_finite(json.loads(out, parse_constant=pytest.fail))


FUZZ = [HealthCheck.too_slow]


@settings(max_examples=50, deadline=None, suppress_health_check=FUZZ)
@given(st.sampled_from(preset_names()), st.sampled_from(hardware_names()), FLAGS, st.booleans())
def test_random_flags_get_an_answer_or_one_line(model: str, device: str, flags: dict[str, str], as_json: bool) -> None:
    check_run(model, device, flags, as_json)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=FUZZ)
@given(MODELS, DEVICES, FLAGS, st.booleans())
def test_random_flags_and_names_ten_thousand_times(
    model: str, device: str, flags: dict[str, str], as_json: bool
) -> None:
    check_run(model, device, flags, as_json)
