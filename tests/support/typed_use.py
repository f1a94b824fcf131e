"""A study as a user's project writes it: what the public names return is known to a type checker.

``mypy tests/support/typed_use.py`` checks it, strictly, in ``.ci/run``; nothing runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import roofline

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.nn import Module


def which_is_faster(model: str, devices: list[str]) -> dict[str, float]:
    """Seconds of a decode step on each device."""
    steps: dict[str, float] = {}
    for device in devices:
        prediction = roofline.predict(model, device, batch=16, context=4096, dtype="fp8")
        assert_type(prediction, roofline.Prediction)
        figures = prediction.phases["decode"].figures
        steps[device] = figures.time_s
        assert_type(figures.low_s, float)
        costliest = max(prediction.phases["decode"].operators, key=lambda op: op.figures.time_s)
        assert_type(costliest.name, str)
    return steps


def many_points(model: str) -> roofline.Predictions:
    """A grid, as arrays."""
    return roofline.predict(model, ["h100", "l40s"], batch=[1, 8, 64], context=4096)


def what_to_buy(model: str) -> tuple[str, float | None]:
    """The hardware of the choice, and what it costs an hour."""
    compared = roofline.compare(model, hardware=["h100", "mi300x"], workload="chat", tpot="30 ms")
    assert_type(compared, roofline.Comparison)
    sized = roofline.size(model, hardware="h100,mi300x", load="50 req/s", tpot="30 ms")
    assert_type(sized, roofline.Sizing)
    order = sized.orders[0]
    return order.hardware.name, order.cost.usd_per_h(1.0) if order.cost else None


def what_training_takes(model: str) -> roofline.Training:
    """Days and money."""
    return roofline.train(model, "64xh100", tokens="1T")


def a_sweep(folder: Path) -> int:
    """Rows of a study on disk."""
    swept = roofline.sweep({"models": "gpt2", "hardware": "t4", "batch": "1..8:log2"}, folder)
    assert_type(swept, roofline.Sweep)
    return swept.rows


def my_module(module: Module) -> roofline.Model:
    """A network of the user's own."""
    return roofline.trace(module, {"tokens": "B,S"})


def a_picture(prediction: roofline.Prediction) -> Figure:
    """The roofline chart of a prediction."""
    return roofline.charts.roofline(prediction, theme="dark")


def an_operator() -> roofline.OperatorPrediction:
    """One matmul."""
    return roofline.predict_op("matmul", "h100", m=4096, k=4096, n=4096)


def refused() -> str:
    """What a refusal says."""
    try:
        roofline.load_hardware("no-such-device")
    except roofline.RooflineError as failure:
        return str(failure)
    return ""
