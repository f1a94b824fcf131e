"""A part of a sweep that is of training steps: each choice of layout, policy and ZeRO is recorded, and then played."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from roofline.buying.training_costs import DAY
from roofline.errors import RooflineError, UsageError
from roofline.parallelism.layout import Layout
from roofline.sweeps.columns import TRAINED_WORDS, trained_columns
from roofline.sweeps.evaluation import PartRows, Places, Told
from roofline.sweeps.parts import Part
from roofline.tape.tape import Tape
from roofline.training.question import TrainingQuestion, read_at, sequences_in
from roofline.training.recording import LETTERS, TrainingRecording
from roofline.training.resting import Sharding
from roofline.training.search import Choice, search


def trained_rows(part: Part) -> PartRows:
    """Every point of a part's grid; one that is refused says why."""
    rows = PartRows.blank(part, ("batch", "sequence", "microbatch", "zero", "replicate", "tokens"))
    size = len(rows.values["batch"])
    rows.told |= {name: Told.of(size) for name in TRAINED_WORDS}
    rows.told["phase"].put(slice(None), part.phase)
    try:
        _Steps(part, rows, part.question()).fill()
    except RooflineError as failure:
        rows.told["refused"].put(slice(None), str(failure))
    return rows


@dataclass(slots=True)
class _Steps:
    """Training steps at the points of a grid; ``question`` is that of the part at one sequence."""

    part: Part
    rows: PartRows
    question: TrainingQuestion
    chosen: dict[Choice, list[int]] = field(default_factory=dict)

    def fill(self) -> None:
        """Choose at each point, and play. Raises RooflineError where all of them are refused."""
        self._tell()
        fixed = self._fixed() if self.part.is_fixed else None
        for place in range(len(self.rows.values["batch"])):
            try:
                self._place(place, fixed)
            except RooflineError as failure:
                self.rows.told["refused"].put(place, str(failure))
        for choice, places in self.chosen.items():
            self._evaluate(choice, np.array(places))

    def _tell(self) -> None:
        """What all rows have in common."""
        question, rows = self.question, self.rows
        request, constants = question.request, question.request.constants
        told = {
            "dtype": question.recipe.name, "engine": request.engine.name, "schedule": question.schedule.words,
            "optimizer": question.optimizer.name, "provenance": constants.named,
        }  # fmt: skip
        if question.recompute is not None:
            told["recompute"] = question.recompute.words
        for name, word in told.items():
            rows.told[name].put(slice(None), word)
        rows.values["tokens"][:] = dict(self.part.training).get("tokens", np.nan)
        if "sequence" not in dict(self.part.axes):
            rows.values["sequence"][:] = question.sequence

    def _fixed(self) -> Choice:
        """The choice that the part states whole. Raises UsageError for a layout of another number of devices."""
        question, fleet = self.question, self.question.request.fleet
        layout = Layout.of(**question.given)
        if fleet.counted and layout.devices != fleet.count:
            msg = f"layout {layout}: does not make up the {fleet.count} devices of {self.part.hardware}"
            raise UsageError(msg)
        assert question.recompute is not None
        assert question.zero is not None
        return Choice(layout, 0, question.recompute, Sharding(question.zero))

    def _place(self, place: int, fixed: Choice | None) -> None:
        """Put a point where it belongs. Raises RooflineError for one that is refused."""
        values = self.rows.values
        sequence = int(values["sequence"][place])
        if "batch_tokens" in values:
            values["batch"][place] = sequences_in(values["batch_tokens"][place], sequence)
        choice = fixed
        if choice is None:
            table = search(self._asked(place))
            choice = table.choice(table.best(1)[0])
            values["microbatch"][place] = choice.microbatch
        values["zero"][place], values["replicate"][place] = choice.sharding.zero, choice.sharding.replicate
        self.chosen.setdefault(Choice(choice.layout, 0, choice.policy, choice.sharding), []).append(place)

    def _asked(self, place: int) -> TrainingQuestion:
        """The question at a point. Raises RooflineError for lengths that the model does not have."""
        values = {name: self.rows.values[name][place] for name in LETTERS}
        microbatch = None if np.isnan(values["microbatch"]) else int(values["microbatch"])
        return read_at(self.question, int(values["batch"]), int(values["sequence"]), microbatch)

    def _evaluate(self, choice: Choice, left: Places) -> None:
        """Record at the first point that is left, play wherever that holds, until none is left."""
        while len(left):
            try:
                question = self._asked(left[0])
                assert question.microbatch is not None
                at = Choice(choice.layout, question.microbatch, choice.policy, choice.sharding)
                recording = TrainingRecording.of(question, at)
                tape = recording.tape(recording.results())
            except RooflineError as failure:
                self.rows.told["refused"].put(left[0], str(failure))
                left = left[1:]
                continue
            before, left = len(left), self._play(choice, tape, left)
            assert len(left) < before, "a recording holds where it was made"

    def _play(self, choice: Choice, tape: Tape, left: Places) -> Places:
        """Fill in the results where a recording holds; the places where it does not."""
        rows, request = self.rows, self.question.request
        holds, found = tape.where_it_holds(**{name: rows.values[name][left] for name in LETTERS})
        places, fleet = left[holds], request.fleet
        devices = fleet.count if fleet.counted else int(choice.layout.devices)
        with np.errstate(all="ignore"):
            made = trained_columns(found, devices, request.reserved) | {"devices": float(devices)}
            made["days"] = rows.values["tokens"][left] / found["tokens_per_s"] / DAY
        for name, column in made.items():
            if name in self.part.needs or name == "devices":
                rows.put(name, places, np.broadcast_to(column, left.shape)[holds])
        rows.told["layout"].put(places, str(choice.layout))
        rows.told["recompute"].put(places, choice.policy.words)
        return left[~holds]
