"""Lets plugins reject a connection before anything is read from it (``pingap_connection``)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

from pingap.downstream.listener import endpoint
from pingap.http.client_connection import ClientConnection
from pingap.http.networks import shown
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.process_hooks import Handler
from pingap.shared_state.state import SharedState


class Gate:
    """Decides for the connections of one server.

    :param handlers: the implementations of ``pingap_connection``, in order.
    :param server: its name.
    :param tls: whether the server uses TLS.
    :param refused: counts refused connections by (server, plugin).
    """

    def __init__(
        self,
        handlers: tuple[Handler, ...],
        server: str,
        *,
        tls: bool,
        shared: SharedState,
        failures: PluginFailures,
        refused: Counter[tuple[str, str]],
    ) -> None:
        self._handlers = handlers
        self._server = server
        self._tls = tls
        self._shared = shared
        self._failures = failures
        self._refused = refused

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Ask all handlers; the first that refuses decides."""
        address, port = endpoint(transport.get_extra_info("peername"))
        local, local_port = endpoint(transport.get_extra_info("sockname"))
        connection = ClientConnection(
            shown(address), port, shown(local), local_port, self._server, self._tls, self._shared
        )
        for handler in self._handlers:
            if not self._is_admitted(handler, connection):
                self._refused[self._server, handler.name] += 1
                return False
        return True

    def _is_admitted(self, handler: Handler, connection: ClientConnection) -> bool:
        try:
            return handler.call(connection) is not False
        except BaseException as error:
            self._failures.report(handler.failure(error), "")
            return handler.plugin is None or not handler.plugin.guard


class GatedConnection(asyncio.Protocol):
    """A connection until the decision; then another protocol takes over.

    :param make: makes that protocol.
    """

    __slots__ = ("_gate", "_make", "_next")

    def __init__(self, gate: Gate, make: Callable[[], asyncio.Protocol]) -> None:
        self._gate = gate
        self._make = make
        self._next: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        if self._gate.admits(transport):
            self._next = protocol = self._make()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        # Bytes received after a PROXY header: the reader of the header only knows this protocol.
        if self._next is not None:
            self._next.data_received(data)
