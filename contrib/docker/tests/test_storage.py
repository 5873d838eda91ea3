"""The storage: following the events of a daemon that may be away, and a pingap that serves containers."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from daemon import Daemon
from pingap_docker import storage as module
from pingap_docker.storage import DockerStorage
from support.command import run
from support.process import Process
from support.waiting import until

from pingap import StorageError
from pingap.testing import Upstream


def publish(name: str, port: int, **labels: str) -> dict[str, object]:
    """Return a container whose port is published on loopback."""
    return {
        "Names": [f"/{name}"],
        "State": "running",
        "Ports": [{"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"}],
        "Labels": {f"pingap.{key}": value for key, value in labels.items()},
        "NetworkSettings": {"Networks": {}},
    }


async def until_next(changes: AsyncIterator[None]) -> None:
    with anyio.fail_after(10):
        await anext(changes)


@pytest.mark.parametrize(
    "location",
    ["docker://x", "docker://x:y", "docker://?serves=a", "docker:///a?x", "docker://h:2375/x"],
)
def test_wrong_locations(location: str) -> None:
    with pytest.raises(ValueError, match=r"^expected docker://, docker:///path/of.sock or"):
        DockerStorage(location)


def test_documents(daemon: Daemon) -> None:
    daemon.containers = [publish("wiki", 81, host="wiki.example")]
    for location in ("docker://?server=web,inner", f"docker://{daemon.path}?server=web,inner"):
        found = anyio.run(DockerStorage(location).read)
        ((name, text),) = found.files
        assert (name, found.optional.keys(), found.warnings) == (
            'container "wiki"',
            {'container "wiki"'},
            (),
        )
        assert text.splitlines() == [
            '[locations."wiki"]',
            'host = "wiki.example"',
            'path = ""',
            'servers = ["web", "inner"]',
            "plugins = []",
            'upstream = "wiki"',
            '[upstreams."wiki"]',
            'addrs = ["127.0.0.1:81 1"]',
        ]


def test_a_daemon_that_is_reached_over_tcp(daemon: Daemon) -> None:
    with forwarded(daemon.path) as port:
        daemon.containers = [publish("wiki", 81, host="wiki.example")]
        assert len(anyio.run(DockerStorage(f"docker://127.0.0.1:{port}").read).files) == 1


@contextmanager
def forwarded(path: Path) -> Iterator[int]:
    """Answer one connection over TCP from a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def relay() -> None:
            client, _ = listener.accept()
            with client, socket.socket(socket.AF_UNIX) as daemon:
                daemon.connect(str(path))
                daemon.sendall(client.recv(65536))
                client.sendall(daemon.recv(65536))

        thread = threading.Thread(target=relay)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_it_cannot_be_written_and_a_daemon_must_answer_first(socket_path: Path) -> None:
    storage = DockerStorage("docker://")
    with pytest.raises(StorageError, match="labels of containers cannot be written"):
        anyio.run(partial(storage.write, {}, expected=""))
    with pytest.raises(StorageError, match="No such file or directory"):
        anyio.run(storage.read)


@pytest.mark.parametrize("action", ["start", "stop", "die", "health_status: unhealthy"])
def test_events_in_quick_succession_give_one_item(daemon: Daemon, action: str) -> None:
    async def follow() -> None:
        async with aclosing(DockerStorage("docker://").watch()) as changes:
            await until_next(changes)
            await anyio.to_thread.run_sync(daemon.wait_for_watchers, 1)
            for _ in range(3):
                daemon.emit(action)
            await until_next(changes)
            with anyio.move_on_after(2 * module.GATHER_SECONDS):
                await anext(changes)
                raise AssertionError("one item more")

    anyio.run(follow)
    assert {"start", "stop", "die", "health_status"} <= set(daemon.watched[0]["event"])


def test_a_daemon_that_restarts(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pingap_docker")
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.05)

    async def follow() -> None:
        storage = DockerStorage("docker://")
        async with aclosing(storage.watch()) as changes:
            with Daemon(socket_path) as daemon:
                daemon.containers = [publish("a", 81, host="x")]
                await until_next(changes)
                first = await storage.read()
            for _ in range(3):
                assert await storage.read() == first
            with Daemon(socket_path) as daemon:
                daemon.containers = []
                await until_next(changes)
                assert (await storage.read()).files == ()

    anyio.run(follow)
    lost, found = caplog.messages
    assert lost.startswith(f"{socket_path}: ")
    assert lost.endswith(": the locations of the last known containers stay in use")
    assert found == f"{socket_path}: the Docker daemon can be reached again"


FILE = """
[locations.file]
path = "/file"
servers = ["web"]
plugins = ["no_content"]
[plugins.no_content]
category = "mock"
status = 204
"""
MAIN = '[servers.web]\naddr = "127.0.0.1:0"\n'


def test_pingap_serves_containers_beside_files(
    daemon: Daemon, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.reply("/", "hello")
    daemon.containers = [publish("a", upstream.port, path="/a")]
    with Process(MAIN, tmp_path, "-c", "docker://", "--autoreload") as proxy:
        daemon.wait_for_watchers(1)
        with proxy.connect() as client:
            assert client.get("/a").status == 200
            daemon.containers = [
                publish("b", upstream.port, path="/b"),
                publish("c", upstream.port, path="/c", plugins="nothing"),
            ]
            daemon.emit("die")
            log = proxy.wait_for_log("the configuration was")
            assert [client.get(path).status for path in ("/a", "/b", "/c")] == [404, 200, 404]
        proxy.conf.write_text(MAIN + FILE)
        with proxy.connect() as client:
            until(lambda: client.get("/file").status == 204)
            assert client.get("/b").status == 200
        assert 'container "c": label pingap.plugins: no plugin block is named "nothing"' in log
    code, _, said = run("-t", "-c", proxy.conf, "-c", "docker://")
    assert code == 0
    assert 'warning: container "c": label pingap.plugins' in said
