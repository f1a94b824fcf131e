"""Where the command begins: loading it is part of the command, so that who interrupts that gets a line too."""

import gc
from typing import NoReturn

_NEW_OBJECTS = 200_000
"""After how many the collector looks for garbage: nearly all that a command makes lives until it ends."""


def main() -> NoReturn:
    """The command line."""
    gc.set_threshold(_NEW_OBJECTS)
    try:
        from roofline.cli import app

        app.main()
    except KeyboardInterrupt:
        from roofline.cli.console import interrupted

        interrupted()
    finally:
        gc.freeze()  # what is left goes with the process
