"""Requests that are asked again of another backend, and those that are not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from support import h2
from support.h2_origin import H2Served, h2_script
from support.origin import Script, echo
from support.rig import configure, read_to_end, running
from support.waiting import until

from pingap.testing import Proxy, Served, Upstream

FORMAT = 'access_log = "{method} {status} attempts={:upstream_attempts}"'


def reset(served: Served) -> None:
    """End connections by a RST."""
    served.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    served.sock.close()


def sends_and_resets(data: bytes) -> Script:
    def script(served: Served) -> None:
        served.read_request()
        served.send(data)
        reset(served)

    return script


def silent(served: Served) -> None:
    served.read_request()
    read_to_end(served)


def answers(status: int, body: bytes = b"no") -> Script:
    def script(served: Served) -> None:
        while served.read_request() is not None:
            served.respond(body, status=status)

    return script


def good(served: Served) -> None:
    while (request := served.read_request()) is not None:
        served.respond(b"good " + request.body)


class Pair:
    """A proxy in front of a bad origin, asked first, and a good one."""

    def __init__(self, proxy: Proxy, bad: Upstream, good: Upstream) -> None:
        self.proxy, self.bad, self.good = proxy, bad, good

    def ask(self, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
        """Make one request on a new connection."""
        with self.proxy.connect() as client:
            answer = client.request(method, "/", body=body)
            return answer.status, answer.body


@contextmanager
def pair(bad: Script, **settings: str) -> Iterator[Pair]:
    settings.setdefault("server", FORMAT)
    with (
        Upstream(bad) as first,
        Upstream(good) as second,
        Proxy(configure(first.addr, second.addr, **settings)) as proxy,
    ):
        yield Pair(proxy, first, second)


def policy(*words: str, most: int = 1, more: str = "") -> str:
    listed = ", ".join(f'"{word}"' for word in words)
    return f"max_retries = {most}\nretry_on = [{listed}]\n{more}"


BAD: dict[str, tuple[str, Callable[[], Script]]] = {
    "reset at once": ("reset", lambda: sends_and_resets(b"")),
    "reset mid-head": ("reset", lambda: sends_and_resets(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "no HTTP": ("reset", lambda: sends_and_resets(b"nonsense\r\n\r\n")),
    "silent": ("timeout", lambda: silent),
    "503": ("503", lambda: answers(503)),
    "large 503": ("503", lambda: answers(503, b"x" * 1_000_000)),
}


@pytest.mark.parametrize("what", BAD)
def test_an_idempotent_request_is_asked_again_of_another_backend(what: str) -> None:
    word, script = BAD[what]
    settings = {"location": policy(word), "upstream": 'read_timeout = "1s"'}
    with pair(script(), **settings) as two:
        assert two.ask() == (200, b"good ")
        assert len(two.bad.requests) == 1
        assert two.bad.requests[0].header_all("x-retry-attempt") == []
        assert two.good.requests[0].header_all("x-retry-attempt") == ["1"]
        assert "upstream origin(" in two.proxy.wait_for_log("GET 200 attempts=2")


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_listed_is_not_repeated(what: str) -> None:
    word, script = BAD[what]
    others = {"connect", "timeout", "reset", "503"} - {word}
    settings = {"location": policy(*others), "upstream": 'read_timeout = "1s"'}
    with pair(script(), **settings) as two:
        status, _ = two.ask()
        assert status == {"503": 503, "timeout": 504, "reset": 502}[word]
        assert two.good.requests == []
        two.proxy.wait_for_log(f"GET {status} attempts=1")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("what", ["reset at once", "503"])
def test_other_methods_are_not_repeated(method: str, what: str) -> None:
    word, script = BAD[what]
    with pair(script(), location=policy(word)) as two:
        assert two.ask(method, b"body")[0] in (502, 503)
        assert two.good.requests == []


@pytest.mark.parametrize("what", ["reset at once", "503", "large 503"])
def test_a_body_is_sent_again(what: str) -> None:
    word, script = BAD[what]
    with pair(script(), location=policy(word)) as two:
        assert two.ask("PUT", b"b" * 50_000) == (200, b"good " + b"b" * 50_000)


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 503)])
def test_a_body_longer_than_its_buffer_is_not_sent_again(size: int, status: int) -> None:
    location = policy("503", more='retry_buffer_size = "1000B"')
    with pair(answers(503), location=location) as two:
        assert two.ask("PUT", b"b" * size)[0] == status


def test_an_answer_before_the_whole_body_is_repeated_with_all_of_it() -> None:
    answered = Event()

    def early(served: Served) -> None:
        served.read_head()
        served.respond(b"busy", status=503)
        answered.set()
        read_to_end(served)

    with pair(early, location=policy("503")) as two, two.proxy.connect() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        assert answered.wait(5)
        two.proxy.wait_for_log("answered 503")
        client.send(b"def")
        assert client.answer().body == b"good abcdef"


def test_the_last_answer_is_passed_on() -> None:
    with (
        Upstream(answers(503, b"really")) as one,
        Upstream(answers(503, b"really")) as two,
        Proxy(
            configure(one.addr, two.addr, location=policy("503", most=3), server=FORMAT)
        ) as proxy,
        proxy.connect() as client,
    ):
        answer = client.get("/")
        assert (answer.status, answer.body) == (503, b"really")
        assert len(one.requests) + len(two.requests) == 4
        proxy.wait_for_log("GET 503 attempts=4")


def test_the_connection_of_a_small_answer_is_kept() -> None:
    with pair(answers(503), location=policy("503")) as two:
        for _ in range(6):
            assert two.ask() == (200, b"good ")
        assert (two.bad.connections, two.good.connections) == (1, 1)


def test_nothing_is_repeated_once_a_request_is_too_old() -> None:
    location = policy("timeout", more='max_retry_window = "100ms"')
    with pair(silent, location=location, upstream='read_timeout = "300ms"') as two:
        assert two.ask()[0] == 504
        assert two.good.requests == []


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\nabc", b"\r\n"])
def test_nothing_is_repeated_once_the_head_went_to_the_client(head: bytes) -> None:
    """Neither mid-body nor mid-trailer: the client has to see that the answer is not complete."""
    rest = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTrail" if head == b"\r\n" else head
    script = sends_and_resets(b"HTTP/1.1 200 OK\r\n" + rest)
    location = policy("reset", "timeout", "503")
    with pair(script, location=location) as two, two.proxy.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.complete) == (200, False)
        assert two.good.requests == []


def test_a_request_that_may_be_repeated_is_so_although_its_client_sends_slowly() -> None:
    """The body goes on to the second backend where the first one left off."""

    def script(served: Served) -> None:
        served.read_head()
        reset(served)

    with pair(script, location=policy("reset")) as two, two.proxy.connect() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        two.proxy.wait_for_log("connection lost")
        client.send(b"3\r\ndef\r\n0\r\n\r\n")
        assert client.answer().body == b"good abcdef"


def test_a_storm_of_retries_is_held_back_by_the_budget() -> None:
    server = 'prometheus_metrics = "/metrics"'
    settings = {"location": policy("503"), "upstream": "retry_budget = 0", "server": server}
    with pair(answers(503), **settings) as two, two.proxy.connect() as client:
        statuses = [client.get("/").status for _ in range(40)]
        # Ten are asked again, which has the next one begin with the bad backend; then every second one.
        assert (statuses.count(200), statuses.count(503)) == (10 + 15, 15)
        page = client.get("/metrics").body.decode()
    labels = 'server="web",upstream="origin"'
    assert f'pingap_upstream_retries{{reason="503",{labels}}} 10.0' in page
    assert f"pingap_upstream_retries_refused{{{labels}}} 15.0" in page


def test_attempts_to_connect_need_no_budget() -> None:
    with socket.socket() as closed, Upstream(echo) as origin:
        closed.bind(("127.0.0.1", 0))
        addr = f"127.0.0.1:{closed.getsockname()[1]}"
        settings = {"location": "max_retries = 1", "upstream": "retry_budget = 0"}
        with (
            Proxy(configure(addr, origin.addr, **settings)) as proxy,
            proxy.connect() as client,
        ):
            assert {client.request("POST", "/", body=b"x").status for _ in range(60)} == {200}


def test_a_kept_connection_is_not_charged_for_the_attempt_before() -> None:
    """What the first backend took is no latency of the second one (``p2c`` would avoid it)."""

    def slow(served: Served) -> None:
        while served.read_request() is not None:
            Event().wait(0.5)
            served.respond(b"no", status=503)

    server = 'access_log = "{status} took {:upstream_processing_time}"'
    with pair(slow, location=policy("503"), server=server) as two:
        for _ in range(4):
            assert two.ask() == (200, b"good ")
        until(lambda: two.proxy.log.count("200 took") == 4)
        times = [
            float(line.split()[-1].removesuffix("ms"))
            for line in two.proxy.log.splitlines()
            if "200 took" in line
        ]
        assert two.good.connections == 1
        assert max(times) < 250


def test_the_status_of_an_attempt_is_not_that_of_the_next() -> None:
    asked = []

    def first_503(served: Served) -> None:
        served.read_request()
        asked.append(1)
        if len(asked) == 1:
            served.respond(b"no", status=503)
        reset(served)

    server = 'access_log = "{status} of {:upstream_status}"'
    with (
        Upstream(first_503) as one,
        Upstream(first_503) as two,
        Proxy(configure(one.addr, two.addr, location=policy("503"), server=server)) as proxy,
        proxy.connect() as client,
    ):
        assert client.get("/").status == 502
        assert "502 of -" in proxy.wait_for_log("502 of")


def test_server_timing_tells_of_attempts() -> None:
    settings = {"location": policy("503"), "server": "enable_server_timing = true"}
    with pair(answers(503), **settings) as two, two.proxy.connect() as client:
        assert 'upstream.attempts;desc="2"' in client.get("/").header("server-timing")


# HTTP/2.


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_an_answer_on_a_stream_is_repeated(size: int) -> None:
    """A small one came whole; of a large one, the rest is not taken."""

    def busy(served: H2Served) -> None:
        first = served.request()
        assert first is not None
        served.headers(first.stream, [(":status", "503")])
        served.data(first.stream, bytes(min(size, 60_000)), end=size < 60_000)
        while (request := served.request()) is not None:
            served.respond(request.stream, b"good " + request.body)

    upstream = 'alpn = "H2"\nmax_h2_streams = 100'
    with (
        running(h2_script(busy), upstream=upstream, location=policy("503")) as rig,
        rig.connect() as client,
    ):
        for body in (b"abc", b"def"):
            answer = client.request("PUT", "/", body=body)
            assert (answer.status, answer.body) == (200, b"good " + body)
        assert rig.origin.connections == 1


def test_a_stream_that_is_reset_is_repeated() -> None:
    def resets(served: H2Served) -> None:
        first = served.request()
        assert first is not None
        served.send(h2.reset(first.stream, h2.INTERNAL_ERROR))
        while (request := served.request()) is not None:
            served.respond(request.stream, b"good")

    with (
        running(h2_script(resets), upstream='alpn = "H2"', location=policy("reset")) as rig,
        rig.connect() as client,
    ):
        assert client.get("/").body == b"good"
