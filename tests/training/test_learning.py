"""What learns: laws of frozen weights, adapters and matrices in few bits; how they are spread; what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import roofline
from roofline.compression.formats import FORMATS
from roofline.errors import RooflineError
from roofline.program.phases import Phase
from roofline.training.step import TrainingStep


def step(model: str = "llama-3.2-1b", hardware: str = "8xh100", **asked: Any) -> TrainingStep:
    given = {"batch": 32, "sequence": 512, "microbatch": 2, "recompute": "none", "tp": 1, "cp": 1, "pp": 1, "zero": 1}
    return roofline.train(model, hardware, **{**given, **asked}).step


def test_adapters_have_states_and_the_rest_has_none() -> None:
    """18 bytes for each parameter of adapters, 2 for each that is frozen; saved: no input of a frozen matmul."""
    whole, some = step(zero=0), step(zero=0, lora=16)
    learning, network = some.question.network.learning_parameters, int(some.question.request.model.parameters)
    held, all_of = some.memory["first"], whole.memory["first"]
    assert held.weights == 2 * (network + learning)
    assert held.gradients + held.optimizer == 16 * learning
    assert held.saved < step(zero=0, lora=16, trained="attention").memory["first"].saved + all_of.saved
    assert some.causes["data_parallel"] < whole.causes["data_parallel"]
    assert some.causes["optimizer"] < whole.causes["optimizer"]
    D, F, K, Q, L = 2048, 8192, 512, 2048, 16
    assert learning == 16 * L * ((D + Q) + 2 * (D + K) + (Q + D) + 3 * (D + F))


def test_a_wide_copy_of_one_matrix_is_there_at_a_time() -> None:
    """4 bits and a scale for 64 elements at rest; each pass widens each matrix; time and memory say so."""
    plain, narrow = step(lora=16), step(lora=16, weight_dtype="nf4")
    layers = 16 * (2 * 2048 * 2048 + 2 * 2048 * 512 + 3 * 2048 * 8192)
    assert FORMATS["nf4"].bits == 4.5
    assert plain.memory["first"].weights - narrow.memory["first"].weights == layers * (2 - 4.5 / 8)
    assert plain.memory["first"].saved == narrow.memory["first"].saved
    assert "widened" not in plain.causes
    assert narrow.causes["widened"] > 0
    assert narrow.flops == plain.flops
    program = narrow.question.network.step
    widened = [[op.name for _, op in program.in_phase(phase) if "_widen" in op.name] for phase in program.phases]
    assert len(widened[0]) == 7
    assert {f"{name}.again" for name in widened[0]} == set(widened[1])


def test_zero_3_gathers_what_is_frozen_as_it_is_stored() -> None:
    """Both passes of each microbatch; a quarter of the bytes take less time, and nothing but adapters is reduced."""
    small = {"lora": 16, "batch": 16, "set": {"model.vocab_size": 256}}
    plain, narrow = (step(zero=3, weight_dtype=word, **small) for word in (None, "nf4"))
    least = step(zero=1, **small)
    times = [each.causes["data_parallel"] for each in (least, narrow, plain)]
    assert times == sorted(times)
    assert plain.memory["first"].weights == pytest.approx(least.memory["first"].weights / 8)
    assert narrow.memory["first"].gathered < 0.5 * plain.memory["first"].gathered


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_adapters_are_split_as_their_projections(tp: int) -> None:
    """The sides that projections split are split, the others whole: of 4096 x 4096 on 2 devices 16 (4096 + 2048)."""
    held = step(lora=16, tp=tp, zero=0, weight_dtype="nf4").memory["first"]
    D, F, K, Q, L = 2048, 8192, 512, 2048, 16
    column, row = (D + Q / tp) + 2 * (D + K / tp) + 2 * (D + F / tp), (Q / tp + D) + (F / tp + D)
    assert held.gradients == pytest.approx(4 * 16 * L * (column + row))


def test_no_gradient_is_pushed_to_where_nothing_learns() -> None:
    head, ffn = (step("bert-base", trained=word) for word in ("head", "ffn"))
    groups = {group.name for group, _ in head.question.network.step.in_phase(Phase.BACKWARD)}
    assert groups == {"head"}
    assert head.memory["first"].saved < 0.05 * ffn.memory["first"].saved
    names = {op.name for _, op in ffn.question.network.step.in_phase(Phase.BACKWARD)}
    assert "up.w_up'" in names
    assert "q_proj.w_q'" not in names


def test_what_learns_is_a_part_of_all_that_does() -> None:
    words = ("attention", "ffn", "embedding", "head", "norms")
    counts = [step("gpt2", trained=word).question.network.learning_parameters for word in words]
    whole = int(step("gpt2").question.request.model.parameters)
    table = counts[3]  # tied: that of the embedding too
    assert sum(counts) - table == whole
    assert step("gpt2", trained=",".join(words)).question.network.learns_whole


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"lora": 0}, "lora 0: expected the rank of adapters, a whole number from 1"),
        ({"lora": 8, "trained": "odd"}, 'trained "odd": known: attention'),
        ({"weight_dtype": "nf4"}, "weight-dtype nf4: the format of frozen weights, and all learn; give --lora RANK"),
        ({"lora": 8, "weight_dtype": "q4_k"}, 'weight-dtype "q4_k"'),
        ({"trained": "attention,ffn", "weight_dtype": "nf4"}, "no matrix of the layers is frozen; leave it out"),
        ({"lora": 8, "trained": "head"}, "the layers have no projections that adapters stand beside"),
    ],
)
def test_what_is_refused(asked: dict[str, Any], text: str) -> None:
    with pytest.raises(RooflineError, match=text):
        step(**asked)
