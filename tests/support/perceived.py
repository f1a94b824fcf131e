"""What the module of a network that sees or hears is given: pixels, frames, and tokens in whose place they come."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from forward_passes import as_run, check_steps
from modules import our_flops

from roofline.models.model import Model
from roofline.models.towers.hearing.rules import frames_of, sounds
from roofline.models.towers.rules import Size, grid_of, pictures
from roofline.program.phases import Phase
from roofline.program.traffic.lengths import Pictures

SQUARES = ("fixed", "tiled", "chunked", "canvas", "anyres", "split")
"""Rules of towers that read images, or tiles, of one size."""


class Perceived(NamedTuple):
    """Keywords of a module's forward pass, its number of tokens, and the FLOPs of what comes before its decoder."""

    keywords: dict[str, Any]
    tokens: int
    flops: Fraction


def check_whole(model: Model, module: Any, size: Size, sound_s: float, text: int) -> None:
    """A pass over an image, a sound and text, and a step behind it, cost what torch's counter sees; on ``meta``."""
    given = perceived(model, module, size, sound_s, text)
    check_steps(as_run(model), module, given.keywords, (1, given.tokens), given.flops)


def perceived(model: Model, module: Any, size: Size, sound_s: float, text: int) -> Perceived:
    """An image and a sound, each behind a token of text, where the network reads such, and ``text`` tokens behind them.

    The image of the module is the one that the rule of the tower makes of ``size``.
    """
    torch = pytest.importorskip("torch")
    config, keywords, before = module.config, {}, Fraction(0)
    tokens: list[int] = []
    kinds: list[int] = []
    if model.tower is not None:
        seen = pictures(model.tower, size, 1)
        pixels, number = _pixels(model, size, seen)
        keywords |= pixels
        before += _encoded(model, seen)
        tokens += [1, *[_place(config, "image")] * number]
        kinds += [0, *[1] * number]
    if model.hearing is not None:
        frames, number = _frames(model, config, sound_s)
        keywords |= frames
        before += our_flops(model, Phase.LISTEN, **dict(sounds(model.hearing, sound_s).sizes))
        tokens += [1, *[_place(config, "audio")] * number]
        kinds += [0, *[3] * number]
    tokens += [1] * text
    kinds += [0] * text
    keywords["input_ids"] = torch.tensor([tokens])
    if "mm_token_type_ids" in inspect.signature(module.forward).parameters:
        keywords["mm_token_type_ids"] = torch.tensor([kinds])
    return Perceived(keywords, len(tokens), before)


def _encoded(model: Model, seen: Pictures) -> Fraction:
    """The tower's FLOPs, and those of a matmul of every patch with every token, by which transformers takes the means
    of Gemma 4's patches and which no FLOP of ours is."""
    assert model.tower is not None
    means = 2 * seen.tokens * seen.patches * model.tower.hidden_size if model.tower.rule == "budget" else 0
    lengths = {"T": seen.patches, "S": seen.patches, "w": seen.window}
    return our_flops(model, Phase.ENCODE, B=seen.sequences, **lengths) + means


def _place(config: Any, kind: str) -> int:
    """The token in whose place a feature comes; any that no text is, where the file names none."""
    stated = [getattr(config, f"{kind}_token_{name}", None) for name in ("id", "index")]
    found = next((token for token in stated if token is not None), None)
    if found is None:
        found = 3
        setattr(config, f"{kind}_token_id", found)
    return int(found)


def _pixels(model: Model, size: Size, seen: Pictures) -> tuple[dict[str, Any], int]:
    """The pixels of an image as the module reads them, and how many tokens of the decoder's it becomes.

    What of an image is text, between tiles or behind rows, is none of these.
    """
    torch, tower = pytest.importorskip("torch"), model.tower
    assert tower is not None
    channels, merged = tower.patch_elements // tower.patch_size**2, tower.merge**2
    if tower.rule in SQUARES:
        side = tower.tile_size if tower.rule == "split" else tower.image_size
        pixels = torch.ones(seen.sequences, channels, side, side)  # a tile of zeros would be taken for padding
        number = seen.sequences * ((seen.patches - tower.class_token) // (tower.merge * tower.pool) ** 2)
        if tower.rule == "anyres":
            return {"pixel_values": pixels[None], "image_sizes": torch.tensor([[size.height, size.width]])}, seen.tokens
        return {"pixel_values": pixels[None] if tower.rule == "split" else pixels}, number
    if tower.rule == "rows":
        ratio, factor = max(size.height, size.width) / tower.image_size, tower.patch_size * tower.merge
        sides = [math.floor(side / ratio) if ratio > 1 else side for side in (size.height, size.width)]
        height, width = (-(-side // factor) * factor for side in sides)
        pixels = torch.ones(1, channels, height, width)
        return {"pixel_values": pixels, "image_sizes": torch.tensor([[height, width]])}, seen.patches // merged
    if tower.rule == "budget":
        rows, columns = _shape(seen.patches, tower.pool)
        places = torch.cartesian_prod(torch.arange(columns), torch.arange(rows))
        pixels = torch.ones(1, seen.patches, tower.patch_elements)
        return {"pixel_values": pixels, "image_position_ids": places[None]}, seen.tokens
    if tower.rule in ("padded", "roomy"):  # of the second, one that is not cut in tiles
        rows, columns = _shape(seen.patches, tower.merge)
        pixels = torch.ones(seen.patches, channels, tower.patch_size, tower.patch_size)
        more = {"image_grid_thw": torch.tensor([[1, rows, columns]])}
        if tower.rule == "roomy":
            pixels, mask = pixels.flatten(1)[None], torch.ones(1, seen.patches, dtype=torch.long)
            more = {"spatial_shapes": torch.tensor([[rows, columns]]), "pixel_attention_mask": mask}
        return {"pixel_values": pixels, **more}, seen.patches // merged
    rows, columns = grid_of(tower, size)
    pixels = torch.ones(seen.sequences * seen.patches, tower.patch_elements)
    return {"pixel_values": pixels, "image_grid_thw": torch.tensor([[seen.sequences, rows, columns]])}, seen.tokens


def _shape(patches: int, factor: int) -> tuple[int, int]:
    """Rows and columns, whole squares of ``factor``, of so many patches: nearly a square."""
    squares = patches // factor**2
    rows = next(number for number in range(math.isqrt(squares), 0, -1) if squares % number == 0)
    return rows * factor, squares // rows * factor


def _frames(model: Model, config: Any, length_s: float) -> tuple[dict[str, Any], int]:
    """The frames of a sound as the module reads them, and how many tokens of the decoder's it becomes."""
    torch, tower = pytest.importorskip("torch"), model.hearing
    assert tower is not None
    frames, number = frames_of(tower, length_s), sounds(tower, length_s).tokens
    mel = config.audio_config.num_mel_bins
    if tower.rule == "whole":  # one token before them all is text
        parts = -(-frames // tower.piece_frames)
        return {"input_features": torch.ones(parts, mel, tower.piece_frames)}, number - 1
    most = tower.piece_frames if tower.rule == "padded" else frames
    heard = (torch.arange(most) < frames).long()[None]
    return {"input_features": torch.ones(1, mel, most), "feature_attention_mask": heard}, number
