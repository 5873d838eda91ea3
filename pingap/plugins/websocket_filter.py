"""The filter that a plugin returns to read or change the messages of a WebSocket, or to send its own."""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

from pingap.protocol.websocket_frames import NORMAL, Close, WebSocketMessage, check_close

MESSAGE_LIMIT: Final = 1024 * 1024
STALL_SECONDS: Final = 30.0

Sendable: TypeAlias = WebSocketMessage | str | bytes
"""A message, the text of one, or the bytes of a binary one."""


class Tunnel(Protocol):
    """The WebSocket, as its filters see it."""

    def send(self, place: int, message: WebSocketMessage, *, to_client: bool) -> bool:
        """Send a message of the filter at that place; return False if that is not possible now."""

    def close(self, close: Close) -> None:
        """Close both sides."""


class WebSocketFilter:
    """Reads or changes the messages of one WebSocket, in both directions.

    Messages are whole and decompressed, regardless of their frames. Pings and pongs are not shown to it.

    Several filters form a chain: the plugin that is listed first is next to the client. Its result of
    ``from_client`` goes to the next one, which is also the source of its ``from_upstream``.

    Example::

        class Shout(WebSocketFilter):
            def from_client(self, message: WebSocketMessage) -> WebSocketMessage | str:
                return message.data.upper() if isinstance(message.data, str) else message
    """

    message_limit: int = MESSAGE_LIMIT
    """Maximum size of a message in bytes, decompressed. The sender of a larger one is closed with 1009. The
    smallest limit in a chain applies. ``__init__`` may set it."""

    stall_timeout: float = STALL_SECONDS
    """Seconds within which a message must be complete. A sender that takes longer is closed with 1008.
    Checked about once a second."""

    _tunnel: Tunnel | None = None
    _place = 0

    def opened(self) -> None:
        """Called when both sides are connected. Messages can be sent from now on."""

    def from_client(self, message: WebSocketMessage) -> Sendable | None:
        """Handle a message of the client; return the message for the upstream, or None to drop it.

        :raises Exception: closes both sides with 1011.
        """
        return message

    def from_upstream(self, message: WebSocketMessage) -> Sendable | None:
        """Handle a message of the upstream; return the message for the client, or None to drop it.

        :raises Exception: closes both sides with 1011.
        """
        return message

    def closed(self, code: int, reason: str) -> None:
        """Release resources. Called once, before ``logging``, even if the WebSocket never opened.

        :param code: of the first close frame, from either side; 1005 if it had none, 1006 if there was no
            such frame.
        :param reason: of that frame.
        """

    def send_to_client(self, message: Sendable) -> bool:
        """Send a message to the client, through the filters in between.

        If sent from within ``from_upstream``, it goes before the message that is returned.

        :returns: False if it was not sent: the WebSocket is not open, or the client has not yet received
            earlier data. The latter does not apply while a message is being passed on.
        """
        return self._send(message, to_client=True)

    def send_to_upstream(self, message: Sendable) -> bool:
        """Send a message to the upstream, as ``send_to_client`` does to the client."""
        return self._send(message, to_client=False)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close both sides. Later messages from them are dropped.

        :param code: 1000 to 4999, except codes that must not be sent (RFC 6455, 7.4).
        :param reason: at most 123 bytes of UTF-8.
        :raises ValueError: another code, or a longer reason.
        """
        close = check_close(code, reason)
        if self._tunnel is not None:
            self._tunnel.close(close)

    def _send(self, message: Sendable, *, to_client: bool) -> bool:
        if self._tunnel is None:
            return False
        return self._tunnel.send(self._place, as_message(message), to_client=to_client)

    def _join(self, tunnel: Tunnel | None, place: int) -> None:
        """Join a chain, or leave it."""
        self._tunnel, self._place = tunnel, place


def as_message(message: object) -> WebSocketMessage:
    """Return a value that a filter sends as a message.

    :raises TypeError: it is not a message.
    :raises UnicodeEncodeError: its text has a lone surrogate, which is no character.
    """
    found = message if isinstance(message, WebSocketMessage) else WebSocketMessage(message)  # type: ignore[arg-type]
    if isinstance(found.data, str):
        if not found.data.isascii():
            found.data.encode()
    elif not isinstance(found.data, bytes):
        raise TypeError(f"a message is WebSocketMessage, str, bytes or None, not {message!r:.40}")
    return found
