"""``logging`` runs once for every request that matched a location, however it ended."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig, answer_or_none
from support.waiting import DEADLINE

from pingap.testing import Served

SOURCE = '''
class Note(Plugin):
    """Tells what is known at the end."""

    category = "note"

    @hookimpl
    def logging(self, request, response, ctx):
        log.warning(
            "noted %s head=%s status=%s sent=%s received=%s upstream=%s ended=%s mark=%s",
            request.target, response and response.status, ctx.status, ctx.body_bytes_sent,
            ctx.body_bytes_received, ctx.upstream_status, ctx.ended_at >= ctx.began_at,
            ctx.state.get("mark"),
        )


class Mark(Plugin):
    category = "mark"

    @hookimpl
    def early_request(self, ctx): ctx.state["mark"] = "early"

    @hookimpl
    def request(self, request):
        if request.query == "answer":
            return Response.text(202, "answered")
        if request.query == "refuse":
            raise HTTPError(403, "no")
        if request.query == "fail":
            raise RuntimeError


class Slow(Plugin):
    """Needs a while to log."""

    category = "slow"

    @hookimpl
    async def logging(self, request, ctx):
        log.warning("begins %s", request.target)
        await anyio.sleep(0.2)
        log.warning("finished %s", request.target)
'''
PLUGINS = """
[plugins.note]
category = "note"
[plugins.mark]
category = "mark"
[plugins.slow]
category = "slow"
"""
LOCATIONS = {
    "note": "mark note",
    "small": 'mark note\nclient_max_body_size = "3b"',
    "slow": "slow mark note",
    "dead": "mark note",
}


class Script:
    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.target.endswith("hang"):
                self.go_on.wait(DEADLINE)
            elif request.target.endswith("cut"):
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
                return
            elif request.target.endswith("nothing"):
                return
            else:
                served.respond(b"fine")


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, script: Script) -> Iterator[Rig]:
    server = 'access_log = "{uri} {status} line"'
    folder = tmp_path_factory.mktemp("hooks")
    with serving(
        folder, SOURCE, LOCATIONS, more=PLUGINS, server=server, script=script, sound=False
    ) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "body", "noted"),
    [
        ("/note/ok", b"12345", "head=200 status=200 sent=4 received=5 upstream=200"),
        ("/note/a?answer", b"", "head=202 status=202 sent=8 received=0 upstream=0"),
        ("/note/r?refuse", b"", "head=403 status=403"),
        ("/note/f?fail", b"", "head=500 status=500"),
        ("/small/large", b"12345", "head=413 status=413"),
        ("/note/nothing", b"", "head=502 status=502"),
        ("/note/cut", b"", "head=200 status=200 sent=5 received=0 upstream=200"),
    ],
)
def test_hook_logging_runs_once_whatever_happened(
    rig: Rig, target: str, body: bytes, noted: str
) -> None:
    with rig.connect() as client:
        client.send(
            f"{'POST' if body else 'GET'} {target} HTTP/1.1\r\nHost: test\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        answer_or_none(client)
    rig.proxy.wait_for_log(f"INFO {target} ")
    lines = [line for line in rig.proxy.log.splitlines() if f"noted {target} " in line]
    assert len(lines) == 1
    assert noted in lines[0]
    mark = "None" if target.startswith("/small") else "early"
    assert lines[0].endswith(f"ended=True mark={mark}")


def test_hook_logging_runs_when_the_client_left(rig: Rig, script: Script) -> None:
    script.go_on.clear()
    with rig.connect() as client:
        client.send(b"GET /note/hang HTTP/1.1\r\nHost: test\r\n\r\n")
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):  # leaving is believed a while after the request
            client.sock.recv(1)
    rig.proxy.wait_for_log("noted /note/hang head=None status=499 sent=0 received=0 upstream=0")
    script.go_on.set()


def test_hook_logging_does_not_run_without_a_location(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/unknown/").status == 404
        client.send(b"bad\r\n\r\n")
        assert client.answer().status == 400
    log = rig.proxy.wait_for_log("400 line")
    assert "noted /unknown/" not in log


def test_hook_logging_async_ends_before_the_next_request(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET /slow/1 HTTP/1.1\r\nHost: test\r\n\r\n")
        client.send(b"GET /slow/2?answer HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.answer().status == 200
        assert client.answer().status == 202
        log = rig.proxy.wait_for_log("finished /slow/2?answer")
    events = [word for word in ("begins", "finished") for _ in range(2)]
    seen = [line.split()[-2] for line in log.splitlines() if "begins" in line or "finished" in line]
    assert seen == [events[0], events[2]] * 2


def test_hook_logging_async_ends_although_the_client_closes(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/slow/closed?answer").status == 202
        rig.proxy.wait_for_log("begins /slow/closed")
        linger = struct.pack("ii", 1, 0)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    rig.proxy.wait_for_log("/slow/closed?answer 202 line")
    assert "finished /slow/closed" in rig.proxy.log
    assert "noted /slow/closed" in rig.proxy.log
