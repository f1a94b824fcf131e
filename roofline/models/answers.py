"""The JSON of ``models list`` and ``models show``, field by field."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from roofline.schema import Closed, Says


class ModelAnswer(Closed):
    """A network."""

    name: Annotated[str, Says("name of the preset, or of the file")]
    model_type: Annotated[str, Says("family, as Hugging Face has it")]
    source: Annotated[str, Says("where its configuration was read")]
    parameters: Annotated[int, Says("parameters, tied ones once", "elements")]
    config: Annotated[dict[str, Any], Says("configuration as it was read; fields have the names of Hugging Face")]


ModelListAnswer: TypeAlias = dict[str, ModelAnswer]
"""Networks by name."""
