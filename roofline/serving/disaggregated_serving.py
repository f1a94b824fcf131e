"""Disaggregated serving: replicas that prefill and replicas that decode, so many of each, with the KV-cache transfer.

TTFT = half a step of prefill, until one ends, + a step + the hand-over       TPOT = a step of decoding
requests/s = the lesser of both pools; a replica hands over, or takes in, no faster than its links do
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

import numpy as np

from roofline.calibration.constants import ConstantSet
from roofline.classes import frozen
from roofline.number import Grid
from roofline.program.phases import Phase
from roofline.serving.batch_sweep import curves
from roofline.serving.continuous_batching import SteadyState
from roofline.serving.curve import Curve, Pool, Pools, Served
from roofline.serving.hardware_choice import Hardware
from roofline.serving.kv_cache_transfer import End, HandOver, check_same_cache, hand_over
from roofline.serving.operating_points import Targets, best_column, least_column, nearest_column
from roofline.serving.scenario import Question
from roofline.timing.energy import mean_power

FULL = 0.97
"""The part of the most that a device reads at which it counts as full."""


@frozen(eq=False)
class Pair:
    """A replica that prefills and one that decodes, each as far as the links let it, and the hand-over."""

    prefill: Curve
    decode: Curve
    handed: HandOver


def pair_of(prefill: Curve, decode: Curve, devices: int) -> Pair:
    """A pair among so many ``devices`` in all. Raises WorkloadError where no link joins them, or caches differ."""
    own, other = (curve.recipe.kv_cache.name if curve.recipe else "" for curve in (prefill, decode))
    check_same_cache((own, prefill.hardware.name), (other, decode.hardware.name))
    assert prefill.state is not None, "curves with a problem make no pair"
    assert prefill.constants is not None
    assert decode.constants is not None
    sender, receiver = _end(prefill, prefill.constants), _end(decode, decode.constants)
    handed = hand_over(decode.prompt_cache, sender, receiver, prefill.state.batches, devices)
    return Pair(_sending(prefill, handed), _receiving(decode, handed), handed)


def _end(curve: Curve, constants: ConstantSet) -> End:
    """A replica of a curve, as one that sends or receives."""
    return End(curve.hardware.fleet, curve.hardware.device, constants, curve.devices, int(curve.split.dp))


def _sending(prefill: Curve, handed: HandOver) -> Curve:
    """The curve with the hand-over in the time to the first token; caches of a step are sent before the next one's."""
    own, time = _alone(prefill), handed.time_s
    ttft = own.ttft_s + time
    ends = {
        f"ttft_{end}": (own.ttft_s * getattr(own, f"ttft_{end}") + time * getattr(handed, end)) / ttft
        for end in ("low", "high")
    }
    rate = np.minimum(own.requests_per_s, own.batches / np.maximum(time, 1e-30))
    return replace(prefill, state=replace(own, ttft_s=ttft, requests_per_s=rate, **ends), row=0)


def _receiving(decode: Curve, handed: HandOver) -> Curve:
    """The curve with no more requests than its links take in."""
    own = _alone(decode)
    rate = np.minimum(own.requests_per_s, 1 / max(handed.each_s, 1e-30))
    return replace(decode, state=replace(own, requests_per_s=rate), row=0)


def _alone(curve: Curve) -> SteadyState:
    """The state of one curve by itself."""
    assert curve.state is not None
    at = slice(curve.row, curve.row + 1)
    names = {each.name for each in fields(SteadyState)} - {"batches", "shares"}
    grids = {name: getattr(curve.state, name)[at] for name in names}
    return replace(curve.state, **grids, shares={name: share[at] for name, share in curve.state.shares.items()})


def full_column(prefill: Curve, targets: Targets, slack: Grid | float = 1.0) -> int | None:
    """The fewest prompts in a step that fill a device, within the TTFT asked for; None where no number meets it.

    Full is ``FULL`` of the most that it serves: further prompts would wait for each other and gain next to nothing.
    ``slack`` multiplies the times first.
    """
    asked = Targets(targets.ttft, None)
    best = best_column(prefill, asked, slack)
    return None if best is None else least_column(
        prefill, FULL * float(prefill.of("requests_per_s")[best]), asked, slack
    )  # fmt: skip


