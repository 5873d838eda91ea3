"""What becomes of the upstream connections that belong to one client's connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pingap.http.headers import Headers
from pingap.http.response import Response
from pingap.upstream.connections.challenges import asks_to_sign_in
from pingap.upstream.connections.pinned import MOST_IDLE, Pins


class Connection:
    """Notes whether it was ended."""

    ended = False

    def close(self) -> None:
        self.ended = True

    retire = close


class Peer:
    """Can serve, or cannot."""

    def __init__(self, *, is_available: bool = True) -> None:
        self.is_available = is_available


peer: Any = Peer


def test_few_idle_connections_are_kept() -> None:
    pinned, connections = Pins().pin(peer()), [Connection() for _ in range(MOST_IDLE + 2)]
    for one in connections:
        pinned.idle.append(one)  # type: ignore[arg-type]
    assert [one.ended for one in connections] == [False] * MOST_IDLE + [True] * 2
    assert pinned.take() is connections[MOST_IDLE - 1]


def test_all_end_with_the_client() -> None:
    pins, idle, shared, busy, late = Pins(), Connection(), Connection(), Connection(), Connection()
    pinned = pins.pin(peer())
    pinned.idle.append(idle)  # type: ignore[arg-type]
    pinned.shared.connections.add(shared)  # type: ignore[arg-type]
    pins.release()
    pinned.idle.append(busy)  # type: ignore[arg-type]  # its request has ended
    pins.pin(peer()).idle.append(late)  # type: ignore[arg-type]
    assert all(one.ended for one in (idle, shared, busy, late))


def test_the_peer_that_knows_the_client_is_chosen_if_it_can_serve() -> None:
    pins, gone, down, up, tried = Pins(), peer(), peer(is_available=False), peer(), peer()
    upstream: Any = SimpleNamespace(peers=[down, up, tried])
    for one in (up, gone, down, tried):
        pins.pin(one)
    assert pins.choose(upstream, [tried]) is up
    assert pins.choose(upstream, [tried, up]) is None


@pytest.mark.parametrize(
    ("name", "value", "asks"),
    [
        ("WWW-Authenticate", "NTLM", True),
        ("WWW-Authenticate", "Basic realm=x, negotiate", True),
        ("Proxy-Authenticate", "Negotiate", True),
        ("WWW-Authenticate", "Basic realm=NTLM", False),
        ("X-Authenticate", "NTLM", False),
    ],
)
def test_challenges(name: str, value: str, asks: bool) -> None:
    headers = Headers()
    headers.add("WWW-Authenticate", "Digest x")
    headers.add(name, value)
    response = Response(401)
    response.headers = headers
    assert asks_to_sign_in(response) is asks
