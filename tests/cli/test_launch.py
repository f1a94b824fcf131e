"""``predict --launch`` and ``--from`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from roofline.cli.app import app

LINE = "vllm serve meta-llama/Llama-3.1-8B --tensor-parallel-size 2 --max-num-seqs 16 --max-num-batched-tokens 8192 "
LINE += "--max-model-len 2304 --gpu-memory-utilization 0.9 --dtype bfloat16"


def _said(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["predict", *words])
    return found.exit_code, found.stdout


def test_the_line_stands_below_the_answer_and_reads_back(tmp_path: Path) -> None:
    asked = ["--hardware", "2xh100", "--batch", "16"]
    code, text = _said("llama-3.1-8b", *asked, "--tp", "2", "--launch", "vllm")
    assert (code, text.splitlines()[-1]) == (0, f"vllm 0.18.0: {LINE}")
    code, text = _said("--from", LINE, *asked, "--launch", "vllm", "--json", "-o", str(tmp_path / "x.json"))
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["launch"] == json.loads(text)["launch"] == {"engine": "vllm", "version": "0.18.0", "line": LINE}
    assert written["layout"]["tp"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hardware", "h100"], "MODEL is missing"),
        (["bert-base", "--hardware", "h100", "--from", "vllm serve m"], "bert-base and --from"),
        (["gpt2", "--hardware", "h100", "--launch", "llama.cpp"], "llama.cpp"),
        (["gpt2", "--hardware", "h100", "--launch", "transformers"], "no argument list of that engine"),
        (["gpt2", "--hardware", "h100,l40s", "--launch", "vllm"], "--launch shows one point"),
        (["--hardware", "h100", "--batch", "1,2", "--from", "vllm serve gpt2"], "--from shows one point"),
    ],
)
def test_what_does_not_go_together_is_one_line(words: list[str], message: str) -> None:
    found = CliRunner().invoke(app, ["predict", *words])
    assert found.exit_code == 2 or isinstance(found.exception, Exception)
    assert message in f"{found.output} {found.exception}"


@pytest.mark.parametrize("verb", ["compare", "size"])
def test_compare_and_size_start_a_replica(verb: str, tmp_path: Path) -> None:
    asked = ["llama-3.1-8b", "--hardware", "h100", "--tpot", "30ms", "--launch", "sglang"]
    asked += ["--load", "50req/s"] if verb == "size" else []
    found = CliRunner().invoke(app, [verb, *asked, "-o", str(tmp_path / "x.json")])
    written = json.loads((tmp_path / "x.json").read_text())["launch"]
    assert found.exit_code == 0
    assert found.stdout.splitlines()[-1].endswith(f"h100-sxm-80gb: {written['line']}")
    assert written["line"].startswith("python -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B")
    assert (written["replicas"], written["devices"]) == (4 if verb == "size" else 1, 1)
