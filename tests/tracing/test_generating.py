"""A decoder that is traced as it reads a prompt and as it takes a decode step: both phases of a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shell import refusal
from shell import roofline as shell

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import roofline  # noqa: E402
from roofline.cost.cost import step_cost  # noqa: E402
from roofline.errors import UsageError  # noqa: E402
from roofline.models.model import Model, load_model  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402
from roofline.program.workload import Precision  # noqa: E402
from roofline.tracing.sources import trace_source  # noqa: E402

BF16 = Precision("bf16", "bf16", "bf16")
SIZES = {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
         "num_hidden_layers": 2, "vocab_size": 32000, "max_position_embeddings": 8192}  # fmt: skip
ASKED = {"prompt": 2048, "generate": 256}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama") / "config.json"
    named = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
    path.write_text(json.dumps({**named, **SIZES}))
    return path


@pytest.fixture(scope="module")
def recorded(config: Path) -> Path:
    """The same as a file: what is traced is written whole."""
    path = config.with_name("own.json")
    trace_source(f"transformers:{config}", {}, {}, mode="generation").write_trace(path)
    return path


@pytest.fixture(scope="module")
def traced(recorded: Path) -> Model:
    return load_model(recorded)


@pytest.mark.parametrize("layout", [{}, {"tp": 4}, {"pp": 2}])
def test_both_phases_are_those_of_the_preset(traced: Model, config: Path, layout: dict[str, int]) -> None:
    devices = max([1, *layout.values()])
    hardware = "h100" if devices == 1 else f"{devices}xh100"
    own, ours = (roofline.predict(each, hardware, batch=8, **layout, **ASKED) for each in (traced, config))
    assert list(own.phases) == list(ours.phases) == [Phase.PREFILL, Phase.DECODE]
    for phase in own.phases:
        assert own.phases[phase].figures.flops == ours.phases[phase].figures.flops
    assert own.memory.footprint.weights_bytes == ours.memory.footprint.weights_bytes
    assert own.memory.footprint.kv_cache_bytes == ours.memory.footprint.kv_cache_bytes
    assert (own.ttft_s, own.tpot_s) == (pytest.approx(ours.ttft_s, rel=0.05), pytest.approx(ours.tpot_s, rel=0.05))


def test_it_is_compared_and_sized_as_the_preset_is(traced: Model, config: Path) -> None:
    rows = [roofline.compare(each, "h100,mi300x", tpot="30 ms", **ASKED).rows for each in (traced, config)]
    for own, ours in zip(*rows, strict=True):
        assert own.point is not None
        assert ours.point is not None
        assert (own.hardware.name, own.curve.dtype) == (ours.hardware.name, ours.curve.dtype)
        assert own.point.batch == pytest.approx(ours.point.batch, rel=0.05)
        found, expected = own.point.to_dict(), ours.point.to_dict()
        for name in ("ttft_s", "tpot_s", "tokens_per_s"):
            assert found[name] == pytest.approx(expected[name], rel=0.05), name
    own_size, our_size = (
        roofline.size(each, "h100", load="100 req/s", tpot="30 ms", **ASKED) for each in (traced, config)
    )
    assert own_size.orders[0].units == our_size.orders[0].units


def test_pieces_of_a_prompt_are_the_prompt(traced: Model) -> None:
    program = traced.program(Conventions(fusion="engine"))

    def flops(new: int, context: int) -> Any:
        costs = step_cost(program, Phase.PREFILL, {"B": 2, "T": new, "S": context}, BF16)
        return sum(cost.count * cost.flops for cost in costs if cost.name != "lm_head")

    assert flops(600, 600) == sum(flops(200, 200 * piece) for piece in (1, 2, 3))


def test_what_works_on_single_tokens_is_one_operator_of_both_phases(traced: Model) -> None:
    program = traced.program(Conventions(fusion="engine"))
    decode, prefill = (list(program.in_phase(phase)) for phase in (Phase.DECODE, Phase.PREFILL))
    apart = {op.name for group, op in decode if (group.name, op) not in [(g.name, other) for g, other in prefill]}
    assert "attention" in apart
    weighing = {op.name for _, op in decode if op.kind == "matmul"}
    assert {"q_proj", "down_proj", "lm_head"} <= weighing
    assert not apart & weighing


def test_verbs_take_it_and_a_draft_is_refused(recorded: Path, traced: Model) -> None:
    asked = ("--hardware", "h100", "--prompt", "700", "--generate", "16", "--json")
    code, out, _ = shell("simulate", str(recorded), *asked, "--load", "50 req/s", "--requests", "40")
    assert (code, json.loads(out)["tpot_s"]["p50"] > 0) == (0, True)
    said = refusal(2, "compare", str(recorded), "--hardware", "h100", "--speculate", "4:0.7")
    assert "speculate: a decode step of LlamaForCausalLM was traced with one token" in said
    with pytest.raises(UsageError, match="a module that generates reads tokens alone"):
        roofline.trace(torch.nn.Linear(8, 8), {"input": "B,S,8"}, mode="generation")
