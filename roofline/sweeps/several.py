"""``predict`` as it is called from Python: one point, or several of them and several devices, each with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from roofline.classes import frozen
from roofline.errors import UsageError, shown
from roofline.hardware.loading import load_hardware
from roofline.number import Grid
from roofline.options.groups import Degrees
from roofline.options.keywords import part, takes
from roofline.options.verbs.predicting import PredictOptions, RequestOptions, SeveralOptions
from roofline.parallelism.layout import Layout
from roofline.prediction import predict as one
from roofline.prediction.fleet import fleet_of, names_several
from roofline.prediction.predict import Prediction
from roofline.prediction.recording import AnyModel
from roofline.prediction.request import Hardware, Request, read_request
from roofline.program.phases import Phase
from roofline.program.workload import MAX_LENGTH
from roofline.sweeps.answers import rows_answer
from roofline.sweeps.columns import KEPT, MONEY, NUMBERS, TRUTHS, WHOLE, WORDS
from roofline.sweeps.evaluation import PartRows, Told
from roofline.sweeps.parts import layouts_at
from roofline.tape.tape import Tape
from roofline.timing.timing import PARTS

AXES = ("batch", "prompt", "generate", "context")
"""The keywords that take several numbers."""

MOST_POINTS = 2_000_000
"""More are a sweep's, which writes them."""


