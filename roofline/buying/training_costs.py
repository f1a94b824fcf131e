"""What training costs: steps on hardware side by side, the days and the money of a run, the fewest devices for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any, Unpack

from roofline.buying.economics import HourlyCost, Ownership
from roofline.buying.prices import Offer, own_prices
from roofline.buying.terms import Terms, as_sold, hourly_cost
from roofline.classes import frozen
from roofline.errors import RooflineError, UsageError, WorkloadError
from roofline.hardware.spec import HardwareSpec
from roofline.models.model import Model
from roofline.number import Number
from roofline.options.edits import edits_by_room
from roofline.options.keywords import takes
from roofline.options.values import read_tokens
from roofline.options.verbs.training import TrainOptions
from roofline.prediction.fleet import fleet_of
from roofline.serving.hardware_choice import Hardware, names_of, read_hardware
from roofline.timing.energy import busy_power
from roofline.training.question import Startable, TrainingQuestion, read_training
from roofline.training.remedies import on_devices
from roofline.training.step import TrainingStep
from roofline.version import versions

DAY, _HOUR = 86400.0, 3600.0
_MOST_DOUBLINGS = 20


@frozen
class Run:
    """A whole run on hardware: how long, device-hours, and money where there is a price, else ``problem`` says why.

    ``low`` and ``high`` are factors of the time.
    """

    tokens: float
    seconds: float
    low: float
    high: float
    devices: int
    offer: Offer | None = None
    usd: float | None = None
    problem: str = ""

    @property
    def days(self) -> float:
        """How long it takes. [days]"""
        return self.seconds / DAY

    @property
    def device_hours(self) -> float:
        """Hours of all devices."""
        return self.seconds / _HOUR * self.devices

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON."""
        return {
            "tokens": self.tokens, "days": self.days, "days_low": self.days * self.low,
            "days_high": self.days * self.high, "device_hours": self.device_hours, "usd": self.usd,
            "usd_per_million_tokens": None if self.usd is None else self.usd / self.tokens * 1e6,
            "price": self.offer.words() if self.offer else None, "problem": self.problem or None,
        }  # fmt: skip


@frozen
class TrainingRow:
    """Training on one hardware: a step, and the run that was asked for; or why there is none."""

    hardware: str
    step: TrainingStep | None
    run: Run | None = None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON."""
        found: dict[str, Any] = {"hardware": self.hardware, "problem": self.problem or None}
        found |= {"step": self.step.to_dict()} if self.step else {}
        return found | ({"run": self.run.to_dict()} if self.run else {})


@frozen
class Training:
    """Training on hardware side by side, what fits first, by money, else by time.

    ``days`` is the target of a run, None where there is none.
    """

    model: Model
    rows: tuple[TrainingRow, ...]
    days: float | None = None

    @property
    def step(self) -> TrainingStep:
        """The step of the first row. Raises WorkloadError where it has none."""
        if self.rows[0].step is None:
            raise WorkloadError(self.rows[0].problem)
        return self.rows[0].step

    @property
    def qualifies(self) -> bool:
        """Whether a run meets the days that were asked for, where any were."""
        return self.days is None or any(row.run and row.run.days <= self.days for row in self.rows)

    def _repr_html_(self) -> str:
        from roofline.reports.training import training_html  # noqa: PLC0415  (a floor up: only a notebook asks for it)

        return training_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``train``."""
        return {
            **versions(),
            "model": self.model.name,
            "parameters": int(self.model.parameters),
            "days": self.days,
            "rows": [row.to_dict() for row in self.rows],
        }


@takes(TrainOptions)
def train(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    **options: Unpack[TrainOptions],
) -> Training:
    """A training step of ``model`` on each ``hardware``: whether it fits, its time with a band, the best choice.

    ``hardware``: names and counts such as 64xh100, with commas or as a list. What is left open of layout,
    ``microbatch``, ``recompute`` and ``zero`` is searched. ``sequence`` and ``batch_tokens`` are tokens, ``batch`` is
    sequences; ``tokens`` of a whole run give days and money, with ``days`` the fewest devices. What does not fit has no
    time. Raises RooflineError, in one line, for whatever is refused.

    >>> step = train("llama-3.1-8b", "64xh100").step
    >>> step.fits, step.devices, step.question.batch
    (True, 64, 1024)
    """
    return _train_on(model, names_of(hardware), options)


