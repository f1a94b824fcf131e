"""What ``plot`` and ``page`` take."""

from pathlib import Path
from typing import Annotated

from roofline.options.groups import Dtypes, Edits, Fused, Lengths, PhaseOf, SeveralHardware, Timing, Tracing
from roofline.options.option import Option
from roofline.options.words import PictureSize, Theme


class PlotOptions(Lengths, PhaseOf, Dtypes, Fused, Timing, Edits, total=False):
    """What ``plot`` asks ``predict``."""


class PlotFlags(SeveralHardware, PlotOptions, Tracing, total=False):
    """The flags of ``plot``."""

    output: Annotated[
        Path | None, Option("Picture: FILE.png, .svg or .pdf.", flag="--output -o", metavar="FILE", everyday=True)
    ]
    data: Annotated[bool, Option("Write the data behind the picture beside it, as CSV.", default=False, everyday=True)]
    theme: Annotated[Theme, Option("Colours.", default="light", everyday=True)]
    size: Annotated[PictureSize, Option("For a slide, or a column of a paper.", default="slide")]
    dpi: Annotated[float, Option("Dots per inch, of PNG.", default=150.0, metavar="N")]
    over: Annotated[str | None, Option("What varies: batch, context or cost, by kind.", metavar="NAME", everyday=True)]
    measured: Annotated[
        Path | None, Option("CSV with phase, name, measured_s, to draw beside.", metavar="FILE", everyday=True)
    ]


class PageFlags(SeveralHardware, total=False):
    """The flags of ``page``."""

    port: Annotated[int, Option("Where it listens, on 127.0.0.1; 0 is any free one.", default=8765, everyday=True)]
    open: Annotated[bool, Option("Open it in the browser.", default=False, everyday=True)]
    output: Annotated[
        Path | None,
        Option(
            "Write one FILE.html with recordings of --models, --hardware and --dtypes, in place of serving.",
            flag="--output -o",
            metavar="FILE",
            everyday=True,
        ),
    ]
    lesson: Annotated[
        bool,
        Option("The lesson, a roofline along which one drags the batch.", default=False, everyday=True),
    ]
    models: Annotated[str | None, Option("With -o: presets, with commas.", metavar="NAMES", everyday=True)]
    dtypes: Annotated[
        str | None,
        Option("With -o: number formats, with commas.", usual="each model's own", metavar="FORMATS", everyday=True),
    ]
