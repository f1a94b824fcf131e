"""What stands before every answer: which requests come in at all, and what their answers tell a browser."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from roofline.classes import frozen
from roofline.page.files import LESSON

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

HOST = "127.0.0.1"
HOSTS = (HOST, "localhost")
PAGES = ("/", f"/{LESSON}")
"""What another site may show a link to."""

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Of every answer that does not say otherwise."""


@frozen
class Doors:
    """An ASGI application behind the checks of host and origin; it is told of nothing but http and its own life."""

    inside: Application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self.inside(scope, receive, send)
        elif problem := refused(scope):
            await _refuse(_with_headers(send), problem)
        else:
            await self.inside(scope, receive, _with_headers(send))


def refused(scope: Message) -> str:
    """Why a request does not come in; empty where it does.

    Another site's name may be made to lead to this machine (DNS rebinding), so the host must be called by its own; and
    a browser says where a request comes from: another site may show a link to a page, and read nothing.
    """
    headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    hosts = [value.lower().partition(":")[0] for name, value in headers if name == b"host"]
    if len(hosts) != 1 or hosts[0] not in HOSTS:
        return f"host: expected {' or '.join(HOSTS)}; open http://{HOST} with the port that was printed"
    sites = {value for name, value in headers if name == b"sec-fetch-site"}
    if sites - {"same-origin", "none"} and scope["path"] not in PAGES:
        return "another site asks: expected the page itself, or a program of this machine"
    return ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_missing(message["headers"])]
        await send(message)

    return sending


def _missing(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in headers}
    return [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in there]


async def _refuse(send: Send, problem: str) -> None:
    body = json.dumps({"error": problem}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
