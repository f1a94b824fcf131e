"""What to say of a name that no model has: those of its family that are nearest in size, else what is known by kind."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from roofline.classes import frozen
from roofline.errors import ConfigError
from roofline.models.sources import (
    UnknownModelError,
    generator_names,
    own_names,
    plugin_models,
    preset_names,
    trace_names,
)

_MISSPELT = 0.85
"""How alike two names with the same digits are where one is meant by the other."""

_SAME_FAMILY = 0.7
"""How alike two words are where one is a misspelling of the other: lama and llama, not qwen and swin."""

_AS_LARGE = 0.35
"""Sizes within this factor, as a power of two, count as the same one: 7B, 8B and 9B."""

_SHOWN = 4
_EXAMPLES = 3
_UNITS = {"m": 1e6, "b": 1e9, "t": 1e12}
_SIZE = re.compile(r"([a-z]?)(?:(\d+)x)?(\d+(?:\.\d+)?)([mbt])")
_GENERATION = re.compile(r"[a-z]?(\d+(?:\.\d+)?)[a-z]?")


@frozen
class Reading:
    """A model's name, taken apart: its family, generation, size in parameters, and the other words of it.

    None where the name does not say.
    """

    family: str
    generation: float | None
    size: float | None
    words: frozenset[str]


def read_name(name: str) -> Reading:
    """A name as family, generation, size and words.

    A number of active parameters (``a3b``) is none of these, and ``8x7b`` is as large as eight of 7B.

    >>> reading = read_name("Qwen3-Coder-30B-A3B")
    >>> reading.family, reading.generation, reading.size, sorted(reading.words)
    ('qwen', 3.0, 30000000000.0, ['coder'])
    """
    first, *rest = re.split(r"[-_ ]", name.lower().rpartition("/")[2])
    family = (re.match(r"[a-z]*", first) or [""])[0]
    generation = size = None
    words = set()
    for token in filter(None, (first[len(family) :], *rest)):
        if sized := _SIZE.fullmatch(token):
            letter, experts, number, unit = sized.groups()
            if letter != "a" and size is None:
                size = int(experts or 1) * float(number) * _UNITS[unit]
        elif generation is None and (numbered := _GENERATION.fullmatch(token)):
            generation = float(numbered[1])
        else:
            words.add(token)
    return Reading(family, generation, size, frozenset(words))


def like_name(name: str, known: Mapping[str, str], size_of: Callable[[str], float], kinds: Callable[[], str]) -> str:
    """The end of an error about an unknown name.

    It names the one that is meant where it is misspelt; else those of its family that are nearest in size, the newest
    generation first; else what is known, by kind.

    ``known``: each name and the network that it is of, which is named once; ``size_of``: parameters of a known model
    whose name does not say; ``kinds``: what is known, as :func:`by_kind` says.

    >>> names = {each: each for each in ("llama-2-7b", "llama-2-70b", "llama-3.1-8b", "llama-3.1-70b", "phi-2")}
    >>> like_name("llama5-8b", names, lambda name: 3e9, str)
    'nearest of its family: llama-3.1-8b, llama-2-7b, llama-3.1-70b or llama-2-70b'
    >>> like_name("lama-2-7b", names, lambda name: 3e9, str)
    'did you mean llama-2-7b?'
    """
    import difflib  # noqa: PLC0415  (costs start-up only where something is wrong)

    names, given = sorted(known), name.lower()
    close = difflib.get_close_matches(given, names, n=3, cutoff=_MISSPELT)
    if meant := [each for each in close if _numbers(each) == _numbers(given)]:
        return f"did you mean {meant[0]}?"
    asked, readings = read_name(name), {each: read_name(each) for each in names}
    families = {reading.family for reading in readings.values()}
    alike = [asked.family] if asked.family in families else []
    alike = alike or difflib.get_close_matches(asked.family, families, n=1, cutoff=_SAME_FAMILY)
    if not alike or not asked.family:
        return kinds()
    members = {each: reading for each, reading in readings.items() if reading.family == alike[0]}
    if asked.size is not None:
        members = {each: replace(own, size=own.size or size_of(each)) for each, own in members.items()}
    return f"nearest of its family: {_either(_once(_nearest(asked, members), known))}"


def hint(unknown: UnknownModelError, kind_of: Callable[[str], str], size_of: Callable[[str], float]) -> ConfigError:
    """The error about a name that no model has, with what is near it, or else what is known.

    ``kind_of``, ``size_of``: of a model by its name; the second is in parameters.
    """
    recorded = {**dict.fromkeys(trace_names(), "traced"), **dict.fromkeys(generator_names(), "generator")}
    known = {each: each for each in (*preset_names(), *plugin_models(), *recorded)}

    def kinds() -> str:
        return by_kind({**{each: kind_of(each) for each in preset_names()}, **recorded})

    like = like_name(unknown.name, {**known, **own_names()}, size_of, str if unknown.elsewhere else kinds)
    return ConfigError(f"{unknown}; {like} (roofline models list)" if like else str(unknown))


def by_kind(kinds: Mapping[str, str]) -> str:
    """Names by their kind, the commonest kind first: how many, and the families that most of them are of.

    >>> by_kind({"llama-2-7b": "decoder", "llama-2-13b": "decoder", "phi-2": "decoder", "bert-base": "encoder"})
    'known by kind: 3 decoder (llama, phi), 1 encoder (bert)'
    """
    counted = Counter(kinds.values())
    shown = []
    for kind, count in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])):
        families = Counter(read_name(name).family for name, own in kinds.items() if own == kind)
        common = sorted(families, key=lambda family: (-families[family], family))
        more = " ..." if len(common) > _EXAMPLES else ""
        shown.append(f"{count} {kind} ({', '.join(common[:_EXAMPLES])}{more})")
    return f"known by kind: {', '.join(shown)}"


def _nearest(asked: Reading, members: Mapping[str, Reading]) -> list[str]:
    """Names of a family, those first that share most words; then by generation and size, as far as they are asked.

    The generation that is asked for comes first where there is one, else the newest.
    """
    has_it = any(own.generation == asked.generation for own in members.values())

    def rank(name: str) -> tuple[int, bool, int, float, int, float, str]:
        own = members[name]
        off = abs(math.log2(own.size / asked.size)) if own.size and asked.size else 0.0
        return (
            -len(own.words & asked.words),
            has_it and own.generation != asked.generation,
            int(off / _AS_LARGE),
            -(own.generation or 0.0),
            len(own.words - asked.words),
            off,
            name,
        )

    return sorted(members, key=rank)


def _once(names: list[str], known: Mapping[str, str]) -> list[str]:
    """The first names, one of each network."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(known[name], name)
    return list(first.values())[:_SHOWN]


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _numbers(name: str) -> str:
    return "".join(letter for letter in name if letter.isdigit())
