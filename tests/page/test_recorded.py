"""The page as one file: what it holds, that nothing in it can be taken for code, that it asks nothing of anyone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from shell import refusal, roofline

import roofline as api
from roofline.page.files import MODULES, STARTS, assets
from roofline.page.recorded import joined


class Parts(html.parser.HTMLParser):
    """The scripts, the styles and whatever names another file, of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.texts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.inside.append(f"{tag}:{given.get('type', '')}")
        self.addresses += [given[name] for name in ("src", "href") if name in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        assert not [name for name in given if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1].startswith(("script", "style")):
            self.texts[self.inside[-1]] = self.texts.get(self.inside[-1], "") + data

    def handle_endtag(self, tag: str) -> None:
        self.inside.append("")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Parts, str]:
    path = tmp_path_factory.mktemp("page") / "page.html"
    code, out, err = roofline(
        "page", "-o", str(path), "--models", "bert-base,vit-base", "--hardware", "t4", "--dtypes", "fp16,bf16"
    )
    assert code == 2, out
    assert "bf16" in err  # which a T4 has not
    code, out, err = roofline(
        "page", "-o", str(path), "--models", "bert-base", "--hardware", "t4,a10", "--dtypes", "fp16,bf16"
    )
    assert (code, out.startswith(f"{path}: 3 recordings, ")) == (0, True)
    assert err.startswith("warning: ")
    return Parts(path.read_text(encoding="utf-8")), path.read_text(encoding="utf-8")


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_it_holds_what_was_asked_for(written: tuple[Parts, str]) -> None:
    whole = json.loads(written[0].texts["script:application/json"])
    assert list(whole["records"]) == ["bert-base|t4|fp16", "bert-base|a10|fp16", "bert-base|a10|bf16"]
    assert list(whole["refused"]) == ["bert-base|t4|bf16"]
    found = unpacked(whole["records"]["bert-base|a10|bf16"])
    assert found["answer"] == json.loads(json.dumps(api.predict("bert-base", "a10", dtype="bf16").to_dict()))
    assert [letter["name"] for letter in found["tape"]["letters"]] == ["batch", "prompt"]
    formulas = unpacked(next(iter(whole["operators"].values())))
    assert (
        {each["name"] for each in found["answer"]["phases"]["encode"]["operators"]}
        >= {name.removeprefix("encode.") for name in formulas}
        != set()
    )


def test_it_asks_nothing_of_anyone(written: tuple[Parts, str]) -> None:
    parts, text = written
    assert all(address.startswith(("data:image/svg+xml;base64,", "#")) for address in parts.addresses)
    digests = set(re.findall(r"'(sha256-[^']+)'", parts.policy))
    own = [parts.texts["script:module"], parts.texts["style:"]]
    hashed = {f"sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}" for each in own}
    assert digests == hashed
    assert parts.policy.startswith("default-src 'none'; ")
    assert "connect-src" not in parts.policy
    assert "unsafe" not in parts.policy
    assert text.count("</script>") == 2


@pytest.mark.parametrize("page", STARTS)
def test_all_modules_are_joined(page: str) -> None:
    script = joined(page)
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    names = (*MODULES, STARTS[page])
    for place, name in enumerate(names):
        imports = re.findall(r'from "\./(\w+)\.js"', assets()[f"{name}.js"].decode())
        assert set(imports) <= set(names[:place]), name


def test_every_module_is_used() -> None:
    texts = b"".join(each for name, each in assets().items() if name.endswith(".js")).decode()
    assert set(re.findall(r'from "\./(\w+)\.js"', texts)) == {*MODULES}


@pytest.mark.parametrize("page", STARTS)
def test_names_of_elements_are_there(page: str) -> None:
    """What the modules look for by name is on the page, or made by them."""
    script = joined(page)
    wanted = set(re.findall(r'(?:byId|show)\("([\w-]+)"', script))
    made = set(re.findall(r'id: "([\w-]+)"', script))
    assert wanted - made <= set(re.findall(r'id="([\w-]+)"', assets()[page].decode()))


@pytest.mark.parametrize("page", STARTS)
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: JavaScript is not run")
def test_the_joined_script_can_be_read(tmp_path: Path, page: str) -> None:
    file = tmp_path / "page.mjs"
    file.write_text(joined(page), encoding="utf-8")
    assert subprocess.run(["node", "--check", str(file)], capture_output=True, check=False).stderr == b""


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    path = str(tmp_path / "page.html")
    assert "expected FILE.html" in refusal(2, "page", "-o", "page.txt", "--models", "gpt2", "--hardware", "a10")
    assert 'unknown model "gpt22"' in refusal(2, "page", "-o", path, "--models", "gpt22", "--hardware", "a10")
    assert "unknown hardware 'a100x'" in refusal(2, "page", "-o", path, "--models", "gpt2", "--hardware", "a100x")
    assert "name models and hardware" in refusal(2, "page", "-o", path, "--models", ",", "--hardware", "a10")
    assert list(tmp_path.iterdir()) == []
