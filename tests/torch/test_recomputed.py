"""What a checkpointed layer makes again, by torch's own counter: it stops where all that backward needs is there."""

from __future__ import annotations

from typing import Any

import pytest

from roofline.models.model import Model, load_model
from roofline.program.conventions import Conventions
from roofline.program.dropout import with_dropout
from roofline.program.recompute import Recompute
from roofline.training.flops import recomputed_flops
from roofline.training.network import Network

AS_TORCH = Conventions(attention="materialised", count="square", lm_head="all")
TINY = {"vocab_size": 101, "hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 56, "num_hidden_layers": 2,
        "max_position_embeddings": 64}  # fmt: skip
GPT2 = {"vocab_size": 101, "n_embd": 48, "n_head": 4, "n_layer": 2, "n_positions": 64, "bos_token_id": 0,
        "eos_token_id": 0}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "llama": {**TINY, "num_key_value_heads": 2, "architectures": ["LlamaForCausalLM"]},
    "gpt_neox": {**TINY, "architectures": ["GPTNeoXForCausalLM"], "use_parallel_residual": True},
    "bert": {**TINY, "architectures": ["BertModel"], "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "gpt2": {**GPT2, "architectures": ["GPT2LMHeadModel"], "resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0},
    "gpt2 with dropout": {**GPT2, "architectures": ["GPT2LMHeadModel"]},
}
BATCH, LENGTH = 2, 16


def counted(model: Model, *, checkpointed: bool) -> int:
    """FLOPs of both passes."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    counter = pytest.importorskip("torch.utils.flop_counter")
    fields = {key: value for key, value in model.fields.items() if key not in ("model_type", "architectures")}
    config = transformers.AutoConfig.for_model(model.model_type, **fields, attn_implementation="eager", use_cache=False)
    module = getattr(transformers, model.fields["architectures"][0])(config).train()
    if checkpointed:
        module.gradient_checkpointing_enable({"use_reentrant": False})
    with counter.FlopCounterMode(display=False) as seen:
        given_back = module(input_ids=torch.zeros(BATCH, LENGTH, dtype=torch.long))
        sum(tensor.sum() for tensor in given_back.values() if tensor.requires_grad).backward()
    return int(seen.get_total_flops())


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("name", CASES)
def test_flops_of_what_is_made_again(name: str) -> None:
    """The last matmul of a feed-forward is not, unless a mask of dropout or a norm behind it reads what it writes."""
    model = load_model({"model_type": name.partition(" ")[0], **CASES[name]})
    program = model.program(AS_TORCH)
    network = Network(with_dropout(program) if "dropout" in name else program)
    policy = Recompute("full", runs=network.needed(in_order=True))
    expected = recomputed_flops(network.step, policy, dict.fromkeys("TSM", LENGTH), BATCH)
    assert counted(model, checkpointed=True) - counted(model, checkpointed=False) == expected
    whole = recomputed_flops(network.step, Recompute("full"), dict.fromkeys("TSM", LENGTH), BATCH)
    assert (expected < whole) is (name in ("llama", "gpt_neox", "gpt2"))
