"""The cost of any torch module: :func:`trace` runs it once without weights or data and makes a model of what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roofline.errors import MissingExtraError, UsageError
from roofline.models.model import Model
from roofline.models.outline import Outline
from roofline.program.conventions import Conventions
from roofline.program.lengths import Lengths
from roofline.program.workload import MAX_LENGTH
from roofline.tracing.inputs import Given, Input, read_dims, read_inputs


def trace(
    module: Any,
    example_inputs: Mapping[str, Given],
    *,
    dims: Mapping[str, int] | None = None,
    name: str = "",
    strict: bool = False,
) -> Model:
    """A torch module as a model that ``predict``, ``formula`` and all others take: one forward pass, in letters.

    ``example_inputs``: what ``forward`` is given by name, as sizes: ``{"x": "B,S,256"}``. B and S follow the batch and
    the prompt that are asked for; ``dims`` has the numbers of other letters. A tensor stands for its own sizes. The
    code of the module is run, once, in inference, on tensors that hold no data: no weights are allocated.

    FLOPs are those of the contractions that run, bytes those of kernels in which elementwise work, norms and gathers
    between two contractions are one. What has no known cost is a warning, and makes counts lower bounds; ``strict``
    refuses it. Raises UsageError, in one line with file and line, where the code depends on data or fixes a letter,
    MissingExtraError without torch.
    """
    torch = import_torch()
    if not isinstance(module, torch.nn.Module):
        msg = f"trace: given {type(module).__name__}, expected a torch.nn.Module"
        raise UsageError(msg)
    inputs = read_inputs(example_inputs)
    numbers = read_dims(dims or {}, inputs)
    return _traced(module, inputs, numbers, name or type(module).__name__, strict=strict)


def import_torch() -> Any:
    """Torch. Raises MissingExtraError without it."""
    try:
        import torch  # noqa: PLC0415  (an optional extra)
    except ImportError:
        purpose = "tracing a module"
        raise MissingExtraError(purpose, "trace") from None
    return torch


def _traced(module: Any, inputs: Sequence[Input], dims: Mapping[str, int], name: str, *, strict: bool) -> Model:
    from roofline.tracing.findings import losses_of  # noqa: PLC0415
    from roofline.tracing.folding import folded  # noqa: PLC0415
    from roofline.tracing.program import Traced  # noqa: PLC0415
    from roofline.tracing.running import record  # noqa: PLC0415  (needs torch)

    recording, guards = record(module, inputs, dims, name)
    losses = losses_of(recording, dims, name)
    if strict and losses:
        msg = f"{name}: {losses[0]}; without strict it is a lower bound"
        raise UsageError(msg)
    made = Traced(recording, folded(recording), dict(dims))
    if made.program(Conventions()).parameters() != made.parameters:  # weights that some layers share with others
        made = Traced(recording, folded(recording, repeats=False), dict(dims))
    letters = frozenset(letter for each in inputs for letter in each.letters)
    most, where = next(((g.most, g.where) for g in guards if g.letter == "S"), (MAX_LENGTH, ""))
    lengths = Lengths(most, field=f"positions{where}") if "S" in letters else Lengths(1, whole=True, unit="inputs")
    facts = tuple({"inputs": {each.name: list(each.sizes) for each in inputs}, "dims": dict(dims)}.items())
    outline = Outline(made.program, lengths, facts, losses, _meanings(inputs))
    still = [] if "B" in letters else ["no input has a size B: the batch changes nothing"]
    if any(call.kind == "convolution" for call in recording.calls):
        still.append("convolutions take the constants of other operators: none was timed")
    warnings = [f"at least: {loss}" for loss in losses] + still
    return Model(
        name, "traced", outline, type(module).__name__, dict(facts), tuple(f"{name}: {each}" for each in warnings)
    )


def _meanings(inputs: Sequence[Input]) -> dict[str, str]:
    """What the letters mean to a module: sizes of its inputs, and what the code finds in data."""
    places: dict[str, list[str]] = {}
    for each in inputs:
        for place, size in enumerate(each.sizes):
            if isinstance(size, str):
                places.setdefault(size, []).append(f"{each.name}.shape[{place}]")
    return {letter: f"size of the input: {', '.join(dict.fromkeys(where))}" for letter, where in places.items()}
