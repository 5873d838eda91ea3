"""Upstream connections that carry an identity serve one client's connection only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.h2 import H2Answer, H2Client
from support.h2_origin import H2Served, h2_script
from support.plugins import serving
from support.rig import Rig, running, running_process
from support.waiting import until

from pingap.testing import Served

PLUGIN = """
class Pin(Plugin):
    category = "pin"

    @hookimpl
    def request(self, request, ctx):
        if request.header("x-pin"):
            ctx.pin_upstream()

    @hookimpl
    def upstream_response(self, request, response, ctx):
        if request.header("x-late"):
            ctx.pin_upstream()
"""


MORE = '[plugins.pin]\ncategory = "pin"\n'


def signing_in(served: Served) -> None:
    """Authenticate the connection, as IIS does: whoever comes later on it is taken for the first."""
    user = ""
    while (request := served.read_request()) is not None:
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if token.startswith("hello-"):
            user = token.removeprefix("hello-")
        if token == "begin":
            served.respond(status=401, headers={"WWW-Authenticate": f"{scheme} challenge"})
        elif not user and not request.path.endswith("/open"):
            body = b"%d " % served.number + bytes(300_000 if request.path == "/long" else 0)
            served.respond(body, status=401, headers={"WWW-Authenticate": "Basic, ntlm"})
        else:
            served.respond(f"{served.number} {user}".encode())


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    server = 'enabled_h2 = true\nkeepalive_timeout = "5s"'
    with running(signing_in, server=server) as one:
        yield one


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A process of its own, whose descriptors can be counted."""
    folder = tmp_path_factory.mktemp("proxy")
    with running_process(folder, signing_in, server="enabled_h2 = true") as one:
        yield one


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "negotiate"])
def test_another_client_does_not_get_the_connection(rig: Rig, scheme: str) -> None:
    with rig.connect() as alice, rig.connect() as bob, H2Client(rig.proxy) as carol:
        assert alice.get("/").status == 401
        assert alice.get("/", headers={"Authorization": f"{scheme} begin"}).status == 401
        signed_in = alice.get("/", headers={"Authorization": f"{scheme} hello-alice"})
        assert signed_in.body.endswith(b" alice")
        assert bob.get("/").status == 401
        assert _get(carol).status == 401
        assert alice.get("/").body == signed_in.body


@pytest.mark.parametrize("path", ["/", "/long"])
def test_a_connection_with_a_challenge_is_not_shared(rig: Rig, path: str) -> None:
    with rig.connect() as alice, rig.connect() as bob:
        challenged = alice.get(path).body.split()[0]
        assert bob.get("/open").body.split()[0] != challenged
        assert alice.get("/open").body.split()[0] == challenged


def test_one_step_without_a_challenge_is_enough(rig: Rig) -> None:
    with rig.connect() as warm:
        warm.get("/open")
    with rig.connect() as alice, rig.connect() as bob:
        assert alice.get("/", headers={"Authorization": "Negotiate hello-alice"}).body.endswith(
            b" alice"
        )
        assert bob.get("/").status == 401
        assert alice.get("/").body.endswith(b" alice")


def test_a_client_of_http2_keeps_its_connection(rig: Rig) -> None:
    with H2Client(rig.proxy) as alice, rig.connect() as bob:
        assert _get(alice, "NTLM begin").status == 401
        assert _get(alice, "NTLM hello-alice").body.endswith(b" alice")
        assert bob.get("/").status == 401
        assert _get(alice).body.endswith(b" alice")


def _get(client: H2Client, credentials: str = "") -> H2Answer:
    more = [("authorization", credentials)] if credentials else []
    return client.get(max(client.answers, default=-1) + 2, "/", *more)


@pytest.mark.parametrize("http2", [False, True])
def test_connections_end_with_the_client(process: Rig, http2: bool) -> None:
    rig = process
    (worker,) = rig.proxy.workers
    with H2Client(rig.proxy) if http2 else rig.connect() as alice:
        if isinstance(alice, H2Client):
            assert _get(alice, "NTLM begin").status == 401
        else:
            assert alice.get("/", headers={"Authorization": "NTLM begin"}).status == 401
        open_now = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    until(lambda: len(list(Path(f"/proc/{worker}/fd").iterdir())) <= open_now - 2)


def test_ordinary_credentials_share_connections(rig: Rig) -> None:
    with rig.connect() as one, rig.connect() as two:
        first = one.get("/open", headers={"Authorization": "Basic YTpi"}).body
        assert two.get("/open", headers={"Authorization": "Bearer x"}).body == first


def test_a_plugin_pins_connections(tmp_path: Path) -> None:
    with (
        serving(tmp_path, PLUGIN, {"p": "pin"}, more=MORE, script=signing_in) as rig,
        rig.connect() as one,
        rig.connect() as two,
    ):
        mine = one.get("/p/open", headers={"X-Pin": "1"}).body
        assert two.get("/p/open").body != mine
        assert one.get("/p/open").body == mine
        assert two.get("/p/open", headers={"X-Late": "1"}).status == 500
        rig.proxy.wait_for_log("the request was already sent")


def test_http2_upstreams_are_not_shared_either() -> None:
    numbers: dict[int, int] = {}

    def script(origin: H2Served) -> None:
        number = numbers[id(origin)] = len(numbers) + 1
        while (request := origin.request()) is not None:
            if request.header("authorization") or request.path == "/open":
                origin.respond(request.stream, b"%d" % number)
            else:
                challenge = [(":status", "401"), ("www-authenticate", "Negotiate")]
                origin.headers(request.stream, challenge, end=True)

    upstream = 'alpn = "H2"\nmax_h2_streams = 10'
    with (
        running(h2_script(script), upstream=upstream) as rig,
        rig.connect() as alice,
        rig.connect() as bob,
    ):
        shared = bob.get("/open").body
        assert alice.get("/open").body == shared
        assert alice.get("/").status == 401
        mine = alice.get("/", headers={"Authorization": "Negotiate x"}).body
        assert mine != shared
        assert alice.get("/open").body == mine
        assert bob.get("/open").body not in (mine, shared)  # which the challenge has ended
