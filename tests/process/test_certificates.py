"""Certificates that a plugin replaces while two workers serve: through sockets, crashes and reloads."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import Issued, issue
from support.local_plugin import local_plugin
from support.process import Process
from support.tls import TlsClient, client_context
from support.waiting import until

TOML = local_plugin(basic="threads = 2", server="global_certificates = true\nenabled_h2 = true")
PLUGIN = """
import json, os
from pathlib import Path
from urllib.parse import parse_qs
from pingap import Plugin, Response, hookimpl

class Local(Plugin):
    contract = "1.1"

    async def startup(self, tasks, worker):
        self.certificates = worker.certificates

    @hookimpl
    def request(self, request):
        asked = {key: one[0] for key, one in parse_qs(request.query).items()}
        try:
            answer = self.answer(request.path, asked)
        except ValueError as error:
            return Response(400, str(error))
        return Response(200, json.dumps({"pid": os.getpid(), "answer": answer}))

    def answer(self, path, asked):
        if path == "/list":
            return [
                [one.name, one.names, one.source, one.fingerprint, one.alpn,
                 one.not_after.tzinfo is not None]
                for one in self.certificates.list()
            ]
        if path == "/remove":
            self.certificates.remove(asked["name"])
        if path == "/replace":
            chain, key = (Path(asked[one]).read_bytes() for one in ("chain", "key"))
            names = asked.get("names", "").split()
            for _ in range(int(asked.get("times", "1"))):
                self.certificates.replace(
                    asked["name"], chain, key, names, alpn=asked.get("alpn", "")
                )
