"""Training steps of traced modules beside torch: FLOPs of both passes, what autograd saves, gradients of weights."""

from __future__ import annotations

import functools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import roofline  # noqa: E402
from roofline.cost.saved_bytes import saved_bytes  # noqa: E402
from roofline.errors import RooflineError, UsageError  # noqa: E402
from roofline.models.model import Model, load_model  # noqa: E402
from roofline.parallelism.layout import Layout  # noqa: E402
from roofline.parallelism.sharded_backward import shard_training  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402
from roofline.program.recompute import NOTHING  # noqa: E402
from roofline.program.workload import Precision  # noqa: E402
from roofline.training.flops import model_flops  # noqa: E402
from roofline.training.network import traced_network  # noqa: E402

SQUARE = Conventions(count="square", fusion="none", apart=True)
GRAPH = Conventions(count="square")
FP32 = Precision("fp32", "fp32", "fp32")


class Layer(nn.Module):
    """Attention of two heads, and a feed-forward part."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down, self.attention = nn.Linear(16, 40), nn.Linear(40, 16, bias=False), attention

    def forward(self, x: Any) -> Any:
        q, k, v = (t.unflatten(-1, (2, 8)).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        x = x + self.out(self.attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(gelu(self.up(x)))


def written_out(q: Any, k: Any, v: Any) -> Any:
    return (q @ k.mT).softmax(-1) @ v


class Words(nn.Module):
    """Layers between a table and a head, with their loss."""

    def __init__(self, attention: Any = written_out) -> None:
        super().__init__()
        self.table = nn.Embedding(31, 16)
        self.layers = nn.ModuleList(Layer(attention) for _ in range(3))
        self.head = nn.Linear(16, 31, bias=False)

    def forward(self, tokens: Any, labels: Any) -> Any:
        x = self.table(tokens)
        for layer in self.layers:
            x = layer(x)
        return cross_entropy(self.head(x).flatten(0, 1), labels.flatten())


class Images(nn.Module):
    """Convolutions in inference norm and out of it, with their loss."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.wide, self.head = nn.Conv2d(8, 12, 3, padding=1), nn.Linear(12, 5)

    def forward(self, x: Any, labels: Any) -> Any:
        return cross_entropy(self.head(self.wide(self.stem(x)).relu().mean((2, 3))), labels)


MODULES: dict[str, tuple[Any, dict[str, str]]] = {
    "words": (Words, {"tokens": "B,S", "labels": "B,S"}),
    "images": (Images, {"x": "B,3,12,12", "labels": "B"}),
}
SIZES = {"B": 4, "S": 7}


@functools.cache
def traced(name: str) -> tuple[Model, Any]:
    make, inputs = MODULES[name]
    module = make()
    return roofline.trace(module, inputs, mode="training"), module


