"""The verbs as tools of agents: questions of the API over the Model Context Protocol, on standard input and output."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from roofline.errors import MissingExtraError, RooflineError, UsageError, shown
from roofline.page.asked import Pairs
from roofline.page.openapi import parameters_of
from roofline.page.questions import QUESTIONS, Json
from roofline.page.views import library
from roofline.version import tool_version

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

_TOLD = (
    "Predictions of time, memory, cost and bottleneck of transformers on hardware, with their range and what it comes "
    "from. Names of models and hardware: the tools models and hardware. A refusal says what was expected."
)


ASKED = ("predict", "compare", "size", "train", "simulate", "formula")
LISTED = {
    "models": "Every preset by name: its kind, its parameters, the longest sequence that it takes.",
    "hardware": "Every device by name, and every box and cloud shape.",
}


def tools() -> list[Json]:
    """Each tool: its name, what it says, the JSON Schema of its arguments."""
    asked = [{"name": name, "description": QUESTIONS[name].says, "inputSchema": _schema(name)} for name in ASKED]
    return [*asked, *({"name": name, "description": says, "inputSchema": _NOTHING} for name, says in LISTED.items())]


_NOTHING: Json = {"type": "object", "properties": {}, "additionalProperties": False}


def called(name: str, arguments: Mapping[str, Any]) -> Json:
    """The answer of a tool. Raises RooflineError for a name of none and for whatever the question refuses."""
    if name not in (*ASKED, *LISTED):
        msg = f"{shown(name)}: no such tool; known: {', '.join((*ASKED, *LISTED))}"
        raise UsageError(msg)
    if name in ASKED:
        return QUESTIONS[name].answer(_pairs(arguments))
    every = library(_pairs(arguments))
    return {key: every[key] for key in (("models",) if name == "models" else ("hardware", "systems"))}


def serve_tools() -> None:
    """Serve until the other side hangs up. Raises MissingExtraError without the package ``mcp``."""
    server = _server()
    from mcp.server.stdio import stdio_server  # noqa: PLC0415  (an extra)

    async def run() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    asyncio.run(run())


def _server() -> Server[Any]:
    try:
        from mcp import types  # noqa: PLC0415  (an extra)
        from mcp.server.lowlevel import Server  # noqa: PLC0415
    except ImportError:
        purpose = "roofline mcp"
        raise MissingExtraError(purpose, "web") from None

    async def listed(_: object, __: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool.model_validate(each) for each in tools()])

    async def answered(_: object, asked: types.CallToolRequestParams) -> types.CallToolResult:
        text, wrong = await asyncio.to_thread(_said, asked.name, asked.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=wrong)

    own = {"version": tool_version(), "instructions": _TOLD}
    return Server("roofline", **own, on_list_tools=listed, on_call_tool=answered)


def _said(name: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
    """An answer as text, or why it is refused."""
    try:
        return json.dumps(called(name, arguments), allow_nan=False), False
    except RooflineError as failure:
        return str(failure), True
    except Exception as failure:  # a bug of ours: the other tools stay
        return f"roofline failed ({type(failure).__name__}); please report the question", True


def _schema(name: str) -> Json:
    fields = {each["name"]: {**each["schema"], "description": each["description"]} for each in parameters_of(name)}
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _pairs(arguments: Mapping[str, Any]) -> Pairs:
    """Arguments as a query has them: lists are given item by item, objects as JSON."""
    several = [(name, value if isinstance(value, list) else [value]) for name, value in arguments.items()]
    single = [(name, each) for name, values in several for each in values if each is not None]
    return [(name, each if isinstance(each, str) else json.dumps(each)) for name, each in single]
