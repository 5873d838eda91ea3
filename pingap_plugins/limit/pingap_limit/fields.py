"""Header fields that tell clients about limits (draft-ietf-httpapi-ratelimit-headers, RFC 9110 10.2.3)."""

from __future__ import annotations

import math

from pingap import Headers
from pingap_limit.standing import Standing


def string(text: str) -> str:
    """Return a name as a string of structured fields (RFC 9651 3.3.3); other characters become ``?``."""
    ascii_only = "".join(one if " " <= one <= "~" else "?" for one in text)
    escaped = ascii_only.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def policy(name: str, quota: int, seconds: float) -> str:
    """Return a member of ``RateLimit-Policy``."""
    return f"{string(name)};q={quota};w={math.ceil(seconds)}"


def add_fields(headers: Headers, name: str, policy: str, standing: Standing) -> None:
    """Add the limit to those that other instances have written."""
    headers.add("RateLimit-Policy", policy)
    left, seconds = standing.remaining, math.ceil(standing.reset_after)
    headers.add("RateLimit", f"{string(name)};r={left};t={seconds}")


def retry_after(standing: Standing) -> str:
    """Return the value of ``Retry-After``: whole seconds, at least one."""
    return str(max(1, math.ceil(standing.reset_after)))


def number(value: float) -> str:
    """Return a number as pingap 0.13.9 writes it (``Display`` of Rust): no exponent, no ``.0``."""
    return f"{value:.10f}".rstrip("0").rstrip(".")
