"""What a correction is: constants with unit and prior, a formula on plain numbers, its evidence, its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, TypeVar

from roofline.calibration.fields import Seconds, Share
from roofline.classes import frozen
from roofline.errors import shown
from roofline.files.fields import Field, Info, hint_of
from roofline.files.readers import Reader, UnreadError
from roofline.hardware.fields import Bytes, BytesPerCycle
from roofline.units import Dimension


@frozen
class Unit:
    """What a constant is counted in; with a ``dimension``, a file writes it as a quantity such as 2.48 us."""

    name: str
    dimension: Dimension | None = None


@frozen
class Prior:
    """What is thought of a positive constant before any row: its median, and the deviation of its logarithm.

    ``most`` is what it cannot exceed.
    """

    median: float
    sigma: float
    most: float = float("inf")


Count = Annotated[float, Field(gt=0, le=10**9, strict=False)]
Tokens = Annotated[float, Field(gt=0, le=10_000, strict=False), Unit("tokens")]
Elements = Annotated[Count, Unit("elements")]
Columns = Annotated[Count, Unit("columns")]
Rows = Annotated[Count, Unit("rows")]
OfTile = Annotated[float, Field(ge=0, le=100, strict=False), Unit("x tile")]
OfPeak = Annotated[float, Field(gt=0, le=100, strict=False), Unit("x peak")]
OfCache = Annotated[float, Field(gt=0, le=1, strict=False), Unit("x cache")]
OfTraffic = Annotated[float, Field(ge=0, le=100, strict=False), Unit("x traffic")]
OfBandwidth = Annotated[float, Field(gt=0, le=100, strict=False), Unit("x bandwidth")]
ShareOfBandwidth = Annotated[Share, Unit("x bandwidth")]
Time = Annotated[Seconds, Unit("s", "time_s")]
Size = Annotated[Bytes, Unit("B", "bytes")]
Width = Annotated[BytesPerCycle, Unit("B/cycle", "bytes_per_cycle")]


@frozen
class Constant:
    """One number of a correction: its field, its unit, what a fit starts from."""

    field: str
    unit: Unit
    prior: Prior


@frozen
class Correction:
    """A correction of the plain time of an operator; each is a frozen dataclass of its constants.

    Its first line names it in the field's words, its methods are the formula on plain numbers, with a doctest.
    ``source``: what shows that it is real, and what it earned. ``explained``: how ``--explain`` words it, with the
    constants in braces. To which operator and term it applies stands in ``roofline/timing/kernels``.
    """

    source: ClassVar[str]
    explained: ClassVar[str]

    def written(self) -> Any:
        """As a calibration's file has it: a number or quantity where there is one constant, else one for each name."""
        values = {each.field: _written(getattr(self, each.field), each.unit) for each in constants_of(type(self))}
        return next(iter(values.values())) if len(values) == 1 else values

    @classmethod
    def read_by(cls, reader_of: Callable[[Any], Reader]) -> Reader:
        """How a file is read, see :meth:`written`."""
        readers: dict[str, Reader] = {}

        def read(given: Any, info: Info) -> Correction:
            if isinstance(given, cls):
                return given
            if not readers:  # few of all corrections stand in a file
                readers.update({name: reader_of(hint) for name, hint in _hints(cls).items()})
            values = {next(iter(readers)): given} if len(readers) == 1 else given
            if type(values) is not dict or values.keys() != readers.keys():
                raise UnreadError
            return cls(**{name: reader(values[name], info) for name, reader in readers.items()})

        return read

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """The same by pydantic. Raises ValueError where constants are missing or unknown."""
        from pydantic_core import core_schema  # noqa: PLC0415  (costs start-up only where pydantic is asked)

        schemas = {name: handler.generate_schema(hint) for name, hint in _hints(cls).items()}
        if len(schemas) == 1:
            (alone,) = schemas.values()
            return core_schema.no_info_wrap_validator_function(_reader(cls, cls), alone)
        several = core_schema.typed_dict_schema({n: core_schema.typed_dict_field(s) for n, s in schemas.items()})
        reader = _reader(cls, lambda values: cls(**values), list(schemas))
        return core_schema.no_info_wrap_validator_function(reader, several)


Kind = TypeVar("Kind", bound=Correction)


def constants_of(correction: type[Correction]) -> tuple[Constant, ...]:
    """The constants of a correction, in order. Raises TypeError where a field has no Unit or no Prior.

    >>> from roofline.calibration.corrections.attention import KeyBlock
    >>> [(each.field, each.unit.name, each.prior.median) for each in constants_of(KeyBlock)]
    [('tokens', 'tokens', 256.0)]
    """
    found = []
    for name, hint in _hints(correction).items():
        stated = getattr(hint, "__metadata__", ())
        units = [each for each in stated if isinstance(each, Unit)]
        priors = [each for each in stated if isinstance(each, Prior)]
        if len(units) != 1 or len(priors) != 1:
            msg = f"{correction.__name__}.{name}: expected one Unit and one Prior in its annotation, given {stated}"
            raise TypeError(msg)
        found.append(Constant(name, units[0], priors[0]))
    return tuple(found)


def _hints(correction: type[Correction]) -> Mapping[str, Any]:
    """The annotation of each field, with all that is stated in it."""
    return {each.name: hint_of(correction, each.name) for each in fields(correction)}


def _reader(
    correction: type[Kind], make: Callable[[Any], Kind], names: list[str] | None = None
) -> Callable[[Any, Callable[[Any], Any]], Kind]:
    def read(given: Any, inner: Callable[[Any], Any]) -> Kind:
        if isinstance(given, correction):
            return given
        if names and not (isinstance(given, Mapping) and set(given) == set(names)):
            keys = ", ".join(str(key) for key in given) if isinstance(given, Mapping) and given else shown(given)
            msg = f"given {keys}, expected a mapping of {', '.join(names)}"
            raise ValueError(msg)
        return make(inner(given))

    return read


def _written(value: float, unit: Unit) -> float | str:
    if unit.dimension == "time_s":
        return f"{value * 1e6:.3g} us"
    return f"{value:.3g} {unit.name}" if unit.dimension else value
