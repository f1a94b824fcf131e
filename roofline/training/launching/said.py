"""What both engines say alike of a training step, and what neither says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from roofline.engines.said import Said
from roofline.errors import UsageError
from roofline.parallelism.layout import Layout
from roofline.parallelism.pipeline import alike_between
from roofline.training.question import usual_loss
from roofline.training.step import TrainingStep

SIZES = ("tp", "pp", "cp", "ep")
"""Degrees that configurations state each by itself; what is left of the devices are replicas."""


def refuse_unsaid(step: TrainingStep, engine: str, *, uneven: bool = False) -> None:
    """Raises UsageError for what no configuration says: adapters, packed documents, edited fields, uneven stages, but
    for ``uneven`` first and last ones.
    """
    q, layout = step.question, step.choice.layout
    said_nowhere = {
        "lora and trained": q.learning.rank is not None or bool(q.learning.words),
        "sequence-lengths": bool(q.documents),
        "offload": q.host is not None,
        "gradients in another format": q.gradients is not None,
        f"loss {q.network.loss.words}": q.network.loss.words != usual_loss(q.request.engine),
        "edits of the model": any(path.startswith("model.") for path, _ in q.overrides),
        "experts that are split otherwise than over the devices of tp and dp": layout.ep > 1 and layout.cp > 1,
        f"experts split by tensor, ep {layout.ep} beside tp {layout.tp}": layout.ep > 1 and bool(layout.ep % layout.tp),
        f"sp {layout.sp} beside tp {layout.tp}": layout.sp not in (1, layout.tp),
    }
    for what, there in said_nowhere.items():
        if there:
            refuse(engine, f"no field says {what}; leave it out")
    parts, layers = int(layout.pp) * q.schedule.chunks, step.steps.memory.layers
    if layers % parts and not (uneven and alike_between(layers, parts)):
        refuse(engine, f"{layers} layers are not {parts} equal stages; give another --pp")


def refuse(engine: str, why: str) -> NoReturn:
    """Raises UsageError."""
    msg = f"launch {engine}: {why}"
    raise UsageError(msg)


def experts_hold(layouts: Layout) -> Any:
    """Of layouts in arrays those whose experts are whole, over the devices of tensor and data parallelism."""
    return (layouts.ep == 1) | ((layouts.cp == 1) & (layouts.ep % layouts.tp == 0))


def degrees_said(step: TrainingStep) -> dict[str, Said]:
    """The degrees that are not one."""
    degrees = step.choice.layout.to_dict()
    return {name: int(degrees[name]) for name in SIZES if degrees[name] > 1}


def whole_number(said: Mapping[str, Said], meaning: str, usual: int) -> int:
    """A number that is said, or the engine's own where it is left out."""
    return int(said.get(meaning, usual))


def degrees_of(said: Mapping[str, Said], devices: int) -> dict[str, int]:
    """The degrees that are said, with as many replicas as ``devices`` make. Raises UsageError where none divide."""
    found = {name: whole_number(said, name, 1) for name in SIZES}
    split = found["tp"] * found["pp"] * found["cp"]
    if devices % split:
        msg = f"from: degrees of {split} devices do not divide {devices}; give --hardware with a multiple of {split}"
        raise UsageError(msg)
    return {**found, "dp": devices // split}
