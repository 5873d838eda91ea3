"""``-d``: what the shell that starts it sees, and what the daemon is afterwards."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import is_running, start
from support.waiting import until

SUCCEEDS = """
import json, os, signal, sys
from pingap.host.daemon import daemonize
signal.alarm(30)  # never left behind
with daemonize(sys.argv[1]) as parent:
    print("printed by a plugin", flush=True)
    os.write(2, b"an error\\n")
    facts = {
        "pid": os.getpid(), "session": os.getsid(0), "parent": os.getppid(), "folder": os.getcwd(),
        "umask": os.umask(0), "stdin": os.read(0, 1).decode(),
    }
    with open("facts", "w") as file:
        json.dump(facts, file)
    parent.succeeded(f"serving, pid {os.getpid()}")
    parent.failed("too late")
    signal.pause()
"""


class Daemons:
    """Starts scripts that go into the background, and ends what they left there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out, self.err = folder / "out", folder / "err"

    def run(self, code: str, error_log: str = "") -> int:
        # Files, because a pipe would be open as long as the daemon is.
        with self.out.open("w") as out, self.err.open("w") as err:
            process = start(code, error_log, cwd=self.folder, stdout=out, stderr=err)
            return process.wait(20)

    @property
    def facts(self) -> dict[str, object]:
        return json.loads((self.folder / "facts").read_text())

    def stop(self) -> None:
        if (self.folder / "facts").exists():
            pid = self.facts["pid"]
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGKILL)
            until(lambda: not is_running(pid))


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    found = Daemons(tmp_path)
    yield found
    found.stop()


def test_the_starting_process_tells_success_and_leaves_a_daemon(daemons: Daemons) -> None:
    assert daemons.run(SUCCEEDS) == 0
    facts = daemons.facts
    pid = facts["pid"]
    assert isinstance(pid, int)
    assert is_running(pid)
    assert daemons.err.read_text() == f"an error\nserving, pid {pid}\n"
    assert daemons.out.read_text() == "printed by a plugin\n"


def test_the_daemon_has_no_terminal_and_keeps_its_folder(daemons: Daemons) -> None:
    daemons.run(SUCCEEDS)
    facts = daemons.facts
    assert facts["session"] not in (facts["pid"], os.getsid(0))  # and is not its leader
    assert facts["umask"] == 0o007
    assert facts["stdin"] == ""
    assert facts["folder"] == str(daemons.folder)


def test_error_log_gets_what_is_printed_and_is_appended_to(daemons: Daemons) -> None:
    log = daemons.folder / "logs" / "error.log"
    log.parent.mkdir()
    log.write_text("of before\n")
    assert daemons.run(SUCCEEDS, "logs/error.log") == 0
    assert log.read_text() == "of before\nprinted by a plugin\nan error\n"
    assert daemons.out.read_text() == ""
    assert daemons.err.read_text().startswith("serving, pid ")


def test_error_log_is_not_for_everybody(daemons: Daemons) -> None:
    daemons.run(SUCCEEDS, "new/error.log")
    mode = (daemons.folder / "new" / "error.log").stat().st_mode
    assert stat.S_IMODE(mode) & 0o137 == 0


def test_an_error_log_that_cannot_be_opened_is_told_by_the_starting_process(
    daemons: Daemons,
) -> None:
    code = """
import sys
from pingap.host.daemon import DaemonError, daemonize
try:
    with daemonize(sys.argv[1]):
        raise AssertionError
except DaemonError as error:
    sys.exit(str(error))
"""
    assert daemons.run(code, "/dev/null/error.log") == 1
    assert daemons.err.read_text() == (
        "basic.error_log: cannot open /dev/null/error.log: Not a directory\n"
    )


