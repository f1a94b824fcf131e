"""What a formula is about: a model, one of its operators or groups, or a lone layer of the catalogue."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from roofline.architectures.model import Model, load_model
from roofline.axes import Sizes
from roofline.conventions import Conventions
from roofline.cost import Cost, operator_cost, step_cost
from roofline.errors import UsageError, WorkloadError, near_matches, shown
from roofline.layers import attention as attention_layer
from roofline.layers import embedding, feed_forward, head, normalization
from roofline.op import Op, Tensor, contract, elementwise, weight
from roofline.program import PHASES, Group, Phase, Program
from roofline.workload import Precision

Build: TypeAlias = Callable[[Conventions], tuple[Op, ...]]


@dataclass(frozen=True, slots=True)
class Layer:
    """A lone layer: what it is called, its operators under conventions, and the function that states it."""

    title: str
    build: Build
    stated_by: Callable[..., Any]


def _fixed(*ops: Op) -> Build:
    return lambda _: ops


def _attention(conventions: Conventions, mask: Any = "causal") -> tuple[Op, ...]:
    fused, square = conventions.attention == "fused", conventions.count == "square"
    return attention_layer.attention(mask=mask, fused=fused, square=square)


_X, _H, _A = (Tensor(name, "B T D") for name in "xha")
_SCORES = attention_layer.attention(mask="full", fused=False)[1]

LAYERS: dict[str, Layer] = {
    "token_embedding": Layer("token embedding", _fixed(embedding.token_embedding()), embedding.token_embedding),
    "position_embedding": Layer(
        "learned position embedding", _fixed(embedding.position_embedding()), embedding.position_embedding
    ),
    "segment_embedding": Layer(
        "segment (token type) embedding", _fixed(embedding.segment_embedding()), embedding.segment_embedding
    ),
    "embedding_sum": Layer(
        "sum of the embeddings",
        _fixed(embedding.embedding_sum(position=True, segment=True)),
        embedding.embedding_sum,
    ),
    "layer_norm": Layer(
        "layer normalisation", _fixed(normalization.norm("norm", _X, _H, kind="layer")), normalization.norm
    ),
    "rms_norm": Layer(
        "root-mean-square normalisation", _fixed(normalization.norm("norm", _X, _H, kind="rms")), normalization.norm
    ),
    "residual": Layer(
        "residual addition", _fixed(normalization.residual("residual", _A, _X, _X)), normalization.residual
    ),
    "residual_norm": Layer(
        "residual addition and norm in one kernel",
        _fixed(normalization.residual_norm("norm", _A, kind="rms", placement="pre")),
        normalization.residual_norm,
    ),
    "projections": Layer(
        "query, key and value projections", _fixed(*attention_layer.projections()), attention_layer.projections
    ),
    "query_key_norm": Layer(
        "norm of queries and keys", _fixed(attention_layer.query_key_norm()), attention_layer.query_key_norm
    ),
    "rotary": Layer("rotary position embedding", _fixed(attention_layer.rotary()), attention_layer.rotary),
    "attention": Layer("scaled dot-product attention, causal", _attention, attention_layer.attention),
    "full_attention": Layer(
        "scaled dot-product attention, unmasked", partial(_attention, mask="full"), attention_layer.attention
    ),
    "materialised_attention": Layer(
        "attention with stored scores, unmasked",
        _fixed(*attention_layer.attention(mask="full", fused=False)),
        attention_layer.attention,
    ),
    "output_projection": Layer(
        "output projection of attention", _fixed(attention_layer.output_projection()), attention_layer.output_projection
    ),
    "feed_forward": Layer(
        "feed-forward layer, GELU",
        _fixed(*feed_forward.feed_forward(function="gelu", gated=False)),
        feed_forward.feed_forward,
    ),
    "gated_feed_forward": Layer(
        "gated feed-forward layer, SiLU",
        _fixed(*feed_forward.feed_forward(function="silu", gated=True)),
        feed_forward.feed_forward,
    ),
    "activation": Layer(
        "activation function, GELU",
        _fixed(feed_forward.activation("act", Tensor("u", "B T F"), Tensor("m", "B T F"), "gelu")),
        feed_forward.activation,
    ),
    "lm_head": Layer("scores over the vocabulary", _fixed(head.lm_head(tied=False)), head.lm_head),
    "sampling": Layer("softmax over the vocabulary and the pick of a token", _fixed(head.sampling()), head.sampling),
    "pooler": Layer("pooler", _fixed(*head.pooler()), head.pooler),
    "masked_lm_head": Layer(
        "masked-LM head",
        _fixed(*head.masked_lm_head(function="gelu", kind="layer", tied=True)),
        head.masked_lm_head,
    ),
    "matmul": Layer(
        "matrix product, B x D times D x F",
        _fixed(contract("matmul", Tensor("x", "B D"), weight("w", "D F"), Tensor("y", "B F"))),
        contract,
    ),
    "elementwise": Layer(
        "sum of two tensors",
        _fixed(elementwise("elementwise", [Tensor("a", "B D"), Tensor("b", "B D")], Tensor("y", "B D"), flops=1)),
        elementwise,
    ),
    "softmax": Layer("softmax over the context", _fixed(_SCORES), attention_layer.attention),
}
"""Name -> layer: what ``roofline formula NAME`` and docs/formulas.md show without a model."""

ALIASES = {"embedding": "token_embedding", "norm": "rms_norm"}
"""Kinds of operators that the catalogue has under another name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, a part of it, or a lone layer.

    ``part`` names an operator or a group of the model, of which one execution is meant; empty for all of it.
    """

    name: str
    part: str
    groups: tuple[Group, ...]
    program: Program | None
    model: Model | None = None

    @property
    def title(self) -> str:
        """The name as results carry it: ``llama-3.1-8b up``."""
        return f"{self.name} {self.part}".strip()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in which it runs; a lone layer runs in any."""
        return tuple(phase for phase in PHASES if any(phase in group.phases for group in self.groups))

    @property
    def fixed(self) -> Mapping[str, int]:
        """The sizes that the model fixes; none for a lone layer."""
        return self.program.sizes if self.program else {}

    def costs(self, phase: Phase | None, sizes: Sizes, precision: Precision) -> tuple[Cost, ...]:
        """The cost of each operator, with its count; one execution of a part."""
        if self.program is None:
            return tuple(operator_cost(op, sizes, precision, self.name) for op in self.groups[0].ops)
        assert phase is not None, "a model runs in phases"
        every = step_cost(self.program, phase, sizes, precision)
        if not self.part:
            return every
        chosen = {(group.name, op.name) for group in self.groups for op in group.ops}
        return tuple(replace(cost, count=1) for cost in every if (cost.group, cost.name) in chosen)


