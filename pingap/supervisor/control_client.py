"""Finds a running instance and asks it something, over its control socket."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pingap.config.storage_location import location_id
from pingap.supervisor.control_place import sockets_to_try
from pingap.supervisor.control_socket import peer_of

CONNECT_SECONDS: Final = 5.0
"""How long an instance may take to say what it is."""
LONGEST_ANSWER: Final = 16 * 1024 * 1024


class NoInstanceError(Exception):
    """There is no such instance, or more than one; the message tells how to choose."""


class InstanceLostError(Exception):
    """The instance ended, or did not answer."""


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """An instance that answers.

    :param path: its control socket.
    :param pid: its process ID.
    :param conf: the value of ``-c``, without passwords.
    :param conf_id: identifies that location.
    :param state: ``starting``, ``serving`` or ``draining``.
    """

    path: Path
    pid: int
    conf: str
    conf_id: str
    state: str

    def ask(
        self, command: str, seconds: float | None = CONNECT_SECONDS, **more: Any
    ) -> dict[str, Any]:
        """Send a request and return the answer.

        :param seconds: how long it may take; None: no limit.
        :raises InstanceLostError: there is no answer.
        """
        with _connection(self.path) as sock:
            return _ask(sock, seconds, {"command": command, **more})

    def end(self, command: str, seconds: float | None, **more: Any) -> dict[str, Any]:
        """Send a request that ends the instance; return when its process has ended.

        :raises InstanceLostError: there is no answer, or it has not ended in time.
        """
        with _connection(self.path) as sock, _process(peer_of(sock)[0]) as process:
            answer = _ask(sock, CONNECT_SECONDS, {"command": command, "wait": "end", **more})
            if answer.get("ok"):
                process.wait(sock, seconds)
            return answer


def find_instance(
    locations: Sequence[str], pid: int | None = None, pid_file: str = ""
) -> RunningInstance:
    """Return the instance that a configuration or a process ID means.

    :param locations: of the configuration; none: there may be only one instance.
    :param pid_file: ``basic.pid_file`` of the configuration.
    :raises NoInstanceError: there is none, or more than one.
    """
    found = list(_instances(sockets_to_try(pid_file)))
    if pid is not None:
        found, what = [one for one in found if one.pid == pid], f" with the process ID {pid}"
    elif locations:
        wanted = location_id(locations)
        what = "".join(f" with -c {one}" for one in locations)
        found = [one for one in found if one.conf_id == wanted]
    else:
        what = ""
    serving = [one for one in found if one.state != "draining"] or found
    if len(serving) == 1:
        return serving[0]
    if not serving:
        raise NoInstanceError(f"no running instance{what} was found")
    known = "".join(f"\n  --pid {one.pid}  -c {one.conf or '(none)'}" for one in serving)
    raise NoInstanceError(f"there are several instances{what}; choose one:{known}")


def _instances(paths: Iterable[Path]) -> Iterable[RunningInstance]:
    for path in paths:
        with suppress(InstanceLostError):
            with _connection(path) as sock:
                pid = peer_of(sock)[0]
                said = _ask(sock, CONNECT_SECONDS, {"command": "who"})
            found = _instance(path, said)
            if found is not None and pid in (0, found.pid):  # it cannot claim to be another one
                yield found


def _instance(path: Path, said: dict[str, Any]) -> RunningInstance | None:
    """Return the instance that answers; None if the answer is of another version.

    Root asks the instances of all users, so the texts may contain anything.
    """
    pid, *texts = (said.get(key) for key in ("pid", "conf", "conf_id", "state"))
    if not isinstance(pid, int) or not all(isinstance(text, str) for text in texts):
        return None
    conf, identity, state = ("".join(filter(str.isprintable, str(text))) for text in texts)
    return RunningInstance(path, pid, conf, identity, state)


def _connection(path: Path) -> socket.socket:
    """Connect to an instance of this user or root; root trusts all.

    :raises InstanceLostError: nobody is there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_SECONDS)
        sock.connect(str(path))
        uid = peer_of(sock)[1]
    except OSError as error:
        sock.close()
        raise InstanceLostError(f"{path}: {error.strerror or error}") from None
    if uid not in (0, os.geteuid()) and os.geteuid() != 0:
        sock.close()
        raise InstanceLostError(f"{path} belongs to another user")
    return sock


def _ask(sock: socket.socket, seconds: float | None, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request and return the answer. Root asks the instances of all users, which may do anything.

    :param seconds: how long the whole answer may take; None: no limit.
    :raises InstanceLostError: there is no answer.
    """
    try:
        sock.settimeout(CONNECT_SECONDS)
        sock.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(_line(sock, seconds))
    except TimeoutError:
        raise InstanceLostError(f"the instance did not answer within {seconds:g} s") from None
    except (OSError, ValueError, RecursionError):
        raise InstanceLostError("the instance ended before it answered") from None
    if not isinstance(answer, dict):
        raise InstanceLostError("the instance gave an answer of another version")
    return answer


def _line(sock: socket.socket, seconds: float | None) -> bytes:
    """Return what is sent until the end of the line or of the connection.

    :raises TimeoutError: it takes too long, however often something is sent.
    """
    end = None if seconds is None else time.monotonic() + seconds
    parts, size = [b""], 0
    while not parts[-1].endswith(b"\n") and size < LONGEST_ANSWER:
        sock.settimeout(None if end is None else max(end - time.monotonic(), 0.001))
        received = sock.recv(256 * 1024)
        if not received:
            break
        parts.append(received)
        size += len(received)
    return b"".join(parts)


class _process:  # noqa: N801 - a context manager, used like a function
    """A process whose end can be waited for."""

    def __init__(self, pid: int) -> None:
        self._fd = -1
        if pid and hasattr(os, "pidfd_open"):
            with suppress(OSError):  # of another namespace
                self._fd = os.pidfd_open(pid)

    def __enter__(self) -> _process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def wait(self, sock: socket.socket, seconds: float | None) -> None:
        """Return when it has ended, or, if it cannot be observed, when its connection has.

        :raises InstanceLostError: not in time.
        """
        if not select.select([self._fd if self._fd >= 0 else sock], [], [], seconds)[0]:
            raise InstanceLostError(f"the instance has not ended within {seconds:g} s")