@takes(TrainOptions)
def train_to_launch(
    model: str | Path | Mapping[str, Any] | Model,
    hardware: str | HardwareSpec | Sequence[str | HardwareSpec],
    program: str,
    **options: Unpack[TrainOptions],
) -> Training:
    """A training step as ``train`` has it, the best of what ``program`` can be started with: torchtitan or megatron.

    >>> step = train_to_launch("llama-3.1-8b", "8xh100", "torchtitan", sequence=8192, batch=64).step
    >>> step.choice.sharding.zero, step.question.recipe.name
    (3, 'bf16-fsdp')
    """
    from roofline.training.launching.launching import startable, usual_under  # noqa: PLC0415  (few are launched)

    return _train_on(model, names_of(hardware), usual_under(program, options), startable(program))


@takes(TrainOptions)
def train_launched(configuration: str, hardware: str | HardwareSpec, **options: Unpack[TrainOptions]) -> Training:
    """The training step that a configuration starts: a FILE.toml of torchtitan, or arguments of Megatron-LM.

    ``options`` are what else ``train`` takes that the configuration does not state. Raises UsageError for a field that
    changes times or memory and is not modelled.

    >>> arguments = "--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --vocab-size 50257 --bf16"
    >>> arguments += " --max-position-embeddings 1024 --seq-length 1024 --micro-batch-size 4 --global-batch-size 32"
    >>> train_launched(arguments, "8xh100").step.choice.layout.dp
    8
    """
    from roofline.training.launching.launching import options_under  # noqa: PLC0415  (likewise)

    names = names_of(hardware)
    if len(names) > 1:
        msg = "from: a configuration is for as many devices as it has; give one --hardware"
        raise UsageError(msg)
    model, asked = options_under(configuration, fleet_of(names[0]).count, options)
    return _train_on(model, names, asked)


def _train_on(
    model: str | Path | Mapping[str, Any] | Model,
    names: Sequence[str | HardwareSpec],
    asked: TrainOptions,
    startable: Startable | None = None,
) -> Training:
    """Training on each of several hardware, as it is ``startable`` where that is given.

    Raises RooflineError for what is refused, of one hardware alone.
    """
    _check(asked)
    each = [hardware for name in names for hardware in _read(name, asked)]
    rows, network = [], None
    for name, hardware in each:
        try:
            question = replace(read_training(model, name, asked), startable=startable)
            if startable is not None:
                startable.check(question.request.model)
            network = question.request.model
            rows.append(_row(question, hardware, asked))
        except RooflineError as failure:
            if len(each) == 1:
                raise
            rows.append(TrainingRow(hardware.name, None, problem=str(failure)))
    if network is None or not any(row.step for row in rows):
        raise WorkloadError("; ".join(f"{row.hardware}: {row.problem}" for row in rows))
    return Training(network, tuple(sorted(rows, key=_order)), asked["days"])


def _read(name: str | HardwareSpec, asked: TrainOptions) -> Iterator[tuple[Any, Hardware]]:
    edits = edits_by_room(asked["set"] or {})["hardware"]
    found = read_hardware([name], edits, way="purchase" if asked["price_kind"] == "purchase" else "rent")
    yield from ((each.device if name == "all" else name, each) for each in found)


def _order(row: TrainingRow) -> tuple[Any, ...]:
    """What fits, then what has a price, by that; then by the time of a step."""
    priced = row.run.usd if row.run and row.run.usd is not None else None
    fits = row.step is not None and row.step.fits is not False
    seconds = float(row.step.timing.time_s) if row.step and fits else 0.0
    return (not fits, priced is None, priced or 0.0, seconds, row.hardware)


