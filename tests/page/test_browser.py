"""The page in a browser: what one chooses and moves is shown and kept in the address; nothing is asked of others."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import roofline
from roofline.page.recorded import write_page
from roofline.page.server import serve

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser is driven")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: no browser is driven"),
]


class Seen:
    """A tab, what it asked for, and what went wrong in it."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.requests: list[str] = []
        self.errors: list[str] = []
        tab.on("request", lambda each: self.requests.append(each.url))
        tab.on("pageerror", lambda each: self.errors.append(str(each)))
        tab.on("console", lambda each: self.errors.append(each.text) if each.type in ("error", "warning") else None)

    def until(self, condition: str) -> None:
        end = time.monotonic() + 60
        while not self.tab.evaluate(condition):
            assert time.monotonic() < end, (condition, self.text("problem"), self.text("verdict-title"))
            time.sleep(0.02)

    def text(self, name: str) -> str:
        return str(self.tab.evaluate(f"document.getElementById('{name}').textContent"))

    def shows(self, title: str) -> None:
        self.until(f"document.title.startsWith({json.dumps(title)}) && !document.querySelector('.stale')")

    def choose(self, field: str, typed: str) -> None:
        self.tab.click(f"#{field}")
        self.tab.keyboard.type(typed)
        self.tab.keyboard.press("Enter")


@pytest.fixture
def browser_tab() -> Iterator[Callable[[], Any]]:
    """A new tab, of a person who was not here before."""
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield lambda: browser.new_page(viewport={"width": 390, "height": 844})
        browser.close()


@pytest.fixture
def seen(browser_tab: Callable[[], Any]) -> Seen:
    return Seen(browser_tab())


@pytest.fixture(scope="module")
def address() -> str:
    told: list[str] = []
    threading.Thread(target=serve, args=(0, told.append), daemon=True).start()
    while not told:
        time.sleep(0.01)
    return told[0]


def test_a_question_is_answered_and_kept_in_the_address(seen: Seen, address: str) -> None:
    seen.tab.goto(f"{address}#model=llama-3.2-1b&hardware=a10&batch=1&context=1000")
    seen.shows("llama-3.2-1b on a10")
    seen.choose("model", "gpt2-xl")
    seen.shows("gpt2-xl on a10")
    seen.choose("hardware", "rtx-4090")
    seen.shows("gpt2-xl on rtx-4090")
    shared = seen.tab.url
    assert "model=gpt2-xl&hardware=rtx-4090&batch=1&context=1000" in shared
    seen.tab.go_back()
    seen.shows("gpt2-xl on a10")
    seen.tab.goto(f"{address}#model=%3Cscript%3Ealert(1)%3C%2Fscript%3E&hardware=a10")
    seen.until("document.getElementById('problem').textContent.includes('unknown model \"<script>alert(1)')")
    assert not seen.tab.is_visible("#verdict")
    seen.errors = [each for each in seen.errors if "400 (Bad Request)" not in each]
    seen.tab.goto(shared)
    seen.shows("gpt2-xl on rtx-4090")
    assert seen.tab.evaluate("document.documentElement.scrollWidth") == 390
    assert [each for each in seen.requests if not each.startswith(address)] == []
    assert seen.errors == []


def test_a_slider_moves_in_the_browser_alone_and_its_release_is_answered(seen: Seen, address: str) -> None:
    seen.tab.goto(f"{address}#model=gpt2&hardware=a10&context=500")
    seen.shows("gpt2 on a10")
    seen.until("performance.getEntriesByType('resource').some((each) => each.name.includes('/page/tape'))")
    time.sleep(2)
    asked = len(seen.requests)
    slider = "document.getElementById('slider-batch')"
    seen.tab.evaluate(f"{slider}.value = 3; {slider}.dispatchEvent(new Event('input'))")
    seen.until("document.querySelector('#tiles').textContent.includes('8 sequences')")
    assert len(seen.requests) == asked
    seen.tab.evaluate(f"{slider}.value = 3; {slider}.dispatchEvent(new Event('change'))")
    seen.until("location.hash.includes('batch=8')")
    assert seen.errors == []


def test_a_device_of_ones_own_is_dropped(seen: Seen, address: str, tmp_path: Path) -> None:
    spec = (Path(__file__).parents[2] / "hardware_specs" / "a10.yaml").read_text(encoding="utf-8")
    (tmp_path / "own.yaml").write_text(spec.replace("name: a10\n", "name: own-a10\n"), encoding="utf-8")
    (tmp_path / "large.json").write_text(" " * 40_000, encoding="utf-8")
    seen.tab.goto(f"{address}#model=gpt2&hardware=h100&batch=1&context=500")
    seen.shows("gpt2 on h100")
    seen.tab.set_input_files("#own", tmp_path / "own.yaml")
    seen.shows("gpt2 on own-a10")
    assert "--hardware ./device.yaml" in seen.text("same")
    seen.choose("hardware", "l4")
    seen.shows("gpt2 on l4")
    assert "spec=" not in seen.tab.url
    seen.tab.set_input_files("#own", tmp_path / "large.json")
    seen.until("document.getElementById('problem').textContent.includes('expected at most 32,768')")
    assert seen.errors == []


