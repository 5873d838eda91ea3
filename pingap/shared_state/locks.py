"""Locks between processes that a dead process cannot keep."""

from __future__ import annotations

import fcntl
import os
import tempfile
import weakref


class ProcessLocks:
    """As many locks as there are numbers: ranges of one byte of a file that has no name.

    They are POSIX record locks: the kernel takes them away from a process that ends, however it
    ends. They belong to the process, so they do not keep its own threads apart, and a fork does not
    inherit what is held. Waiting is left to the kernel too, which tells of a deadlock (``OSError``).
    A process that is stopped, and not killed, keeps its locks.

    Made before the workers are forked: each of them uses the descriptor it inherits.
    """

    def __init__(self) -> None:
        self._fd = _nameless_file()
        weakref.finalize(self, os.close, self._fd)

    def acquire(self, number: int) -> None:
        """Wait for a lock."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, number)

    def try_acquire(self, number: int) -> bool:
        """Take a lock if no other process has it; return whether that was so."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except (BlockingIOError, PermissionError):  # (POSIX allows EAGAIN and EACCES)
            return False
        return True

    def release(self, number: int) -> None:
        """Let go of a lock."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)


def _nameless_file() -> int:
    """Return a descriptor; a child that executes another program does not get it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pingap-locks", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # macOS: removed from its directory at once
        return fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)
