"""A machine that runs steps: rates, constants, how operators are launched, links, the memory that is left to a model.

Every time of an operator, in a prediction, a layout, a serving curve, a training run, a formula or a chart, comes from
:meth:`Machine.time`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

from roofline.calibration.constants import Constants, Execution
from roofline.classes import frozen
from roofline.cost.cost import Cost
from roofline.cost.kernel_shapes import (
    AttentionShape,
    ConvolutionShape,
    GroupedShape,
    MatmulShape,
    RowShape,
    ScanShape,
)
from roofline.identity import Same
from roofline.number import Number, added, maximum, minimum
from roofline.timing.collectives import time_transfer
from roofline.timing.networks import Network
from roofline.timing.operator import bound_s, time_operator
from roofline.timing.rates import Rates
from roofline.timing.timing import Timing, behind_copy, beside_others, between_steps, beyond, total
from roofline.timing.two_batches import exposed

PACKED = "_w4"
"""How dtypes of constants end whose weights are in 4 bits that a kernel unpacks."""


class ConstantSource(Protocol):
    """Where the constants of a kind of operator come from: a calibration, a class, symbols, a what-if."""

    def of(self, kind: str, execution: Execution, name: str = "", dtype: str = "") -> Constants:
        """The constants of the operator ``name`` if it has its own, else of its kind."""

    def unfused(self, dtype: str) -> bool:
        """Whether they are those of single kernels, of which eager torch runs several for an operator."""


@frozen
class Machine:
    """What the time of a step depends on beside its costs.

    ``execution`` is how operators are launched whose costs do not say it. ``single``: a host that launches runs the
    single kernels of eager torch. ``slower`` widens the band on the slow side, where kernels are young. ``room_bytes``
    is the memory that is left to a model on each device, None where it is not known. [B] ``host``: the host's time
    between steps, times this; 0 where only the data sheet counts. ``joins``: whether norms that ask for it run in the
    kernel of an all-reduce. ``host_link``: the rate at which the host's memory is read, None without a link. [B/s]
    ``beside``: whether operators that may run beside others do, in a decode step replayed from a graph.
    """

    rates: Rates
    constants: ConstantSource
    execution: Execution
    network: Network | None = None
    room_bytes: float | None = None
    single: bool = True
    slower: float = 1.0
    host: Number = 1.0
    joins: bool = False
    host_link: float | None = None
    beside: bool = False

    def fits(self, total_bytes: float) -> bool | None:
        """Whether so many bytes fit on a device; None where its memory is not known."""
        return None if self.room_bytes is None else total_bytes <= self.room_bytes

    def time(self, cost: Cost, name: str = "") -> Timing:
        """The time of one execution: of a collective over the links, of one kernel, or of what eager torch runs for it.

        A replayed graph takes as long as what it holds, at best as what was asked of it. ``name`` asks for the
        constants of an operator by name, where it is not the cost's own. Raises WorkloadError for a dtype that the
        device cannot contract in.
        """
        found = self._run(cost.padded or cost, name)
        if cost.padded is not None:
            found = replace(found, bound_s=minimum(found.bound_s, self._bound_s(cost, name)))
        found = found if self.slower == 1 else replace(found, high_s=found.high_s * self.slower)
        if self.host_link is None or (isinstance(cost.hosted_bytes, int) and cost.hosted_bytes == 0):
            return found
        return behind_copy(found, cost.hosted_bytes / self.host_link)

    def _bound_s(self, cost: Cost, name: str) -> Number:
        """The bound of one execution, of a kernel whatever time it takes. [s]"""
        if cost.host_s is not None or cost.transfer is not None or self.runs_single_kernels(cost):
            return self._run(cost, name).bound_s
        return bound_s(cost, self.rates, self.constants_of(cost, name))

    def _run(self, cost: Cost, name: str) -> Timing:
        if cost.host_s is not None:
            return between_steps(cost.host_s * self.host)
        if cost.transfer is not None:
            assert self.network is not None, "collectives come from layouts, which come with a network"
            each = cost.transfer
            asked = each.operation, cost.message_bytes, each.devices, each.stride
            found = time_transfer(*asked, self.network, each.copies)
            return found * (1 - self.network.use.overlap)  # the part that no other work hides
        whole = self._kernel(cost, name)
        if cost.beside and self.beside and cost.decoding:  # prompts are replayed up to some hundred tokens, if at all
            replayed = cost.replayed if cost.replayed is not None else int(self.execution == "graph")
            return beside_others(whole, replayed)
        if not self.runs_single_kernels(cost) or cost.kernels is None:
            return whole
        kernels = total((1, self._kernel(part)) for part in cost.kernels())
        bound = minimum(whole.bound_s, kernels.time_s)  # what lies between kernels need not move
        return replace(kernels, bound_s=bound, low_s=maximum(bound, kernels.low_s))

    def times(self, costs: Iterable[Cost]) -> list[Timing]:
        """The time of each operator of a step, one execution each; of a host that is ahead, what the device waits."""
        costs = list(costs)
        return with_waits(costs, self.times_of_device(costs))

    def times_of_device(self, costs: Sequence[Cost]) -> list[Timing]:
        """The same without the wait for a host that is ahead; of dispatch and combine, what no computation hides."""
        return exposed(costs, [self.time(cost) for cost in costs])

    def step(self, costs: Iterable[Cost]) -> Timing:
        """The time of a step: all executions of all its operators, one after the other."""
        costs = list(costs)
        return total((cost.count, timing) for cost, timing in zip(costs, self.times(costs), strict=True))

    def peak_s(self, cost: Cost) -> Number:
        """The seconds that the contractions of one execution take at the peak: what MFU compares with. [s]"""
        if isinstance(cost.flops, int) and cost.flops == 0:
            return 0
        return cost.mean_flops / self.rates.contraction_unit(cost.dtype)[1]

    def constants_of(self, cost: Cost, name: str = "") -> Constants:
        """The constants that an operator takes. What quantises is an operator of its own, and in no matmul's time."""
        found = self._launched(cost, name)
        return found if found.corrections.quantize is None else found.without("quantize")

    def _launched(self, cost: Cost, name: str) -> Constants:
        """The constants, with the latency of how the operator is launched; none within a collective's kernel."""
        if cost.joined and self.joins:
            return replace(self._launched(replace(cost, joined=False), name), latency_s=0.0)
        asked = kind_of(cost), name or cost.name, dtype_of(cost)
        if cost.replayed is None:
            return self._of(self.execution, *asked)
        if isinstance(cost.replayed, int):
            return self._of("graph" if cost.replayed else "eager", *asked)
        graph, host = self._of("graph", *asked), self._of("eager", *asked)
        latency = graph.latency_s * cost.replayed + host.latency_s * (1 - cost.replayed)
        return replace(graph, latency_s=latency)

    def runs_single_kernels(self, cost: Cost) -> bool:
        """Whether eager torch's single kernels run for an operator, and constants are those of such."""
        return self.execution == "eager" and self.single and self.constants.unfused(cost.dtype)

    def _of(self, execution: Execution, kind: str, name: str, dtype: str) -> Constants:
        return self.constants.of(kind, execution, name, dtype)

    def _kernel(self, cost: Cost, name: str = "") -> Timing:
        constants = self.constants_of(cost, name)
        plain = isinstance(cost.bytes, int | float | Fraction) and isinstance(cost.replayed, int)
        if cost.decoding and plain:  # most of a decode step is the same object at any context
            return _time_of_same(Same(cost), Same(self.rates), Same(constants))
        return time_operator(cost, self.rates, constants)


