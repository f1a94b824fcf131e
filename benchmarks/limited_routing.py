"""What DeepSeek-V3's router makes of the scores that aiconfigurator's collector hands to a mixture of experts.

The collector picks experts for each token, balanced or by a power law, and gives these one score and all others another
(``balanced_logits``, ``power_law_logits_v3`` of collector/helper.py). A router that takes the best experts of any group
picks those. DeepSeek's takes them of 4 of 8 groups alone (arXiv 2412.19437, section 2.1.2; ``n_group`` and
``topk_group`` of its config.json): a balanced token has one expert in each group, all groups are alike, and the first
four are taken; what is left of the eight experts is filled up with the first that nobody asked for. So the first device
is sent most.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from roofline.layers.expert_load import pairs_drawn

EXPERTS, PICKED, GROUPS, KEPT = 256, 8, 8, 4
"""Of DeepSeek-V3: experts, those of a token, groups of them, groups of a token."""
_TIMED = 5  # loads that the collector draws for a row


@cache
def limited_load(tokens: int, devices: int, exponent: float) -> tuple[float, float]:
    """Pairs of a token and an expert of the first of ``devices``, and its experts that have any; 0 is balanced.

    >>> limited_load(4096, 8, 0.0)[0] / 4096, limited_load(4096, 1, 0.0)[1]
    (5.0, 128.0)
    """
    each = []
    for asked in _asked(tokens, devices, exponent):
        taken = np.bincount(_taken(asked).ravel(), minlength=EXPERTS)[: EXPERTS // devices]
        each.append((taken.sum(), (taken > 0).sum()))
    pairs, touched = np.mean(each, axis=0).tolist()
    return pairs, touched


def _taken(asked: Any) -> Any:
    """The experts that each token is sent to: [tokens, PICKED] of those asked for."""
    score = np.zeros((len(asked), EXPERTS), np.int8)
    np.put_along_axis(score, asked, np.int8(1), axis=1)
    best = np.minimum(score.reshape(len(asked), GROUPS, -1).sum(axis=2, dtype=np.int8), 2)  # a group's two best experts
    groups = np.argsort(-best, axis=1, kind="stable")[:, :KEPT]
    kept = np.zeros((len(asked), GROUPS), bool)
    np.put_along_axis(kept, groups, True, axis=1)
    score = np.where(np.repeat(kept, EXPERTS // GROUPS, axis=1), score, np.int8(-1))
    return np.argsort(-score, axis=1, kind="stable")[:, :PICKED]


def _asked(tokens: int, devices: int, exponent: float) -> Iterator[Any]:
    """The experts that the collector picks: [tokens, PICKED] of each load that it draws."""
    if exponent == 0:
        stride, token, place = EXPERTS // PICKED, np.arange(tokens)[:, None], np.arange(PICKED)[None, :]
        step = token if tokens >= stride else token * stride / tokens
        yield (step + place * stride).astype(int) % EXPERTS
        return
    for parts in pairs_drawn(tokens, EXPERTS, PICKED, devices, exponent)[:_TIMED]:
        fullest = int(parts.sum(axis=1).argmax())
        counts = parts.copy()
        counts[[0, fullest]] = counts[[fullest, 0]]
        flat = counts.ravel().astype(int)
        order = np.argsort(-flat, kind="stable")
        yield np.resize(np.repeat(order, flat[order]), (PICKED, tokens)).T  # rounded, a load is a few pairs off
