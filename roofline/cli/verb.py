"""Verbs as commands: flags built from their definitions in ``roofline.options``, and the help that shows them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

import click

from roofline.classes import frozen
from roofline.cli.completion import completed
from roofline.cli.console import tell
from roofline.errors import UsageError
from roofline.options.edits import read_edit
from roofline.options.option import Field, fields_of, typed_number
from roofline.options.verbs.titled import GROUPS


@frozen
class Argument:
    """What stands without a flag: its name and its help.

    ``completes`` names whose names a shell offers for it, ``words`` are what it offers.
    """

    name: str
    help: str
    optional: bool = False
    many: bool = False
    completes: str = ""
    words: tuple[str, ...] = ()


_HYPHEN = "\ue000"
"""Stands for the hyphen of a word while a help is broken into lines, which click would do there too."""


class _Formatter(click.HelpFormatter):
    """Help whose lines break between words alone: ``torch-compile`` stays whole."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(first, _kept(text)) for first, text in rows], col_max, col_spacing)

    def write_text(self, text: str) -> None:
        super().write_text(_kept(text))

    def getvalue(self) -> str:
        return super().getvalue().replace(_HYPHEN, "-")


def _kept(text: str) -> str:
    return re.sub(r"(?<=\w)-(?=\w)", _HYPHEN, text)


class _Context(click.Context):
    formatter_class = _Formatter


