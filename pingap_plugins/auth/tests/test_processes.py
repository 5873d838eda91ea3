"""Guards in a pingap with several workers, as operators run it."""

from __future__ import annotations

import json
import os
import signal
import time
from hashlib import sha256
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

from pingap.testing import ProxyProcess, Upstream

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
addr = "127.0.0.1:0"
locations = ["token", "once"]
access_log = "{{path}} {{status}}"
"""


def toml(folder: Path, upstream: str, secret: str = "s") -> str:
    return TOML.format(folder=folder, upstream=upstream, workers=WORKERS, secret=secret)


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
    with ProxyProcess(toml(tmp_path, upstream.addr), tmp_path / "p") as pingap:
        statuses = [
            pingap.get("/token", headers={"Authorization": token(key)}).status for _ in range(30)
        ]
        assert statuses == [200] * 30
        assert pingap.get("/token").status == 401
        assert len([one for one in upstream.requests if one.path == "/keys"]) == 1
        killed = pingap.workers[0]
        os.kill(killed, signal.SIGKILL)
        pingap.wait_until(lambda: killed not in pingap.workers)
        pingap.wait_until(lambda: len(pingap.workers) >= WORKERS)
        # The new worker gets the keys that the others have.
        assert [
            pingap.get("/token", headers={"Authorization": token(key)}).status for _ in range(30)
        ] == [200] * 30
        assert len([one for one in upstream.requests if one.path == "/keys"]) == 1


@pytest.mark.timeout(120)
def test_a_digest_is_used_once_in_all_workers_and_after_a_reload(
    tmp_path: Path, upstream: Upstream
) -> None:
    with ProxyProcess(toml(tmp_path, upstream.addr), tmp_path / "p") as pingap:
        target = signed()
        assert [pingap.get(target).status for _ in range(20)].count(200) == 1
        with pingap.connect() as client:  # a connection from before the reload
            assert client.get(target).status == 401
            pingap.reload(toml(tmp_path, upstream.addr, secret="t"))
            pingap.wait_until(lambda: client.get(signed("t")).status == 200)
            # What the old secret has signed is refused everywhere from now on.
            time_of_old = signed()
            assert {pingap.get(time_of_old).status for _ in range(10)} == {401}
            assert client.get(time_of_old).status == 401
