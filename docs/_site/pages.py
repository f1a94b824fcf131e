"""Pages of the site that are made while it is built, from the one place where their facts stand.

The command line comes from its flags, Python from its docstrings, schemas from the verbs that print them; README,
CHANGELOG and CONTRIBUTING are those of the repository. ``demo.html`` is the page with recordings of the models and
devices that are asked about most, ``lesson.html`` the lesson: ROOFLINE_DEMO=small builds them of a few. Links that
leave ``docs/`` lead to the page that shows the file, or lose their target where none does. Formulas become MathML,
which browsers draw without a script.
"""

from __future__ import annotations

import inspect
import json
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import click
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import roofline
from roofline.cli.app import app
from roofline.cli.verb import Verb, declared, grouped, spelled
from roofline.engines.engine import Engine
from roofline.hardware.schema import json_schema
from roofline.page.files import LESSON, PAGE
from roofline.page.recorded import write_page
from roofline.schema import schema_of

ROOT = Path(__file__).resolve().parents[2]
COPIED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "hardware_specs/README.md": "reference/hardware-specs.md",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_CODE = re.compile(r"(?ms)^( *)```.*?^\1```|`[^`\n]*`")
_MATH = re.compile(r"\$([^$\n]+)\$")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated."""
    made = {
        **{page: (ROOT / file).read_text() for file, page in COPIED.items()},
        "reference/command-line.md": command_line(),
        "reference/python.md": python(),
        "reference/schemas.md": schemas(),
        "reference/examples.md": examples(),
        **{f"reference/schemas/{name}.json": json.dumps(each, indent=2) for name, each in written_schemas().items()},
        **demonstrations(),
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


DEMO = (
    "llama-3.1-8b,llama-3.3-70b,qwen3-8b,qwen3-32b,qwen3-30b-a3b,gemma-3-27b,mistral-small-3.2-24b,phi-4,gpt-oss-20b,"
    "gpt-oss-120b,glm-4.5-air,deepseek-v3",
    "h100,h200,b200,8xh100,a100,l40s,l4,t4,rtx-3090,rtx-4090,rtx-5090,mi300x",
    "bf16,fp8,w4a16",
)
FEW = ("llama-3.1-8b", "rtx-4090,h100", "w4a16")
LESSON_OF = ("gpt2,llama-3.1-8b", "t4,rtx-4090,h100", "fp16")


def demonstrations() -> dict[str, str]:
    """The page and the lesson as files, which ask nothing of anyone."""
    small = os.environ.get("ROOFLINE_DEMO") == "small"
    made = {"demo.html": (FEW if small else DEMO, PAGE), "lesson.html": (FEW if small else LESSON_OF, LESSON)}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (names, page) in made.items():
            models, hardware, dtypes = (each.split(",") for each in names)
            write_page(Path(folder, name), models, hardware, dtypes, page=page)
            found[name] = Path(folder, name).read_text(encoding="utf-8")
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where things are on the site, and turn formulas into MathML, outside of code."""
    here = page.file.src_uri
    found = next((file for file, target in COPIED.items() if target == here), f"docs/{here}")

    def prose(text: str) -> str:
        return _MATH.sub(lambda each: convert(each.group(1)), text)

    parts, last = [], 0
    linked = _LINK.sub(lambda each: _led(each, found, here, files), markdown)
    for code in _CODE.finditer(linked):
        parts += [prose(linked[last : code.start()]), code.group()]
        last = code.end()
    return "".join([*parts, prose(linked[last:])])


def _led(link: re.Match[str], file: str, here: str, files: Files) -> str:
    """A link of ``file`` as it reads on the page ``here``."""
    picture, text, target, anchor = link.groups()
    if not target or "://" in target or target.startswith("mailto:"):
        return link.group()
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file), target))
    page = COPIED.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
    if path.startswith("examples"):
        page, anchor = "reference/examples.md", f"#{_slug(posixpath.basename(path))}" if path.endswith(".py") else ""
    if not page or files.get_file_from_path(page) is None:
        return text  # a file of the repository that no page shows: its name remains
    return f"{picture}[{text}]({posixpath.relpath(page, posixpath.dirname(here) or '.')}{anchor or ''})"


def _slug(title: str) -> str:
    return re.sub(r"[^\w-]", "", title.lower())


def verbs(group: click.Group, before: str = "roofline") -> Iterator[tuple[str, Verb]]:
    """Every verb with the words that lead to it, in the order of the first page."""
    for names in getattr(group, "panels", {}).values():
        for name in names:
            command = group.commands[name]
            if isinstance(command, click.Group):
                yield from verbs(command, f"{before} {name}")
            elif isinstance(command, Verb):
                yield f"{before} {name}", command