class Verb(click.Command):
    """A command whose flags come from a definition: the everyday ones in ``--help``, all in ``--help-all``.

    ``run`` is called with its arguments by name and all ``flags`` as one mapping, which is of the type ``flags``; as
    ``module:name`` of this folder it is imported where it is called, or its help is shown.
    ``answer`` is where its JSON is declared, ``module:name``, which ``--json-schema`` prints. Of the flags ``several``
    each takes a list of numbers, too. Help ends in the ``examples`` and in the exit codes, with those of its own.
    """

    context_class = _Context

    def __init__(
        self, run: Callable[..., None] | str, flags: type | None, *arguments: Argument, answer: str = "",
        several: Collection[str] = (), examples: tuple[str, ...] = (), exits: str = "",
    ) -> None:  # fmt: skip
        self.arguments, self.answer, self._definition, self._several = arguments, answer, flags, several
        self.examples, self._exits, self._run = examples, exits, run
        super().__init__("", callback=self._called, options_metavar="[FLAGS]")

    @cached_property
    def _fields(self) -> tuple[Field, ...]:
        return tuple(fields_of(self._definition)) if self._definition else ()

    @cached_property
    def flags(self) -> tuple[Field, ...]:
        """The flags that help shows."""
        return tuple(field for field in self._fields if not field.option.hidden)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its arguments and options, built when they are first asked for: a command runs one verb of many."""
        self.params = self.params or self._declared()
        return super().get_params(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises UsageError for a flag of one value that is given twice, of which click would take the last."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args([*args])
            for param, count in Counter(given).items():
                if count > 1 and isinstance(param, click.Option) and not (param.multiple or param.is_flag):
                    self._refuse_twice(param, count)
        return super().parse_args(ctx, args)

    def _refuse_twice(self, param: click.Option, count: int) -> NoReturn:
        (field,) = (each for each in self._fields if each.name == param.name)
        msg = f"{field.flags[0]} is given {count} times; give it once: {field.option.help}"
        raise UsageError(msg)

    def _declared(self) -> list[click.Parameter]:
        params: list[click.Parameter] = [
            click.Argument(
                [each.name],
                required=not each.optional,
                nargs=-1 if each.many else 1,
                shell_complete=completed(each.completes or each.name, each.words),
            )
            for each in self.arguments
        ]
        params += (_option(field, several=field.name in self._several) for field in self.flags)
        if any(not field.option.everyday for field in self.flags):
            params.append(click.Option(["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=_all))
        return [*params, *(self._asking_for_schema(field) for field in self._fields if field.option.hidden)]

    def _asking_for_schema(self, field: Field) -> click.Option:
        """The flag that prints the schema of the verb's JSON, without arguments too."""
        assert self.answer, "what prints JSON declares it"
        return click.Option(
            field.flags, is_flag=True, is_eager=True, expose_value=False, hidden=True, callback=self._schema
        )

    def _schema(self, context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            from roofline.schema import schema_of

            tell(json.dumps(schema_of(declared(self.answer)), indent=2))
            context.exit()

    @cached_property
    def run(self) -> Callable[..., None]:
        """What it does, imported where it is named."""
        found: Callable[..., None] = declared(f"cli.{self._run}") if isinstance(self._run, str) else self._run
        return found

    def _called(self, **given: Any) -> None:
        """``run`` after its words were checked. Raises UsageError for a strange one."""
        flags = {field.name: _value(field, given.pop(field.name)) for field in self.flags}
        try:
            self.run(**given, **({"flags": flags} if self.flags else {}))
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None

    def get_short_help_str(self, limit: int = 45) -> str:
        """The line that a list of verbs has of it."""
        self.help = self.run.__doc__
        return super().get_short_help_str(limit)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What it does, above its flags."""
        self.help = self.run.__doc__
        super().format_help_text(ctx, formatter)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Arguments and everyday flags; with ``--help-all`` every flag, group by group."""
        if self.arguments:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_dl([(each.name.upper(), each.help) for each in self.arguments], col_max=20)
        titled = grouped(self.flags)
        if context.meta.get("all"):
            for title, fields in titled.items():
                with formatter.section(title):
                    formatter.write_dl([(spelled([field]), field.text) for field in fields], col_max=33)
            self._close(formatter)
            return
        everyday = [field for fields in titled.values() for field in fields if field.option.everyday]
        with formatter.section("Flags"):
            formatter.write_dl([*_lines(everyday), ("--help", "This help.")], col_max=33)
        if more := len(self.flags) - len(everyday):
            formatter.write_paragraph()
            formatter.write_text(f"--help-all shows {more} more.")
        self._close(formatter)

    def _close(self, formatter: click.HelpFormatter) -> None:
        """Examples, which can be pasted, and exit codes."""
        if self.examples:
            from roofline.reports.width import pasteable

            formatter.write("\nExamples:\n")
            for each in self.examples:
                formatter.write("".join(f"{line}\n" for line in pasteable(f"  roofline {each}", formatter.width)))
        if self.flags:
            formatter.write_paragraph()
            own = f"{self._exits}, " if self._exits else ""
            formatter.write_text(f"Exit codes: 0 answered, 2 a wrong flag, 3 refused, {own}7 an extra is missing.")


class Verbs(click.Group):
    """Verbs under the titles of their panels; ``page``, where there is one, is its help from the names in them."""

    context_class = _Context

    def __init__(self, *given: Any, page: Callable[[dict[str, list[str]]], str] | None = None, **more: Any) -> None:
        super().__init__(*given, **more)
        self.panels: dict[str, list[str]] = {}
        self._page = page

    def get_help(self, ctx: click.Context) -> str:
        """Its page, else its verbs with a line each."""
        return super().get_help(ctx) if self._page is None else self._page(self.panels)

    def add(self, panel: str, name: str, command: click.Command) -> None:
        """Add a verb under a title."""
        self.panels.setdefault(panel, []).append(name)
        self.add_command(command, name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs, panel by panel, a line each."""
        for panel, names in self.panels.items():
            with formatter.section(panel):
                lines = [(name, self.commands[name].get_short_help_str(limit=200)) for name in names]
                formatter.write_dl(lines)


def declared(answer: str) -> Any:
    """What a verb's JSON is declared as, by ``module:name``."""
    module, _, name = answer.partition(":")
    return getattr(import_module(f"roofline.{module}"), name)


def _all(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        context.meta["all"] = True
        click.echo(context.get_help())
        context.exit()


def _value(field: Field, given: Any) -> Any:
    """What a flag means: its default where it is absent. Raises UsageError for a word that it does not take."""
    if field.option.many:
        return dict(read_edit(text, field.flags[0]) for text in given)
    value = field.option.default if given is None else given
    field.check(value)
    return value


def _numbers(name: str) -> Callable[[str], Any]:
    """What reads a flag's number, or several, 1,8,64 or 1..512:log2, as a tuple. Raises UsageError for none."""

    def numbers(text: str) -> Any:
        try:
            return typed_number(text, int)
        except ValueError:
            from roofline.sweeps.axes import read_axis

            found = read_axis(f"--{name}", text)
            return found if len(found) > 1 else found[0]

    return numbers


def _number(kind: type[int] | type[float], word: str) -> Callable[[str], Any]:
    """What reads a flag's one number; a usage error for anything else."""

    def number(text: str) -> Any:
        try:
            return typed_number(text, kind)
        except ValueError:
            msg = f"{text[:60]!r} is not a valid {word}."
            raise click.BadParameter(msg) from None

    return number


def _option(field: Field, *, several: bool) -> click.Option:
    """The flag of a definition, which is None where nobody gives it."""
    own = [kind for kind in field.kinds if kind is not NoneType]
    words = [*field.flags, field.name]
    if field.option.many:
        return click.Option(words, multiple=True)
    if own[0] is bool:  # an array of them has no flag
        return click.Option(words, is_flag=True, default=None)
    if several:
        return click.Option(words, type=_numbers(field.name))
    kind = click.Path(path_type=Path) if own == [Path] else _TYPES.get(tuple(own), click.STRING)
    return click.Option(words, type=kind, shell_complete=completed(field.name, field.words))


_TYPES: dict[tuple[Any, ...], Any] = {
    (int,): _number(int, "integer"),
    (float,): _number(float, "float"),
    (Any,): _number(int, "integer"),
}
"""What a flag is read as, where not as text."""


def _lines(fields: Iterable[Field]) -> Iterator[tuple[str, str]]:
    """Flags and their help; those that share a line on one."""
    for line, some in groupby(fields, key=lambda field: field.option.line or field.name):
        together = list(some)
        usual = together[0].option.usual
        several = len(together) > 1
        flags, text = spelled(together), f"{line}  [default: {usual}]" if several else together[0].text
        if len(flags) > _LONGEST:  # words that would take a line of their own stand in the text
            words = together[0].words
            flags, text = flags.replace("|".join(words), together[0].name.upper()), f"{', '.join(words)}. {text}"
        yield flags, text


_LONGEST = 60
"""Columns that a flag takes with its words, at most."""


def spelled(fields: list[Field]) -> str:
    """Flags with what they take: ``--tp --pp N``, ``--lm-head last|all``."""
    field = fields[0]
    taken = "|".join(field.words) or field.option.metavar or ("" if bool in field.kinds else "N")
    return " ".join([*(flag for each in fields for flag in each.flags), taken]).rstrip()


def grouped(fields: Iterable[Field]) -> dict[str, list[Field]]:
    """Flags under the titles of their groups; those of one verb alone after its hardware."""
    titles = {(field.name, field.option): str(group.__doc__) for group in GROUPS for field in fields_of(group)}
    found: dict[str, list[Field]] = {"Hardware": [], "Of this verb": []}
    for field in fields:
        found.setdefault(titles.get((field.name, field.option), "Of this verb"), []).append(field)
    return {title: some for title, some in found.items() if some}
