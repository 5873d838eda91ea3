"""Request fields that clients must not send, because pingap itself writes or interprets them."""

from __future__ import annotations

from collections.abc import Collection
from itertools import compress
from typing import Final

from pingap.http.headers import Headers
from pingap.protocol.fields import NEVER_FORWARDED

RETRY: Final = b"x-retry-attempt"
"""Tells an upstream the number of a retry."""
TIMING: Final = b"x-pingap-plugin-timing"
"""Requests plugin timing. It is removed, so that the next proxy does not attribute it to us."""

OWN: Final = frozenset((RETRY, TIMING))
"""Fields that only pingap itself writes."""
_MEANT: Final = NEVER_FORWARDED | {
    *OWN,
    b"content-type",
    b"forwarded",
    b"proxy-authorization",
    b"x-real-ip",
    b"x-request-id",
}
_MEANT_PREFIX: Final = b"x-forwarded-"


def take_own(headers: Headers, *, keep_shadows: bool) -> bool:
    """Drop fields that clients must not send; return whether the request asks for plugin timing.

    Also dropped are names that many applications cannot distinguish from others, because CGI and its
    successors turn dashes into underscores: ``X_Forwarded_For``, or ``X_User`` beside ``X-User``.

    :param keep_shadows: keep those.
    """
    keys = headers.keys
    asks = TIMING in keys
    if not OWN.isdisjoint(keys):
        _keep(headers, [key not in OWN for key in keys])
    if not keep_shadows and b"_" in b"".join(keys):
        there = frozenset(keys)
        _keep(headers, [not (b"_" in key and _shadows(key, there)) for key in keys])
    return asks


def _shadows(key: bytes, there: frozenset[bytes]) -> bool:
    dashed = key.replace(b"_", b"-")
    return dashed in there or dashed in _MEANT or dashed.startswith(_MEANT_PREFIX)


def drop_owned(headers: Headers, names: Collection[bytes]) -> None:
    """Drop fields of a client under names that only plugins set, and under their variants.

    :param names: in lower case.
    """
    for key in names:
        headers.discard(key)
    drop_twins(headers, names)


def drop_twins(headers: Headers, names: Collection[bytes]) -> None:
    """Drop fields whose names differ from these only by underscores.

    :param names: in lower case.
    """
    keys = headers.keys
    if b"_" in b"".join(keys):
        dashed = [key.replace(b"_", b"-") if b"_" in key else b"" for key in keys]
        _keep(headers, [one not in names for one in dashed])


def _keep(headers: Headers, kept: list[bool]) -> None:
    headers.lines[:] = compress(headers.lines, kept)
    headers.keys[:] = compress(headers.keys, kept)