def prefill_column(pair: Pair, targets: Targets, needed: float) -> int | None:
    """The fewest prompts in a step that serve ``needed`` requests per second within the TTFT asked for, or fill it."""
    full = full_column(pair.prefill, targets)
    least = least_column(pair.prefill, needed, Targets(targets.ttft, None))
    return full if full is None or least is None else min(full, least)


def joined(pair: Pair, column: int, counts: tuple[int, int], who: Served) -> Curve:
    """Both pools as one curve over the batches of those that decode; ``column`` is the batch of those that prefill."""
    p, d = pair.prefill, pair.decode
    first = Pool(p, counts[0], p.of("requests_per_s") * counts[0], column)
    then = Pool(d, counts[1], d.of("requests_per_s") * counts[1])
    pools = Pools(first, then, pair.handed)
    return replace(
        d, state=_state(first, then, column), devices=first.devices + then.devices, layout=pools.layout, who=who,
        pools=pools,
    )  # fmt: skip


def _state(first: Pool, then: Pool, column: int) -> SteadyState:
    """The figures of both: times as they are, the lesser rate, and means over all devices of what they do."""
    rates, read = then.requests_per_s, float(first.requests_per_s[column])
    rate = np.minimum(rates, read)
    work = (first.devices * rate / read, then.devices * rate / rates)  # devices at work
    everything = first.devices + then.devices

    def of(name: str) -> tuple[Grid, Grid]:
        return first.curve.of(name)[column : column + 1], then.curve.of(name)

    def mean(name: str) -> Grid:
        one, other = of(name)
        return np.asarray([(work[0] * one + work[1] * other) / everything])

    shapes = np.ones_like(rates)
    state = _alone(then.curve)
    ends = {end: rate / np.minimum(read / of(end)[0], rates / of(end)[1]) for end in ("rate_low", "rate_high")}
    power = sum(
        pool.devices * _watts(pool, drawn, busy / pool.devices)
        for pool, drawn, busy in zip((first, then), of("power_w"), work, strict=True)
    )
    shares = {name: _weighted(work, first.curve, then.curve, name, column) for name in state.shares}
    return replace(
        state, requests_per_s=rate[None], input_part=shapes[None] * first.devices / everything,
        ttft_s=(of("ttft_s")[0] * shapes)[None], ttft_low=(of("ttft_low")[0] * shapes)[None],
        ttft_high=(of("ttft_high")[0] * shapes)[None], power_w=np.asarray([power / everything]), mfu=mean("mfu"),
        mbu=mean("mbu"), rate_low=ends["rate_low"][None], rate_high=ends["rate_high"][None], shares=shares,
        sustained=np.asarray([then.curve.holds], dtype=np.float64),
    )  # fmt: skip


def _watts(pool: Pool, drawn: Grid, used: Grid) -> Grid:
    """The mean power of one device, which works for a part of the time. [W]"""
    return np.asarray(mean_power(pool.curve.hardware.device.tdp or np.nan, drawn, used))


def watts(curve: Curve, column: int) -> tuple[float, float]:
    """The mean power of a device that prefills, and of one that decodes; 0 where the TDP is not known. [W]"""
    assert curve.pools is not None
    rate = curve.of("requests_per_s")[column]
    first, then = (
        float(np.nan_to_num(_watts(pool, pool.curve.of("power_w")[at], rate / pool.requests_per_s[at])))
        for pool in (curve.pools.prefill, curve.pools.decode)
        for at in (pool.at(column),)
    )
    return first, then


def _weighted(work: tuple[Grid, Grid], prefill: Curve, decode: Curve, name: str, column: int) -> Grid:
    """A share of the time, over all devices at work."""
    assert prefill.state is not None
    assert decode.state is not None
    one, other = prefill.state.shares[name][0, column], decode.state.shares[name][0]
    return np.asarray([(work[0] * one + work[1] * other) / (work[0] + work[1])])


