"""FLOPs of a training step: the model's own, and what the devices do with what a policy makes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roofline.number import Number, added, exact
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.recompute import Recompute


def model_flops(step: Program, lengths: Mapping[str, Number], batch: Number = 1) -> Number:
    """Contraction FLOPs of the forward and the backward pass, nothing made again: what MFU counts.

    ``lengths`` are T, S and M. Fused attention's backward pass computes its scores once more, which are not counted.

    >>> from roofline.models.model import load_model
    >>> from roofline.program.conventions import Conventions
    >>> from roofline.program.training import training_program
    >>> program = load_model("gpt2").program(Conventions(lm_head="all"))
    >>> six_nd = 6 * 124_439_808 * 1024  # attention is not in it
    >>> round(float(model_flops(training_program(program), dict.fromkeys("TSM", 1024))) / six_nd, 3)
    1.069

    Source: PaLM, Chowdhery et al. 2022 (arXiv 2204.02311), appendix B.
    """
    sizes = _sizes(step, lengths, batch)
    counts: list[Number] = []
    for phase in step.phases:
        for group, op in step.in_phase(phase):
            local = group.sizes(sizes)
            again = [part for part in op.parts if phase is Phase.BACKWARD and not part.writes[0].gradient_of]
            once = op.flops(local) - added(replace(part, local=op.local).flops(local) for part in again)
            counts.append(once * group.times(sizes))
    return added(counts)


def recomputed_flops(step: Program, policy: Recompute, lengths: Mapping[str, Number], batch: Number = 1) -> Number:
    """Contraction FLOPs of what a policy makes again: what HFU counts besides."""
    sizes = _sizes(step, lengths, batch)
    forward = [group for group in step.groups if Phase.FORWARD in group.phases]
    return added(op.flops(g.sizes(sizes)) * g.times(sizes) for g in forward for op in policy.again(g))


def _sizes(step: Program, lengths: Mapping[str, Number], batch: Number) -> dict[str, Number]:
    return {letter: exact(size) for letter, size in {**step.sizes, "B": batch, **lengths}.items()}
