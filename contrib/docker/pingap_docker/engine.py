"""The Docker daemon, accessed through its Unix socket or, usually by a proxy for that, over TCP."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import anyio
import httpcore

from pingap_docker.containers import Container

SOCKET: Final = "/var/run/docker.sock"
VARIABLE: Final = "DOCKER_HOST"
ANSWER_SECONDS: Final = 10.0
"""Time limit of a response."""
MOST_BYTES: Final = 16 << 20
"""Maximum size of a response."""

# Without a version in the path, the daemon uses its latest API.
_LIST = "/containers/json"
_EVENTS = "/events"
_WATCHED = {
    "type": ["container", "network"],
    "event": [
        "start",
        "stop",
        "die",
        "pause",
        "unpause",
        "rename",
        "health_status",
        "connect",
        "disconnect",
    ],
}
_TCP = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


class EngineError(Exception):
    """The daemon did not respond as expected; the message gives the reason."""


def configured_address() -> str:
    """Return the address of the daemon: the path of a socket, or ``host:port``.

    :raises ValueError: ``DOCKER_HOST`` names something else.
    """
    host = os.environ.get(VARIABLE, "")
    if not host:
        return SOCKET
    scheme, separator, address = host.partition("://")
    is_path = address.startswith("/")
    if not separator or scheme != ("unix" if is_path else "tcp") or not is_address(address):
        text = "expected unix:///path or tcp://host:port"
        raise ValueError(f'{VARIABLE} is "{host}": {text}')
    return address


def is_address(text: str) -> bool:
    """Return whether a text is the absolute path of a socket, or ``host:port``."""
    return text.startswith("/") or _TCP.fullmatch(text) is not None


class Engine:
    """A Docker daemon.

    :param address: the path of its socket, or ``host:port``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = address if address.startswith("/") else None

    async def containers(self, label: str = "") -> list[Container]:
        """Return the running containers.

        :param label: only those with this label, ``key`` or ``key=value``.

        :raises EngineError: the daemon cannot be queried.
        """
        labels = {"label": [label]} if label else {}
        url = self._url(_LIST, {**labels, "status": ["running"]})
        received = bytearray()

        def take(chunk: bytes) -> None:
            received.extend(chunk)
            if len(received) > MOST_BYTES:
                raise EngineError(f"{self.address}: the answer is over {MOST_BYTES} bytes")

        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await self._get(url, take)
        except TimeoutError:
            raise EngineError(f"{self.address}: no answer within {ANSWER_SECONDS:g} s") from None
        try:
            found = json.loads(received)
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise EngineError(f"{self.address}: the answer is not a list of containers")
        return found

    async def listen(self, changed: Callable[[], None]) -> None:
        """Call a function now, and whenever a container starts, ends, or changes its health or its networks.

        :raises EngineError: the connection to the daemon ended. This never returns otherwise.
        """
        await self._get(self._url(_EVENTS, _WATCHED), lambda chunk: changed(), began=changed)
        raise EngineError(f"{self.address}: the daemon ended the events")

    async def _get(
        self, url: str, take: Callable[[bytes], None], began: Callable[[], None] = lambda: None
    ) -> None:
        try:
            async with (
                httpcore.AsyncConnectionPool(uds=self._socket) as pool,
                pool.stream(
                    "GET", url, extensions={"timeout": {"connect": ANSWER_SECONDS}}
                ) as answer,
            ):
                if answer.status != 200:
                    raise EngineError(f"{self.address}: answered with the status {answer.status}")
                began()
                async for chunk in answer.aiter_stream():
                    take(chunk)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise EngineError(f"{self.address}: {_reason(error)}") from error

    def _url(self, path: str, filters: Mapping[str, Sequence[str]]) -> str:
        listed: dict[str, Any] = dict(filters)
        host = "docker" if self._socket else self.address
        return f"http://{host}{path}?{urlencode({'filters': json.dumps(listed)})}"


def _reason(error: BaseException) -> str:
    """Return what the system says, below what httpcore makes of it."""
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, OSError) and first.strerror:
            return first.strerror
        first = first.__cause__ or first.__context__
    return str(error) or type(error).__name__
