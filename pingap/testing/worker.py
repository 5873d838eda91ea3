"""A worker process that is none, for tests of plugins that need no proxy."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from pingap.plugins.durable_store import DurableStore
from pingap.shared_state.bus import Bus
from pingap.shared_state.local import LocalState
from pingap.shared_state.messages import MessageBus


class FakeWorker:
    """A :class:`pingap.Worker` with nothing behind it: for ``startup`` and ``lead``.

    Shared state, bus and store are real ones, of one worker. Use it as a context manager, or call
    ``close``, so that the temporary directory is removed.

    :param state_directory: where ``store`` keeps its file; by default a temporary directory.
    """

    def __init__(self, *, state_directory: Path | None = None) -> None:
        self.shared = LocalState()
        self.bus = MessageBus(Bus())
        self._temporary: TemporaryDirectory[str] | None = None
        if state_directory is None:
            self._temporary = TemporaryDirectory(prefix="pingap-testing-")
            state_directory = Path(self._temporary.name)
        self.store = DurableStore(state_directory / "store")
        self.metrics_pages: dict[str, bytes] = {}
        """Server -> what ``metrics`` returns."""

    async def metrics(self, server: str) -> bytes:
        """Return what ``metrics_pages`` has for a server.

        :raises KeyError: it has nothing.
        """
        return self.metrics_pages[server]

    def close(self) -> None:
        """Close the store, and remove a temporary directory."""
        self.store.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
