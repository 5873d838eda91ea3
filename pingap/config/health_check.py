"""``upstreams.*.health_check``: a URL that describes how a backend is checked; no IO."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from pingap.config.problem import did_you_mean, shortened
from pingap.config.units import EXPECTED_DURATION, parse_duration

Scheme = Literal["tcp", "http", "https", "grpc"]

OFF: Final = "none"
"""The value for no health checks, instead of a URL."""
SHORTEST: Final = 0.1
"""Minimum of ``check_frequency``, in seconds."""

_SCHEMES: Final = get_args(Scheme)
_EXAMPLE: Final = 'a URL such as "http://app/health?check_frequency=5s", or "none"'
_QUERY: Final = "query."
_STATUSES: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_MOST_IN_A_ROW: Final = 1000
_UNSAFE: Final = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How the backends of an upstream are checked. The defaults apply without ``health_check``.

    :param host: value of ``Host``, and of SNI if the upstream has no ``sni``; empty for ``tcp``.
    :param target: path and query of the request.
    :param connection_timeout: seconds to connect, including the TLS handshake.
    :param read_timeout: seconds to wait for the response.
    :param check_frequency: seconds from the start of one check to the start of the next.
    :param success: successes in a row that make a backend healthy again.
    :param failure: failures in a row that make it unhealthy.
    :param reuse: keep the connection for the next check.
    :param tls: use TLS for ``grpc``; also do a TLS handshake for ``tcp``.
    :param parallel: check the backends at the same time.
    :param service: gRPC service to check; empty: the server as a whole.
    :param status: first and last status that count as success.
    :param body: text that the response must contain; empty: any.
    """

    scheme: Scheme = "tcp"
    host: str = ""
    target: str = "/"
    connection_timeout: float = 3.0
    read_timeout: float = 3.0
    check_frequency: float = 10.0
    success: int = 1
    failure: int = 1
    reuse: bool = False
    tls: bool = False
    parallel: bool = False
    service: str = ""
    status: tuple[tuple[int, int], ...] = ((200, 200),)
    body: str = ""

    def accepts(self, status: int) -> bool:
        """Return whether a status means success."""
        return any(first <= status <= last for first, last in self.status)


def parse_health_check(text: str) -> HealthCheck | None:
    """Read the value of ``health_check``; None for ``none``.

    :raises ValueError: with a message for the operator.
    """
    if not text:
        return HealthCheck()
    if text == OFF:
        return None
    url = _split(text)
    values: dict[str, object] = {}
    query: list[str] = []
    for piece in filter(None, url.query.split("&")):
        ((name, value),) = parse_qsl(piece, keep_blank_values=True)
        if name.startswith(_QUERY):
            _require_http(name, url.scheme)
            query.append(f"{quote(name.removeprefix(_QUERY))}={quote(value)}")
            continue
        if _is_sent(name, url.scheme):
            query.append(piece)
            continue
        if name in values:
            raise ValueError(f"{name} is given twice")
        values[name] = _parameter(name, value, url.scheme)
    scheme = cast("Scheme", url.scheme)
    target = "?".join(filter(None, (url.path or "/", "&".join(query))))
    values = {"failure": 2, **values}
    return HealthCheck(scheme=scheme, host=url.hostname or "", target=target, **values)  # type: ignore[arg-type]


def _split(text: str) -> SplitResult:
    if _UNSAFE.search(text):
        raise ValueError(
            f"found {shortened(text)}: write characters other than printable ASCII as %XX"
        )
    try:
        url = urlsplit(text)
        _ = url.port  # raises if it is invalid
    except ValueError as error:
        raise ValueError(f"found {shortened(text)}, expected {_EXAMPLE}: {error}") from None
    if text.startswith("/"):
        raise ValueError(
            f"found {shortened(text)}, expected a URL; did you mean {shortened('http://app' + text)}?"
            " Replace app by the Host that the backend expects"
        )
    if "://" not in text:
        raise ValueError(f"found {shortened(text)}, expected {_EXAMPLE}")
    if url.scheme not in _SCHEMES:
        hint = did_you_mean(url.scheme, _SCHEMES)
        expected = ", ".join(_SCHEMES)
        raise ValueError(f"found the scheme {shortened(url.scheme)}, expected {expected}{hint}")
    if url.scheme != "tcp" and not url.hostname:
        raise ValueError(f"found {shortened(text)}, whose host is missing")
    if not _is_name(url.hostname or "a"):
        raise ValueError(f"{shortened(url.hostname or '')} is not the name of a host")
    if url.username is not None:
        raise ValueError("user and password are not sent by a health check")
    if url.fragment:
        raise ValueError('text after "#" is never sent: write %23')
    return url


def _is_name(host: str) -> bool:
    """Return whether TLS treats the text as a name."""
    labels = host.split(".")
    return len(host) <= 253 and all(0 < len(label) <= 63 for label in labels)


def _is_sent(name: str, scheme: str) -> bool:
    """Return whether a parameter belongs to the request of the check, not to its settings."""
    unknown = name not in _PARAMETERS and not did_you_mean(name, _PARAMETERS)
    return unknown and scheme.startswith("http")


def _parameter(name: str, value: str, scheme: str) -> object:
    """Return the value of a parameter.

    :raises ValueError: it is unknown, or its value is invalid.
    """
    if (read := _PARAMETERS.get(name)) is None:
        hint = did_you_mean(name, _PARAMETERS)
        sent = ""
        if scheme.startswith("http"):
            sent = f"; to send it in the query of the check, write {_QUERY}{name}={value}"
        raise ValueError(f"unknown parameter {shortened(name)}{hint}{sent}")
    if name in ("status", "body"):
        _require_http(name, scheme)
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _require_http(name: str, scheme: str) -> None:
    if not scheme.startswith("http"):
        raise ValueError(f"{name} goes with http and https, not with {scheme}")


def _limit(text: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"found {shortened(text)}, expected {EXPECTED_DURATION}")
    return seconds


def _frequency(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < SHORTEST:
        raise ValueError(f'found {shortened(text)}, expected at least "100ms"')
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= _MOST_IN_A_ROW:
        raise ValueError(f"found {shortened(text)}, expected a number from 1 to {_MOST_IN_A_ROW}")
    return int(text)


def _switch(text: str) -> bool:
    if text in ("", "true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ValueError(f"found {shortened(text)}, expected true or false")


def _statuses(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for piece in text.split(","):
        match = _STATUSES.fullmatch(piece.strip())
        first, last = match.groups() if match else ("", "")
        if not first or (last and last < first):
            raise ValueError(f'found {shortened(piece)}, expected statuses such as "200-299,301"')
        found.append((int(first), int(last or first)))
    return tuple(found)


_PARAMETERS: Final[Mapping[str, Callable[[str], object]]] = {
    "connection_timeout": _limit,
    "read_timeout": _limit,
    "check_frequency": _frequency,
    "success": _count,
    "failure": _count,
    "reuse": _switch,
    "tls": _switch,
    "parallel": _switch,
    "service": str,
    "status": _statuses,
    "body": str,
}
