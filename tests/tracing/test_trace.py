"""Traced modules: FLOPs beside torch's counter, parameters beside the module's, formulas and layers by hand."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import traced_modules as zoo  # noqa: E402
from torch.nn.attention import flex_attention as flex  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import roofline  # noqa: E402
from roofline.cost.cost import step_cost  # noqa: E402
from roofline.cost.kernel_shapes import AttentionShape  # noqa: E402
from roofline.errors import RooflineError, UsageError, WorkloadError  # noqa: E402
from roofline.models.model import Model  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402
from roofline.program.workload import MAX_LENGTH, Precision  # noqa: E402
from roofline.tracing.hollow import hollow  # noqa: E402
from roofline.tracing.trace import trace  # noqa: E402

SQUARE = Conventions(count="square")
MODULES: dict[str, tuple[Any, dict[str, str], dict[str, int]]] = {
    "decoder": (zoo.Decoder, {"tokens": "B,S"}, {}),
    "own attention": (zoo.OwnAttention, {"x": "B,S,32"}, {}),
    "convolutions": (zoo.Convolutions, {"x": "B,3,M,M"}, {"M": 32}),
    "recommender": (zoo.Recommender, {"dense": "B,13", "ids": "B,5"}, {}),
    "graph": (zoo.GraphLayer, {"nodes": "B,16", "start_index": "M", "end_index": "M"}, {"M": 50}),
    "shared": (zoo.Shared, {"x": "B,S,32"}, {}),
}


@functools.cache
def traced(name: str) -> tuple[Model, Any]:
    make, inputs, dims = MODULES[name]
    module = make()
    return trace(module, inputs, dims=dims, name=name), module


def flops(model: Model, **sizes: int) -> int:
    program = model.program(SQUARE)
    bound = {letter: Fraction(size) for letter, size in {**program.sizes, **sizes}.items()}
    return int(sum(group.times(bound) * op.flops(group.sizes(bound)) for group, op in program.in_phase(Phase.ENCODE)))


def counted(module: Any, inputs: Mapping[str, str], sizes: Mapping[str, int]) -> int:
    """What torch's counter sees of the module on tensors of these sizes, attention written out as the math it is."""
    given = {}
    for name, text in inputs.items():
        shape = [sizes.get(part, 0) or int(part) for part in text.split(",")]
        whole = name.endswith(("tokens", "ids", "index"))
        given[name] = torch.zeros(shape, dtype=torch.int64) if whole else torch.zeros(shape)
    math = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with torch.no_grad(), math, FlopCounterMode(display=False) as seen:
        module.eval()(**given)
    return int(seen.get_total_flops())


@pytest.mark.parametrize("name", MODULES)
def test_flops_and_parameters_are_those_of_torch_at_any_size(name: str) -> None:
    model, module = traced(name)
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert not model.is_lower_bound
    _, inputs, dims = MODULES[name]
    for sizes in ({"B": 2, "S": 7, **dims}, {"B": 5, "S": 33, **dims}, {"B": 1, "S": 1, **dims}):
        assert flops(model, **sizes) == counted(module, inputs, sizes) > 0


def test_layers_that_are_alike_are_one_that_repeats() -> None:
    model, _ = traced("decoder")
    groups = {group.name: group for group in model.program().groups}
    assert {name: group.repeat for name, group in groups.items()} == {
        "start": 1,
        "layers": 3,
        "head": 1,
        "never read": 1,
    }
    assert groups["layers"].numbers == (0, 1, 2)
    assert [op.name for op in groups["layers"].ops] == "qkv attention out norm2 up gelu down norm1".split()
    assert [op.kind for op in groups["layers"].ops][:4] == ["matmul", "attention", "matmul", "norm"]
    shared = traced("shared")[0].program().groups
    assert [(group.repeat, group.shared) for group in shared] == [(1, False), (3, True), (1, False), (1, False)]


def test_a_formula_is_in_the_letters_of_the_inputs() -> None:
    model, _ = traced("decoder")
    (up,) = {roofline.formula(model, op="up").expression}
    assert str(up) == "8192*B*S"  # 2 x 32 x 128
    assert str(roofline.formula(model, op="attention").expression) == "64*B*S*(S + 1)"  # the attended half of 4 x 32
    assert str(roofline.formula(model, op="head").expression) == "6464*B*S"  # 2 x 32 x 101


