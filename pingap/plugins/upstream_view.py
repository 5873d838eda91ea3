"""Upstreams as plugins see them: ``worker.upstreams``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """The state of a peer in one worker, at one point in time.

    :param address: as in the configuration and in logs: ``10.0.0.1:8080``.
    :param weight: its share of the requests, relative to that of the others.
    :param is_backup: it gets requests only while no other peer is available.
    :param is_available: requests are sent there: it is neither unhealthy, ejected, drained nor behind an
        open circuit breaker.
    :param is_healthy: no health check has found it unhealthy.
    :param is_ejected: it failed several requests in a row (``passive_failures``).
    :param is_drained: ``drain`` was called.
    :param active: requests of this worker in progress there.
    :param idle: idle connections of this worker (HTTP/1.1).
    """

    address: str
    weight: int
    is_backup: bool = False
    is_available: bool = True
    is_healthy: bool = True
    is_ejected: bool = False
    is_drained: bool = False
    active: int = 0
    idle: int = 0


class UpstreamView(ABC):
    """A configured upstream: its peers, and which of them get no new requests."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in ``[upstreams]``."""

    @property
    @abstractmethod
    def connections(self) -> int:
        """Open connections of this worker."""

    @property
    @abstractmethod
    def peers(self) -> Sequence[PeerView]:
        """Its current peers."""

    @abstractmethod
    def drain(self, address: str) -> None:
        """Send no new requests to a peer, in any worker. Requests in progress are completed.

        This persists across reloads and replacement of workers, as long as the upstream is configured. It is
        kept in memory: after a restart, all peers get requests.

        :param address: as in :class:`PeerView`.
        :raises KeyError: there is no such peer.
        """

    @abstractmethod
    def undrain(self, address: str) -> None:
        """Undo ``drain``; does nothing for a peer that is not drained.

        :raises KeyError: there is no such peer.
        """
