"""One operator as people read it."""

from __future__ import annotations

from roofline.calibration.kernels import NO_LIBRARY
from roofline.operators.predict_op import OperatorPrediction, in_words
from roofline.program.transfers import sent_bytes
from roofline.reports.prediction import band_words, quantity
from roofline.units import format_figures


def op_text(prediction: OperatorPrediction) -> str:
    """The report of one operator, for numbers: verdict first, then the counts, then how sure and which defaults.

    >>> from roofline.operators.predict_op import predict_op
    >>> print(op_text(predict_op("matmul", "h100", m=16, k=4096, n=14336)).splitlines()[2])
    1.88 GFLOP, 118 MB, 15.9 FLOP/B; at best 35.2 us by the data sheet
    """
    sizes = " ".join(f"{name}={_size(name, size)}" for name, size in prediction.sizes.items())
    time, low, high = (quantity(t, "time_s") for t in (prediction.time_s, prediction.low_s, prediction.high_s))
    link = ("link",) if prediction.kind == "collective" else ()
    shares = {name: getattr(prediction, f"share_{name}") for name in ("compute", "memory", "latency", *link)}
    shares = {name: share for name, share in shares.items() if share or not link}
    parts = ", ".join(f"{name} {share:.0%}" for name, share in sorted(shares.items(), key=lambda s: -s[1]))
    counts = [quantity(prediction.flops, "flops")] if prediction.flops else []
    if prediction.vector_flops:
        counts.append(f"{quantity(prediction.vector_flops, 'flops')} elementwise")
    if link:
        operation, message, devices = (
            in_words(x, prediction.sizes[x]) for x in ("operation", "message_bytes", "devices")
        )
        sent = sent_bytes(prediction.form, operation, message, devices)
        counts.append(f"{prediction.form}; each device sends {quantity(sent, 'bytes')}")
    else:
        counts.append(quantity(prediction.bytes, "bytes"))
    if prediction.flops:
        counts.append(f"{format_figures(float(prediction.intensity))} FLOP/B")
    return "\n".join(
        [
            f"{prediction.kind} {sizes} on {prediction.hardware.title or prediction.hardware.name}",
            f"{time} ({low} to {high})  {prediction.bound_by}-bound ({parts})",
            f"{', '.join(counts)}; at best {quantity(prediction.bound_s, 'time_s')} by the data sheet",
            "",
            _footer(prediction),
            *(f"note: {caution}" for caution in prediction.notes),
        ]
    )


def _footer(prediction: OperatorPrediction) -> str:
    edits = ", ".join(f"{path} = {value}" for path, value in prediction.overrides)
    used = f"{prediction.dtype}, {prediction.engine.words}{f', edited: {edits}' if edits else ''}"
    constants = prediction.constants
    if constants.provenance == "datasheet":
        return f"{used}; constants: {constants.evidence}"
    band = band_words(*prediction.band)
    if prediction.network is not None:
        return f"constants: calibrations of links; {band}"
    whose = "" if prediction.library in NO_LIBRARY else f", kernels of {prediction.library}"
    return f"{used}{whose}; constants: {constants.named}; {band}"


def _size(name: str, size: int) -> str:
    return str(in_words(name, size)).lower()
