"""What only a process of its own shows: a full disk, an interruption while loading, no threads left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, **more: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, check=False, **more
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_a_full_disk_behind_the_output_is_told_in_a_line(flag: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(f"import sys; sys.argv[1:] = ['{flag}']; from roofline.cli.start import main; main()", stdout=full)
    assert (done.returncode, done.stderr) == (3, "roofline: standard output: No space left on device\n")


def test_a_closed_output_or_error_stream_is_no_traceback() -> None:
    """As under ``>&-`` and ``2>&-``: what is written goes nowhere, and the exit code is as ever."""
    closed = "import sys; sys.stdout = sys.stderr = None; sys.argv[1:] = ['models', 'show', 'bogus']\n"
    assert run(f"{closed}from roofline.cli.start import main; main()").returncode == 3


def test_an_interruption_while_loading_is_told_in_a_line() -> None:
    importing = "import builtins; real = builtins.__import__\n"
    stopped = "def stop(name, *a):\n    if name == 'roofline.cli': raise KeyboardInterrupt\n    return real(name, *a)\n"
    first = "import sys; from roofline.cli.start import main; assert 'roofline.errors' not in sys.modules\n"
    done = run(f"{importing}{stopped}{first}builtins.__import__ = stop; main()")
    assert (done.returncode, done.stderr) == (130, "roofline: interrupted\n")


def test_a_machine_without_threads_is_not_an_interruption() -> None:
    no_threads = 'import threading\ndef no(self): raise RuntimeError("can\'t start new thread")\n'
    done = run(f"{no_threads}threading.Thread.start = no\nfrom roofline.cli.console import interrupted; interrupted()")
    assert done.returncode == 3
    assert done.stderr.startswith("roofline: no more threads can be started")
