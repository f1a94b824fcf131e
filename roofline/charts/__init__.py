"""Pictures of predictions: results in, a matplotlib Figure out. The only room that knows matplotlib.

Every ``draw_*`` takes results and the keywords ``theme`` (light, dark), ``size`` (slide, column) and ``ax``: with it
the picture, its names and its legend stay inside the place where that Axes stands. Nothing is shown, nothing global is
touched; the module of each kind has the rows behind its picture and the sentence that says the same in words.
"""

from __future__ import annotations

from roofline.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError:
    _PURPOSE = "drawing"
    raise MissingExtraError(_PURPOSE, "charts") from None