@pytest.mark.parametrize(
    ("ending", "code", "text"),
    [
        ("parent.failed('cannot listen on :80')", 1, "cannot listen on :80\n"),
        ("parent.failed('2 problems.', 2)", 2, "2 problems.\n"),
        ("parent.failed('a\\0b')", 1, "a b\n"),
        ("parent.failed('x' * 10**6)", 1, "x" * 32 * 1024 + "\n"),
        ("raise RuntimeError('a defect')", 1, "pingap: RuntimeError: a defect\n"),
        ("sys.exit(2)", 2, None),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, None),
        ("pass", 1, None),
    ],
)
def test_a_failure_is_told_by_the_starting_process(
    daemons: Daemons, ending: str, code: int, text: str | None
) -> None:
    script = f"""
import os, signal, sys
from pingap.host.daemon import daemonize
with daemonize("error.log") as parent:
    open("pid", "w").write(str(os.getpid()))
    {ending}
"""
    assert daemons.run(script) == code
    pid = (daemons.folder / "pid").read_text()
    expected = text or f"pingap: the daemon (pid {pid}) ended before it was serving\n"
    assert daemons.err.read_text() == expected
    until(lambda: not is_running(int(pid)))


def test_workers_that_live_on_do_not_let_the_starting_process_wait(daemons: Daemons) -> None:
    script = """
import json, os, signal, sys
from pingap.host.daemon import daemonize
signal.alarm(30)
with daemonize("error.log") as parent:
    reading, writing = os.pipe()
    if not os.fork():
        parent.close()
        with open("facts", "w") as file:
            json.dump({"pid": os.getpid()}, file)
        os.close(writing)
        signal.alarm(30)
        signal.pause()
    os.close(writing)
    os.read(reading, 1)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert daemons.run(script) == 1
    assert "ended before it was serving" in daemons.err.read_text()


def test_the_starting_process_runs_nothing_that_belongs_to_the_daemon(daemons: Daemons) -> None:
    script = """
import atexit, os
from pingap.host.daemon import daemonize
def note(text):
    with open("notes", "a") as file:
        file.write(text)
atexit.register(note, "exit ")
try:
    with daemonize() as parent:
        parent.succeeded("fine")
finally:
    note("finally ")
"""
    assert daemons.run(script) == 0
    notes = daemons.folder / "notes"
    until(lambda: notes.exists() and notes.read_text().endswith("exit "))
    assert notes.read_text() == "finally exit "


def test_an_interrupt_while_it_waits_ends_the_daemon(daemons: Daemons) -> None:
    script = """
import json, os, signal
from pingap.host.daemon import daemonize
signal.alarm(30)
with daemonize() as parent:
    with open("pid", "w") as file:
        file.write(f"{os.getpid()}\\n")
    signal.pause()
"""
    with daemons.err.open("w") as err:
        process = start(script, cwd=daemons.folder, stdout=err, stderr=err)
        file = daemons.folder / "pid"
        until(lambda: file.exists() and file.read_text().endswith("\n"))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    until(lambda: not is_running(int(file.read_text())))


def test_an_interrupt_loses_nothing_that_the_daemon_said(daemons: Daemons) -> None:
    """It may come just when the daemon's process id is read."""
    script = """
import os, signal
from pingap.host.daemon import daemonize
read = os.read
def read_and_be_interrupted(fd, size):
    data = read(fd, size)
    os.read = read
    os.kill(os.getpid(), signal.SIGINT)
    return data
os.read = read_and_be_interrupted
signal.alarm(30)
with daemonize() as parent:
    signal.pause()
"""
    with start(script, cwd=daemons.folder) as process:
        process.communicate(timeout=20)  # which the daemon would hold up
    assert process.returncode == 130


def test_closed_standard_streams_are_no_place_for_the_pipe(daemons: Daemons) -> None:
    script = 'exec "$0" -c "$1" "" <&- >&-'
    with daemons.err.open("w") as err:
        code = subprocess.run(
            ["sh", "-c", script, sys.executable, SUCCEEDS],
            cwd=daemons.folder,
            stderr=err,
            timeout=20,
        ).returncode
    assert code == 0, daemons.err.read_text()
    assert f"serving, pid {daemons.facts['pid']}\n" in daemons.err.read_text()
