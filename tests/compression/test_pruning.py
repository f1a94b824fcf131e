"""Pruning as a transform: what goes, what stays, and equality with modules of the pruned configuration."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest

from roofline.compression.pruning import pruned, read_pruning
from roofline.cost.cost import step_cost
from roofline.cost.kv_cache import cache_bytes
from roofline.errors import RooflineError, UsageError
from roofline.models.model import load_model
from roofline.number import exact
from roofline.prediction.predict import predict
from roofline.program.phases import Phase
from roofline.program.workload import Precision

BF16 = Precision("bf16", "bf16", "bf16")
SMALL = {"num_hidden_layers": 6, "hidden_size": 96, "intermediate_size": 96, "vocab_size": 50, "head_dim": 16}
GROUPED = SMALL | {"num_attention_heads": 8, "num_key_value_heads": 2}
ALONE = SMALL | {"num_attention_heads": 8, "num_key_value_heads": 8}
CASES = [
    ("llama-3.1-8b", GROUPED, "heads=0.25", {"num_attention_heads": 6}),
    ("llama-3.1-8b", ALONE, "heads=0.25", {"num_attention_heads": 6, "num_key_value_heads": 6}),
    ("llama-3.1-8b", GROUPED, "kv_heads=1", {"num_attention_heads": 4, "num_key_value_heads": 1}),
    ("llama-3.1-8b", GROUPED, "ffn=0.5", {"intermediate_size": 48}),
    ("llama-3.1-8b", GROUPED, "layers=2", {"num_hidden_layers": 4}),
    ("qwen3-8b", GROUPED, "heads=0.5,ffn=0.25,layers=0.5",
     {"num_attention_heads": 4, "intermediate_size": 72, "num_hidden_layers": 3}),
    ("mixtral-8x7b", GROUPED, "experts=0.5,ffn=32,layers=1",
     {"num_local_experts": 4, "intermediate_size": 64, "num_hidden_layers": 5}),
    ("gemma-2-9b", GROUPED, "heads=4", {"num_attention_heads": 4}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "small", "text", "smaller"), CASES, ids=[f"{c[0]} {c[2]}" for c in CASES])
def test_pruning_is_the_smaller_configuration(name: str, small: dict[str, Any], text: str, smaller: Any) -> None:
    """Parameters, cache, FLOPs and bytes of each operator are those of a network of the pruned configuration."""
    whole, less = load_model(name, overrides=small), load_model(name, overrides={**small, **smaller})
    found, wanted = pruned(whole.program(), read_pruning(text)).program, less.program()
    assert found.parameters() == wanted.parameters() < whole.program().parameters()
    for phase in wanted.phases:
        sizes = {"B": exact(2), "T": exact(1 if phase == Phase.DECODE else 7), "S": exact(7)}
        assert step_cost(found, phase, sizes, BF16) == step_cost(wanted, phase, sizes, BF16)


@pytest.mark.parametrize(("name", "small", "text", "smaller"), CASES, ids=[f"{c[0]} {c[2]}" for c in CASES])
def test_pruning_removes_what_a_transformers_module_lacks(
    name: str, small: dict[str, Any], text: str, smaller: Any
) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    fields = {**load_model(name).fields, **small, **smaller}
    fields = {key: value for key, value in fields.items() if key not in ("architectures", "model_type")}
    config = transformers.AutoConfig.for_model(load_model(name).model_type, **fields)
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config)
    held = sum(parameter.numel() for parameter in module.parameters())
    assert pruned(load_model(name, overrides=small).program(), read_pruning(text)).program.parameters() == held


def test_a_head_takes_exactly_its_share_with_it() -> None:
    """Four of 32 query heads of llama-3.1-8b: their columns of q and their rows of the output projection."""
    program = load_model("llama-3.1-8b").program()
    less = pruned(program, {"heads": Fraction(8)}).program  # one of each of eight key/value heads
    assert program.parameters() - less.parameters() == 32 * 8 * (2 * 4096 * 128)


def test_the_cache_shrinks_only_if_a_key_value_head_goes() -> None:
    def cache(text: str, name: str = "llama-3.1-8b") -> Any:
        program = load_model(name).program()
        program = pruned(program, read_pruning(text)).program if text else program
        return cache_bytes(program, {**program.sizes, "B": 1, "T": 1, "S": 100}, BF16)

    assert cache("heads=0.25") == cache("ffn=0.5") == cache("")
    assert cache("kv_heads=2") * 8 == cache("") * 6
    assert cache("heads=0.25", "llama-2-7b") * 4 == cache("", "llama-2-7b") * 3  # each has one query head
    assert cache("layers=8") * 32 == cache("") * 24


def test_layers_of_several_kinds_go_in_proportion() -> None:
    program = pruned(load_model("gemma-3-27b").program(), {"layers": Fraction(31)}).program
    times = {group.name: group.times(program.sizes) for group in program.groups if group.name.endswith("layers")}
    assert times == {"tower_layers": 27, "sliding_layers": 26, "full_layers": 5}  # 52 and 10 before; its tower stays


def test_every_feed_forward_width_is_narrowed() -> None:
    """DeepSeek-V2-lite: a dense first layer, experts, and two shared ones of a width of their own."""
    program = load_model("deepseek-v2-lite").program()
    less = pruned(program, {"ffn": Fraction(1, 2)}).program
    gone = {tensor.name for _, _, tensor in program.weights() if "F" in tensor.letters}
    assert {"w_gate", "w_expert_up", "w_shared_down"} <= gone
    held = {
        name: sum(p.resident(g, op, t, p.sizes) for g, op, t in p.weights() if t.name in gone)
        for name, p in (("whole", program), ("less", less))
    }
    assert held["less"] * 2 == held["whole"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("head=0.25", 'prune "head": did you mean heads'),
        ("heads", "prune heads=: expected a share between 0 and 1, or a whole number of heads to remove"),
        ("heads=1.5", "prune heads=1.5: expected a share"),
        ("ffn=-1", "prune ffn=-1: expected a share"),
        ("ffn=nan", "prune ffn=nan: expected a share"),
        ("ffn=1/0", "prune ffn=1/0: expected a share"),
        ("heads=0.1", "prune heads=0.1: of 32 heads go whole ones, as many of each of 8 key/value heads"),
        ("heads=32", "prune heads=32: of 32 heads go whole ones"),
        ("layers=32", "prune layers=32: nothing would be left of 32"),
        ("experts=0.5", "prune experts: the network has no experts"),
        ("ffn=0.5,ffn=0.5", 'prune "ffn": given twice'),
        ("", 'prune ""'),
    ],
)
def test_what_cannot_be_pruned(text: str, message: str) -> None:
    with pytest.raises(RooflineError, match=re.escape(message)) as failure:
        predict("llama-3.1-8b", "h100", prune=text)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("amount", ["1e99999", "1e-9999999", "9" * 500, "1/0", "0x10"])
def test_amounts_that_no_network_has_are_refused_at_once(amount: str) -> None:
    with pytest.raises(UsageError, match=r"^prune heads=[^ ]{1,40}: expected a share between 0 and 1"):
        read_pruning({"heads": amount})


def test_layers_of_both_stacks_of_an_encoder_decoder_go() -> None:
    """As many of each; an odd one more goes from the stack that is first."""
    t5 = load_model("t5-base").program()
    smaller = load_model("t5-base", overrides={"num_layers": 11, "num_decoder_layers": 11}).program()
    assert pruned(t5, read_pruning("layers=2")).program.parameters() == smaller.parameters()
    uneven = load_model("t5-base", overrides={"num_layers": 12, "num_decoder_layers": 11}).program()
    other = load_model("t5-base", overrides={"num_layers": 11, "num_decoder_layers": 12}).program()
    assert pruned(t5, read_pruning("layers=1")).program.parameters() in (uneven.parameters(), other.parameters())


@pytest.mark.parametrize(
    ("text", "fields"), [("layers=4", {"num_hidden_layers": 32}), ("ffn=0.5", {"intermediate_size": 6144})]
)
def test_a_tower_of_images_stays_as_it_is(text: str, fields: dict[str, Any]) -> None:
    whole = load_model("qwen3-vl-8b")
    smaller = load_model("qwen3-vl-8b", overrides=fields).program()
    assert pruned(whole.program(), read_pruning(text)).program.parameters() == smaller.parameters()