def test_attention_takes_the_constants_of_its_shape() -> None:
    model, _ = traced("decoder")
    costs = step_cost(model.program(), Phase.ENCODE, {"B": 2, "T": 16, "S": 16}, Precision("bf16", "bf16", "bf16"))
    (shape,) = {cost.shape for cost in costs if cost.kind == "attention"}
    assert isinstance(shape, AttentionShape)
    assert (shape.batch, shape.queries, shape.keys, shape.kv_heads, shape.groups) == (2, 16, 16, 4, 1)
    assert (shape.head_dim, shape.bidirectional, shape.cache_bytes) == (8, False, 2 * 2 * 16 * 32 * 2)


def test_what_is_fused_reads_its_inputs_once_and_writes_what_others_read() -> None:
    model, _ = traced("decoder")
    layers = next(group for group in model.program().groups if group.name == "layers")
    ops = {op.name: op for op in layers.ops}
    sizes = {"B": 2, "T": 16, "S": 16}
    rows, two = 2 * 16, Precision("bf16", "bf16", "bf16").width
    # stream and branch read, gain and shift read, their sum and its norm written
    assert ops["norm2"].bytes(sizes, two) == 2 * (rows * 32 + rows * 32 + 32 + 32 + rows * 32 + rows * 32)
    assert ops["gelu"].bytes(sizes, two) == 2 * (2 * rows * 128)
    assert ops["attention"].bytes(sizes, two) == 2 * (4 * rows * 32)
    assert ops["qkv"].bytes(sizes, two) == 2 * (rows * 32 + 32 * 96 + 96 + rows * 96)
    assert ops["gelu"].vector_flops(sizes) == 7 * rows * 128
    assert ops["gelu"].special(sizes) == rows * 128


def test_a_table_of_positions_bounds_the_prompt_by_its_line() -> None:
    model, _ = traced("decoder")
    assert model.lengths.positions == 64
    with pytest.raises(WorkloadError, match=r"prompt 65 exceeds the model's positions \(traced_modules.py:\d+\) 64"):
        roofline.predict(model, "h100", prompt=65)


class Numbered(torch.nn.Module):  # type: ignore[misc]
    """Places that are counted from ``first``, each with a row of a table, as GPT-2 has them."""

    def __init__(self, first: int, wrapped: bool) -> None:
        super().__init__()
        self.table, self.first, self.wrapped = torch.nn.Embedding(48, 8), first, wrapped

    def forward(self, x: Any) -> Any:
        places = torch.arange(x.shape[1], device=x.device) + self.first
        return x + self.table((places % 48 if self.wrapped else places).unsqueeze(0))


@pytest.mark.parametrize(("first", "wrapped", "most"), [(0, False, 48), (2, False, 48), (0, True, MAX_LENGTH)])
def test_places_that_pick_rows_of_a_table_are_no_more_than_it_has(first: int, wrapped: bool, most: int) -> None:
    model = roofline.trace(Numbered(first, wrapped), {"x": "B,S,8"})
    assert model.lengths.positions == most
    assert (".py:" in model.lengths.field) == (not wrapped)


def test_what_torch_runs_at_numbers_alone_says_what_to_write() -> None:
    with pytest.raises(UsageError, match="torch takes no letters as sizes here; write it with einsum or matmul"):
        roofline.trace(torch.nn.Bilinear(8, 8, 8), {"input1": "B,S,8", "input2": "B,S,8"})


def test_a_layout_that_nothing_says_is_refused_by_a_line() -> None:
    model, _ = traced("decoder")
    replicas, alone = (roofline.predict(model, name, batch=b, prompt=16) for name, b in (("8xh100", 8), ("h100", 1)))
    assert replicas.layout.dp == 8
    assert replicas.phases[Phase.ENCODE].figures.time_s == alone.phases[Phase.ENCODE].figures.time_s
    for flag in ("tp", "cp"):
        with pytest.raises(RooflineError, match=f"{flag} 2 cannot split a traced module"):
            roofline.predict(model, "2xh100", batch=8, prompt=16, **{flag: 2})


