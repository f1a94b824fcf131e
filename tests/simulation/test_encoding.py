"""Images in simulations: towers on the replicas or in a pool of their own, and what each adds to the times."""

from __future__ import annotations

import numpy as np
import pytest
from plain_clock import PlainClock, at, room

import roofline
from roofline.errors import RooflineError, UsageError, WorkloadError
from roofline.simulation.events import ROUTERS, run
from roofline.simulation.ledger import Ledger
from roofline.simulation.pools import EncodeQueue
from roofline.simulation.scheduler import Replica

STEP = 1.01  # of a sequence that decodes; a prompt of ten takes 1.1 s
ASKED = {"prompt": 200, "generate": 20, "requests": 60, "seed": 3}


def served(times: tuple[float, ...], lengths: tuple[int, int] = (10, 3), **how: float) -> tuple[Ledger, Replica]:
    ledger = Ledger.of(*(np.full(len(times), length) for length in lengths))
    replica = Replica(0, PlainClock(), room(), ledger, 100, encode_s=how.get("encode_s", 0.0))
    encoders = EncodeQueue((how["encodes"], how["sends"]), [0.0] * int(how["devices"])) if "encodes" in how else None
    run(ledger, at(*times), [replica], ROUTERS["round-robin"], encoders=encoders)
    return ledger, replica


def test_a_tower_runs_before_the_prompt_and_what_decodes_waits() -> None:
    alone, _ = served((0.0, 100.0))
    own, _ = served((0.0, 100.0), encode_s=0.5)
    assert own.ttft_s == pytest.approx(alone.ttft_s + 0.5)
    assert own.tpot_s == pytest.approx(alone.tpot_s), "nobody else's images stand between its steps"
    plain, _ = served((0.0, 1.5))
    beside, _ = served((0.0, 1.5), encode_s=0.5)
    assert beside.tpot_s[0] > plain.tpot_s[0], "the second request's do"


def test_a_prompt_in_pieces_is_encoded_once() -> None:
    whole, _ = served((0.0,), (5000, 2))
    own, replica = served((0.0,), (5000, 2), encode_s=7.0)
    assert replica.meter.steps > 2
    assert own.first - whole.first == pytest.approx(7.0)


def test_a_pool_encodes_one_after_the_other_and_replicas_hold_none_of_it() -> None:
    alone, _ = served((0.0, 100.0))
    apart, _ = served((0.0, 100.0), encodes=2.0, sends=0.25, devices=1)
    assert apart.ttft_s == pytest.approx(alone.ttft_s + 2.25)
    assert apart.tpot_s == pytest.approx(alone.tpot_s)
    queued, _ = served((0.0, 0.0, 0.0), encodes=50.0, sends=0.0, devices=2)
    assert sorted(queued.scheduled) == pytest.approx([50.0, 50.0, 100.0]), "two devices, three requests"


def test_images_of_a_simulation_are_those_of_predict() -> None:
    """One request alone: its TTFT grows by the phase encode of predict, here or in a pool of such devices."""
    asked = {**ASKED, "requests": 1, "arrivals": "all"}
    shown = {"images": 2, "image_size": "640x480"}
    encode = roofline.predict("qwen2.5-vl-7b", "h100", phase="encode", prompt=200, **shown).phases["encode"].figures
    tokens = roofline.simulate("qwen2.5-vl-7b", "h100", **asked, **shown)
    text = roofline.simulate("qwen2.5-vl-7b", "h100", **{**asked, "prompt": int(tokens.ledger.prompt[0])})
    apart = roofline.simulate("qwen2.5-vl-7b", "h100", encode_on="2xh100", **asked, **shown)
    grown = tokens.ledger.first - text.ledger.first
    assert grown == pytest.approx(encode.time_s)
    assert apart.ledger.first - text.ledger.first == pytest.approx(encode.time_s + apart.deployment.encoding.sends_s)
    assert apart.deployment.devices == 3
    assert apart.cost.usd_per_h == pytest.approx(3 * tokens.cost.usd_per_h)
    assert apart.to_dict()["pools"][0]["role"] == "encode"
    assert apart.to_dict()["inputs"]["image_tokens"] == apart.deployment.seen.tokens


def test_the_saturation_is_that_of_the_pool_that_is_short() -> None:
    shown = {"images": 8, "image_size": "1024x1024", "load": 2.0}
    both = roofline.simulate("qwen2.5-vl-7b", "h100", **ASKED, **shown)
    short = roofline.simulate("qwen2.5-vl-7b", "h100", encode_on="h100", **ASKED, **shown)
    assert short.saturation is not None
    assert both.saturation is not None
    assert short.saturation <= 1 / short.deployment.encoding.seconds * 1.01
    assert short.outcome.encode is not None
    assert 0 < short.outcome.encode.busy < 1


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        ("qwen2.5-vl-7b", {"encode_on": "h100"}, "requests show nothing that is encoded"),
        ("qwen2.5-vl-7b", {"encode_on": "h100,l4", "images": 1}, "encode_on"),
        ("llama-3.1-8b", {"images": 1}, "sees no images"),
        ("qwen2.5-vl-7b", {"images": 1, "workload": "agent", "prompt": None, "generate": None}, "share nothing"),
    ],
)
def test_what_is_not_simulated_is_refused(model: str, more: dict[str, object], words: str) -> None:
    with pytest.raises(RooflineError, match=words) as failure:
        roofline.simulate(model, "h100", **{**ASKED, "load": 1.0, **more})
    assert isinstance(failure.value, UsageError | WorkloadError)


def test_percentiles_of_requests_with_images_are_sized() -> None:
    asked = {"prompt": 200, "generate": 20, "load": 4.0, "ttft": "p95:2s"}
    with_images = roofline.size("qwen2.5-vl-7b", "h100", images=4, **asked).orders[0]
    text = roofline.size("qwen2.5-vl-7b", "h100", **asked).orders[0]
    assert with_images.used > text.used
