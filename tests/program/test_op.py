"""One statement per operator: what is derived from it, and what it refuses."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import axis_sizes

from roofline.errors import ShapeError
from roofline.layers.attention import attention, causal_pairs, projections, query_key_norm, rotary
from roofline.layers.embedding import token_embedding
from roofline.layers.feed_forward import activation
from roofline.program.backward import Gradients, backward, gradient
from roofline.program.op import Op, PerElement, Tensor, Work, contract, elementwise, fuse, gather, weight

B, T, S, D, F, V, K, G, H = 2, 3, 11, 4, 5, 13, 2, 3, 8
SIZES = {"B": B, "T": T, "S": S, "D": D, "F": F, "V": V, "K": K, "G": G, "H": H}
X, U, Y = Tensor("x", "B T D"), Tensor("u", "B T F"), Tensor("y", "B T D")
W_UP = weight("w_up", "D F")


def one(_: Tensor) -> int:
    return 1


def names(tensors):
    return [tensor.name for tensor in tensors]


# Contractions


def test_a_contraction_counts_two_flops_per_distinct_axis_product():
    up = contract("up", X, W_UP, U)
    assert up.flops(SIZES) == 2 * B * T * D * F  # a multiplication and an addition per element of D for each output
    assert up.vector_flops(SIZES) == 0
    assert up.special(SIZES) == 0


def test_a_contraction_moves_each_tensor_once():
    up = contract("up", X, W_UP, U)
    assert up.bytes(SIZES, one) == B * T * D + D * F + B * T * F  # read x, read w, write y
    width = {"activation": 2, "weight": 1}
    assert up.bytes(SIZES, lambda tensor: width[tensor.role]) == 2 * B * T * D + D * F + 2 * B * T * F


def test_a_bias_is_read_but_its_additions_ride_in_the_epilogue():
    up = contract("up", X, W_UP, U, bias=weight("b_up", "F"))
    assert up.bytes(SIZES, one) == B * T * D + D * F + F + B * T * F  # read x, read w, read b, write y
    assert up.flops(SIZES) == 2 * B * T * D * F
    assert up.vector_flops(SIZES) == 0


def test_an_axis_in_both_inputs_and_the_output_is_a_batch_axis():
    scores = contract("scores", Tensor("q", "B T K G H"), Tensor("k", "B S K H"), Tensor("s", "B K G T S"))
    assert scores.flops(SIZES) == 2 * B * K * G * H * T * S  # B, K and H once, although they stand in both inputs


def test_the_statement_in_one_line():
    assert str(contract("up", X, W_UP, U)) == "up: x[B T D], w_up[D F] -> u[B T F]"


# Refusals


def test_an_output_axis_in_no_input():
    with pytest.raises(ShapeError, match=r"^up: output axis V appears in no input \(B T D, D F -> B T V\)$"):
        contract("up", X, W_UP, Tensor("y", "B T V"))


def test_an_axis_twice():
    with pytest.raises(ShapeError, match=r"^tensor w \(D D\): an axis stands twice; axes are distinct letters of B T"):
        weight("w", "D D")


@pytest.mark.parametrize(("axes", "stored", "wrong"), [("D v", "", "v"), ("DF", "", "DF"), ("D", "v D", "v")])
def test_an_unknown_letter(axes, stored, wrong):
    with pytest.raises(ShapeError, match=rf"^tensor w \({axes}\): {wrong} is not in the legend; axes are distinct"):
        weight("w", axes, stored=stored)


def test_a_tensor_twice_among_the_reads():
    with pytest.raises(ShapeError, match=r"^add: a tensor stands twice among x, x; each name moves once$"):
        elementwise("add", [X, X], Y, PerElement(1))


def test_a_tensor_twice_among_the_writes():
    with pytest.raises(ShapeError, match=r"^split: a tensor stands twice among y, y; each name moves once$"):
        Op("split", "elementwise", (X,), (Y, Y))


def test_an_axis_without_a_size():
    with pytest.raises(ShapeError, match=r"axis F \(feed-forward width\) has no size; bound: B D T"):
        contract("up", X, W_UP, U).flops({"B": 1, "T": 1, "D": 1})


# Elementwise work, gathers, the escape hatch


def test_elementwise_counts_per_element_of_the_output():
    act = elementwise("act", [U], Tensor("m", "B T F"), PerElement(7, special=1))
    assert act.vector_flops(SIZES) == 7 * B * T * F
    assert act.special(SIZES) == B * T * F
    assert act.flops(SIZES) == 0  # no contraction
    assert act.bytes(SIZES, one) == B * T * F + B * T * F  # read u, write m


def test_elementwise_over_an_input():
    total = elementwise("sum", [U], Tensor("b", "F"), PerElement(1, over=U))
    assert total.vector_flops(SIZES) == B * T * F  # one addition per element that is read
    assert total.bytes(SIZES, one) == B * T * F + F


def test_a_gather_reads_rows_and_leaves_the_table_resident():
    embedding = gather("embedding", weight("table", "B T D", stored="V D"), Tensor("tokens", "B T", "index"), X)
    assert embedding.flops(SIZES) == 0
    assert embedding.bytes(SIZES, one) == B * T * D + B * T + B * T * D  # read rows, read index, write rows
    assert embedding.reads[0].resident(SIZES) == V * D
    assert embedding.reads[0].elements(SIZES) == B * T * D


def test_what_is_touched_is_what_stays_unless_it_says_otherwise():
    assert W_UP.resident(SIZES) == W_UP.elements(SIZES) == D * F


def test_the_escape_hatch_is_a_formula_of_the_sizes():
    scan = Work("vector", 3, (), formula=lambda sizes: sizes["T"] * (sizes["T"] + 1) / 2)
    op = Op("scan", "scan", (X,), (Y,), (scan,))
    sizes = {**SIZES, "T": Fraction(T)}
    assert op.vector_flops(sizes) == Fraction(3 * T * (T + 1), 2)
    assert op.flops(sizes) == op.special(sizes) == 0
    assert op.rebound(T=7).vector_flops(sizes) == 3 * 7 * 8 / 2  # the formula sees the rebound letters


# Masks


@given(queries=st.integers(1, 40), past=st.integers(0, 40))
def test_causal_pairs_are_the_pairs_one_by_one(queries, past):
    keys = past + queries
    seen = sum(1 for query in range(queries) for key in range(keys) if key <= past + query)
    assert causal_pairs({"T": Fraction(queries), "S": Fraction(keys)}) == seen


def test_one_new_token_attends_to_all():
    assert causal_pairs({"T": Fraction(1), "S": Fraction(S)}) == S


def test_a_mask_stands_in_for_queries_times_keys_only():
    (fused,) = attention(mask="causal")
    sizes = {letter: Fraction(size) for letter, size in SIZES.items()}
    pairs = T * S - T * (T - 1) // 2
    assert fused.flops(sizes) == 2 * 2 * B * K * G * H * pairs  # scores and context, 2 each
    assert fused.vector_flops(sizes) == 5 * B * K * G * pairs  # scale, maximum, subtract, sum, divide
    assert fused.special(sizes) == B * K * G * pairs  # one exponential per score
    assert fused.bytes(sizes, one) == 2 * B * T * K * G * H + 2 * B * S * K * H  # q and context, k and v


def test_a_mask_needs_both_letters():
    def refuse(_):
        raise AssertionError

    up = contract("up", X, W_UP, U, pairs=refuse)
    assert up.flops(SIZES) == 2 * B * T * D * F  # no S: nothing to mask


@pytest.mark.parametrize("options", [{"mask": "full"}, {"mask": "causal", "square": True}])
def test_square_attention_counts_all_pairs(options):
    (fused,) = attention(**options)
    assert fused.flops(SIZES) == 4 * B * K * G * H * T * S


def test_materialised_attention_stores_scores_and_probabilities():
    parts = attention(mask="causal", fused=False)
    assert sum(op.flops(SIZES) for op in parts) == 4 * B * K * G * H * T * S  # the mask saves nothing
    (fused,) = attention(mask="causal")
    extra = sum(op.bytes(SIZES, one) for op in parts) - fused.bytes(SIZES, one)
    assert extra == 4 * B * K * G * T * S  # scores and probabilities, each written and read


# Fusion


def test_what_is_written_inside_leaves_no_trace():
    up, down = contract("up", X, W_UP, U), contract("down", U, weight("w_down", "F D"), Y)
    both = fuse("mlp", [up, down], kind="mlp")
    assert names(both.reads) == ["x", "w_up", "w_down"]
    assert names(both.writes) == ["y"]
    assert both.flops(SIZES) == 4 * B * T * D * F
    assert both.bytes(SIZES, one) == B * T * D + 2 * D * F + B * T * D  # read x, read both w, write y
    assert both.parts == (up, down)


def test_keep_writes_what_is_read_inside():
    up, down = contract("up", X, W_UP, U), contract("down", U, weight("w_down", "F D"), Y)
    both = fuse("mlp", [up, down], kind="mlp", keep=["u"])
    assert names(both.reads) == ["x", "w_up", "w_down"]  # still not read from memory
    assert names(both.writes) == ["u", "y"]


def test_a_write_that_nothing_inside_reads_stays():
    left, right = (contract(x, X, weight(f"w_{x}", "D F"), Tensor(x, "B T F")) for x in ("left", "right"))
    both = fuse("both", [left, right], kind="matmul")
    assert names(both.reads) == ["x", "w_left", "w_right"]  # x once
    assert names(both.writes) == ["left", "right"]


def test_a_cache_is_written_although_it_is_read_inside():
    both = fuse("all", [*projections(), *attention(mask="causal")], kind="attention")
    assert names(both.reads) == ["h", "w_q", "w_k", "w_v"]
    assert names(both.writes) == ["k_cache", "v_cache", "context"]


def test_read_then_written_is_both():
    double, add = elementwise("double", [X], Y, PerElement(1)), elementwise("add", [Y], X, PerElement(1))
    both = fuse("both", [double, add], kind="elementwise")
    assert names(both.reads) == ["x"]
    assert names(both.writes) == ["x"]


def test_written_then_read_then_written_again_keeps_the_last_write():
    first, use, again = (
        elementwise("a", [X], Y, PerElement(1)),
        elementwise("b", [Y], U, PerElement(1)),
        elementwise("c", [U], Y, PerElement(1)),
    )
    assert names(fuse("all", [first, use, again], kind="elementwise").writes) == ["y"]
    assert names(fuse("two", [first, use], kind="elementwise").writes) == ["u"]


@pytest.mark.parametrize(("op", "moved"), [(rotary(), ["q", "k_cache"]), (query_key_norm(), ["q", "k_cache"])])
def test_in_place_kernels_read_and_write_the_same(op, moved):
    assert [name for name in names(op.reads) if not name.endswith("gain")] == moved
    assert names(op.writes) == moved


def test_parts_that_bind_axes_differently_do_not_fuse():
    up, down = contract("up", X, W_UP, U), contract("down", U, weight("w_down", "F D"), Y)
    with pytest.raises(ShapeError, match=r"^mlp: cannot fuse operators that bind axes differently \(up, down\)$"):
        fuse("mlp", [up, down.rebound(T=1)], kind="mlp")


def test_a_fused_kernel_keeps_the_binding_of_its_parts():
    up, down = contract("up", X, W_UP, U), contract("down", U, weight("w_down", "F D"), Y)
    both = fuse("mlp", [up.rebound(T=1), down.rebound(T=1)], kind="mlp")
    assert both.flops(SIZES) == 4 * B * D * F


_AXES = ("B T D", "B T F", "B S K H", "D F")


@st.composite
def chains(draw):
    """Operators over a handful of names, any of which may be read, rewritten, or a cache."""
    tensors = [
        Tensor(name, draw(st.sampled_from(_AXES)), "kv_cache" if name == "cache" else "activation")
        for name in ("a", "b", "c", "d", "cache")
    ]
    return [
        elementwise(
            f"op{i}",
            draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3, unique_by=lambda t: t.name)),
            draw(st.sampled_from(tensors)),
            PerElement(draw(st.integers(0, 7)), special=draw(st.integers(0, 2))),
        )
        if draw(st.booleans())
        else contract(f"op{i}", X, W_UP, draw(st.sampled_from((U, Tensor("b", "B T F")))))
        for i in range(draw(st.integers(1, 6)))
    ]


@given(ops=chains(), sizes=axis_sizes("BTSDFKGH"), keep=st.sets(st.sampled_from("abcd")))
def test_fusion_never_changes_work_and_never_adds_bytes(ops, sizes, keep):
    fused = fuse("fused", ops, kind="fused", keep=sorted(keep))
    for count in ("flops", "vector_flops", "special"):
        assert getattr(fused, count)(sizes) == sum(getattr(op, count)(sizes) for op in ops)
    assert fused.bytes(sizes, one) <= sum(op.bytes(sizes, one) for op in ops)
    written = {tensor.name for op in ops for tensor in op.writes}
    assert written & keep <= set(names(fused.writes))
    if "cache" in written:
        assert "cache" in names(fused.writes)
    assert ops[-1].writes[0].name in names(fused.writes)  # the result leaves the kernel


# Backward


def test_backward_of_a_contraction_is_two_contractions():
    left, right = backward(contract("up", X, W_UP, U))
    assert str(left) == "up.x': u'[B T F], w_up[D F] -> x'[B T D]"
    assert str(right) == "up.w_up': x[B T D], u'[B T F] -> w_up'[D F]"
    assert left.flops(SIZES) + right.flops(SIZES) == 2 * (2 * B * T * D * F)


def test_backward_of_a_bias_sums_the_gradient():
    *_, bias = backward(contract("up", X, W_UP, U, bias=weight("b_up", "F")))
    assert str(bias) == "up.b_up': u'[B T F] -> b_up'[F]"
    assert bias.vector_flops(SIZES) == B * T * F


@given(sizes=axis_sizes("BTSKGH"), options=st.sampled_from([{"mask": "full"}, {"mask": "causal"}]))
def test_backward_of_fused_attention_is_one_kernel_of_five_contractions(sizes, options):
    (fused,) = attention(**options)
    exact_sizes = {letter: Fraction(size) for letter, size in sizes.items()}
    (step,) = backward(fused)
    assert step.flops(exact_sizes) * 2 == 5 * fused.flops(exact_sizes)  # the mask holds there too
    assert set(names(step.reads)) == {"q", "k_cache", "v_cache", "context", "context'"}
    assert set(names(step.writes)) == {"q'", "k_cache'", "v_cache'"}


def test_backward_of_packed_projections_is_one_kernel_for_the_input_and_one_for_the_weights():
    (packed,) = projections(packed=True, bias=True)
    assert [step.name for step in backward(packed)] == ["qkv_proj.h'", "qkv_proj.weights'", "qkv_proj.biases'"]
    sizes = dict.fromkeys("BTDKGH", 2)
    assert sum(step.flops(sizes) for step in backward(packed)) == 2 * packed.flops(sizes)


def test_backward_of_a_sum_moves_nothing_and_a_tensor_read_twice_adds_its_gradients():
    total = elementwise("sum", [X, Tensor("a", "B T D")], X, PerElement(1), linear=True, function="add")
    known = Gradients({"x": gradient(X)})
    assert known.back(total) == ()
    assert {name: tensor.name for name, tensor in known.known.items()} == {"x": "x'", "a": "x'"}
    two = Gradients({"u": gradient(U), "m": gradient(Tensor("m", "B T F"))})
    steps = two.through(
        [contract("up", X, W_UP, U), contract("gate", X, weight("w_gate", "D F"), Tensor("m", "B T F"))]
    )
    assert [str(step) for _, each in steps for step in each if step.linear] == [
        "up.x'.sum: x'[B T D], x'.up[B T D] -> x'[B T D]"
    ]


def test_what_backward_reads_of_a_function():
    for function, read in (("gelu", ["m'", "u"]), ("relu", ["m'", "m"]), ("tanh", ["m'", "m"])):
        (step,) = backward(activation("act", U, Tensor("m", "B T F"), function))
        assert names(step.reads) == read


def test_backward_of_elementwise_work_reads_the_inputs_and_the_gradient():
    (step,) = backward(elementwise("act", [U], Tensor("m", "B T F"), PerElement(7, special=1)))
    assert str(step) == "act.backward: m'[B T F], u[B T F] -> u'[B T F]"
    assert (step.vector_flops(SIZES), step.special(SIZES)) == (7 * B * T * F, B * T * F)


def test_backward_of_a_gather_scatters_to_the_rows():
    (step,) = backward(token_embedding())
    assert (
        str(step) == "token_embedding.backward: x'[B T D], tokens[B T] -> token_table'[V D]"
    )  # dense, as torch has it
    assert step.vector_flops(SIZES) == B * T * D  # one addition per element
    assert "tokens'" not in names(step.writes)  # an index has no gradient


def test_backward_keeps_the_binding():
    left, right = backward(contract("up", X, W_UP, U).rebound(T=1))
    assert left.flops(SIZES) == right.flops(SIZES) == 2 * B * D * F


def test_a_gradient_has_the_shape_of_its_tensor():
    assert gradient(W_UP) == Tensor("w_up'", "D F", "activation", gradient_of="w_up")


# Rebinding


def test_rebound_changes_counts_and_not_the_statement():
    up = contract("up", X, W_UP, U)
    last = up.rebound(T=1)
    assert str(last) == str(up)
    assert last.flops(SIZES) == 2 * B * D * F
    assert last.bytes(SIZES, one) == B * D + D * F + B * F  # one row of x, w, one row of y
    assert up.flops(SIZES) == 2 * B * T * D * F


def test_rebound_adds_to_what_was_bound():
    square = contract("up", X, W_UP, U).rebound(T=1).rebound(F="D", B=lambda sizes: 2 * sizes["B"])
    assert square.flops(SIZES) == 2 * (2 * B) * D * D