"""


class Site:
    """A proxy of two workers with TLS, whose plugin does what it is asked for."""

    def __init__(self, proxy: Process, folder: Path) -> None:
        self.proxy = proxy
        self.folder = folder

    def connect(self, name: str = "a.test", *protocols: str) -> TlsClient:
        context = client_context()
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return TlsClient(self.proxy, context, name)

    def ask(self, path: str, status: int = 200, **query: object) -> str:
        with self.connect() as client:
            answer = client.get(f"{path}?{urlencode(query)}")
        assert answer.status == status, answer.body
        return answer.body.decode()

    def replace(self, name: str, issued: Issued, status: int = 200, **query: object) -> str:
        chain, key = issued.write(self.folder, f"replaced-{name}")
        return self.ask("/replace", status, name=name, **{"chain": chain, "key": key, **query})

    def served(self, name: str) -> dict[int, bytes]:
        """Return what each worker serves for a name."""
        found: dict[int, bytes] = {}
        while set(found) != set(self.proxy.workers):
            with self.connect(name) as client:
                found[json.loads(client.get("/").body)["pid"]] = client.peer
        return found

    def wait_for(self, name: str, issued: Issued) -> None:
        """Return once all workers serve a certificate."""
        until(lambda: set(self.served(name).values()) == {der(issued)})

    def list(self) -> list[list[object]]:
        """Return the facts that a worker lists."""
        found: list[list[object]] = json.loads(self.ask("/list"))["answer"]
        return found


def der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


REFUSED = r"(?i)no.application.protocol"
A, WILD = issue("a.test"), issue("*.wild.test")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with contextlib.ExitStack() as stack:

        def start(more: str = "") -> Site:
            (tmp_path / "local.py").write_text(PLUGIN)
            proxy = Process(TOML + A.toml("a", "is_default = true") + more, tmp_path)
            return Site(stack.enter_context(proxy), tmp_path)

        yield start


def test_all_workers_serve_it_and_no_connection_is_disturbed(start: Callable[..., Site]) -> None:
    site = start(WILD.toml("wild", 'domains = "*.wild.test, plain.test"'))
    new, new_wild, extra = issue("a.test"), issue("*.wild.test"), issue("extra.test")
    with site.connect() as open_before:
        site.replace("a", new)
        site.wait_for("a.test", new)
        site.replace("wild", new_wild)
        site.wait_for("x.wild.test", new_wild)
        assert set(site.served("plain.test").values()) == {der(new_wild)}  # by domains
        assert set(site.served("unknown.test").values()) == {der(new)}  # the default
        site.replace("extra", extra)
        site.wait_for("extra.test", extra)
        assert open_before.peer == der(A)
        assert open_before.get("/").status == 200
    listed = [one[:3] for one in site.list()]
    assert listed == [
        ["a", ["a.test", "*"], "plugin"],
        ["wild", ["*.wild.test", "plain.test"], "plugin"],
        ["extra", ["extra.test"], "plugin"],
    ]
    site.ask("/remove", name="extra")
    site.ask("/remove", name="a")
    site.wait_for("extra.test", A)
    site.wait_for("a.test", A)
    assert "PRIVATE" not in site.proxy.log


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_stay_valid(start: Callable[..., Site], version: ssl.TLSVersion) -> None:
    site = start()
    context = client_context(version=version)
    with TlsClient(site.proxy, context, "a.test") as client:
        pid = json.loads(client.get("/").body)["pid"]
        session = client.sock.session
    new = issue("a.test")
    site.replace("a", new)
    site.wait_for("a.test", new)
    resumed = {}
    while pid not in resumed:
        with TlsClient(site.proxy, context, "a.test", session) as client:
            resumed[json.loads(client.get("/").body)["pid"]] = client.sock.session_reused
    assert resumed[pid]


def test_a_worker_that_takes_the_place_of_a_killed_one(start: Callable[..., Site]) -> None:
    site = start()
    new, extra = issue("a.test"), issue("extra.test")
    site.replace("a", new)
    site.replace("extra", extra, names="extra.test *.extra.test")
    site.wait_for("a.test", new)
    site.wait_for("b.extra.test", extra)
    for worker in site.proxy.workers:
        os.kill(worker, signal.SIGKILL)
        until(lambda gone=worker: gone not in site.proxy.workers)  # type: ignore[misc]
        until(lambda: len(site.proxy.workers) == 2)
    site.wait_for("a.test", new)
    site.wait_for("b.extra.test", extra)


def reload(site: Site, toml: str) -> None:
    count = site.proxy.log.count("the configuration was reloaded")
    site.proxy.conf.write_text(toml)
    site.proxy.process.send_signal(signal.SIGHUP)
    until(lambda: site.proxy.log.count("the configuration was reloaded") > count)


def test_a_reload_keeps_it_unless_its_table_changes(start: Callable[..., Site]) -> None:
    site = start()
    new, extra = issue("a.test"), issue("extra.test")
    site.replace("a", new)
    site.replace("extra", extra)
    site.wait_for("extra.test", extra)
    toml = site.proxy.conf.read_text()
    reload(site, toml.replace("[locations.all]", "[locations.all]\nweight = 5"))
    site.wait_for("a.test", new)
    site.wait_for("extra.test", extra)
    reload(site, toml.replace("is_default", "buffer_days = 3\nis_default"))
    site.wait_for("a.test", A)
    site.wait_for("extra.test", extra)
    worker = site.proxy.workers[0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(site.proxy.workers) == 2 and worker not in site.proxy.workers)
    site.wait_for("a.test", A)
    site.wait_for("extra.test", extra)


SLOW = """
from pathlib import Path
import anyio
from pingap import Plugin

class Slow(Plugin):
    async def startup(self, tasks):
        here = Path(__file__).parent
        (here / "began").touch()
        while not (here / "go").exists(): await anyio.sleep(0.01)
        if (here / "go").read_text(): raise RuntimeError("not this one")
