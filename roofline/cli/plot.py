"""The verb ``plot``: one picture, the data behind it, and a sentence that says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from roofline.cli.console import choice, edit, tell
from roofline.errors import UsageError, near_matches

_KINDS = (
    "roofline", "breakdown", "compare", "memory", "regime", "sensitivity", "timeplane", "validation", "waterfall",
)  # fmt: skip


def plot(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(_KINDS)}.", show_default=False)],
    model: Annotated[
        str,
        typer.Argument(
            help="A preset or a path; several with commas where a kind shows several. For validation: a CSV."
        ),
    ],
    hardware: Annotated[
        str | None, typer.Option(help="A device's name, alias or YAML file; several with commas.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="FILE.png, .svg or .pdf.")] = None,
    data: Annotated[bool, typer.Option("--data", help="Write the data behind the picture beside it, as CSV.")] = False,
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    size: Annotated[str, typer.Option(help="slide, or column of a paper.")] = "slide",
    dpi: Annotated[float, typer.Option(help="Dots per inch, of PNG.")] = 150,
    over: Annotated[str | None, typer.Option(help="batch, context or cost, for kinds that vary one.")] = None,
    measured: Annotated[Path | None, typer.Option(help="A CSV with phase, name, measured_s.")] = None,
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    prompt: Annotated[
        int | None, typer.Option(help="Tokens in; what an encoder reads.  [default: 2048, encoders 512]")
    ] = None,
    generate: Annotated[int | None, typer.Option(help="Tokens out.  [default: 256]")] = None,
    context: Annotated[int | None, typer.Option(help="Attended length of one decode step.")] = None,
    phase: Annotated[str | None, typer.Option(help="encode, prefill or decode.  [default: all]")] = None,
    dtype: Annotated[str | None, typer.Option(help="A dtype, or a recipe: fp8, w8a8, w4a16 ...")] = None,
    weight_dtype: Annotated[str | None, typer.Option(help="The weights', if another.")] = None,
    activation_dtype: Annotated[str | None, typer.Option(help="The activations', if another.")] = None,
    kv_dtype: Annotated[str | None, typer.Option(help="The KV cache's, if another.")] = None,
    attention: Annotated[str, typer.Option(help="fused or materialised.")] = "fused",
    execution: Annotated[str | None, typer.Option(help="graph or eager.  [default: graph on GPUs]")] = None,
    constants: Annotated[str | None, typer.Option(help="datasheet, class ...  [default: the best there is]")] = None,
    edits: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE: edit a field of hardware or model.")
    ] = None,
) -> None:
    """A chart of a model on hardware; prints what the picture shows in a sentence."""
    from roofline.calibration.constants import Provenance

    keywords = {
        "batch": batch,
        "prompt": prompt,
        "generate": generate,
        "context": context,
        "phase": choice("--phase", phase, "encode", "prefill", "decode"),
        "dtype": dtype,
        "weight_dtype": weight_dtype,
        "activation_dtype": activation_dtype,
        "kv_dtype": kv_dtype,
        "attention": choice("--attention", attention, "fused", "materialised"),
        "execution": choice("--execution", execution, "graph", "eager"),
        "constants": choice("--constants", constants, *get_args(Provenance)),
        "set": dict(edit(text) for text in edits or ()),
    }
    look = {"theme": choice("--theme", theme, "light", "dark"), "size": choice("--size", size, "slide", "column")}
    if kind not in _KINDS:
        msg = f"kind {kind!r}; {near_matches(kind, _KINDS)}"
        raise UsageError(msg)
    if hardware is None and kind != "validation":
        msg = "--hardware is missing; try h100, mi300x or t4 (roofline hardware list)"
        raise UsageError(msg)
    if output is None:
        msg = "-o FILE is missing; name a .png, .svg or .pdf to write"
        raise UsageError(msg)
    _draw(kind, model, hardware, output, keywords, look, over=over, measured=measured, data=data, dpi=dpi)


def _draw(
    kind: str,
    model: str,
    hardware: str | None,
    output: Path,
    keywords: dict[str, Any],
    look: dict[str, str],
    *,
    over: str | None,
    measured: Path | None,
    data: bool,
    dpi: float,
) -> None:
    from roofline.charts.drawing.saving import check_picture, save, save_rows
    from roofline.charts.registry import Request, draw_kind

    check_picture(output, dpi)
    request = Request(_words(model), _words(hardware) if hardware else (), keywords, over, measured, look)
    drawn = draw_kind(kind, request)
    save(drawn.figure, output, words=drawn.words, dpi=dpi)
    if data:
        save_rows(drawn.rows, output.with_suffix(".csv"))
    tell(drawn.words)


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

    check_picture(path, 150)


def plot_prediction(prediction: Any, path: Path) -> None:
    """The roofline of a prediction that was made already: ``predict --plot``."""
    from roofline.charts.drawing.saving import save
    from roofline.charts.kinds.roofline import describe_roofline, draw_roofline

    save(draw_roofline(prediction), path, words=describe_roofline(prediction))