def subject_of(model: Model, conventions: Conventions) -> Subject:
    """The whole of a model."""
    program = model.program(conventions)
    return Subject(model.name, "", program.groups, program, model)


def find_subject(
    subject: str | Path | Mapping[str, Any] | Model, part: str | None, conventions: Conventions
) -> Subject:
    """The layer or the model of that name, and the part of it that ``part`` names.

    Raises UsageError for an unknown part, ConfigError for an unknown model.
    """
    if part == "":
        msg = "op is empty: name an operator or a group, or leave it out"
        raise UsageError(msg)
    if isinstance(subject, str) and (layer := LAYERS.get(ALIASES.get(subject, subject))):
        if not part:
            return Subject(subject, "", (Group(subject, layer.build(conventions)),), None)
        ops = tuple(op for op in layer.build(conventions) if op.name == part)
        _check_part(bool(ops), part, subject, [op.name for op in layer.build(conventions)])
        return Subject(subject, part, (Group(subject, ops),), None)
    model = subject if isinstance(subject, Model) else _load(subject)
    if not part:
        return subject_of(model, conventions)
    program = model.program(conventions)
    groups = tuple(group for group in program.groups if group.name == part)
    if not groups:
        halves = ((group, tuple(op for op in group.ops if op.name == part)) for group in program.groups)
        groups = tuple(replace(group, ops=ops) for group, ops in halves if ops)
    names = [name for group in program.groups for name in (group.name, *(op.name for op in group.ops))]
    _check_part(bool(groups), part, model.name, names)
    return Subject(model.name, part, groups, program, model)


def _load(subject: str | Path | Mapping[str, Any]) -> Model:
    """The model of that name. Raises UsageError for a name that is much like a layer's, ConfigError for others."""
    close = difflib.get_close_matches(subject, [*LAYERS, *ALIASES], n=1, cutoff=0.8) if isinstance(subject, str) else []
    if close:
        msg = f"unknown layer or model {shown(subject)}; did you mean {close[0]}?"
        raise UsageError(msg)
    return load_model(subject)


def check_phase(subject: Subject, phase: Phase | None) -> None:
    """Raises UsageError for a word that is no phase, WorkloadError for a phase that the subject does not have."""
    if phase is not None and phase not in PHASES:
        msg = f"phase {shown(phase)}: expected one of {', '.join(PHASES)}"
        raise UsageError(msg)
    if phase is not None and phase not in subject.phases:
        msg = f"{subject.title} has no {phase} phase; it has {', '.join(subject.phases)}"
        raise WorkloadError(msg)


def _check_part(found: bool, part: str, owner: str, names: list[str]) -> None:
    if not found:
        msg = f"op {shown(part)}: {owner} has no such operator or group; {near_matches(part, names)}"
        raise UsageError(msg)
