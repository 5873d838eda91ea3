"""The Docker daemon, accessed through its Unix socket."""

from __future__ import annotations

import json
import os
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
_LIST = "http://docker/containers/json"
_EVENTS = "http://docker/events"
_WATCHED = {
    "type": ["container", "network"],
    "event": ["start", "die", "pause", "unpause", "connect", "disconnect"],
}


class EngineError(Exception):
    """The daemon did not respond as expected; the message gives the reason."""


def socket_path() -> str:
    """Return the path of the daemon's socket.

    :raises ValueError: ``DOCKER_HOST`` names something else.
    """
    host = os.environ.get(VARIABLE, "")
    if not host:
        return SOCKET
    path = host.removeprefix("unix://")
    if path == host or not path.startswith("/"):
        raise ValueError(f'{VARIABLE} is "{host}": only sockets, unix:///path, can be used')
    return path


class Engine:
    """A Docker daemon.

    :param path: of its socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    async def containers(self, label: str) -> list[Container]:
        """Return the running containers with a label.

        :raises EngineError: the daemon cannot be queried.
        """
        url = _url(_LIST, {"label": [label], "status": ["running"]})
        received = bytearray()

        def take(chunk: bytes) -> None:
            received.extend(chunk)
            if len(received) > MOST_BYTES:
                raise EngineError(f"{self._path}: the answer is over {MOST_BYTES} bytes")

        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await self._get(url, take)
        except TimeoutError:
            raise EngineError(f"{self._path}: no answer within {ANSWER_SECONDS:g} s") from None
        try:
            found = json.loads(received)
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise EngineError(f"{self._path}: the answer is not a list of containers")
        return found

    async def listen(self, changed: Callable[[], None]) -> None:
        """Call a function now, and whenever a container starts, ends, or changes its networks.

        :raises EngineError: the connection to the daemon ended. This never returns otherwise.
        """
        await self._get(_url(_EVENTS, _WATCHED), lambda chunk: changed(), began=changed)
        raise EngineError(f"{self._path}: the daemon ended the events")

    async def _get(
        self, url: str, take: Callable[[bytes], None], began: Callable[[], None] = lambda: None
    ) -> None:
        try:
            async with (
                httpcore.AsyncConnectionPool(uds=self._path) as pool,
                pool.stream(
                    "GET", url, extensions={"timeout": {"connect": ANSWER_SECONDS}}
                ) as answer,
            ):
                if answer.status != 200:
                    raise EngineError(f"{self._path}: answered with the status {answer.status}")
                began()
                async for chunk in answer.aiter_stream():
                    take(chunk)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise EngineError(f"{self._path}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return what the system says, below what httpcore makes of it."""
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, OSError) and first.strerror:
            return first.strerror
        first = first.__cause__ or first.__context__
    return str(error) or type(error).__name__


def _url(url: str, filters: Mapping[str, Sequence[str]]) -> str:
    listed: dict[str, Any] = dict(filters)
    return f"{url}?{urlencode({'filters': json.dumps(listed)})}"
