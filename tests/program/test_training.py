"""The program of a training step: every weight has its gradient once, forward is forward, nothing is read in vain."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pytest
from grids import quick
from strategies import SPANNING

from roofline.models.model import load_model
from roofline.models.sources import preset_names
from roofline.number import Number
from roofline.program.backward import gradient
from roofline.program.conventions import Conventions
from roofline.program.op import Op
from roofline.program.phases import Phase
from roofline.program.program import Group, Program
from roofline.program.recompute import read_policy
from roofline.program.training import training_program

LENGTHS = {"B": 2, "T": 24, "S": 24, "M": 8}


def step_of(preset: str, *, frozen: bool = False) -> Program:
    program = load_model(preset).program(Conventions(lm_head="all"))
    return training_program(program, (lambda _: False) if frozen else (lambda _: True))


def flops(program: Program, phase: Phase, sizes: Mapping[str, Number]) -> Number:
    bound = {letter: Fraction(size) for letter, size in {**program.sizes, **sizes}.items()}
    return sum(group.times(bound) * op.flops(group.sizes(bound)) for group, op in program.in_phase(phase))


LEARNING = [
    name for name in (*SPANNING, *preset_names()) if load_model(name) is load_model(name).of_text_alone()
]  # towers are not trained


@pytest.mark.parametrize("preset", quick(LEARNING[:4], of=LEARNING))
def test_every_weight_gets_its_gradient_once(preset: str) -> None:
    """But for what adds to it the gradients of further uses."""
    step = step_of(preset)
    written: dict[tuple[str, str], int] = {}
    for group, op in step.in_phase(Phase.BACKWARD):
        for name in {tensor.name for tensor in op.writes} - {tensor.name for tensor in op.reads}:
            written[group.name, name] = written.get((group.name, name), 0) + 1
    for group, _, tensor in step.weights():
        groups = [name for name, made in written if made == gradient(tensor).name]
        assert group.name in groups or tensor.tied
        assert tensor.tied or written[group.name, gradient(tensor).name] == 1
    assert step.parameters() == load_model(preset).parameters


def test_forward_is_the_forward_pass() -> None:
    for preset in ("gpt2", "bert-base", "mixtral-8x7b"):
        model = load_model(preset)
        program = model.program(Conventions(lm_head="all"))
        assert flops(step_of(preset), Phase.FORWARD, LENGTHS) == flops(program, model.phases[0], LENGTHS)


def test_frozen_weights_leave_the_gradients_of_activations() -> None:
    D, F, V, L = 4096, 11008, 32000, 32
    whole, frozen = (flops(step_of("llama-2-7b", frozen=each), Phase.BACKWARD, LENGTHS) for each in (False, True))
    assert whole - frozen == 48 * (2 * (4 * D * D + 3 * D * F) * L + 2 * D * V)
    gradients = {t.name for _, op in step_of("gpt2", frozen=True).in_phase(Phase.BACKWARD) for t in op.writes}
    assert not [name for name in gradients if name.startswith(("w_", "b_", "token_table"))]


def test_a_decoder_behind_an_encoder_trains_with_it() -> None:
    step = step_of("t5-small")
    names = [group.name for group in step.groups if Phase.BACKWARD in group.phases]
    assert names.index("decoder_layers") < names.index("decoder_layers.cross") < names.index("encoder_layers")
    short, long = (flops(step, Phase.BACKWARD, {**LENGTHS, "M": tokens}) for tokens in (8, 16))
    assert long > short  # the encoder reads M tokens


def test_what_is_not_needed_is_not_read() -> None:
    """A residual moves nothing; rotation and sums need no input; a norm reads its statistics."""
    ops = {op.name: op for group, op in step_of("llama-3.1-8b").in_phase(Phase.BACKWARD) if group.name == "layers"}
    assert not [name for name in ops if "residual" in name]
    assert {tensor.name for tensor in ops["rotary.backward"].reads} == {"q'", "k_cache'"}
    assert {tensor.name for tensor in ops["ffn_norm.backward"].reads} == {
        "h'", "x", "x'", "ffn_norm_gain", "ffn_norm_rstd",
    }  # fmt: skip


@pytest.mark.parametrize("preset", ["llama-3.1-8b", "bert-base", "t5-small", "jamba-v0.1"])
def test_to_recompute_everything_is_one_forward_pass_of_the_layers(preset: str) -> None:
    program = load_model(preset).program(Conventions(attention="materialised", lm_head="all"))
    plain, some, whole = (
        training_program(program, recompute=read_policy(word)) for word in ("none", "selective", "full")
    )
    backward, more, most = (flops(step, Phase.BACKWARD, LENGTHS) for step in (plain, some, whole))
    bound = {letter: Fraction(size) for letter, size in {**plain.sizes, **LENGTHS}.items()}
    layers = [(group, op) for group, op in plain.in_phase(Phase.FORWARD) if group.stacked]

    def counted(stated: list[tuple[Group, Op]]) -> Number:
        return sum(group.times(bound) * op.flops(group.sizes(bound)) for group, op in stated)

    assert most - backward == counted(layers)
    assert more - backward == counted([(group, op) for group, op in layers if op.name.endswith("scores")]) > 0
