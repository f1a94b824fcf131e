"""A network as it is trained: its passes, and what each policy saves of it, each derived once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from roofline.program.op import Tensor
from roofline.program.program import Program
from roofline.program.recompute import Recompute
from roofline.program.saved import Saved, saved_tensors
from roofline.program.training import training_program, with_loss


@dataclass(frozen=True)
class Network:
    """The forward pass of a network over whole sequences, and what follows from it.

    ``trained`` says of a weight whether it learns.
    """

    program: Program
    trained: Callable[[Tensor], bool] = lambda _: True
    _saved: dict[Recompute, list[Saved]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def forward(self) -> Program:
        """The forward pass with its loss, in a phase of its own."""
        return Program(tuple(with_loss(self.program)), self.program.sizes)

    @cached_property
    def step(self) -> Program:
        """Both passes."""
        return training_program(self.program, self.trained)

    @cached_property
    def learns_whole(self) -> bool:
        """Whether every weight learns."""
        return all(self.trained(tensor) for _, _, tensor in self.program.weights())

    @cached_property
    def learning_parameters(self) -> int:
        """How many parameters learn."""
        own = [(group, op, t) for group, op, t in self.program.weights() if self.trained(t)]
        return int(sum(self.program.resident(group, op, t, self.program.sizes) for group, op, t in own))

    def saved(self, policy: Recompute) -> list[Saved]:
        """What a policy keeps for the backward pass."""
        if policy not in self._saved:
            self._saved[policy] = saved_tensors(self.program, policy, self.trained)
        return self._saved[policy]
