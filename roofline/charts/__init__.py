"""Pictures of predictions: results in, a matplotlib Figure out. The only room that knows matplotlib.

>>> import roofline
>>> figure = roofline.charts.roofline(roofline.predict("bert-base", "h100"))
>>> figure.get_size_inches().tolist()
[10.0, 5.625]

The functions are those of ``roofline plot`` that show predictions, by name; ``training`` shows a step of ``train`` and
``load`` a simulation, as ``--plot`` of these verbs does. Every one takes results and the keywords ``theme`` (light,
dark), ``size`` (slide, column) and, but for these two, ``ax``: with it the picture, its names and its legend stay
inside the place where that Axes stands. Nothing is shown, nothing global is touched; the module of each kind has the
rows behind its picture and the sentence that says the same in words.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from roofline.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError:
    _PURPOSE = "drawing"
    raise MissingExtraError(_PURPOSE, "charts") from None

if TYPE_CHECKING:
    from roofline.charts.kinds.breakdown import draw_breakdown as breakdown
    from roofline.charts.kinds.breakdown import draw_breakdown_over_batch as breakdown_over_batch
    from roofline.charts.kinds.compare import draw_compare as compare
    from roofline.charts.kinds.load import draw_load as load
    from roofline.charts.kinds.memory import draw_memory as memory
    from roofline.charts.kinds.roofline import draw_roofline as roofline
    from roofline.charts.kinds.sensitivity import draw_sensitivity as sensitivity
    from roofline.charts.kinds.side_by_side import draw_breakdowns as breakdowns
    from roofline.charts.kinds.side_by_side import draw_memories as memories
    from roofline.charts.kinds.timeplane import draw_timeplane as timeplane
    from roofline.charts.kinds.training import draw_training as training
    from roofline.charts.kinds.waterfall import draw_waterfall as waterfall

__all__ = [
    "breakdown",
    "breakdown_over_batch",
    "breakdowns",
    "compare",
    "load",
    "memories",
    "memory",
    "roofline",
    "sensitivity",
    "timeplane",
    "training",
    "waterfall",
]

_HOMES = {"breakdown_over_batch": "breakdown", "breakdowns": "side_by_side", "memories": "side_by_side"}


def __getattr__(name: str) -> Any:
    """A chart by its name, from the module of its kind: one picture should not load all of them."""
    if name not in __all__:
        msg = f"module 'roofline.charts' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"roofline.charts.kinds.{_HOMES.get(name, name)}"), f"draw_{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
