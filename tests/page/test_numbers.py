"""The numbers of the page: what its JavaScript plays at the layout that is shown is what ``predict`` says there."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from strategies import ARCHITECTURES

import roofline
from roofline.page import files
from roofline.page.views import shown, taped

DEGREES = ("tp", "pp", "dp", "ep", "cp", "dcp", "sp")

PLAYER = """
import readline from "node:readline";
const { Tape } = await import(process.argv[2] + "/tape.js");
const { played } = await import(process.argv[2] + "/answer.js");
const { pointOf } = await import(process.argv[2] + "/source.js");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { wire, answer, roof, points } = JSON.parse(line);
  const tape = new Tape(wire);
  const play = (moved) => {
    const point = pointOf(moved, answer, tape);
    try {
      return played(answer, tape, point, roof.bandwidth_bytes_per_s);
    } catch (failure) {
      return String(failure);
    }
  };
  console.log(JSON.stringify(points.map(play)));
}
"""

_SLACK = {"memory": 1.0, "shares": 1e-12}
"""Whole bytes of a fraction of them: a float64 may lie on the other side of a whole number. Shares are of a whole, and
latency's is what the others leave of it."""

State = tuple[str, str, dict[str, Any]]


class Player:
    """The page's modules in node: one process for all states."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def play(self, state: State, points: list[dict[str, int]]) -> list[Any]:
        """What the page shows at some points, in the layout that is searched at the first."""
        model, hardware, options = state
        asked = [("model", model), ("hardware", hardware), *((name, str(value)) for name, value in options.items())]
        found = shown(asked)
        layout = [(name, str(found["answer"]["layout"][name])) for name in DEGREES if "layout" in found["answer"]]
        told = {**found, "wire": taped([*asked, *layout]), "points": points}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()
        whole: list[Any] = json.loads(self.process.stdout.readline())
        return whole


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: JavaScript is not run")
    folder = tmp_path_factory.mktemp("page")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    for name in ("kept", "tape", "answer", "state", "source"):
        (folder / f"{name}.js").write_bytes(files.assets()[f"{name}.js"])
    (folder / "player.js").write_text(PLAYER, encoding="utf-8")
    command = ["node", str(folder / "player.js"), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Player(process)
        assert process.stdin is not None
        process.stdin.close()


def numbers(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number and truth of an answer by its place."""
    if isinstance(found, dict):
        for name, each in found.items():
            yield from numbers(each, f"{path}.{name}")
    elif isinstance(found, list):
        for place, each in enumerate(found):
            yield from numbers(each, f"{path}[{place}]")
    elif isinstance(found, int | float):
        yield path, float(found)


def check(player: Player, state: State, points: list[dict[str, int]]) -> int:
    """The points against predict in the same layout, where the recording holds; how many numbers were compared."""
    model, hardware, options = state
    first = roofline.predict(model, hardware, **options)
    layout = (
        {name: degree for name, degree in first.layout.to_dict().items() if name in DEGREES} if first.count > 1 else {}
    )
    count = 0
    for point, found in zip(points, player.play(state, points), strict=True):
        if isinstance(found, str):  # the page then asks the server
            assert found == "Error: another choice is made here", (state, point, found)
            continue
        expected = dict(numbers(roofline.predict(model, hardware, **{**options, **layout, **point}).to_dict()))
        own = {path: value for path, value in numbers(found) if not path.startswith(".chosen")}
        least = 1e-15 * max(expected[f".phases.{phase}.time_s"] for phase in found["phases"])
        for path, value in own.items():
            slack = least if path.endswith("_s") else _SLACK.get(path.split(".")[-2], 1e-15)
            assert value == pytest.approx(expected[path], rel=1e-12, abs=slack), (state, point, path)
        assert {"time_s", "flops", "intensity"} <= {path.rpartition(".")[2] for path in own}
        assert {name for name in expected if ".operators[" in name} == {name for name in own if ".operators[" in name}
        count += len(own)
    return count


STATES: list[tuple[State, list[dict[str, int]]]] = [
    (("llama-3.2-1b", "a10", {"context": 500}), [{"batch": 7, "context": 3000}]),
    (("gpt2", "2xa10", {"prompt": 100, "generate": 5, "batch": 2}), [{"batch": 32, "prompt": 700, "generate": 40}]),
]


@pytest.mark.parametrize(("state", "points"), STATES)
def test_what_is_played_is_what_predict_says(player: Player, state: State, points: list[dict[str, int]]) -> None:
    assert check(player, state, points) > 100


HARDWARE = ("h100", "rtx-4090", "mi300x", "a100", "l40s", "b200", "8xh100", "4xa100", "2xrtx-4090", "8xmi300x")


def random_state(rng: random.Random) -> State:
    options: dict[str, Any] = {"batch": 2 ** rng.randint(0, 6)}
    if rng.random() < 0.4:
        options["context"] = rng.randint(16, 3000)
    else:
        options |= {"prompt": rng.randint(16, 1000), "generate": rng.randint(2, 300)}
    if rng.random() < 0.5:
        options["dtype"] = rng.choice(["bf16", "fp8", "w4a16", "w8a16", "fp8+kv8"])
    return rng.choice(ARCHITECTURES), rng.choice(HARDWARE), options


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_random_states(player: Player, seed: int) -> None:
    """A state, and a slider that moves within its layout; what a model or a device refuses is drawn anew."""
    rng = random.Random(seed)
    while True:
        state = random_state(rng)
        try:
            layout = roofline.predict(state[0], state[1], **state[2]).layout
        except roofline.RooflineError:
            continue
        moved = {name: value for name, value in state[2].items() if name != "dtype"}
        moved["batch"] = int(layout.dp * layout.pp) * rng.randint(1, 40)
        if "generate" in moved:
            moved["generate"] = rng.randint(2, 200)
        check(player, state, [moved])
        return
