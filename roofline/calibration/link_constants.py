"""What software reaches of links, by kind, device and library: :func:`load_links` reads ``calibrations/links.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from roofline.calibration.fields import Band, Data, Seconds, Share
from roofline.errors import UnitError
from roofline.files.fields import BeforeValidator, Field
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml
from roofline.number import product
from roofline.units import parse_quantity

SAME_LINKS = 1.02
"""By how much the bands of a generation are wider, either way, on another device of it with the same links.

Left out in turn, H100 and H200 ask for 1.00 and 1.01 to hold nine of ten rows (``fit_links.py --proportion``).
"""
OTHER_LINKS = 1.12
"""The same of any other relatives: B200 and A100 ask for 1.02 and 1.06, the one timed row of a GB200 for 1.11."""
_ALONE = 1.3
"""The same where one device alone was measured, so that none could be left out: assumed."""
_BY_HOST = "-eager"
"""How libraries are named whose kernels the host launches one by one: their latency is the host's."""


def _bytes(text: object) -> float:
    try:
        return parse_quantity(text, "bytes")
    except UnitError as failure:
        raise ValueError(str(failure)) from None


class RingConstants(Data):
    """Constants of collectives in n steps: ``first`` until the first step, ``each`` for every further one. [s]

    bandwidth: share of what the link is rated at; own_copy: the same for what a device keeps of its message, which it
    copies; in_switch: for what a switch adds up; contention: n devices have (2/n)^contention of the links, where all
    go through one memory; sharpness: of the corner between latency and bytes.
    """

    first: Seconds
    each: Seconds
    bandwidth: Share
    own_copy: Annotated[float, Field(gt=0, strict=False)] | None = None
    in_switch: Share | None = None
    contention: Annotated[float, Field(ge=0, le=4, strict=False)] = 0.0
    sharpness: Annotated[float, Field(ge=0.2, le=10, strict=False)]
    band: Band


class ShotConstants(Data):
    """Constants of an all-reduce that sends everything to everyone at once, or in two steps, or hands over to a ring.

    first, each: as of a ring [s]; shot: share of the links where everyone sends at once; bandwidth: in the ring.
    """

    first: Seconds
    each: Seconds
    shot: Share
    bandwidth: Share
    band: Band


class LinkConstants(Data):
    """What NCCL reaches of one kind of link, in its rings and its all-to-all, and all-reduces of other libraries.

    Without ``all_to_all`` that is a ring's. ``generation``: of the devices that were measured, ``joined``: how many of
    them at which rate; ``whose`` constants these are, where they are not the device's own.
    """

    ring: RingConstants
    all_to_all: RingConstants | None = None
    all_reduce: dict[str, ShotConstants | RingConstants] = {}
    generation: str = ""
    joined: str = ""
    whose: str = ""

    def served(self, library: str) -> ShotConstants | RingConstants | None:
        """The all-reduce of a library; None where NCCL's runs."""
        return self.all_reduce.get(library)

    def bands(self, library: str) -> list[Band]:
        """The bands of all that may run."""
        return [own.band for own in (self.ring, self.all_to_all, self.served(library)) if own is not None]

    def scaled(self, factor: float) -> LinkConstants:
        """The same with all latencies times ``factor``."""
        return self.model_copy(update={
            "ring": _later(self.ring, factor),
            "all_to_all": self.all_to_all and _later(self.all_to_all, factor),
            "all_reduce": {name: _later(own, factor) for name, own in self.all_reduce.items()},
        })  # fmt: skip


class Links(Data):
    """Constants by kind of link, and by kind and device where they were measured.

    ``served_bytes`` and ``served_devices``: the largest message and group that an engine reduces by its own kernel.
    """

    name: str
    source: str
    served_bytes: Annotated[float, BeforeValidator(_bytes)]
    served_devices: Annotated[int, Field(ge=2)]
    measured: dict[str, dict[str, LinkConstants]]
    links: dict[str, LinkConstants]

    def of(self, kind: str, device: str, generation: str, joined: str, *, without: str = "") -> LinkConstants:
        """What is reached of links of a kind: as measured on the device, else on its relatives.

        Those are the devices of its generation, or all that have such links: their slowest latency counts, their mean
        share and a wider band. A library that was timed on some of them alone is on the others as slow, against it, as
        all that was timed on both. ``without`` is a device that is not looked at.
        """
        timed = {name: own for name, own in self.measured.get(kind, {}).items() if name != without}
        if not timed:
            return self.links[kind]
        known = {name: _in_proportion(own, timed.values()) for name, own in timed.items()}
        alike = {name: one for name, one in known.items() if one.generation == generation}
        same = alike and all(one.joined == joined for one in alike.values())
        relatives = _inherited(alike or known, known, SAME_LINKS if same else OTHER_LINKS)
        own = known.get(device, relatives)
        return own.model_copy(update={"all_reduce": {**own.all_reduce, **_lacking(own, relatives)}})


