"""What systemd hears: real datagrams to a real socket."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pingap.host.systemd import Notifier


class Manager:
    """The end of the socket where systemd listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    @property
    def heard(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    with TemporaryDirectory(prefix="pingap-") as folder:
        if request.param == "path":
            address = f"{folder}/notify"
        elif os.uname().sysname == "Linux":
            address = f"@{folder}/notify"
        else:
            pytest.skip("abstract names are of Linux")
        found = Manager(address)
        with found.socket:
            yield found


def test_the_states_of_a_service(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.ready()
    assert manager.heard == "READY=1"
    notifier.ready("serving\nwith 2 workers")
    assert manager.heard == "READY=1\nSTATUS=serving with 2 workers"
    notifier.status("draining")
    assert manager.heard == "STATUS=draining"
    notifier.main_pid(123)
    assert manager.heard == "MAINPID=123"
    notifier.alive()
    assert manager.heard == "WATCHDOG=1"
    notifier.stopping("answering 3 requests")
    assert manager.heard == "STOPPING=1\nSTATUS=answering 3 requests"


def test_reloading_tells_when(manager: Manager) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(manager.address).reloading("reading conf.d")
    first, when, status = manager.heard.split("\n")
    assert (first, status) == ("RELOADING=1", "STATUS=reading conf.d")
    name, _, number = when.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(number) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_variables_are_read_once_and_no_child_inherits_them(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = Notifier.from_environment()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()
    assert notifier.seconds_between_signs == 1.5
    notifier.ready()
    assert manager.heard == "READY=1"
    # The id in WATCHDOG_PID is of this process; its successor is to give signs of life as well.
    assert notifier.environment == {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000"}
    for name, value in notifier.environment.items():
        monkeypatch.setenv(name, value)
    assert Notifier.from_environment().seconds_between_signs == 1.5


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("", "", None), ("0", "", None), ("abc", "", None), ("2000000", "1", None), ("10", "", 5e-06)],
)
def test_the_watchdog_may_be_off_or_meant_for_another_process(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert Notifier.from_environment().seconds_between_signs == seconds


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    notifier = Notifier.from_environment()
    notifier.ready("serving")
    notifier.alive()
    assert notifier.seconds_between_signs is None
    assert notifier.environment == {}


def test_an_address_of_another_kind_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier("vsock:2:1234", 1000)
    notifier.ready()
    assert notifier.seconds_between_signs is None
    assert caplog.messages == ["NOTIFY_SOCKET=vsock:2:1234: expected a path or @ with a name"]


def test_a_manager_that_is_gone_or_does_not_listen_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    Notifier(str(tmp_path / "gone")).ready()
    assert caplog.messages == ["cannot notify systemd READY=1: No such file or directory"]
    with TemporaryDirectory(prefix="pingap-") as folder:
        deaf = Manager(f"{folder}/notify")
        with deaf.socket:
            notifier = Notifier(deaf.address)
            began = time.monotonic()
            while len(caplog.messages) == 1 and time.monotonic() < began + 20:
                notifier.alive()
    assert caplog.messages[1] == "cannot notify systemd WATCHDOG=1: timed out"
