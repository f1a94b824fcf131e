"""What a quantization_config is read into, and the parts that are spelled alike in many of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from roofline.classes import frozen
from roofline.compression.modules import Modules
from roofline.errors import shown
from roofline.models.checkpoints.schemes import PLAIN

Options = Mapping[str, Any]
EVERY = Modules(("re:.*",))


@frozen
class Stored:
    """The scheme of most modules, the KV cache's word, and modules of a scheme of their own, the first match first."""

    scheme: str
    cache: str = ""
    rules: tuple[tuple[Modules, str], ...] = ()

    @property
    def recipe(self) -> str:
        """The words of the whole."""
        return "+".join(word for word in (self.scheme, self.cache) if word)


def left_alone(options: Options) -> tuple[tuple[Modules, str], ...]:
    """The rule of the modules that stay in 16 bits, under whatever name the options have them."""
    found: list[str] = []
    for name in _LEFT_ALONE:
        given = options.get(name) or ()
        found += [_name(name, each) for each in ([given] if isinstance(given, str) else listed(name, given))]
    return named(found, PLAIN)


def _name(option: str, given: Any) -> str:
    if not isinstance(given, str):
        msg = f"{option} that holds {shown(given)}, expected names of modules,"
        raise ValueError(msg)  # noqa: TRY004
    return given


def named(names: Iterable[str], scheme: str) -> tuple[tuple[Modules, str], ...]:
    """The rule that modules of these names have this scheme."""
    return ((Modules(tuple(dict.fromkeys(names))), scheme),)


_LEFT_ALONE = (
    "ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "exclude", "llm_int8_skip_modules",
    "skip_modules",
)  # fmt: skip


def listed(name: str, given: Any) -> Iterable[Any]:
    """An option that is a list. Raises ValueError for anything else."""
    if not isinstance(given, (list, tuple)):
        msg = f"{name} {shown(given)}, expected a list of modules,"
        raise ValueError(msg)  # noqa: TRY004  (one error for whatever a field holds)
    return given


def mapping(name: str, given: Any) -> Options:
    """An option that is a mapping. Raises ValueError for anything else."""
    if not isinstance(given, Mapping):
        msg = f"{name} {shown(given)}, expected a mapping,"
        raise ValueError(msg)  # noqa: TRY004
    return given
