"""A program: groups, repeats, identity of tensors, data flow."""

from __future__ import annotations

import pytest

from roofline.errors import ShapeError
from roofline.layers.normalization import norm
from roofline.program.op import Op, PerElement, Tensor, contract, elementwise, fuse, gather, weight
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

D, F, V, L, B, T = 4, 5, 13, 3, 2, 7
SIZES = {"D": D, "F": F, "V": V, "L": L}
X, U = Tensor("x", "B T D"), Tensor("u", "B T F")


def embed(*, tied: bool = False) -> Op:
    table = weight("table", "B T D", stored="V D", tied=tied)
    return gather("embed", table, Tensor("tokens", "B T", "index"), X)


def head(*, tied: bool = False) -> Op:
    return contract("head", X, weight("table", "V D", tied=tied), Tensor("logits", "B T V"))


def layer() -> tuple[Op, ...]:
    return contract("up", X, weight("w_up", "D F"), U), contract("down", U, weight("w_down", "F D"), X)


def test_reading_what_nothing_wrote_is_an_error():
    with pytest.raises(ShapeError, match=r"^encode: layers\.up reads x, which nothing before it writes$"):
        Program((Group("layers", layer()),), SIZES)


def test_the_flow_is_checked_in_each_phase():
    groups = (
        Group("embedding", (embed(),), phases=(Phase.PREFILL,)),
        Group("layers", layer(), phases=(Phase.PREFILL, Phase.DECODE)),
    )
    with pytest.raises(ShapeError, match=r"^decode: layers\.up reads x, which nothing before it writes$"):
        Program(groups, SIZES)


def test_order_matters():
    groups = (Group("layers", layer()), Group("embedding", (embed(),)))
    with pytest.raises(ShapeError, match="reads x, which nothing before it writes"):
        Program(groups, SIZES)


def test_a_cache_may_be_read_before_it_is_written():
    op = elementwise("use", [Tensor("k_cache", "B S K H", "kv_cache")], Tensor("k", "B S K H"), PerElement(1))
    assert [tensor.name for _, _, tensor in Program((Group("g", (op,)),), SIZES).caches()] == ["k_cache"]


def test_group_names_are_distinct():
    with pytest.raises(ShapeError, match="a group name stands twice among a, a"):
        Program((Group("a", (embed(),)), Group("a", (embed(),))), SIZES)


def test_parameters_of_repeated_layers():
    program = Program((Group("embedding", (embed(),)), Group("layers", layer(), repeat="L")), SIZES)
    assert program.parameters() == V * D + L * (D * F + F * D)  # the table once, both matrices in each layer
    assert program.parameters({**SIZES, "L": 5}) == V * D + 5 * 2 * D * F


def test_repeat_as_a_number():
    group = Group("layers", layer(), repeat=4)
    program = Program((Group("embedding", (embed(),)), group), SIZES)
    assert group.times(SIZES) == 4
    assert program.parameters() == V * D + 4 * 2 * D * F


def test_a_tied_weight_counts_once():
    tied = Program((Group("embedding", (embed(tied=True),)), Group("head", (head(tied=True),))), SIZES)
    untied = Program((Group("embedding", (embed(),)), Group("head", (head(),))), SIZES)
    assert tied.parameters() == V * D
    assert untied.parameters() == 2 * V * D  # each group has a table of its own
    assert [group.name for group, _, _ in tied.weights()] == ["embedding"]  # where it is stated first


def test_a_tied_weight_in_a_repeated_group_counts_once():
    layers = Group("layers", (contract("up", X, weight("w", "D F", tied=True), U),), repeat="L")
    assert Program((Group("embedding", (embed(),)), layers), SIZES).parameters() == V * D + D * F


def test_a_shared_group_repeats_traffic_and_not_parameters():
    groups = Group("embedding", (embed(),)), Group("layers", layer(), repeat="L", shared=True)
    program = Program(groups, SIZES)
    assert program.parameters() == V * D + 2 * D * F
    assert groups[1].times(SIZES) == L


def test_two_operators_of_a_group_cannot_share_a_name_of_weights():
    """One would be lost: two layers side by side in a group, each with a ``w_up`` of the same shape."""
    again = contract("again", X, weight("w_up", "D F"), Tensor("v", "B T F"))
    with pytest.raises(
        ShapeError, match=r"^encode: layers\.up and layers\.again both have a weight w_up; expected two"
    ):
        Program((Group("embedding", (embed(),)), Group("layers", (*layer(), again), repeat="L")), SIZES)
    other = contract("again", X, weight("w_again", "D F"), Tensor("v", "B T F"))
    program = Program((Group("embedding", (embed(),)), Group("layers", (*layer(), other), repeat="L")), SIZES)
    assert program.parameters() == V * D + L * 3 * D * F


