"""Random examples are drawn anew on a developer's machine, and the same ones every time where ``CI`` is set.

No test asserts on a time, not through hypothesis either. Matrices of tests are tiny: the threads of torch and of numpy
would only wait for each other, and for those of the other workers.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
