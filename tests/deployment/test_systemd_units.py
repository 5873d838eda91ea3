"""The units of systemd are ones that systemd understands, and fit the program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.blocks import ROOT
from support.command import invoke

from pingap.config import BasicConfig, parse_listen

UNITS = ROOT / "contrib" / "systemd"
SERVICE = (UNITS / "pingap.service").read_text()
SOCKET = (UNITS / "pingap.socket").read_text()
PROGRAM = "/opt/pingap/bin/pingap"

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units with a program that is there."""
    program = Path(sys.executable).with_name("pingap")
    for name, text in {"pingap.service": SERVICE, "pingap.socket": SOCKET}.items():
        (tmp_path / name).write_text(text.replace(PROGRAM, str(program)))
    return sorted(tmp_path.iterdir())


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_units(units: list[Path]) -> None:
    done = analyze("verify", "--man=no", *units)
    assert (done.returncode, done.stderr) == (0, "")  # unknown keys are only told


@needs_systemd
def test_systemd_finds_a_mistake(units: list[Path]) -> None:
    units[0].write_text(units[0].read_text().replace("ProtectHome=", "ProtectHoem="))
    assert "ProtectHoem" in analyze("verify", "--man=no", *units).stderr


@needs_systemd
def test_the_service_is_hardened(units: list[Path]) -> None:
    if "--offline" not in analyze("--help").stdout:
        pytest.skip("this systemd-analyze cannot judge a file (before 250)")
    done = analyze("security", "--offline=true", "--threshold=25", "--no-pager", units[0])
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("key", ["ExecStart", "ExecReload", "ExecStop"])
def test_the_service_uses_options_that_there_are(key: str) -> None:
    (line,) = values(SERVICE, key)
    program, *arguments = line.split()
    assert program == PROGRAM
    command = [one for one in arguments if one in ("reload", "stop")]
    code, text, _ = invoke(*command, "--help")
    assert code == 0
    for option in re.findall(r" (--?[a-z]+)", line):
        assert re.search(rf"(^|[ ,]){option}[ ,]", text, re.MULTILINE), option


def test_the_service_is_given_the_time_and_the_files_that_it_needs() -> None:
    basic = BasicConfig()
    (stop,) = values(SERVICE, "TimeoutStopSec")
    assert int(stop) > basic.grace_period + basic.graceful_shutdown_timeout
    (files,) = values(SERVICE, "LimitNOFILE")
    assert int(files) >= 2 * basic.max_connections + 256
    assert values(SERVICE, "Type") == ["notify"]
    assert int(values(SERVICE, "WatchdogSec")[0]) >= 10


def test_each_port_of_the_socket_unit_can_be_an_address_of_a_server() -> None:
    streams = values(SOCKET, "ListenStream")
    assert [str(parse_listen(stream)[0]) for stream in streams] == streams
