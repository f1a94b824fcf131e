"""The cost of any torch module: :func:`trace` runs it once without weights or data and makes a model of what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from roofline.errors import MissingExtraError, UsageError
from roofline.models.model import Model, traced_model
from roofline.tracing.inputs import Given, Input, read_dims, read_hints, read_inputs

if TYPE_CHECKING:
    from roofline.models.traced.trace import Trace

Mode: TypeAlias = Literal["inference", "training", "decoding", "generation"]
"""Which pass of a module is noted: forward, forward and backward, a decode step over caches, or forward and that."""


def trace(
    module: Any,
    example_inputs: Mapping[str, Given],
    *,
    dims: Mapping[str, int] | None = None,
    name: str = "",
    source: str = "",
    strict: bool = False,
    at: Mapping[str, int] | None = None,
    mode: Mode = "inference",
) -> Model:
    """A torch module as a model that ``predict``, ``formula`` and all others take: one forward pass, in letters.

    ``example_inputs``: what ``forward`` is given by name, as sizes: ``{"x": "B,S,256"}``. B and S follow the batch and
    the prompt that are asked for; ``dims`` has the numbers of other letters. A tensor stands for its own sizes.
    ``at`` has the batch B and the length S that it runs at, 3 and 24 else: what its code asks of them holds for others
    too, or a question about those is refused. ``source`` is what a file of the trace says that it was built from. The
    code of the module is run, once, in inference, on tensors that hold no data: no weights are allocated.

    ``mode`` training notes the backward pass of the loss that ``forward`` returns too, with the module in the mode that
    it is in: a model for ``roofline.train``. An input such as ``"cache:B,8,S,64"`` is a cache of keys or values, and
    the pass a decode step over it; ``mode`` decoding makes the caches of S - 1 tokens by the module itself, which takes
    ``past_key_values`` and returns them, as those of transformers do. ``mode`` generation notes both, the pass that
    reads a prompt of S tokens and a decode step: a model of prefill and decode, as a preset of a decoder is.

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
    said = (name or type(module).__name__, source)
    hints = read_hints(at or {})
    if mode != "generation":
        how = {"training": mode == "training", "decoding": mode == "decoding"}
        return traced_model(_traced(module, inputs, numbers, said, hints, how, strict=strict))
    reading = _traced(module, inputs, numbers, said, hints, {"prefilling": True}, strict=strict)
    step = _traced(module, _one_token(inputs, said[0]), numbers, said, hints, {"decoding": True}, strict=strict)
    return traced_model(replace(reading, step=step))


def _one_token(inputs: Sequence[Input], name: str) -> list[Input]:
    """What a decode step reads beside its caches. Raises UsageError for other inputs than the tokens of a prompt."""
    if len(inputs) != 1 or len(inputs[0].sizes) != 2:
        found = " ".join(f"{each.name}={','.join(map(str, each.sizes))}" for each in inputs)
        msg = f"{name}: a module that generates reads tokens alone, such as input_ids=B,S; given {found or 'nothing'}"
        raise UsageError(msg)
    return [replace(inputs[0], sizes=(inputs[0].sizes[0], 1))]


def import_torch() -> Any:
    """Torch. Raises MissingExtraError without it."""
    try:
        import torch  # noqa: PLC0415  (an optional extra)
    except ImportError:
        purpose = "tracing a module"
        raise MissingExtraError(purpose, "torch") from None
    return torch


def _traced(
    module: Any, inputs: Sequence[Input], dims: Mapping[str, int], said: tuple[str, str], hints: Mapping[str, int],
    how: Mapping[str, bool], *, strict: bool,
) -> Trace:  # fmt: skip
    from roofline.models.traced.trace import Trace  # noqa: PLC0415
    from roofline.tracing.findings import losses_of, table_of_positions  # noqa: PLC0415
    from roofline.tracing.running import record  # noqa: PLC0415  (needs torch)

    name, source = said
    recording, asked, lacks = record(module, inputs, dims, name, hints, **how)
    losses = (*losses_of(recording, dims, name), *lacks)
    if strict and losses:
        msg = f"{name}: {losses[0]}; without strict it is a lower bound"
        raise UsageError(msg)
    sizes = {each.name: each.sizes for each in inputs}
    if how.get("decoding"):
        sizes["past_key_values"] = ("B", "S")
    named = (name, type(module).__name__, source or type(module).__name__)
    longest = min(asked.longest("S"), table_of_positions(recording) or asked.longest("S"))
    return Trace(*named, sizes, dict(dims), asked.conditions, recording, *longest, losses)
