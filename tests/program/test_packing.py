"""Documents packed into sequences: the pairs of each by itself, all else as of one sequence; what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roofline
from roofline.cost.saved_bytes import saved_bytes
from roofline.errors import RooflineError
from roofline.models.model import load_model
from roofline.parallelism.layout import Layout
from roofline.parallelism.sharded_backward import shard_training
from roofline.program.conventions import Conventions
from roofline.program.packing import packed
from roofline.program.program import Program
from roofline.program.saved import saved_tensors
from roofline.program.training import training_program
from roofline.program.workload import Precision

FAMILIES = ("gpt2", "llama-3.2-1b", "distilbert-base", "gemma-2-2b")
PROGRAMS = {name: load_model(name).program(Conventions(lm_head="all")) for name in FAMILIES}
BF16 = Precision("bf16", "bf16", "bf16")


STEPS = {name: training_program(program) for name, program in PROGRAMS.items()}


def flops(step: Program, batch: int, length: int) -> Fraction:
    sizes = {letter: Fraction(size) for letter, size in step.sizes.items()}
    sizes |= {"B": Fraction(batch), **dict.fromkeys("TSM", Fraction(length))}
    return sum(Fraction(op.flops(g.sizes(sizes))) * g.times(sizes) for g in step.groups for op in g.ops)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(FAMILIES), st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_flops_of_documents_add_up(name: str, lengths: list[int]) -> None:
    """A packed sequence has the FLOPs of both passes of its documents, each a sequence by itself; in any order."""
    whole = flops(training_program(packed(PROGRAMS[name], tuple(lengths))), 2, sum(lengths))
    apart = sum(flops(STEPS[name], 2, length) for length in lengths)
    assert float(whole) == pytest.approx(float(apart), rel=1e-14)  # a mean length may be no float64


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_documents_are_a_larger_batch(name: str) -> None:
    program = PROGRAMS[name]
    sizes = [{**program.sizes, "B": batch, **dict.fromkeys("TSM", length)} for batch, length in ((2, 384), (6, 128))]
    held = [saved_bytes(saved_tensors(each), of, BF16)
            for each, of in zip((packed(program, (128, 128, 128)), program), sizes, strict=True)]  # fmt: skip
    assert held[0] == held[1]


@pytest.mark.parametrize("layout", [Layout(tp=2), Layout(cp=2), Layout(tp=2, cp=2, dp=2, sp=2)])
def test_devices_share_the_pairs(layout: Layout) -> None:
    step = training_program(packed(PROGRAMS["gpt2"], (100, 28)))
    several = Layout(layout.tp, 1, 1, 1, layout.cp, 1, layout.sp)
    one, part = (flops(shard_training(step, each), 2, 128) for each in (Layout(), several))
    padded = 2 * 768 * (50257 - 50258) * 2 * 128 * 3 if layout.tp > 1 else 0
    assert part * int(several.devices) == one - padded


def test_a_step_over_documents_is_faster_and_holds_as_much() -> None:
    asked = {"batch": 16, "tp": 1, "cp": 1, "pp": 1, "zero": 1, "microbatch": 1, "recompute": "none"}
    one, several = (roofline.train("llama-3.2-1b", "8xh100", sequence_lengths=text, **asked).step
                    for text in ("8192", "1024x4,4096"))  # fmt: skip
    assert several.timing.time_s < one.timing.time_s
    assert several.memory == one.memory
    assert several.to_dict()["inputs"]["sequence_lengths"] == [1024] * 4 + [4096]


def test_documents_not_their_sum_are_bound_by_positions() -> None:
    asked = {"batch": 2, "microbatch": 1, "zero": 0, "recompute": "none"}
    step = roofline.train("gpt2", "h100", sequence_lengths="1024x4", **asked).step
    assert step.question.request.model.lengths.positions == 1024
    assert step.question.request.workload.prompt == step.question.sequence == 4096
    apart = roofline.train("gpt2", "h100", sequence=1024, **{**asked, "batch": 8, "microbatch": 4}).step
    assert step.flops == apart.flops
    assert step.memory == apart.memory


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"sequence_lengths": "1024,x"}, 'sequence-lengths "1024,x": expected tokens of documents such as 512,1024'),
        ({"sequence_lengths": "0"}, "expected tokens of documents"),
        ({"sequence_lengths": "512x2,2048"}, "document of 2048 tokens exceeds the model's max_position_embeddings"),
        ({"sequence_lengths": "512x2", "sequence": 512}, "sequence 512: documents of 1024 tokens are packed"),
        ({"sequence_lengths": "512x9999"}, "expected at most 4,096 documents"),
        ({"sequence_lengths": "512x2", "kernels": "materialised"}, "packed documents take fused attention"),
    ],
)
def test_what_is_refused(asked: dict[str, str], text: str) -> None:
    with pytest.raises(RooflineError, match=text):
        roofline.train("gpt2", "h100", batch=8, **asked)
