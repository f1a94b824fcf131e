"""How the size of an image, or of a video, becomes sequences of patches and tokens: what a family's processor does."""

from __future__ import annotations

import math
from fractions import Fraction

from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.models.shapes.tower import TowerConfig
from roofline.program.lengths import Pictures

_THINNEST = 200
"""Longer over shorter side: processors that resize refuse more."""


@frozen
class Size:
    """Pixels of an image or of a frame; ``frames`` of a video, None of an image."""

    width: int
    height: int
    frames: int | None = None


def pictures(config: TowerConfig, size: Size, number: int) -> Pictures:
    """What ``number`` images, or videos, of one size are to a tower and to the decoder behind it.

    Raises WorkloadError for a video where the family reads none, and for a size that its processor refuses.
    """
    one = _RULES[config.rule](config, size)
    return Pictures(one.sequences * number, one.patches, one.tokens * number, one.window)


@frozen
class Bounds:
    """Sides are multiples of ``factor``, pixels ``least`` to ``most``, over all of ``frames``, which are ``even``."""

    factor: int
    least: int
    most: int
    frames: int = 1
    even: int = 1


def resized(height: int, width: int, bounds: Bounds) -> tuple[int, int]:
    """Height and width of an image as its processor makes them.

    >>> resized(768, 1024, Bounds(factor=28, least=56 * 56, most=28 * 28 * 1280))
    (756, 1036)

    Source: ``smart_resize`` of Qwen2-VL's processor (Wang et al. 2024, arXiv 2409.12191, section 2.1).
    """
    factor, pixels = bounds.factor, bounds.frames * height * width
    found = [round(side / factor) * factor for side in (height, width)]
    if bounds.even * math.prod(found) > bounds.most:
        by = math.sqrt(pixels / bounds.most)
        found = [max(factor, math.floor(side / by / factor) * factor) for side in (height, width)]
    elif bounds.even * math.prod(found) < bounds.least:
        by = math.sqrt(bounds.least / pixels)
        found = [math.ceil(side * by / factor) * factor for side in (height, width)]
    return found[0], found[1]


def grid_of(config: TowerConfig, size: Size) -> tuple[int, int]:
    """Rows and columns of patches of an image, or of a frame, that is resized to nearly its own size."""
    height, width = size.height, size.width
    if max(height, width) > _THINNEST * min(height, width):
        msg = f"image {width}x{height}: its longer side is more than {_THINNEST} times the other; expected less"
        raise WorkloadError(msg)
    if size.frames is None:
        bounds = Bounds(config.patch_size * config.merge, config.min_pixels, config.max_pixels)
        height, width = resized(height, width, bounds)
    else:
        height, width = _frame(config, height, width, size.frames)
    return height // config.patch_size, width // config.patch_size


def _resized(config: TowerConfig, size: Size) -> Pictures:
    """An image at nearly its own size: a grid of patches, squares of which are one token (Qwen-VL)."""
    rows, columns = grid_of(config, size)
    instants = 1 if size.frames is None else -(-size.frames // config.temporal_patch_size)
    tokens = instants * rows * columns // config.merge**2
    return Pictures(instants, rows * columns, tokens, _window(config, rows, columns))


def _frame(config: TowerConfig, height: int, width: int, frames: int) -> tuple[int, int]:
    """The size of a frame: bounds hold for each, or for all frames of a video together."""
    factor, least, most = config.patch_size * config.merge, config.video_min_pixels, config.video_max_pixels
    if config.video == "none":
        msg = "a video: this network's processor is modelled for images alone; leave video out"
        raise WorkloadError(msg)
    if config.video == "each":
        return resized(height, width, Bounds(factor, least, most))
    if min(height, width) < factor:
        by = max(factor / height, factor / width)
        height, width = int(height * by), int(width * by)
    even = round(frames / config.temporal_patch_size) * config.temporal_patch_size
    return resized(height, width, Bounds(factor, least, most, frames, even))


def _window(config: TowerConfig, rows: int, columns: int) -> Fraction:
    """The mean number of patches in the window of a patch: those at the edges are smaller.

    Of windows of n patches each, sum of n^2 over sum of n.
    """
    side = config.window_size // config.patch_size // config.merge * config.merge
    if not any(config.windows):
        return Fraction(rows * columns)

    def squares(length: int) -> int:
        return length // side * side**2 + (length % side) ** 2

    return Fraction(squares(rows) * squares(columns), rows * columns)


def _fixed(config: TowerConfig, size: Size) -> Pictures:
    """An image brought to one size, whatever its own."""
    _refuse_video(size)
    patches = (config.image_size // config.patch_size) ** 2
    tokens = patches // (config.merge * config.pool) ** 2
    read = patches + config.class_token
    return Pictures(1, read, tokens, Fraction(read))


def _refuse_video(size: Size) -> None:
    if size.frames is not None:
        msg = "a video: this network's processor is modelled for images alone; leave video out"
        raise WorkloadError(msg)


_RULES = {"resized": _resized, "fixed": _fixed}
