"""How old what is stated with a date is, by today's date: prices go stale, and engines are released."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime

from roofline.errors import UsageError, shown

_EPOCH = "SOURCE_DATE_EPOCH"
_AGE = re.compile(r"([0-9]{1,5}) ?(d|day|days)")


def today() -> date:
    """Today in UTC; where SOURCE_DATE_EPOCH is set, the day of so many seconds after 1970, so that pages repeat.

    Source: https://reproducible-builds.org/specs/source-date-epoch/. Raises UsageError where that is no such number.
    """
    given = os.environ.get(_EPOCH)
    if given is None:
        return datetime.now(UTC).date()
    try:
        return datetime.fromtimestamp(int(given), UTC).date()
    except (ValueError, OverflowError, OSError):
        msg = f"{_EPOCH}={shown(given)}: expected seconds after 1970, a whole number; or unset it"
        raise UsageError(msg) from None


def days_old(stated: str, now: date | None = None) -> int:
    """Days since a date such as 2026-08-21; since the first of a month or a year alone. 0 for one yet to come. [days]

    >>> days_old("2026-08", date(2026, 8, 31)), days_old("2027", date(2026, 8, 31))
    (30, 0)
    """
    year, month, day = (*(int(part) for part in stated.split("-")), 1, 1)[:3]
    return max(((now or today()) - date(year, month, day)).days, 0)


def read_days(text: str) -> int:
    """An age: ``180d``. Raises UsageError for a text that is none. [days]

    >>> read_days("180d")
    180
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        msg = f"--older {shown(text)}: expected a number of days, such as 180d"
        raise UsageError(msg)
    return int(found[1])
