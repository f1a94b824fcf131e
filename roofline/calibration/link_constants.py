"""What software reaches of links by kind: :func:`load_links` reads ``calibrations/links.yaml``."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from roofline.calibration.fields import Band, Seconds, Share
from roofline.files.findings import validated
from roofline.files.library import data_folder, read_yaml


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Kernel(_Data):
    """A kernel that sends everything to everyone: its latency, and that of each further device. [s]"""

    first: Seconds
    each: Seconds


class LinkConstants(_Data):
    """Constants of one kind of link: latency until the first step and of each further one [s], share of the bandwidth.

    ``in_switch``: the share where a switch adds up. ``sharpness``: of the corner between latency and bytes.
    """

    first: Seconds
    each: Seconds
    bandwidth: Share
    in_switch: Share | None = None
    one_shot: Kernel | None = None
    sharpness: Annotated[float, Field(ge=0.2, le=10, strict=False)]
    band: Band

    def scaled(self, factor: float) -> LinkConstants:
        """The same with all latencies times ``factor``."""
        own = self.one_shot
        shot = own and own.model_copy(update={"first": own.first * factor, "each": own.each * factor})
        return self.model_copy(update={"first": self.first * factor, "each": self.each * factor, "one_shot": shot})


class Links(_Data):
    """Constants by kind of link: the topologies of a scale-up link, ``host`` and ``network``."""

    name: str
    source: str
    links: dict[str, LinkConstants]


@lru_cache(maxsize=1)
def load_links() -> Links:
    """The shipped constants. Raises SpecError: field, what was given, what was expected."""
    path = data_folder("calibrations") / "links.yaml"
    return validated(Links, read_yaml(path), path.name)
