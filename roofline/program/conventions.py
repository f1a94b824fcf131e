"""What is counted and how, stated once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from roofline.classes import frozen
from roofline.engines.engine import Engine
from roofline.errors import UsageError
from roofline.options import groups
from roofline.options.keywords import given, part
from roofline.options.words import Attention, Count, Fusion, LmHead
from roofline.program.program import Program


@frozen
class Conventions:
    """The choices that change a count without changing the model.

    attention: ``fused`` keeps scores on chip and counts the attended pairs; ``materialised`` computes and stores T S.
    count: ``attended`` counts T S - T(T-1)/2 causal pairs; ``square`` counts T S, as torch's FlopCounterMode does.
    lm_head: a decoder's head runs on the ``last`` token of prefill, or on ``all``.
    latent: where keys and values are latents, ``usual`` expands them in prefill and absorbs the up-projections in
    decode; ``absorbed`` and ``expanded`` do the same in both.
    fusion: of a traced module, which of its calls run as one kernel: ``none``; ``inductor``, as a graph compiler fuses
    elementwise work and attention; ``engine``, with attention whatever changes its scores, and caches written in place.
    apart: whether the engine is eager, which takes kernels apart itself where a device has constants of single calls.
    routing: how a router spreads tokens over experts, ``uniform``, ``balanced`` or ``power_law:A``.
    """

    attention: Attention = "fused"
    count: Count = "attended"
    lm_head: LmHead = "last"
    latent: Literal["usual", "absorbed", "expanded"] = "usual"
    routing: str = "uniform"
    fusion: Fusion = "inductor"
    apart: bool = False

    @classmethod
    def under(cls, engine: Engine, device: Collection[str], asked: groups.Counting) -> Conventions:
        """What options ask for, with the form of attention that an engine runs on a device known by these words."""
        stored = engine.attention_on(device) == "materialised"
        return cls.run_by(engine, "materialised" if stored else "fused", asked)

    @classmethod
    def run_by(cls, engine: Engine, attention: Attention, asked: groups.ExpertLoad | groups.Fused) -> Conventions:
        """What options ask for, with this form of attention; what runs as one kernel is the engine's unless asked."""
        options = {"fusion": _fused_by(engine), **given(part(groups.Counting, asked))}
        return cls(attention, **options, apart=engine.kernels == "single")

    @classmethod
    def of(cls, asked: groups.Conventions) -> Conventions:
        """What options ask for, and what none of them says as usual."""
        return cls(**given(part(groups.Conventions, asked)))


def check_fusion(asked: str | None, program: Program, name: str) -> None:
    """Raises UsageError where a fusion is asked of a network that no code states."""
    if asked is not None and not program.anonymous:
        msg = f"fusion {asked} goes with a traced module; {name} is stated as engines run it"
        raise UsageError(msg)


STATEMENTS: tuple[str, ...] = (
    "one fused multiply-add is 2 FLOPs",
    "SI prefixes are decimal (1 GB = 1e9 B), binary ones are written GiB",
    "bytes are compulsory traffic: each tensor of an operator moves once; caches and re-reads are not modelled",
    "flops counts contractions; elementwise work is vector_flops",
    "causal attention counts the attended pairs, T S - T(T-1)/2",
    "under a sliding window of W each token sees itself and the W - 1 before it, and the cache keeps W",
    "B T tokens touch E (1 - (1 - A/E)^(B T)) of E experts, A each: the expected number if routing is uniform; "
    "--routing names another load, of which the fullest device's is timed",
    "multi-head latent attention expands keys and values in prefill and absorbs their up-projections in decode",
    "a scan goes through a prompt in chunks and on from its state in decode; a state is as large for any context",
    "the prompt of an encoder-decoder is what the encoder reads, M tokens; encode keeps their keys and values for "
    "cross-attention, prefill reads the tokens that the decoder begins with",
    "an image is read whole, its patches and the class token; of sound, two frames are one token",
    "the LM head runs on the last token of prefill; an embedding is a gather, not a matmul",
    "an engine with chunked prefill reads prompts in as few forward passes as hold them, in equal pieces: each reads "
    "the weights, attends to what is cached (latents are expanded again), begins the blocks of a scan anew, and runs "
    "the head on the last token of a piece",
    "TTFT is encode + prefill, head and sampling of the first token included; TPOT is the mean over the decode steps",
    "MFU = contraction FLOPs / (time x dense peak); MBU = compulsory bytes / (time x bandwidth)",
    "peaks are dense; links are per direction",
)
"""The conventions in words, printed by ``--explain`` and in the documentation."""


def _fused_by(engine: Engine) -> Fusion:
    """What it runs as one kernel of given code: who serves text and trains nothing has kernels of its own."""
    if engine.kernels == "single":
        return "none"
    return "engine" if "decoders" in engine.serves and "training" not in engine.serves else "inductor"
