"""The arguments of plugin methods, for tests that need no proxy."""

from __future__ import annotations

from collections.abc import Iterable

from pingap.http.connection import Connection
from pingap.http.context import RequestContext
from pingap.http.errors import HTTPError
from pingap.http.headers import Headers
from pingap.http.networks import parse_trusted
from pingap.http.request import Request
from pingap.observability.counters import WorkerStats
from pingap.testing.fields import FieldsLike, pairs


def make_request(
    method: str = "GET",
    target: str = "/",
    *,
    host: str = "test",
    headers: FieldsLike = (),
) -> Request:
    """Return a request head as if it had been received.

    :param host: value of ``Host``, which may have a port; empty for none.
    """
    fields = Headers()
    if host:
        fields.add("Host", host)
    for name, value in pairs(headers):
        fields.add(name, value)
    name, colon, port = host.rpartition(":")
    return Request(method, target, fields, host=name if colon and port.isdigit() else host)


def make_context(
    *,
    client_ip: str = "192.0.2.7",
    location: str = "",
    scheme: str = "http",
    trusted: Iterable[str] = (),
    began_at: float = 0.0,
    body: bytes = b"",
    request: Request | None = None,
) -> RequestContext:
    """Return the state of a new request.

    :param client_ip: address of the peer; of a proxy, if it is trusted.
    :param trusted: networks whose forwarding headers are trusted.
    :param body: of the request, for ``ctx.read_body``.
    :param request: as the client sent it, for ``ctx.original``.
    """

    async def read_body(limit: int) -> bytes:
        if len(body) > limit:
            raise HTTPError(413, f"Request Entity Too Large, max:{limit}")
        return body

    local = ("192.0.2.1", 443 if scheme == "https" else 80)
    networks = tuple(map(parse_trusted, trusted))
    connection = Connection(
        1,
        (client_ip, 50000),
        local,
        stats=WorkerStats({}),
        scheme=scheme,
        trusted=networks,
    )
    connection.requests = 1
    ctx = RequestContext(connection, began_at)
    if request is not None:
        ctx._received = (request, request.method, request.target, request.host)
    ctx.location = location
    ctx._read_body = read_body
    return ctx
