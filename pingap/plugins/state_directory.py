"""The directory for data that must survive a restart."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

VARIABLE: Final = "PINGAP_STATE_DIR"
SYSTEM: Final = Path("/var/lib/pingap")


def state_directory() -> Path:
    """Return the state directory, which may not exist yet.

    The first of these: ``PINGAP_STATE_DIR``; ``STATE_DIRECTORY``, which systemd sets for
    ``StateDirectory=``; ``/var/lib/pingap`` for root and for the user who owns it;
    ``$XDG_STATE_HOME/pingap``; ``~/.local/state/pingap`` of the user that the worker runs as.
    """
    if configured := os.environ.get(VARIABLE):
        return Path(configured).absolute()
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if os.geteuid() == 0 or _belongs_to_us(SYSTEM):
        return SYSTEM
    home = os.environ.get("XDG_STATE_HOME", "")
    if home.startswith("/"):  # relative paths must be ignored (XDG Base Directory Specification)
        return Path(home) / "pingap"
    return _home() / ".local/state/pingap"


def _belongs_to_us(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _home() -> Path:
    """Return the user's home; ``HOME`` may still be that of root (``basic.user``)."""
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:  # in a container, the user may have only a number
        return Path(os.environ.get("HOME") or "/")
