"""Where pingap keeps what has to survive a restart."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

VARIABLE: Final = "PINGAP_STATE_DIR"
SYSTEM: Final = Path("/var/lib/pingap")


def state_directory() -> Path:
    """Return the directory for state, which may not exist yet.

    The first of these: ``PINGAP_STATE_DIR``; ``STATE_DIRECTORY``, which systemd sets for
    ``StateDirectory=``; ``/var/lib/pingap`` for root, and for the user to whom it belongs;
    ``$XDG_STATE_HOME/pingap``; ``~/.local/state/pingap`` of the user that the worker runs as.
    """
    if configured := os.environ.get(VARIABLE):
        return Path(configured).absolute()
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if os.geteuid() == 0 or _belongs_to_us(SYSTEM):
        return SYSTEM
    home = os.environ.get("XDG_STATE_HOME", "")
    if home.startswith("/"):  # (others are to be ignored, as its specification says)
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
    except KeyError:  # as in a container with a user that has only a number
        return Path(os.environ.get("HOME") or "/")
