"""The page in a browser: first paint, a slider that moves, a choice, what it asks of others, what it weighs.

    pip install playwright; apt-get install chromium; npm install axe-core
    python benchmarks/page_bars.py [--chromium /usr/bin/chromium] [--moves 60] [--axe node_modules/axe-core/axe.min.js]
        [--states 200] [--tapes]

Times are medians and 95th percentiles on this machine, at one moment: run it where nothing else does (``uptime``).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, product
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

import roofline
from roofline.errors import RooflineError
from roofline.models.sources import preset_names
from roofline.page.files import assets
from roofline.page.views import shown, taped

WATCH = """() => {
  window.found = [];
  const after = (from, event) => {
    const { port1, port2 } = new MessageChannel();  // its message comes when the frame has been painted
    port1.onmessage = () => window.found.push([performance.now() - from, performance.now() - event.timeStamp]);
    port2.postMessage(0);
  };
  document.addEventListener('input', (event) => {
    const from = performance.now();
    requestAnimationFrame(() => after(from, event));
  }, true);
}"""
WORK = """async (moves) => {
  const found = [];
  const slider = document.querySelector('#sliders input[type=range]');
  const callbacks = [];
  const frame = window.requestAnimationFrame;
  window.requestAnimationFrame = (callback) => callbacks.push(callback);
  for (let move = 0; move < moves; move++) {
    slider.value = 1 + (move % 12);
    const start = performance.now();
    slider.dispatchEvent(new Event('input'));
    callbacks.splice(0).forEach((callback) => callback(start));
    document.body.getBoundingClientRect();
    found.push(performance.now() - start);
  }
  window.requestAnimationFrame = frame;
  return found;
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
SETTLED = """(words) => !document.getElementById('verdict').classList.contains('stale')
  && document.title.startsWith(words)"""


@contextmanager
def serving() -> Iterator[str]:
    command = [sys.executable, "-m", "roofline", "page", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def told(name: str, values: Sequence[float], unit: str = "ms") -> str:
    ordered = sorted(values)
    middle, high = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{name}: median {middle:.1f}, 95 % {high:.1f} {unit} (n {len(ordered)})"


def settle(page: Any, words: str) -> None:
    end = time.monotonic() + 60
    while not page.evaluate(SETTLED, words):  # wait_for_function evaluates text, which the policy forbids
        if time.monotonic() > end:
            msg = f"the page did not show {words} in a minute"
            raise TimeoutError(msg)
        time.sleep(0.005)


def dragged(page: Any, moves: int) -> list[tuple[float, float]]:
    """Milliseconds of each move of the first slider to the end of its frame: since its event, since the mouse's."""
    page.evaluate(WATCH)
    box = page.locator("#sliders input[type=range]").first.bounding_box()
    y, left, width = box["y"] + box["height"] / 2, box["x"] + 10, box["width"] - 20
    page.mouse.move(left, y)
    page.mouse.down()
    for move in range(moves):
        page.mouse.move(left + width * (move * 7 % 100) / 100, y)
        time.sleep(0.03)
    page.mouse.up()
    time.sleep(0.5)
    found: list[tuple[float, float]] = page.evaluate("window.found")
    return found


def measured(address: str, chromium: str, moves: int) -> Iterator[str]:
    errors: list[str] = []
    outside: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        page.on("console", lambda each: errors.append(each.text) if each.type == "error" else None)
        page.on("pageerror", lambda each: errors.append(str(each)))
        page.on("request", lambda each: None if each.url.startswith(address) else outside.append(each.url))
        page.goto(f"{address}#model=llama-3.1-8b&hardware=h100&batch=1")
        settle(page, "llama-3.1-8b")
        paints = []
        for _ in range(5):
            page.reload()
            settle(page, "llama-3.1-8b")
            paints.append(float(page.evaluate(PAINT)))
        yield told("first contentful paint", paints)
        time.sleep(5)  # the recording comes when one has chosen
        moved = dragged(page, moves)
        yield told("a slider moved by the mouse, to painted", [each for each, _ in moved])
        yield told("the mouse moved, to painted", [each for _, each in moved])
        yield told("work of a move, layout included", page.evaluate(WORK, moves))
        choices = []
        names = ("qwen3-8b", "mistral-7b", "gpt2", "phi-4", "llama-3.2-1b", "qwen3-32b", "qwen3-14b", "gemma-2-9b")
        for name, rest_s in zip(names, cycle((0.2, 1.0)), strict=False):  # hurried, and as one who looks
            start = time.monotonic()
            page.evaluate(f"location.hash = '#model={name}&hardware=a100&batch=1'")
            settle(page, name)
            choices.append(1e3 * (time.monotonic() - start))
            time.sleep(rest_s)
        yield told("a choice of a model, first time", choices)
        browser.close()
    yield f"requests outside the origin: {len(outside)}; console errors: {len(errors)} {errors[:2]}"


def hindrances(address: str, chromium: str, axe: Path) -> Iterator[str]:
    """What axe-core finds, narrow and wide, light and dark: answers, a refusal, an open list, the lesson."""
    found: list[str] = []
    asks = (
        ("#model=llama-3.1-8b&hardware=h100&also=a100&concurrency=16", ""),
        ("#model=qwen3-32b&hardware=l4", "document.getElementById('hardware').focus()"),
        ("#model=deepseek-v3&hardware=8xh200&context=4096&op=experts_down", ""),
        ("#model=bert-base&hardware=t4", ""),
        ("#model=gpt2&hardware=h100&context=99999", ""),  # refused
        ("lesson.html", ""),
    )
    cases = list(product((390, 1440), ("light", "dark"), asks))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width, scheme, (asked, before) in cases:
            view = {"width": width, "height": 900}
            context = browser.new_context(viewport=view, color_scheme=scheme, bypass_csp=True)  # axe is evaluated
            page = context.new_page()
            page.goto(f"{address}{asked}")
            time.sleep(4)  # with formulas and the map
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            page.evaluate(f"() => {{ {before} }}")
            page.evaluate(axe.read_text(encoding="utf-8"))
            run = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            found += [f"{each['id']} ({each['impact']})" for each in run["violations"]]
            context.close()
        browser.close()
    yield f"axe-core {len(cases)} times: {len(found)} findings {sorted(set(found))}"


PLAY = """async ([state, moved]) => {
  const [{ source, pointOf }, { played }] = [await import('./source.js'), await import('./answer.js')];
  const from = await source();
  const { answer, roof } = await from.shown(state);
  const tape = await from.tape(state, answer);
  const point = pointOf({ ...state, ...moved }, answer, tape);
  return [answer.layout, played(answer, tape, point, roof.bandwidth_bytes_per_s)];
}"""
MODELS = ("llama-3.1-8b", "gemma-3-27b", "gpt-oss-20b", "qwen3-30b-a3b", "mamba-2.8b", "gpt2", "qwen3-32b", "phi-4")
HEAVY = ("bert-base", "llama-3.1-8b", "gemma-3-27b", "gpt-oss-120b", "deepseek-v3", "deepseek-v4-flash")
DEVICES = ("h100", "rtx-4090", "mi300x", "l40s", "2xa100", "8xh100")


def states(address: str, chromium: str, count: int) -> Iterator[str]:
    """Random states moved by a slider within their layout, in a browser: how far from ``predict`` they are."""
    rng, worst, done, refused = random.Random(0), 0.0, 0, 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        while done < count:
            asked = {"model": rng.choice(MODELS), "hardware": rng.choice(DEVICES), "batch": str(rng.randint(1, 64))}
            asked |= {"prompt": str(rng.randint(16, 700)), "generate": str(rng.randint(2, 200))}
            moved = {"batch": 16 * rng.randint(1, 8), "generate": rng.randint(2, 200)}
            done += 1
            try:
                layout, found = page.evaluate(PLAY, [asked, moved])
            except Error as failure:
                if "another choice is made here" not in str(failure):
                    raise
                refused += 1  # the page then asks the server
                continue
            fixed = {name: layout[name] for name in ("tp", "pp", "dp", "ep", "cp", "dcp", "sp") if layout}
            own = {"prompt": int(asked["prompt"]), **moved, **fixed}
            told = roofline.predict(asked["model"], asked["hardware"], **own).to_dict()
            for name in ("request_s", "ttft_s", "tpot_s", "tokens_per_s"):
                worst = max(worst, abs(found[name] / told[name] - 1))
            for phase, each in told["phases"].items():
                for one, other in zip(found["phases"][phase]["operators"], each["operators"], strict=True):
                    for name in ("time_s", "low_s", "high_s", "flops", "bytes"):
                        worst = max(worst, abs(one[name] / other[name] - 1) if other[name] else abs(one[name]))
        browser.close()
    yield f"{count} states in the browser, {refused} of which ask the server: at most {worst:.1e} from predict"


def weights(models: Sequence[str]) -> Iterator[str]:
    page = sum(len(gzip.compress(each, 9)) for each in assets().values())
    yield f"the page: {page / 1e3:.1f} kB gzipped in {len(assets())} files"
    found: list[tuple[float, str]] = []
    for model, length in product(models, (None, "2048")):
        for hardware in ("h100", "8xh200"):
            asked = [("model", model), ("hardware", hardware), *([("context", length)] if length else [])]
            try:
                answer = shown(asked)["answer"]
            except RooflineError:
                continue  # no decode step, no format of this device
            if answer["fits"] or hardware == "8xh200":
                layout = [(name, str(degree)) for name, degree in answer.get("layout", {}).items()]
                text = json.dumps(taped([*asked, *layout]), separators=(",", ":"))
                kind = "a decode step" if length else "a request"
                found.append((len(gzip.compress(text.encode(), 9)) / 1e3, f"{model}, {kind} on {hardware}"))
                break
    found.sort(reverse=True)
    yield f"{len(found)} tapes: median {found[len(found) // 2][0]:.1f} kB gzipped, the heaviest:"
    yield from (f"    {weight:.2f} kB  {name}" for weight, name in found[:8])


def opened(file: Path, chromium: str) -> str:
    """Milliseconds from a page as one file to its answer, from a disk."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(5):
            page = browser.new_context().new_page()
            start = time.monotonic()
            page.goto(file.resolve().as_uri())
            page.wait_for_selector("#tiles dd")
            found.append(1e3 * (time.monotonic() - start))
            page.context.close()
        browser.close()
    return told(f"{file.name}, {file.stat().st_size / 1e6:.1f} MB, opened", found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--axe", type=Path, help="axe.min.js of axe-core: what hinders readers with disabilities")
    parser.add_argument("--states", type=int, default=0, help="random states whose numbers are compared with predict")
    parser.add_argument("--tapes", action="store_true", help="weigh the tapes of every preset: ten minutes")
    parser.add_argument("--file", type=Path, help="a page as one file: how long it takes to open, and nothing else")
    given = parser.parse_args()
    if given.file:
        print(opened(given.file, given.chromium))
        return
    for line in weights(preset_names() if given.tapes else HEAVY):
        print(line)
    with serving() as address:
        for line in measured(address, given.chromium, given.moves):
            print(line)
        for line in hindrances(address, given.chromium, given.axe) if given.axe else ():
            print(line)
        for line in states(address, given.chromium, given.states) if given.states else ():
            print(line)


if __name__ == "__main__":
    main()
