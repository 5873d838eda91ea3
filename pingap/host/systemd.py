"""Notifies systemd of the state of the service (``Type=notify``): sd_notify(3) without its library.

A message is one datagram of ``KEY=value`` lines to the socket in ``NOTIFY_SOCKET``. Without that variable,
nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Final

log = logging.getLogger("pingap")

_SECONDS: Final = 1.0
"""How long a message may wait for systemd, whose queue can be full."""
_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Notifies the service manager of the state of this process.

    systemd accepts messages only from the main process (``NotifyAccess=main``).

    :param address: the value of ``NOTIFY_SOCKET``: a path, or ``@`` and an abstract name.
    :param watchdog: microseconds within which systemd expects a keep-alive; 0: none.
    """

    def __init__(self, address: str = "", watchdog: int = 0) -> None:
        self._address = address
        self._watchdog = watchdog
        self.is_usable = address.startswith(("/", "@")) and len(address) > 1
        """Whether there is a receiver."""
        if address and not self.is_usable:
            log.warning("NOTIFY_SOCKET=%s: expected a path or @ with a name", address)

    @classmethod
    def from_environment(cls) -> Notifier:
        """Read the variables and remove them, so that no child sends messages in our name.

        Call it before the process forks into the background: the watchdog is meant for one process ID.
        """
        address, watchdog, pid = (os.environ.pop(name, "") for name in _VARIABLES)
        meant = not pid or pid == str(os.getpid())
        return cls(address, int(watchdog) if meant and watchdog.isdecimal() else 0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables for the process that replaces us, which becomes the main one."""
        found = {"NOTIFY_SOCKET": self._address, "WATCHDOG_USEC": str(self._watchdog)}
        return {name: value for name, value in found.items() if value not in ("", "0")}

    @property
    def seconds_between_signs(self) -> float | None:
        """How often to call :meth:`alive`: twice within the time that systemd sets."""
        return self._watchdog / 2 / 1_000_000 if self.is_usable and self._watchdog else None

    def ready(self, status: str = "") -> None:
        """Report that requests are served: after the start, and after each reload."""
        self._send("READY=1", status=status)

    def reloading(self, status: str = "") -> None:
        """Report that the configuration is being reloaded; :meth:`ready` follows in any case."""
        # With Type=notify-reload, the time shows that this is the reply to its signal and not an older one.
        self._send("RELOADING=1", f"MONOTONIC_USEC={_monotonic_usec()}", status=status)

    def stopping(self, status: str = "") -> None:
        """Report that requests in progress are completed and no new ones accepted."""
        self._send("STOPPING=1", status=status)

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(status=text)

    def main_pid(self, pid: int) -> None:
        """Report that another process is the main one from now on: the last message of the old one."""
        self._send(f"MAINPID={pid}")

    def alive(self) -> None:
        """Send a keep-alive."""
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
            log.warning("cannot notify systemd %s: %s", lines[0], error.strerror or error)


def _monotonic_usec() -> int:
    return time.monotonic_ns() // 1000
