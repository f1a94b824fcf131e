"""What is asked of a serving engine, with traffic made by hand."""

from __future__ import annotations

from dataclasses import replace

from roofline.models.model import Model
from roofline.program.phases import Phase
from roofline.program.traffic.traffic import Traffic
from roofline.serving.scenario import Question, read_question


def question(model: Model, traffic: Traffic, only: Phase | None = None, **options: object) -> Question:
    """The question that ``options`` of ``compare`` ask, of this traffic."""
    return replace(read_question(model, **options), traffic=traffic, only=only)  # type: ignore[arg-type]
