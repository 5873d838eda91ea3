"""What plugins may use of the worker process that they run in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pluggy import HookRelay

__all__ = ["HookRelay", "Worker"]

if TYPE_CHECKING:
    from pingap.plugins.durable_store import DurableStore
    from pingap.plugins.instance import Instance
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

    async def metrics(self, server: str) -> bytes:
        """Return the metrics page of a server, in the text format of Prometheus: all workers together.

        :param server: its name in ``[servers]``.
        :raises KeyError: there is no such server.
        """

    @property
    def store(self) -> DurableStore:
        """A small store that survives restarts, and that all workers share."""

    @property
    def instance(self) -> Instance:
        """The running pingap, with all its processes: its configuration, restarts, figures."""

    @property
    def hooks(self) -> HookRelay:
        """The hooks that distributions define (``pingap_hookspecs``), to be called."""
