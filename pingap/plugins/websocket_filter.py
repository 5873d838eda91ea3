"""What a plugin returns to see the messages of a WebSocket, to change them, or to send its own."""

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
    """Looks at the messages of one WebSocket, or changes them, in both directions.

    Messages are whole and not compressed, however they come. Pings and pongs pass unseen.

    Several filters form a chain: the plugin that is listed first stands next to the client. What it
    returns from ``from_client`` goes to the next one; what it gets in ``from_upstream`` comes from there.

    Example::

        class Shout(WebSocketFilter):
            def from_client(self, message: WebSocketMessage) -> WebSocketMessage | str:
                return message.data.upper() if isinstance(message.data, str) else message
    """

    message_limit: int = MESSAGE_LIMIT
    """Bytes that a message may have, decompressed. The sender of a larger one is closed with 1009. The
    smallest limit in a chain counts. May be set by ``__init__``."""

    stall_timeout: float = STALL_SECONDS
    """Seconds in which a message that has begun has to become complete. A sender that takes longer is
    closed with 1008. Checked about once a second."""

    _tunnel: Tunnel | None = None
    _place = 0

    def opened(self) -> None:
        """Take note that both sides are connected. Messages may be sent from now on."""

    def from_client(self, message: WebSocketMessage) -> Sendable | None:
        """Take a message of the client; return what the upstream gets, or None to drop it.

        :raises Exception: closes both sides with 1011.
        """
        return message

    def from_upstream(self, message: WebSocketMessage) -> Sendable | None:
        """Take a message of the upstream; return what the client gets, or None to drop it.

        :raises Exception: closes both sides with 1011.
        """
        return message

    def closed(self, code: int, reason: str) -> None:
        """Release what was kept. Called once, before ``logging``, even if the WebSocket never opened.

        :param code: of the first close frame, whoever sent it; 1005 if that had none, 1006 if there
            was no such frame.
        :param reason: of that frame.
        """

    def send_to_client(self, message: Sendable) -> bool:
        """Send a message to the client, through the filters between.

        Sent from within ``from_upstream``, it goes before the message that is returned.

        :returns: False if it was not sent: the WebSocket is not open, or, unless a message is just
            passing, the client has not taken yet what it was sent before.
        """
        return self._send(message, to_client=True)

    def send_to_upstream(self, message: Sendable) -> bool:
        """Send a message to the upstream, as ``send_to_client`` does to the client."""
        return self._send(message, to_client=False)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close both sides. What comes from them later is dropped.

        :param code: 1000 to 4999, as far as it may be sent (RFC 6455, 7.4).
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
        """Become part of a chain, or leave it."""
        self._tunnel, self._place = tunnel, place


def as_message(message: object) -> WebSocketMessage:
    """Return what a filter sends as a message.

    :raises TypeError: it is none.
    :raises UnicodeEncodeError: its text has a lone surrogate, which is no character.
    """
    found = message if isinstance(message, WebSocketMessage) else WebSocketMessage(message)  # type: ignore[arg-type]
    if isinstance(found.data, str):
        if not found.data.isascii():
            found.data.encode()
    elif not isinstance(found.data, bytes):
        raise TypeError(f"a message is WebSocketMessage, str, bytes or None, not {message!r:.40}")
    return found
