"""Attention over latents: one key/value head for all query heads, a head of two widths, more never takes less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roofline.cost.cost import Cost, operator_cost
from roofline.cost.kernel_shapes import AttentionShape
from roofline.operators.predict_op import predict_op
from roofline.operators.statements import statement_of
from roofline.program.workload import Precision

WIDTHS = {"latent_dim": 512, "rope_dim": 64, "head_dim": 128, "value_dim": 96}


def cost(query: int, heads: int = 16) -> Cost:
    op, sizes = statement_of("latent_attention", {"batch": 3, "query": query, "context": 100, "heads": heads, **WIDTHS})
    return operator_cost(op, sizes, Precision("bf16", "bf16", "bf16"), decoding=query == 1)


def shape(query: int) -> AttentionShape:
    found = cost(query).shape
    assert isinstance(found, AttentionShape)
    return found


def test_all_query_heads_share_the_latent_and_none_shares_what_is_made_of_it() -> None:
    decode, prefill = shape(1), shape(100)
    assert (decode.kv_heads, decode.groups, decode.heads) == (1, 16, 48)
    assert (prefill.kv_heads, prefill.groups, prefill.heads) == (16, 1, 48)
    assert (decode.readers, decode.latent, prefill.latent) == (3, True, True)


def test_a_pair_costs_both_widths_of_a_head() -> None:
    decode, prefill = shape(1), shape(100)
    assert decode.pair_flops == 48 * 2 * (512 + 64 + 512)
    assert prefill.pair_flops == 48 * 2 * (128 + 64 + 96)
    assert prefill.head_dim == (128 + 64 + 96) / 2
    assert cost(100).flops == prefill.pair_flops * 100 * 101 / 2


@pytest.mark.parametrize("name", ["h100", "h200", "b200", "l40s", "a100", "h100-pcie", "mi300x"])
@pytest.mark.parametrize("query", [1, 64])
def test_more_keys_requests_heads_or_tokens_never_take_less(name: str, query: int) -> None:
    sizes: dict[str, Any] = {"batch": 4, "query": query, "context": 4096, "heads": 16, **WIDTHS}
    for size in ("batch", "context", "heads", *(("query",) if query > 1 else ())):
        rising = np.unique(np.geomspace(sizes[size], 4 * sizes[size], 40).round())
        found = predict_op("latent_attention", name, **{**sizes, size: rising})
        assert (np.diff(found.time_s) >= 0).all(), size
        assert (found.bound_s <= found.low_s).all()
