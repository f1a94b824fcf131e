"""The verb ``page``: the page and the JSON API on this machine, or the page as one file."""

from __future__ import annotations

from roofline.cli.console import progress_bar, refuse, tell, warn
from roofline.options.verbs.pictures import PageFlags

_OF_A_FILE = ("hardware", "models", "dtypes")
_SUCH_AS = {"models": "--models llama-3.1-8b,gpt2", "hardware": "--hardware h100,t4"}


def show_page(flags: PageFlags) -> None:
    """An answer to look at and to move, and a JSON API of the verbs, on this machine; or the page as one file."""
    if flags["output"] is not None:
        _write(flags)
        return
    if given := [name for name in _OF_A_FILE if flags.get(name) not in (None, False)]:
        refuse(f"--{given[0]} says what a file holds; name it with -o page.html, or choose on the page")
    from roofline.page.files import LESSON
    from roofline.page.server import serve

    page = LESSON if flags["lesson"] else ""
    serve(flags["port"], lambda address: _started(f"{address}{page}", opens=flags["open"]))


def show_tools() -> None:
    """The verbs as tools of agents, over the Model Context Protocol: standard input and output."""
    from roofline.page.tools import serve_tools

    serve_tools()


def _started(address: str, *, opens: bool) -> None:
    tell(f"{address} (stop with Ctrl-C)")
    if opens:
        import webbrowser

        webbrowser.open(address)


def _write(flags: PageFlags) -> None:
    """The page with recordings as one file, and what it holds."""
    from pathlib import Path

    from roofline.page.files import LESSON, PAGE
    from roofline.page.recorded import write_page
    from roofline.reports.prediction import quantity

    if missing := [name for name in ("models", "hardware") if flags.get(name) is None]:
        names = " and ".join(f"--{name}" for name in missing)
        such = " ".join(_SUCH_AS[name] for name in missing)
        refuse(f"{names} {'is' if len(missing) == 1 else 'are'} missing: what the file is to hold, such as {such}")
    path = Path(flags["output"] or "")
    with progress_bar("record") as advance:
        models, hardware, dtypes = (_names(flags[name]) for name in ("models", "hardware", "dtypes"))
        found = write_page(path, models, hardware, dtypes, advance, page=LESSON if flags["lesson"] else PAGE)
    for why in dict.fromkeys(found.refused.values()):
        warn(why)
    recordings = "1 recording" if found.recordings == 1 else f"{found.recordings} recordings"
    tell(f"{path}: {recordings}, {quantity(path.stat().st_size, 'bytes')}")


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]
