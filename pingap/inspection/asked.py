"""Turns command arguments, such as ``POST http://shop.example.com:8080/cart``, into a request and a server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pingap.config import ServerConfig, TcpAddress
from pingap.config.problem import did_you_mean, quoted
from pingap.http.errors import BadRequest
from pingap.http.headers import Headers
from pingap.http.hosts import parse_host
from pingap.http.request import Request

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.DOTALL
)
_PORT = re.compile(r":([0-9]+)$")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Asked:
    """The requested URL.

    :param port: of the URL, or that of its scheme; None if the URL is only a path.
    :param port_written: whether the URL names it.
    """

    request: Request
    host: str = ""
    port: int | None = None
    port_written: bool = False


def read_request(method: str, url: str, headers: Sequence[str]) -> Asked:
    """Read a request as the arguments of a command.

    :param url: ``http://host[:port]/path``, or the path alone.
    :param headers: ``Name: value`` each; ``Host`` replaces the URL's host.
    :raises ValueError: with a message for the operator.
    """
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{quoted(method)} is not a method")
    if url.startswith("/"):
        scheme, authority, target = "", "", url.partition("#")[0]
    elif match := _URL.fullmatch(url):
        scheme, authority, target = match["scheme"], match["authority"], match["target"]
    else:
        raise ValueError(f'found {quoted(url)}, expected a URL such as "http://host/path"')
    target = target if target.startswith("/") else f"/{target}"
    if not target.isprintable() or " " in target:
        raise ValueError(f"{quoted(target)}: percent-encode spaces and control characters")
    target = target.encode().decode("latin-1")  # one character per byte, as in real requests
    fields = _headers(headers)
    if authority and "host" not in fields:
        fields.add("Host", authority)
    host = _host(fields.get("host") or "")
    request = Request(method.upper(), target, fields, host=host)
    if not scheme:
        return Asked(request)
    port = _PORT.search(authority)
    number = int(port[1]) if port else _DEFAULT_PORTS[scheme]
    return Asked(request, _host(authority), number, port is not None)


def _headers(texts: Sequence[str]) -> Headers:
    headers = Headers()
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            raise ValueError(f'found {quoted(text)}, expected a header such as "Name: value"')
        headers.add(name.strip(), value.strip())
    return headers


def _host(text: str) -> str:
    if not text:
        return ""
    try:
        return parse_host(text.encode())
    except BadRequest:
        raise ValueError(f"{quoted(text)} is not a host") from None


def choose_server(servers: Mapping[str, ServerConfig], asked: Asked, wanted: str | None) -> str:
    """Return the name of the server that would get a request.

    :param wanted: the server by name; otherwise it is found by the port of the URL.
    :raises ValueError: with a message for the operator: there is none, or there are several.
    """
    if wanted is not None:
        if wanted not in servers:
            raise ValueError(f"no server is named {quoted(wanted)}{did_you_mean(wanted, servers)}")
        return wanted
    listening = [name for name, one in servers.items() if asked.port in set(_ports(one))]
    exact = [name for name in listening if _has_address(servers[name], asked)]
    for found in (exact, listening, [] if asked.port_written else list(servers)):
        if len(found) == 1:
            return found[0]
    known = ", ".join(f"{name} ({one.addr})" for name, one in servers.items()) or "none"
    if asked.port is None:
        reason = "a path alone does not identify the server"
    else:
        count = "several servers listen" if listening else "no server listens"
        reason = f"{count} on port {asked.port}"
    raise ValueError(f"{reason}: choose one with --server NAME; servers: {known}")


def _ports(server: ServerConfig) -> Iterator[int]:
    return (one.port for one in server.addresses if isinstance(one, TcpAddress))


def _has_address(server: ServerConfig, asked: Asked) -> bool:
    host = asked.host.strip("[]").lower()
    return any(
        isinstance(one, TcpAddress) and (one.host.lower(), one.port) == (host, asked.port)
        for one in server.addresses
    )
