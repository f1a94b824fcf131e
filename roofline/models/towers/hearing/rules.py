"""How the length of a sound becomes frames, sequences and tokens: what a family's processor does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from roofline.errors import WorkloadError
from roofline.models.shapes.sound_tower import SoundTowerConfig
from roofline.program.traffic.lengths import Sounds

_SAMPLES_PER_S, _HOP = 16_000, 160
"""Samples of a second, and of the step between frames: those of Whisper's feature extractor (arXiv 2212.04356, 2.2)."""


def frames_of(config: SoundTowerConfig, length_s: float) -> int:
    """Frames of a sound, padding left out.

    Source: ``WhisperFeatureExtractor`` of transformers: of sound that is padded to a whole number of frames the last
    one counts, of other sound it is cut off.
    """
    samples = int(length_s * _SAMPLES_PER_S)
    return -(-samples // _HOP) if config.rounds_up else samples // _HOP


def sounds(config: SoundTowerConfig, length_s: float) -> Sounds:
    """What a sound of a length is to a tower and to the decoder behind it.

    Raises WorkloadError for one of which no token is left, and for a longer one than the processor reads.
    """
    most = config.longest_s
    if most is not None and length_s > most:
        msg = f"audio {length_s:g} s: this network's processor cuts sound off behind {most} s; give at most that"
        raise WorkloadError(msg)
    frames = frames_of(config, length_s)
    found = {"padded": _padded, "whole": _whole, "pieces": _in_pieces}[config.rule](config, frames)
    if found.tokens < 1:
        msg = f"audio {length_s:g} s: no token is left of so short a sound; give more"
        raise WorkloadError(msg)
    return found


def _padded(config: SoundTowerConfig, frames: int) -> Sounds:
    """A sound padded to one length, of whose places those of the padding are no tokens (Qwen2-Audio)."""
    places = config.piece_frames // 2
    return Sounds(1, places, 1, config.piece_frames, places // config.pool, -(-frames // 2) // config.pool, places)


def _whole(config: SoundTowerConfig, frames: int) -> Sounds:
    """Parts of one length, the last one padded, all places of which are tokens, and one before them all (Voxtral).

    Source: ``VoxtralProcessor`` of transformers, which pads to whole parts; mistral-common begins with a token.
    """
    parts, places = -(-frames // config.piece_frames), config.piece_frames // 2
    heard = places // config.merge
    return Sounds(parts, places, 1, config.piece_frames, heard, parts * heard + 1, places)


def _in_pieces(config: SoundTowerConfig, frames: int) -> Sounds:
    """A sound of pieces that convolutions read apart, and of windows that see themselves alone (Qwen-Omni).

    Source: ``chunk_and_pad_features`` and ``get_audio_cu_seqlens`` of transformers' Qwen2.5-Omni and Qwen3-Omni.
    """
    whole, rest = divmod(frames, config.piece_frames)
    lengths = [config.piece_frames] * whole + [rest] * (rest > 0)
    places = [_halved(length, config.steps) for length in lengths]
    total, longest = sum(places), max(lengths, default=0)
    window = max(places, default=1) * config.window_pieces
    seen = places if config.window_pieces == 1 else [window] * (total // window) + [total % window]
    return Sounds(1, total, len(lengths), longest, total // config.pool, total // config.pool, _mean_window(seen))


def _halved(frames: int, steps: int) -> int:
    """Places after so many steps of stride 2."""
    for _ in range(steps):
        frames = math.ceil(frames / 2)
    return frames


def _mean_window(windows: Sequence[int]) -> Fraction:
    """The mean number of places that one sees: of windows of n each, sum of n^2 over sum of n."""
    return Fraction(sum(each**2 for each in windows), max(sum(windows), 1))
