"""The headers that a location sets on requests to its upstream (config.md 5.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from pingap.config.header_entry import HeaderEntry
from pingap.config.model.location import HOST_WORDS
from pingap.config.problem import shortened
from pingap.config.variables import captures
from pingap.http.forwarding import FORWARDED
from pingap.http.headers import TOKEN
from pingap.protocol.fields import NEVER_FORWARDED
from pingap.protocol.own_fields import drop_owned, drop_twins

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
    if settings.host_header not in HOST_WORDS:
        changes.append(partial(set_host, host=settings.host_header))
    if removed := _removed(settings, problem):
        changes.append(partial(_drop, names=removed))
    with captures(settings.capture_names()):
        for key, place, entry in _entries(settings, problem):
            names.add(entry.key)
            changes.append(_change(key, entry))
            if entry.key == b"host":
                _check_host(settings, key, place, entry, problem, warning)
            elif about := mistake(entry):
                warning((key, place), about)
    if any(b"-" in name for name in names):
        changes.insert(0, partial(_drop_twins, names=frozenset(names)))
    return tuple(changes)


def _change(key: str, entry: HeaderEntry) -> HeaderChange:
    if key == "proxy_add_headers":
        return entry.add
    if not entry.value.text:
        return partial(_drop, names=frozenset((entry.key,)))
    return entry.set


def _check_host(
    settings: LocationConfig,
    key: str,
    place: int,
    entry: HeaderEntry,
    problem: Tell,
    warning: Tell,
) -> None:
    if key == "proxy_add_headers":
        warning((key, place), "a request has one Host only: use proxy_set_headers")
    elif not entry.value.text:
        problem((key, place), f"Host cannot be removed: {_HOST_HINT}")
    elif settings.host_header != "client":
        problem((key, place), "Host is set by host_header as well: remove one of them")
    elif about := mistake(entry):
        warning((key, place), about)


def _removed(settings: LocationConfig, problem: Tell) -> frozenset[bytes]:
    """Return the names of ``proxy_remove_headers``, in lower case."""
    names: set[bytes] = set()
    for place, name in enumerate(settings.proxy_remove_headers):
        key = name.encode("ascii", "replace").lower()
        if not TOKEN.fullmatch(key):
            problem(("proxy_remove_headers", place), f"{shortened(name)} is not a header name")
        elif key == b"host":
            problem(("proxy_remove_headers", place), f"Host cannot be removed: {_HOST_HINT}")
        elif key in NEVER_FORWARDED:
            text = f"{name} cannot be removed: it {_reason(key)}, and pingap writes it itself"
            problem(("proxy_remove_headers", place), text)
        names.add(key)
    return frozenset(names)


def _entries(settings: LocationConfig, problem: Tell) -> Iterator[tuple[str, int, HeaderEntry]]:
    """Yield the entries that can be used, with their keys and places."""
    for key in ("proxy_set_headers", "proxy_add_headers"):
        for place, text in enumerate(getattr(settings, key)):
            try:
                yield key, place, HeaderEntry(text)
            except ValueError as error:
                problem((key, place), str(error))


def set_host(headers: Headers, request: Request, ctx: RequestContext, host: str) -> None:
    """Replace ``Host``, which comes first (RFC 9110, 7.2).

    :param host: in ASCII, with the port.
    """
    headers.discard(b"host")
    headers.keys.insert(0, b"host")
    headers.lines.insert(0, b"Host: " + host.encode("ascii"))


def _drop(headers: Headers, request: Request, ctx: RequestContext, names: frozenset[bytes]) -> None:
    drop_owned(headers, names)


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
        kind = _reason(entry.key)
        hint = "; requests for WebSocket are passed on without it" if entry.key in _UPGRADE else ""
        return f"has no effect: {entry.name} {kind}, and pingap writes it itself{hint}"
    if literal := entry.value.literal_variable:
        return (
            f"{literal} is sent as it is written: inside other text, a variable needs braces:"
            f" ${{{literal.lstrip('$:')}}}"
        )
    return ""


def _reason(key: bytes) -> str:
    return "says where a body ends" if key in _FRAMING else "concerns one connection only"


_HOST_HINT: Final = (
    'every request has one, which host_header selects, such as host_header = "upstream"'
)
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
