"""The server: questions over HTTP on this machine alone, for its own page and for programs.

Only GET is answered, and nothing that a request says becomes a path. One question is worked on at a time; the others
wait.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from roofline.errors import MissingExtraError, RooflineError, UsageError
from roofline.page.asked import Pairs
from roofline.page.doors import HOST, Application, Doors
from roofline.page.files import PAGE, POLICY, TYPES, assets
from roofline.page.openapi import description
from roofline.page.questions import QUESTIONS, Json
from roofline.page.views import VIEWS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

MOST_CLIENTS = 256
"""Connections at once: more are told to come again."""

_busy = Lock()


def application() -> Application:
    """The whole server as an ASGI application. Raises MissingExtraError without starlette."""
    try:
        from starlette.applications import Starlette  # noqa: PLC0415  (an extra)
        from starlette.middleware.gzip import GZipMiddleware  # noqa: PLC0415
    except ImportError:
        purpose = "roofline page"
        raise MissingExtraError(purpose, "web") from None
    return Doors(GZipMiddleware(Starlette(routes=_routes())))


def serve(port: int, started: Callable[[str], None]) -> None:
    """Serve until interrupted; ``started`` is called with the address. Port 0 is any that is free.

    Raises UsageError for a port that cannot be had, MissingExtraError without starlette and uvicorn.
    """
    inside = application()
    try:
        import uvicorn  # noqa: PLC0415  (an extra)
    except ImportError:
        purpose = "roofline page"
        raise MissingExtraError(purpose, "web") from None
    with _listening(port) as door:
        started(f"http://{HOST}:{door.getsockname()[1]}/")
        settings = uvicorn.Config(inside, log_level="error", limit_concurrency=MOST_CLIENTS, ws="none", lifespan="off")
        uvicorn.Server(settings).run(sockets=[door])


def _listening(port: int) -> socket.socket:
    """The port, listened to before the address is told. Raises UsageError."""
    if not 0 <= port <= 65_535:
        msg = f"--port {port}: expected 0 to 65535"
        raise UsageError(msg)
    try:
        return socket.create_server((HOST, port))
    except OSError as failure:
        msg = f"--port {port}: {failure.strerror}; give another, or 0 for any that is free"
        raise UsageError(msg) from None


def _routes() -> list[Route]:
    from starlette.routing import Route  # noqa: PLC0415

    answers = {f"/api/{path}": _answering(question.answer) for path, question in QUESTIONS.items()}
    answers |= {f"/page/{path}": _answering(view) for path, view in VIEWS.items()}
    answers |= {"/openapi.json": _answering(lambda _: description())}
    answers |= {f"/{name}": _file(name) for name in assets() if name != PAGE} | {"/": _file(PAGE)}
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in answers.items()]


def _file(name: str) -> Callable[[Request], Response]:
    """The endpoint of a file of the page."""
    from starlette.responses import Response  # noqa: PLC0415

    headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}

    def endpoint(_: Request) -> Response:
        return Response(assets()[name], headers=headers, media_type=TYPES[Path(name).suffix])

    return endpoint


def _answering(ask: Callable[[Pairs], Json]) -> Callable[[Request], Response]:
    """The endpoint of a question: its JSON, or why it is refused. What is asked again is kept."""
    from starlette.responses import Response  # noqa: PLC0415

    kept = lru_cache(maxsize=64)(lambda pairs: json.dumps(ask(pairs), allow_nan=False, separators=(",", ":")))

    def endpoint(request: Request) -> Response:
        code, text = _said(lambda: kept(tuple(request.query_params.multi_items())))
        return Response(text, code, media_type="application/json")

    return endpoint


def _said(answer: Callable[[], str]) -> tuple[int, str]:
    """The code of an answer and its JSON: one question is worked on at a time."""
    try:
        with _busy:
            return 200, answer()
    except RooflineError as failure:
        return 400, json.dumps({"error": str(failure)})
    except Exception as failure:  # a bug of ours: the server stays up, and says no more than its kind
        return 500, json.dumps({"error": f"roofline failed ({type(failure).__name__}); please report the question"})
