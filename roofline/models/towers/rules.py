"""How the size of an image, or of a video, becomes sequences of patches and tokens: what a family's processor does."""

from __future__ import annotations

import math
from fractions import Fraction

from roofline.classes import frozen
from roofline.errors import WorkloadError
from roofline.models.shapes.tower import TowerConfig
from roofline.program.traffic.lengths import Pictures

_THINNEST = 200
"""Longer over shorter side: processors that resize refuse more."""


_ROOM = 2
"""Times the most pixels from which LFM2-VL cuts an image in tiles."""

_LARGEST_SPLIT = 4096
"""The longest side of an image that Idefics3 cuts in tiles."""


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
        factor, frames = config.patch_size * config.merge, config.image_frames
        if frames > 1:  # enlarged before its shape is looked at
            height, width = _at_least(factor, height, width)
        height, width = resized(height, width, Bounds(factor, config.min_pixels, config.max_pixels, frames, frames))
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
    height, width = _at_least(factor, height, width)
    even = round(frames / config.temporal_patch_size) * config.temporal_patch_size
    return resized(height, width, Bounds(factor, least, most, frames, even))


def _at_least(factor: int, height: int, width: int) -> tuple[int, int]:
    """A size that is enlarged until its shorter side is ``factor``."""
    by = max(1.0, factor / height, factor / width)
    return int(height * by), int(width * by)


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


def _tiles_of(config: TowerConfig, tiles: int, more: int) -> Pictures:
    """So many tiles of one size, each by itself, and ``more`` tokens between them."""
    one = _fixed(config, Size(config.image_size, config.image_size))
    return Pictures(tiles, one.patches, tiles * one.tokens + more, one.window)


def _tiled(config: TowerConfig, size: Size) -> Pictures:
    """Tiles in the arrangement nearest to the image's shape, the whole image beside them, a token before and behind.

    Source: InternVL 1.5 (Chen et al. 2024, arXiv 2404.16821), section 3.1.
    """
    _refuse_video(size)
    tiles = math.prod(_closest(config, size, config.image_size))
    return _tiles_of(config, tiles + (tiles > 1), 2)


