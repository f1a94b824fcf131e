"""KV cache offloading in means: prefixes that lie in tiers below the devices' memory are loaded, or computed anew.

The part of each prompt that is said to be cached lies in the first tier whose reading is faster than computing it. The
load comes before the steps of the rest and runs beside those of others: TTFT has it, TPOT does not.

    load = bytes of the cached part / bandwidth         requests/s <= bandwidth / those bytes

Where no tier is faster all of a prompt is computed. What tiers would lose is not told: as many are held as are said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from roofline.errors import UsageError
from roofline.hardware.cache_tiers import BreakEven, named_tiers, read_tiers
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve
from roofline.serving.hardware_choice import Hardware
from roofline.serving.operating_points import Targets
from roofline.serving.scenario import Question
from roofline.units import format_quantity


def with_caches_below(
    found: Sequence[Curve], question: Question, hardware: Sequence[Hardware], targets: Targets | None, offload: str,
    batch: int | None = None,
) -> list[Curve]:  # fmt: skip
    """Curves under prefix hits whose prefixes lie in tiers, at ``batch`` too where it is given.

    Raises UsageError where nothing is said to be cached.
    """
    named_tiers(offload)
    if not question.traffic.cached:
        msg = "offload: no part of a prompt is said to be cached; give prefix_hits, or a workload such as agent"
        raise UsageError(msg)
    whole = replace(question, traffic=replace(question.traffic, cached=0.0, shared=False))
    computed = {(id(each.hardware), each.split, each.who): each for each in curves(whole, hardware, targets, batch)}
    return [_below(each, computed[id(each.hardware), each.split, each.who], question, offload) for each in found]


def _below(curve: Curve, computed: Curve, question: Question, offload: str) -> Curve:
    """The curve with its loads, or the one that computes all of each prompt, whichever is faster alone."""
    if curve.problem or computed.problem or curve.state is None or computed.state is None:
        return curve
    cached, prompt = question.traffic.cached, question.traffic.prompt.mean
    size = curve.prompt_cache * cached
    saved = float(computed.of("ttft_s")[0] - curve.of("ttft_s")[0])
    tiers = read_tiers(offload, curve.hardware.device, curve.hardware.fleet.links, curve.devices)
    even = BreakEven(round(prompt * cached), size * curve.devices, saved)
    loads = [tier for tier in tiers if even.pays(tier)]
    who = f"{curve.hardware.name}: "
    if not loads:
        return replace(computed, below=f"{who}prompts are computed, since no tier is read faster; {even.words}")
    load_s = even.bytes / loads[0].read
    told = f"{who}prefixes are loaded from {loads[0].words}, in {format_quantity(load_s, 'time_s')}; {even.words}"
    return replace(curve, state=curve.state.after((load_s, load_s, load_s), loads[0].read / even.bytes), below=told)
