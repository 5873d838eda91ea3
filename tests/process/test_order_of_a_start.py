"""The parts of a start as root together, in the order that ``privileges`` gives."""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.processes import is_running, start
from support.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

START = """
import os, signal, sys
from pathlib import Path
from pingap.config import UnixAddress, parse
from pingap.observability.log_files import LogFile
from pingap.host.daemon import daemonize
from pingap.host.parent_death import end_with_parent
from pingap.host.pid_file import PidFile
from pingap.host.privileges import (
    account_problems, check_permitted, find_account, make_folder, switch_to,
)
from pingap.host.sockets import listen

folder = Path(sys.argv[1])
config = parse('[basic]\\nuser = "nobody"')
assert account_problems(config) == []
account = find_account(config.basic)
check_permitted(account)
with daemonize(str(folder / "error.log"), account) as parent:
    signal.alarm(30)
    make_folder(folder / "log", account)
    make_folder(folder / "run", account)
    path = folder / "run" / "web.sock"
    sock = listen(UnixAddress(str(path)), account=account)
    switch_to(account)
    log = LogFile(f"{folder}/log/pingap.log")
    log.write("opened\\n")
    log.flush()
    pid_file = PidFile(str(folder / "run" / "pingap.pid"))
    supervisor = os.getpid()
    reading, writing = os.pipe()
    if not os.fork():
        parent.close()
        signal.alarm(30)
        assert end_with_parent(supervisor)
        log.write("from a worker\\n")
        log.flush()
        os.write(writing, b"%d" % os.getpid())
        signal.pause()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for sigwait; not in the worker
    worker = os.read(reading, 20).decode()
    pid_file.write()
    parent.succeeded(worker)
    signal.sigwait({signal.SIGTERM})
    pid_file.remove()
    path.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_root_opens_and_the_user_serves() -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    with TemporaryDirectory(prefix="pingap-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with start(START, folder) as process:
            _, text = process.communicate(timeout=20)
        assert process.returncode == 0, text
        worker = int(text.splitlines()[-1])
        pid = int((folder / "run" / "pingap.pid").read_text())
        assert [Path(f"/proc/{one}").stat().st_uid for one in (pid, worker)] == [nobody] * 2
        (log,) = folder.glob("log/pingap.log.*")
        assert log.read_text() == "opened\nfrom a worker\n"
        owners = {
            path.relative_to(folder).as_posix(): path.stat().st_uid
            for path in [*folder.iterdir(), *folder.glob("run/*")]
        }
        assert owners == {
            "error.log": nobody,
            "log": nobody,
            "run": nobody,
            "run/web.sock": nobody,
            "run/pingap.pid": nobody,
        }
        os.kill(pid, signal.SIGTERM)
        until(lambda: not is_running(pid) and not is_running(worker))
        assert list((folder / "run").iterdir()) == []
