"""Optimizers as data: what each keeps of a weight between steps, and the work of one update.

A state has as many elements as the weight, or, factored, one for each row and each column of a matrix, or, in blocks,
bytes with a scale for each block. An update is one pass over gradient, states and weights: memory-bound.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from roofline.classes import frozen
from roofline.errors import UsageError, near_matches
from roofline.number import Number, minimum, where

Form: TypeAlias = Literal["elements", "factored", "blocks"]

_BLOCK = 2048
"""Elements of a block of 8-bit states, which share a scale in fp32."""

_FP32 = 4

NEWTON_SCHULZ = 5
"""Iterations of Newton and Schulz in an update of Muon."""


@frozen
class OptimizerState:
    """What is kept of each weight: ``elements`` as wide as the master copy, ``factored`` or in 8-bit ``blocks``."""

    name: str
    form: Form = "elements"


@frozen
class Optimizer:
    """An optimizer: its states, the vector FLOPs of an update for each element, and whose they are.

    ``matrices``: what it keeps and does holds for the matrices of layers; tables, heads and vectors are AdamW's.
    ``orthogonal``: updates of matrices are made orthogonal by Newton and Schulz's iteration.
    """

    name: str
    states: tuple[OptimizerState, ...]
    flops: int
    source: str
    matrices: bool = False
    orthogonal: bool = False

    def bytes_per_element(self, width: Number) -> Number:
        """Bytes of states for each element of a large matrix, where the master copy has ``width`` bytes an element.

        >>> [float(OPTIMIZERS[name].bytes_per_element(4)) for name in ("sgd", "lion", "adamw")]
        [0.0, 4.0, 8.0]
        """
        wide = sum(state.form == "elements" for state in self.states)
        narrow = sum(state.form == "blocks" for state in self.states)
        return wide * width + narrow * (1 + _FP32 / _BLOCK)

    def state_bytes(self, rows: Number, columns: Number, width: Number) -> Number:
        """Bytes of the states of one matrix; of a vector ``rows`` is 1.

        >>> OPTIMIZERS["adafactor"].state_bytes(1000, 4000, 4) / 4
        5000.0
        """
        factored = sum(state.form == "factored" for state in self.states)
        each = where(rows > 1, rows + columns, columns)
        return rows * columns * self.bytes_per_element(width) + factored * each * width

    def matrix_flops(self, rows: Number, columns: Number) -> Number:
        """FLOPs of the contractions of an update of one matrix: 5 (4 r^2 c + 2 r^3) of Muon, r its shorter side.

        X X^T and its product with X are 2 r^2 c each, its square 2 r^3 (Jordan et al. 2024).

        >>> OPTIMIZERS["muon"].matrix_flops(10, 100), OPTIMIZERS["adamw"].matrix_flops(10, 100)
        (210000, 0)
        """
        if not self.orthogonal:
            return 0
        short = minimum(rows, columns)
        return NEWTON_SCHULZ * (4 * short * rows * columns + 2 * short * short * short)


_MOMENTS = (OptimizerState("momentum"), OptimizerState("variance"))

OPTIMIZERS = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer("sgd", (), 2, "w - lr g: Robbins and Monro 1951"),
        Optimizer("sgd-momentum", (OptimizerState("momentum"),), 4, "Polyak 1964; torch.optim.SGD"),
        Optimizer("adamw", _MOMENTS, 14, "Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2"),
        Optimizer(
            "adamw8bit",
            tuple(OptimizerState(state.name, "blocks") for state in _MOMENTS),
            18,
            "Dettmers et al. 2022 (arXiv 2110.02861), section 2: blocks of 2,048",
        ),
        Optimizer(
            "adafactor",
            (OptimizerState("variance", "factored"),),
            16,
            "Shazeer and Stern 2018 (arXiv 1804.04235), algorithm 4, without momentum",
        ),
        Optimizer("lion", _MOMENTS[:1], 9, "Chen et al. 2023 (arXiv 2302.06675), algorithm 2"),
        Optimizer(
            "muon",
            _MOMENTS[:1],
            6,
            "Jordan et al. 2024, Muon; Liu et al. 2025 (arXiv 2502.16982), section 2",
            matrices=True,
            orthogonal=True,
        ),
    )
}
"""By name."""


def read_optimizer(name: str) -> Optimizer:
    """An optimizer by its name. Raises UsageError for one that is not known."""
    if name not in OPTIMIZERS:
        msg = f"optimizer {name!r}: {near_matches(name, OPTIMIZERS)}"
        raise UsageError(msg)
    return OPTIMIZERS[name]