"""


@pytest.mark.parametrize("fails", [True, False])
def test_one_that_is_replaced_during_a_reload_is_for_the_old_table(
    start: Callable[..., Site], tmp_path: Path, fails: bool
) -> None:
    """The plugin that replaces it has the old table in mind, and that one is still served."""
    site = start()
    new, changed = issue("a.test"), issue("a.test")
    (tmp_path / "slow.py").write_text(SLOW)
    toml = site.proxy.conf.read_text().replace(A.toml("a", "is_default = true"), "")
    toml += changed.toml("a", "is_default = true")
    toml += '[plugins.slow]\ncategory = "python"\npath = "slow.py"\n'
    site.proxy.conf.write_text(toml.replace('["local"]', '["local", "slow"]'))
    site.proxy.process.send_signal(signal.SIGHUP)
    until((tmp_path / "began").exists)
    site.replace("a", new)
    site.wait_for("a.test", new)
    (tmp_path / "text").write_text("fail" if fails else "")
    (tmp_path / "text").rename(tmp_path / "go")
    if fails:
        site.proxy.wait_for_log("not this one", 20)
        assert set(site.served("a.test").values()) == {der(new)}
    else:
        site.proxy.wait_for_log("the configuration was reloaded", 20)
        site.wait_for("a.test", changed)


def test_what_cannot_be_served_changes_nothing(start: Callable[..., Site], tmp_path: Path) -> None:
    authority = issue("ca.test", ca=True)
    site = start(authority.toml("signs", "is_ca = true"))
    other = issue("a.test")
    _, key = other.write(tmp_path, "other")
    listed = site.list()
    for issued, query, reason in (
        (A, {"key": key}, "the key does not belong to the certificate"),
        (issue("a.test", days=(-9, -1)), {}, "expired"),
        (issue("a.test", days=(1, 9)), {}, "not valid before"),
        (issue("a.test", bits=1024), {}, "OpenSSL rejects it"),
        (issue(), {}, "names no host"),
        (other, {"names": "*"}, "not the name of a host"),
        (other, {"names": "bücher.test"}, "not the name of a host"),
        (other, {"alpn": "h2"}, "expected 'acme-tls/1'"),
        (other, {"alpn": "acme-tls/1"}, "is a table"),
        (other, {"key": str(site.proxy.conf)}, "belong"),
        (other, {"chain": __file__}, "no certificate in it"),
        (issue(*(f"{'x' * 60}{number}.test" for number in range(700))), {}, "65536 at most"),
    ):
        assert reason in site.replace("a", issued, 400, **query)
    assert "is_ca" in site.replace("signs", other, 400)
    assert site.list() == listed
    assert set(site.served("a.test").values()) == {der(A)}


def test_two_hundred_replacements_leak_nothing(start: Callable[..., Site]) -> None:
    site = start()

    def used() -> dict[int, tuple[int, int]]:
        return {
            pid: (
                int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096,
                len(list(Path(f"/proc/{pid}/fd").iterdir())),
            )
            for pid in site.proxy.workers
        }

    for _ in range(6):  # what is kept once is not a leak: a leak grows each time
        before = used()
        site.replace("a", issue("a.test"), times=100)
        new = issue("a.test")
        site.replace("a", new, times=100)
        site.wait_for("a.test", new)
        after = used()
        if all(after[pid][0] - before[pid][0] < 1024 * 1024 for pid in after):
            break
    else:
        raise AssertionError("memory grows with each replacement")
    assert all(abs(after[pid][1] - before[pid][1]) < 5 for pid in after)


def test_a_challenge_is_for_handshakes_that_offer_nothing_else(start: Callable[..., Site]) -> None:
    site = start()
    challenge = issue("a.test")
    site.replace("challenge", challenge, alpn="acme-tls/1")
    until(lambda: proves(site, challenge) and proves(site, challenge))
    for protocols in ((), ("http/1.1",), ("h2", "acme-tls/1"), ("acme-tls/1", "http/1.1")):
        with site.connect("a.test", *protocols) as client:
            assert client.peer == der(A)
            assert client.sock.selected_alpn_protocol() != "acme-tls/1"
    with pytest.raises(ssl.SSLError, match=REFUSED):
        site.connect("other.test", "acme-tls/1")
    assert ["challenge", ["a.test"], "plugin"] in [one[:3] for one in site.list()]
    site.ask("/remove", name="challenge")
    until(lambda: not (proves(site, challenge) or proves(site, challenge)))


def proves(site: Site, challenge: Issued) -> bool:
    try:
        with site.connect("A.test", "acme-tls/1") as client:
            assert client.sock.selected_alpn_protocol() == "acme-tls/1"
            assert client.peer == der(challenge)
            with contextlib.suppress(ssl.SSLEOFError):
                assert client.sock.recv(1) == b""  # nothing follows the handshake
            return True
    except ssl.SSLError as error:
        if re.search(REFUSED, str(error)):
            return False
        raise


def test_a_challenge_in_single_bytes(start: Callable[..., Site]) -> None:
    site = start()
    challenge = issue("a.test")
    site.replace("challenge", challenge, alpn="acme-tls/1")
    until(lambda: all(proves(site, challenge) for _ in range(8)))
    context = client_context()
    context.set_alpn_protocols(["acme-tls/1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with site.proxy.connect() as raw:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    raw.sock.sendall(bytes((byte,)))
                incoming.write(raw.sock.recv(65536))
            else:
                break
    assert tls.getpeercert(binary_form=True) == der(challenge)
