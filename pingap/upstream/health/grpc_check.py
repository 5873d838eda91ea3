"""Checks a backend with the gRPC health service (``grpc.health.v1``), using httpcore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pingap.config.health_check import HealthCheck
from pingap.upstream.health.checks import CheckFailed, Manner
from pingap.upstream.health.http_check import HttpClients, read_some

if TYPE_CHECKING:
    from pingap.upstream.peer import Peer

_METHOD: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = 1
_STATES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_CONTINUES: Final = 0x80  # in a byte of a varint: more bytes follow
_SERVICE, _STATUS = 0x0A, 0x08  # field 1 as text, as a number
_PREFIX: Final = 5  # bytes before a message: compression flag and length


class GrpcCheck:
    """A backend is healthy if its health service returns SERVING."""

    def __init__(self, settings: HealthCheck, manner: Manner) -> None:
        scheme = "https" if settings.tls else "http"
        self._clients = HttpClients(settings, scheme, manner, http1=False, http2=True)
        self._headers = [
            (b"Host", settings.host.encode()),
            (b"Content-Type", b"application/grpc"),
            (b"TE", b"trailers"),
            (b"User-Agent", b"pingap-health-check"),
        ]
        self._question = question(settings.service)
        self.keep = self._clients.keep

    async def __call__(self, peer: Peer) -> None:
        """Query the health service."""
        async with self._clients.stream(
            peer, "POST", self._headers, _METHOD, self._question
        ) as response:
            if response.status != 200:
                raise CheckFailed(f"HTTP status {response.status}")
            fields = dict(response.headers)
            if (code := fields.get(b"grpc-status", b"0")) != b"0":
                text = fields.get(b"grpc-message", b"").decode("ascii", "replace")[:100]
                raise CheckFailed(
                    f"gRPC status {code.decode('ascii', 'replace')[:10]} {text}".strip()
                )
            state = read_answer(await read_some(response))
        if state != _SERVING:
            raise CheckFailed(f"the service is {_STATES.get(state, state)}")


def question(service: str) -> bytes:
    """Return a ``HealthCheckRequest`` with its prefix."""
    name = service.encode()
    message = bytes((_SERVICE,)) + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4) + message


def read_answer(data: bytes) -> int:
    """Return the status of a ``HealthCheckResponse`` with its prefix.

    :raises CheckFailed: it is not one.
    """
    length = int.from_bytes(data[1:_PREFIX])
    message = data[_PREFIX : _PREFIX + length]
    if len(data) < _PREFIX or data[0] or len(message) < length:
        raise CheckFailed("the response is not a gRPC message")
    if not message:
        return 0  # an omitted field has the value 0
    status = message[1:]
    if message[0] != _STATUS or len(status) != 1 or status[0] & _CONTINUES:
        raise CheckFailed("the response is not that of a health service")
    return status[0]


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= _CONTINUES:
        found.append(number % _CONTINUES | _CONTINUES)
        number //= _CONTINUES
    return bytes([*found, number])