@lru_cache(maxsize=2048)
def _time_of_same(cost: Same[Cost], rates: Same[Rates], constants: Same[Constants]) -> Timing:
    return time_operator(cost.it, rates.it, constants.it)


def dtype_of(cost: Cost) -> str:
    """Whose constants an operator takes, by dtype: that of its contractions, and of experts what their weights are.

    Kernels of their own multiply weights that have scales by block (fp8_block), and weights of 4 bits that they unpack
    to what they multiply in (bf16_w4, fp8_w4).
    """
    shape = cost.shape
    if not isinstance(shape, GroupedShape | MatmulShape):
        return cost.dtype
    if isinstance(shape, GroupedShape) and shape.packed:
        return f"{cost.dtype}{PACKED}"
    return "fp8_block" if shape.blocked and cost.dtype == "fp8" else cost.dtype


def kind_of(cost: Cost) -> str:
    """Whose constants an operator takes: attention has several, by its phase, for an encoder's and over latents.

    What is elementwise between the matmuls of experts, or behind them, is ``routed``: one of their chain of kernels. A
    scan and a convolution of prompts is another kernel than their step of one token.
    """
    if isinstance(cost.shape, GroupedShape):
        return "grouped_matmul"
    if cost.kind != "attention" and not isinstance(cost.shape, ScanShape | ConvolutionShape):
        return "routed" if isinstance(cost.shape, RowShape) and cost.shape.routed else cost.kind
    phase = "decode" if cost.decoding else "prefill"
    if isinstance(cost.shape, ScanShape | ConvolutionShape):
        return f"{cost.shape.rule}_{phase}"
    if isinstance(cost.shape, AttentionShape) and cost.shape.latent:
        return f"latent_attention_{phase}"
    if isinstance(cost.shape, AttentionShape) and cost.shape.bidirectional and not cost.decoding:
        return "attention_encoder"
    return f"attention_{phase}"


def with_waits(costs: Sequence[Cost], found: Sequence[Timing]) -> list[Timing]:
    """The times of the operators of a step, where that of a host that is ahead becomes what the device waits for it.

    Letters take it that the device never waits.
    """
    pairs = list(zip(costs, found, strict=True))
    waited = iter(waits([pair for pair in pairs if pair[0].ahead], ((c.count, t) for c, t in pairs if not c.ahead)))
    return [next(waited) if cost.ahead else timing for cost, timing in pairs]


def waits(hosts: Sequence[tuple[Cost, Timing]], ran: Iterable[tuple[Number, Timing]]) -> list[Timing]:
    """What a device waits for what hosts do for a step: all of it, or of one that is ahead what is beyond the step.

    ``ran``: how often each operator runs, and its time.
    """
    steps = [cost.count for cost, _ in hosts if cost.ahead]
    if not steps:
        return [timing for _, timing in hosts]
    step_s = added(count * timing.time_s for count, timing in ran) / added(steps)
    return [beyond(timing, step_s) if cost.ahead else timing for cost, timing in hosts]
