"""Authentication and TLS: logins that expire, certificates, and what is said when they are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from etcd_server import Etcd, needs_etcd
from pingap_etcd.location import parse_location
from pingap_etcd.storage import EtcdStorage
from support.certificates import Issued, issue

from pingap import StorageError

pytestmark = needs_etcd

PASSWORD = "s3cr&t"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd with passwords, whose logins expire after a second."""
    with Etcd(tmp_path_factory.mktemp("etcd"), "--auth-token-ttl", "1") as server:
        server.put("/p/a.toml", "1")
        for command in (
            f"user add root:{PASSWORD}",
            "user grant-role root root",
            f"user add reader:{PASSWORD}",
            "role add reading",
            "role grant-permission reading read --prefix=true /p",
            "user grant-role reader reading",
            "auth enable",
        ):
            server.ctl(*command.split())
        server.user = f"root:{PASSWORD}"
        yield server


def storage_for(etcd: Etcd, query: str, prefix: str = "/p") -> EtcdStorage:
    return EtcdStorage(parse_location(f"etcd://{etcd.hosts}{prefix}?{query}"))


def as_user(name: str) -> str:
    return f"user={name}&password={PASSWORD.replace('&', '%26')}"


def failure(storage: EtcdStorage) -> str:
    with pytest.raises(StorageError) as caught:
        anyio.run(storage.read)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_a_password_lets_in(locked: Etcd) -> None:
    assert anyio.run(storage_for(locked, as_user("reader")).read).files == (("/p/a.toml", "1"),)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("user=reader&password=wrong", "authentication failed, invalid user ID or password"),
        ("", "user name is empty"),
    ],
)
def test_without_it_etcd_says_why(locked: Etcd, query: str, said: str) -> None:
    assert failure(storage_for(locked, query)) == f"etcd answered: etcdserver: {said}"


def test_rights_are_those_of_the_role(locked: Etcd) -> None:
    storage = storage_for(locked, as_user("reader"))

    async def write() -> None:
        version = (await storage.read()).version
        with pytest.raises(StorageError, match="permission denied"):
            await storage.write({"a.toml": "2"}, expected=version)

    anyio.run(write)
    assert "permission denied" in failure(storage_for(locked, as_user("reader"), "/other"))


@pytest.mark.parametrize("expire", ["time", "restart"])
def test_an_expired_login_is_repeated(locked: Etcd, expire: str) -> None:
    storage = storage_for(locked, as_user("reader"))
    items: list[None] = []

    async def watch() -> None:
        async for _ in storage.watch():
            items.append(None)  # noqa: PERF401 - it never ends

    async def until(condition: Callable[[], bool]) -> None:
        with anyio.fail_after(15):
            while not condition():  # noqa: ASYNC110
                await anyio.sleep(0.02)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            await storage.read()
            tasks.start_soon(watch)
            await until(lambda: len(items) == 1)
            if expire == "time":
                token = storage._gateway._token
                headers = {"Authorization": token}

                def is_refused() -> bool:
                    said = locked.post("/v3/kv/range", '{"key": "L3AvYS50b21s"}', headers)
                    return "invalid auth token" in said

                await anyio.sleep(2.5)  # each use of a token prolongs it, so it cannot be polled
                with anyio.fail_after(15):
                    while not is_refused():  # noqa: ASYNC110
                        await anyio.sleep(2.5)
            else:
                await anyio.to_thread.run_sync(locked.kill)
                await anyio.to_thread.run_sync(locked.start)
            assert len((await storage.read()).files) == 1
            seen = len(items)
            await anyio.to_thread.run_sync(locked.put, "/p/a.toml", "1")
            await until(lambda: len(items) > seen)
            tasks.cancel_scope.cancel()

    anyio.run(main)


# TLS.


@pytest.fixture(scope="module")
def authority() -> Issued:
    return issue(ca=True, common_name="authority")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, authority: Issued) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    found = {"ca": folder / "ca.pem", "other": folder / "other.pem"}
    found["ca"].write_text(authority.cert)
    found["other"].write_text(issue(ca=True).cert)
    for name in ("server", "client"):
        issue("127.0.0.1", by=authority).write(folder, name)
        found |= {name: folder / f"{name}.pem", f"{name}_key": folder / f"{name}.key"}
    return found


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, files: dict[str, Path]) -> Iterator[Etcd]:
    """An etcd with TLS that asks for client certificates."""
    with Etcd(
        tmp_path_factory.mktemp("etcd"),
        *("--client-cert-auth", "--trusted-ca-file", str(files["ca"])),
        tls=(files["ca"], files["server"], files["server_key"]),
        client=(files["client"], files["client_key"]),
    ) as server:
        server.put("/p/a.toml", "1")
        yield server


def test_certificates_are_shown_and_checked(encrypted: Etcd, files: dict[str, Path]) -> None:
    own = f"cert={files['client']}&key={files['client_key']}"
    storage = storage_for(encrypted, f"ca={files['ca']}&{own}")
    assert len(anyio.run(storage.read).files) == 1
    # A wrong one is an error that says what is wrong.
    wrong = failure(storage_for(encrypted, f"ca={files['other']}&{own}"))
    assert "its certificate is not valid: " in wrong
    assert encrypted.url in failure(storage_for(encrypted, f"ca={files['ca']}"))
    assert encrypted.hosts in failure(storage_for(encrypted, ""))
    missing = failure(storage_for(encrypted, "ca=/does/not/exist.pem"))
    assert missing == "ca: /does/not/exist.pem cannot be used: No such file or directory"
    mixed = f"cert={files['client']}&key={files['server_key']}"
    said = failure(storage_for(encrypted, f"ca={files['ca']}&{mixed}"))
    assert said.endswith("cannot be used: KEY_VALUES_MISMATCH")
