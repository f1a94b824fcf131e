"""Forward FLOPs equal torch's own counter to the last digit.

``FlopCounterMode`` counts 2 per multiply-add of each matmul it sees, on the meta device, where nothing is computed. It
counts causal attention in full and its eager scores are T x S, hence ``count="square"``; transformers' heads run on all
tokens, hence ``lm_head="all"``. A fused SDPA kernel would count 0 on CPU, so attention is eager.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from roofline.models.model import Model, load_model
from roofline.program.conventions import Conventions
from roofline.program.phases import Phase

AS_TORCH = Conventions(attention="materialised", count="square", lm_head="all")

SMALL: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 2, "type_vocab_size": 2},
    "bert-mlm": {"model_type": "bert", "architectures": ["BertForMaskedLM"], "num_hidden_layers": 3},
    "gpt2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "num_hidden_layers": 2},
    "gpt2-bare": {"model_type": "gpt2", "architectures": ["GPT2Model"], "num_hidden_layers": 1},
    "llama": {"model_type": "llama", "num_key_value_heads": 2, "num_hidden_layers": 2, "hidden_act": "silu"},
    "llama-biases": {
        "model_type": "llama",
        "num_key_value_heads": 1,
        "num_hidden_layers": 2,
        "attention_bias": True,
        "mlp_bias": True,
        "head_dim": 10,
        "tie_word_embeddings": True,
    },
    "qwen3": {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 16, "num_hidden_layers": 2},
}
_SIZES = {
    "vocab_size": 101,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "max_position_embeddings": 256,
}
_GPT2_NAMES = {
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "num_hidden_layers": "n_layer",
}
_CLASSES = {"llama": ["LlamaForCausalLM"], "qwen3": ["Qwen3ForCausalLM"]}

DECODERS = [name for name in SMALL if not name.startswith("bert")]


def small(name: str) -> Model:
    fields = {**_SIZES, **SMALL[name]}
    if fields["model_type"] == "gpt2":
        fields = {_GPT2_NAMES.get(key, key): value for key, value in fields.items()}
    return load_model({"architectures": _CLASSES.get(fields["model_type"]), **fields})


def our_flops(model: Model, phase: Phase, batch: int, new: int, context: int) -> Fraction:
    program = model.program(AS_TORCH)
    sizes = {letter: Fraction(size) for letter, size in {**program.sizes, "B": batch, "T": new, "S": context}.items()}
    return sum(group.times(sizes) * op.flops(group.sizes(sizes)) for group, op in program.in_phase(phase))


def torch_flops(model: Model, batch: int, new: int, context: int) -> int:
    """What the counter sees in one forward pass of the new tokens on a cache of the tokens before them."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    flop_counter = pytest.importorskip("torch.utils.flop_counter")
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    config = transformers.AutoConfig.for_model(model.model_type, **fields, attn_implementation="eager")
    with torch.device("meta"), torch.no_grad():
        module = getattr(transformers, model.fields["architectures"][0])(config).eval()
        inputs = {"input_ids": torch.zeros(batch, new, dtype=torch.long)}
        # A finished mask: transformers would build one by looking at numbers, and meta tensors have none.
        inputs["attention_mask"] = torch.zeros(batch, 1, new, context)
        if context > new:
            inputs["past_key_values"] = _past(model, config, batch, context - new)
        with flop_counter.FlopCounterMode(display=False) as counter:
            module(**inputs)
    # Rotary angles are a matmul of inner size 1 in older transformers: B T H FLOPs in a step (2 for each of H/2
    # frequencies and each token), no contraction of the network. The pinned release multiplies elementwise: nothing.
    rotary = sum(
        sum(counts.values()) for name, counts in counter.get_flop_counts().items() if name.endswith("rotary_emb")
    )
    assert rotary == 0
    return counter.get_total_flops()


def _past(model: Model, config: Any, batch: int, length: int) -> Any:
    import torch
    import transformers

    sizes, cache = model.program().sizes, transformers.DynamicCache(config=config)
    for layer in range(sizes["L"]):
        k, v = (torch.zeros(batch, sizes["K"], length, sizes["H"]) for _ in "kv")
        cache.update(k, v, layer)
    return cache


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 7), (3, 16), (2, 128)])
@pytest.mark.parametrize("name", SMALL)
def test_prefill_and_encode(name, batch, length):
    model = small(name)
    assert our_flops(model, model.phases[0], batch, length, length) == torch_flops(model, batch, length, length)


@pytest.mark.parametrize(("batch", "past"), [(1, 1), (3, 16), (2, 127)])
@pytest.mark.parametrize("name", DECODERS)
def test_decode_with_a_past(name, batch, past):
    model = small(name)
    assert our_flops(model, Phase.DECODE, batch, 1, past + 1) == torch_flops(model, batch, 1, past + 1)


@pytest.mark.parametrize("name", DECODERS)
def test_prefill_in_chunks(name):
    model = small(name)
    assert our_flops(model, Phase.PREFILL, 2, 5, 21) == torch_flops(model, 2, 5, 21)  # 5 new tokens on 16


def test_full_size_masked_lm():
    model = load_model("bert-large", overrides={"architectures": ["BertForMaskedLM"]})
    assert our_flops(model, Phase.ENCODE, 2, 64, 64) == torch_flops(model, 2, 64, 64)


def test_the_tutorial():
    """Written out in torch, with eager attention, since its module is nobody's class."""
    torch, flop_counter = pytest.importorskip("torch"), pytest.importorskip("torch.utils.flop_counter")
    V, D, F, heads, L, B, T = 10_000, 768, 768, 12, 12, 2, 16
    with torch.device("meta"), torch.no_grad():
        square, up, down, head = (torch.zeros(shape) for shape in ((D, D), (D, F), (F, D), (D, V)))
        x = torch.zeros(B, T, D)
        with flop_counter.FlopCounterMode(display=False) as counter:
            for _ in range(L):
                q, k, v = ((x @ square).view(B, T, heads, D // heads).transpose(1, 2) for _ in "qkv")
                context = ((q @ k.transpose(2, 3)).softmax(-1) @ v).transpose(1, 2).reshape(B, T, D)
                x = ((context @ square) @ up).relu() @ down
            x @ head
    assert our_flops(load_model("bert-tutorial"), Phase.ENCODE, B, T, T) == counter.get_total_flops()
