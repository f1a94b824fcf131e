"""Launch latency: what an operator costs however small it is, launched from a graph or from the host."""

from __future__ import annotations

from roofline.calibration.fields import Data, Seconds
from roofline.options.words import Execution


class Latency(Data):
    """The constant cost of one operator. [s]

    The numbers stand in ``calibrations/classes`` and ``calibrations/devices``, by kind of operator, with their source;
    an engine says whether its steps are replayed from a graph. Every time starts from it: ``timing/operator.py``.

    >>> Latency.model_validate({"graph": "3 us", "eager": "8 us"}).under("graph")
    3e-06
    """

    graph: Seconds
    eager: Seconds

    def under(self, execution: Execution) -> float:
        """The latency of an operator that is launched so. [s]"""
        return self.graph if execution == "graph" else self.eager
