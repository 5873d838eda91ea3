"""Guards in a pingap with several workers, as operators run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

from pingap.testing import Answer, Client, Upstream

WORKERS = 3
TOML = """
[basic]
threads = {workers}
pid_file = "{folder}/pid"
grace_period = "0s"

[plugins.token]
category = "jwt"
header = "Authorization"
jwks_url = "http://{upstream}/keys"

[plugins.once]
category = "combined_auth"
replay_protection = true
[[plugins.once.authorizations]]
app_id = "a"
secret = "{secret}"
deviation = 60

[plugins.page]
category = "mock"
data = "in"

[locations.token]
path = "/token"
plugins = ["token", "page"]
[locations.once]
path = "/once"
plugins = ["once", "page"]

[servers.s]
addr = "127.0.0.1:{port}"
locations = ["token", "once"]
access_log = "{{path}} {{status}}"
"""


class Running:
    """A running pingap."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder

    @property
    def workers(self) -> list[int]:
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def connect(self) -> Client:
        return Client(("127.0.0.1", self.port))

    def get(self, target: str, **headers: str) -> Answer:
        with self.connect() as client:
            return client.get(target, headers=headers)

    def write(self, **values: object) -> None:
        (self.folder / "pingap.toml").write_text(TOML.format(**values))


def until(condition: Callable[[], object], told: Path) -> None:
    limit = time.monotonic() + 40
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(told.read_text())
        time.sleep(0.02)


@contextmanager
def running(folder: Path, upstream: str) -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    environment = {**os.environ, "PINGAP_STATE_DIR": str(folder / "state")}
    conf = folder / "pingap.toml"
    conf.write_text(
        TOML.format(folder=folder, upstream=upstream, port=port, workers=WORKERS, secret="s")
    )
    command = [sys.executable, "-m", "pingap", "-c", str(conf), "--log", str(log)]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    pingap = Running(process, port, folder)
    try:
        until(lambda: _answers(port), folder / "out")
        until(lambda: len(pingap.workers) >= WORKERS, folder / "out")
        # A worker that dies before that makes the whole start fail.
        until(lambda: "is serving" in (folder / "out").read_text(), folder / "out")
        yield pingap
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def key() -> RSAKey:
    return RSAKey.generate_key(2048)


def token(key: RSAKey) -> str:
    claims = json.dumps({"sub": "a", "exp": int(time.time()) + 600}).encode()
    registry = JWSRegistry(algorithms=["RS256"])
    return "Bearer " + serialize_compact(
        {"alg": "RS256", "kid": "k"}, claims, key, registry=registry
    )


def signed(secret: str = "s") -> str:
    ts = int(time.time())
    return f"/once?app_id=a&ts={ts}&digest={sha256(f'{secret}:{ts}'.encode()).hexdigest()}"


@pytest.mark.timeout(120)
def test_one_worker_fetches_keys_for_all(tmp_path: Path, upstream: Upstream, key: RSAKey) -> None:
    document = {"keys": [{**key.as_dict(private=False), "kid": "k"}]}
    upstream.reply("/keys", json.dumps(document).encode())
    with running(tmp_path / "p", upstream.addr) as pingap:
        statuses = [pingap.get("/token", Authorization=token(key)).status for _ in range(30)]
        assert statuses == [200] * 30
        assert pingap.get("/token").status == 401
        assert len([one for one in upstream.requests if one.path == "/keys"]) == 1
        killed = pingap.workers[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in pingap.workers, pingap.folder / "out")
        until(lambda: len(pingap.workers) >= WORKERS, pingap.folder / "out")
        # The new worker gets the keys that the others have.
        assert [pingap.get("/token", Authorization=token(key)).status for _ in range(30)] == [
            200
        ] * 30
        assert len([one for one in upstream.requests if one.path == "/keys"]) == 1


@pytest.mark.timeout(120)
def test_a_digest_is_used_once_in_all_workers_and_after_a_reload(
    tmp_path: Path, upstream: Upstream
) -> None:
    with running(tmp_path / "p", upstream.addr) as pingap:
        target = signed()
        assert [pingap.get(target).status for _ in range(20)].count(200) == 1
        pingap.write(
            folder=pingap.folder,
            upstream=upstream.addr,
            port=pingap.port,
            workers=WORKERS,
            secret="t",
        )
        with pingap.connect() as client:  # a connection from before the reload
            assert client.get(target).status == 401
            pingap.process.send_signal(signal.SIGHUP)
            until(lambda: client.get(signed("t")).status == 200, pingap.folder / "log")
            # What the old secret has signed is refused everywhere from now on.
            time_of_old = signed()
            assert {pingap.get(time_of_old).status for _ in range(10)} == {401}
            assert client.get(time_of_old).status == 401
