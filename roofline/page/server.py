"""The server: questions over HTTP on this machine alone, for its own page and for programs.

Only GET is answered, and nothing that a request says becomes a path. One question is worked on at a time; the others
wait.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from roofline.errors import MissingExtraError, RooflineError, UsageError
from roofline.page.doors import HOST, Application, Doors
from roofline.page.openapi import description
from roofline.page.questions import QUESTIONS

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
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as failure:
        problem = getattr(failure, "strerror", None) or str(failure)
        msg = f"--port {port}: {problem}; give another, or 0 for any that is free"
        raise UsageError(msg) from None


def _routes() -> list[Route]:
    from starlette.routing import Route  # noqa: PLC0415

    asked = [Route(f"/api/{path}", _answering(path), methods=["GET"]) for path in QUESTIONS]
    return [*asked, Route("/openapi.json", _answering_with(_description), methods=["GET"])]


def _answering(path: str) -> Callable[[Request], Response]:
    """The endpoint of a question: its JSON, or why it is refused."""

    def endpoint(request: Request) -> Response:
        return _answered(lambda: _answer(path, tuple(request.query_params.multi_items())))

    return endpoint


def _answering_with(text: Callable[[], str]) -> Callable[[Request], Response]:
    def endpoint(_: Request) -> Response:
        return _answered(text)

    return endpoint


def _answered(text: Callable[[], str]) -> Response:
    from starlette.responses import Response  # noqa: PLC0415

    try:
        with _busy:
            return Response(text(), media_type="application/json")
    except RooflineError as failure:
        return Response(json.dumps({"error": str(failure)}), 400, media_type="application/json")
    except Exception as failure:  # a bug of ours: the server stays up, and says no more than its kind
        problem = f"roofline failed ({type(failure).__name__}); please report the question"
        return Response(json.dumps({"error": problem}), 500, media_type="application/json")


@lru_cache(maxsize=128)
def _answer(path: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """The JSON of an answer; those that are asked for again are kept."""
    return json.dumps(QUESTIONS[path].answer(pairs), allow_nan=False)


@lru_cache(maxsize=1)
def _description() -> str:
    return json.dumps(description())
