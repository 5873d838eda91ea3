"""Values that plugins make from files, and make again when a file changes.

This works with and without ``--autoreload``: lists of users or addresses change more often than the
configuration, and must not need a reload.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Generic, TypeVar

import anyio

from pingap.config.fingerprint import Stamp, stamp_of
from pingap.config.regular_files import open_regular
from pingap.plugins.worker_threads import SharedLimiter, in_thread

log = logging.getLogger("pingap")

POLL_SECONDS: Final = 0.5
"""How often the files are examined. A changed one is read when it was the same twice: writing takes time."""
_limiter: Final = SharedLimiter("watched_files", 2)

ValueT = TypeVar("ValueT")


class WatchedFiles(Generic[ValueT]):
    """A value that is made from files, and made again when one of them changes.

    The files are examined every half second, so a change takes effect in about one second, in each worker.
    If a new version is invalid or missing, an error is logged once, and the previous value stays in use::

        def __init__(self, settings: Settings) -> None:
            path = settings.users_file  # a FilePath
            self.users = WatchedFiles(lambda: parse(path.read_text()), [path])

        async def startup(self, tasks: BackgroundTasks) -> None:
            tasks.start_service(self.users.watch)

    ``self.users.value`` is then the current value. For a :class:`Secret`, pass its ``read_again`` and
    ``path``.

    :param make: makes the value; called at once, and later in a thread. Its ``ValueError`` and ``OSError``
        are messages for the operator and must not show the content of a secret file.
    :param paths: the files; ``None`` among them is left out. Without any, nothing is watched.
    :raises ValueError: the value cannot be made: in ``Plugin.__init__``, a configuration error.

    .. versionadded:: 1.1
    """

    value: ValueT
    """The current value. It is replaced, never changed."""

    def __init__(self, make: Callable[[], ValueT], paths: Iterable[Path | None]) -> None:
        self._make = make
        self._paths = tuple(dict.fromkeys(str(path) for path in paths if path is not None))
        self._known = self._seen = self._look()  # before reading: a change meanwhile is then found
        try:
            self.value = make()
        except OSError as error:
            raise ValueError(_message(error)) from None

    def __repr__(self) -> str:
        return f"<WatchedFiles {', '.join(self._paths)}>"  # without the value, which may be secret

    async def watch(self) -> None:
        """Watch the files until cancelled; pass it to ``tasks.start_service``."""
        while self._paths:
            await anyio.sleep(POLL_SECONDS)
            seen = await in_thread(_limiter.get(), self._look)
            if self._is_due(seen):
                await self._replace()

    def _look(self) -> tuple[Stamp, ...]:
        return tuple(map(stamp_of, self._paths))

    def _is_due(self, seen: tuple[Stamp, ...]) -> bool:
        """Return whether the files have changed and are now stable."""
        is_stable = seen == self._seen
        self._seen = seen
        if seen == self._known or not is_stable:
            return False
        self._known = seen
        return True

    def _make_again(self) -> ValueT:
        for path in self._paths:
            open_regular(path).close()  # ``make`` would wait for the other end of a FIFO
        return self._make()

    async def _replace(self) -> None:
        shown = ", ".join(self._paths)
        try:
            self.value = await in_thread(_limiter.get(), self._make_again)
        except (OSError, ValueError) as error:
            text = _message(error) if isinstance(error, OSError) else str(error)
            log.error("%s changed, but the previous content stays in use: %s", shown, text)  # noqa: TRY400 - the operator's mistake
        else:
            log.info("%s changed and was read again", shown)


def _message(error: OSError) -> str:
    return f"{error.filename or 'the file'} cannot be read: {error.strerror or error}"
