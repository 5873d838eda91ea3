"""Options of a serving process from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pingap.config import Snapshot, read


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of serving.

    :param conf: what ``-c`` says; empty for a configuration that is not in files.
    :param text: that configuration.
    :param log: what ``--log`` says; empty for standard error.
    :param threads: what ``--threads`` says.
    :param arguments: of the command line, for the process that takes this one's place.
    """

    conf: str = ""
    text: str = ""
    log: str = ""
    threads: int | None = None
    daemon: bool = False
    upgrade: bool = False
    autoreload: bool = False
    autorestart: bool = False
    arguments: tuple[str, ...] = ()

    def read(self) -> Snapshot:
        """Read the texts of the configuration as they are now."""
        if self.conf:
            return read(self.conf)
        return Snapshot.of_text(self.text, "<quick start>", Path())

    @property
    def watches(self) -> bool:
        """Whether changes of the files are applied automatically."""
        return bool(self.conf) and (self.autoreload or self.autorestart)
