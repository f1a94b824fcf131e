"""What the tests of charts share: predictions with any number of operators, and where the texts of a figure lie."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from roofline.prediction.figures import Figures, Operator, PhasePrediction
from roofline.prediction.predict import Prediction, predict
from roofline.program.phases import Phase
from roofline.timing.timing import Timing, total
from roofline.validation.scores import Pair

NAMES = ("q_proj", "attention", "norm", "a_rather_long_name_of_an_operator", "mlp.experts.down", "x")


@functools.cache
def prediction(model: str = "llama-3.1-8b", hardware: str = "h100", **keywords: Any) -> Prediction:
    """A prediction, made once."""
    return predict(model, hardware, **keywords)


def phase(rng: np.random.Generator, operators: int) -> PhasePrediction:
    """A phase of so many operators anywhere under the roof, some on one spot, some without FLOPs."""
    made = []
    for index in range(operators):
        time = 10.0 ** rng.uniform(-7, -2)
        intensity = 10.0 ** rng.choice([-1.0, 0.0, 0.0, 1.0, 2.5, 3.0, rng.uniform(-2, 4), rng.uniform(-2, 4)])
        bound = time * rng.choice([0.7, 0.7, 0.5, rng.uniform(0.001, 1)])
        moved = min(3.35e12 * bound, 989e12 * bound / intensity)
        made_of = (time * float(part) for part in rng.dirichlet((0.5, 0.5, 0.5)))
        kind = rng.choice(["matrix", "matrix", "vector", "none"])
        work = (moved * intensity * (kind == "matrix"), moved * intensity * (kind == "vector"))
        figures = Figures(Timing(time, bound, bound, 2 * time, *made_of), *work, moved, 0.5, 0.5)
        made.append(Operator(f"{rng.choice(NAMES)}{index}", "matmul", int(rng.choice([1, 32])), figures))
    return PhasePrediction(1, whole(made), lambda: tuple(made))


def whole(operators: list[Operator]) -> Figures:
    """The figures of a phase."""
    parts = [op.figures for op in operators]
    sums = {name: sum(getattr(f, name) for f in parts) for name in ("flops", "vector_flops", "bytes")}
    return Figures(total((1, f.timing) for f in parts), mfu=0.5, mbu=0.5, **sums)


@dataclass(frozen=True)
class Recipe:
    """How to make a prediction of 5 to 60 operators in one phase or two: few numbers, so that failures read well."""

    operators: int
    both_phases: bool
    seed: int

    def prediction(self) -> Prediction:
        """The prediction; the same each time."""
        rng = np.random.default_rng(self.seed)
        if not self.both_phases:
            return replace(prediction(), by_phase=((Phase.DECODE, phase(rng, self.operators)),))
        first = int(rng.integers(2, self.operators - 1))
        pair = ((Phase.PREFILL, phase(rng, first)), (Phase.DECODE, phase(rng, self.operators - first)))
        return replace(prediction(), by_phase=pair)


RECIPES = st.builds(Recipe, st.integers(5, 60), st.booleans(), st.integers(0, 2**32 - 1))


def over_batches(one: Prediction) -> list[Prediction]:
    """The prediction as it is, and as if for other batches: its phases, another workload."""
    batches = (1, 4, 16, 64)
    return [replace(one, workload=replace(one.workload, batch=batch), request=prediction(batch=batch).request)
            for batch in batches]  # fmt: skip


def on_devices(one: Prediction) -> list[Prediction]:
    """The prediction as if on several devices."""
    return [replace(one, hardware=prediction(hardware=name).hardware) for name in ("h100", "mi300x", "t4", "a100")]


def pairs_of(one: Prediction) -> list[Pair]:
    """A pair per operator, some of them fitted, measured anywhere in the band."""
    figures = [op.figures for phase in one.phases.values() for op in phase.operators]
    return [
        Pair(f.time_s, f.low_s + 0.6 * (f.high_s - f.low_s) * (i % 5 + 1) / 5, i % 3 == 0)
        for i, f in enumerate(figures)
    ]


def corners(text: Text) -> np.ndarray:
    """The four corners of a text as it is turned. [pixel]"""
    box = text.get_window_extent()
    centre = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
    angle = np.deg2rad(text.get_rotation())
    if angle == 0:
        half = np.array([box.width, box.height]) / 2
    else:  # the upright box of a turned rectangle, undone
        text.set_rotation(0)
        flat = text.get_window_extent()
        text.set_rotation(np.rad2deg(angle))
        half = np.array([flat.width, flat.height]) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half @ turn.T


def intersect(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two rectangles overlap: no side of either separates them."""
    for corner in (a, b):
        for side in (corner[1] - corner[0], corner[2] - corner[1]):
            if np.hypot(*side) > 0 and ((a @ side).max() <= (b @ side).min() or (b @ side).max() <= (a @ side).min()):
                return False
    return True


def texts(figure: Figure) -> list[tuple[Text, np.ndarray]]:
    """Every text that is seen, with its corners."""
    figure.draw_without_rendering()
    found = figure.findobj(
        lambda artist: isinstance(artist, Text) and artist.get_visible() and artist.get_text().strip()
    )
    return [(text, corners(text)) for text in found]


def check_texts(figure: Figure) -> None:
    """No two texts overlap, and none leaves the canvas."""
    width, height = figure.bbox.width, figure.bbox.height
    found = texts(figure)
    for text, box in found:
        inside = box.min() >= -0.01 and box[:, 0].max() <= width + 0.01 and box[:, 1].max() <= height + 0.01
        assert inside, f"{text.get_text()!r} leaves the canvas: {box.tolist()} of {width} x {height}"
    for index, other in near_pairs([box for _, box in found]):
        (one, a), (two, b) = found[index], found[other]
        assert not intersect(a, b), f"{one.get_text()!r} and {two.get_text()!r} overlap"


def near_pairs(boxes: list[np.ndarray]) -> np.ndarray:
    """The pairs whose upright boxes overlap, by index: of no others can the rectangles themselves. [pairs, 2]"""
    if not boxes:
        return np.empty((0, 2), int)
    low, high = np.min(boxes, axis=1), np.max(boxes, axis=1)
    near = (low[:, None] < high[None]).all(-1) & (low[None] < high[:, None]).all(-1)
    return np.argwhere(np.triu(near, k=1))


def artist(figure: Figure, gid: str) -> Any:
    """The one artist of this name."""
    (found,) = figure.findobj(lambda drawn: drawn.get_gid() == gid)
    return found
