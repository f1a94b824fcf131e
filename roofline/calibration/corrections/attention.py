"""Corrections of fused attention: keys computed in vain, whole blocks under a mask, pages read, queries regrouped."""

from __future__ import annotations

from typing import Annotated, ClassVar

from roofline.calibration.corrections.correction import Correction, Prior, Time, Tokens
from roofline.classes import frozen
from roofline.number import Number, maximum, minimum


@frozen
class ExtraKeys(Correction):
    """Keys computed in vain: each query of attention sees ``tokens`` more than it attends to, as work, not as bytes.

    FLOPs + ``tokens`` x those of one key for all queries.

    >>> ExtraKeys(100.0).extra_flops(each=32.0)
    3200.0
    """

    tokens: Annotated[Tokens, Prior(30.0, 1.0)]

    source: ClassVar = (
        "prologue, epilogue and ragged blocks of FlashAttention-2 (Dao 2023, arXiv 2307.08691). A100, prefill of "
        "vLLM: 9.9 % median error without it, 6.6 % with it"
    )
    explained: ClassVar = "each query computes {tokens} keys more"

    def extra_flops(self, each: Number) -> Number:
        """FLOPs in vain, where one key costs all queries ``each``. [FLOP]"""
        return self.tokens * each


@frozen
class KeyBlock(Correction):
    """Block-sparse masking: a masked kernel computes whole blocks, half a block more than each query attends to.

    FLOPs + ``tokens`` / 2 x those of one key for all queries, and never more than without a mask.

    >>> [KeyBlock(256.0).computed_flops(1000.0, each=2.0, keys=keys) for keys in (1000, 600)]
    [1256.0, 1200.0]
    """

    tokens: Annotated[Tokens, Prior(256.0, 1.0)]

    source: ClassVar = (
        "blocks that a causal mask leaves out are skipped whole (Dao 2023, arXiv 2307.08691, section 3.1); three "
        "calibrations of a Zen 3 core found 404 to 447 (validation_results/amd-epyc-milan-one-thread)"
    )
    explained: ClassVar = "masks leave out keys by blocks of {tokens}"

    def computed_flops(self, attended: Number, each: Number, keys: Number) -> Number:
        """All FLOPs, where those of the attended pairs are ``attended`` and one key costs all queries ``each``."""
        square = maximum(each * keys, attended)
        return minimum(attended + each * self.tokens / 2, square)


@frozen
class ExtraReads(Correction):
    """Paged KV cache: decode reads ``tokens`` keys and values more per sequence and head, whole pages and their tables.

    Bytes + ``tokens`` / keys x those of the cache.

    >>> ExtraReads(64.0).extra_bytes(cache_bytes=4096.0, keys=512)
    512.0
    """

    tokens: Annotated[Tokens, Prior(30.0, 1.0)]

    source: ClassVar = (
        "pages and block tables as in Kwon et al. 2023 (PagedAttention, arXiv 2309.06180), section 4. A100, decode of "
        "vLLM: 9.3 % median and 19.9 % mean error without it, 7.7 and 11.5 % with it"
    )
    explained: ClassVar = "each sequence and head reads {tokens} keys and values more"

    def extra_bytes(self, cache_bytes: Number, keys: Number) -> Number:
        """What is read in vain, of a cache of ``cache_bytes`` that has so many keys. [B]"""
        return self.tokens * cache_bytes / keys


@frozen
class Regroup(Correction):
    """Grouped-query regrouping: one more kernel sorts the queries by key/value head, where there are several of each.

    Latency + ``seconds``, for more than one sequence, key/value head and query head of each.

    >>> Regroup(6e-6).latency_s(batch=8, kv_heads=8, groups=4), Regroup(6e-6).latency_s(batch=8, kv_heads=8, groups=1)
    (6e-06, 0.0)
    """

    seconds: Annotated[Time, Prior(4e-6, 0.7)]

    source: ClassVar = "A100, decode of vLLM: 21.2 % median error without it, 7.7 % with it"
    explained: ClassVar = "{seconds} to regroup queries by key/value head"

    def latency_s(self, batch: Number, kv_heads: Number, groups: Number) -> Number:
        """The latency of the kernel, 0 where there is one of anything. [s]"""
        latency: Number = self.seconds
        for number in (batch, kv_heads, groups):
            latency = latency * minimum(number - 1, 1)
        return latency