def splits(devices: int, prefill: int, decode: int) -> Iterator[tuple[int, int]]:
    """How many replicas of so many devices each fit: for every number of those that prefill, the most that decode.

    >>> list(splits(8, prefill=2, decode=1))
    [(1, 6), (2, 4), (3, 2)]
    """
    for first in range(1, (devices - decode) // prefill + 1):
        yield first, (devices - first * prefill) // decode


def best_split(devices: int, pair: Pair, columns: tuple[int, int]) -> tuple[int, int]:
    """The split that serves most at these batches. At least one replica of each must fit.

    With rates a and b of a replica, x a = y b would be it; whole replicas are the ones beside.
    """
    (p, d) = (pair.prefill.devices, pair.decode.devices)
    a, b = (float(c.of("requests_per_s")[at]) for c, at in zip((pair.prefill, pair.decode), columns, strict=True))
    even = devices * b / (a * d + b * p)  # x such that x a = (devices - x p) / d x b
    most = (devices - d) // p
    near = {min(max(1, int(even) + step), most) for step in (-1, 0, 1, 2)}
    return max(
        ((x, (devices - x * p) // d) for x in near), key=lambda xy: (min(xy[0] * a, xy[1] * b), -xy[0] * p - xy[1] * d)
    )


def pooled_curves(question: Question, hardware: Sequence[Hardware], targets: Targets) -> list[Curve]:
    """Each hardware of several devices, split into two pools in every way; a curve with a problem where none serves."""
    found: list[Curve] = []
    for who, prefill, decode in paired_curves(question, [(each, each) for each in hardware if each.count > 1]):
        ways = [way for p in prefill for d in decode for way in _ways(p, d, who, targets)]
        found += ways or [replace(decode[0], state=None, problem=problem_of(prefill, decode), who=who)]
    return found


def paired_curves(
    question: Question, pairs: Sequence[tuple[Hardware, Hardware]]
) -> Iterator[tuple[Served, list[Curve], list[Curve]]]:
    """For each pair of hardware and each dtype what serves, the layouts that prefill and those that decode."""
    if not pairs:
        return
    first, then = (
        curves(replace(question, only=phase), list({id(each): each for each in side}.values()))
        for phase, side in zip((Phase.PREFILL, Phase.DECODE), zip(*pairs, strict=True), strict=True)
    )
    for prefill, decode in pairs:
        own = [curve for curve in then if curve.hardware is decode]
        others = [curve for curve in first if curve.hardware is prefill]
        for dtype in dict.fromkeys(curve.who.dtype for curve in own):
            sides = [[curve for curve in side if curve.who.dtype == dtype] for side in (others, own)]
            yield Served(decode.name, dtype, prefill.name), sides[0], sides[1]


def problem_of(prefill: Sequence[Curve], decode: Sequence[Curve]) -> str:
    """Why no pair serves."""
    problems = [curve.problem for curve in (*prefill, *decode) if curve.problem]
    return problems[0] if problems else "no two pools fit into its devices"


def _ways(prefill: Curve, decode: Curve, who: Served, targets: Targets) -> Iterator[Curve]:
    """Every split of a hardware between two layouts."""
    devices = decode.hardware.count
    if prefill.problem or decode.problem or prefill.devices + decode.devices > devices:
        return
    pair = pair_of(prefill, decode, devices)
    at = best_column(pair.decode, Targets(None, targets.tpot))
    for counts in splits(devices, prefill.devices, decode.devices):
        needed = 0.0 if at is None else float(pair.decode.of("requests_per_s")[at]) * counts[1] / counts[0]
        column = prefill_column(pair, targets, needed)
        if column is None:
            column = nearest_column(pair.prefill, Targets(targets.ttft, None))
        if column is not None:
            yield joined(pair, column, counts, who)


def ideal_rate(curve: Curve, targets: Targets) -> float:
    """Requests per second of a device at the best batch under the targets; of pools that are split without a rest."""
    if curve.pools is None:
        return _rate(curve, best_column(curve, targets)) / curve.devices
    p, d = curve.pools.prefill.curve, curve.pools.decode.curve
    reading, decoding = _rate(p, full_column(p, targets)), _rate(d, best_column(d, Targets(None, targets.tpot)))
    return 1 / (p.devices / max(reading, 1e-30) + d.devices / max(decoding, 1e-30))


def _rate(curve: Curve, column: int | None) -> float:
    return 0.0 if column is None else float(curve.of("requests_per_s")[column])