def given(inputs: dict[str, str]) -> dict[str, Any]:
    shapes = {name: [SIZES.get(size) or int(size) for size in text.split(",")] for name, text in inputs.items()}
    return {name: torch.randn(shape) if name == "x" else torch.randint(0, 5, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", MODULES)
def test_both_passes_have_the_flops_of_torch(name: str) -> None:
    model, module = traced(name)
    with FlopCounterMode(display=False) as seen:
        module(**given(MODULES[name][1])).backward()
    step, _ = model.config.training(SQUARE)  # type: ignore[union-attr]
    assert int(model_flops(step, dict.fromkeys("TSM", SIZES["S"]), SIZES["B"])) == seen.get_total_flops()


@pytest.mark.parametrize("name", MODULES)
def test_as_many_bytes_are_saved_as_autograd_saves(name: str) -> None:
    model, module = traced(name)
    inputs = given(MODULES[name][1])
    known = {each.untyped_storage().data_ptr() for each in (*module.parameters(), *module.buffers(), *inputs.values())}
    kept: dict[int, tuple[int, Any]] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known and tensor.is_floating_point():
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(**inputs)
    network = traced_network(model, SQUARE)
    sizes = {**network.program.sizes, **SIZES, "T": SIZES["S"]}
    ours = saved_bytes(network.saved(NOTHING), sizes, FP32)
    assert int(ours) == pytest.approx(sum(size for size, _ in kept.values()), rel=0.02)


@pytest.mark.parametrize("name", MODULES)
def test_each_weight_has_one_gradient_of_its_size(name: str) -> None:
    model, module = traced(name)
    step, _ = model.config.training(SQUARE)  # type: ignore[union-attr]
    sizes = {**step.sizes, **SIZES, "T": SIZES["S"]}
    back = [group for group in step.groups if Phase.BACKWARD in group.phases]
    elements = sum(
        group.times(sizes) * tensor.elements({**sizes, **{x: bound(sizes) for x, bound in op.local.items()}})  # type: ignore[operator]
        for group in back for op in group.ops for tensor in op.writes if tensor.gradient_of
    )  # fmt: skip
    assert elements == sum(each.numel() for each in module.parameters()) == model.parameters


def test_a_fused_attention_runs_back_as_one_kernel_of_five_contractions() -> None:
    model = roofline.trace(Words(scaled_dot_product_attention), MODULES["words"][1], mode="training")
    step, _ = model.config.training(SQUARE)  # type: ignore[union-attr]
    ops = {(phase, op.name): op for phase in step.phases for _, op in step.in_phase(phase)}
    one, back = ops[Phase.FORWARD, "attention"], ops[Phase.BACKWARD, "attention.backward"]
    assert back.kind == one.kind == "attention"
    assert 2 * back.flops(SIZES) == 5 * one.flops(SIZES) > 0
    eager = roofline.trace(Words(), MODULES["words"][1], mode="training")
    counted = [model_flops(traced_network(each, SQUARE).step, dict.fromkeys("TSM", 7), 4) for each in (model, eager)]
    assert counted[0] == counted[1]  # scores that the kernel computes once more are not the model's


def test_replicas_add_up_gradients_and_nothing_else() -> None:
    model, _ = traced("words")
    step = shard_training(traced_network(model, SQUARE).step, Layout(dp=2))
    sizes = {**step.sizes, **SIZES, "T": SIZES["S"]}
    sent = [(group, op) for phase in step.phases for group, op in step.in_phase(phase) if op.transfer]
    assert {op.transfer.operation for _, op in sent if op.transfer} == {"all_reduce"}
    assert sum(g.times(sizes) * op.message_bytes(sizes, lambda _: 1) for g, op in sent) == model.parameters


def test_a_file_of_both_passes_gives_the_same_step(tmp_path: Any) -> None:
    model, _ = traced("words")
    model.write_trace(tmp_path / "words.json")
    asked: dict[str, Any] = {"sequence": 32, "batch": 8, "microbatch": 8, "recompute": "none", "zero": 0}
    one, other = (roofline.train(each, "h100", **asked).step for each in (model, load_model(tmp_path / "words.json")))
    assert one.timing == other.timing
    assert one.memory == other.memory


class NoLoss(nn.Linear):
    """Returns what it computes."""


def test_a_module_without_a_loss_is_a_lower_bound_and_options_of_stated_networks_are_refused() -> None:
    model = roofline.trace(NoLoss(8, 8), {"input": "B,S,8"}, mode="training")
    assert "returns no loss" in model.warnings[0]
    for options, words in (({"lora": 4}, "put the adapters into the module"), ({"tp": 2}, "cannot split a traced")):
        with pytest.raises(RooflineError, match=words):
            roofline.train(model, "2xh100", sequence=8, batch=4, **options)
    for bad, words in ((roofline.trace(NoLoss(8, 8), {"input": "B,S,8"}), "traced in inference"),):
        with pytest.raises(RooflineError, match=words):
            roofline.train(bad, "h100", sequence=8, batch=4)
    with pytest.raises(RooflineError, match="depends on a parameter that learns"):
        roofline.trace(NoLoss(8, 8).requires_grad_(False), {"input": "B,S,8"}, mode="training")


class Grouped(nn.Conv1d):
    """A convolution of groups, and its loss."""

    def forward(self, x: Any) -> Any:
        return super().forward(x).mean()


def test_a_grouped_convolution_takes_twice_its_flops_backward_where_torch_counts_one_group() -> None:
    layer, once = Grouped(8, 8, 5, padding=2, groups=4), 2 * 4 * 7 * 8 * 2 * 5
    model = roofline.trace(nn.Sequential(nn.Conv1d(8, 8, 1), layer), {"input": "B,8,S"}, mode="training")
    with FlopCounterMode(display=False) as seen:
        layer(torch.zeros(4, 8, 7, requires_grad=True)).backward()
    step, _ = model.config.training(SQUARE)  # type: ignore[union-attr]
    pointwise = 2 * 2 * 4 * 7 * 8 * 8  # what it is given has no gradient
    assert int(model_flops(step, dict.fromkeys("TSM", 7), 4)) - pointwise == 3 * once
    assert seen.get_total_flops() == 2 * once + 4 * once


class Gated(nn.Module):
    """A layer as transformers writes them: a norm of root mean squares and GELU by tanh, each operation by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(16))
        self.up, self.gate, self.down = nn.Linear(16, 40), nn.Linear(16, 40), nn.Linear(40, 16)

    def forward(self, x: Any) -> Any:
        h = self.gain * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))
        u = self.up(h)
        act = 0.5 * u * (1 + torch.tanh(0.8 * (u + 0.04 * torch.pow(u, 3.0))))
        return x + self.down(act * nn.functional.silu(self.gate(h)))


class Written(Words):
    """Such layers between a table and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Gated() for _ in range(3))


def saved_by(network: Any) -> int:
    sizes = {**network.program.sizes, **SIZES, "T": SIZES["S"]}
    return int(saved_bytes(network.saved(NOTHING), sizes, FP32))


def test_a_training_step_is_taken_apart_or_compiled_whatever_its_engine() -> None:
    model = roofline.trace(Written(), MODULES["words"][1], mode="training")
    asked = {"sequence": 7, "batch": 2, "microbatch": 2, "recompute": "none", "zero": 0}

    def peak(**how: Any) -> float:
        found = roofline.train(model, "h100", **asked, **how).step
        assert found.to_dict()["inputs"]["fusion"] == how.get("fusion", "inductor")
        return float(found.to_dict()["memory"]["first"]["saved_bytes"])

    assert peak() == peak(fusion="inductor") < peak(fusion="none")
    with pytest.raises(UsageError, match="fusion engine: engines of inference fuse so; give none or inductor"):
        peak(fusion="engine")


def test_a_graph_compiler_makes_elementwise_work_again_that_eager_torch_saves() -> None:
    model = roofline.trace(Written(), MODULES["words"][1], mode="training")
    eager, compiled = (traced_network(model, each) for each in (SQUARE, GRAPH))
    rows = 4 * SIZES["B"] * SIZES["S"]  # of each layer: its input, 1 / rms, the norm, up, gate, act; at both ends more
    assert saved_by(compiled) == rows * (3 * (16 + 1 + 16 + 3 * 40) + 16 + 31) + 4  # + what the loss divides by
    assert saved_by(eager) > 1.5 * saved_by(compiled)
    assert model_flops(compiled.step, dict.fromkeys("TSM", 7), 4) == model_flops(eager.step, dict.fromkeys("TSM", 7), 4)


@pytest.mark.slow
@pytest.mark.parametrize("make", [Words, Written])
def test_a_graph_compiler_saves_what_that_of_torch_saves(make: Any) -> None:
    from functorch.compile import aot_function, min_cut_rematerialization_partition
    from torch._inductor.decomposition import select_decomp_table

    module, kept = make(), list[Any]()
    weights = dict(module.named_parameters())
    sizes = {tuple(sorted(each.shape)) for each in weights.values()}

    def run(*values: Any) -> Any:
        return torch.func.functional_call(module, dict(zip(weights, values, strict=False)), values[-2:])

    def note(graph: Any, _: Any) -> Any:
        (end,) = (node for node in graph.graph.nodes if node.op == "output")
        found = [node.meta["val"] for node in end.args[0][1:] if node.op != "placeholder"]
        kept.extend(each for each in found if isinstance(each, torch.Tensor) and tuple(sorted(each.shape)) not in sizes)
        return graph

    inputs = given(MODULES["words"][1])
    split = {"partition_fn": min_cut_rematerialization_partition, "decompositions": select_decomp_table()}
    aot_function(run, note, lambda graph, _: graph, **split)(*weights.values(), *inputs.values())
    torchs = sum(each.numel() * each.element_size() for each in kept)
    model = roofline.trace(module, MODULES["words"][1], mode="training")
    statistics = 2 * 4 * SIZES["B"] * SIZES["S"]  # of the loss's rows: the softmax here is one call
    ours = saved_by(traced_network(model, GRAPH))
    assert torchs - ours in (0, statistics)