class Loop(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        total = x[:, 0]
        for place in range(x.shape[1]):
            total = total + x[:, place]
        return total


class Branch(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


class Rows(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self.linear(x[x[:, 0] > 0])


class Sorted(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.sort(x, dim=-1)[0]


REFUSED = {
    "a loop over a letter": (Loop, "S is fixed by the code"),
    "a branch on data": (Branch, r"test_trace.py:\d+: GuardOnDataDependent.*depends on some"),
    "a shape that depends on data": (Rows, r"\(test_trace.py:\d+\); give --dims u0=100"),
}


@pytest.mark.parametrize("trap", REFUSED)
def test_what_depends_on_data_is_refused_with_its_line(trap: str) -> None:
    make, message = REFUSED[trap]
    with pytest.raises(UsageError, match=message) as failure:
        trace(make(), {"x": "B,8" if make is Rows else "B,S,8"})
    assert "\n" not in str(failure.value)


def test_a_size_that_depends_on_data_is_taken_as_it_is_given() -> None:
    model = trace(Rows(), {"x": "B,8"}, dims={"u0": 10})
    assert flops(model, B=1000, S=1) == 2 * 10 * 8 * 8


def test_what_has_no_known_cost_makes_a_lower_bound_or_is_refused() -> None:
    model = trace(Sorted(), {"x": "B,S,8"})
    (warning,) = model.warnings
    assert "at least: sort has no known cost, only its bytes count (test_trace.py:" in warning
    assert warning in roofline.predict(model, "h100", prompt=64).notes
    with pytest.raises(UsageError, match="without strict it is a lower bound"):
        trace(Sorted(), {"x": "B,S,8"}, strict=True)


@pytest.mark.parametrize(
    ("inputs", "dims", "message"),
    [
        ({"y": "B,S,32"}, {}, 'takes no input "y"; it takes x'),
        ({}, {}, "forward needs x"),
        ({"x": "B,M,32"}, {}, "M has no number; give --dims M=512"),
        ({"x": "B,S,32"}, {"B": 3}, "B and S follow --batch and --prompt"),
        ({"x": "B,S,32"}, {"M": 0}, "expected a whole number from 1 on"),
        ({"x": "B,-1,32"}, {}, '"-1" is no size'),
        ({"x": "text:B"}, {}, '"text" is not float, int, bool or cache'),
        ({"x": 7.5}, {}, "given float"),
        ({"x": "B,S,33"}, {}, "RuntimeError"),
    ],
)
def test_a_bad_input_is_one_line(inputs: dict[str, Any], dims: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message) as failure:
        trace(zoo.OwnAttention(), inputs, dims=dims)
    assert "\n" not in str(failure.value)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"given str, expected a torch\.nn\.Module"):
        trace("module", {"x": "B"})


class Experts(torch.nn.Module):
    """A stack of matrices of four terabytes."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = torch.nn.Parameter(torch.empty(2**10, 2**15, 2**15))
        self.more = torch.nn.Parameter(torch.randn(2**10, 2**15, 2**15))

    def forward(self, x: Any) -> Any:
        return x @ self.stack[0] @ self.more[0]


def test_large_parameters_take_no_memory_while_they_are_made() -> None:
    with hollow():
        module = Experts()
    model = trace(module, {"x": "B,S,32768"})
    assert (model.parameters, flops(model, B=2, S=3)) == (2**41, 2 * 2 * 2 * 3 * 2**30)


class WrittenOut(torch.nn.Module):
    """Attention in plain matmuls, and a matmul as a product and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(8, 24)

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(x).chunk(3, -1)
        y = (q @ k.mT).softmax(-1) @ v
        return (y[:, :, None] * x[:, None]).sum(-1)


def test_what_the_code_stores_that_it_need_not_is_said_with_its_line() -> None:
    scores, product = trace(WrittenOut(), {"x": "B,S,8"}).warnings
    assert "attention is written out (test_trace.py:" in scores
    assert "B*(S**2) elements" in scores
    assert "a contraction is a product and a sum (test_trace.py:" in product
    assert "(S**2) elements" in product
    assert trace(zoo.Decoder(), {"tokens": "B,S"}).warnings == ()


class Flexible(torch.nn.Module):
    """Attention of two heads by flex_attention, whose scores may be changed and whose pairs may be left out."""

    def __init__(self, change: Any = None, masked: bool = False) -> None:
        super().__init__()
        self.qkv, self.change, self.masked = torch.nn.Linear(8, 24), change, masked

    def forward(self, x: Any) -> Any:
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        mask = None
        if self.masked:
            mask = flex.create_block_mask(lambda b, h, i, j: i >= j, None, None, 256, 256, device="cpu")
        return flex.flex_attention(q, k, v, score_mod=self.change, block_mask=mask)


def test_flex_attention_is_one_kernel_over_all_pairs() -> None:
    plain, changed = (trace(Flexible(each), {"x": "B,S,8"}) for each in (None, lambda score, *_: 2 * score))
    assert [op.kind for group in plain.program().groups for op in group.ops] == ["matmul", "attention"]
    for model in (plain, changed):
        assert flops(model, B=2, S=7) == 2 * 2 * 7 * 8 * 24 + 4 * 2 * 7 * 7 * 8
    assert plain.warnings == ()
    assert "what its score_mod computes is not counted" in changed.warnings[0]
    with pytest.raises(UsageError, match=r"test_trace.py:\d+: flex_attention has a block mask"):
        trace(Flexible(masked=True), {"x": "B,256,8"})
