"""``pingap status``, ``reload``, ``upgrade``, ``stop`` and ``drain`` with running instances."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import invoke
from support.process import Process
from support.processes import is_running
from support.waiting import until

TOML = """
[basic]
threads = 2
upgrade_sock = "UPGRADE"
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
[locations.all]
plugins = ["one"]
[plugins.one]
category = "mock"
data = "one"
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir()
    return {"RUNTIME_DIRECTORY": str(tmp_path / "run")}


@pytest.fixture
def proxy(tmp_path: Path, env: dict[str, str]) -> Iterator[Process]:
    toml = TOML.replace("UPGRADE", str(tmp_path / "upgrade.sock"))
    (tmp_path / "here" / "pingap.toml-history").mkdir(parents=True)
    with Process(toml, tmp_path / "here", env=env) as running:
        yield running


def status(proxy: Process, env: dict[str, str]) -> dict[str, Any]:
    code, out, err = invoke("status", "-c", proxy.conf, "--json", **env)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_status_and_reload(proxy: Process, env: dict[str, str], tmp_path: Path) -> None:
    (path,) = (tmp_path / "run").iterdir()
    assert path.name == f"pingap-{proxy.process.pid}.sock"
    assert path.stat().st_mode & 0o777 == 0o600

    first = status(proxy, env)
    assert first["pid"] == proxy.process.pid
    assert sorted(one["pid"] for one in first["workers"]) == sorted(proxy.workers)
    assert first["listening"] == [{"server": "web", "address": proxy.addresses["web"][0]}]
    assert first["configuration"]["last_reload"] is None

    text = proxy.conf.read_text()
    proxy.conf.write_text(text.replace('"one"\n', '"two"\n', 1).replace('= "one"', '= "two"'))
    code, out, err = invoke("reload", "-c", proxy.conf, "--wait", **env)
    assert (code, out, err) == (0, "all workers serve the configuration\n", "")
    with proxy.connect() as client:
        assert client.get("/").text == "two"
    second = status(proxy, env)["configuration"]
    assert second["version"] != first["configuration"]["version"]
    assert second["last_reload"]["error"] == ""

    proxy.conf.write_text(text.replace('plugins = ["one"]', 'plugins = ["oen"]'))
    code, out, err = invoke("reload", "-c", proxy.conf, "--wait", **env)
    assert (code, out) == (2, "")
    assert f'{proxy.conf}:9: locations.all.plugins[0]: no plugin block is named "oen"' in err
    code, out, _ = invoke("reload", "--pid", proxy.process.pid, "--wait", "--json", **env)
    (problem,) = json.loads(out)["problems"]
    assert (code, problem["line"]) == (2, 9)
    assert status(proxy, env)["configuration"]["version"] == second["version"]
    code, out, _ = invoke("status", "-c", proxy.conf, **env)
    assert code == 0
    history = json.loads(invoke("history", "list", "-c", proxy.conf, "--json")[1])
    assert [one["reason"] for one in history] == ["reloaded", "started"]  # what was accepted
    assert history[0]["version"] == second["version"]
    assert re.search(r"last reload .*: failed:\n    \S+:9: locations\.all", out)


def test_a_new_process_takes_over_and_is_stopped(
    proxy: Process, env: dict[str, str], tmp_path: Path
) -> None:
    old = proxy.process.pid
    with proxy.connect() as client:  # the old one drains: it is not chosen any more
        client.send_request("GET", "/")
        assert client.answer().status == 200
        code, out, err = invoke("upgrade", "-c", proxy.conf, "--wait", **env)
        assert (code, out, err) == (0, "a new process serves\n", "")
        new = status(proxy, env)["pid"]
    assert new != old
    code, out, err = invoke("stop", "-c", proxy.conf, "--wait", "--timeout", "20", **env)
    assert (code, out, err) == (0, "no more connections are accepted\n", "")
    assert not is_running(new)
    until(lambda: proxy.process.poll() is not None)
    assert list((tmp_path / "run").iterdir()) == []
    code, out, err = invoke("status", "-c", proxy.conf, **env)
    assert (code, out) == (1, "")
    assert err == f"pingap: no running instance with -c {proxy.conf} was found\n"


def test_drain_lets_idle_clients_finish(proxy: Process, env: dict[str, str]) -> None:
    with proxy.connect() as client:
        client.send_request("GET", "/")
        assert client.answer().status == 200
        assert invoke("drain", "-c", proxy.conf, **env)[0] == 0
        code, out, _ = invoke("reload", "-c", proxy.conf, "--json", **env)
        assert (code, json.loads(out)["message"]) == (1, "pingap is shutting down")
        client.send_request("GET", "/")
        answer = client.answer()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
    until(lambda: proxy.process.poll() == 0)


def test_stop_now_cuts_requests_off(proxy: Process, env: dict[str, str]) -> None:
    with proxy.connect() as client:
        client.sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        code, _, err = invoke("stop", "--now", "--wait", "-c", proxy.conf, **env)
        assert (code, err) == (0, "")
    until(lambda: proxy.process.poll() == 0)


def test_several_instances_have_to_be_told_apart(
    proxy: Process, env: dict[str, str], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:  # of an instance that was killed
        dead.bind(str(tmp_path / "run" / "pingap-1.sock"))
    with Process(TOML.replace("threads = 2", ""), tmp_path / "there", env=env) as other:
        assert not (tmp_path / "run" / "pingap-1.sock").exists()
        code, _, err = invoke("reload", **env)
        assert code == 1
        assert err.startswith("pingap: there are several instances; choose one:\n  --pid ")
        assert f"  --pid {other.process.pid}  -c {other.conf}" in err
        assert status(other, env)["pid"] == other.process.pid
