"""Launch latency: what an operator costs however small it is, launched from a graph or from the host."""

from __future__ import annotations

from roofline.calibration.fields import Data, Seconds


class Latency(Data):
    """The constant cost of one operator. [s]

    Fitted with the other constants of its kind (``fitting/operators.py``) to timed kernels; each file of
    ``calibrations/`` has its own, with its source. Every time starts from it: ``timing/operator.py``.
    """

    graph: Seconds
    eager: Seconds
