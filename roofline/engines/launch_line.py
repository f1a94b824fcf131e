"""A launch line of an engine: :class:`LaunchLine`, read from a command as it is typed, and written as one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from roofline.classes import frozen
from roofline.engines.launch_flags import Flag, LaunchFlags, launch_flags, launched_engines
from roofline.engines.options_file import in_file, read_options, written_options
from roofline.engines.said import Said, read_value, value_of
from roofline.errors import UsageError, near_matches, shown

MODEL = "MODEL"
"""The place of the model in a line whose program has no flag for it."""

_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_PYTHON = re.compile(r"(?:.*/)?python(?:3(?:\.[0-9]{1,2})?)?")


@frozen
class LaunchLine:
    """What a launch line says: the engine, the model, and what its flags mean, in the engine's own terms."""

    engine: str
    model: str
    said: tuple[tuple[str, Said], ...] = ()

    @property
    def by_meaning(self) -> dict[str, Said]:
        """Meaning -> what was said."""
        return dict(self.said)

    def __str__(self) -> str:
        """The command, its flags in the order of the engine's list.

        >>> str(LaunchLine("vllm", "my model", (("tp", 8), ("eager", True), ("chunked", False))))
        "vllm serve 'my model' --tensor-parallel-size 8 --enforce-eager --no-enable-chunked-prefill"
        """
        known, said = launch_flags(self.engine), self.by_meaning
        model = [known.model[0]] if known.model and not known.programs[0].endswith("serve") else []
        words = [*known.programs[0].split(), *model, self.model]
        elsewhere = {flag.means for flag in in_file(known, said).values()}
        for name, flag in known.flags.items():
            if flag.means in said and flag.means not in elsewhere:
                words += written(known, name, flag, said[flag.means])
        return shlex.join(words) + written_options(known, said)


def written(known: LaunchFlags, name: str, flag: Flag, value: Said) -> list[str]:
    """The words of a flag. Raises UsageError for a value that the engine has no word for."""
    if flag.switch:
        return [name] if value else [f"{known.negation or ''}{name.lstrip('-')}"] if known.negation else []
    return [name, str(value_of(known.name, name, flag, value))]


def read_launch_line(text: str) -> LaunchLine:
    """What the launch line of an engine says.

    Environment variables may stand before it, values behind an equals sign, lines end in backslashes. Raises UsageError
    that names it for a flag which the engine does not have, or which changes times or memory and is not modelled.

    >>> read_launch_line("HF_HOME=/hub vllm serve m -tp 8 --max-model-len=8k --port 80").said
    (('tp', 8), ('length', 8000))
    """
    try:
        words = shlex.split(text.replace("\\\n", " "))
    except ValueError as failure:
        msg = f"from: {shown(text)}: {str(failure).lower()}"
        raise UsageError(msg) from None
    variables, words = _without_variables(words)
    known, rest = _program(words)
    if strange := next((name for name in variables if name not in known.environment), None):
        msg = f"from: the environment variable {strange} may change times or memory, and is not modelled; leave it out"
        raise UsageError(msg)
    model, said = read_arguments(known, rest)
    if not model:
        flags = "".join(f", or {flag} MODEL" for flag in known.model[:1])
        msg = f"from: no model; expected {known.programs[0]} MODEL{flags}"
        raise UsageError(msg)
    return LaunchLine(known.name, model, tuple((each, said[each]) for each in known.meanings if each in said))


def read_arguments(known: LaunchFlags, words: list[str]) -> tuple[str, dict[str, Said]]:
    """The model that arguments name, empty for none, and what they say. Raises as ``read_launch_line`` does."""
    model, rest = "", list(words)
    said: dict[str, Said] = {}
    of_file: dict[str, Said] = {}
    for flag, value in _flags(known, rest):
        if known.file and flag == known.file.flag:
            of_file |= read_options(known, str(value), rest)
        elif flag in (known.model or [MODEL]):
            if model:
                msg = f"from: two models, {shown(model)} and {shown(value)}"
                raise UsageError(msg)
            model = str(value)
        else:
            _note(said, known, flag, value)
    return model, said | of_file


