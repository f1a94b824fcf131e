"""The gallery shows what the commands draw and says what they say.

``python tests/house/test_gallery.py`` draws it anew, from the root of the repository.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from shell import answer  # noqa: E402
from shell import printed_afresh as run  # noqa: E402

GALLERY = ROOT / "docs" / "gallery.md"
IMAGES = ROOT / "docs" / "images"
LOOK = "--dpi 80"

KINDS = {
    "roofline": "how fast each operator runs, and how fast it could",
    "breakdown": "where the time goes",
    "timeplane": "distance is time",
    "waterfall": "from the bound to the expected time",
    "sensitivity": "what ten percent would change",
    "memory": "what fits",
    "regime": "what binds, over batch and length",
}
CASES = {
    "llama-3.1-8b, decode, on an H100": ("llama-decode-h100", "llama-3.1-8b --hardware h100 --context 2048"),
    "llama-3.1-8b, prefill, on an H100": ("llama-prefill-h100", "llama-3.1-8b --hardware h100 --phase prefill"),
    "llama-3.1-8b, decode, on an RTX 4090": ("llama-decode-4090", "llama-3.1-8b --hardware rtx-4090 --context 2048"),
    "llama-3.1-8b, prefill, on an RTX 4090": (
        "llama-prefill-4090",
        "llama-3.1-8b --hardware rtx-4090 --phase prefill",
    ),
    "bert-base on an H100": ("bert-h100", "bert-base --hardware h100"),
    "bert-base on a T4": ("bert-t4", "bert-base --hardware t4"),
    "gpt2 on a CPU": ("gpt2-cpu", "gpt2 --hardware xeon"),
}
MORE = {
    "The whole request": {
        "prefill and decode under one roof": "roofline llama-3.1-8b --hardware h100 --batch 16 --dpi 120 "
        "-o llama-h100-roofline",
        "prefill and decode, operator by operator": "breakdown llama-3.1-8b --hardware h100 --batch 16 "
        "-o llama-h100-breakdown",
    },
    "Several at once": {
        "three devices under their roofs": "roofline llama-3.1-8b --hardware h100,mi300x,a100 --context 2048 "
        "-o devices-roofline",
        "devices side by side": "compare llama-3.1-8b --hardware h100,h200,mi300x,a100 --batch 16 -o devices-compare",
        "thirteen devices": "compare llama-3.1-8b --hardware h100,h200,b200-180gb,mi300x,mi325x,a100,l40s,rtx-4090,"
        "rtx-5090,l4,a10g,gh200-96gb,rtx-pro-6000-blackwell --batch 4 -o thirteen-compare",
        "what a step is made of, device by device": "breakdown llama-3.1-8b --hardware mi300x,h100,a100,l40s --batch 4 "
        "-o devices-breakdown",
        "what lies in the memory of each": "memory qwen3-32b --hardware h100,h200,mi300x,l40s,rtx-pro-6000-blackwell "
        "--batch 4 -o devices-memory",
        "one device against another": "regime llama-3.1-8b --hardware mi300x,h100 -o mi300x-h100-regime",
        "encoders side by side": "compare bert-base --hardware h100,a100,t4 --batch 32 --dtype fp16 -o bert-compare",
    },
    "Over the batch and the context": {
        "the parts of the time over the batch": "breakdown llama-3.1-8b --hardware h100 --over batch -o llama-batches",
        "memory over the context": "memory llama-3.1-8b --hardware h100 --batch 16 --over context -o llama-contexts",
    },
    "For a dark slide, and for a column of a paper": {
        "dark": "roofline bert-base --hardware t4 --theme dark -o dark",
        "column": "roofline llama-3.1-8b --hardware h100 --batch 16 --size column --dpi 180 -o column",
    },
}

HEAD = """\
# Gallery

Every kind of chart, each with the command that made it; the sentence under a picture is its alternative text, which the
command prints and the file carries. `--data` writes the numbers behind a picture beside it, as CSV; `--theme dark`,
`--size column` and `--dpi` change its looks, and a name that ends in `.svg` or `.pdf` its format.
"""


def sections() -> dict[str, dict[str, str]]:
    """Title -> what a picture shows -> its command, without ``roofline plot``."""
    found = {}
    for title, (name, model) in CASES.items():
        found[title] = {words: f"{kind} {model} -o {name}-{kind}" for kind, words in KINDS.items()}
    return {"The whole request": MORE["The whole request"], **found, **MORE}


def command(line: str) -> str:
    """What is typed: the picture's file in the folder of images, at the gallery's resolution."""
    words, _, name = line.rpartition(" -o ")
    look = "" if "--dpi" in words else f" {LOOK}"
    return f"roofline plot {words}{look} -o docs/images/{name}.png"


def pictures(page: str) -> list[tuple[str, str, str]]:
    """The alternative text, the file and the command of each picture of the gallery."""
    return re.findall(r"!\[([^\]]+)\]\(images/([^)]+)\)\n\n    (roofline plot .+)\n", page)


def test_every_picture_is_there_with_its_command_and_no_other() -> None:
    found = pictures(GALLERY.read_text())
    assert [typed for _, _, typed in found] == [command(line) for part in sections().values() for line in part.values()]
    for _, file, typed in found:
        assert shlex.split(typed)[-1] == f"docs/images/{file}"
        assert (IMAGES / file).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in IMAGES.iterdir()} == {file for _, file, _ in found}


def each_picture() -> list[Any]:
    """One parameter a picture; all but the first of each kind are drawn in the long run alone."""
    found = pictures(GALLERY.read_text()) if GALLERY.exists() else []
    first = {shlex.split(typed)[2]: file for _, file, typed in reversed(found)}.values()
    return [pytest.param(p, id=p[1], marks=() if p[1] in first else pytest.mark.slow) for p in found]


@pytest.mark.parametrize("picture", each_picture())
def test_the_words_are_those_of_the_command(picture: tuple[str, str, str], tmp_path: Path) -> None:
    words, file, typed = picture
    assert answer(*shlex.split(typed)[1:-1], str(tmp_path / file)).strip() == words


if __name__ == "__main__":
    text = [HEAD]
    IMAGES.mkdir(exist_ok=True)
    for old in IMAGES.iterdir():
        old.unlink()
    for title, part in sections().items():
        text.append(f"\n## {title}\n")
        for shows, line in part.items():
            typed = command(line)
            target = shlex.split(typed)[-1]
            words = run(typed).strip()
            text.append(
                f"\n### {shows[0].upper()}{shows[1:]}\n\n![{words}]({target.removeprefix('docs/')})\n\n    {typed}\n"
            )
    GALLERY.write_text("".join(text))
