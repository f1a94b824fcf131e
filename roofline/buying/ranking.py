"""Which of this hardware serves a load best: each at its best batch under the targets, sorted, ties told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from roofline.buying.caches.below import with_caches_below
from roofline.buying.economics import ApiPrices
from roofline.buying.pareto import FrontPoint, pareto_front
from roofline.buying.pools.encode import EncodingApart, with_encoders
from roofline.buying.pools_or_mixed import PoolsOrMixed, pools_or_mixed
from roofline.buying.serving_costs import ServingCost, serving_cost
from roofline.buying.terms import Terms
from roofline.classes import frozen
from roofline.engines.engine import Engine
from roofline.errors import UsageError
from roofline.program.workload import MAX_LENGTH
from roofline.serving.batch_sweep import curves
from roofline.serving.curve import Curve, Served, groups_of
from roofline.serving.disaggregated_serving import pooled_curves
from roofline.serving.hardware_choice import Hardware
from roofline.serving.operating_points import (
    OperatingPoint,
    Targets,
    best_column,
    nearest_column,
    point_at,
    ratio_band,
)
from roofline.serving.scenario import Question
from roofline.version import versions


@frozen
class Row:
    """Hardware in a comparison: its best batch under the targets, or the one that misses them by the least.

    ``misses`` are the reasons why it does not qualify, ``excess`` by what factor it is beyond the worse of the targets.
    ``cost`` is None where ``no_cost`` says why. ``tie``: the 90 %
    band of the ratio to the first row contains 1. ``unsure``: at the slow end of its band it would miss. ``alone``: one
    sequence at a time, where no target says how fast is fast enough.
    """

    curve: Curve
    point: OperatingPoint | None
    misses: tuple[str, ...]
    cost: ServingCost | None
    no_cost: str
    unsure: tuple[str, ...] = ()
    tie: bool = False
    alone: OperatingPoint | None = None
    excess: float = 0.0

    @property
    def hardware(self) -> Hardware:
        """What is compared."""
        return self.curve.hardware

    @property
    def qualifies(self) -> bool:
        """Whether it serves within the targets."""
        return self.point is not None and not self.misses

    def to_dict(self, terms: Terms) -> dict[str, Any]:
        """The row as JSON."""
        c, device = self.curve.constants, self.hardware.device
        return {
            "hardware": {"name": self.hardware.name, "device": device.name, "count": self.hardware.count},
            "dtype": self.curve.dtype,
            "engine": self.curve.running.to_dict() if self.curve.running else None,
            "qualifies": self.qualifies,
            "misses": list(self.misses),
            "unsure": list(self.unsure),
            "tie_with_first": self.tie,
            **(self.point.to_dict() if self.point else {}),
            **({"batch_1": self.alone.to_dict()} if self.alone else {}),
            f"{'requests' if self.curve.reads else 'tokens'}_per_kwh": (
                self.point.tokens_per_kwh(terms.owning.pue) if self.point else None
            ),
            "tdp_w": device.tdp,
            "max_batch": self.curve.most,
            "pools": self.curve.pools.to_dict(self.point.batch) if self.curve.pools and self.point else None,
            **self._encode(),
            "cost": self.cost.to_dict(terms.utilizations, terms.api) if self.cost else None,
            "no_cost": self.no_cost or None,
            "provenance": c.provenance if c else None,
            "constants": c.whose if c else None,
            "notes": list(self.curve.notes_at(self.point.batch if self.point else None)),
        }

    def _encode(self) -> dict[str, Any]:
        """What encodes apart."""
        encoders = self.curve.encoders
        if encoders is None or self.point is None:
            return {}
        return {"encode": encoders.to_dict(self.point.requests_per_s.value, encoders.pool.devices)}


@frozen
class Comparison:
    """Rows, those that qualify first, the cheapest before the others, or at a ``batch`` the fastest; what was asked."""

    question: Question
    targets: Targets
    terms: Terms
    rows: tuple[Row, ...]
    front: tuple[FrontPoint, ...] = ()
    batch: int | None = None

    @property
    def qualifies(self) -> bool:
        """Whether any row does."""
        return any(row.qualifies for row in self.rows)

    @property
    def pools_or_mixed(self) -> tuple[PoolsOrMixed, ...]:
        """Each hardware in pools against aggregated serving on the same, by the device-seconds of a token."""
        mixed = {row.curve.who: row for row in self.rows if row.curve.pools is None and row.qualifies}
        found = []
        for row in self.rows:
            other = mixed.get(row.curve.who.mixed)
            if row.curve.pools is not None and row.qualifies and row.point and other is not None and other.point:
                costs = (1 / row.point.device_tokens_per_s, 1 / other.point.device_tokens_per_s)
                found.append(pools_or_mixed(row.curve, other.curve, costs, "device-seconds/token", self.targets))
        return tuple(found)

    def _repr_html_(self) -> str:
        from roofline.reports.serving.comparison import comparison_html  # noqa: PLC0415  (a floor up: only a notebook asks for it)

        return comparison_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``compare``."""
        rows, front = [row.to_dict(self.terms) for row in self.rows], [point.to_dict() for point in self.front]
        pools = [each.to_dict() for each in self.pools_or_mixed]
        return {
            **heading(self.question, self.targets, self.terms),
            "batch": self.batch,
            "rows": rows,
            "pareto_front": front,
            **({"pools_or_mixed": pools} if pools else {}),
        }


