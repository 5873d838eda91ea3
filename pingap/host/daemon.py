"""Running in the background: ``-d``.

The process that was started waits until the daemon reports over a pipe that it serves, or why it does
not, and exits accordingly. So a shell, a script or ``make`` never mistakes a failed daemon for a running one.

The working directory stays. pingap 0.13.9 changes to ``/``, after which every relative path in the
configuration, in ``-c``, ``--log`` and ``PYTHONPATH``, and in code of plugins, means another file than in
the foreground; at a reload and at an upgrade, too. The only benefit of ``/`` is that a file system can be
unmounted while the daemon runs; where that matters, start pingap in ``/``.

Call it before the process has threads, since a fork keeps only one, and before the event loop starts.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from typing import Final, NoReturn

from pingap.config.references import absolute_path
from pingap.host.log_targets import LogTargetError, stream_of
from pingap.host.privileges import Account, open_for

_UMASK: Final = 0o007
_MOST_TOLD: Final = 32 * 1024
"""Maximum size of a report in bytes; a pipe holds 64 KiB, so that writing never blocks."""


class DaemonError(Exception):
    """Running in the background is not possible; the message gives the reason."""


class Parent:
    """The process that was started, as the daemon sees it: it waits for one report.

    :param fd: the writing end of the pipe.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def succeeded(self, text: str) -> None:
        """Let it print the text and exit with 0."""
        self._tell(0, text)

    def failed(self, text: str, code: int = 1) -> None:
        """Let it print the text and exit with an exit code. Has no effect after the first report."""
        self._tell(code, text)

    def close(self) -> None:
        """Close the pipe. Must be called in every process that is forked before the report."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _tell(self, code: int, text: str) -> None:
        if self._fd >= 0:
            data = text.replace("\0", " ").encode("utf-8", "backslashreplace")[:_MOST_TOLD]
            _write(self._fd, b"%d\n%b\0" % (code, data))
            self.close()


@contextmanager
def daemonize(error_log: str = "", account: Account | None = None) -> Iterator[Parent]:
    """Run the block in the background; the process that was started never enters it.

    An exception that leaves the block is reported to the waiting process, unless a report was sent before.

    :param error_log: file to which standard output and standard error are appended; empty: they are
        unchanged.
    :param account: the user who will serve, and own that file.
    :raises DaemonError: the file cannot be opened, or the system has no resources for another process;
        raised in the process that was started.
    """
    occupy_standard_streams()
    log = _open(error_log, account) if error_log else None
    reading, writing = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    # Interrupts are blocked until the daemon can be notified (``_end_as_told``).
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        child = os.fork()
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        raise DaemonError(f"cannot go into the background: {error.strerror}") from None
    if child:
        os.close(writing)
        _end_as_told(child, reading)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    os.close(reading)
    parent = Parent(writing)
    _leave_the_session(parent)
    _write(writing, b"%d\n" % os.getpid())
    os.umask(_UMASK)
    _redirect(log)
    try:
        yield parent
    except SystemExit as end:
        parent.failed("", end.code if isinstance(end.code, int) else 1)
        raise
    except BaseException as error:
        parent.failed(f"pingap: {type(error).__name__}: {error}")
        raise
    finally:
        parent.close()


def occupy_standard_streams() -> None:
    """Open /dev/null in place of closed standard streams, so that no socket or pipe gets their numbers."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    # Python sets closed streams to None, and code that writes there does not expect that.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _open(error_log: str, account: Account | None) -> int:
    path = absolute_path(error_log)
    try:
        fd = open_for(path, account)
    except LogTargetError as error:
        raise DaemonError(f"basic.error_log: {error}") from None
    except OSError as error:
        # During an upgrade without root privileges, the previous process has it open.
        if _is_standard_error(path):
            return os.dup(2)
        raise DaemonError(f"basic.error_log: cannot open {path}: {error.strerror}") from None
    if not stream_of(path):
        os.set_blocking(fd, True)  # print requires it
    return fd


def _is_standard_error(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(2))
    except OSError:
        return False


def _leave_the_session(parent: Parent) -> None:
    """Leave the session, so that no terminal can be attached to this process."""
    os.setsid()
    try:
        child = os.fork()
    except OSError as error:  # only this process may continue with the caller's code
        parent.failed(f"pingap: cannot go into the background: {error.strerror}")
        os._exit(1)
    if child:
        os._exit(0)


def _redirect(log: int | None) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if log is not None:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)


def _end_as_told(child: int, fd: int) -> NoReturn:
    """Wait for the daemon's report, print it and exit, skipping the caller's cleanup.

    The log files and sockets belong to the daemon.
    """
    said, ended = b"", False
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)  # otherwise an interrupt right before the wait would not end it
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        os.waitpid(child, 0)
        while not said.endswith(b"\0") and not ended:
            if fd not in select([fd, woken], [], [])[0]:
                continue
            # An interrupt here would lose the data that was read, including the daemon's process ID.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
            piece = os.read(fd, 2 * _MOST_TOLD)
            said, ended = said + piece, not piece
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    except KeyboardInterrupt:  # the daemon has no terminal, so it must be signalled here
        said = said or os.read(
            fd, 2 * _MOST_TOLD
        )  # the interrupt may have come before the process ID
        pid = said.partition(b"\n")[0]
        if pid:
            with suppress(OSError):
                os.kill(int(pid), signal.SIGTERM)
        os._exit(128 + signal.SIGINT)
    pid, _, word = said.partition(b"\n")
    code, _, text = word.removesuffix(b"\0").partition(b"\n")
    if not text and code != b"0":
        number = f" (pid {pid.decode()})" if pid else ""
        text = f"pingap: the daemon{number} ended before it was serving".encode()
    _write(2, text + b"\n" if text else b"")
    os._exit(int(code) if code else 1)


def _write(fd: int, data: bytes) -> None:
    """Write, if the reader still exists."""
    with suppress(OSError):
        while data:
            data = data[os.write(fd, data) :]
