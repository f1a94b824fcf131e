"""A server on a socket, as others on this machine may treat it: it answers or refuses, and stays up."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from roofline.page.server import serve

pytest.importorskip("uvicorn", reason="the extra web is not installed: no server is attacked")

GIGABYTE = 10**9
CLIENTS = 1000


@pytest.fixture(scope="module")
def port() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4 * CLIENTS:  # clients and server are one process
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4 * CLIENTS, hard) if hard > 0 else 4 * CLIENTS, hard))
    told: list[str] = []
    threading.Thread(target=serve, args=(0, told.append), daemon=True).start()
    while not told:
        time.sleep(0.01)
    return int(told[0].rstrip("/").rpartition(":")[2])


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def status(client: socket.socket) -> int:
    """Of the answer; 0 where the server hung up."""
    line = client.makefile("rb").readline()
    return int(line.split()[1]) if line else 0


def answers(port: int, path: str = "/icon.svg", host: str = "127.0.0.1") -> int:
    with connected(port) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        return status(client)


def test_a_gigabyte_is_refused_before_it_is_read(port: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with connected(port) as client:
        head = f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {GIGABYTE}\r\n\r\n"
        client.sendall(head.encode() + bytes(2**16))
        assert status(client) == 405
        sent = 0
        try:
            while sent < GIGABYTE // 10:
                sent += client.send(bytes(2**20))
        except OSError:  # it hung up
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert answers(port) == 200


def test_a_line_without_an_end_is_refused(port: int) -> None:
    with connected(port) as client:
        try:
            client.sendall(b"GET /" + b"a" * 2**20)
            assert status(client) in (0, 400)
        except ConnectionError:  # it hung up
            pass
    assert answers(port) == 200


def test_a_thousand_clients_are_answered_or_told_to_come_again(port: int) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(port)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(f"GET /icon.svg HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        found = [status(client) for client in clients]
    assert set(found) <= {200, 503}
    end = time.monotonic() + 10
    while answers(port) != 200:  # those that hung up are still being counted
        assert time.monotonic() < end


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/assets/app.js"])
def test_no_path_leads_out(port: int, path: str) -> None:
    assert answers(port, path) == 404


def test_another_host_is_refused_in_one_line(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /api/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.split()[1] == b"403"
    assert b"access-control" not in head.lower()
    assert list(json.loads(body)) == ["error"]
