"""Upstreams that break the protocol, and what a client sees of it.

Before the head: 502. After the head: an answer that is visibly incomplete, never a complete one
that is wrong. And the next request is served, on a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event

import pytest
from support.origin import Script
from support.rig import answer_or_none, configure, running

from pingap.testing import Client, Proxy, Served, Upstream

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
End = Callable[[Served], None]


def stay(served: Served) -> None:
    """Leave the connection open until the proxy closes it."""
    served.receive()


def close(served: Served) -> None:
    served.sock.close()


def reset(served: Served) -> None:
    served.reset()


BEFORE_THE_HEAD: dict[str, tuple[bytes, End]] = {
    "CL+TE": (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", stay),
    "TE+CL": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n", stay),
    "two CL": (OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", stay),
    "CL twice": (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", stay),
    "CL +3": (OK + b"Content-Length: +3\r\n\r\nabc", stay),
    "CL 3, 3": (OK + b"Content-Length: 3, 3\r\n\r\nabc", stay),
    "CL empty": (OK + b"Content-Length: \r\n\r\nabc", stay),
    "TE gzip": (OK + b"Transfer-Encoding: gzip\r\n\r\nabc", close),
    "TE gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", stay),
    "TE xchunked": (OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", stay),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab", stay),
    "bare LF between fields": (OK + b"X: a\nContent-Length: 2\r\n\r\nab", stay),
    "obs-fold": (OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nab", stay),
    "NUL": (OK + b"X: a\0\r\nContent-Length: 2\r\n\r\nab", stay),
    "junk": (b"hello, who is there?\r\n\r\n", stay),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1\r\n", stay),
    "HTTP/2 status line": (b"HTTP/2 200\r\ncontent-length: 0\r\n\r\n", stay),
    "HTTP/2 frames": (b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80", stay),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", stay),
    "a request": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", stay),
    "101 unasked": (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello", stay),
    "no answer": (b"", close),
    "no answer, reset": (b"", reset),
    "part of a head": (OK + b"Content-Le", close),
    "part of a head, reset": (OK + b"Content-Le", reset),
    "head without end": (OK + b"Content-Length: 2\r\n", close),
    "interim head only": (b"HTTP/1.1 100 Continue\r\n\r\n", close),
    "large head": (OK + b"X: " + b"y" * 100_000 + b"\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", stay),
    "endless head": (OK + b"X: y\r\n" * 100_000, stay),
    "endless line": (b"H" * 300_000, stay),
    "endless interim heads": (b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 20_000, stay),
}  # fmt: skip

AFTER_THE_HEAD: dict[str, tuple[bytes, bytes, End]] = {
    "bad chunk size": (CHUNKED, b"3\r\nabc\r\nxyz\r\n", stay),
    "chunk size 0x": (CHUNKED, b"3\r\nabc\r\n0x3\r\nabc\r\n", stay),
    "nothing after data": (CHUNKED, b"3\r\nabc\r\n3\r\nabc0\r\n\r\n", stay),
    "LF after a size": (CHUNKED, b"3\r\nabc\r\n3\nabc\r\n0\r\n\r\n", stay),
    "LF in an extension": (CHUNKED, b"3\r\nabc\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", stay),
    "chunk size overflow": (CHUNKED, b"3\r\nabc\r\n1ffffffffffffffff\r\nabc", stay),
    "flood of extensions": (CHUNKED, b"3\r\nabc\r\n1;" + b"x" * 200_000, stay),
    "truncated length": (OK + b"Content-Length: 10\r\n\r\n", b"abc", close),
    "truncated length, reset": (OK + b"Content-Length: 10\r\n\r\n", b"abc", reset),
    "truncated chunk": (CHUNKED, b"a\r\nabc", close),
    "truncated after a chunk": (CHUNKED, b"3\r\nabc\r\n", close),
    "truncated after a chunk, reset": (CHUNKED, b"3\r\nabc\r\n", reset),
    "truncated before the empty line": (CHUNKED, b"3\r\nabc\r\n0\r\n", close),
    "truncated trailers": (CHUNKED, b"3\r\nabc\r\n0\r\nA: b\r\n", close),
    "until the end, reset": (OK + b"\r\n", b"abc", reset),
}


def broken(wire: bytes, end: End) -> Script:
    """Serve ``/good`` well; answer anything else with the wire, and end so."""

    def script(served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.target.endswith("/good"):
                served.respond(b"good")
                continue
            served.send(wire)
            end(served)
            return

    return script


def broken_later(head: bytes, body: bytes, end: End, go: Event) -> Script:
    """Send head and some body; and the rest when it is time."""

    def script(served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.target.endswith("/good"):
                served.respond(b"good")
                continue
            served.send(head + (b"1\r\n-\r\n" if head is CHUNKED else b"-"))
            assert go.wait(10)
            served.send(body)
            end(served)
            return

    return script


def poisonous(answer: bytes, extra: bytes) -> Script:
    """Say too much in the first answer of each connection."""

    def script(served: Served) -> None:
        text = answer + extra
        while served.read_request() is not None:
            served.send(text)
            text = OK + b"Content-Length: 4\r\n\r\ngood"

    return script


EXTRA = {
    "junk": b"extra bytes",
    "empty line": b"\r\n",
    "half a head": OK + b"X-Poison: ",
    "another answer": OK + b"Content-Length: 6\r\n\r\npoison",
    "half of another answer": OK + b"Content-Length: 60\r\n\r\npoison",
    "half a chunked answer": CHUNKED + b"60\r\npoison",
}
ANSWERS = {
    "counted": OK + b"Content-Length: 2\r\n\r\nab",
    "chunked": CHUNKED + b"2\r\nab\r\n0\r\n\r\n",
}

GO = Event()
SCRIPTS: dict[tuple[str, ...], Script] = {
    **{("head", name): broken(*case) for name, case in BEFORE_THE_HEAD.items()},
    **{("later", name): broken_later(*case, GO) for name, case in AFTER_THE_HEAD.items()},
    **{
        ("once", name): broken(head + body, end)
        for name, (head, body, end) in AFTER_THE_HEAD.items()
    },
    **{
        (kind, name): poisonous(answer, extra)
        for kind, answer in ANSWERS.items()
        for name, extra in EXTRA.items()
    },
}


class Case:
    """An origin of its own, and the path under which the proxy serves it."""

    def __init__(self, origin: Upstream, path: str, proxy: Proxy) -> None:
        self.origin = origin
        self.path = path
        self.proxy = proxy


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, ...], Case]]:
    """One proxy in front of all origins: none shares its pool with another."""
    with ExitStack() as stack:
        origins = {name: stack.enter_context(Upstream(script)) for name, script in SCRIPTS.items()}
        more = "".join(
            f'''
[upstreams.u{number}]
addrs = ["{origin.addr}"]
health_check = "none"
[locations.l{number}]
path = "/{number}/"
upstream = "u{number}"
'''
            for number, origin in enumerate(origins.values())
        )
        names = "".join(f'"l{number}", ' for number in range(len(origins)))
        toml = configure("127.0.0.1:1", more=more, locations=names)
        proxy = stack.enter_context(Proxy(toml))
        yield {
            name: Case(origin, f"/{number}/", proxy)
            for number, (name, origin) in enumerate(origins.items())
        }
        assert [origin.errors for origin in origins.values() if origin.errors] == []


@pytest.fixture(autouse=True)
def _no_error_is_logged(cases: dict[tuple[str, ...], Case]) -> Iterator[None]:
    proxy = next(iter(cases.values())).proxy
    before = len(proxy.log)
    yield
    assert " ERROR " not in proxy.log[before:]


@pytest.mark.parametrize("name", BEFORE_THE_HEAD)
def test_a_broken_head_is_answered_with_502(cases: dict[tuple[str, ...], Case], name: str) -> None:
    case = cases["head", name]
    with case.proxy.connect() as client:
        answer = client.request("POST", case.path, body=b"body")
        assert (answer.status, answer.complete) == (502, True)
        assert b"127.0.0.1" not in answer.body
        good = client.get(case.path + "good")
        assert (good.status, good.body) == (200, b"good")
    assert case.origin.connections == 2


@pytest.mark.parametrize("name", AFTER_THE_HEAD)
def test_a_broken_body_is_cut(cases: dict[tuple[str, ...], Case], name: str) -> None:
    case = cases["later", name]
    GO.clear()
    with case.proxy.connect() as client:
        client.send(f"GET {case.path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert client.read_head().status == 200
        GO.set()
        rest = client.read_to_end()
        assert not rest.endswith(b"0\r\n\r\n")
        assert len(rest) < 100
    with case.proxy.connect() as client:
        assert client.get(case.path + "good").body == b"good"
    assert case.origin.connections == 2


def read_to_reset(client: Client) -> None:
    while client.sock.recv(65536):
        pass


WITHOUT_LENGTH = [name for name, (head, _, _) in AFTER_THE_HEAD.items() if b"-Length" not in head]


@pytest.mark.parametrize("name", WITHOUT_LENGTH)
def test_a_broken_body_is_cut_visibly_for_http_1_0(
    cases: dict[tuple[str, ...], Case], name: str
) -> None:
    case = cases["later", name]
    GO.clear()
    with case.proxy.connect() as client:
        client.send(f"GET {case.path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        assert client.read_head().status == 200
        GO.set()
        with pytest.raises(ConnectionResetError):  # nothing else tells that it is cut
            read_to_reset(client)


@pytest.mark.parametrize("name", [name for name in AFTER_THE_HEAD if "reset" not in name])
def test_a_broken_body_in_one_write_is_never_complete(
    cases: dict[tuple[str, ...], Case], name: str
) -> None:
    case = cases["once", name]
    with case.proxy.connect() as client:
        client.send(f"GET {case.path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = answer_or_none(client)
        assert answer is None or answer.status == 502 or not answer.complete


@pytest.mark.parametrize("extra", EXTRA)
@pytest.mark.parametrize("kind", ANSWERS)
def test_bytes_after_an_answer_end_the_connection_and_reach_nobody(
    cases: dict[tuple[str, ...], Case], kind: str, extra: str
) -> None:
    case = cases[kind, extra]
    for _ in range(2):  # each on a new connection, which says the same first
        with case.proxy.connect() as client:
            client.sock.settimeout(2)
            found = client.get(case.path)
            assert found.header("x-poison") is None
            assert (found.status, found.body) == (200, b"ab")
    assert case.origin.connections == 2


def test_bytes_of_an_idle_upstream_end_its_connection() -> None:
    go, closed = Event(), Event()

    def script(served: Served) -> None:
        if served.read_request() is None:
            return
        served.respond(b"first")
        if served.number > 1:
            served.receive()
            return
        assert go.wait(10)
        served.send(OK + b"Content-Length: 6\r\n\r\npoison")
        assert served.receive() == b""
        closed.set()

    with running(script) as rig, rig.connect() as client:
        assert client.get("/").body == b"first"
        go.set()
        assert closed.wait(10)
        assert client.get("/").body == b"first"
        assert rig.origin.connections == 2
