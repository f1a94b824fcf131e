"""Which models of the library are meant: by name, family, kind, parameters, and whether they have experts."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.errors import ConfigError, UnitError, UsageError, shown
from roofline.models.families import FAMILIES
from roofline.models.families.seeing import PERCEIVING
from roofline.models.model import Model
from roofline.models.near_names import by_kind, like_name
from roofline.models.shapes.decoder_config import DecoderConfig
from roofline.options.words import ModelKind
from roofline.units import parse_count

_FEWEST = 1000
"""No network has fewer parameters: 7 is meant as 7B."""
_EXPECTED = 'expected a range such as "7B..80B", "7B.." or "..80B"'


def has_experts(model: Model) -> bool:
    """Whether any of its layers is a mixture of experts."""
    config = model.config
    return isinstance(config, DecoderConfig) and any(layer.experts for layer in config.layers)


def parse_range(text: str) -> tuple[int, int | None]:
    """The fewest and the most parameters that a range allows, both included; None where it has no end.

    Raises UsageError, in one line, for anything else.

    >>> parse_range("7B..80B"), parse_range("500M..")
    ((7000000000, 80000000000), (500000000, None))
    """
    ends = text.split("..")
    if len(ends) != 2 or not any(ends):
        msg = f"--parameters: given {shown(text)}, {_EXPECTED}"
        raise UsageError(msg)
    try:
        least, most = (parse_count(end.replace("b", "B").replace("B", "G")) if end else None for end in ends)
    except UnitError:
        msg = f"--parameters: given {shown(text)}, {_EXPECTED}"
        raise UsageError(msg) from None
    if bare := [end for end, number in zip(ends, (least, most), strict=True) if number and number < _FEWEST]:
        msg = f"--parameters: given {shown(text)}, whose {bare[0]} has no unit; {_EXPECTED}"
        raise UsageError(msg)
    if most is not None and (least or 0) > most:
        msg = f"--parameters: given {shown(text)}, a range that ends before it begins; {_EXPECTED}"
        raise UsageError(msg)
    return least or 0, most


def select(
    models: Sequence[Model],
    *,
    text: str | None = None,
    family: str | None = None,
    parameters: str | None = None,
    kind: ModelKind | None = None,
    experts: bool = False,
) -> list[Model]:
    """Those of ``models`` that are meant, in their order; a criterion that is None leaves all.

    ``text`` is a part of a name or of a family, ``family`` a whole ``model_type``, ``parameters`` a range of their
    number. Raises UsageError for a family or a range that cannot be, and ConfigError where nothing is left.
    """
    if family is not None and family not in FAMILIES and family not in PERCEIVING:
        kinds = {model.model_type: model.kind for model in models}
        like = like_name(
            family, {each: each for each in (*FAMILIES, *PERCEIVING)}, lambda _: 0.0, lambda: by_kind(kinds)
        )
        msg = f"--family: {shown(family)} is not modelled; {like}"
        raise UsageError(msg)
    least, most = parse_range(parameters) if parameters is not None else (None, None)
    found = [
        model
        for model in models
        if (text is None or text.lower() in f"{model.name} {model.model_type}".lower())
        and family in (None, model.model_type)
        and kind in (None, model.kind)
        and not (experts and not has_experts(model))
        and (least is None or least <= model.parameters)
        and (most is None or model.parameters <= most)
    ]
    if not found:
        asked = [f"has {text!r} in its name or family"] if text is not None else []
        asked += ["is what these flags ask for"] if family or parameters or kind or experts else []
        msg = f"no preset {' and '.join(asked)} (roofline models list)"
        raise ConfigError(msg)
    return found
