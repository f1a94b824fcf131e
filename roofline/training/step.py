"""The answer of one training question: the best choice, whether it fits, its time, what both are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np

from roofline.errors import WorkloadError
from roofline.number import Truth
from roofline.parallelism.layout import Layout
from roofline.prediction.sensitivity import RESOURCES, STEP, Resource, Sensitivity, evaluated
from roofline.program.recompute import Recompute
from roofline.timing.machine import Machine
from roofline.timing.timing import Timing, total
from roofline.training.causes import CAUSES
from roofline.training.flops import model_flops, recomputed_flops
from roofline.training.memory import MOMENTS, STAGES, MemoryByCause, saves_nothing
from roofline.training.question import TrainingQuestion
from roofline.training.recomputing.staircase import Staircase, staircase
from roofline.training.remedies import Remedy, remedies
from roofline.training.rows import Steps, TimeOfStep, steps_of
from roofline.training.search import Choice, search
from roofline.training.timeline import StageTimes, Timed, timeline

_STAGE_NAMES = ("first", "inner", "last")


class TrainingStep:
    """A training step on devices: the choice, its memory stage by stage, and, where it fits, its time.

    ``tried`` choices were compared, of which ``fitting`` fit; ``runner_up`` is the next best with another layout or
    policy, None where there is none, and takes ``ratio`` times as long, or as much memory where nothing fits.
    """

    def __init__(self, question: TrainingQuestion) -> None:
        table = search(question)
        rows = table.best(max(1, min(64, len(table))))
        self.question, self.tried, self.fitting = question, len(table), int(table.fits.sum())
        self.choice = table.choice(rows[0])
        others = [row for row in rows[1:] if _differs(self.choice, table.choice(row))]
        compared = table.time_s if table.fits[rows[0]] else table.memory_bytes
        self.runner_up: Choice | None = table.choice(others[0]) if others else None
        self.ratio = float(compared[others[0]] / compared[rows[0]]) if others else 1.0
        _check_policy(question, self.choice)
        self.fits: bool | None = None if self.room_bytes is None else bool(table.fits[rows[0]])

    @cached_property
    def steps(self) -> Steps:
        """The one step of the choice."""
        return self._on(None)

    def _on(self, machine: Machine | None) -> Steps:
        choice = self.choice
        layout, microbatch = Layout.stacked([choice.layout]), np.array([choice.microbatch])
        return steps_of(self.question, layout, microbatch, (choice.policy,), (choice.sharding,), machine)

    @cached_property
    def staircase(self) -> Staircase | None:
        """What may be dropped of a layer, where that was searched tensor by tensor."""
        policy = self.question.recompute
        return staircase(self.question) if policy is not None and policy.name == "optimal" else None

    # Memory

    @property
    def room_bytes(self) -> float | None:
        """The memory of a device that the runtime leaves; None where it is not known. [B]"""
        return self.question.request.room_bytes

    @cached_property
    def host_bytes(self) -> float:
        """Optimizer states of a device that are in the host's memory, of the fullest stage. [B]"""
        return _first(self.steps.memory.on_host())

    @cached_property
    def memory(self) -> Mapping[str, MemoryByCause]:
        """Bytes on a device by stage and cause. [B]"""
        stages = [self.steps.memory.of(stage).each(_first) for stage in STAGES]
        named = zip(_STAGE_NAMES, stages, strict=True)
        return {name: stage for name, stage in named if stage.total > 0}

    @property
    def fullest(self) -> str:
        """The stage that holds most."""
        return max(self.memory, key=lambda name: self.memory[name].total)

    @property
    def peak(self) -> str:
        """When the memory of the fullest stage is fullest."""
        if self.choice.layout.pp > 1 and self.fullest != "last":
            return f"as its {_in_flight(self)} microbatches in flight begin their backward pass"
        stage = _STAGE_NAMES.index(self.fullest)
        return MOMENTS[round(_first(self.steps.memory.fullest_moment(stage)))]

    @cached_property
    def remedies(self) -> tuple[Remedy, ...]:
        """What would make it fit, the smallest change of each kind; nothing where it fits."""
        return remedies(self.question) if self.fits is False else ()

    # Time

    @cached_property
    def parts(self) -> TimeOfStep:
        """The time of a step and its parts. [s]"""
        found = self.steps.time()
        return TimeOfStep(*(_number(getattr(found, field.name)) for field in fields(TimeOfStep)))

    @property
    def timing(self) -> Timing:
        """The time of a step. [s]"""
        return self.parts.whole

    @property
    def microbatches(self) -> int:
        """Microbatches of a step of a replica."""
        return round(_first(self.steps.memory.count))

    @cached_property
    def causes(self) -> dict[str, float]:
        """The seconds of a step by cause, which add up to it. [s]"""
        parts, names = self.parts, dict.fromkeys((*CAUSES, "host"), 0.0)
        for place in STAGES:
            for cause, timing in self.steps.passes.causes(place).items():
                names[cause] += _seconds(timing)
        again = self.steps.passes.again(self.choice.policy)
        names["recompute"] = _seconds(again)
        if self.question.schedule.paired:
            layers = total([(1, self.steps.passes.forward[1]), (1, self.steps.passes.backward[1]), (1, again)])
            names["expert_parallel"] -= _first(self.steps.hidden_s(layers))
        whole = sum(names.values())
        found = {cause: seconds / whole * float(parts.stages.time_s) for cause, seconds in names.items()}
        beyond = {"bubble": parts.bubble, "sends": parts.sends, "data_parallel": parts.exchanges,
                  "optimizer": parts.update}  # fmt: skip
        found |= {cause: float(timing.time_s) for cause, timing in beyond.items()}
        least = 1e-9 * float(parts.whole.time_s)
        return {cause: seconds for cause, seconds in found.items() if seconds > least}

    def gains(self) -> list[Sensitivity]:
        """What 10 % more bandwidth, FLOP/s, link and less latency make of the step, evaluated anew."""
        request = self.question.request

        def seconds(resource: Resource, factor: float) -> float:
            machine = resource.machine(self.steps.machine, request.device, request.constants, factor)
            return _seconds(self._on(machine).time().whole)

        return evaluated(RESOURCES, STEP, float(self.timing.time_s), seconds)

    def timeline(self) -> list[Timed]:
        """Every pass of every stage in the order of the schedule, with its start and end. [s]

        Raises WorkloadError for a schedule of which only the closed form is known.
        """
        q, layout = self.question, self.choice.layout
        if q.schedule.paired:
            msg = f"schedule {q.schedule.words}: its bubble is known as published, no order of passes"
            raise WorkloadError(msg)
        handed = _seconds(self.steps.passes.forward[3]) / max(1, int(layout.pp) - 1)
        return timeline(q.schedule, self._stage_times(), self.microbatches, handed)

    def _stage_times(self) -> list[StageTimes]:
        """The passes of a microbatch on each stage; inner ones alike."""
        steps, passes = self.steps, self.steps.passes
        again, split = passes.again(self.choice.policy), self.question.schedule.splits_backward
        by_place = [
            [_seconds(part[place]) for place in STAGES] for part in (passes.forward, passes.backward, passes.weights)
        ]
        by_place[1][1] += _seconds(again)
        forward, backward, weights = ([_first(value) for value in steps.memory.of_stages(each)] for each in by_place)
        own = [
            StageTimes(f, b - w if split else b, w if split else 0.0)
            for f, b, w in zip(forward, backward, weights, strict=True)
        ]
        number = int(self.choice.layout.pp)
        return [own[0 if stage == 0 else 2 if stage == number - 1 else 1] for stage in range(number)]

    @property
    def devices(self) -> int:
        """How many devices train."""
        return int(self.choice.layout.devices)

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second of all devices."""
        return self.question.tokens / float(self.timing.time_s)

    @cached_property
    def flops(self) -> float:
        """The model's FLOPs of a step, nothing made again."""
        return float(model_flops(self.question.network.step, self.question.lengths, self.question.batch))

    @cached_property
    def six_nd(self) -> float:
        """6 x parameters x tokens."""
        return 6.0 * float(self.question.request.model.program().parameters()) * self.question.tokens

    @property
    def peak_flops_per_s(self) -> float:
        """The dense peak of all devices together, in the format that is computed in."""
        rates = self.steps.machine.rates
        return float(rates.contraction_unit(self.question.recipe.computes)[1]) * self.devices

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation."""
        return self.flops / (self.peak_flops_per_s * float(self.timing.time_s))

    @property
    def hfu(self) -> float:
        """Hardware FLOPs utilisation: with what is made again, but for fused attention's scores."""
        q = self.question
        again = recomputed_flops(q.network.step, self.choice.policy, q.lengths, q.batch)
        return (self.flops + float(again)) / (self.peak_flops_per_s * float(self.timing.time_s))

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON; without times where it does not fit."""
        priced = {} if self.fits is False else self._priced()
        return {
            "devices": self.devices,
            "fits": self.fits,
            "inputs": self._inputs(),
            "choice": self.choice.to_dict(),
            "tried": self.tried,
            "fitting": self.fitting,
            "runner_up": self.runner_up.to_dict() if self.runner_up else None,
            "runner_up_ratio": self.ratio,
            "memory": {name: stage.to_dict() for name, stage in self.memory.items()},
            "fullest": self.fullest,
            **({"staircase": self.staircase.to_dict()} if self.staircase else {}),
            "peak": self.peak,
            "room_bytes": self.room_bytes,
            "host_bytes": self.host_bytes,
            "remedies": [{"change": each.words, "flags": each.flags} for each in self.remedies],
            **priced,
        }

    def _inputs(self) -> dict[str, Any]:
        q = self.question
        return {
            "sequence": q.sequence, "target_sequence": q.target, "text_alone": q.text_alone,
            "sequence_lengths": list(q.documents) or None,
            "batch": q.batch, "batch_tokens": q.tokens, "dtype": q.recipe.name,
            "weight_dtype": q.learning.stored.name if q.learning.stored else None, "lora": q.learning.rank,
            "trained": ",".join(q.learning.words) or "all", "trained_parameters": q.network.learning_parameters,
            "gradients": q.recipe.gradients, "optimizer": q.optimizer.name, "schedule": q.schedule.words,
            "loss": "as traced" if q.network.stated else q.network.loss.words,
            "dropout": q.dropout, "hidden": q.hidden, "engine": q.request.engine.name,
            **({"fusion": q.request.conventions.fusion} if q.network.stated else {}),
            "constants": q.request.constants.whose, "overrides": dict(q.overrides),
        }  # fmt: skip

    def _priced(self) -> dict[str, Any]:
        t = self.timing
        ends = {name: float(getattr(t, name)) for name in ("time_s", "bound_s", "low_s", "high_s")}
        return {
            "microbatches": self.microbatches, **ends, "causes": self.causes, "tokens_per_s": self.tokens_per_s,
            "flops": self.flops, "six_nd": self.six_nd, "mfu": self.mfu, "hfu": self.hfu,
        }  # fmt: skip


def _check_policy(question: TrainingQuestion, choice: Choice) -> None:
    """Raises WorkloadError for whole layers that were asked to be made again and save no memory."""
    if question.recompute is None or question.recompute.name != "full":
        return
    layout, microbatch = choice.layout, float(choice.microbatch)
    check_saving(choice.policy, saves_nothing(question, layout, microbatch, choice.policy, (choice.sharding,)))


def check_saving(policy: Recompute, nothing: Truth) -> None:
    """Raises WorkloadError for whole layers that are made again and save ``nothing``."""
    if nothing:
        msg = (
            f"recompute {policy.words} saves no memory, as what it makes again of its layers is there at "
            "once; give none, or every:K with a smaller K"
        )
        raise WorkloadError(msg)


def _first(value: Any) -> float:
    return float(np.ravel(np.asarray(value))[0])


def _seconds(timing: Timing) -> float:
    return _first(timing.time_s)


def _number(timing: Timing) -> Timing:
    return timing.each(_first)


def _in_flight(step: TrainingStep) -> str:
    c = step.choice
    stage = _STAGE_NAMES.index(step.fullest)
    held = step.question.schedule.in_flight(stage, c.layout.pp, step.microbatches)
    return f"{float(held):.3g}"


def _differs(one: Choice, other: Choice) -> bool:
    return (one.layout, one.policy) != (other.layout, other.policy)
