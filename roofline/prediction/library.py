"""Which models of the library fit a device or a box, by the prediction that each would get there."""

from __future__ import annotations

from collections.abc import Iterable

from roofline.errors import ConfigError
from roofline.models.model import Model
from roofline.prediction.predict import predict


def that_fit(models: Iterable[Model], hardware: str) -> list[Model]:
    """Those of ``models`` that ``predict`` says fit ``hardware``: in their published precision, with its usual lengths.

    On several devices it is the best layout that has to fit. A device of unknown capacity fits none. Raises the errors
    of :func:`predict` for hardware that is not known, and ConfigError where nothing fits.
    """
    found = [model for model in models if predict(model.name, hardware).memory.fits]
    if not found:
        msg = f"none of these models fits {hardware} in its published precision (roofline models list)"
        raise ConfigError(msg)
    return found
