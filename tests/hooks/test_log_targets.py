"""``pingap_log_targets``: logs go to what a distribution provides, like to a file."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.check import check
from support.plugins import python_path, routes, write_distribution
from support.process import Process
from support.waiting import until

from pingap.testing import Upstream

SOURCE = """
from pathlib import Path

class Box:
    def __init__(self, text):
        if not text.startswith("/"):
            raise ValueError(f"{text!r} is no path")
        if text.endswith("defect"):
            raise TypeError("oh")
        self.path, self.fd = Path(text), -1

    def tell(self, what):
        with open(f"{self.path}.calls", "a") as file:
            file.write(f"{os.getpid()} {what}\\n")

    def write(self, lines):
        assert type(lines) is bytes
        if (self.path.parent / "broken").exists():
            raise ConnectionError("nobody listens")
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            self.tell("connect")
        return os.write(self.fd, lines[:PART]) if PART else os.write(self.fd, lines) and None

    def flush(self): pass

    def reopen(self):
        self.tell("reopen")
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self):
        self.tell("close")


PART = 0


@hookimpl
def pingap_log_targets(): return {"box": Box}
"""
POINTS = {"log:box": "boxes"}


def calls(folder: Path, what: str) -> list[int]:
    text = (folder / "log.calls").read_text()
    return [int(line.split()[0]) for line in text.splitlines() if line.endswith(f" {what}")]


def start(
    folder: Path, origin: Upstream, *arguments: str, source: str = SOURCE, workers: int = 2
) -> Process:
    write_distribution(folder / "site", "boxes", source, POINTS)
    toml = routes(
        {"a": ""},
        origin.addr,
        server=f'access_log = "box:{folder}/log {{method}} {{uri}}"',
        more=f"[basic]\nthreads = {workers}",
    )
    return Process(toml, folder / "proxy", *arguments, env=python_path(folder / "site"))


def get(proxy: Process, numbers: range) -> None:
    for number in numbers:
        with proxy.connect() as client:
            assert client.get(f"/a/{number}").status == 200


@pytest.mark.parametrize("part", [0, 7])
def test_hook_pingap_log_targets_get_every_line(
    tmp_path: Path, upstream: Upstream, part: int
) -> None:
    source = SOURCE.replace("PART = 0", f"PART = {part}")
    workers = 1 if part else 2  # (parts of lines of several would mix in one file)
    with start(tmp_path, upstream, source=source, workers=workers) as proxy:
        get(proxy, range(50))
        # The last ones come while the process ends.
        assert proxy.stop() == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"GET /a/{number}" for number in range(50))


def test_each_worker_connects_by_itself_and_closes(tmp_path: Path, upstream: Upstream) -> None:
    with start(tmp_path, upstream) as proxy:
        before = proxy.workers
        get(proxy, range(10))
        until(lambda: calls(tmp_path, "connect"))
        assert set(calls(tmp_path, "connect")) <= set(before)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(proxy.workers) == 2 and before[0] not in proxy.workers)
        (new,) = set(proxy.workers) - set(before)
        until(lambda: new in calls(tmp_path, "reopen"))
        while new not in calls(tmp_path, "connect"):
            get(proxy, range(1))
        assert proxy.stop() == 0
    assert {before[1], new} <= set(calls(tmp_path, "close"))


def test_lines_wait_while_it_raises(tmp_path: Path, upstream: Upstream) -> None:
    with start(tmp_path, upstream) as proxy:
        (tmp_path / "broken").touch()
        get(proxy, range(20))
        log = proxy.wait_for_log("cannot be written: nobody listens; lines wait")
        assert "log box: " in log
        assert str(tmp_path) not in log  # it might be a URL with a password
        assert not (tmp_path / "log").exists()
        (tmp_path / "broken").unlink()
        until(lambda: (tmp_path / "log").exists())
        until(lambda: len((tmp_path / "log").read_text().splitlines()) == 20)
        proxy.wait_for_log("can be written again; lines lost: 0")


def test_logs_are_opened_again(tmp_path: Path, upstream: Upstream) -> None:
    with start(tmp_path, upstream) as proxy:
        get(proxy, range(3))
        until(lambda: (tmp_path / "log").exists())
        workers = set(proxy.workers)
        (tmp_path / "log.calls").write_text("")
        proxy.process.send_signal(signal.SIGUSR1)
        until(lambda: workers <= set(calls(tmp_path, "reopen")))


def test_a_reload_closes_what_is_not_used_any_more(tmp_path: Path, upstream: Upstream) -> None:
    with start(tmp_path, upstream) as proxy:
        workers = set(proxy.workers)
        toml = proxy.conf.read_text()
        proxy.conf.write_text(toml.replace(f"{tmp_path}/log", f"{tmp_path}/other"))
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration was reloaded")
        until(lambda: workers <= set(calls(tmp_path, "close")))
        get(proxy, range(3))
        until(lambda: (tmp_path / "other").exists())


def test_the_application_log_can_go_there(tmp_path: Path, upstream: Upstream) -> None:
    with start(tmp_path, upstream, "--log", f"box:{tmp_path}/app") as proxy:
        proxy.process.send_signal(signal.SIGUSR1)
        until(lambda: (tmp_path / "app").exists())
        until(lambda: "log files were reopened" in (tmp_path / "app").read_text())
        assert proxy.stop() == 0
    assert "draining" in (tmp_path / "app").read_text()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("box:here", "servers.web.access_log: box: 'here' is no path"),
        ("box:/defect", "servers.web.access_log: box: TypeError: oh"),
        ("syslog:x", "servers.web.access_log: logging to syslog is not supported yet"),
    ],
)
def test_mistakes_stand_at_the_line_of_the_key(tmp_path: Path, target: str, said: str) -> None:
    write_distribution(tmp_path / "site", "boxes", SOURCE, POINTS)
    toml = f'[servers.web]\naddr = "127.0.0.1:0"\naccess_log = "{target} {{uri}}"\n'
    code, text = check(tmp_path, toml)
    assert code == 2
    assert text.startswith(f"p.toml:3: {said}")


def test_another_word_begins_the_name_of_a_file(tmp_path: Path) -> None:
    toml = f'[servers.web]\naddr = "127.0.0.1:0"\naccess_log = "{tmp_path}/a:b {{uri}}"\n'
    assert check(tmp_path, toml)[0] == 0


def test_a_blocked_distribution_is_named(tmp_path: Path) -> None:
    write_distribution(tmp_path / "site", "boxes", SOURCE, POINTS)
    toml = '[servers.web]\naddr = "127.0.0.1:0"\naccess_log = "box:/x {uri}"\n'
    code, text = check(tmp_path, toml, {"PINGAP_BLOCK_PLUGINS": "boxes"})
    assert code == 2
    assert "access_log: box: its distribution boxes is blocked" in text
