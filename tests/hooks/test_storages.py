"""Storages of distributions: starting from them, changes by others, writing, and what can go wrong."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from support.command import invoke
from support.plugins import python_path, write_distribution
from support.process import Process
from support.waiting import until

from pingap import ConfigSnapshot, Plugin, Response, Worker, hookimpl
from pingap.build import loading
from pingap.build.loading import read_configuration
from pingap.build.registry import installed_registry
from pingap.config import ConfigError
from pingap.testing import MemoryStorage, Proxy

SOURCE = '''
import json
import os
from pathlib import Path


class Dict(ConfigStorage):
    """Documents in one file of JSON."""

    def __init__(self, location):
        self.path = Path(location.partition("://")[2])
        if self.path.suffix != ".json":
            raise ValueError("expected a path that ends with .json")

    def documents(self):
        try:
            return json.loads(self.path.read_text())
        except OSError as error:
            raise StorageError(error.strerror) from None

    async def read(self):
        documents = self.documents()
        if "hangs" in documents:
            await anyio.sleep_forever()
        if "nothing" in documents:
            return documents
        if "fails twice" in documents and (left := int(self.path.with_name("fails").read_text())):
            self.path.with_name("fails").write_text(str(left - 1))
            raise StorageError("it is away")
        if "bug" in documents:
            raise LookupError("a bug: etcd://me:s3cr/@et@host/, password='s3cret'")
        files = {name: text for name, text in documents.items() if name.endswith(".toml")}
        return ConfigSnapshot(files=tuple(sorted(files.items())))

    async def write(self, documents, *, expected):
        if (await self.read()).version != expected:
            raise StorageConflict("it was changed meanwhile")
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({**self.documents(), **documents}))
        new.replace(self.path)
        return (await self.read()).version

    async def watch(self):
        seen = self.path.read_text()
        yield
        while True:
            await anyio.sleep(0.05)
            text = self.path.read_text()
            if text != seen:
                seen = text
                if "ends" in text:
                    raise LookupError("the watch of etcd://me:s3cret@host/ broke")
                yield


@hookimpl
def pingap_storages():
    return {"dict": Dict}


class Leaves(Plugin):
    """Ends its worker once."""

    category = "leaves"
    contract = "1.1"

    async def startup(self, tasks, worker):
        mark = worker.storage.path.with_name("leave")
        if mark.exists():
            mark.unlink()
            os._exit(7)


class Writes(Plugin):
    category = "writes"
    contract = "1.1"

    async def startup(self, tasks, worker):
        self.storage = worker.storage

    @hookimpl
    async def request(self, request):
        if request.path != "/write":
            return None
        snapshot = await self.storage.read()
        (name,) = (name for name, _ in snapshot.files if name.endswith("hello.toml"))
        text = dict(snapshot.files)[name].replace("one", "written")
        await self.storage.write({name: text}, expected=snapshot.version)
        try:
            await self.storage.write({name: None}, expected=snapshot.version)
        except StorageConflict as error:
            return Response(200, str(error))
'''
POINTS = {
    "storage:dict": "my_storage",
    "writes": "my_storage:Writes",
    "leaves": "my_storage:Leaves",
}
MAIN = """
[locations.all]
plugins = ["writes", "hello"]
[plugins.writes]
category = "writes"
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""
HELLO = '[plugins.hello]\ncategory = "mock"\nstatus = 200\ndata = "{}"\n'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    write_distribution(tmp_path / "site", "my_storage", SOURCE, POINTS)
    return python_path(tmp_path / "site")


def store(folder: Path, hello: str, more: Mapping[str, str] | None = None) -> str:
    """Save documents as another process would; return the location."""
    path, new = folder / "documents.json", folder / "documents.tmp"
    documents = {"main.toml": MAIN, "hello.toml": HELLO.format(hello), **(more or {})}
    new.write_text(json.dumps(documents))
    new.replace(path)
    return f"dict://{path}"


@contextmanager
def serving(folder: Path, location: str, env: dict[str, str], *arguments: str) -> Iterator[Process]:
    with Process("", folder / "proxy", *arguments, location=location, env=env) as proxy:
        yield proxy


def hello(proxy: Process) -> bytes:
    with proxy.connect() as client:
        return client.get("/").body


