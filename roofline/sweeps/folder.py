"""The folder of a sweep: a Parquet file for each part, whole or absent, a manifest, and a lock while one is at work."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import IO, Any

import numpy as np

from roofline.errors import MissingExtraError, SpecError, UsageError
from roofline.files.atomic import atomic_writer
from roofline.sweeps.columns import (
    MET,
    NUMBERS,
    PRICED,
    TARGETS,
    TEXTS,
    TRAINED_NUMBERS,
    TRAINED_WORDS,
    TRUTHS,
    WHOLE,
    WORDS,
)
from roofline.sweeps.evaluation import PartRows
from roofline.sweeps.money import Price
from roofline.sweeps.parts import Part
from roofline.sweeps.phases import SERVING, TRAIN
from roofline.sweeps.served import served_rows
from roofline.sweeps.study import Study
from roofline.sweeps.targets import Limits
from roofline.sweeps.trained import trained_rows
from roofline.timing.timing import PARTS
from roofline.version import versions

MANIFEST = "_manifest.json"  # a name that readers of Parquet folders pass over
_LOCK = ".lock"


def parquet() -> tuple[Any, Any]:
    """pyarrow, and its Parquet. Raises MissingExtraError where it is absent."""
    try:
        import pyarrow  # noqa: PLC0415  (optional, and slow to import)
        import pyarrow.parquet as files  # noqa: PLC0415
    except ImportError:
        purpose = "a sweep, which writes Parquet,"
        raise MissingExtraError(purpose, "files") from None
    return pyarrow, files


def file_of(folder: Path, name: str) -> Path:
    """The file of a part by its name, a hash."""
    return folder / f"{name}.parquet"


def write_part(part: Part, name: str, folder: Path) -> int:
    """Evaluate a part and write its file, whole or not at all. Returns how many of its rows are refused."""
    with atomic_writer(file_of(folder, name), binary=True) as file:
        return write_rows(part, file)


def put_part(content: bytes, name: str, folder: Path) -> None:
    """Write the file of a part that was evaluated elsewhere, whole or not at all."""
    with atomic_writer(file_of(folder, name), binary=True) as file:
        file.write(content)


def write_rows(part: Part, file: IO[bytes]) -> int:
    """Evaluate a part into a file. Returns how many of its rows are refused."""
    arrow, files = parquet()
    rows = {SERVING: served_rows, TRAIN: trained_rows}.get(part.phase, PartRows.of)(part)
    table = arrow.concat_tables([_table(arrow, rows, part, *both) for both in product(part.prices, part.limits)])
    few = [
        *TEXTS,
        *NUMBERS,
        *TRAINED_NUMBERS,
        *TARGETS,
    ]  # of other numbers each is another: no dictionary of them is worth its time
    few = [name for name in few if name in table.column_names]
    files.write_table(table, file, compression="zstd", compression_level=1, use_dictionary=few)
    return int(table.num_rows - table["refused"].null_count)


def _table(arrow: Any, rows: PartRows, part: Part, price: Price, limits: Limits) -> Any:
    """All rows at a price: text as dictionaries, whole numbers and truths as such, null where there is nothing."""
    size = len(rows.values["batch"])
    columns: dict[str, Any] = {name: _words(arrow, told.codes, told.words) for name, told in rows.told.items()}
    columns |= {name: _alike(arrow, word, size) for name, word in price.told.items()}
    asked = {name: None if limit is None else np.full(size, limit) for name, limit in limits.told.items()}
    numbers = {**rows.values, **asked, **rows.found, **price.columns(rows.found), **limits.met(rows.found, size)}
    words, told = (TRAINED_WORDS, TRAINED_NUMBERS) if part.trains else ((), ())
    columns |= {name: _alike(arrow, None, size) for name in words if name not in columns}
    order = [*WORDS[:-1], *words, *PRICED, *NUMBERS, *told, *TARGETS, *part.keep, *MET, WORDS[-1]]
    columns |= {name: _column(arrow, name, numbers.get(name), size) for name in order if name not in columns}
    return arrow.table({name: columns[name] for name in order})


def _alike(arrow: Any, word: str | None, count: int) -> Any:
    """The same text in all rows."""
    return _words(arrow, np.full(count, -1 if word is None else 0, np.int32), [] if word is None else [word])


def _words(arrow: Any, codes: Any, words: Iterable[str]) -> Any:
    """Text, of each row the number of its word, as a dictionary."""
    return arrow.DictionaryArray.from_arrays(arrow.array(codes, mask=codes < 0), arrow.array(words, arrow.string()))


def _column(arrow: Any, name: str, values: Any, count: int) -> Any:
    if name == "bound_by":
        return _words(arrow, np.full(count, -1, np.int32) if values is None else values, PARTS)
    kind = arrow.bool_() if name in TRUTHS else arrow.int64() if name in WHOLE else arrow.float64()
    if values is None:
        return arrow.nulls(count, kind)
    nothing = np.isnan(values)
    plain = np.where(nothing, 0.0, values)
    return arrow.array(plain if kind == arrow.float64() else plain.astype(bool if name in TRUTHS else np.int64), kind,
                       mask=nothing)  # fmt: skip


def _take(lock: IO[str]) -> None:
    """Lock a file until it is closed, or its process ends in whatever way. Raises OSError where another has it."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, made if it is not there, for one sweep at a time. Raises SpecError where another is at work in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a")
    except OSError as failure:
        msg = f"{folder}: cannot be written: {failure.strerror}"
        raise SpecError(msg) from None
    with lock:
        try:
            _take(lock)
        except OSError:
            msg = f"{folder}: another sweep is at work in it; wait for its end, or name another folder"
            raise SpecError(msg) from None
        yield


def write_manifest(folder: Path, study: Study, named: Mapping[str, Part], refused: Mapping[str, int]) -> None:
    """What a finished sweep consists of: its study, and each part with its rows and how many are refused."""
    parts = [
        {"name": name, **{key: value for key, value in asdict(part).items() if key not in ("axes", "keep")},
         "rows": part.points, "refused": refused[name]}
        for name, part in named.items()
    ]  # fmt: skip
    told = {**versions(), "study": study.model_dump(mode="json"), "parts": parts}
    with atomic_writer(folder / MANIFEST) as file:
        file.write(json.dumps(told, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a finished sweep consists of. Raises UsageError for a folder that has none, SpecError for a broken one."""
    path = folder / MANIFEST
    if not path.is_file():
        msg = f"{folder}: no finished sweep; roofline sweep ... -o {folder} makes one, and goes on with one"
        raise UsageError(msg)
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("parts"), list):
        msg = f"{path}: no manifest of a sweep; run the sweep again, which keeps what is whole"
        raise SpecError(msg)
    return told
