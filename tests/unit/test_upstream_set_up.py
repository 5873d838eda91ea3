"""Limits of making a connection to an upstream that cannot be waited for through a proxy."""

from __future__ import annotations

import socket

import anyio
import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import parse
from pingap.http.connection import Connection
from pingap.http.errors import UpstreamError
from pingap.upstream import upstream as upstream_module


def test_a_tls_handshake_does_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "HANDSHAKE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        addr = f"127.0.0.1:{silent.getsockname()[1]}"
        text = f'[upstreams.a]\naddrs = ["{addr}"]\nsni = "a.example"\nverify_cert = false\n'
        one = build(parse(text), installed_registry()).upstreams["a"]

        async def connect() -> None:
            client, peer = Connection(1, ("", 0), ("", 0)), one.peers[0]
            await one.connect(peer, client, peer, one.timeouts)

        with pytest.raises(UpstreamError, match="TLS handshake in time") as raised:
            anyio.run(connect)
    assert (raised.value.status, raised.value.error_type) == (504, "ConnectTimedout")
    assert raised.value.connecting
