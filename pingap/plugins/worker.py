"""The parts of the worker process that plugins may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pluggy import HookRelay

__all__ = ["HookRelay", "Worker"]

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pingap.config.storage.interface import ConfigStorage
    from pingap.http.request import Request
    from pingap.http.response import Response
    from pingap.observability.notifications import Notification
    from pingap.plugins.certificate_store import CertificateStore
    from pingap.plugins.durable_store import DurableStore
    from pingap.plugins.instance import Instance
    from pingap.plugins.upstream_view import UpstreamView
    from pingap.shared_state.messages import MessageBus
    from pingap.shared_state.state import SharedState


class Worker(Protocol):
    """The worker process, as passed to :meth:`Plugin.startup` and :meth:`Plugin.lead`."""

    @property
    def shared(self) -> SharedState:
        """Numbers that are the same for all workers."""

    @property
    def bus(self) -> MessageBus:
        """Messages between the workers."""

    @property
    def certificates(self) -> CertificateStore:
        """The certificates of servers with TLS; plugins may replace them."""

    async def metrics(self, server: str) -> bytes:
        """Return the metrics page of a server, in the Prometheus text format: the sum of all workers.

        :param server: its name in ``[servers]``.
        :raises KeyError: there is no such server.
        """

    @property
    def storage(self) -> ConfigStorage:
        """The storage of the configuration, as given to ``-c``.

        Writing does not reload: call ``instance.apply``, or let ``-a`` or ``--autoreload`` detect the change.
        """

    @property
    def store(self) -> DurableStore:
        """A small store that survives restarts, and that all workers share."""

    @property
    def instance(self) -> Instance:
        """The running pingap, with all its processes: its configuration, restarts, figures."""

    async def fetch(
        self,
        request: Request,
        *,
        upstream: str,
        body: bytes = b"",
        timeout: float = 30.0,  # noqa: ASYNC109
        keep_body: bool = True,
        response_limit: int = 64 * 1024 * 1024,
    ) -> Response:
        """Send a request to an upstream, and return its response with the whole body.

        It uses the upstream's connections, balancing, TLS and time limits, and counts for health, circuit
        breakers and statistics like a client's request. No location and no plugin is involved. Hop-by-hop
        fields are omitted, and the request itself is not changed. If a connection cannot be established,
        another attempt is made.

        :param request: method, target and headers.
        :param upstream: its name in ``[upstreams]``.
        :param timeout: total time limit in seconds.
        :param keep_body: false: the body is received to its end, but dropped, and has no limit.
        :param response_limit: maximum size of the body in bytes, at most 64 MiB.
        :raises HTTPError: 502, 503 or 504, as a client would get it; 502 for a larger response as well.
        :raises KeyError: there is no such upstream.
        :raises ValueError: the request asks for a tunnel.
        """

    @property
    def upstreams(self) -> Mapping[str, UpstreamView]:
        """The configured upstreams by name, with their peers."""

    def notify(self, event: Notification) -> None:
        """Log an event and have it handled by ``pingap_notification``, in one worker.

        :raises ValueError: it is larger than 64 KiB; a longer ``detail`` is cut.

        .. versionadded:: 1.1
        """

    @property
    def hooks(self) -> HookRelay:
        """The hooks that distributions define (``pingap_hookspecs``), to be called."""
