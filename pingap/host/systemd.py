"""Telling systemd how the service fares (``Type=notify``): sd_notify(3) without its library.

A message is one datagram of ``KEY=value`` lines to the socket that ``NOTIFY_SOCKET`` names. Without that
variable, everything here does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Final

log = logging.getLogger("pingap")

_SECONDS: Final = 1.0
"""How long a message may wait for systemd, which has a queue of its own."""
_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Tells the service manager what the process does.

    Only the process that systemd takes for the main one is heard (``NotifyAccess=main``).

    :param address: the value of ``NOTIFY_SOCKET``: a path, or ``@`` and an abstract name.
    :param watchdog: microseconds within which systemd wants to hear from us; 0: never.
    """

    def __init__(self, address: str = "", watchdog: int = 0) -> None:
        self._address = address
        self._watchdog = watchdog
        self.is_usable = address.startswith(("/", "@")) and len(address) > 1
        """Whether there is somebody who is told."""
        if address and not self.is_usable:
            log.warning("NOTIFY_SOCKET=%s: expected a path or @ with a name", address)

    @classmethod
    def from_environment(cls) -> Notifier:
        """Read the variables and remove them, so that no child speaks in our name.

        Before the process forks into the background: the watchdog is meant for one process id.
        """
        address, watchdog, pid = (os.environ.pop(name, "") for name in _VARIABLES)
        meant = not pid or pid == str(os.getpid())
        return cls(address, int(watchdog) if meant and watchdog.isdecimal() else 0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables for the process that takes our place: it is to become the main one."""
        found = {"NOTIFY_SOCKET": self._address, "WATCHDOG_USEC": str(self._watchdog)}
        return {name: value for name, value in found.items() if value not in ("", "0")}

    @property
    def seconds_between_signs(self) -> float | None:
        """How often to call :meth:`alive`: twice within the time that systemd gives."""
        return self._watchdog / 2 / 1_000_000 if self.is_usable and self._watchdog else None

    def ready(self, status: str = "") -> None:
        """Say that requests are served: after the start, and after each reload."""
        self._send("READY=1", status=status)

    def reloading(self, status: str = "") -> None:
        """Say that the configuration is read again; :meth:`ready` follows, whatever comes of it."""
        # Type=notify-reload tells by the time that this answers its signal and not an earlier one.
        self._send("RELOADING=1", f"MONOTONIC_USEC={_monotonic_usec()}", status=status)

    def stopping(self, status: str = "") -> None:
        """Say that requests under way are answered and no new ones taken."""
        self._send("STOPPING=1", status=status)

    def status(self, text: str) -> None:
        """Give the line that ``systemctl status`` shows."""
        self._send(status=text)

    def main_pid(self, pid: int) -> None:
        """Say that another process is the main one from now on: the last word of the old one."""
        self._send(f"MAINPID={pid}")

    def alive(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str, status: str = "") -> None:
        if not self.is_usable:
            return
        if status:
            lines += (f"STATUS={' '.join(status.split())}",)
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_SECONDS)
                sock.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("cannot tell systemd %s: %s", lines[0], error.strerror or error)


def _monotonic_usec() -> int:
    return time.monotonic_ns() // 1000
