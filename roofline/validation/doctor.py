"""What ``doctor`` finds: the machine, whether threads stall on it, and the settings that are missing."""

from __future__ import annotations

from typing import Any

from roofline.classes import frozen
from roofline.validation.devices import Device
from roofline.validation.environment import SelfTest, describe_environment, missing_settings, stall_test


@frozen
class Findings:
    """The environment, the stall test, and the settings that are missing."""

    environment: dict[str, Any]
    test: SelfTest
    missing: dict[str, str]

    @property
    def stalled(self) -> bool:
        """Whether timings cannot be trusted here."""
        return self.test.stalled

    def to_dict(self) -> dict[str, Any]:
        """As ``doctor --json`` prints it."""
        test = {"stalled": self.test.stalled, "varies": self.test.flicker, "words": self.test.words}
        return {"environment": self.environment, "stall_test": test, "set": self.missing}


def examine(device: Device) -> Findings:
    """Look at the device and run the stall test, two seconds."""
    with device.torch.inference_mode():
        return Findings(describe_environment(device), stall_test(device), missing_settings(device.threads))
