"""Where the command begins: loading it is part of the command, so that who interrupts that gets a line too."""

from typing import NoReturn

from roofline.cli.console import interrupted


def main() -> NoReturn:
    """The command line."""
    try:
        from roofline.cli import app
    except KeyboardInterrupt:
        interrupted()
    app.main()
