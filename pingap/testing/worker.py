"""A fake worker process, for tests of plugins that need no proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import parse
from pingap.config.storage.memory import MemoryStorage
from pingap.http.errors import HTTPError
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.observability.notifications import Notification
from pingap.plugins.durable_store import DurableStore
from pingap.plugins.upstream_view import PeerView, UpstreamView
from pingap.shared_state.bus import Bus
from pingap.shared_state.local import LocalState
from pingap.shared_state.messages import MessageBus
from pingap.testing.closing import Closing
from pingap.worker.certificates import Certificates
from pingap.worker.listening import Listening
from pingap.worker.lone_instance import LoneInstance


class FakeUpstream(UpstreamView):
    """An upstream without a proxy, for :attr:`FakeWorker.upstreams`.

    :param peers: the peers, some of which may be unavailable.
    """

    def __init__(self, name: str, peers: Iterable[PeerView] = ()) -> None:
        self._name = name
        self._peers = list(peers)

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def connections(self) -> int:
        """Connections to all peers."""
        return sum(peer.active + peer.idle for peer in self._peers)

    @property
    def peers(self) -> Sequence[PeerView]:
        """The peers, including drained ones."""
        return list(self._peers)

    def drain(self, address: str) -> None:
        """Drain a peer.

        :raises KeyError: there is no such peer.
        """
        self._replace(address, is_drained=True, is_available=False)

    def undrain(self, address: str) -> None:
        """Make a peer available again, unless it is unhealthy or ejected.

        :raises KeyError: there is no such peer.
        """
        self._replace(address, is_drained=False)

    def _replace(self, address: str, *, is_drained: bool, is_available: bool = True) -> None:
        if address not in [peer.address for peer in self._peers]:
            raise KeyError(address)
        for place, peer in enumerate(self._peers):
            if peer.address == address:
                is_well = is_available and peer.is_healthy and not peer.is_ejected
                self._peers[place] = replace(peer, is_drained=is_drained, is_available=is_well)


class _Nothing:
    """A worker that serves a configuration without servers."""

    leads = False
    connections = 0

    def __init__(self) -> None:
        self.runtime = build(parse(""), installed_registry([]))
        self.sockets: list[Listening] = []

    async def prepare(self, runtime: Runtime) -> None:
        """Do nothing: no plugin is started."""

    def discard(self) -> None:
        """Do nothing: no plugin was started."""

    async def swap(self, runtime: Runtime, sockets: Iterable[Listening] | None = None) -> None:
        """Use the next configuration."""
        self.runtime = runtime


class FakeWorker(Closing):
    """A :class:`pingap.Worker` with nothing behind it: for ``startup`` and ``lead``.

    Shared state, bus, store and certificates are real, for one worker. Use it as a context manager, or call
    ``close``, so that the temporary directory is removed.

    :param state_directory: the directory of ``store``; by default a temporary directory.
    """

    def __init__(self, *, state_directory: Path | None = None) -> None:
        self.shared = LocalState()
        self.bus = MessageBus(Bus())
        self._temporary: TemporaryDirectory[str] | None = None
        if state_directory is None:
            self._temporary = TemporaryDirectory(prefix="pingap-testing-")
            state_directory = Path(self._temporary.name)
        self.store = DurableStore(state_directory / "store")
        self.upstreams: dict[str, UpstreamView] = {}
        """Name -> upstream, such as a :class:`FakeUpstream`; initially empty."""
        self.responses: dict[str, Callable[[Request, bytes], Response]] = {}
        """Upstream -> function that makes the response of ``fetch`` from a request and its body."""
        serving = _Nothing()
        self.certificates = Certificates(lambda: serving.runtime)
        """The replaced certificates, checked as in a proxy; no server serves them."""
        self.storage = MemoryStorage()
        """A configuration in memory; initially empty."""
        self.instance = LoneInstance(serving)
        """Checks configurations; an applied one is visible as ``instance.config``, but nothing serves it."""
        self.hooks = serving.runtime.registry.hooks
        """Without the hooks of distributions."""
        self.notifications: list[Notification] = []
        """The events passed to ``notify``."""
        self.metrics_pages: dict[str, bytes] = {}
        """Server -> the result of ``metrics``."""

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
        """Return the response that ``responses`` makes for an upstream; it may raise ``HTTPError``.

        :raises KeyError: there is no entry for that upstream.
        """
        response = self.responses[upstream](request, body)
        if keep_body and (response.content_length or 0) > response_limit:
            raise HTTPError(502, f"The response has more than {response_limit} bytes")
        if not keep_body:
            response = response.copy()
            response.body = b""
        return response

    async def metrics(self, server: str) -> bytes:
        """Return the entry of ``metrics_pages`` for a server.

        :raises KeyError: there is none.
        """
        return self.metrics_pages[server]

    def notify(self, event: Notification) -> None:
        """Keep an event in ``notifications``."""
        self.notifications.append(event)

    def close(self) -> None:
        """Close the store, and remove a temporary directory."""
        self.store.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