@frozen
class Predictions:
    """What a model costs at several points: of each axis that has several values, an axis of every array.

    ``axes``: their values, hardware first. ``columns``: arrays by name, nan or None where a point is refused, and why
    in ``refused``; those of ``roofline sweep``. ``notes``: what the reader should know.
    """

    model: str
    axes: Mapping[str, tuple[Any, ...]]
    columns: Mapping[str, NDArray[Any]]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column by its name."""
        return self.columns[name]

    @property
    def words(self) -> str:
        """What was asked, in a line."""
        return f"{self.model} by {' and '.join(self.axes)}"

    def rows(self) -> list[dict[str, Any]]:
        """A row of each point: plain numbers, None where there is nothing."""

        def plain(name: str, values: NDArray[Any]) -> list[Any]:
            if values.dtype == object:
                return list(values)
            kind = bool if name in TRUTHS else int if name in WHOLE else float
            return [None if np.isnan(value) else kind(value) for value in values]

        columns = {name: plain(name, values.ravel()) for name, values in self.columns.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """The JSON: a row of each point."""
        return rows_answer(self.words, self.rows(), self.notes)


@overload
def predict(  # type: ignore[overload-overlap]  # a number is one point, which has an answer of its own
    model: AnyModel, hardware: Hardware, **options: Unpack[PredictOptions]
) -> Prediction: ...


@overload
def predict(
    model: AnyModel, hardware: Hardware | Sequence[Hardware], **options: Unpack[SeveralOptions]
) -> Predictions: ...


@takes(PredictOptions, several=AXES)
def predict(model: AnyModel, hardware: Any, **options: Any) -> Any:
    """Predict what ``model`` costs on ``hardware``: a device, ``8xh100``, or a system.

    Lengths are in tokens. What is left out takes the defaults of the command line: a prompt of 2,048 tokens (512 for
    encoders), 256 generated tokens, the first of bf16, fp16, fp32 that the device has; the engine that is usual there.
    ``engine`` names one, or the YAML file of one; what it states of launches, merges, cache and memory holds.
    ``set`` edits single fields by path, ``{"hardware.memory.hbm.bandwidth": "6 TB/s", "model.num_hidden_layers": 16,
    "engine.overlap": 0.5}``; the result carries these edits. ``tp`` to ``sp`` are the degrees of parallelism, over as
    many devices as they make up; where a number of devices leaves some open, the best layout is chosen, of an equal
    part of them where the batch is too small for all. ``batch`` is that of all devices; ``reserve`` is what the runtime
    keeps of the memory, a share or "2GiB", in place of what its engine leaves.

    Where ``batch``, ``prompt``, ``generate``, ``context`` or ``hardware`` are lists, ranges or arrays, each goes with
    each, and :class:`Predictions` come back, arrays with an axis for each of them.
    Raises RooflineError, in one line, for whatever the model or the device refuses; of several points, where all are.

    >>> predict("bert-base", "h100").phases["encode"].steps
    1
    >>> found = predict("llama-3.1-8b", ["h100", "l40s"], batch=[1, 8, 64], context=4096)
    >>> found["tpot_s"].shape, bool((found["tpot_s"][0] < found["tpot_s"][1]).all())
    ((2, 3), True)
    """
    devices = several_devices(hardware)
    if devices is None and not any(_is_list(options.get(name)) for name in AXES):
        return one.predict(model, hardware, **options)
    return predict_several(model, [hardware] if devices is None else devices, devices is not None, options)


def several_devices(hardware: Any) -> list[Hardware] | None:
    """The devices of a list, or of names with commas; None for one device. Raises UsageError for an empty name."""
    if names_several(hardware):
        hardware = [name.strip() for name in hardware.split(",")]
    if not isinstance(hardware, list | tuple):
        return None
    if not hardware or not all(hardware):
        msg = f"hardware {shown(hardware)}: a name is empty; expected names such as h100,mi300x"
        raise UsageError(msg)
    return list(hardware)


def predict_several(
    model: AnyModel, devices: Sequence[Hardware], listed: bool, options: Mapping[str, Any]
) -> Predictions:
    """A row for each device and each choice of the lists among ``options``; ``listed``: devices are an axis.

    Raises RooflineError as ``predict`` does, where every point is refused.
    """
    lists = {name: _whole(name, options[name]) for name in AXES if _is_list(options[name])}
    if (size := len(devices) * prod(map(len, lists.values()))) > MOST_POINTS:
        msg = f"{size:,} points: expected at most {MOST_POINTS:,}; roofline sweep writes any number into a folder"
        raise UsageError(msg)
    for device in devices:
        if isinstance(name := fleet_of(device).device, str | Path):
            load_hardware(name)  # a name that is none is no row
    points = {name: lists.get(name) or (options[name],) for name in AXES if options[name] is not None}
    asked = [_Asked(model, device, options, tuple(points.items())) for device in devices]
    evaluated = [PartRows.of(each) for each in asked]
    examples = [_example(each, rows) for each, rows in zip(asked, evaluated, strict=True)]
    if not any(examples):
        one.predict(model, devices[0], **{**options, **{name: values[0] for name, values in points.items()}})
    named = {str(getattr(device, "name", device)): None for device in devices}
    axes: dict[str, tuple[Any, ...]] = {**({"hardware": tuple(named)} if listed else {}), **lists}
    shape = tuple([len(devices)] * listed + [len(values) for values in lists.values()])
    columns = {name: np.concatenate([_column(rows, name) for rows in evaluated]).reshape(shape)
               for name in (*WORDS[:-1], *_NUMBERS, *_KEPT, WORDS[-1])}  # fmt: skip
    found = [example for example in examples if example]
    columns["model"][...] = title = found[0].model.name
    notes = dict.fromkeys(f"{each.hardware.name}: {note}" if listed else note for each in found for note in each.notes)
    return Predictions(title, axes, columns, tuple(notes))


_NUMBERS = tuple(name for name in NUMBERS if name != "concurrency")
_KEPT = tuple(name for name in KEPT if name not in MONEY)


@frozen
class _Asked:
    """What ``predict`` is asked of one device, at the values of each axis."""

    model: AnyModel
    device: Hardware
    options: Mapping[str, Any]
    axes: tuple[tuple[str, tuple[int, ...]], ...]
    needs: tuple[str, ...] = _KEPT

    @property
    def words(self) -> dict[str, str]:
        """What columns of text say of every row."""
        return {"hardware": str(getattr(self.device, "name", self.device))}

    def request(self, **point: int) -> Request:
        """What ``predict`` is asked at a point. Raises RooflineError for what it refuses."""
        first = {name: values[0] for name, values in self.axes}
        asked = {**self.options, **first, **point}
        return read_request(self.model, self.device, **part(RequestOptions, asked))

    def layouts(self, request: Request, batches: Grid) -> dict[Layout | str, Any]:
        """For each layout, or reason why there is none, at which of these batches. Raises RooflineError for all."""
        return layouts_at(request, batches, part(Degrees, self.options))

    def recordings(self, layout: Layout, phases: tuple[Phase, ...]) -> list[Tape]:
        """None is kept."""
        return []


def _example(asked: _Asked, rows: PartRows) -> Prediction | None:
    """The prediction of the first point that is not refused."""
    places = np.flatnonzero(rows.told["refused"].codes < 0)
    if not len(places):
        return None
    point = {name: int(rows.values[name][places[0]]) for name, _ in asked.axes}
    return one.predict(asked.model, asked.device, **{**asked.options, **point})


def _column(rows: PartRows, name: str) -> NDArray[Any]:
    """A column of all points of a device: numbers, or words and None."""
    size = len(rows.values["batch"])
    if name in rows.told or name == "bound_by":
        told = rows.told.get(name) or Told(rows.found.get(name, np.full(size, -1)), dict.fromkeys(PARTS, 0))
        return np.asarray(np.array([*told.words, None], dtype=object)[told.codes])
    values = rows.values[name] if name in rows.values else rows.found.get(name, np.full(size, np.nan))
    return np.asarray(values == 1 if name == "fits" and not np.isnan(values).any() else values)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | range | np.ndarray)


def _whole(name: str, values: Any) -> tuple[int, ...]:
    """The whole numbers of a list. Raises UsageError."""
    try:
        array = np.asarray(values)
        whole = array.dtype.kind in "iu" or (array.dtype.kind == "f" and bool(np.all(array == np.floor(array))))
    except (TypeError, ValueError, OverflowError):
        array, whole = np.empty(0), False
    if not whole or array.ndim != 1 or not array.size or not 1 <= array.min() <= array.max() <= MAX_LENGTH:
        msg = f"{name} {shown(values)}: expected whole numbers from 1 to {MAX_LENGTH} along one axis"
        raise UsageError(msg)
    return tuple(map(int, array))
