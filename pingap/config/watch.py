"""Decides when to read a configuration again: its files have changed and are now stable.

``Watcher`` decides, based on times and fingerprints that are passed in; ``ConfigurationWatch`` examines
the files. Polling works on every file system and needs no thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pingap.config.fingerprint import Fingerprint, take_fingerprint
from pingap.config.formats.installed import TOML_ONLY, Formats

POLL_SECONDS: Final = 0.5
"""How often the files are examined."""
QUIET_SECONDS: Final = 0.2
"""How long they must be stable before they are read: a deployment writes many files in a row."""
MISSING_SECONDS: Final = 1.0
"""The same if a file is missing: editors remove the old file before they write the new one."""


class Watcher:
    """Makes the decision; accesses neither files nor a clock.

    :param known: the state of the files before they were read.
    """

    def __init__(self, known: Fingerprint) -> None:
        self._known = known
        self._seen: Fingerprint | None = None  # differs from the known state, and is not yet stable
        self._since = 0.0

    def __repr__(self) -> str:
        state = "quiet" if self._seen is None else f"changing since {self._since:g}"
        return f"<Watcher {state}>"

    def see(self, now: float, fingerprint: Fingerprint) -> list[str]:
        """Record the state of the files; return the changes once nothing changes any more.

        A state is returned only once: even if it could not be used, it is not tried again until something
        changes.

        :returns: the files that changed compared to the known state; empty: nothing to do.
        """
        if fingerprint == self._known:
            self._seen = None
            return []
        if fingerprint != self._seen:
            self._seen = fingerprint
            self._since = now
            return []
        if now - self._since < self._patience(fingerprint):
            return []
        changed = fingerprint.changed_since(self._known)
        self.know(fingerprint)
        return changed

    def seconds_to_wait(self, now: float) -> float:
        """Return the time until the next examination is useful."""
        if self._seen is None:
            return POLL_SECONDS
        rest = self._since + self._patience(self._seen) - now
        return min(max(rest, QUIET_SECONDS / 4), POLL_SECONDS)

    def know(self, fingerprint: Fingerprint) -> None:
        """Record a state as known: it is about to be read, for any reason."""
        self._known = fingerprint
        self._seen = None

    def watch(self, files: Fingerprint) -> None:
        """Watch other files from now on, besides the TOML files.

        :param files: their state before they were read. Files that were already watched keep their known
            state: changes to them since then still count.
        """
        known = self._known.files
        merged = {path: known.get(path, stamp) for path, stamp in files.files.items()}
        self._known = Fingerprint(self._known.listing, merged)
        self._seen = None

    def _patience(self, fingerprint: Fingerprint) -> float:
        return MISSING_SECONDS if fingerprint.lacks_any_of(self._known) else QUIET_SECONDS


class ConfigurationWatch:
    """Watches the files of one configuration.

    Create it before the configuration is read, and pass it ``files`` before they are used.

    :param location: as given to ``-c``; empty: only ``files``.
    :param formats: the formats of the files that are read.
    """

    def __init__(self, location: str, formats: Formats = TOML_ONLY) -> None:
        self._location = location
        self._formats = formats
        self._files: tuple[str, ...] = ()
        self._watcher = Watcher(self._look())

    def poll(self, now: float) -> list[str]:
        """Examine the files; return those that changed, once they are stable."""
        return self._watcher.see(now, self._look())

    def seconds_to_wait(self, now: float) -> float:
        """Return the time until the next ``poll``."""
        return self._watcher.seconds_to_wait(now)

    def watch(self, files: Iterable[str]) -> None:
        """Watch these files from now on, besides the TOML files: those of ``watched_files``."""
        self._files = tuple(files)
        self._watcher.watch(self._look())

    def know(self) -> None:
        """Record the current files as known: call it before reading them without ``poll``."""
        self._watcher.know(self._look())

    def _look(self) -> Fingerprint:
        return take_fingerprint(self._location, self._files, self._formats)
