"""The field ``Date`` of responses (RFC 9110, 6.6.1)."""

from __future__ import annotations

import time
from email.utils import formatdate

from pingap.headers import Field

_second = 0
_field: Field = (b"date", b"")


def date_field() -> Field:
    """Return ``Date`` with the current time; it is written once a second."""
    global _second, _field
    now = int(time.time())
    if now != _second:
        _field = (b"date", b"Date: " + formatdate(now, usegmt=True).encode("ascii"))
        _second = now
    return _field
