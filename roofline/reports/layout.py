"""Several devices as people read them: the layout, its stages, what is sent, over which links."""

from __future__ import annotations

from collections.abc import Sequence

from roofline.prediction.figures import Operator, PhasePrediction
from roofline.prediction.predict import Prediction
from roofline.timing.networks import Network, Tier
from roofline.units import format_quantity

HEADER = ("sent", "form")
"""The columns that several devices add to the table of operators."""

MOST_REPLICATED = 3
"""Weights that are named."""

LEAST_REPLICATED = 1e-3
"""A part of the parameters below which, as the gains of norms are, it is in the JSON alone."""


def layout_lines(prediction: Prediction) -> list[str]:
    """The layout, the next best one where it was chosen, and which devices idle; nothing for one device alone."""
    chosen = prediction.chosen
    idle = [chosen.idle] if chosen and chosen.idle else []
    if prediction.count == 1:
        return idle
    line = f"layout: {prediction.layout}"
    if chosen is not None:
        line += f", the best of {chosen.tried} ({chosen.fitting} fit)"
        if chosen.runner_up is not None:
            what = "time" if chosen.fitting else "memory"
            line += f"; next: {chosen.runner_up}, {chosen.ratio:.2f} x the {what}"
    return [line, *idle, *_redundant_lines(prediction), *_hidden_lines(prediction), *_replicated_lines(prediction)]


def _hidden_lines(prediction: Prediction) -> list[str]:
    """How much of dispatch and combine two-batch overlap hides, where steps are run so."""
    parts = [f"{part:.0%} in {phase}" for phase, part in prediction.dispatch_hidden.items()]
    return [f"two-batch overlap hides dispatch and combine: {', '.join(parts)}"] if parts else []


def _redundant_lines(prediction: Prediction) -> list[str]:
    """How many experts a device holds, where copies fill the devices up."""
    copies, devices = prediction.redundant_experts, int(prediction.layout.ep)
    if not copies:
        return []
    experts = prediction.request.program.sizes["E"]
    each = (experts + copies) // devices
    return [f"experts: {experts} and {copies} redundant copies, {each} on each of {devices} devices"]


def _replicated_lines(prediction: Prediction) -> list[str]:
    """What all devices hold more often than once, from a thousandth of the parameters on: most of it by name."""
    found = prediction.replicated
    surplus, largest = int(sum(each.surplus for each in found)), found[:MOST_REPLICATED]
    if surplus < LEAST_REPLICATED * prediction.parameters:
        return []
    names = ", ".join(f"{each.name} x {float(1 + each.surplus / each.whole):g}" for each in largest)
    more = f" and {len(found) - len(largest)} more" if len(found) > len(largest) else ""
    share = surplus / prediction.parameters
    return [f"replicated on several devices: {names}{more}; {surplus:,} elements, {share:.1%} of the parameters"]


def phase_note(phase: PhasePrediction) -> str:
    """The chunks of a step, or the microbatches of a pipeline's and what one takes on its stages.

    Of stages there are the first, the fullest inner and the last.
    """
    if not phase.stages:
        return f", in {phase.chunks} chunks" if phase.chunks > 1 else ""
    names = ("first", "inner", "last") if len(phase.stages) > 2 else ("first", "last")
    times = ", ".join(
        f"{name} {format_quantity(time, 'time_s')}" for name, time in zip(names, phase.stages, strict=True)
    )
    several = f"{phase.microbatches} microbatches" if phase.microbatches > 1 else "one microbatch"
    return f", in {several}; stages: {times}"


def cells(operator: Operator | None, phase: PhasePrediction) -> Sequence[str]:
    """What an operator, or the whole phase, sends over its link, and in which form."""
    figures = operator.figures if operator else phase.figures
    sent = format_quantity(figures.link_bytes, "bytes") if figures.link_bytes else ""
    return sent, operator.form if operator else ""


def link_lines(network: Network | None, *, halves: bool = False) -> list[str]:
    """The links, what software reaches of them, and what of their time is taken to be hidden.

    ``halves``: two-batch overlap hides dispatch and combine, which is told by itself.
    """
    if network is None:
        return []
    parts = "; ".join(_tier(tier) for tier in network.tiers)
    return [f"links: {parts}; {_overlap(network, 'other ' * halves)}"]


def _tier(tier: Tier) -> str:
    rate = format_quantity(tier.bandwidth, "bytes_per_s")
    joined = f"{tier.name.replace('_', '-')} {rate} per direction among {tier.domain}"
    if tier.measured:
        return f"{joined}, collectives as measured on the device"
    if tier.constants is None:
        return f"{joined}, as rated"
    ring, own = tier.constants.ring, tier.constants.served(tier.served.library)
    bands = f"90 % band {ring.band.low:.3g} to {ring.band.high:.3g} x ({ring.band.evidence})"
    if own is not None:
        bands += f"; all-reduce of {tier.served.library}, {own.band.low:.3g} to {own.band.high:.3g} x"
    return f"{joined}, {tier.constants.whose or tier.kind} of calibrations/links.yaml, {bands}"


def _overlap(network: Network, other: str) -> str:
    if not network.use.overlap:
        return f"{other}communication is not overlapped with computation"
    return f"{network.use.overlap:.0%} of each {other}collective's time is assumed to be overlapped with computation"