def _without_variables(words: list[str]) -> tuple[list[str], list[str]]:
    """The environment variables that stand before a command, and the command."""
    rest = words[1:] if words[:1] == ["env"] else words
    count = next((i for i, word in enumerate(rest) if not _VARIABLE.match(word)), len(rest))
    return [word.split("=")[0] for word in rest[:count]], rest[count:]


def _program(words: list[str]) -> tuple[LaunchFlags, list[str]]:
    """The engine that a command starts, and its arguments. Raises UsageError for a command of none."""
    folded = ["python" if i == 0 and _PYTHON.fullmatch(word) else word for i, word in enumerate(words)]
    every = [(known, program.split()) for known in map(launch_flags, launched_engines()) for program in known.programs]
    for known, program in sorted(every, key=lambda each: -len(each[1])):
        if folded[: len(program)] == program:
            return known, words[len(program) :]
    msg = f"from: {shown(' '.join(words[:3]))} starts no engine that is read; expected "
    raise UsageError(msg + ", ".join(" ".join(program) for _, program in every))


def _flags(known: LaunchFlags, rest: list[str]) -> Iterator[tuple[str, str | bool]]:
    """Flags with their values, the model with its first flag; those that change nothing left out.

    ``rest`` shrinks, and whoever takes a flag may take the words behind it.
    """
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            yield (known.model or [MODEL])[0], word
            continue
        name, equals, given = word.partition("=")
        name = _spelled(known, name)
        bare = _bare(known, name)
        takes, modelled = _takes(known, bare)
        if takes == "switch":
            if equals:
                msg = f"from: {name} takes no value, given {shown(given)}"
                raise UsageError(msg)
            value: str | bool = bare == name
        else:
            value = given if equals else _next(rest, name)
            while takes == "list" and rest and not rest[0].startswith("-"):
                rest.pop(0)
        if modelled:
            yield _chief(known, bare), value


def _chief(known: LaunchFlags, name: str) -> str:
    """A flag in its first spelling."""
    if known.file and name in known.file.also:
        return known.file.flag
    return known.spellings.get(name, name)


def _next(rest: list[str], name: str) -> str:
    """The value behind a flag. Raises UsageError where none follows."""
    if not rest or rest[0].startswith("--"):
        msg = f"from: {name} has no value"
        raise UsageError(msg)
    return rest.pop(0)


def _spelled(known: LaunchFlags, name: str) -> str:
    return name.replace("_", "-") if known.underscores and name.startswith("--") else name


def _bare(known: LaunchFlags, name: str) -> str:
    """A flag without the word that turns a switch off."""
    if known.negation and name.startswith(known.negation) and name not in known.known:
        return f"--{name.removeprefix(known.negation)}"
    return name


def _takes(known: LaunchFlags, name: str) -> tuple[str, bool]:
    """What follows a flag, and whether it is modelled. Raises UsageError for one that is not, or not known."""
    if name in known.model or (known.file and name in (known.file.flag, *known.file.also)):
        return "value", True
    if name in known.spellings:
        return "switch" if known.flags[known.spellings[name]].switch else "value", True
    if found := known.inert.takes(name):
        return found, False
    if known.refused.takes(name):
        msg = f"from: {name} of {known.name} {known.version} may change times or memory, and is not modelled"
        raise UsageError(msg)
    if known.whole:
        msg = f"from: {known.name} {known.version} has no flag {name}; {near_matches(name, known.known)}"
    else:
        msg = f"from: {name} is not modelled of {known.name} {known.version}; {near_matches(name, known.known)}"
    raise UsageError(msg)


def _note(said: dict[str, Said], known: LaunchFlags, flag: str, value: str | bool) -> None:
    """Keep what a flag says. Raises UsageError for a value that is none, or a flag that stands twice."""
    what = known.flags[flag]
    if what.means in said:
        msg = f"from: {flag} stands twice"
        raise UsageError(msg)
    said[what.means] = value if isinstance(value, bool) else read_value(flag, what, value, suffixes=known.suffixes)
