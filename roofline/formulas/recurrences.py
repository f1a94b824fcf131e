"""The part of the catalogue that has states: convolutions, scans, delta rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roofline.formulas.lone_layers import Build, Layer, fixed
from roofline.layers import convolution, delta_rule, linear_recurrence, mamba, mamba2
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor


def _scan(stated_by: Callable[..., Any]) -> Build:
    """The one kernel of a scan, or the mixer around it, with all pairs of a chunk where the convention says so."""

    def build(conventions: Conventions) -> tuple[Op, ...]:
        ops = stated_by(square=conventions.count == "square")
        return (ops,) if isinstance(ops, Op) else tuple(ops)

    return build


def _step(stated_by: Callable[..., Any]) -> Build:
    """The step of decode."""
    ops = stated_by(step=True)
    return fixed(*((ops,) if isinstance(ops, Op) else ops))


_X, _Y = (Tensor(name, "B T F") for name in "xy")

RECURRENCES: dict[str, Layer] = {
    "kimi_delta_attention": Layer(
        "Kimi's delta attention, a step of decode",
        _step(delta_rule.kimi_delta_attention),
        delta_rule.kimi_delta_attention,
    ),
    "causal_convolution": Layer(
        "causal convolution of each channel, a step of decode",
        fixed(convolution.causal_convolution("convolution", _X, _Y, step=True)),
        convolution.causal_convolution,
    ),
    "short_convolution": Layer(
        "gated short convolution, a step of decode",
        _step(convolution.short_convolution),
        convolution.short_convolution,
    ),
    "selective_projections": Layer(
        "projections of Mamba's selection", fixed(*mamba.selective_projections()), mamba.selective_projections
    ),
    "selective_scan": Layer("Mamba's scan, a step of decode", _step(mamba.selective_scan), mamba.selective_scan),
    "mamba": Layer("Mamba, a step of decode", _step(mamba.mamba), mamba.mamba),
    "chunked_scan": Layer(
        "state-space duality: Mamba-2's scan of a prompt", _scan(mamba2.chunked_scan), mamba2.chunked_scan
    ),
    "recurrent_scan": Layer("Mamba-2's scan, a step of decode", fixed(mamba2.recurrent_scan()), mamba2.recurrent_scan),
    "gate_and_norm": Layer("gate and norm of Mamba-2", fixed(mamba2.gate_and_norm()), mamba2.gate_and_norm),
    "mamba2": Layer("Mamba-2, a step of decode", _step(mamba2.mamba2), mamba2.mamba2),
    "chunked_delta_rule": Layer(
        "gated delta rule over a prompt", _scan(delta_rule.chunked_delta_rule), delta_rule.chunked_delta_rule
    ),
    "recurrent_delta_rule": Layer(
        "gated delta rule, a step of decode",
        fixed(delta_rule.recurrent_delta_rule()),
        delta_rule.recurrent_delta_rule,
    ),
    "norm_and_gate": Layer(
        "norm and gate of the delta rule", fixed(delta_rule.norm_and_gate()), delta_rule.norm_and_gate
    ),
    "gated_delta_net": Layer(
        "gated delta net, a step of decode", _step(delta_rule.gated_delta_net), delta_rule.gated_delta_net
    ),
    "block_gates": Layer("gates of the RG-LRU", fixed(linear_recurrence.block_gates()), linear_recurrence.block_gates),
    "linear_recurrence": Layer(
        "recurrence of the RG-LRU, a step of decode",
        _step(linear_recurrence.linear_recurrence),
        linear_recurrence.linear_recurrence,
    ),
    "lightning_scan": Layer(
        "lightning attention over a prompt", _scan(linear_recurrence.lightning_scan), linear_recurrence.lightning_scan
    ),
    "lightning_step": Layer(
        "lightning attention of one token", fixed(linear_recurrence.lightning_step()), linear_recurrence.lightning_step
    ),
    "lightning_attention": Layer(
        "lightning attention and what is around it, a step of decode",
        _step(linear_recurrence.lightning_attention),
        linear_recurrence.lightning_attention,
    ),
    "recurrent_block": Layer(
        "Griffin's recurrent block, a step of decode",
        _step(linear_recurrence.recurrent_block),
        linear_recurrence.recurrent_block,
    ),
}
"""Name -> layer, in the order of the page."""
