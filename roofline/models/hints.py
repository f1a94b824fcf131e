"""What to say of a ``model_type`` that is not modelled: a misspelling, or which modelled ones read most of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roofline.errors import LONGEST, one_line
from roofline.models.families import FAMILIES
from roofline.models.families.family import INERT, Family

_MISSPELT = 0.85
"""How alike two names must be for one to be a misspelling: olmo3 and olmo2, llava and llama (0.8) are two networks."""

_MOST_UNREAD = 3
_FEWEST_FIELDS = 5


def nearest_types(model_type: str, fields: Mapping[str, Any]) -> str:
    """The end of an error about an unknown type.

    >>> nearest_types("lama", {})
    'did you mean llama?'
    >>> nearest_types("gemma4", {})
    'no modelled type has its fields (roofline models list)'
    """
    import difflib  # noqa: PLC0415  (costs start-up only where something is wrong)

    close = difflib.get_close_matches(model_type, FAMILIES, n=3, cutoff=_MISSPELT)
    if misspelt := [name for name in close if _digits(name) == _digits(model_type)]:
        return f"did you mean {misspelt[0]}?"
    inner = fields.get("text_config")
    stated = inner if isinstance(inner, Mapping) else fields
    unread = {name: _unread(family, stated) for name, family in FAMILIES.items()}
    fewest = min(len(lost) for lost in unread.values())
    if fewest > _MOST_UNREAD or len(stated) - fewest < _FEWEST_FIELDS:
        return "no modelled type has its fields (roofline models list)"
    near = [name for name, lost in unread.items() if len(lost) == fewest]
    near.sort(key=lambda name: -difflib.SequenceMatcher(None, name, model_type).ratio())
    but = f" but {', '.join(sorted(unread[near[0]]))}" if fewest else ""
    return f"nearest by its fields: {near[0] if fewest else ', '.join(near[:3])}{but}"


def types_of(architecture: str) -> str:
    """The modelled types whose network a class is, as words; nothing for a class that is not known.

    >>> types_of("Qwen3ForCausalLM"), types_of("LlamaForCausalLM"), types_of("MyModel")
    ('qwen3', 'llama, internlm3 or iquestcoder', '')
    """
    found = [name for name, family in FAMILIES.items() if architecture in family.classes]
    found.sort(key=lambda name: not architecture.lower().startswith(name))
    return " or ".join(filter(None, (", ".join(found[:-1]), *found[-1:])))


def _digits(name: str) -> str:
    return "".join(letter for letter in name if letter.isdigit())


def _unread(family: Family, fields: Mapping[str, Any]) -> set[str]:
    """The fields of a file that the family does not read."""
    known = family.by_own_name | set(family.rename) | family.consumed | family.inert | set(family.only) | INERT
    return {one_line(str(name))[:LONGEST] for name in fields if name not in known and name not in family.nested}
