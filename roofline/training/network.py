"""A network as it is trained: its passes, and what each policy saves of it, each derived once.

Of a traced module both passes are as its own code ran them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from roofline.errors import UsageError, WorkloadError
from roofline.models.model import GENERATES, Model
from roofline.models.outline import Outline
from roofline.options.verbs.training import TrainOptions
from roofline.program.conventions import Conventions
from roofline.program.op import Tensor
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.recompute import NOTHING, Recompute, needed_again
from roofline.program.saved import Saved, saved_as_read, saved_tensors
from roofline.program.training import training_program, with_loss
from roofline.training.kept.losses import Loss
from roofline.training.kept.narrow import Narrow, matrices, multiplies


@dataclass(frozen=True)
class Network:
    """The forward pass of a network over whole sequences, and what follows from it.

    ``trained`` says of a weight whether it learns. ``stated``: both passes, where they are not derived but were traced,
    with the names of what backward reads of the forward pass. ``narrow``: how matmuls are fed in fp8, where they are.
    ``loss``: how cross-entropy runs, where the network has one.
    """

    program: Program
    trained: Callable[[Tensor], bool] = lambda _: True
    stated: tuple[Program, frozenset[str]] | None = None
    narrow: Narrow | None = None
    loss: Loss = field(default=Loss("fused"))
    _saved: dict[Recompute, list[Saved]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def forward(self) -> Program:
        """The forward pass with its loss, in a phase of its own."""
        if self.stated is not None:
            step, _ = self.stated
            return Program(tuple(group for group in step.groups if Phase.FORWARD in group.phases), step.sizes)
        return Program(tuple(with_loss(self.program)), self.program.sizes)

    @cached_property
    def step(self) -> Program:
        """Both passes."""
        return self._wide if self.narrow is None else self.narrow.apply(self._wide)

    @cached_property
    def _wide(self) -> Program:
        """The same without casts to fp8."""
        return training_program(self.program, self.trained) if self.stated is None else self.stated[0]

    @cached_property
    def narrow_names(self) -> frozenset[str]:
        """Names of the weights that are multiplied in fp8."""
        return frozenset() if self.narrow is None else matrices(self._wide)

    @cached_property
    def learns_whole(self) -> bool:
        """Whether every weight learns."""
        return all(self.trained(tensor) for _, _, tensor in self.program.weights())

    @cached_property
    def learning_parameters(self) -> int:
        """How many parameters learn."""
        own = [(group, op, t) for group, op, t in self.program.weights() if self.trained(t)]
        return int(sum(self.program.resident(group, op, t, self.program.sizes) for group, op, t in own))

    def needed(self, *, in_order: bool) -> frozenset[tuple[str, str]]:
        """The operators of layers, by group and name, that make again what full recomputation drops.

        ``in_order``: with all that comes before them, as eager modules run.
        """
        kept, dropped = self.saved(Recompute("full")), dict[str, set[tuple[str, str]]]()
        there = {(each.group.name, each.place, each.tensor.name) for each in kept}
        for each in self.saved(NOTHING):
            if each.group.stacked and (each.group.name, each.place, each.tensor.name) not in there:
                dropped.setdefault(each.group.name, set()).add((each.op.name, each.tensor.name))
        layers = [group for group in self.forward.groups if group.name in dropped]
        again = ((each, needed_again(each, dropped[each.name], in_order=in_order)) for each in layers)
        return frozenset((each.name, name) for each, names in again for name in names)

    def saved(self, policy: Recompute) -> list[Saved]:
        """What a policy keeps for the backward pass."""
        if policy not in self._saved:
            self._saved[policy] = self._saved_under(policy)
        return self._saved[policy]

    def _saved_under(self, policy: Recompute) -> list[Saved]:
        if self.stated is None:
            found = saved_tensors(self.program, policy, self.trained)
            return found if self.narrow is None else self._as_stored(self.narrow, found)
        return saved_as_read(self.forward, self.stated[1], policy)

    def _as_stored(self, how: Narrow, found: list[Saved]) -> list[Saved]:
        names = self.narrow_names
        narrow = saved_tensors(self.program, trained=self.trained, readers=lambda op: multiplies(op, names))
        wide = saved_tensors(self.program, trained=self.trained, readers=lambda op: not multiplies(op, names))
        return [kept for each in found for kept in how.stored(each, narrow, wide)]


# Traced modules

_ITS_OWN: Mapping[str, str] = {
    "lora": "put the adapters into the module", "trained": "set requires_grad in the module",
    "weight_dtype": "nothing says which of its matrices are stored so", "dropout": "put it into the module",
    "loss": "put it into the module",
    "sequence_lengths": "its code says what a document sees",
}  # fmt: skip
"""Options that change a stated network, and what says the same of a module."""

POLICIES = ("none", "full", "every")


def check_traced(network: Model, asked: TrainOptions) -> None:
    """Raises WorkloadError or UsageError for a module traced in inference, and for options that do not go with code."""
    config = network.config
    traced = config.trace if isinstance(config, Outline) else None
    if network.model_type == GENERATES:
        msg = f"{network.name} is a whole generator; give the code of its transformer (FILE.py:FUNCTION)"
        raise WorkloadError(msg)
    if traced is None or traced.recording.backward is None:
        msg = (
            f"{network.name} was traced in inference, and nothing says what its operators save; give its code "
            '(FILE.py:FUNCTION), or trace(module, inputs, mode="training")'
        )
        raise WorkloadError(msg)
    for option, instead in _ITS_OWN.items():
        if asked.get(option):
            msg = f"{option.replace('_', '-')} does not go with a traced module ({network.name}): {instead}"
            raise UsageError(msg)
    if asked["fusion"] == "engine":
        msg = f"fusion engine: engines of inference fuse so; give none or inductor to train {network.name}"
        raise UsageError(msg)
    policy = asked["recompute"]
    if policy is not None and policy.partition(":")[0] not in POLICIES:
        msg = (
            f"recompute {policy}: of a traced module ({network.name}) whole layers are made again: none, full, every:K"
        )
        raise UsageError(msg)
    if network.lengths.unit and asked["batch"] is None:
        msg = f"{network.name} reads {network.lengths.unit}, not tokens; give --batch"
        raise UsageError(msg)


def traced_network(network: Model, conventions: Conventions) -> Network:
    """Both passes of a module that was traced for training, as eager torch runs them, or a graph compiler."""
    assert isinstance(network.config, Outline)
    assert network.config.training is not None
    step, read = network.config.training(conventions)
    forward = Program(tuple(group for group in step.groups if Phase.FORWARD in group.phases), step.sizes)
    return Network(forward, _trained(step), (step, read))


def _trained(step: Program) -> Callable[[Tensor], bool]:
    """Whether a weight has a gradient."""
    groups = [group for group in step.groups if Phase.BACKWARD in group.phases]
    names = {t.gradient_of for group in groups for op in group.ops for t in op.writes if t.gradient_of}
    return lambda tensor: tensor.name in names