def test_a_gguf_file_is_dropped_and_a_gigabyte_is_refused(seen: Seen, address: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="gguf is not installed: no such file is written")
    from gguf_files import LLAMA, llama_tensors, write_gguf

    write_gguf(tmp_path / "small.gguf", "llama", LLAMA, llama_tensors("q4_k_m"))
    for name in ("zeros.gguf", "zeros.json"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(10**9)
    seen.tab.goto(f"{address}#model=gpt2&hardware=rtx-4090&batch=1")
    seen.shows("gpt2 on rtx-4090")
    seen.tab.set_input_files("#own", tmp_path / "small.gguf")
    seen.shows("small on rtx-4090")
    told = roofline.predict(tmp_path / "small.gguf", "rtx-4090").tpot_s
    assert told is not None
    assert f"{1e6 * told:.0f} µs per token" in seen.text("verdict-title")
    assert "roofline predict ./small.gguf --hardware rtx-4090" in seen.text("same")
    for name, problem in (("zeros.gguf", "not a whole GGUF file"), ("zeros.json", "expected at most 32,768")):
        seen.tab.set_input_files("#own", tmp_path / name)
        seen.until(f"document.getElementById('problem').textContent.includes({json.dumps(f'{name}: ')})")
        assert problem in seen.text("problem")
    assert seen.errors == []


def test_requests_in_flight_move_in_the_browser_alone(seen: Seen, address: str) -> None:
    seen.tab.goto(f"{address}#model=gpt2&hardware=a10&prompt=100&generate=20&concurrency=8")
    seen.shows("gpt2 on a10")
    seen.until("document.querySelectorAll('#serving-tiles dd').length === 5")
    before, slider = seen.text("serving-tiles"), "document.getElementById('slider-concurrency')"
    asked = [each for each in seen.requests if "/page/serving" in each or "/page/shown" in each]
    seen.tab.evaluate(f"{slider}.value = 20; {slider}.dispatchEvent(new Event('input'))")
    assert seen.text("serving-tiles") != before
    assert [each for each in seen.requests if "/page/serving" in each or "/page/shown" in each] == asked
    seen.tab.evaluate(f"{slider}.dispatchEvent(new Event('change'))")
    seen.until("!location.hash.includes('concurrency=8')")
    assert seen.errors == []


def test_four_choices_answer_whether_it_fits_and_how_fast(seen: Seen, address: str, browser_tab: Any) -> None:
    """Qwen3-32B in 4 bits with 32k context on an RTX 4090, kept by a reload, by a link in another tab, and by back."""
    seen.tab.goto(address)
    seen.shows("llama-3.1-8b on h100")
    seen.choose("model", "qwen3-32b")
    seen.choose("hardware", "rtx-4090")
    seen.choose("dtype", "w4a16")
    seen.shows("qwen3-32b on rtx-4090")
    seen.until("location.hash.includes('dtype=w4a16')")
    seen.tab.fill("#slider-prompt-number", "32768")
    seen.tab.keyboard.press("Enter")
    found = roofline.predict("qwen3-32b", "rtx-4090", dtype="w4a16", prompt=32768).to_dict()
    assert found["fits"] is False
    times = f"{found['ttft_s']:.1f} s to the first token, then {1e3 * found['tpot_s']:.1f} ms per token."
    told = f"It does not fit. If it did: {times}"
    seen.until(f"document.getElementById('verdict-title').textContent === {json.dumps(told)}")
    assert "On 2 devices: " in seen.text("remedies")
    shared = seen.tab.url
    seen.tab.reload()
    seen.until(f"document.getElementById('verdict-title').textContent === {json.dumps(told)}")
    other = Seen(browser_tab())
    other.tab.goto(shared)
    other.until(f"document.getElementById('verdict-title').textContent === {json.dumps(told)}")
    seen.tab.click("#remedies button:has-text('On 2 devices')")
    seen.shows("qwen3-32b on 2xrtx-4090")
    assert seen.text("verdict-title").startswith("It fits. ")
    seen.tab.go_back()
    seen.until(f"document.getElementById('verdict-title').textContent === {json.dumps(told)}")
    assert [*seen.errors, *other.errors] == []


MARKUP = "<img src=x onerror=document.title='run'><script>document.title='run'</script>"


def test_markup_in_names_is_text(seen: Seen, address: str, tmp_path: Path) -> None:
    spec = (Path(__file__).parents[2] / "hardware_specs" / "a10.yaml").read_text(encoding="utf-8")
    titled = "".join(
        f"title: {json.dumps(MARKUP)}\n" if line.startswith("title:") else line for line in spec.splitlines(True)
    )
    (tmp_path / "own.yaml").write_text(titled.replace("name: a10\n", "name: own-a10\n"), encoding="utf-8")
    config = {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 64, "n_layer": 2, "n_head": 2}
    (tmp_path / "config.json").write_text(json.dumps({**config, MARKUP: 3, "_name_or_path": MARKUP}), encoding="utf-8")
    seen.tab.goto(f"{address}#model=gpt2&hardware=h100&batch=1")
    seen.shows("gpt2 on h100")
    seen.tab.set_input_files("#own", tmp_path / "own.yaml")
    seen.shows("gpt2 on own-a10")
    seen.until("document.getElementById('phase-line').textContent.includes('<script>')")
    seen.tab.set_input_files("#own", tmp_path / "config.json")
    seen.until("document.getElementById('notes').textContent.includes('<script>')")
    assert seen.tab.evaluate("document.querySelectorAll('img, main script').length") == 0
    assert seen.tab.title() != "run"
    assert seen.errors == []


def test_a_map_shows_what_binds_and_a_click_moves_there(seen: Seen, address: str) -> None:
    seen.tab.goto(f"{address}#model=gpt2&hardware=a10&batch=1&context=500")
    seen.shows("gpt2 on a10")
    seen.until("document.querySelector('#regimes svg') !== null")
    told = roofline.predict("gpt2", "a10", batch=1, context=500).to_dict()["phases"]["decode"]
    assert f"bound by {told['bound_by']}" in seen.tab.get_attribute("#regimes svg", "aria-label")
    box = seen.tab.locator("#regimes svg").bounding_box()
    seen.tab.locator("#regimes svg").click(position={"x": 0.9 * box["width"], "y": 0.5 * box["height"]})
    seen.until("!location.hash.includes('batch=1&')")
    assert seen.errors == []


def test_a_file_works_from_a_disk_and_asks_nothing(seen: Seen, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, ["gpt2", "bert-base"], ["a10", "2xa10"], ["fp16"])
    seen.tab.goto(path.as_uri())
    seen.shows("gpt2 on a10")
    seen.choose("hardware", "2xa10")
    seen.shows("gpt2 on 2xa10")
    time_s = roofline.predict("gpt2", "2xa10", dtype="fp16").tpot_s
    assert time_s is not None
    assert f"{1e6 * time_s:.0f} µs per token" in seen.text("verdict-title")
    seen.tab.click("#modes button:has-text('decode step')")
    seen.until("location.hash.includes('context=')")
    seen.shows("gpt2 on 2xa10")
    seen.tab.fill("#slider-context-number", "1000")
    seen.tab.keyboard.press("Enter")
    step_s = roofline.predict("gpt2", "2xa10", dtype="fp16", context=1000).tpot_s
    assert step_s is not None
    seen.until(f"document.getElementById('verdict-title').textContent.includes('{1e6 * step_s:.0f} µs for a token')")
    seen.choose("model", "bert")
    seen.shows("bert-base on 2xa10")
    seen.tab.goto(f"{path.as_uri()}#model=gpt2&hardware=a10&dtype=fp16&prompt=9999")
    seen.tab.reload()
    seen.until("!document.getElementById('problem').hidden && document.getElementById('slider-prompt') !== null")
    assert seen.tab.input_value("#model") == "gpt2"
    assert {each.partition("#")[0] for each in seen.requests} == {path.as_uri()}
    assert seen.errors == []


def test_the_batch_is_dragged_along_the_roofline(seen: Seen, tmp_path: Path) -> None:
    path = tmp_path / "lesson.html"
    write_page(path, ["gpt2"], ["t4"], ["fp16"], page="lesson.html")
    seen.tab.goto(path.as_uri())
    seen.until("document.querySelectorAll('#formula math').length === 4")
    assert "attention never" in seen.text("reading")
    for picture in ("roofline", "curves"):
        seen.tab.locator(f"#{picture} svg").scroll_into_view_if_needed()
        box = seen.tab.locator(f"#{picture} svg").bounding_box()
        seen.tab.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 100)
        seen.tab.mouse.down()
        seen.tab.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 100)
        seen.tab.mouse.up()
        seen.until("!location.hash.includes('batch=1&') && location.hash.includes('batch=')")
        batch = int(seen.tab.evaluate("new URLSearchParams(location.hash.slice(1)).get('batch')"))
        told = roofline.predict("gpt2", "t4", dtype="fp16", batch=batch).to_dict()["phases"]["decode"]["operators"]
        (up,) = [each for each in told if each["name"] == "up"]
        assert f"up does {up['intensity']:.{3 - len(str(int(up['intensity'])))}f} FLOP/B" in seen.text("reading")
        seen.tab.fill("#slider-batch-number", "1")
        seen.tab.keyboard.press("Enter")
    assert seen.errors == []
