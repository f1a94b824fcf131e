"""What the time of a training step goes to: each operator's cause, and how what a policy makes again is counted."""

from __future__ import annotations

from roofline.cost.cost import Cost
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.transfers import Transfer
from roofline.training.kept.narrow import CAST
from roofline.training.learning import WIDEN

CAUSES = (
    "matmul_forward",
    "matmul_input_gradients",
    "matmul_weight_gradients",
    "attention_forward",
    "attention_backward",
    "widened",
    "casts",
    "other",
    "loss",
    "recompute",
    "tensor_parallel",
    "context_parallel",
    "expert_parallel",
)
"""Of the operators of a microbatch; ``widened``: frozen weights, from how they are stored; ``casts``: of what matmuls
read in fp8; ``other`` is what neither
multiplies matrices nor attends."""


def cause_of(op: Op, cost: Cost, phase: Phase, weights: frozenset[str]) -> str:
    """The cause of an operator of a phase; ``weights`` are the names of all weights."""
    if op.transfer is not None:
        return _of_transfer(op.transfer)
    if op.function.startswith("cross_entropy") or op.name.startswith("loss"):
        return "loss"
    if cost.kind == "attention":
        return f"attention_{phase}"
    if not any(work.unit == "matrix" for work in op.work):
        return {WIDEN: "widened", CAST: "casts"}.get(op.function, "other")
    if phase is Phase.FORWARD:
        return "matmul_forward"
    own = any(tensor.gradient_of in weights for tensor in op.writes)
    return "matmul_weight_gradients" if own else "matmul_input_gradients"


def _of_transfer(transfer: Transfer) -> str:
    if "ep" in transfer.over:
        return "expert_parallel"
    return "context_parallel" if transfer.over == "cp" else "tensor_parallel"
