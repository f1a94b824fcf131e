"""What rests on a device: optimizers, ZeRO's table, Megatron's bytes a parameter, counted by hand."""

from __future__ import annotations

import pytest

from roofline.errors import UsageError
from roofline.models.model import load_model
from roofline.parallelism.layout import Layout
from roofline.program.conventions import Conventions
from roofline.program.program import Program
from roofline.program.training import with_loss
from roofline.training.kept.optimizers import OPTIMIZERS, read_optimizer
from roofline.training.kept.recipes import read_training_recipe
from roofline.training.resting import LocalWeight, Resting, local_weights


def bytes_at(zero: int, replicas: int, recipe: str = "fp16-mixed", optimizer: str = "adamw", **more: str) -> float:
    """Of 7.5 G parameters."""
    weights = [LocalWeight(1, 1, 7.5e9, 1, replicas, True, False)]
    rest = Resting(read_training_recipe(recipe, **more), read_optimizer(optimizer))  # type: ignore[arg-type]
    sums = (of(weights, zero, 1) for of in (rest.weight_bytes, rest.gradient_bytes, rest.state_bytes))
    return float(sum(float(size) for size in sums))


@pytest.mark.parametrize(("zero", "gigabytes"), [(0, 120.0), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_zeros_table(zero: int, gigabytes: float) -> None:
    """Rajbhandari et al. 2020 (arXiv 1910.02054), figure 1: 7.5 B parameters, 64 replicas, K = 12."""
    assert round(bytes_at(zero, 64) / 1e9, 1) == gigabytes


@pytest.mark.parametrize("replicas", [1, 2, 64])
def test_megatrons_bytes_a_parameter(replicas: int) -> None:
    """Megatron-LM, theoretical_memory_usage.py: 18, and 6 + 12/dp with the distributed optimizer."""
    assert bytes_at(0, replicas, "bf16-mixed") / 7.5e9 == 18
    assert bytes_at(1, replicas, "bf16-mixed") / 7.5e9 == 6 + 12 / replicas


@pytest.mark.parametrize(
    ("optimizer", "recipe", "expected"),
    [
        ("adamw", "bf16-mixed", 18),  # 2 weight, 4 gradient, 4 master, 8 moments
        ("adamw", "bf16", 8),  # 2 + 2 + 4
        ("adamw", "bf16-autocast", 18),  # 4 weight, 2 cast, 4 gradient, 8 moments
        ("adamw", "fp32", 16),
        ("sgd", "fp32", 8),
        ("sgd-momentum", "fp32", 12),
        ("lion", "bf16-mixed", 14),
        ("adamw8bit", "bf16-mixed", 10 + 2 * (1 + 4 / 2048)),
    ],
)
def test_bytes_a_parameter_by_hand(optimizer: str, recipe: str, expected: float) -> None:
    assert bytes_at(0, 1, recipe, optimizer) / 7.5e9 == pytest.approx(expected, rel=1e-12)


def test_gradients_in_another_format() -> None:
    assert bytes_at(0, 1, "bf16-mixed", gradients="bf16") / 7.5e9 == 16


def test_adafactor_keeps_rows_and_columns_and_vectors_whole() -> None:
    assert OPTIMIZERS["adafactor"].state_bytes(300, 70, 4) == 4 * 370
    assert OPTIMIZERS["adafactor"].state_bytes(1, 70, 4) == 4 * 70


def test_muon_leaves_tables_and_vectors_to_adamw() -> None:
    rest = Resting(read_training_recipe("fp32"), read_optimizer("muon"))
    matrix, table = (LocalWeight(1, 3, 10, 20, 1, is_matrix, False) for is_matrix in (True, False))
    assert rest.state_bytes([matrix], 0, 1) == 3 * 200 * 4
    assert rest.state_bytes([table], 0, 1) == 3 * 200 * 8
    assert rest.contracted_flops([matrix, table], 0, 1) == 3 * 5 * (4 * 100 * 20 + 2 * 1000)


@pytest.mark.parametrize("model", ["gpt2", "llama-3.1-8b", "mixtral-8x7b", "bert-base"])
@pytest.mark.parametrize("layout", [Layout(), Layout(tp=4), Layout(tp=2, sp=2, dp=4), Layout(dp=8)])
def test_devices_together_hold_every_weight_as_often_as_they_have_replicas(model: str, layout: Layout) -> None:
    """Gains and positions lie on each device of tensor parallelism, vocabularies are padded: less than 3 %."""
    program = load_model(model).program(Conventions(lm_head="all"))
    forward = Program(tuple(with_loss(program)), program.sizes)
    held = sum(float(each.elements / each.replicas) for each in local_weights(forward, layout)) * layout.devices
    assert float(program.parameters()) <= held <= 1.03 * float(program.parameters())


def test_experts_have_fewer_replicas() -> None:
    program = load_model("mixtral-8x7b").program(Conventions(lm_head="all"))
    forward = Program(tuple(with_loss(program)), program.sizes)
    replicas = {float(each.replicas) for each in local_weights(forward, Layout(dp=16, ep=8))}
    assert replicas == {16.0, 2.0}


def test_a_tied_table_stands_on_both_ends_of_a_pipeline() -> None:
    program = load_model("gpt2").program(Conventions(lm_head="all"))
    forward = Program(tuple(with_loss(program)), program.sizes)
    table = 50257 * 768
    ends = {pp: [float(w.elements) for w in local_weights(forward, Layout(pp=pp)) if w.tied] for pp in (1, 2)}
    assert ends == {1: [table, 0.0], 2: [table, table]}


def test_what_is_not_known() -> None:
    with pytest.raises(UsageError, match="optimizer 'adam': "):
        read_optimizer("adam")
    with pytest.raises(UsageError, match="dtype 'bf61': "):
        read_training_recipe("bf61")