def test_an_operator_that_runs_anew_has_the_weights_of_the_first():
    anew = contract("up.anew", X, weight("w_up", "D F"), Tensor("v", "B T F"))
    program = Program((Group("embedding", (embed(),)), Group("layers", (*layer(), anew), repeat="L")), SIZES)
    assert program.parameters() == V * D + L * 2 * D * F


def test_a_fused_operator_has_the_weights_of_its_parts():
    parts = [norm("one", X, X, kind="rms"), norm("two", X, X, kind="rms")]
    assert fuse("norms", parts, kind="norm").reads[1:] == (weight("one_gain", "D"), weight("two_gain", "D"))
    alone = norm("one", X, X, kind="rms")
    with pytest.raises(ShapeError, match=r"g\.norms and g\.one both have a weight one_gain"):
        Program((Group("embedding", (embed(),)), Group("g", (fuse("norms", parts, kind="norm"), alone))), SIZES)


def test_a_tied_weight_may_stand_in_two_operators_of_a_group():
    ops = [contract(name, X, weight("w", "D F", tied=True), Tensor(name, "B T F")) for name in ("up", "again")]
    assert Program((Group("embedding", (embed(),)), Group("layers", tuple(ops), repeat="L")), SIZES).parameters() == (
        V * D + D * F
    )


def other_phase(axes: str) -> tuple[Group, ...]:
    """The weight of ``up`` in one phase, and in another operator of another phase."""
    again = contract("again", X, weight("w_up", axes), Tensor("v", f"B T {axes[-1]}"))
    prefill, decode = Group("layers", layer(), "L", (Phase.PREFILL,)), Group("layers", (again,), "L", (Phase.DECODE,))
    return Group("embedding", (embed(),), phases=(Phase.PREFILL, Phase.DECODE)), prefill, decode


def test_a_weight_named_in_two_phases_counts_once():
    assert Program(other_phase("D F"), SIZES).parameters() == V * D + L * 2 * D * F


def test_a_weight_of_two_shapes_is_an_error():
    with pytest.raises(ShapeError, match=r"^again: weight w_up is D V here and D F elsewhere$"):
        Program(other_phase("D V"), SIZES).parameters()


def test_a_tied_weight_of_two_shapes_is_an_error_across_groups():
    other = contract("head", X, weight("table", "F D", tied=True), Tensor("logits", "B T F"))
    program = Program((Group("embedding", (embed(tied=True),)), Group("head", (other,))), SIZES)
    with pytest.raises(ShapeError, match=r"^head: weight table is F D here and V D elsewhere$"):
        program.parameters()


def test_a_group_has_letters_of_its_own():
    dense = Group("dense", layer(), local={"F": lambda sizes: 10 * sizes["F"]})
    program = Program((Group("embedding", (embed(),)), dense, Group("layers", layer(), repeat="L")), SIZES)
    assert program.parameters() == V * D + 2 * D * (10 * F) + L * 2 * D * F
    sizes = {**SIZES, "B": B, "T": T}
    assert dense.ops[0].flops(dense.sizes(sizes)) == 2 * B * T * D * (10 * F)


def test_an_operator_rebinds_inside_its_group():
    square = layer()[0].rebound(F="D")
    group = Group("g", (square,), local={"D": 6})
    program = Program((Group("embedding", (embed(),)), group), SIZES)
    assert program.parameters() == V * D + 6 * 6  # F reads the group's D


def test_phases_and_their_operators():
    groups = (
        Group("embedding", (embed(),), phases=(Phase.PREFILL, Phase.DECODE)),
        Group("head", (head(),), phases=(Phase.DECODE,)),
    )
    program = Program(groups, SIZES)
    assert program.phases == (Phase.PREFILL, Phase.DECODE)
    assert [op.name for _, op in program.in_phase(Phase.PREFILL)] == ["embed"]
    assert [(group.name, op.name) for group, op in program.in_phase(Phase.DECODE)] == [
        ("embedding", "embed"),
        ("head", "head"),
    ]
    assert list(program.in_phase(Phase.ENCODE)) == []


def test_a_cache_counts_by_what_stays_and_in_every_layer():
    write = elementwise("k", [X], Tensor("k_cache", "B T K H", "kv_cache", "B S K H"), PerElement(1))
    program = Program((Group("embedding", (embed(),)), Group("layers", (write,), repeat="L")), SIZES)
    ((group, op, tensor),) = program.caches()
    sizes = {**SIZES, "B": 2, "T": 1, "S": 9, "K": 2, "H": 8}
    assert program.resident(group, op, tensor, sizes) == L * 2 * 9 * 2 * 8  # L B S K H, whatever T