def asked_engine(question: Question) -> str | None:
    """The engine that was asked for by name; None for the usual one of each hardware."""
    asked = question.asked["engine"]
    return None if asked is None else asked.name if isinstance(asked, Engine) else str(asked)


def api_prices(api: ApiPrices | None) -> dict[str, Any]:
    """The prices of an API as JSON has them among the inputs."""
    return {
        "api_usd_per_million": None if api is None else [api.input_usd, api.output_usd],
        "api_cached_usd_per_million": None if api is None else api.cached_usd,
    }


def heading(question: Question, targets: Targets, terms: Terms) -> dict[str, Any]:
    """What JSON of serving starts with: version, model, inputs."""
    traffic, owning = question.traffic, terms.owning
    lengths = {"prompt": traffic.prompt.words, "generate": traffic.generate.words}
    means = {"prompt_mean": traffic.prompt.mean, "generate_mean": traffic.generate.mean}
    if traffic.reads:
        lengths, means = {"prompt": traffic.prompt.words}, {"prompt_mean": traffic.prompt.mean}
        lengths["reads"] = traffic.reads
    inputs: dict[str, Any] = {
        "workload": traffic.name, "workload_source": traffic.source, **lengths, **means, "prefix_hits": traffic.cached,
        "engine": asked_engine(question), **targets.to_dict(), "price_kind": terms.kind, "years": owning.years,
        "pue": owning.pue, "usd_per_kwh": owning.usd_per_kwh, "hosting_usd_per_h": owning.hosting_usd_per_h,
        "chassis_usd": owning.chassis_usd, **api_prices(terms.api),
        "utilizations": list(terms.utilizations), "overrides": dict(question.overrides),
    }  # fmt: skip
    if spoken := question.speculation:
        draft = spoken.draft.name if spoken.draft else None
        inputs |= {"speculate_tokens": spoken.tokens, "accepted": list(spoken.accepted), "draft": draft}
    for name, one in traffic.shown.each:
        inputs |= {f"{name}_tokens": one.tokens, f"{name}_sequences": one.sequences}
    if question.program.anonymous:
        inputs["fusion"] = question.asked["fusion"]
    if question.adapters:
        inputs["lora"] = question.adapters.words
    return {**versions(), "model": question.model.name, "inputs": inputs, "notes": list(question.notes)}


def compare_hardware(
    question: Question, hardware: Sequence[Hardware], targets: Targets, terms: Terms, batch: int | None = None,
    offload: str | None = None, apart: EncodingApart | None = None,
) -> Comparison:  # fmt: skip
    """Each hardware at its best batch under the targets, sorted; what misses a target stays, with the reason.

    At a ``batch`` that is given rows are of that, the least time per token first. ``offload``: tiers in which the part
    of each prompt that is said to be cached lies. ``apart``: the pool that encodes, the same for each.

    Rows that qualify come first; among them those with a price, the cheapest million tokens first; then the most tokens
    per second and device. Of those that do not, the ones that miss the targets by the least come first, as of the
    layouts of one hardware the one that does. Where the question asks for ``pools``, hardware of several devices has a
    row too with prefill and decode on devices of their own. Raises UsageError without hardware, or where no two devices
    are, and for a batch of none.
    """
    if batch is not None and not (isinstance(batch, int) and 1 <= batch <= MAX_LENGTH):
        msg = f"batch {batch!r}: expected a whole number from 1 to {MAX_LENGTH}"
        raise UsageError(msg)
    rank = _rank if batch is None else _pace
    if not hardware:
        msg = "no hardware to compare; name some such as h100,mi300x"
        raise UsageError(msg)
    pools = question.asked["pools"]
    if pools and all(each.count == 1 for each in hardware):
        msg = "pools take two devices at least; give counts such as 8xh100, or ask size"
        raise UsageError(msg)
    if pools and offload is not None:
        msg = "offload: pools hand caches over, and their tiers are simulated; leave pools out, or ask size"
        raise UsageError(msg)
    searched, asked = targets if batch is None else None, apart.rest(question) if apart else question
    found = curves(asked, hardware, searched, batch) + (pooled_curves(asked, hardware, targets) if pools else [])
    if offload is not None:
        found = with_caches_below(found, asked, hardware, searched, offload, batch)
    if apart is not None:
        found = apart.joined(found, question, bounded=True)
    best: dict[Served, Row] = {}
    for curve in found:  # of the layouts of one hardware in one dtype, the best
        row = _row(curve, question, targets, terms, batch)
        best[curve.who] = min((best.get(curve.who, row), row), key=rank)
    rows = sorted((_alone(row, found) for row in best.values()), key=rank)
    front = pareto_front(found, question.traffic, targets, terms)
    tied = tuple(_tied(row, rows[0], batch) for row in rows)
    return Comparison(question, targets, terms, tied, front, batch)


