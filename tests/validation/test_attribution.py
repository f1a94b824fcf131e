"""Joining what torch ran with what was predicted: recorded kernels by hand, and small real modules without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.fitting.calibrating import HOST_S, Host
from roofline.models.model import Model, load_model
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.tracing.inputs import read_inputs
from roofline.validation.attribution import join, mark_of
from roofline.validation.capture import TensorSpec, TorchCall, capture_step
from roofline.validation.devices import Device
from roofline.validation.modules import build_module, build_step
from roofline.validation.profiling import profile_step
from roofline.validation.replay import distinct, prepared_call
from roofline.validation.session import kernels_predicted, prepare
from roofline.validation.stopwatch import Sample, Samples

SMALL = {
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "vocab_size": 101,
}
MODELS: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", "max_position_embeddings": 64, **SMALL},
    "llama": {"model_type": "llama", "num_key_value_heads": 2, "max_position_embeddings": 64, **SMALL},
    "qwen3": {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 64, **SMALL},
    "gpt2": {"model_type": "gpt2", "n_embd": 48, "n_head": 4, "n_layer": 2, "n_positions": 64, "vocab_size": 101},
}
INCIDENTAL = {"arange", "gather", "_to_copy", "cos", "sin", "cat", "mul", "add", "sub", "expand", "unsqueeze"}
"""What transformers computes once a step beside the operators: positions, masks, tables of sines."""


def spec(*shape: int, resident: bool = False) -> TensorSpec:
    return TensorSpec(shape, tuple(range(len(shape))), "float32", resident)


def no_grad() -> Any:
    """Of torch, which a worker that runs none of these tests need not load."""
    import torch

    return torch.no_grad()


def call(name: str, *arguments: Any, out: tuple[int, ...] = (2, 3)) -> TorchCall:
    return TorchCall(name, "default", arguments, (), (out,), view=False)


# By hand


@pytest.mark.parametrize(
    ("found", "mark"),
    [
        (call("mm", spec(6, 8), spec(8, 5), out=(6, 5)), ("matmul", 6, 8, 5)),
        (call("addmm", spec(5), spec(6, 8), spec(8, 5), out=(6, 5)), ("matmul", 6, 8, 5)),
        (call("linear", spec(2, 3, 8), spec(5, 8), out=(2, 3, 5)), ("matmul", 6, 8, 5)),
        (call("_scaled_dot_product_flash_attention_for_cpu", spec(2, 4, 3, 8), spec(2, 2, 7, 8), spec(2, 2, 7, 8)),
         ("attention", 8, 3, 7)),
        (call("add", spec(2, 3), spec(2, 3)), ("add", 6)),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_the_mark_of_a_kernel(found: TorchCall, mark: tuple[Any, ...]) -> None:
    assert mark_of(found) == mark


def test_kernels_go_to_operators_of_their_mark_and_the_rest_is_listed() -> None:
    add, odd = call("add", spec(2, 3), spec(2, 3)), call("sin", spec(9), out=(9,))
    joined = join([add, odd, add, add], [("one", ("add", 6)), ("two", ("add", 6)), ("lost", ("tanh", 6))])
    assert joined.shares == {(add, "one"): 1, (add, "two"): 1}
    assert joined.unpredicted == {add: 1, odd: 1}
    assert joined.not_run == {("lost", "tanh"): 1}
    assert joined.operator_s({add: 2.0, odd: 5.0}) == {"one": 2.0, "two": 2.0}


def test_every_run_is_joined_or_listed_once() -> None:
    calls = [call("add", spec(2, 3), spec(2, 3))] * 5 + [call("neg", spec(4), out=(4,))] * 2
    joined = join(calls, [("one", ("add", 6))] * 3)
    assert sum(joined.shares.values()) + sum(joined.unpredicted.values()) == len(calls)


# Real modules, small; nothing is timed


def model(name: str) -> Model:
    return load_model(MODELS[name])


@pytest.fixture(scope="module")
def cpu() -> Device:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    return Device.open("cpu")


@pytest.mark.parametrize(
    ("name", "phase"),
    [("bert", Phase.ENCODE), ("llama", Phase.PREFILL), ("llama", Phase.DECODE), ("gpt2", Phase.PREFILL),
     ("gpt2", Phase.DECODE), ("qwen3", Phase.DECODE)],
)  # fmt: skip
def test_all_that_was_predicted_runs_and_little_else(name: str, phase: Any, cpu: Device) -> None:
    lengths: dict[str, Any] = {"context": 9} if phase == Phase.DECODE else {"prompt": 7}
    if phase == Phase.PREFILL:
        lengths["generate"] = 1
    prediction = predict(model(name), "laptop-cpu", batch=3, phase=phase, dtype="fp32", **lengths)
    with no_grad():
        case = prepare(prediction, phase, build_module(prediction.model, cpu, "fp32"), cpu)
        captured = capture_step(case.step.run, case.step.resident)
    joined = join(captured.kernels(), kernels_predicted(case))
    assert joined.not_run == {}
    assert {c.name for c in joined.unpredicted} <= INCIDENTAL
    assert sum(joined.shares.values()) > 0.7 * len(captured.kernels())
    biggest = max((sum(s.elements for s in c.tensors) for c in joined.unpredicted), default=0)
    assert biggest <= 9 * 101 * 64  # tables of positions, not activations of a layer


def test_the_tutorial_runs_and_is_what_was_predicted(cpu: Device) -> None:
    prediction = predict("bert-tutorial", "laptop-cpu", prompt=5, dtype="fp32")
    module = build_module(prediction.model, cpu, "fp32")
    assert sum(p.numel() for p in module.parameters()) == prediction.parameters
    with no_grad():
        case = prepare(prediction, Phase.ENCODE, module, cpu)
        joined = join(capture_step(case.step.run).kernels(), kernels_predicted(case))
        assert case.step.run().shape == (1, 5, 10_000)
    assert joined.not_run == {}
    assert {c.name for c in joined.unpredicted} <= {"arange"}


TRACED: dict[str, tuple[dict[str, str], dict[str, int]]] = {
    "Decoder": ({"tokens": "B,S"}, {}),
    "OwnAttention": ({"x": "B,S,32"}, {}),
    "Convolutions": ({"x": "B,3,M,M"}, {"M": 32}),
    "Recommender": ({"dense": "B,13", "ids": "B,5"}, {}),
    "GraphLayer": ({"nodes": "B,16", "start_index": "M", "end_index": "M"}, {"M": 50}),
}


@pytest.mark.parametrize("name", TRACED)
def test_a_traced_module_runs_the_calls_that_were_predicted_and_no_others(name: str, cpu: Device) -> None:
    """In eager torch each call of the trace is a kernel by itself, of the size that was predicted."""
    traced_modules, roofline = pytest.importorskip("traced_modules"), pytest.importorskip("roofline")
    module = getattr(traced_modules, name)().eval()
    inputs, dims = TRACED[name]
    prediction = predict(roofline.trace(module, inputs, dims=dims), "laptop-cpu", batch=3, dtype="fp32")
    with no_grad():
        case = prepare(prediction, Phase.ENCODE, module, cpu, read_inputs(inputs))
        joined = join(capture_step(case.step.run, case.step.resident).kernels(), kernels_predicted(case))
    assert joined.not_run == {}
    assert {call.name for call in joined.unpredicted} <= {"arange", "lift_fresh", "ones", "zeros", "full"}


def test_weights_and_caches_are_known_as_resident(cpu: Device) -> None:
    with no_grad():
        module = build_module(model("llama"), cpu, "fp32")
        step = build_step(module, cpu, Phase.DECODE, {"batch": 2, "length": 6}, 101)
        calls = capture_step(step.run, step.resident).kernels()
    resident = [c for c in calls if any(s.resident for s in c.tensors)]
    assert {"mm", "cat"} <= {c.name for c in resident}
    assert any(s.shape == (2, 2, 5, 12) for c in resident for s in c.tensors)  # the cache, before the new token


def test_decode_attends_to_the_same_length_each_time(cpu: Device) -> None:
    with no_grad():
        module = build_module(model("gpt2"), cpu, "fp32")
        step = build_step(module, cpu, Phase.DECODE, {"batch": 1, "length": 6}, 101)
        first, second = (len(capture_step(step.run).calls) for _ in range(2))
        lengths = [c.tensors[1].shape[2] for c in capture_step(step.run).calls if "scaled_dot_product" in c.name]
    assert first == second
    assert set(lengths) == {6}


def test_each_kernel_can_be_run_again_by_itself(cpu: Device) -> None:
    with no_grad():
        module = build_module(model("llama"), cpu, "fp32")
        step = build_step(module, cpu, Phase.DECODE, {"batch": 2, "length": 6}, 101)
        calls = distinct(capture_step(step.run, step.resident).calls)
        for found in calls:
            result = prepared_call(cpu, found)(1)
            first = result[0] if isinstance(result, (list, tuple)) else result
            assert tuple(first.shape) == found.outputs[0]
    assert sum(calls.values()) > len(calls)


def test_the_profiler_sees_the_operators_that_were_captured(cpu: Device, capfd: pytest.CaptureFixture[str]) -> None:
    with no_grad():
        module = build_module(model("llama"), cpu, "fp32")
        step = build_step(module, cpu, Phase.DECODE, {"batch": 2, "length": 6}, 101)
        names = {found.name for found in capture_step(step.run).kernels()}
    profile = profile_step(step.run, cpu, 0.01)
    assert names <= set(profile.operators_s)
    assert 0 < sum(profile.operators_s.values()) < profile.step_s
    assert capfd.readouterr().err == ""


def test_the_host_adds_what_a_step_takes_beyond_its_kernels(cpu: Device) -> None:
    with no_grad():
        host = Host.of(cpu, "fp32")
    seconds = dict.fromkeys(host.calls, 1e-5)
    count = sum(host.runs.values())
    assert count > 6 * 30  # six layers of more than thirty kernels
    samples = {name: Samples((Sample(s),)) for name, s in {**seconds, "host step": count * 1.7e-5}.items()}
    assert host.seconds(samples) == pytest.approx(7e-6)
    assert host.seconds({}) == HOST_S
