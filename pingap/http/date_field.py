"""The field ``Date`` of responses (RFC 9110, 6.6.1)."""

from __future__ import annotations

import time
from email.utils import formatdate

from pingap.http.headers import Headers

_second = 0
_line = b""


def add_date(headers: Headers) -> None:
    """Add ``Date`` to headers without it. The line is formatted once a second."""
    headers.keys.append(b"date")
    headers.lines.append(_line if int(time.time()) == _second else date_line())


def date_line() -> bytes:
    """Return the field line with the current time."""
    global _second, _line
    now = int(time.time())
    if now != _second:
        _line = b"Date: " + formatdate(now, usegmt=True).encode("ascii")
        _second = now
    return _line
