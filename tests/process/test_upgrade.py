"""Hot upgrade: a new process takes over the sockets, in whichever order it is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.process import Process
from support.processes import is_running
from support.rig import configure
from support.waiting import until

from pingap.testing import Client, Upstream

TOML = """
[basic]
threads = 2
upgrade_sock = "{folder}/upgrade.sock"
pid_file = "{folder}/pingap.pid"
error_log = "{folder}/error.log"
[plugins.hello]
category = "mock"
status = 200
data = "one"
[locations.all]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:{port}"
locations = ["all"]
"""

COMMAND = (sys.executable, "-m", "pingap", "-c")


class Site:
    """A daemon, and the commands that replace it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.conf = folder / "pingap.toml"
        self.log_path = folder / "pingap.log"
        self.write("one")

    def write(self, data: str, category: str = "mock") -> None:
        toml = TOML.format(folder=self.folder, port=self.port)
        self.conf.write_text(toml.replace('"one"', f'"{data}"').replace("mock", category))

    def pingap(self, *flags: str) -> tuple[int, str]:
        """Run the command until it returns; give its exit code and what it says."""
        said = self.folder / "said"
        with said.open("w") as file:  # a pipe would be open as long as the daemon is
            code = subprocess.run(
                [*COMMAND, self.conf, *flags, "--log", f"{self.log_path}?rolling=never"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                timeout=30,
                check=False,
            ).returncode
        return code, said.read_text()

    @property
    def pid(self) -> int:
        return int((self.folder / "pingap.pid").read_text())

    def get(self) -> str:
        with Client(("127.0.0.1", self.port)) as client:
            return client.get("/").body.decode()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def is_replaced(self, old: int) -> bool:
        return not is_running(old) and self.pid != old


@pytest.fixture
def site(tmp_path: Path, free_port: int) -> Iterator[Site]:
    site = Site(tmp_path, free_port)
    code, said = site.pingap("-d")
    assert (code, "is serving in the background" in said) == (0, True), said
    yield site
    pid = site.pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until(lambda: not is_running(pid))
    assert not (tmp_path / "pingap.pid").exists()


def test_the_new_process_first(site: Site) -> None:
    old = site.pid
    site.write("two")
    code, said = site.pingap("-d", "-u")
    assert code == 0
    assert "waiting for the running instance to hand over its sockets: send it SIGQUIT" in said
    assert site.get() == "one"
    os.kill(old, signal.SIGQUIT)
    until(lambda: site.is_replaced(old))
    assert site.get() == "two"
    assert "a new process has taken over" in site.log


def test_the_signal_first(site: Site) -> None:
    old = site.pid
    site.write("two")
    os.kill(old, signal.SIGQUIT)
    code, said = site.pingap("-d", "-u")
    assert (code, "is serving in the background" in said) == (0, True), said
    until(lambda: site.is_replaced(old))
    assert site.get() == "two"


def test_a_signal_alone(site: Site) -> None:
    old = site.pid
    site.write("two")
    os.kill(old, signal.SIGUSR2)
    until(lambda: site.is_replaced(old))
    assert site.get() == "two"


def test_a_new_process_that_cannot_serve_changes_nothing(site: Site) -> None:
    old = site.pid
    site.write("two", category="mok")
    os.kill(old, signal.SIGUSR2)
    until(lambda: "no new process took over; this one continues to serve" in site.log)
    assert 'no installed distribution provides this category; did you mean "mock"?' in site.log
    assert (site.pid, site.get()) == (old, "one")
    site.write("three")
    os.kill(old, signal.SIGUSR2)
    until(lambda: site.is_replaced(old))
    assert site.get() == "three"


def test_a_mistake_is_told_before_anybody_waits(site: Site) -> None:
    site.write("two", category="mok")
    code, said = site.pingap("-d", "-u")
    assert (code, 'did you mean "mock"?' in said) == (2, True), said


def test_a_new_process_that_is_killed_changes_nothing(site: Site) -> None:
    """It has the sockets already when it ends."""
    old = site.pid
    site.write("two", category="python")
    slow = site.folder / "slow.py"
    slow.write_text(
        "import os, signal\nfrom pingap import Plugin, PluginSettings\n"
        "class Slow(Plugin):\n"
        "    class Settings(PluginSettings):\n        pass\n"
        "    def __init__(self, settings: Settings) -> None:\n        pass\n"
        "    async def startup(self, tasks):\n        os.kill(os.getppid(), signal.SIGKILL)\n"
    )
    text = site.conf.read_text().replace('status = 200\ndata = "two"', 'path = "slow.py"')
    site.conf.write_text(text)
    os.kill(old, signal.SIGUSR2)
    until(lambda: "it exited before it served" in site.log)
    assert (site.pid, site.get()) == (old, "one")


def test_nobody_to_take_over_from(tmp_path: Path, free_port: int) -> None:
    site = Site(tmp_path, free_port)
    process = subprocess.Popen(
        [*COMMAND, site.conf, "-u"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process, process.stderr:
        assert "pingap is waiting for the running instance" in process.stderr.readline()
        assert (site.folder / "upgrade.sock").stat().st_mode & 0o777 == 0o600
        process.terminate()


def test_in_the_foreground_the_first_process_stays(tmp_path: Path, free_port: int) -> None:
    """Whoever waits for it waits for those that take its place, and its signals go to them."""
    made = Site(tmp_path, free_port)
    with Process(made.conf.read_text(), tmp_path) as proxy:
        for count, data in enumerate(("two", "three"), 1):
            made.write(data)
            proxy.process.send_signal(signal.SIGUSR2)
            until(lambda: proxy.log.count("has taken over") == count)  # noqa: B023
            assert made.get() == data
        assert proxy.stop() == 0
    until(lambda: not _answers(free_port))


def test_signals_reach_the_new_process_while_the_old_one_drains(
    tmp_path: Path, free_port: int
) -> None:
    """The second one to end, which means at once, is for the old one as well."""
    made = Site(tmp_path, free_port)
    slow = """[plugins.slow]
category = "mock"
path = "/slow"
delay = "1m"
[locations.all]
plugins = ["slow", """
    toml = made.conf.read_text().replace("[locations.all]\nplugins = [", slow)
    with Process(toml, tmp_path) as proxy, Client(("127.0.0.1", free_port)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer().body == b"one"  # so the other one has come, too
        made.write("two")
        proxy.process.send_signal(signal.SIGUSR2)
        proxy.wait_for_log("a new process has taken over")
        assert made.get() == "two"
        proxy.process.send_signal(signal.SIGTERM)
        until(lambda: len(proxy.workers) == 1)  # of the old one, and still busy
        assert not _answers(free_port)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.process.wait(10) == 0
        assert client.is_closed()


def test_what_a_worker_accepted_is_served_before_it_leaves(
    tmp_path: Path, free_port: int, upstream: Upstream
) -> None:
    """Also a connection that is accepted just when the worker is told to leave."""
    basic = f'threads = 2\nupgrade_sock = "{tmp_path}/upgrade.sock"'
    toml = configure(upstream.addr, basic=basic, server=f'addr = "127.0.0.1:{free_port}"')
    with Process(toml, tmp_path) as proxy, ExitStack() as stack:
        old = proxy.workers
        signal_all(
            old, signal.SIGSTOP
        )  # so that they find the connections behind the word to leave
        proxy.process.send_signal(signal.SIGUSR2)
        proxy.wait_for_log("a new process has taken over", 20)
        (successor,) = set(proxy.workers).difference(old)
        new = children_of(successor)
        signal_all(new, signal.SIGSTOP)  # so that they leave the connections to the old ones
        clients = [stack.enter_context(Client(("127.0.0.1", free_port))) for _ in range(8)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        signal_all(old, signal.SIGCONT)
        until(lambda: not any(map(is_running, old)))
        signal_all(new, signal.SIGCONT)  # for those that nobody has accepted yet
        assert [client.answer().status for client in clients] == [200] * 8


TOLD_TO_END_AT_THE_LAST_MOMENT = """
import os, signal, sys
from pingap.__main__ import main
from pingap.supervisor.supervisor import Supervisor

drain = Supervisor.drain

async def drain_and_be_told_to_end(self, **options):
    await drain(self, **options)
    os.kill(os.getpid(), signal.SIGTERM)

Supervisor.drain = drain_and_be_told_to_end
sys.exit(main())
"""


def test_no_signal_is_lost_when_the_old_process_ends(tmp_path: Path, free_port: int) -> None:
    """Also one that comes right after its last worker has ended is for the new one."""
    made = Site(tmp_path, free_port)
    program = (sys.executable, "-c", TOLD_TO_END_AT_THE_LAST_MOMENT)
    with Process(made.conf.read_text(), tmp_path, program=program) as proxy:
        proxy.process.send_signal(signal.SIGUSR2)
        assert proxy.process.wait(20) == 0
        assert not _answers(free_port)


def test_a_process_that_ends_takes_along_the_one_that_it_has_started(
    tmp_path: Path, free_port: int
) -> None:
    """It is told to end while the other one begins; nobody else knows that one."""
    made = Site(tmp_path, free_port)
    with Process(made.conf.read_text(), tmp_path) as proxy:
        workers = proxy.workers
        signal_all(workers, signal.SIGSTOP)  # they end when the other one serves, and not before
        proxy.process.send_signal(signal.SIGUSR2)
        until(lambda: len(proxy.workers) > len(workers))
        (successor,) = set(proxy.workers).difference(workers)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for_log("draining")
        until(lambda: not is_running(successor))
        signal_all(workers, signal.SIGCONT)
        assert proxy.process.wait(10) == 0
        assert not _answers(free_port)


def test_restart_when_a_change_needs_one(tmp_path: Path, free_port: int) -> None:
    made = Site(tmp_path, free_port)
    toml = made.conf.read_text()
    with Process(toml, tmp_path, "--autorestart") as proxy:
        proxy.conf.write_text(toml.replace("threads = 2", "threads = 3").replace('"one"', '"two"'))
        until(lambda: made.get() == "two")
        until(lambda: len(proxy.workers) == 1)  # which is the new process
        (successor,) = proxy.workers
        assert len(children_of(successor)) == 3
        assert proxy.stop() == 0


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _answers(port: int) -> bool:
    try:
        Client(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to a file that it may not open")
def test_an_error_log_that_only_root_may_open_stays_open() -> None:
    """After the switch to another user, a new process writes where the old one wrote."""
    code = (
        "import os, sys\n"
        "from pingap.host.daemon import daemonize\n"
        "os.setegid(65534); os.seteuid(65534)\n"
        "with daemonize(sys.argv[1]) as parent:\n"
        "    os.write(2, b'still here')\n"
        "    parent.succeeded('serving')\n"
    )
    with TemporaryDirectory(prefix="pingap-") as name:
        Path(name).chmod(0o755)  # (the folders of pytest are closed to others)
        log = Path(name, "error.log")
        log.touch(0o600)
        with log.open("ab") as file:
            command = [sys.executable, "-c", code, str(log)]
            done = subprocess.run(
                command, stderr=file, stdin=subprocess.DEVNULL, timeout=20, check=False
            )
        assert done.returncode == 0, log.read_text()
        until(lambda: "still here" in log.read_text())
