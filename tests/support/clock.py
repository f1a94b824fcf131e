"""The day by which tests, and the pages that they check, say how old a price is: 2026-11-29."""

import os

os.environ["SOURCE_DATE_EPOCH"] = "1795910400"
