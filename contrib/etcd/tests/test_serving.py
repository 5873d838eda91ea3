"""pingap served from etcd: changes, failures, restarts, and a copy for a start without it."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from etcd_server import Etcd, free_port, needs_etcd
from support.certificates import issue
from support.command import invoke
from support.process import Process
from support.waiting import until

from pingap.testing import Client, Upstream

pytestmark = needs_etcd

SERVER = 'addr = "{}"\nlocations = ["all"]\n'
MOCK = '[plugins.hello]\ncategory = "mock"\nstatus = 200\ndata = "{}"\n'


def fill(etcd: Etcd, prefix: str, text: str = "one") -> None:
    """Store a configuration in the layout of pingap 0.13.9."""
    etcd.put(f"{prefix}/basic.toml", '[basic]\nname = "from etcd"\n')
    etcd.put(f"{prefix}/servers/web.toml", "[servers.web]\n" + SERVER.format("127.0.0.1:0"))
    etcd.put(f"{prefix}/locations/all.toml", '[locations.all]\nplugins = ["hello"]\n')
    etcd.put(f"{prefix}/plugins/hello.toml", MOCK.format(text))


@contextmanager
def serving(folder: Path, location: str, *arguments: str) -> Iterator[Process]:
    with Process("", folder, "--autoreload", *arguments, location=location) as proxy:
        yield proxy


def hello(proxy: Process, path: str = "/") -> bytes:
    with proxy.connect() as client:
        return client.get(path).body


def test_changes_take_effect_in_all_instances(etcd: Etcd, prefix: str, tmp_path: Path) -> None:
    fill(etcd, prefix)
    location = f"etcd://{etcd.hosts}{prefix}"
    with (
        serving(tmp_path / "1", location) as one,
        serving(tmp_path / "2", location) as two,
        Upstream() as upstream,
    ):
        began = time.monotonic()
        etcd.put(f"{prefix}/plugins/hello.toml", MOCK.format("two"))
        until(lambda: hello(one) == hello(two) == b"two")
        assert time.monotonic() - began < 2
        # A broken value changes nothing, and its key is named.
        etcd.put(f"{prefix}/plugins/hello.toml", MOCK.format("x") + "dta = 1\n")
        for proxy in (one, two):
            proxy.wait_for_log(f"{prefix}/plugins/hello.toml:5: plugins.hello.dta: unknown key")
        assert hello(one) == b"two"
        # All other sections.
        etcd.put(f"{prefix}/plugins/hello.toml", MOCK.format("three"))
        etcd.put(
            f"{prefix}/upstreams/shop.toml", f'[upstreams.shop]\naddrs = ["{upstream.addr}"]\n'
        )
        etcd.put(
            f"{prefix}/storages/part.toml",
            "[storages.part]\ncategory = 'c'\nvalue = '''path = \"/s\"'''\n",
        )
        etcd.put(
            f"{prefix}/locations/s.toml", '[locations.s]\nupstream = "shop"\nincludes = ["part"]\n'
        )
        certificate = issue("shop.test")
        etcd.put(f"{prefix}/certificates/shop.toml", certificate.toml("shop"))
        etcd.put(f"{prefix}/basic.toml", '[basic]\nlog_level = "debug"\n')
        more = (
            SERVER.format(f"127.0.0.1:{free_port()}").replace('"all"', '"all", "s"')
            + "reuse_port = true\n"
        )
        etcd.put(f"{prefix}/servers/web.toml", f"[servers.web]\n{more}")
        port = int(more.partition(":")[2].partition('"')[0])
        for proxy in (one, two):
            proxy.wait_for_log(f"listening on 127.0.0.1:{port}")
        with Client(("127.0.0.1", port)) as client:
            assert client.get("/").body == b"three"
            client.get("/s/1")
        assert upstream.requests[0].target == "/s/1"


def test_etcd_may_be_away(tmp_path: Path) -> None:
    with Etcd(tmp_path) as etcd:
        fill(etcd, "/p")
        with serving(tmp_path / "proxy", f"etcd://{etcd.hosts}/p") as proxy:
            etcd.kill()
            proxy.wait_for_log("etcd cannot be watched, the configuration stays as it is")
            proxy.process.send_signal(signal.SIGHUP)
            proxy.wait_for_log("it cannot be read: http://")
            assert hello(proxy) == b"one"
            etcd.start()
            etcd.put("/p/plugins/hello.toml", MOCK.format("two"))
            etcd.ctl("compaction", str(etcd.revision))
            until(lambda: hello(proxy) == b"two")
            proxy.wait_for_log("etcd is back", 20)  # SIGHUP may have read the change before
            assert proxy.log.count("etcd cannot be watched") == 1
            assert proxy.log.count("etcd is back") == 1
            etcd.put("/p/plugins/hello.toml", MOCK.format("three"))
            until(lambda: hello(proxy) == b"three")


def test_a_start_without_etcd_is_an_error(tmp_path: Path) -> None:
    port = free_port()
    secret = "user=me&password=s3cret"
    code, _, said = invoke("-c", f"etcd://127.0.0.1:{port}/p?{secret}", "-t")
    assert code == 2
    assert said == (
        f"etcd://: cannot be read: http://127.0.0.1:{port}: Connection refused\n1 problem.\n"
    )
    code, _, said = invoke("-c", f"etcd://127.0.0.1:{port}/p", "--cache", tmp_path / "c")
    assert code == 2
    assert f"--cache: there is no copy in {tmp_path}/c\n" in said


def test_a_copy_serves_until_etcd_is_back(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with Etcd(tmp_path) as etcd:
        fill(etcd, "/p")
        for command in ("user add root:s3cret", "user grant-role root root", "auth enable"):
            etcd.ctl(*command.split())
        etcd.user = "root:s3cret"
        location = f"etcd://{etcd.hosts}/p?user=root&password=s3cret"
        with serving(tmp_path / "1", location, "--cache", str(cache)) as proxy:
            (copy,) = cache.iterdir()
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600
            before = copy.read_bytes()
            etcd.put("/p/plugins/hello.toml", MOCK.format("two"))
            until(lambda: hello(proxy) == b"two")
            until(lambda: copy.read_bytes() != before)
            shown = Path(f"/proc/{proxy.process.pid}/cmdline").read_bytes()
            assert b"user=root&password=******" in shown
            workers = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in proxy.workers]
            assert all(b"s3cret" not in worker for worker in workers)
            assert "s3cret" not in proxy.log + proxy.start_text
        etcd.kill()
        with serving(tmp_path / "2", location, "--cache", str(cache)) as proxy:
            assert "warning: etcd://: cannot be read: http://127.0.0.1:" in proxy.start_text
            assert f"in {copy}" in proxy.start_text
            assert hello(proxy) == b"two"
            etcd.start()
            etcd.put("/p/plugins/hello.toml", MOCK.format("three"))
            until(lambda: hello(proxy) == b"three", seconds=20)
            assert "s3cret" not in proxy.log + proxy.start_text


@pytest.mark.parametrize("change", ["writable by others", "a link", "nonsense"])
def test_a_copy_that_cannot_be_trusted_is_not_used(
    tmp_path: Path, change: str, etcd: Etcd, prefix: str
) -> None:
    from pingap.config import Snapshot
    from pingap.config.storage.cache import SnapshotCache

    location = f"etcd://127.0.0.1:{free_port()}/p"
    cache = SnapshotCache(str(tmp_path), [location])
    cache.save(Snapshot.of_text("[basic]\n", "basic.toml"))
    if change == "writable by others":
        cache.path.chmod(0o620)
    elif change == "a link":
        cache.path.rename(tmp_path / "other")
        cache.path.symlink_to(tmp_path / "other")
    else:
        os.truncate(cache.path, 5)
    code, _, said = invoke("-c", location, "--cache", tmp_path)
    assert code == 2
    expected = {
        "writable by others": "is not used: other users could change it",
        "a link": "cannot be read: Too many levels of symbolic links",
        "nonsense": "is not a copy of a configuration",
    }
    assert expected[change] in said
