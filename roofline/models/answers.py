"""The JSON of ``models list`` and ``models show``, field by field."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from roofline.schema import Closed, Says


class FactAnswer(Closed):
    """What is told of a published model, and who says so."""

    value: Annotated[str, Says("a date, or the name of a licence")]
    source: Annotated[str, Says("who says so")]


class ModelAnswer(Closed):
    """A network."""

    name: Annotated[str, Says("name of the preset, or of the file")]
    model_type: Annotated[str, Says("family, as Hugging Face has it")]
    source: Annotated[str, Says("where its configuration was read")]
    released: Annotated[FactAnswer | None, Says("when it was published; null where no source is known")]
    licence: Annotated[FactAnswer | None, Says("its licence; null where no source is known")]
    left_out: Annotated[list[str], Says("what its published file has that is not modelled, each in words")]
    parameters: Annotated[int, Says("parameters, tied ones once", "elements")]
    config: Annotated[dict[str, Any], Says("configuration as it was read; fields have the names of Hugging Face")]


ModelListAnswer: TypeAlias = dict[str, ModelAnswer]
"""Networks by name."""