def command_line() -> str:
    """Every verb, its arguments, its flags by group, examples."""
    lines = [
        "# Command line",
        "",
        "Every flag of every verb, as `--help-all` prints them. Exit codes: 0 answered, 2 a wrong flag, 3 refused,",
        "7 an extra is missing; a verb may have codes of its own.",
        "",
    ]
    for words, verb in verbs(app):
        lines += [f"## {words.removeprefix('roofline ')}", "", inspect.cleandoc(verb.help or ""), ""]
        arguments = " ".join(f"[{a.name.upper()}]" if a.optional else a.name.upper() for a in verb.arguments)
        lines += ["```text", f"{words} {arguments} [FLAGS]".replace("  ", " "), "```", ""]
        lines += [f"- `{each.name.upper()}`: {_escaped(each.help)}" for each in verb.arguments]
        for title, fields in grouped(verb.flags).items():
            lines += ["", f"**{title}**", "", "| flag | |", "|---|---|"]
            lines += [f"| {_coded(spelled([field]))} | {_escaped(field.text)} |" for field in fields]
        if verb.examples:
            lines += ["", "```sh", *(f"roofline {each}" for each in verb.examples), "```"]
        lines.append("")
    return "\n".join(lines)


def _coded(text: str) -> str:
    """Code in a cell of a table, where a backslash before a pipe would be printed."""
    return f"<code>{escape(text).replace('|', '&#124;')}</code>"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("$", "&#36;").replace("*", r"\*")


def python() -> str:
    """The names that the package offers, with their signatures and docstrings."""
    lines = ["# Python", "", "What `import roofline` offers. Every other name is internal and may change.", ""]
    for name in roofline.__all__:
        thing = getattr(roofline, name)
        lines += [f"## {name}", ""]
        if callable(thing) and not inspect.isclass(thing):
            lines += ["```python", _signature(name, inspect.signature(thing)), "```", ""]
        lines += [_docstring(inspect.getdoc(thing) or ""), ""]
        if inspect.isclass(thing):
            for member, each in vars(thing).items():
                plain = getattr(each, "func", getattr(each, "fget", each))
                if not member.startswith("_") and callable(plain) and getattr(plain, "__doc__", None):
                    call = "" if plain is not each else str(inspect.signature(plain)).partition(" ->")[0]
                    lines += [f"`{member}{call.replace('self, ', '').replace('self', '')}`"]
                    lines += [":   " + _docstring(inspect.getdoc(plain) or "").replace("\n", "\n    "), ""]
    return "\n".join(lines)


def _signature(name: str, signature: inspect.Signature) -> str:
    given = list(signature.parameters.values())
    parameters = [re.sub(r"typing\.|collections\.abc\.", "", str(each)) for each in given]
    star = next((i for i, each in enumerate(given) if each.kind is each.KEYWORD_ONLY), None)
    if star is not None:
        parameters.insert(star, "*")
    return f"{name}(\n" + "".join(f"    {each},\n" for each in parameters) + ")"


def _docstring(text: str) -> str:
    """A docstring as Markdown: doctests in fences, names in code."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`").replace("::\n", ":\n")
    doctests = re.compile(r"(?m)(?:^>>> .*\n?)(?:^\S.*\n?)*")
    return doctests.sub(lambda each: f"```python\n{each.group().rstrip()}\n```\n", text).strip()


def written_schemas() -> dict[str, Mapping[str, Any]]:
    """The JSON schemas by the name of their file."""
    answers = {
        words.removeprefix("roofline ").replace(" ", "-"): schema_of(declared(verb.answer))
        for words, verb in verbs(app)
        if verb.answer
    }
    return {"device": json_schema("device"), "system": json_schema("system"), "engine": schema_of(Engine), **answers}


def schemas() -> str:
    """What a spec and an engine may hold, field by field, and the schemas of the answers to download."""
    made = written_schemas()
    lines = [
        "# Schemas",
        "",
        "JSON schemas of the files that are read, and of what `--json` prints (`--json-schema` prints the same).",
        "An editor that knows YAML schemas checks a spec while it is typed.",
        "",
    ]
    made_by = {"device": "hardware schema", "system": "hardware schema system", "engine": "engines new my-engine"}
    for name, verb in made_by.items():
        lines += [f"## {name}", "", f"`roofline {verb}`, [{name}.json](schemas/{name}.json)", ""]
        lines += ["| field | |", "|---|---|"]
        for field, said in made[name].get("properties", {}).items():
            lines.append(f"| `{field}` | {_escaped(' '.join(str(said.get('description', '')).split()))} |")
        lines.append("")
    lines += ["## Answers", ""]
    lines += [f"- [{name}](schemas/{name}.json)" for name in made if name not in made_by]
    return "\n".join(lines) + "\n"


def examples() -> str:
    """The programs of ``examples/``."""
    lines = ["# Examples", ""]
    for each in sorted((ROOT / "examples").glob("*.py")):
        lines += [f"## {each.name}", "", "```python", each.read_text().rstrip(), "```", ""]
    return "\n".join(lines)
