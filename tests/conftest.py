"""Random examples are drawn anew on a developer's machine, and the same ones every time where ``CI`` is set."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
