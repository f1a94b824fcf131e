"""The one list of corrections: calibration files, timing, ``--explain`` and fits read it, and no other names all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any, get_args, get_type_hints

from roofline.calibration.corrections.attention import ExtraKeys, ExtraReads, KeyBlock, Regroup
from roofline.calibration.corrections.attention_by_library import (
    BackwardWork,
    CacheWrite,
    DecodeBlocks,
    HeadBlocks,
    HeadPadding,
    KernelWidths,
    KeyGrowth,
    MaskedWork,
    PackedPass,
    QueryTiles,
    SlowWidth,
    SpilledTiles,
    Unsplit,
    WindowEdge,
    WorkingSet,
)
from roofline.calibration.corrections.attention_in_triton import BlockSearch, KeySplit, KeyTiles, KeyTime
from roofline.calibration.corrections.correction import Constant, Correction, constants_of
from roofline.calibration.corrections.experts import (
    Dispatch,
    GatheredRows,
    GroupBlocks,
    GroupTail,
    PairTiles,
    RoutedPasses,
)
from roofline.calibration.corrections.matmuls import (
    ExtraDepth,
    GroupRows,
    LeastTile,
    Quantize,
    Repack,
    SpillColumns,
    SplitK,
    Tail,
    Tiles,
    UnpackMemory,
    UnpackTiles,
)
from roofline.calibration.corrections.memory import (
    BlockBandwidth,
    CacheBandwidth,
    KeptWeights,
    LastCache,
    LongRows,
    Ramp,
    ReuseBandwidth,
    RowWalk,
)
from roofline.calibration.corrections.scans import ChannelWalk, ScanChunks, ScanWaves, UnitRate
from roofline.calibration.fields import Data
from roofline.files.fields import model_validator
from roofline.number import Number


class Corrections(Data):
    """The corrections of one kind of operator, each under the name that a calibration's file gives it; None is none.

    To add one: its class, its line here, and the line of ``roofline/timing/kernels`` that applies it to its operators.
    """

    tiles: Tiles | None = None
    split_k: SplitK | None = None
    least_tile: LeastTile | None = None
    tail: Tail | None = None
    quantize: Quantize | None = None
    repack: Repack | None = None
    unpack_tiles: UnpackTiles | None = None
    unpack_memory: UnpackMemory | None = None
    extra_depth: ExtraDepth | None = None
    spill_columns: SpillColumns | None = None
    group_rows: GroupRows | None = None
    group_tail: GroupTail | None = None
    pair_tiles: PairTiles | None = None
    group_blocks: GroupBlocks | None = None
    routed_passes: RoutedPasses | None = None
    gathered_rows: GatheredRows | None = None
    dispatch: Dispatch | None = None
    extra_keys: ExtraKeys | None = None
    key_block: KeyBlock | None = None
    extra_reads: ExtraReads | None = None
    regroup: Regroup | None = None
    query_tiles: QueryTiles | None = None
    window_edge: WindowEdge | None = None
    packed_pass: PackedPass | None = None
    cache_write: CacheWrite | None = None
    head_padding: HeadPadding | None = None
    slow_width: SlowWidth | None = None
    kernel_widths: KernelWidths | None = None
    spilled_tiles: SpilledTiles | None = None
    masked_work: MaskedWork | None = None
    backward_work: BackwardWork | None = None
    decode_blocks: DecodeBlocks | None = None
    head_blocks: HeadBlocks | None = None
    unsplit: Unsplit | None = None
    key_growth: KeyGrowth | None = None
    key_time: KeyTime | None = None
    key_tiles: KeyTiles | None = None
    key_split: KeySplit | None = None
    block_search: BlockSearch | None = None
    working_set: WorkingSet | None = None
    unit_rate: UnitRate | None = None
    scan_chunks: ScanChunks | None = None
    scan_waves: ScanWaves | None = None
    channel_walk: ChannelWalk | None = None
    block_bandwidth: BlockBandwidth | None = None
    cache_bandwidth: CacheBandwidth | None = None
    reuse_bandwidth: ReuseBandwidth | None = None
    last_cache: LastCache | None = None
    kept_weights: KeptWeights | None = None
    ramp: Ramp | None = None
    row_walk: RowWalk | None = None
    long_rows: LongRows | None = None

    @model_validator(mode="after")
    def _have_one_rate_of_the_cache(self) -> Corrections:
        if self.cache_bandwidth and self.reuse_bandwidth:
            msg = "given cache_bandwidth and reuse_bandwidth, expected one of them: each is the rate of the last cache"
            raise ValueError(msg)
        if self.tiles is None and (alone := [name for name in ("split_k", "least_tile") if getattr(self, name)]):
            msg = f"given {alone[0]} without tiles, expected both: it is of a matmul that is computed in tiles"
            raise ValueError(msg)
        return self

    def given(self) -> dict[str, Correction]:
        """Those that there are, by name."""
        return {name: found for name in Corrections.stated if (found := getattr(self, name)) is not None}

    def value(self, name: str) -> float:
        """A constant, named as in :func:`named_constants`. Raises AttributeError where there is no such correction."""
        correction, constant = named_constants()[name]
        return float(getattr(getattr(self, correction), constant.field))

    def replaced(self, values: Mapping[str, Number]) -> Corrections:
        """The same with other constants, by the names of :func:`named_constants`; unchecked, as a fit tries many.

        Raises KeyError for an unknown name, TypeError where a correction lacks some of its constants.
        """
        changes: dict[str, dict[str, Number]] = {}
        for name, value in values.items():
            correction, constant = named_constants()[name]
            changes.setdefault(correction, {})[constant.field] = value
        made = {name: self._with(name, new) for name, new in changes.items()}
        return self.model_copy(update=made)

    def _with(self, name: str, constants: Mapping[str, Number]) -> Correction:
        make: Callable[..., Correction] = CORRECTIONS[name]
        old = getattr(self, name)
        return make(**{**(asdict(old) if old else {}), **constants})

    def with_times_divided(self, factor: float) -> Corrections:
        """The same with every constant that is a time divided by ``factor``."""
        return self.replaced({name: self.value(name) / factor for name in self.times()})

    def times(self) -> list[str]:
        """The names, as in :func:`named_constants`, of the constants there are that are times."""
        given = self.given()
        return [
            name for name, (of, each) in named_constants().items() if of in given and each.unit.dimension == "time_s"
        ]

    def written(self) -> dict[str, Any]:
        """The fields of those that there are, as a calibration's file has them."""
        return {name: found.written() for name, found in self.given().items()}


CORRECTIONS: dict[str, type[Correction]] = {
    name: get_args(hint)[0] for name, hint in get_type_hints(Corrections).items() if name in Corrections.stated
}
"""The class of each correction, by its name in a file."""


@cache
def named_constants() -> Mapping[str, tuple[str, Constant]]:
    """Every constant by its name in a fit, ``tiles`` or ``split_k.partial``: its correction's name, and what it is."""
    found = {}
    for name, correction in CORRECTIONS.items():
        constants = constants_of(correction)
        for each in constants:
            found[name if len(constants) == 1 else f"{name}.{each.field}"] = (name, each)
    return found
