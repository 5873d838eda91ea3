"""The headers that a location sets on requests to its upstream (config.md 5.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from pingap.config.header_entry import HeaderEntry
from pingap.config.variables import captures
from pingap.http.forwarding import FORWARDED
from pingap.protocol.fields import NEVER_FORWARDED
from pingap.protocol.own_fields import drop_twins

if TYPE_CHECKING:
    from pingap.config import LocationConfig
    from pingap.http.context import RequestContext
    from pingap.http.headers import Headers
    from pingap.http.request import Request
    from pingap.proxy.runtime import HeaderChange

Tell = Callable[[tuple[str | int, ...], str], None]
"""Reports a problem or warning about a key: its path from the location's table on, and a text."""

REVERSE_PROXY_HEADERS: Final = (
    "x-real-ip: $client_ip",
    "x-forwarded-for: $proxy_add_x_forwarded_for",
    "x-forwarded-proto: $scheme",
    "x-forwarded-host: $host",
    "x-forwarded-port: $server_port",
)
"""What ``enable_reverse_proxy_headers`` sets."""
FORWARDED_HEADER: Final = "forwarded: $proxy_add_forwarded"
"""What ``forwarded_header`` sets."""


def header_changes(
    settings: LocationConfig, problem: Tell, warning: Tell
) -> tuple[HeaderChange, ...]:
    """Return the changes, in order.

    :param problem: called for entries that cannot be used.
    :param warning: called for entries without the apparent effect.
    """
    changes: list[HeaderChange] = []
    names: set[bytes] = set()
    if settings.enable_reverse_proxy_headers:
        changes += [HeaderEntry(text).set for text in REVERSE_PROXY_HEADERS]
    if settings.forwarded_header:
        changes.append(HeaderEntry(FORWARDED_HEADER).set)
    elif settings.enable_reverse_proxy_headers:
        changes.append(_drop_untold)
    with captures(settings.capture_names()):
        for key, place, entry in _entries(settings, problem):
            names.add(entry.key)
            changes.append(entry.set if key == "proxy_set_headers" else entry.add)
            if about := mistake(entry):
                warning((key, place), about)
            elif entry.key == b"host" and key == "proxy_add_headers":
                warning((key, place), "a request has one Host only: use proxy_set_headers")
    if any(b"-" in name for name in names):
        changes.insert(0, partial(_drop_twins, names=frozenset(names)))
    return tuple(changes)


def _entries(settings: LocationConfig, problem: Tell) -> Iterator[tuple[str, int, HeaderEntry]]:
    """Yield the entries that can be used, with their keys and places."""
    for key in ("proxy_set_headers", "proxy_add_headers"):
        for place, text in enumerate(getattr(settings, key)):
            try:
                yield key, place, HeaderEntry(text)
            except ValueError as error:
                problem((key, place), str(error))


def _drop_twins(
    headers: Headers, request: Request, ctx: RequestContext, names: frozenset[bytes]
) -> None:
    drop_twins(headers, names)


def _drop_untold(headers: Headers, request: Request, ctx: RequestContext) -> None:
    """Drop a ``Forwarded`` from an untrusted peer: it would contradict the header that is set."""
    if FORWARDED in headers.keys and not ctx.told(request).forwarded:
        headers.discard(FORWARDED)


def mistake(entry: HeaderEntry) -> str:
    """Return why an entry has no or another effect; empty if it is fine."""
    if entry.key in NEVER_FORWARDED:
        kind = "says where a body ends" if entry.key in _FRAMING else "concerns one connection only"
        hint = "; requests for WebSocket are passed on without it" if entry.key in _UPGRADE else ""
        return f"has no effect: {entry.name} {kind}, and pingap writes it itself{hint}"
    if literal := entry.value.literal_variable:
        return (
            f"{literal} is sent as it is written: inside other text, a variable needs braces:"
            f" ${{{literal.lstrip('$:')}}}"
        )
    return ""


_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"trailer"))
_UPGRADE: Final = frozenset((b"connection", b"upgrade"))


def mistakes_in(settings: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path and the text of each mistake in the header entries of plugin settings."""
    if isinstance(settings, HeaderEntry):
        if about := mistake(settings):
            yield (), about
        return
    inner: list[tuple[str | int, object]] = []
    if isinstance(settings, BaseModel):
        fields = type(settings).model_fields
        inner += [(fields[name].alias or name, value) for name, value in settings if name in fields]
    elif isinstance(settings, dict):
        inner += settings.items()
    elif isinstance(settings, list | tuple):
        inner += enumerate(settings)
    for key, value in inner:
        for path, about in mistakes_in(value):
            yield (key, *path), about
