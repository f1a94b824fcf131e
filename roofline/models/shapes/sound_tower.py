"""The tower of a network that hears: convolutions over a spectrogram, layers, and the projector of a decoder's tokens.

It runs in the phase listen, on B sequences of T places: whole sounds, or parts of them that are padded to one length.
"""

from __future__ import annotations

from typing import Any, Literal

from roofline.layers.patches import average_pool, projector
from roofline.layers.sound import Halved, Heard, pieces, sound_embedding, spectrogram_embedding
from roofline.models.shapes.config import Size
from roofline.models.shapes.stacks import stack_sizes
from roofline.models.shapes.tower_layers import TowerStack, chain_of, input_norm, stacked_layers
from roofline.program.axes import Binding
from roofline.program.conventions import Conventions
from roofline.program.op import Op, PerElement, Tensor, elementwise, weight
from roofline.program.phases import Phase
from roofline.program.program import TOWER, Group, Program

_PHASES: tuple[Phase, ...] = (Phase.LISTEN,)
SOUND_TOKENS = "sound_tokens"


class SoundTowerConfig(TowerStack):
    """Encoder of sound in front of a decoder.

    trained_positions: a table of them is the network's; else they are computed. channels: of convolutions in time and
    frequency, three with stride 2; none: two in time alone, one with stride 2. pool: places whose mean becomes one
    token; merge: places that are put side by side to one. ends: trained tokens that may stand around a sound.
    rule: how a duration becomes sequences and tokens; the fields after it are the rule's.
    """

    num_mel_bins: Size
    trained_positions: bool = True
    channels: Size | None = None
    pool: Size = 1
    merge: Size = 1
    ends: bool = False
    rule: Literal["padded", "whole", "pieces"] = "padded"
    piece_frames: Size
    window_pieces: Size = 1
    rounds_up: bool = True
    longest_s: Size | None = None

    @property
    def steps(self) -> int:
        """Steps of stride 2 between frames and places."""
        return 1 if self.channels is None else 3

    @property
    def width(self) -> int:
        """The elements of what a token is made of."""
        return self.hidden_size * self.merge


def program(config: SoundTowerConfig, conventions: Conventions) -> Program:
    """The program of a tower alone."""
    return Program(tuple(sound_groups(config, conventions)), {})


def sound_groups(config: SoundTowerConfig, conventions: Conventions) -> list[Group]:
    """Convolutions, layers, the projector of tokens."""
    local: dict[str, Binding] = {**stack_sizes(config), "I": config.num_mel_bins}
    del local["L"]

    def group(name: str, ops: tuple[Op, ...], **more: Any) -> Group:
        return Group(f"{TOWER}sound_{name}", ops, phases=_PHASES, local={**local, **more.pop("local", {})}, **more)

    first: dict[str, Binding] = {"B": pieces, "T": Halved(config.steps)}
    found = [group("embedding", _embedding(config), local=first)]
    if config.final_norm:
        found.append(group("norm", (input_norm(config),)))
    return [*found, *stacked_layers(config, conventions, group), group("projector", _projector(config))]


def _embedding(config: SoundTowerConfig) -> tuple[Op, ...]:
    if config.channels is None:
        return sound_embedding(trained=config.trained_positions, in_pieces=True)
    return spectrogram_embedding(config.num_mel_bins, config.channels)


def _projector(config: SoundTowerConfig) -> tuple[Op, ...]:
    source, tokens = "h" if config.final_norm else "x", Heard(config.pool * config.merge)
    pooled: tuple[Op, ...] = ()
    if config.pool > 1:
        pooled, source = (average_pool(config.pool, config.hidden_size, tokens, source=source),), "pooled"
    chain = projector(
        chain_of(config.projector),
        width=config.width,
        tokens=tokens,
        normed=config.projector_norm,
        source=source,
        output=SOUND_TOKENS,
    )
    return (*pooled, *chain, *((_ends(config.projector[-1].width),) if config.ends else ()))


def _ends(width: int) -> Op:
    """Two trained tokens, of a sound's begin and of its end."""
    table = weight("sound_ends", "T O")
    return elementwise("sound_ends", [table], Tensor(SOUND_TOKENS, "B T O"), PerElement(0)).rebound(T=2, O=width)