def _row(curve: Curve, question: Question, targets: Targets, terms: Terms, batch: int | None) -> Row:
    if curve.problem or curve.state is None:
        return Row(curve, None, (curve.problem,), None, "")
    if batch is None:
        column = best_column(curve, targets)
        chosen = nearest_column(curve, targets) if column is None else column
        if chosen is None:
            return Row(curve, None, ("no batch whose prompts fit the steps; give a larger engine.chunk",), None, "")
    else:
        held = np.flatnonzero((curve.state.batches == batch) & curve.holds)
        if not len(held):
            return Row(curve, None, (_no_batch(curve, batch),), None, "")
        chosen = int(held[0])
    point = point_at(curve, chosen, curve.replicas)
    cost, no_cost = serving_cost(curve.hardware, point, question.traffic, terms)
    if (encoders := curve.encoders) is not None:
        cost, no_cost = with_encoders(cost, no_cost, encoders, encoders.pool.devices, terms)
    misses = tuple(targets.misses(point.ttft.value, point.tpot.value))
    unsure = tuple(targets.misses(point.ttft.high, point.tpot.high))
    lone = batch is None and targets.none and curve.pools is None
    alone = point_at(curve, 0, curve.replicas) if lone else None
    excess = float(targets.excess(point.ttft.value, point.tpot.value))
    return Row(curve, point, misses, cost, no_cost, unsure if not misses else (), alone=alone, excess=excess)


def _no_batch(curve: Curve, batch: int) -> str:
    groups = groups_of(curve.split)
    if curve.most is not None and batch > curve.most:
        return f"no batch of {batch}: {curve.most} fit"
    if batch % groups:
        return f"no batch of {batch}: sequences of {curve.split} are in {groups} equal groups"
    return f"no batch of {batch} whose prompts fit the steps"


def _alone(row: Row, curves: Sequence[Curve]) -> Row:
    """The row; where sequences are in groups, one is alone in the fastest layout of one group."""
    single = [each for each in curves if each.who == row.curve.who and each.groups == 1 and not each.problem]
    if row.alone is None or row.curve.groups == 1 or not single:
        return row
    fastest = min(single, key=lambda curve: float(curve.of("tpot_s")[0]))
    return replace(row, alone=point_at(fastest, 0, fastest.replicas))


def _rank(row: Row) -> tuple[Any, ...]:
    if row.point is None:
        return (2, 0, -row.curve.devices, str(row.curve.who))
    price = (0, row.cost.mix(1.0)) if row.cost else (1, -row.point.device_tokens_per_s)
    beyond = (0, 0.0) if row.qualifies else (1, row.excess)
    return (*beyond, *price, str(row.curve.who))


def _pace(row: Row) -> tuple[Any, ...]:
    """By the time of a token, or of a pass."""
    if row.point is None:
        return _rank(row)
    times = row.point.tpot.value, row.point.ttft.value
    return (0 if row.qualifies else 1, *times, str(row.curve.who))


def _tied(row: Row, first: Row, batch: int | None) -> Row:
    """The row, marked where it cannot be told from the first one: by its price, or at a batch by its pace."""
    if row is first or not (row.qualifies and first.qualifies) or row.point is None or first.point is None:
        return row
    if batch is None and (row.cost is None) != (first.cost is None):
        return row
    scale = 1.0
    if batch is not None:
        pass
    elif row.cost and first.cost:
        scale = first.cost.usd_per_h(1.0) / row.cost.usd_per_h(1.0)
    else:
        scale = first.point.devices / row.point.devices
    same = row.hardware.device.name == first.hardware.device.name and row.curve.constants == first.curve.constants
    of = (row.point.requests_per_s, first.point.requests_per_s) if batch is None else (row.point.tpot, first.point.tpot)
    ratio = ratio_band(*of, correlated=same)
    tie = ratio.low * scale <= 1 <= ratio.high * scale
    return replace(row, tie=tie)
