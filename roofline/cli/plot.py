"""The verb ``plot``: one picture, the data behind it, and a sentence that says the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roofline.cli.console import show
from roofline.cli.traced import model_of
from roofline.errors import UsageError, near_matches
from roofline.options.groups import Tracing
from roofline.options.keywords import part
from roofline.options.verbs.pictures import PlotFlags, PlotOptions
from roofline.options.words import PICTURES

if TYPE_CHECKING:
    from roofline.prediction.predict import Prediction
    from roofline.simulation.simulate import Simulation
    from roofline.sweeps.questions import Found
    from roofline.training.step import TrainingStep


def plot(kind: str, model: str, flags: PlotFlags) -> None:
    """A chart of a model on hardware; prints what the picture shows in a sentence."""
    if kind not in PICTURES:
        msg = f"kind {kind!r}; {near_matches(kind, PICTURES)}"
        raise UsageError(msg)
    if flags["hardware"] is None and kind != "validation":
        msg = "--hardware is missing; try h100, mi300x or t4 (roofline hardware list)"
        raise UsageError(msg)
    if flags["output"] is None:
        msg = "-o FILE is missing; name a .png, .svg or .pdf to write"
        raise UsageError(msg)
    _draw(kind, model, flags["output"], flags)


def _draw(kind: str, model: str, output: Path, flags: PlotFlags) -> None:
    from roofline.charts.drawing.saving import check_picture, save, save_rows
    from roofline.charts.registry import Request, draw_kind
    from roofline.files.atomic import check_writable

    check_picture(output, flags["dpi"])
    check_writable(output)
    devices = _words(flags["hardware"]) if flags["hardware"] else ()
    look = {"theme": flags["theme"], "size": flags["size"]}
    asked = part(PlotOptions, flags)
    models = tuple(model_of(name, part(Tracing, flags)) for name in _words(model))
    drawn = draw_kind(kind, Request(models, devices, asked, flags["over"], flags["measured"], look))
    save(drawn.figure, output, words=drawn.words, dpi=flags["dpi"])
    if flags["data"]:
        save_rows(drawn.rows, output.with_suffix(".csv"))
    show(drawn.words)


def _words(text: str) -> tuple[str, ...]:
    """The names in a list with commas. Raises UsageError for an empty one."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        msg = f"{text!r}: a name is empty; expected names with commas between them, such as h100,mi300x"
        raise UsageError(msg)
    return names


def check(path: Path) -> None:
    """Raises UsageError for a name that no picture can have, MissingExtraError without matplotlib."""
    from roofline.charts.drawing.saving import check_picture
    from roofline.files.atomic import check_writable

    check_picture(path, 150)
    check_writable(path)


def plot_simulation(found: Simulation, path: Path) -> None:
    """The waits and the goodput of a simulation that was run already: ``simulate --plot``."""
    from roofline.charts.drawing.saving import save
    from roofline.charts.kinds.load import describe_load, draw_load

    save(draw_load(found), path, words=describe_load(found))


def plot_training(step: TrainingStep, path: Path) -> None:
    """The memory and the schedule of a training step that was found already: ``train --plot``."""
    from roofline.charts.drawing.saving import save
    from roofline.charts.kinds.training import describe_training, draw_training

    save(draw_training(step), path, words=describe_training(step))


def plot_prediction(prediction: Prediction, path: Path) -> None:
    """The roofline of a prediction that was made already: ``predict --plot``."""
    from roofline.charts.drawing.saving import save
    from roofline.charts.kinds.roofline import describe_roofline, draw_roofline

    save(draw_roofline(prediction), path, words=describe_roofline(prediction))


def plot_swept(answer: Found, path: Path) -> None:
    """What a sweep answered, a front or a heat map: ``sweep show --plot``."""
    from roofline.charts.drawing.saving import save
    from roofline.charts.kinds import swept

    draw = swept.draw_heat_map if answer.pivoted else swept.draw_swept_front
    save(draw(answer), path, words=swept.describe_swept(answer))
