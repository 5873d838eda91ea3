"""The types of ASGI 3.0, as its specification writes them: dictionaries and async callables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSION = "3.0"
HTTP_VERSION = "2.4"
"""Of the HTTP and WebSocket specification: ``send`` raises ``OSError`` once the client is gone."""
LIFESPAN_VERSION = "2.0"


class Disconnected(OSError):
    """The client is gone: what the application sends reaches nobody."""


class ProtocolError(RuntimeError):
    """The application sent a message that is invalid, or not at this point."""


def is_of_client(error: BaseException) -> bool:
    """Return whether an exception only says that the client is gone.

    Applications that do not expect this let it pass: Starlette turns it into its own ``ClientDisconnect`` and
    ``WebSocketDisconnect``, and task groups wrap it.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_of_client(one) for one in error.exceptions)
    return isinstance(error, OSError) or type(error).__name__ in _NAMES


_NAMES = frozenset(("ClientDisconnect", "WebSocketDisconnect", "ClientDisconnected"))
