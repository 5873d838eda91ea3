"""When a configuration is to be read again: the files changed, and are quiet since.

``Watcher`` decides, from times and fingerprints that it is given; ``ConfigurationWatch`` looks at
the files. Polling works on every file system, wakes nobody and needs no thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pingap.config.fingerprint import Fingerprint, take_fingerprint
from pingap.config.formats.installed import TOML_ONLY, Formats

POLL_SECONDS: Final = 0.5
"""How often the files are looked at."""
QUIET_SECONDS: Final = 0.2
"""How long they must not change before they are read: a deployment writes many, one after another."""
MISSING_SECONDS: Final = 1.0
"""Instead of that if a file is gone: editors take the old one away before the new one is there."""


class Watcher:
    """Decides; knows no files and no clock.

    :param known: the state of the files before they were read.
    """

    def __init__(self, known: Fingerprint) -> None:
        self._known = known
        self._seen: Fingerprint | None = None  # differs from what is known, and is not yet quiet
        self._since = 0.0

    def __repr__(self) -> str:
        state = "quiet" if self._seen is None else f"changing since {self._since:g}"
        return f"<Watcher {state}>"

    def see(self, now: float, fingerprint: Fingerprint) -> list[str]:
        """Take in the state of the files; tell what changed once nothing changes any more.

        A state is told once: whether it was of use does not matter, it is not tried again until
        something changes.

        :returns: the files that changed since those that are known; empty: nothing to do.
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
        """Return how long until it is worth to look again."""
        if self._seen is None:
            return POLL_SECONDS
        rest = self._since + self._patience(self._seen) - now
        return min(max(rest, QUIET_SECONDS / 4), POLL_SECONDS)

    def know(self, fingerprint: Fingerprint) -> None:
        """Take a state as known: it is about to be read, whatever led to that."""
        self._known = fingerprint
        self._seen = None

    def watch(self, files: Fingerprint) -> None:
        """Know other files from now on, besides the TOML files.

        :param files: their state before they were read. Of those that were watched before, the known
            state stays: what happened to them since is still a change.
        """
        known = self._known.files
        merged = {path: known.get(path, stamp) for path, stamp in files.files.items()}
        self._known = Fingerprint(self._known.listing, merged)
        self._seen = None

    def _patience(self, fingerprint: Fingerprint) -> float:
        return MISSING_SECONDS if fingerprint.lacks_any_of(self._known) else QUIET_SECONDS


class ConfigurationWatch:
    """Watches the files of one configuration.

    Make it before the configuration is read, and give it ``files`` before they are used.

    :param location: as given to ``-c``; empty: only ``files``.
    :param formats: those of the files that are read.
    """

    def __init__(self, location: str, formats: Formats = TOML_ONLY) -> None:
        self._location = location
        self._formats = formats
        self._files: tuple[str, ...] = ()
        self._watcher = Watcher(self._look())

    def poll(self, now: float) -> list[str]:
        """Look at the files; return those that changed, once they are quiet."""
        return self._watcher.see(now, self._look())

    def seconds_to_wait(self, now: float) -> float:
        """Return how long until the next ``poll``."""
        return self._watcher.seconds_to_wait(now)

    def watch(self, files: Iterable[str]) -> None:
        """Watch these files from now on, besides the TOML files: those of ``watched_files``."""
        self._files = tuple(files)
        self._watcher.watch(self._look())

    def know(self) -> None:
        """Take the files as they are now as known: call it before reading them without ``poll``."""
        self._watcher.know(self._look())

    def _look(self) -> Fingerprint:
        return take_fingerprint(self._location, self._files, self._formats)
