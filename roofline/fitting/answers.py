"""The JSON of ``calibrate``, field by field."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from typing_extensions import TypedDict

from roofline.schema import Closed, Says
from roofline.validation.answers import EnvironmentAnswer


class KindAnswer(TypedDict):
    """The fit of one kind of operator."""

    rows: Annotated[int, Says("shapes that it is fitted to")]
    median_ape: Annotated[float, Says("median of |predicted / measured - 1| on them")]
    held_out_errors: Annotated[list[float], Says("predicted / measured - 1 of each shape kept out of the fit")]
    intervals: Annotated[dict[str, list[float]], Says("each constant with the ends of its 90 % interval; times in s")]


class CollectivesAnswer(TypedDict):
    """Collectives between the devices."""

    link_bytes_per_s: Annotated[float, Says("rate of a link per direction, which constants are shares of", "B/s")]
    intervals: Annotated[dict[str, dict[str, list[float]]], Says(
        "operation -> each constant with the ends of its 90 % interval; times in s")]  # fmt: skip
    rows: Annotated[list[list[str | int | float]], Says("operation, devices, message [B], time [s] of each timing")]


class CalibrateAnswer(Closed):
    """What a calibration found."""

    environment: Annotated[EnvironmentAnswer, Says("machine and software")]
    calibration: Annotated[dict[str, Any], Says("fields of the calibration file, in its spelling of quantities")]
    spec: Annotated[dict[str, Any] | None, Says(
        "fields of the device's file where it is measured anew, in its spelling; null where it is known")]  # fmt: skip
    bandwidths_bytes_per_s: Annotated[dict[str, float], Says("bandwidth of device memory by kind of access", "B/s")]
    matmul_flops_per_s: Annotated[float, Says("best rate of a matmul", "FLOP/s")]
    host_s: Annotated[float, Says("what the host adds to a launch", "s")]
    rounds: Annotated[int, Says("times that every kernel was timed")]
    seconds: Annotated[float, Says("time that it took", "s")]
    interrupted: Annotated[bool, Says("whether somebody interrupted it")]
    kinds: Annotated[dict[str, KindAnswer], Says("fit of each kind of operator")]
    samples_s: Annotated[dict[str, list[list[float]]], Says(
        "kernel -> its samples: time, and time of the probe around it", "s")]  # fmt: skip
    collectives: NotRequired[Annotated[CollectivesAnswer, Says("several devices: their collectives")]]
