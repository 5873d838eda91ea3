"""The connection of a client before anything was read from it, for ``pingap_connection``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pingap.shared_state.state import SharedState


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """An accepted connection; no data of the client has been read yet.

    :param remote_addr: address of the client as text, an IPv4-mapped one as IPv4; empty for a Unix
        socket. With ``proxy_protocol`` it is the one in the PROXY header.
    :param remote_port: 0 for a Unix socket.
    :param server_addr: the local address.
    :param server_port: the local port.
    :param server: name of the server that accepted it.
    :param tls: whether the server uses TLS; the handshake has not started yet.
    :param shared: state that all workers share.
    """

    remote_addr: str
    remote_port: int
    server_addr: str
    server_port: int
    server: str
    tls: bool
    shared: SharedState