def test_hook_pingap_storages_adds_where_configuration_is_kept(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with serving(tmp_path, store(tmp_path, "one"), env, "--autoreload") as proxy:
        assert hello(proxy) == b"one"
        store(tmp_path, "two")
        until(lambda: hello(proxy) == b"two")
        store(tmp_path, "three", {"x.toml": "nonsense = 1\n"})
        proxy.wait_for_log("x.toml:1: nonsense: unknown key")
        assert hello(proxy) == b"two"
        store(tmp_path, "ends")
        log = proxy.wait_for_log("the storage of the configuration failed while it was watched")
        assert "LookupError: the watch of etcd://***@host/ broke (" in log
        assert "s3cr" not in log
        until(lambda: hello(proxy) == b"ends")
        assert proxy.stop() == 0


def test_a_storage_that_cannot_be_read_for_a_while_is_tried_again(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with serving(tmp_path, store(tmp_path, "one"), env, "--autoreload") as proxy:
        (tmp_path / "fails").write_text("2")
        store(tmp_path, "two", {"fails twice": ""})
        until(lambda: hello(proxy) == b"two")
        assert (tmp_path / "fails").read_text() == "0"
        assert (
            proxy.log.count("the configuration cannot be read") == 1
        )  # (each time would be noise)
        (tmp_path / "fails").write_text("1")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("the configuration stays as it was; it cannot be read")
        proxy.wait_for_log("the new configuration is tried again in 1 s")
        until(lambda: proxy.log.count("the configuration was reloaded") == 2)


def test_a_version_that_was_refused_for_a_time_only_is_tried_again(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with serving(tmp_path, store(tmp_path, "one"), env, "--autoreload") as proxy:
        (tmp_path / "leave").touch()
        store(tmp_path, "two", {"leaves.toml": '[plugins.leaves]\ncategory = "leaves"\n'})
        proxy.wait_for_log("ended while it prepared it", 20)
        until(lambda: hello(proxy) == b"two", 20)
        assert not (tmp_path / "leave").exists()


def test_without_autoreload_only_a_signal_reloads(tmp_path: Path, env: dict[str, str]) -> None:
    with serving(tmp_path, store(tmp_path, "one"), env) as proxy:
        store(tmp_path, "two", {"bug": ""})
        proxy.process.send_signal(signal.SIGHUP)
        stays = (
            "the configuration stays as it was; it cannot be read: it failed: LookupError: a bug: "
            "etcd://***@host/, password=*** ("
        )
        assert "s3cr" not in proxy.wait_for_log(stays)
        assert hello(proxy) == b"one"
        store(tmp_path, "two")
        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: hello(proxy) == b"two")


@pytest.mark.parametrize("kind", ["files", "dict"])
def test_plugins_write_the_configuration(tmp_path: Path, env: dict[str, str], kind: str) -> None:
    location = store(tmp_path, "one")
    if kind == "files":
        directory = tmp_path / "conf.d"
        directory.mkdir()
        (directory / "main.toml").write_text(MAIN)
        (directory / "hello.toml").write_text(HELLO.format("one"))
        location = str(directory)
    with serving(tmp_path, location, env, "-a") as proxy:
        with proxy.connect() as client:
            assert b"changed meanwhile" in client.get("/write").body
        until(lambda: hello(proxy) == b"written")


def test_commands_read_it(tmp_path: Path, env: dict[str, str]) -> None:
    location = store(tmp_path, "one")
    assert invoke("-t", "-c", location, **env) == (0, "The configuration is valid.\n", "")
    code, said, _ = invoke("explain", "-c", location, "GET", "/", **env)
    assert code == 0
    assert "main.toml:2" in said
    code, said, _ = invoke("plugins", "-c", location, **env)
    assert "storage dict" in said
    store(tmp_path, "one", {"x.toml": "a = ["})
    code, _, said = invoke("-t", "-c", location, **env)
    assert code == 2
    assert said.startswith("x.toml:1: is not valid TOML")


# What can go wrong, in this process.


def failure(location: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_configuration([location], installed_registry())
    (problem,) = caught.value.problems
    return str(problem)


@pytest.fixture
def installed(tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ({"bug": ""}, "cannot be read: it failed: LookupError: a bug"),
        ({"nothing": ""}, "cannot be read: read returned dict, expected a ConfigSnapshot"),
        ({"hangs": ""}, "cannot be read: it did not answer within 0.05 s"),
    ],
)
def test_a_storage_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(loading, "READ_SECONDS", 0.05)
    found = failure(store(tmp_path, "one", documents))
    assert found.startswith(f"dict://: {said}")
    assert "s3cr" not in found


@pytest.mark.usefixtures("installed")
def test_what_is_wrong_with_the_location_is_told() -> None:
    assert failure("dict:///x.json") == "dict://: cannot be read: No such file or directory"
    assert failure("dict:///x") == "dict://: expected a path that ends with .json"
    assert "secret" not in failure("etcd://user:secret@h/p?password=secret")
    unknown = 'no installed distribution provides this storage; did you mean "dict"?'
    assert failure("dicts://x") == f"dicts://: {unknown}"


def test_files_may_have_a_scheme_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HELLO)
    snapshot = read_configuration([f"file://{tmp_path}"], installed_registry())
    assert snapshot.files == ((f"{tmp_path}/a.toml", HELLO),)


# In tests of plugins.


class Renames(Plugin):
    """Writes its own configuration."""

    category = "renames"
    contract = "1.1"
    worker: Worker

    async def startup(self, tasks: object, worker: Worker) -> None:
        self.worker = worker

    @hookimpl
    async def request(self) -> Response:
        storage = self.worker.storage
        snapshot = await storage.read()
        await storage.write({"new.toml": "[basic]\n"}, expected=snapshot.version)
        return Response.text(200, "saved")


def test_a_proxy_of_tests_has_a_storage_in_memory() -> None:
    proxy = Proxy(categories=[Renames])
    proxy.location(plugins=[("renames", {})])
    with proxy:
        assert proxy.get("/").text == "saved"
        assert isinstance(proxy.storage, MemoryStorage)
        assert list(proxy.storage.documents) == ["pingap.toml", "new.toml"]
        snapshot = anyio.run(proxy.storage.read)
        assert isinstance(snapshot, ConfigSnapshot)