def _row(question: TrainingQuestion, hardware: Hardware, asked: TrainOptions) -> TrainingRow:
    if asked["tokens"] is None:
        return TrainingRow(hardware.name, TrainingStep(question))
    tokens = read_tokens("tokens", asked["tokens"])
    step = TrainingStep(question) if asked["days"] is None else _fewest(question, tokens, asked["days"])
    name = hardware.name if asked["days"] is None else f"{step.devices}x{hardware.device.name}"
    if step.fits is False:
        return TrainingRow(name, step)
    return TrainingRow(name, step, _run(step, hardware, tokens, asked))


def _run(step: TrainingStep, hardware: Hardware, tokens: float, asked: TrainOptions) -> Run:
    timing = step.timing
    seconds = tokens / step.tokens_per_s
    low, high = (float(end) / float(timing.time_s) for end in (timing.low_s, timing.high_s))
    run = Run(tokens, seconds, low, high, step.devices)
    watts = busy_power(hardware.device.tdp or 0.0, step.mfu, 0.0)
    terms = Terms(asked["price_kind"], own_prices(asked), Ownership.of(asked))
    priced = hourly_cost(as_sold([hardware], terms)[0], step.devices, watts, terms)
    if isinstance(priced, str):
        return replace(run, problem=priced)
    offer, hourly = priced
    return replace(run, offer=offer, usd=float(run_usd(seconds, hourly)))


def run_usd(seconds: Number, hourly: HourlyCost) -> Number:
    """Money for so long under load. [USD]

    >>> run_usd(7200.0, HourlyCost(20.0))
    40.0
    """
    return seconds / _HOUR * hourly.at(1.0)


def _fewest(question: TrainingQuestion, tokens: float, days: float) -> TrainingStep:
    """The fewest devices, of what is named a whole number of times, that train so many tokens in so many days.

    The number is doubled until it is enough; between the last two it is halved, of numbers that any layout divides. The
    last tried where none is enough.
    """
    unit = question.request.fleet.count
    found, many = TrainingStep(question), 1
    for doubled in range(_start(found, tokens, days), _MOST_DOUBLINGS):
        many = 2**doubled
        tried = _tried(question, unit * many)
        found = tried or found
        if tried and _within(tried, tokens, days):
            break
        if unit * many >= question.batch:
            return found
    few = many // 2
    while many - few > 1:
        middle = (few + many) // 2
        divided = ((count, step) for count in range(middle, many) if (step := _tried(question, unit * count)))
        count, step = next(divided, (middle, None))
        if step is None:
            many = middle
        elif _within(step, tokens, days):
            found, many = step, count
        else:
            few = count
    return found


def _start(step: TrainingStep, tokens: float, days: float) -> int:
    """How often the number may be doubled at once: so that even the peak of all devices would be too slow."""
    needed = step.flops / step.question.tokens * tokens / (days * DAY) / step.peak_flops_per_s
    return max(0, int(log2(max(1.0, needed))))


def _tried(question: TrainingQuestion, count: int) -> TrainingStep | None:
    try:
        return TrainingStep(on_devices(question, count))
    except WorkloadError:
        return None


def _within(step: TrainingStep, tokens: float, days: float) -> bool:
    return step.fits is not False and tokens / step.tokens_per_s <= days * DAY


def _check(asked: TrainOptions) -> None:
    tokens = None if asked["tokens"] is None else read_tokens("tokens", asked["tokens"])
    if tokens is not None and not 1 <= tokens <= 1e18:
        msg = f"tokens {tokens:g}: expected 1 to 1e18 tokens of training"
        raise UsageError(msg)
    if asked["days"] is None:
        return
    if tokens is None:
        msg = "days is a target of a whole run; give its --tokens too, such as 15T"
        raise UsageError(msg)
    if not 0 < asked["days"] < 1e6:
        msg = f"days {asked['days']:g}: expected a time above 0 such as 30"
        raise UsageError(msg)
