"""Upstreams as plugins see them: ``worker.upstreams``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """A peer at one moment, as one worker sees it.

    :param address: as in the configuration and in logs: ``10.0.0.1:8080``.
    :param weight: its share of the requests, compared to that of the others.
    :param is_backup: it gets requests only while no other peer is available.
    :param is_available: requests are sent there: it is neither unhealthy, ejected, drained nor behind an
        open circuit breaker.
    :param is_healthy: health checks do not say the contrary.
    :param is_ejected: it failed several requests in a row (``passive_failures``).
    :param is_drained: ``drain`` was called.
    :param active: requests of this worker that are under way there.
    :param idle: connections of this worker (HTTP/1.1) that wait for a request.
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
        """Its peers at this moment."""

    @abstractmethod
    def drain(self, address: str) -> None:
        """Send no new requests to a peer, in any worker. Those under way are completed.

        This outlasts reloads, and workers that are replaced, as long as the upstream is configured. It is
        kept in memory: after a restart all peers get requests.

        :param address: as in :class:`PeerView`.
        :raises KeyError: there is no such peer now.
        """

    @abstractmethod
    def undrain(self, address: str) -> None:
        """Take back ``drain``; it does nothing for a peer that is not drained.

        :raises KeyError: there is no such peer now.
        """
