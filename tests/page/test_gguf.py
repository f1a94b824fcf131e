"""A GGUF file that is dropped on the page: its header is read in the browser, and answered as the file is."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="gguf is not installed: no such file is written")

from gguf import GGMLQuantizationType
from gguf_files import LLAMA, llama_tensors, write_gguf

import roofline
from roofline.errors import ConfigError
from roofline.models.gguf.header import BY_TYPE
from roofline.models.gguf.told import TYPES
from roofline.models.model import load_gguf_header
from roofline.page import files
from roofline.page.views import shown

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: JavaScript is not run")

READER = """
import fs from "node:fs";
const { header } = await import(process.argv[2]);
class Whole {
  constructor(path) {
    this.name = path.split("/").at(-1);
    this.bytes = fs.readFileSync(path);
    this.size = this.bytes.length;
  }

  slice(from, to) {
    return { arrayBuffer: async () => Uint8Array.from(this.bytes.subarray(from, to)).buffer };
  }
}
for (const paths of JSON.parse(process.argv[3])) {
  try {
    console.log(JSON.stringify({ told: await header(paths.map((path) => new Whole(path))) }));
  } catch (failure) {
    console.log(JSON.stringify({ wrong: failure.constructor.name, why: failure.message }));
  }
}
"""


def read(tmp_path: Path, *each: list[Path]) -> list[dict[str, Any]]:
    """What the page's module reads of files, one process for all."""
    (tmp_path / "gguf.mjs").write_bytes(files.assets()["gguf.js"])
    (tmp_path / "reader.mjs").write_text(READER, encoding="utf-8")
    given = json.dumps([list(map(str, paths)) for paths in each])
    command = ["node", str(tmp_path / "reader.mjs"), str(tmp_path / "gguf.mjs"), given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_answer_is_that_of_the_file(tmp_path: Path) -> None:
    tensors = llama_tensors("q4_k_m")
    cut = len(tensors) // 2
    halves = dict(list(tensors.items())[:cut]), dict(list(tensors.items())[cut:])
    parts = [tmp_path / f"small-0000{at}-of-00002.gguf" for at in (1, 2)]
    for part, half in zip(parts, halves, strict=True):
        write_gguf(part, "llama", LLAMA, half)
    mixed = tmp_path / "moe.gguf"
    keys = LLAMA | {"expert_count": 8, "expert_used_count": 2, "attention.head_count_kv": [2] * 8, "swin_norm": 1}
    write_gguf(mixed, "llama", keys, llama_tensors("q4_k_m", experts=8))
    for paths, found in zip(([mixed], parts), read(tmp_path, [mixed], parts[::-1]), strict=True):
        asked = [("gguf", json.dumps(found["told"])), ("hardware", "rtx-4090"), ("prompt", "64"), ("generate", "4")]
        told = shown(asked)["answer"]
        expected = json.loads(json.dumps(roofline.predict(paths[0], "rtx-4090", prompt=64, generate=4).to_dict()))
        notes = [note.replace(f"{tmp_path}/", "") for note in expected["notes"]]
        assert {**told, "notes": [], "model": ""} == {**expected, "notes": [], "model": ""}
        assert [note.replace("-00002-of-", "-00001-of-") for note in told["notes"]] == notes
    assert read(tmp_path, parts[:1]) == [{"wrong": "GgufError", "why": "one of 2 parts: choose all of them at once"}]


def test_what_is_broken_is_refused(tmp_path: Path) -> None:
    """A file cut anywhere or changed at random is read, or refused by the module's own error, in one line."""
    whole = tmp_path / "whole.gguf"
    write_gguf(whole, "llama", LLAMA, {})
    data, rng = whole.read_bytes(), random.Random(0)
    broken = [data[: rng.randrange(len(data) - 32)] for _ in range(60)]
    for _ in range(200):
        changed = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data) - 8)
            changed[at : at + 8] = rng.choice([rng.randbytes(8), struct.pack("<Q", 2**63), b"\xff" * 8, bytes(8)])
        broken.append(bytes(changed))
    paths = []
    for place, each in enumerate(broken):
        paths.append(tmp_path / f"{place}.gguf")
        paths[-1].write_bytes(each)
    found = read(tmp_path, *([path] for path in paths))
    assert {each["wrong"] for each in found if "wrong" in each} == {"GgufError"}
    assert all("wrong" in each for each in found[:60])
    assert not any("\n" in refusal(each["told"]) for each in found if "told" in each)


def refusal(told: dict[str, Any]) -> str:
    """Why a header is refused; of one whose changes do not matter nothing."""
    try:
        load_gguf_header(json.dumps(told), "gguf")
    except ConfigError as failure:
        return str(failure)
    return ""


TOLD: dict[str, Any] = {
    "file": "a.gguf", "architecture": "llama", "fields": {}, "vocabulary": 7, "bytes": 100, "tensors": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"architecture": "<script>"}, 'architecture "<script>" is not modelled'),
        ({"architecture": None}, "expected text"),
        ({"vocabulary": 1.5}, "expected a number"),
        ({"fields": {"block_count": {}}}, "expected a number, a word"),
        ({"fields": {"block_count": [[]]}}, "expected a number, a word"),
        ({"fields": {"block_count": 8}}, "hidden_size"),
        ({"tensors": [["a", 0, 1]]}, "expected [name, type"),
        ({"tensors": [["a", 99, 1, 1, ""]]}, "has the type 99, which is not known"),
        ({"tensors": [["a", 0, -1, 1, ""]]}, "what a tensor has"),
        ({"tensors": [["a", 0, 2**60, 1, ""]]}, "what a tensor has"),
        ({"tensors": [["blk.*.a", 0, 1, 1, "0-"]]}, "numbers of layers"),
        ({"tensors": [["blk.*.a", 0, 1, 1, "0-99999"]]}, "numbers of layers"),
        ({"tensors": [["a", 0, 1, 1, "0-9999"]]}, "each once"),
        ({"tensors": [["a", 0, 26, 1, ""]]}, "not a whole GGUF file (104 bytes of tensors, 100 in it)"),
        ({"file": "../../etc/passwd"}, "hidden_size"),
    ],
)
def test_what_a_request_tells_wrongly_is_one_line(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_gguf_header(json.dumps({**TOLD, **more}), "gguf")
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_numbers_of_types_are_those_of_the_package() -> None:
    assert {GGMLQuantizationType(number).name for number in TYPES} == set(TYPES.values()) == set(BY_TYPE)
