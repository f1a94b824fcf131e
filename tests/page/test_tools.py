"""The verbs as tools: what agents are told of them, what they answer, what they refuse."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import json_schema
import pytest
from shell import refusal

import roofline
from roofline.errors import MissingExtraError, RooflineError
from roofline.page.tools import called, serve_tools, tools


def test_each_tool_says_what_it_takes() -> None:
    told = {each["name"]: each for each in tools()}
    assert list(told) == ["predict", "compare", "size", "train", "simulate", "formula", "models", "hardware"]
    arguments = {"model": "gpt2", "hardware": "a10", "batch": 4, "generate": 3, "set": ["engine.chunk=64"]}
    assert json_schema.check(arguments, told["predict"]["inputSchema"])
    with pytest.raises(json_schema.MismatchError):
        json_schema.check({**arguments, "batc": 4}, told["predict"]["inputSchema"])
    assert told["predict"]["inputSchema"]["properties"]["phase"]["enum"] == ["encode", "listen", "prefill", "decode"]


def test_an_answer_is_that_of_the_verb() -> None:
    found = called(
        "predict", {"model": "gpt2", "hardware": "a10", "batch": 4, "generate": 3, "set": ["engine.chunk=64"]}
    )
    expected = roofline.predict("gpt2", "a10", batch=4, generate=3, set={"engine.chunk": 64}).to_dict()
    assert found == expected
    assert {"band", "provenance"} <= set(found)
    lora = called("train", {"model": "gpt2", "hardware": "a10,l4", "lora": 8, "batch": 8, "sequence": 512})
    assert lora == roofline.train("gpt2", "a10,l4", lora=8, batch=8, sequence=512).to_dict()
    pictures = {"model": "qwen3-vl-8b", "hardware": "a10", "images": 2, "image_size": "512x512"}
    assert "encode" in called("predict", pictures)["phases"]
    load = {"load": "2 req/s", "requests": 40, "workload": "agent", "offload": "kv=20GB"}
    assert called("simulate", {"model": "llama-3.2-1b", "hardware": "a10", **load})["tiers"]
    assert "gpt2" in [each["name"] for each in called("models", {})["models"]]
    assert set(called("hardware", {})) == {"hardware", "systems"}


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("shell", {}, '"shell": no such tool; known: predict'),
        ("predict", {"model": "gpt2"}, "expected hardware=..."),
        ("predict", {"model": "/etc/passwd", "hardware": "a10"}, "unknown model"),
        ("predict", {"model": "gpt2", "hardware": "a10", "batch": 1.5}, 'batch "1.5": expected a whole number'),
        ("predict", {"model": "gpt2", "hardware": "a10", "batch": {"a": 1}}, "expected a whole number"),
        ("train", {"model": "gpt2", "hardware": "a10", "lora": 0}, "lora"),
        ("train", {"model": "gpt2", "hardware": "a10", "engine": "/etc/passwd"}, "a request names no file"),
        ("simulate", {"model": "gpt2", "hardware": "a10", "requests": 10**9}, "at most 20,000 here"),
        ("simulate", {"model": "gpt2", "hardware": "a10", "workload": "trace.csv"}, "a request names no file"),
        ("simulate", {"model": "gpt2", "hardware": "a10", "load": "5 req/s", "offload": "x=1"}, "offload"),
        ("models", {"x": 1}, 'query "x": no such option'),
    ],
)
def test_a_refusal_is_one_line(name: str, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(RooflineError) as failure:
        called(name, arguments)
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)


def test_without_the_extra_its_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[web\]'"):
        serve_tools()
    assert "'.[web]'" in refusal(7, "mcp")


@pytest.mark.slow
def test_a_client_talks_to_it() -> None:
    pytest.importorskip("mcp", reason="mcp is not installed: no client asks")
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    async def talk() -> tuple[list[str], str, bool]:
        server = StdioServerParameters(command=sys.executable, args=["-m", "roofline", "mcp"])
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await session.initialize()
            listed = await session.list_tools()
            found = await session.call_tool("predict", {"model": "gpt2", "hardware": "a10"})
            refused = await session.call_tool("predict", {"model": "gpt22", "hardware": "a10"})
            return [each.name for each in listed.tools], found.content[0].text, bool(refused.is_error)

    names, text, refused = asyncio.run(talk())
    assert names == [each["name"] for each in tools()]
    assert json.loads(text) == json.loads(json.dumps(roofline.predict("gpt2", "a10").to_dict()))
    assert refused