def _inherited(near: Mapping[str, LinkConstants], known: Mapping[str, LinkConstants], wider: float) -> LinkConstants:
    """What relatives have in common; of a library that none of them has, what all that are known have."""
    names = dict.fromkeys(name for own in (*near.values(), *known.values()) for name in own.all_reduce)
    shots = {name: _with(name, near.values()) or _with(name, known.values()) for name in names}
    wider = _ALONE if len(known) == 1 else wider
    exchanges = [own.all_to_all for own in near.values() if own.all_to_all is not None]
    return LinkConstants.model_construct(
        ring=_slowest([own.ring for own in near.values()], wider),
        all_to_all=_slowest(exchanges, wider) if exchanges else None,
        all_reduce={name: _slowest(found, wider) for name, found in shots.items()},
        generation="",
        whose=f"as on {' and '.join(near)}",
    )


def _in_proportion(own: LinkConstants, timed: Iterable[LinkConstants]) -> LinkConstants:
    """A device's constants, and of libraries that only others were timed with theirs, by how its latencies are to them.

    Across generations (A100, H100, H200, B200: 14 pairs of devices and libraries) that is 4 to 16 % off in the median,
    where latencies as they are give 9 to 55 % (benchmarks/fit_links.py --data DIR --proportion).
    """
    found: dict[str, list[ShotConstants | RingConstants]] = {}
    for other in timed:
        for name in other.all_reduce.keys() - own.all_reduce.keys():
            if not name.endswith(_BY_HOST):
                found.setdefault(name, []).append(_later(other.all_reduce[name], latency_ratio(own, other)))
    shots = {name: _slowest(each, OTHER_LINKS) for name, each in found.items()}
    return own.model_copy(update={"all_reduce": own.all_reduce | shots})


def latency_ratio(own: LinkConstants, other: LinkConstants, without: str = "") -> float:
    """How many times as long as on another device kernels take to start, the mean over those that were timed on both.

    ``without`` is a library that is not looked at.
    """
    first, second = _starts(own), _starts(other)
    ratios = [first[name] / second[name] for name in first.keys() & second.keys() - {without}]
    return float(product(ratios) ** (1 / len(ratios)))


def _starts(own: LinkConstants) -> dict[str, float]:
    """The time until the first step of each kernel that a graph launches. [s]"""
    nccl = {"ring": own.ring, "all_to_all": own.all_to_all}
    every = {**nccl, **{name: found for name, found in own.all_reduce.items() if not name.endswith(_BY_HOST)}}
    return {name: found.first for name, found in every.items() if found is not None}


def _with(library: str, links: Iterable[LinkConstants]) -> list[ShotConstants | RingConstants]:
    return [own.all_reduce[library] for own in links if library in own.all_reduce]


def _lacking(own: LinkConstants, relatives: LinkConstants) -> dict[str, ShotConstants | RingConstants]:
    return {name: found for name, found in relatives.all_reduce.items() if name not in own.all_reduce}


def _slowest(relatives: Sequence[Any], wider: float) -> Any:
    """The longest latency, the mean share, the widest band and wider."""

    def mean(name: str) -> float | None:
        values = [value for own in relatives if (value := getattr(own, name)) is not None]
        return float(product(values)) ** (1 / len(values)) if values else None

    first = relatives[0]
    bands = [own.band for own in relatives]
    shares = {name: mean(name) for name in first.stated.keys() - {"first", "each", "contention", "band"}}
    return first.model_copy(update={
        **shares,
        "first": max(own.first for own in relatives),
        "each": max(own.each for own in relatives),
        "band": Band(
            low=min(band.low for band in bands) / wider,
            high=max(band.high for band in bands) * wider,
            evidence=f"inherited, {wider} x wider either way: {bands[0].evidence}",
        ),
    })  # fmt: skip


def _later(own: Any, factor: float) -> Any:
    return own.model_copy(update={"first": own.first * factor, "each": own.each * factor})


@lru_cache(maxsize=1)
def load_links() -> Links:
    """The shipped constants. Raises SpecError: field, what was given, what was expected."""
    path = data_folder("calibrations") / "links.yaml"
    return validated(Links, read_yaml(path), path.name)
