"""The verb ``engines`` from the command line: a table, a page, checks, templates."""

from __future__ import annotations

import json
from pathlib import Path

from shell import answer, roofline

from roofline.engines.library import engine_names


def test_list_and_show() -> None:
    listed = json.loads(answer("engines", "list", "--json"))
    assert list(listed) == engine_names()
    assert listed["vllm"]["memory_share"] == 0.9
    table = answer("engines", "list").splitlines()
    assert [line.split()[0] for line in table[1:]] == engine_names()
    rule, times = answer("engines", "show", "sglang"), answer("engines", "show", "vllm")
    assert "fixed: 671 MB; token: 1.57 MB; tokens: 2048; graph: 2.10 MB" in rule
    assert " 276 us " in times
    page = answer("engines", "show", "trtllm")
    assert page.startswith("TensorRT-LLM 1.2.0rc6.post3 (2026-02): tensorrt-llm")
    assert "1, 2, 4 ... 128 (19 of them)" in page
    assert "not stated: " in page
    assert "workspace" in page.splitlines()[-1]


def test_new_and_check(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert "engines check" in answer("engines", "new", "mine", "--from", "sglang", "-o", str(path))
    assert answer("engines", "check", str(path)) == f"{path}: good\n"
    text = path.read_text()
    path.write_text(text.replace("kv_block: 1", "kv_block: some"))
    code, out, err = roofline("engines", "check", str(path))
    line = next(i for i, each in enumerate(text.splitlines(), 1) if each.startswith("kv_block"))
    assert (code, out) == (3, f'{path}:{line}: kv_block: given "some", expected a whole number\n')
    assert "1 of 1 files would be refused" in err
    code, _, err = roofline("engines", "new", "mine", "-o", str(path))
    assert code == 3
    assert "exists" in err
