"""Locks between processes that are released when a process dies."""

from __future__ import annotations

import fcntl
import os
import tempfile
import weakref


class ProcessLocks:
    """A set of numbered locks: ranges of one byte of a nameless file.

    They are POSIX record locks: the kernel releases those of a process that ends in any way. They belong to
    the process, so they do not exclude its own threads, and a fork does not inherit held locks. Waiting is
    left to the kernel too, which reports a deadlock (``OSError``). A process that is stopped but not killed
    keeps its locks.

    Created before the workers are forked: each of them uses the inherited descriptor.
    """

    def __init__(self) -> None:
        self._fd = _nameless_file()
        weakref.finalize(self, os.close, self._fd)

    def acquire(self, number: int) -> None:
        """Wait for a lock."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, number)

    def try_acquire(self, number: int) -> bool:
        """Take a lock if no other process has it; return whether it was taken."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except (BlockingIOError, PermissionError):  # POSIX allows EAGAIN and EACCES
            return False
        return True

    def release(self, number: int) -> None:
        """Release a lock."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)


def _nameless_file() -> int:
    """Return a descriptor that is not inherited by other programs."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pingap-locks", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # macOS: removed from its directory immediately
        return fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)
