"""Shell completion: the script of bash, zsh and fish, and the names that complete MODEL and the flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from roofline.cli.console import refuse, tell
from roofline.errors import near_matches

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")


def completion(shell: str) -> None:
    """The script that completes verbs, flags, models and hardware in bash, zsh or fish."""
    import click
    from click.shell_completion import get_completion_class

    if shell not in SHELLS:
        refuse(f"completion {shell!r}: {near_matches(shell, SHELLS)}")
    script = get_completion_class(shell)
    assert script is not None, shell
    whole = click.get_current_context().find_root().command
    tell(script(whole, {}, "roofline", "_ROOFLINE_COMPLETE").source())


def _models() -> Iterable[str]:
    from roofline.models.sources import plugin_models, preset_names

    return [*preset_names(), *plugin_models()]


def _subjects() -> Iterable[str]:
    from roofline.formulas.catalogue import LAYERS

    return [*LAYERS, *_models()]


def _hardware() -> Iterable[str]:
    from roofline.files.library import data_folder
    from roofline.hardware.library import device_files, read_index, system_files

    return sorted(
        {*read_index(data_folder("hardware_specs")), *(path.stem for path in (*device_files(), *system_files()))}
    )


def _engines() -> Iterable[str]:
    from roofline.engines.library import engine_names

    return engine_names()


NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "model": _models, "subject": _subjects, "hardware": _hardware, "engine": _engines,
}  # fmt: skip
"""What completes an argument or a flag, looked up when a shell asks."""


def completed(
    name: str, words: tuple[str, ...] = ()
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]] | None:
    """What completes an argument or a flag of this name: its ``words`` or names, else files; None where it has none."""
    if name not in NAMES and not words:
        return None

    def items(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        before, last = _split(name, typed)
        found = [CompletionItem(before + word) for word in words or NAMES[name]() if word.startswith(last.lower())]
        return found if found or not Path(last or ".").parent.is_dir() else [CompletionItem(typed, type="file")]

    return items


def _split(name: str, typed: str) -> tuple[str, str]:
    """What is complete already, a list and a count of devices, and what is being typed."""
    if name != "hardware":
        return "", typed
    head, comma, last = typed.rpartition(",")
    count, x, word = last.partition("x")
    counted = f"{count}x" if x and count.isdecimal() else ""
    return head + comma + counted, word if counted else last
