"""What torch's counter sees of scans and convolutions beyond, or short of, what these count, and why."""

from __future__ import annotations

from fractions import Fraction

from modules import AS_TORCH

from roofline.models.model import Model
from roofline.number import ceil_div
from roofline.program.axes import Sizes
from roofline.program.op import Op
from roofline.program.phases import Phase


def ops_of(model: Model, phase: Phase, batch: int, new: int, context: int) -> list[tuple[Fraction, Op, Sizes]]:
    """Each operator of a step, how often it runs, and the sizes around it."""
    program = model.program(AS_TORCH)
    sizes = {k: Fraction(v) for k, v in {**program.sizes, "B": batch, "T": new, "S": context}.items()}
    return [(group.times(sizes), op, group.sizes(sizes)) for group, op in program.in_phase(phase)]


def bound(op: Op, sizes: Sizes) -> dict[str, Fraction]:
    return {**sizes, **{letter: Fraction(size) for letter, size in op.local.items() if isinstance(size, int)}}


def seen_of_state(op: Op, sizes: Sizes, kind: str, past: int) -> Fraction:
    """What the counter sees of a scan beyond, or short of, what we count as contractions."""
    s = bound(op, sizes)
    B, T = s["B"], s["T"]
    if kind in ("lru", "mamba"):  # elementwise in both; of Mamba torch reads each token's state out by a matmul
        return 2 * B * T * s["F"] * s["N"] if kind == "mamba" else Fraction(0)
    K, G, H, N, W = (s[letter] for letter in "KGHNW")
    if T == 1 and past:
        # Ours is vector work. torch reads Mamba-2's state out by a matmul; the delta rule it does elementwise. Of
        # lightning attention it multiplies key and value by one, too.
        matmuls = {"mamba2": 1, "lightning": 2}.get(kind, 0)
        return 2 * B * K * G * H * N * matmuls
    chunks = ceil_div(T, W)
    if kind == "lightning":  # torch has no pairs of a chunk that is not filled
        rest = T - (chunks - 1) * W
        return -2 * B * K * (W * W - rest * rest) * (N + G * H)
    if kind == "kda":  # torch decays each channel of each pair, elementwise, where kernels contract decayed keys
        return 6 * B * (chunks * W - T) * K * G * H * N - 4 * B * chunks * W * W * K * G * N
    filled = chunks * W - T  # torch fills the last chunk up
    repeated = 2 * B * chunks * W * W * K * (G - 1) * N  # and repeats keys for each head before it multiplies them
    if kind == "mamba2":
        # It carries the state on by a matmul over all pairs of chunks; kernels go through the chunks in turn.
        return repeated + 4 * B * filled * K * G * H * N + 2 * B * K * G * H * N * (chunks + 1) ** 2
    solved = 2 * B * chunks * W * W * K * G * (N + H)  # a triangular system: the counter knows no solve_triangular
    return repeated + 6 * B * filled * K * G * H * N - solved


def outputs_of_convolution(kind: str, taps: Fraction, new: int, past: int) -> Fraction:
    """Outputs per channel that torch computes, of which the last ``new`` are kept.

    It pads both ends, and puts the inputs it has kept before the new ones. RecurrentGemma multiplies and sums
    where there is one new token, the first one too.
    """
    if kind == "lru":
        return Fraction(0) if past or new == 1 else new + taps - 1
    if past and new == 1:
        return Fraction(2)
    return (taps + new if past else max(taps, Fraction(new))) + taps - 1


def expected(model: Model, kind: str, batch: int, past: int, new: int) -> tuple[Fraction, Fraction]:
    """What the counter should see: matmuls, and convolutions, which are vector work of ours."""
    phase: Phase = Phase.DECODE if past and new == 1 else Phase.PREFILL
    matmuls, convolutions = Fraction(0), Fraction(0)
    for times, op, sizes in ops_of(model, phase, batch, new, past + new):
        matmuls += times * op.flops(sizes)
        if op.name == "scan" and kind != "convolution":
            matmuls += times * seen_of_state(op, sizes, kind, past)
        if op.name == "convolution":
            s = bound(op, sizes)
            ours = sum(work.count(s) for work in op.work if "Z" in work.axes)
            convolutions += times * ours * outputs_of_convolution(kind, s["Z"], new, past) / new
    return matmuls, convolutions


def kind_of(model: Model) -> str:
    return str(model.config.recurrence.kind)  # type: ignore[attr-defined]


def mixes_tokens(model: Model) -> bool:
    """Whether transformers can run it with a cache, for which it asks an attention layer where there are any kinds."""
    layers = getattr(model.config, "layers", None)
    return layers is None or any(layer.attends for layer in layers)


def expected_backward(model: Model, kind: str, batch: int, new: int) -> tuple[Fraction, Fraction]:
    """What the counter should see of scans beyond ours in a backward pass, and of convolutions.

    The gradient of the taps it counts once for each group, which is a channel.
    """
    scans, convolutions = Fraction(0), Fraction(0)
    for times, op, sizes in ops_of(model, Phase.PREFILL, batch, new, new):
        s = bound(op, sizes)
        if op.name == "scan" and kind != "convolution":
            scans += times * 2 * seen_of_state(op, sizes, kind, 0)
            if kind in ("delta", "kda"):  # in chunks
                scans += times * ((seen_of_system(s) if kind == "delta" else 0) - unasked(s))
            if kind == "lightning":  # nor here, where a chunk may be cut off
                first, last = min(s["T"], s["W"]), s["T"] - (ceil_div(s["T"], s["W"]) - 1) * s["W"]
                scans -= times * (2 * first + 4 * last) * s["B"] * s["K"] * s["G"] * s["N"] * s["H"]
        if op.name == "convolution":
            ours = sum(work.count(s) for work in op.work if "Z" in work.axes)
            channels = ours / (2 * s["B"] * s["T"] * s["Z"])
            outputs = new + s["Z"] - 1  # padded on both ends
            convolutions += times * ours * outputs / new * (1 + channels)
    return scans, convolutions


def seen_of_system(s: Sizes) -> Fraction:
    """The matrix of a triangular system gets its gradient by a matmul, which the counter knows, once of two."""
    return Fraction(2 * s["B"] * ceil_div(s["T"], s["W"]) * s["W"] ** 2 * s["K"] * s["G"] * (s["N"] + s["H"]))


def unasked(s: Sizes) -> Fraction:
    """Nobody asks for the gradient of the empty state before the first chunk, nor for what the state after the last
    one gives."""
    return Fraction(8 * s["B"] * s["W"] * s["K"] * s["G"] * s["N"] * s["H"])
