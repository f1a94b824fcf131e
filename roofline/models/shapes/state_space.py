"""State-space models without attention: Mamba and its kin, layers of one mixer each."""

from __future__ import annotations

from roofline.layers.embedding import token_embedding
from roofline.layers.head import lm_head, sampling
from roofline.layers.normalization import norm, residual_norm
from roofline.models.shapes.config import Config, Size
from roofline.models.shapes.recurrence import Recurrence, mixer
from roofline.program.conventions import Conventions
from roofline.program.op import Op, Tensor
from roofline.program.phases import Phase
from roofline.program.program import Group, Program

_PHASES: tuple[Phase, ...] = (Phase.PREFILL, Phase.DECODE)


class StateSpaceConfig(Config):
    """A norm and a mixer per layer. Heads are those of the mixer; Mamba has one per channel, one element wide."""

    vocab_size: Size
    head_dim: Size
    tie_word_embeddings: bool
    recurrence: Recurrence
    head: bool = True


def program(config: StateSpaceConfig, conventions: Conventions) -> Program:
    """The program of a state-space model: a prompt is scanned, a decode step goes on from the state.

    The norm behind a mixer belongs to the residual addition before it, so a layer ends with the next layer's input
    norm, or, in the last layer, with the final one.
    """
    ways: tuple[tuple[Phase, bool], ...] = ((Phase.PREFILL, False), (Phase.DECODE, True))
    groups = [Group("embedding", _embedding(config), phases=_PHASES)]
    groups += [Group("layers", _layer(config, conventions, step), "L", (phase,), stacked=True) for phase, step in ways]
    if config.head:
        groups.append(Group("head", _head(config, conventions), phases=_PHASES))
    sizes = {"D": config.hidden_size, "V": config.vocab_size, "L": config.num_hidden_layers}
    return Program(tuple(groups), {**sizes, **config.recurrence.sizes})


def _embedding(config: StateSpaceConfig) -> tuple[Op, ...]:
    first = norm("input_norm", Tensor("x", "B T D"), Tensor("h", "B T D"), kind="rms")
    return token_embedding(tied=config.head and config.tie_word_embeddings), first


def _layer(config: StateSpaceConfig, conventions: Conventions, step: bool) -> tuple[Op, ...]:
    return (
        *mixer(config.recurrence, step=step, square=conventions.count == "square"),
        residual_norm("output_norm", Tensor("a", "B T D"), kind="rms", placement="pre"),
    )


def _head(config: StateSpaceConfig, conventions: Conventions) -> tuple[Op, ...]:
    head = lm_head(tied=config.tie_word_embeddings)
    return (head.rebound(T=1) if conventions.lm_head == "last" else head, sampling())
