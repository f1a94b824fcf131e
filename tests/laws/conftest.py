"""What laws of tapes share: JavaScript that plays them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from roofline.tape.tape import Tape

PLAYER = """
import readline from "node:readline";
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { source, points } = JSON.parse(line);
  const { evaluate } = await import("data:text/javascript;base64," + source);
  console.log(JSON.stringify(points.map((point) => evaluate(point))));
}
"""


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Tape, list[dict[str, int]]], list[dict[str, float]]]]:
    """What JavaScript makes of tapes at some points: one process for all of them."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: JavaScript is not run")
    script = tmp_path_factory.mktemp("node") / "player.mjs"
    script.write_text(PLAYER, encoding="utf-8")
    with subprocess.Popen(["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        reads, writes = process.stdin, process.stdout
        assert reads is not None
        assert writes is not None

        def play(tape: Tape, drawn: list[dict[str, int]]) -> list[dict[str, float]]:
            source = base64.b64encode(tape.javascript_source().encode()).decode()
            reads.write(json.dumps({"source": source, "points": drawn}) + "\n")
            reads.flush()
            found: list[dict[str, float]] = json.loads(writes.readline())
            return found

        yield play
        reads.close()
