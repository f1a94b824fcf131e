"""A calibration's file: the constants of a class or a device, by kind of operator, kernel library and dtype."""

from __future__ import annotations

from typing import Annotated

from roofline.calibration.corrections.registry import Corrections
from roofline.calibration.fields import Band, Boost, Data, JoulesPerFlop, Seconds, Share, Sharpness
from roofline.calibration.launch_latency import Latency
from roofline.files.fields import Field
from roofline.hardware.fields import Hertz


class KindConstants(Corrections):
    """Constants of one kind of operator, and its corrections; what is absent is taken from the file's defaults.

    ``library`` says whose kernels these are; ``libraries`` has those of others by name, ``dtypes`` those of another
    dtype. Each is whole: what one lacks is the file's default as well, not what stands around it. A library without a
    latency differs in its ``dtypes`` alone. ``inherited``: they were fitted to timings on a relative, none on this one.
    """

    library: str | None = None
    inherited: bool = False
    libraries: dict[str, KindConstants] = {}
    dtypes: dict[str, KindConstants] = {}

    compute: Share | None = None
    memory: Share | None = None
    vector: Share | None = None
    special: Share | None = None
    latency: Latency | None = None
    p: Sharpness | None = None
    band: Band | None = None


class CollectiveConstants(Data):
    """Constants of one collective: latency of the first step and of each further device, share of the link, corner."""

    first: Seconds
    each: Seconds
    bandwidth: Share
    sharpness: Annotated[float, Field(ge=0.2, le=10, strict=False)]
    band: Band

    def scaled(self, factor: float) -> CollectiveConstants:
        """The same with all latencies times ``factor``."""
        return self.model_copy(update={"first": self.first * factor, "each": self.each * factor})


class Inherited(Data):
    """Whose kinds a class without timings takes, and by how much their bands are widened on either side.

    ``in_cycles``: a vendor's line shares its cycles; elsewhere times are those at the relative's slowest clock.
    """

    name: str
    in_cycles: bool = False
    widened: Annotated[float, Field(ge=1, le=10, strict=False)]


class HalfRate(Data):
    """What cards reach whose matrix units accumulate in fp32 at half their rate: what feeds them has time to spare.

    ``compute``: the share of the peak that contractions of floats reach, above 1 where cards run faster than their
    peak is rated at. ``boost``: the highest clock that they are seen at, as a factor of that one: the bound is at it.
    """

    compute: Share
    boost: Boost


class Calibration(Data):
    """Constants of a class of devices: shares of the peaks reached, latency, the sharpness p of the corner.

    ``dtypes`` has the share of the peak that contractions in a dtype reach, where it is another; ``flop_energy`` lowers
    it where the power limit does (``provenance.powered_shares``); ``half_rate`` is of cards that compute at half their
    rate, whose bound is at ``boost`` times the clock of their peaks. ``clock`` is that of devices that state none, for
    times in cycles: the slowest of those measured. Constants of one device name it in ``extends``. ``kinds`` has the
    kinds of operators (attention is attention_prefill or attention_decode) and, for operators with kernels of their
    own, names such as rotary, which go first. With ``measured_dtypes``, other dtypes take the constants of the class.
    ``unfused`` constants are those of single kernels: an eager operator takes as long as the kernels that torch runs
    for it (``eager_kernels.py``). ``probe`` is what a small matmul took when the device was calibrated, by which a
    later measurement knows a slower device.
    """

    name: str
    extends: str | None = None
    title: str
    p: Sharpness
    compute: Share
    memory: Share
    vector: Share
    special: Share
    latency: Latency
    clock: Hertz | None = None
    flop_energy: JoulesPerFlop | None = None
    half_rate: HalfRate | None = None
    boost: Boost = 1.0
    dtypes: dict[str, Share] = {}
    measured_dtypes: list[str] = []
    unfused: bool = False
    probe: Seconds | None = None
    kinds: dict[str, KindConstants] = {}
    inherits: Inherited | None = None
    collectives: dict[str, CollectiveConstants] = {}
    band: Band
    source: str


def with_kinds_of(data: Calibration, relative: Calibration) -> Calibration:
    """A class with the kinds of its relative that it has none of: no share higher, no latency lower, no band narrower.

    A share is that of the relative times what the class reaches of it in general, where that is less. Kernels of
    attention are not inherited, which are compiled for a generation: it takes the constants of any attention. Nor are
    tiles of matmuls. A kind that states other libraries alone takes the rest from its relative.
    """
    assert data.inherits is not None
    widened = data.inherits.widened
    slower = min(1.0, data.compute / relative.compute), min(1.0, data.memory / relative.memory)
    kinds = {
        kind: _inherited(own, relative, slower, widened) for kind, own in relative.kinds.items() if own.library is None
    }
    own = {kind: _with_libraries(kinds.get(kind), stated) for kind, stated in data.kinds.items()}
    return data.model_copy(update={"kinds": kinds | own})


def _with_libraries(inherited: KindConstants | None, stated: KindConstants) -> KindConstants:
    alone = stated == KindConstants(libraries=stated.libraries)
    if inherited is None or not alone:
        return stated
    return inherited.model_copy(update={"libraries": inherited.libraries | stated.libraries})


def _inherited(own: KindConstants, relative: Calibration, slower: tuple[float, float], widened: float) -> KindConstants:
    compute, memory = slower
    band, told = own.band or relative.band, f"inherited from {relative.name}, {widened} x wider either way"
    changes = {
        "compute": own.compute and own.compute * compute,
        "memory": own.memory and own.memory * memory,
        "band": band.widened(widened, f"{told}: {band.evidence}"),
    }
    apart = {"tiles": None, "split_k": None, "least_tile": None}  # those of the relative's matrix unit
    inner = {
        field: {name: _inherited(each, relative, slower, widened) for name, each in getattr(own, field).items()}
        for field in ("libraries", "dtypes")
    }
    return own.model_copy(update=changes | inner | apart)