def _closest(config: TowerConfig, size: Size, tile: int) -> tuple[int, int]:
    """Columns and rows of tiles whose shape is nearest to an image's; of two alike, the larger that it half fills."""
    most, area, shape = config.max_tiles, size.width * size.height, size.width / size.height
    grids = sorted(
        ((x, y) for x in range(1, most + 1) for y in range(1, most // x + 1) if x * y >= config.min_tiles),
        key=math.prod,
    )
    best, nearest = (1, 1), math.inf
    for grid in grids:
        off = abs(shape - grid[0] / grid[1])
        roomy = area > 0.5 * tile**2 * math.prod(grid)
        if off < nearest or (off == nearest and roomy):
            best, nearest = grid, off
    return best


def _roomy(config: TowerConfig, size: Size) -> Pictures:
    """An image within bounds of tokens, or tiles of one that has more than twice the most, and the whole (LFM2-VL).

    A mark before each tile and the whole, a token before and behind all. In a batch the whole is padded to a tile.

    Source: ``resize_and_split`` and ``_build_image_tokens`` of LFM2-VL's processor in transformers.
    """
    _refuse_video(size)
    factor, most = config.patch_size * config.merge, config.max_pixels
    nearest = [round(side / factor) * factor for side in (size.height, size.width)]
    rows, columns = (side // factor for side in _bounded(size, factor, config.min_pixels, most))
    patches = rows * columns * config.merge**2
    if math.prod(max(side, config.patch_size) for side in nearest) <= _ROOM * most:
        return Pictures(1, patches, rows * columns + 2, Fraction(patches))
    tiles = math.prod(_closest(config, size, config.tile_size))
    along = config.tile_size // config.patch_size
    one = max(along**2, most // config.patch_size**2)
    each = math.ceil(along / config.merge) ** 2
    return Pictures(tiles + 1, one, tiles * (each + 1) + 1 + rows * columns + 2, Fraction(one))


def _bounded(size: Size, factor: int, least: int, most: int) -> tuple[int, int]:
    """Height and width in multiples of ``factor``, one at the least, brought within bounds of pixels."""
    sides = (size.height, size.width)
    found = [max(factor, round(side / factor) * factor) for side in sides]
    if math.prod(found) > most:
        by = math.sqrt(math.prod(sides) / most)
        found = [max(factor, math.floor(side / by / factor) * factor) for side in sides]
    elif math.prod(found) < least:
        by = math.sqrt(least / math.prod(sides))
        found = [math.ceil(side * by / factor) * factor for side in sides]
    return found[0], found[1]


def _canvas(config: TowerConfig, size: Size) -> Pictures:
    """Tiles in the arrangement that the image is enlarged for least, or else shrunk for least, and the whole beside.

    A line break behind each, a token before and behind all. Source: ``get_optimal_tiled_canvas`` and
    ``replace_image_token`` of transformers' Cohere2Vision.
    """
    _refuse_video(size)
    most, side = config.max_tiles, config.image_size
    grids = sorted(((x, y) for x in range(1, most + 1) for y in range(1, most // x + 1)), key=math.prod)
    scales = [min(x * side / size.width, y * side / size.height) for x, y in grids]
    larger = [scale for scale in scales if scale >= 1]
    best = grids[scales.index(min(larger) if larger else max(scales))]
    tiles = math.prod(best)
    shown = tiles + (tiles > 1)
    return _tiles_of(config, shown, 2 + shown)


def _chunked(config: TowerConfig, size: Size) -> Pictures:
    """Tiles that hold the image undistorted and scaled down least, the whole image beside them, separators between.

    Source: ``get_best_fit`` and ``_prompt_split_image`` of Llama 4's processor in transformers.
    """
    _refuse_video(size)
    side = config.image_size
    canvases: dict[tuple[int, int], float] = {}
    for tiles in range(config.max_tiles, 0, -1):
        for rows in (each for each in range(1, tiles + 1) if tiles % each == 0):
            canvas = rows, tiles // rows
            canvases[canvas] = min(canvas[0] * side / size.height, canvas[1] * side / size.width)
    larger = [scale for scale in canvases.values() if scale >= 1]
    chosen = min(larger) if larger else max(canvases.values())
    rows, columns = min((each for each, scale in canvases.items() if scale == chosen), key=math.prod)
    tiles = rows * columns
    return _tiles_of(config, tiles + (tiles > 1), 3 + (tiles if tiles > 1 else 0))


def _anyres(config: TowerConfig, size: Size) -> Pictures:
    """Tiles of the resolution that loses least, without the tokens of what pads it, a new line behind each row.

    Source: ``select_best_resolution`` and LLaVA-NeXT's processor in transformers.
    """
    _refuse_video(size)
    height, width = max(config.pinpoints, key=lambda each: _kept(size, each[0], each[1]))
    rows, columns = height // config.image_size, width // config.image_size
    one = _fixed(config, Size(config.image_size, config.image_size))
    side = config.image_size // config.patch_size
    high, wide = rows * side, columns * side
    if size.width / size.height > wide / high:
        high -= (high - int(round(size.height * (wide / size.width), 7))) // 2 * 2
    else:
        wide -= (wide - int(round(size.width * (high / size.height), 7))) // 2 * 2
    return Pictures(rows * columns + 1, one.patches, high * (wide + 1) + one.tokens, one.window)


def _kept(size: Size, height: int, width: int) -> tuple[int, int]:
    """Pixels of an image that a resolution keeps, and, of as many, the fewer that it wastes."""
    scale = min(width / size.width, height / size.height)
    kept = min(int(size.width * scale) * int(size.height * scale), size.width * size.height)
    return kept, kept - width * height


def _rows(config: TowerConfig, size: Size) -> Pictures:
    """An image within a square, patches merged, a token behind each row (Pixtral, arXiv 2410.07073, section 2)."""
    _refuse_video(size)
    ratio, factor = max(size.height, size.width) / config.image_size, config.patch_size * config.merge
    sides = [math.floor(side / ratio) if ratio > 1 else side for side in (size.height, size.width)]
    rows, columns = ((side - 1) // factor + 1 for side in sides)
    patches = rows * columns * config.merge**2
    return Pictures(1, patches, rows * (columns + 1), Fraction(patches))


def _padded(config: TowerConfig, size: Size) -> Pictures:
    """An image at its own size, padded to whole tokens, scaled down where it has too many patches (Kimi-VL)."""
    _refuse_video(size)
    patch, factor = config.patch_size, config.patch_size * config.merge
    count = max(1.0, size.height // patch) * max(1.0, size.width // patch)
    most = config.max_side * patch
    scale = min(1.0, math.sqrt(config.max_patches / count), most / size.height, most / size.width)
    sides = [min(max(1, int(side * scale)), most) for side in (size.height, size.width)]
    rows, columns = (-(-side // factor) for side in sides)
    patches = rows * columns * config.merge**2
    return Pictures(1, patches, rows * columns, Fraction(patches))


def _budget(config: TowerConfig, size: Size) -> Pictures:
    """The largest image of its shape, in whole squares of patches, that has at most so many tokens.

    Source: ``get_aspect_ratio_preserving_size`` of Gemma 4's processor in transformers.
    """
    _refuse_video(size)
    square, most = config.pool * config.patch_size, config.max_tokens
    scale = math.sqrt(most * square**2 / (size.height * size.width))
    rows, columns = (math.floor(scale * side / square) for side in (size.height, size.width))
    if rows == 0:
        rows, columns = 1, min(size.width // size.height, most)
    elif columns == 0:
        rows, columns = min(size.height // size.width, most), 1
    patches = rows * columns * config.pool**2
    return Pictures(1, patches, rows * columns, Fraction(patches))


def _split(config: TowerConfig, size: Size) -> Pictures:
    """Tiles of an image that is brought to one longest side, and the whole; each behind a place and a mark (Idefics3).

    Source: ``get_number_of_image_patches`` and ``replace_image_token`` of transformers' Idefics3; a line break behind
    each row is one token, the last one and the one behind it together.
    """
    _refuse_video(size)
    tile, longest = config.tile_size, config.longest_edge
    ratio = size.width / size.height
    if size.width >= size.height:
        width, height = longest, int(longest / ratio)
        height += height % 2
    else:
        height, width = longest, int(longest * ratio)
        width += width % 2
    width, height, ratio = max(width, 1), max(height, 1), max(width, 1) / max(height, 1)
    if max(width, height) > _LARGEST_SPLIT:
        width, height = (
            (_LARGEST_SPLIT, int(_LARGEST_SPLIT / ratio))
            if width >= height
            else (int(_LARGEST_SPLIT * ratio), _LARGEST_SPLIT)
        )
    rows, columns = math.ceil(max(height, 1) / tile), math.ceil(max(width, 1) / tile)
    tiles = rows * columns if rows * columns > 1 else 0
    each = (tile // config.patch_size) ** 2 // config.merge**2
    marks = 3 + (2 * tiles + rows if tiles else 0)
    one = (tile // config.patch_size) ** 2
    return Pictures(tiles + 1, one, (tiles + 1) * each + marks, Fraction(one))


_RULES = {
    "anyres": _anyres,
    "budget": _budget,
    "canvas": _canvas,
    "chunked": _chunked,
    "fixed": _fixed,
    "padded": _padded,
    "resized": _resized,
    "roomy": _roomy,
    "rows": _rows,
    "split": _split,
    "tiled": _tiled,
}
