"""Upstreams as plugins see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pingap.build.runtime import Runtime
from pingap.plugins.upstream_view import PeerView, UpstreamView
from pingap.upstream.health.ejection import EJECTED_OBSTACLE
from pingap.upstream.health.watch import OBSTACLE
from pingap.upstream.peer import Peer
from pingap.upstream.upstream import UpstreamRuntime


class ServedUpstream(UpstreamView):
    """An upstream of a runtime that is served."""

    def __init__(self, runtime: Runtime, upstream: UpstreamRuntime) -> None:
        self._runtime = runtime
        self._upstream = upstream

    @property
    def name(self) -> str:
        """See ``UpstreamView``."""
        return self._upstream.name

    @property
    def connections(self) -> int:
        """See ``UpstreamView``."""
        return self._upstream.connections

    @property
    def peers(self) -> Sequence[PeerView]:
        """See ``UpstreamView``."""
        return [_view(peer) for peer in self._upstream.peers]

    def drain(self, address: str) -> None:
        """See ``UpstreamView``."""
        self._set(address, drained=True)

    def undrain(self, address: str) -> None:
        """See ``UpstreamView``."""
        self._set(address, drained=False)

    def _set(self, address: str, *, drained: bool) -> None:
        if not any(peer.text == address for peer in self._upstream.peers):
            raise KeyError(address)
        self._runtime.health.drain(self._upstream, address, drained=drained)

    def __repr__(self) -> str:
        return f"<UpstreamView {self.name} {len(self._upstream.peers)} peers>"


def upstream_states(runtime: Runtime) -> list[dict[str, Any]]:
    """Return the state of all upstreams as plain data."""
    return [
        {"name": one.name, "peers": [asdict(_view(peer)) for peer in one.peers]}
        for one in runtime.upstreams.values()
    ]


def _view(peer: Peer) -> PeerView:
    obstacles = peer.obstacles
    return PeerView(
        address=peer.text,
        weight=peer.weight,
        is_backup=peer.backup,
        is_available=peer.is_available,
        is_healthy=OBSTACLE not in obstacles,
        is_ejected=EJECTED_OBSTACLE in obstacles,
        is_drained=peer.is_drained,
        active=peer.in_flight,
        idle=len(peer.idle),
    )
