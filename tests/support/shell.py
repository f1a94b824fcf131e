"""The command line as tests run it: in this process, or as a reader of the README would."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
import sys
from unittest import mock

import clock  # noqa: F401
import pytest

from roofline.cli import app as cli


def roofline(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["roofline", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        cli.main()
    return int(left.value.code or 0), out.getvalue(), err.getvalue()


def answer(*arguments: str) -> str:
    code, out, err = roofline(*arguments)
    assert (code, err) == (0, "")
    return out


def refusal(code: int, *arguments: str) -> str:
    """The one line on stderr of a run that ends with ``code`` and prints nothing else."""
    found, out, err = roofline(*arguments)
    assert (found, out) == (code, ""), err
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("roofline: ")
    assert "Traceback" not in err
    return err


def invoked(command: str) -> tuple[int, str]:
    """Exit code and what is printed; raises the RooflineError of a refusal, not yet the one line that it becomes."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.app.main(command.split(), prog_name="roofline", standalone_mode=False)
    return int(code or 0), out.getvalue()


def printed(command: str) -> str:
    """What a command line that starts with ``roofline`` prints, in this process."""
    program, *arguments = shlex.split(command)
    assert program == "roofline"
    code, out, err = roofline(*arguments)
    assert code == 0, err
    return out.rstrip() + "\n"


def printed_afresh(command: str) -> str:
    """The same in a process of its own, as a reader types it."""
    program, *arguments = shlex.split(command)
    assert program == "roofline"
    done = subprocess.run([sys.executable, "-m", program, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.rstrip() + "\n"
