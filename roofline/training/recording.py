"""A training step recorded in letters: microbatch, batch, sequence and the machine's own numbers, for one choice.

The passes, exchanges, update and memory are those of ``train``, worked out once by numbers that remember; the layout,
the schedule, what is made again, the stage of ZeRO, the optimizer and the recipe are those of the choice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any, cast

from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.number import Number, as_float
from roofline.parallelism.divisibility import check_layout
from roofline.parallelism.pipeline import layer_count
from roofline.prediction.recording import MACHINE, check_letters, lettered_machine
from roofline.program.workload import MAX_LENGTH
from roofline.tape.numbers import letter
from roofline.tape.tape import Tape
from roofline.tape.trace import Letter, Trace
from roofline.timing.energy import busy_power
from roofline.timing.timing import SECONDS
from roofline.training.flops import model_flops, recomputed_flops
from roofline.training.memory import MemoryByCause, saves_nothing
from roofline.training.question import TrainingQuestion
from roofline.training.rows import Steps, TimeOfStep, steps_of
from roofline.training.search import Choice
from roofline.training.step import check_saving

LETTERS = ("microbatch", "batch", "sequence")
"""Sequences of a microbatch of a replica and of a step over all devices, tokens of a sequence; whole numbers."""


@frozen
class TrainingRecording:
    """A recording that is being made: its letters, and the training step in them."""

    trace: Trace
    choice: Choice
    steps: Steps

    @classmethod
    def of(cls, question: TrainingQuestion, choice: Choice, letters: Collection[str] = ()) -> TrainingRecording:
        """A choice whose batch and lengths are letters, and what ``letters`` names of its machine.

        Raises WorkloadError for a choice that cannot be: a layout that does not divide, microbatches that do not.
        """
        check_letters(letters, MACHINE)
        request, trace = question.request, Trace()
        check_layout(choice.layout, request.program, request.phases, request.workload, request.model.name)
        most = min(question.request.model.lengths.positions, MAX_LENGTH)
        lengths = (question.sequence, question.sequence) if question.documents else (1, most)  # packed ones stay
        at = {"microbatch": (choice.microbatch, 1, MAX_LENGTH), "batch": (question.batch, 1, MAX_LENGTH),
              "sequence": (question.sequence, *lengths)}  # fmt: skip
        made: dict[str, Any] = {name: letter(trace, Letter(name, *span, whole=True)) for name, span in at.items()}
        microbatch, batch, sequence = made.values()
        workload = replace(request.workload, batch=batch, prompt=sequence)
        check_layout(choice.layout, request.program, request.phases, workload, request.model.name)  # a guard now
        check_microbatch(question, choice, microbatch, batch)  # likewise
        machine = lettered_machine(trace, request.machine(int(choice.layout.devices)), letters)
        asked = replace(question, batch=batch, sequence=sequence)
        if question.recompute is not None and question.recompute.name == "full":
            nothing = saves_nothing(asked, choice.layout, microbatch, choice.policy, (choice.sharding,))
            check_saving(choice.policy, nothing)
        steps = steps_of(asked, choice.layout, microbatch, (choice.policy,), (choice.sharding,), machine)
        return cls(trace, choice, steps)

    def letter(self, name: str, example: float, low: float, high: float) -> Number:
        """A further input."""
        return letter(self.trace, Letter(name, example, low, high))

    def tape(self, results: Mapping[str, Number]) -> Tape:
        """The tape of some results."""
        return Tape.of(self.trace, results)

    def results(self) -> dict[str, Number]:
        """What ``train`` says of a step, by its names: time, what adds up to it, rates, memory of the fullest stage."""
        steps, question = self.steps, self.steps.memory.question
        parts, whole = steps.time(), steps.time().whole
        found: dict[str, Number] = {name: getattr(whole, name) for name in SECONDS}
        found |= {f"{each.name}_s": getattr(parts, each.name).time_s for each in fields(TimeOfStep)[1:]}
        once = model_flops(question.network.step, question.lengths, question.batch)
        again = recomputed_flops(question.network.step, self.choice.policy, question.lengths, question.batch)
        peak = steps.machine.rates.contraction_unit(question.recipe.computes)[1] * int(self.choice.layout.devices)
        found |= {
            "microbatches": steps.memory.count, "tokens_per_s": question.tokens / whole.time_s, "flops": once,
            "mfu": once / (peak * whole.time_s), "hfu": (once + again) / (peak * whole.time_s),
        }  # fmt: skip
        tdp = question.request.device.tdp
        if tdp is not None:
            found["power_w"] = busy_power(tdp, found["mfu"], 0.0) * int(self.choice.layout.devices)
        return found | self.memory()

    def memory(self) -> dict[str, Number]:
        """Bytes on a device of the fullest stage by cause, and whether they fit. [B]"""
        fullest, room = self.steps.memory.fullest(), self.steps.machine.room_bytes
        found: dict[str, Number] = {f"{each.name}_bytes": getattr(fullest, each.name) for each in fields(MemoryByCause)}
        found["total_bytes"] = fullest.total
        return found if room is None else {**found, "fits": cast("Number", fullest.total <= room)}


def check_microbatch(question: TrainingQuestion, choice: Choice, microbatch: Number, batch: Number) -> None:
    """Raises WorkloadError for microbatches that do not make up a batch, or that the schedule cannot run."""
    replicas = int(choice.layout.dp)
    if cast("Any", batch) % (microbatch * replicas) != 0:
        msg = (
            f"microbatch {choice.microbatch}: {replicas} replicas' microbatches do not make up the batch of "
            f"{question.batch} sequences; give a divisor of it"
        )
        raise WorkloadError(msg)
    schedule, count = question.schedule, as_float(batch) / replicas / microbatch
    if not schedule.divides(layer_count(question.request.program), int(choice.layout.pp), count):
        msg = f"schedule {schedule.words} does not run {choice.words}: {schedule.conditions}"
        raise WorkloadError(msg)
