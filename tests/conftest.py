"""Random examples are drawn anew on a developer's machine, and the same ones every time where ``CI`` is set.

No test asserts on a time, not through hypothesis either. Matrices of tests are tiny: the threads of torch and of numpy
would only wait for each other, and for those of the other workers.

Tests that compare with torch or transformers are skipped where these are absent, and the summary says so in one line.
"""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Generator

import clock  # noqa: F401
import pytest
from hypothesis import HealthCheck, settings

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
os.environ.setdefault("SYMPY_CACHE_SIZE", "50000")  # expressions that are kept: 1000 by itself, a few formulas

settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

_ABSENT = tuple(f"could not import '{library}" for library in ("torch", "transformers"))
_NEEDED = "torch or transformers is not installed: pip install -e '.[torch]' runs these as well"


_YOUNG = 100_000  # objects made before the collector looks for garbage: 700 by itself

_SEVERAL = 250
_RAN = itertools.count(1)

gc.disable()  # while tests are collected, all of which stay


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector need not go through it again and again, a fifth of all time."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)


def pytest_runtest_logfinish() -> None:
    """What tests have loaded stays too: whoever collects later, as a measurement does, need not go through it."""
    if next(_RAN) % _SEVERAL == 0:
        gc.collect()
        gc.freeze()


def _in_one_line(report: pytest.TestReport | pytest.CollectReport) -> None:
    if isinstance(report.longrepr, tuple) and any(absent in report.longrepr[2] for absent in _ABSENT):
        report.longrepr = ("tests", None, _NEEDED)  # the same for all, which the summary folds


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _in_one_line(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _in_one_line(report)
    return report
