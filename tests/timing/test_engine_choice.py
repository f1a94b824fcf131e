"""Which engine a request is run by."""

from __future__ import annotations

import pytest

import roofline
from roofline.errors import UsageError
from roofline.program.phases import Phase
from roofline.timing.engine_choice import read_engine

PHASES = (Phase.PREFILL, Phase.DECODE)


@pytest.mark.parametrize("asked", [{}, {"engine": "sglang"}, {"kernels": "fa2"}], ids=str)
def test_equal_requests_are_run_by_one_engine(asked: dict[str, str]) -> None:
    """What is worked out of an engine is kept by the engine itself: another one each time would work it out again."""
    device = roofline.load_hardware("h100")
    first, second = (read_engine(asked, device, PHASES) for _ in range(2))  # type: ignore[arg-type]
    assert first is second
    assert first.pass_tokens


@pytest.mark.parametrize("kernels", [["fa2"], {"attention": "fa2"}, 3])
def test_kernels_that_are_no_name_are_refused(kernels: object) -> None:
    """A list of libraries is none that is known."""
    with pytest.raises(UsageError, match=r"kernels .*fa2"):
        roofline.predict("llama-3.1-8b", "h100", kernels=kernels)  # type: ignore[arg-type]
