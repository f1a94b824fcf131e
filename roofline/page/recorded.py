"""The page as one file: its modules, its style and recordings, which asks nothing of anyone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from roofline.classes import frozen
from roofline.errors import RooflineError, UsageError
from roofline.files.atomic import atomic_writer, check_writable
from roofline.models.model import load_preset
from roofline.page.asked import Pairs, hardware_asked
from roofline.page.files import MODULES, PAGE, STARTS, assets
from roofline.page.questions import Json
from roofline.page.views import library, operator, shown, taped
from roofline.prediction.fleet import fleet_of


@frozen
class Written:
    """What a file holds: how many recordings, and which were refused, and why."""

    recordings: int
    refused: dict[str, str]


def write_page(
    path: Path,
    models: Sequence[str],
    hardware: Sequence[str],
    dtypes: Sequence[str],
    advance: Callable[[str, float], None] = lambda what, share: None,
    page: str = PAGE,
) -> Written:
    """Write a page with a recording of each model on each hardware in each format; no ``dtypes``: their own.

    ``page`` is one of ``files.STARTS``. Each recording is a request of 2048 tokens in and 256 out, or as many as the
    model takes, and of what decodes a step beside it. What a device refuses is said on the page; a model, a device or
    a format that all refuse is an error. ``advance`` is told what is recorded, and which part is done. Raises
    UsageError, for a name that nothing has before anything is recorded, and, where nothing can be written, SpecError.
    """
    if path.suffix != ".html":
        msg = f"--output {path}: expected FILE.html"
        raise UsageError(msg)
    check_writable(path)
    _check_names(models, hardware)
    keys = list(product(models, hardware, dtypes or [""]))
    found: dict[str, Json] = {}
    refused: dict[str, str] = {}
    for done, key in enumerate(keys):
        name = "|".join(key)
        try:
            found[name] = _recording(*key)
            if "tpot_s" in (answer := found[name]["answer"]):
                found[f"{name}|context"] = _recording(*key, context=answer["inputs"]["prompt"])
        except RooflineError as failure:
            refused[name] = str(failure)
        advance(" ".join(key), (done + 1) / len(keys))
    _check_each(keys, found, refused)
    with atomic_writer(path) as file:
        file.write(_page(page, _whole(found, refused, models, hardware, dtypes)))
    return Written(sum(each.count("|") == 2 for each in found), refused)


def _check_names(models: Sequence[str], hardware: Sequence[str]) -> None:
    """Raises UsageError for one that nothing has."""
    try:
        for name in models:
            load_preset(name)
        for name in hardware:
            fleet_of(hardware_asked([("hardware", name)]))
    except RooflineError as failure:
        raise UsageError(str(failure)) from None


def _check_each(keys: Sequence[tuple[str, ...]], found: Collection[str], refused: Mapping[str, str]) -> None:
    """Raises UsageError for a name with which nothing was recorded: it is of no use here."""
    for place, name in sorted({pair for key in keys for pair in enumerate(key)}):
        own = ["|".join(key) for key in keys if key[place] == name]
        if not any(key in found for key in own):
            raise UsageError(refused[own[0]])
    if not keys:
        msg = "nothing to record; name models and hardware"
        raise UsageError(msg)


def _recording(model: str, hardware: str, dtype: str, context: int | None = None) -> Json:
    """An answer, of a request or of a decode step, its roofs and its tape for the layout that it has."""
    asked: list[tuple[str, str]] = [("model", model), ("hardware", hardware), *([("dtype", dtype)] if dtype else [])]
    asked += [] if context is None else [("context", str(context))]
    found = shown(asked)
    layout = found["answer"].get("layout", {})
    return {**found, "tape": taped([*asked, *((name, str(degree)) for name, degree in layout.items())])}


def _whole(
    found: dict[str, Json],
    refused: dict[str, str],
    models: Sequence[str],
    hardware: Sequence[str],
    dtypes: Sequence[str],
) -> Json:
    """All that a file holds, packed one by one: a browser unpacks what it shows."""
    every = library([])
    first = dict(zip(("model", "hardware", "dtype"), next(iter(found)).split("|"), strict=True))
    names = {str(each["answer"]["model"]) for each in found.values()}
    return {
        "library": {
            "models": [each for each in every["models"] if each["name"] in {*names, *models}],
            "hardware": [{"name": name} for name in hardware],
            "systems": [],
            "engines": every["engines"],
            "dtypes": list(dtypes),
            "first": first,
        },
        "records": {key: _packed(each) for key, each in found.items()},
        "operators": {key: _packed(each) for key, each in _operators(found)},
        "refused": refused,
    }


def _operators(found: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """The formulas of every operator, of each model as each engine runs it in each format."""
    seen = set()
    for each in found.values():
        answer = each["answer"]
        key = (answer["model"], answer["inputs"]["engine"], answer["inputs"]["dtype"])
        if key not in seen:
            seen.add(key)
            model, engine, dtype = key
            asked = [("model", model), ("engine", engine), ("dtype", dtype)]
            yield "|".join(key), dict(_formulas(asked, answer))


def _formulas(asked: Pairs, answer: Json) -> Iterator[tuple[str, Json]]:
    for phase, told in answer["phases"].items():
        for name in (each["name"] for each in told["operators"]):
            try:
                yield f"{phase}.{name}", operator([*asked, ("phase", phase), ("op", name)])
            except RooflineError:  # what devices exchange, what the host does: no operator of the model's statement
                continue


def _packed(found: Json) -> str:
    text = json.dumps(found, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _page(name: str, whole: Json) -> str:
    """A page with everything inside it, behind a policy that lets nothing else run or load."""
    script, style = joined(name), assets()["page.css"].decode()
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    icon = base64.b64encode(assets()["icon.svg"]).decode()
    data = json.dumps(whole, allow_nan=False).replace("<", "\\u003c")
    charset, guard = '<meta charset="utf-8">', f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    inside = f'<script type="application/json" id="recorded">{data}</script>\n<script type="module">{script}</script>\n'
    parts = {
        charset: f"{charset}\n{guard}",
        '<link rel="icon" href="icon.svg">': f'<link rel="icon" href="data:image/svg+xml;base64,{icon}">',
        '<link rel="stylesheet" href="page.css">': f"<style>{style}</style>",
        f'<script type="module" src="{STARTS[name]}.js"></script>\n': "",
        "</body>": f"{inside}</body>",
    }
    page = assets()[name].decode()
    for there, instead in parts.items():
        assert page.count(there) == 1, there
        page = page.replace(there, instead)
    return page


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


_IMPORT = re.compile(r'^import (?:\* as (\w+)|(\{[^}]*\})) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def joined(page: str = PAGE) -> str:
    """The modules that a page needs as one, each a function that returns what it exports."""
    texts = {name: assets()[f"{name}.js"].decode() for name in (*MODULES, STARTS[page])}
    needed = {STARTS[page]}
    for name in reversed(texts):  # each stands after those that it imports
        if name in needed:
            needed |= {found[3] for found in _IMPORT.finditer(texts[name])}
    return "\n".join(_enclosed(name, text) for name, text in texts.items() if name in needed)


def _enclosed(name: str, text: str) -> str:
    exported = [found[2] for found in _EXPORT.finditer(text)]
    body = _EXPORT.sub(r"\1", _IMPORT.sub(lambda found: f"const {found[1] or found[2]} = {found[3]}_;", text))
    return f"const {name}_ = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();"
