"""``request_body``, ``upstream_response_body`` and ``response_body``: filters of bodies."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig
from support.waiting import DEADLINE

from pingap.testing import Answer, Served

SOURCE = '''
class Upper(BodyFilter):
    def feed(self, chunk): return chunk.upper()


class Frame(BodyFilter):
    """Puts text around a body."""

    def __init__(self, tag):
        self.tag, self.begun = tag.encode(), False

    def feed(self, chunk):
        begin, self.begun = b"" if self.begun else self.tag + b"(", True
        return begin + chunk

    def end(self, trailers):
        trailers.set(f"X-{self.tag.decode()}", "ended")
        return b")" + self.tag


class Keep(BodyFilter):
    """Sends nothing before the end."""

    def __init__(self): self.kept = []

    def feed(self, chunk):
        self.kept.append(chunk)
        return b""

    def end(self, trailers):
        log.warning("trailers %s", trailers.items())
        return b"".join(self.kept)[::-1]


class Count(BodyFilter):
    def __init__(self, name): self.name, self.bytes = name, 0

    def feed(self, chunk):
        self.bytes += len(chunk)
        return chunk

    def end(self, trailers):
        log.warning("%s had %d bytes", self.name, self.bytes)
        return b""


class Boom(BodyFilter):
    def __init__(self, error): self.error = error

    def feed(self, chunk):
        if b"boom" in chunk:
            raise self.error
        return chunk


class BoomAtEnd(BodyFilter):
    def end(self, trailers): raise KeyError("secret of the end")


class Nothing(BodyFilter):
    """Forgets to return."""

    def feed(self, chunk): pass


class Text(BodyFilter):
    def feed(self, chunk): return chunk.decode()


MAKE = {
    "upper": Upper, "keep": Keep, "boom": lambda: Boom(RuntimeError("secret of the filter")),
    "boom_at_end": BoomAtEnd, "error": lambda: Boom(HTTPError(422, "Not that")),
    "nothing": Nothing, "text": Text,
    "a": lambda: Frame("a"), "b": lambda: Frame("b"), "none": lambda: None, "bad": lambda: "bad",
    "class": lambda: Upper,
}


class Rewrite(Plugin):
    """Filters a body in one of three phases."""

    category = "rewrite"
    body = "rewrites"

    class Settings(PluginSettings):
        phase: str
        filter: str

    def __init__(self, settings):
        self.phase, self.make = settings.phase, MAKE[settings.filter]

    def active_phases(self): return [self.phase]

    @hookimpl
    def request_body(self, request): return self.make()

    @hookimpl
    def upstream_response_body(self, response): return self.make()

    @hookimpl
    def response_body(self, response): return self.make()


class LateRewrite(Rewrite):
    category = "late_rewrite"

    @hookimpl
    async def request_body(self, request):
        await anyio.sleep(0.001)
        return self.make()

    @hookimpl
    async def upstream_response_body(self, response): return self.make()

    @hookimpl
    async def response_body(self, response):
        await anyio.sleep(0.001)
        return self.make()


class Read(Plugin):
    category = "read"
    body = "reads"

    @hookimpl
    def request_body(self): return Count("request")

    @hookimpl
    def upstream_response_body(self): return Count("upstream answer")

    @hookimpl
    def response_body(self): return Count("answer")


class Liar(Plugin):
    """Says that it only reads."""

    category = "liar"
    body = "reads"

    class Settings(PluginSettings):
        phase: str

    def __init__(self, settings): self.phase = settings.phase

    def active_phases(self): return [self.phase]

    @hookimpl
    def request_body(self): return Frame("longer")

    @hookimpl
    def response_body(self): return Frame("longer")


class Answer(Plugin):
    category = "answer"

    @hookimpl
    def request(self, request):
        async def stream():
            yield b"one "
            await anyio.sleep(0.001)
            yield b""
            yield b"two"

        return Response(200, stream() if request.query == "stream" else b"by plugin")
'''

FILTERS = [
    *((phase, what) for phase in ("request_body", "response_body") for what in ("a", "b", "boom")),
    *(("response_body", what) for what in ("keep", "boom_at_end", "none", "bad", "class")),
    *(("response_body", what) for what in ("error", "nothing", "text", "upper")),
    *(("request_body", what) for what in ("boom_at_end", "error", "none", "keep")),
    *(("upstream_response_body", what) for what in ("a", "upper")),
]
PLUGINS = "".join(
    f"""
[plugins.{prefix}{phase}_{what}]
category = "{prefix}rewrite"
phase = "{phase}"
filter = "{what}"
"""
    for phase, what in FILTERS
    for prefix in ("", "late_")
)
PLUGINS += """
[plugins.read]
category = "read"
[plugins.answer]
category = "answer"
[plugins.liar]
category = "liar"
phase = "response_body"
[plugins.request_liar]
category = "liar"
phase = "request_body"
"""
LOCATIONS = {f"{phase}_{what}": f"{phase}_{what}" for phase, what in FILTERS}
LOCATIONS |= {
    "response_two": "response_body_a late_response_body_b",
    "response_three": "response_body_b response_body_keep response_body_a",
    "request_two": "late_request_body_a request_body_b",
    "both": "response_body_b upstream_response_body_a",
    "read": "read",
    "read_and_none": "read response_body_none",
    "answer": "answer upstream_response_body_upper response_body_a",
    "answer_read": "answer read",
    "liar": "liar",
    "request_liar": "request_liar",
}


class Script:
    """Answers in chunks if asked to, the second one when the test says so."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.target.endswith("chunked"):
                self.go_on.wait(DEADLINE)
                served.send(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-H: h\r\n\r\n"
                    b"3\r\none\r\n3\r\ntwo\r\n0\r\nX-T: t\r\n\r\n"
                )
            elif request.target.endswith("boom"):
                served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
                self.go_on.wait(DEADLINE)
                served.send(b"4\r\nboom\r\n0\r\n\r\n")
            elif request.target.endswith("204"):
                served.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                served.respond(request.body or b"ok")


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, script: Script) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("hooks")
    server = 'prometheus_metrics = "/metrics"'
    with serving(folder, SOURCE, LOCATIONS, more=PLUGINS, server=server, script=script) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(rig: Rig, script: Script) -> None:
    rig.origin.requests.clear()
    script.go_on.set()


def ask(rig: Rig, target: str, body: bytes = b"", method: str = "") -> Answer:
    with rig.connect() as client:
        return client.request(method or ("POST" if body else "GET"), target, body=body)


def chunked(answer: Answer) -> bool:
    assert answer.header("content-length") is None or answer.header("transfer-encoding") is None
    return answer.header("transfer-encoding") == "chunked"


def failures(rig: Rig, plugin: str) -> float:
    lines = ask(rig, "/metrics").body.decode().splitlines()
    found = [one for one in lines if "plugin_failures{" in one and f'plugin="{plugin}"' in one]
    return sum(float(line.rpartition(" ")[2]) for line in found)


# Filters of responses.


@pytest.mark.parametrize(
    ("location", "body"),
    [
        ("response_body_a", b"a(ok)a"),
        ("response_two", b"b(a(ok)a)b"),
        ("response_three", b"a(b)ko(b)a"),
        ("response_body_upper", b"OK"),
        ("response_body_keep", b"ko"),
        ("upstream_response_body_a", b"a(ok)a"),
        ("both", b"b(a(ok)a)b"),
    ],
)
def test_hook_response_body_rewrites_in_listed_order(rig: Rig, location: str, body: bytes) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get(f"/{location}/")
            assert (answer.body, answer.complete) == (body, True)
            assert chunked(answer) == bool(answer.trailers)
            if not answer.trailers:  # a body that came at once leaves with its length
                assert answer.header("content-length") == str(len(body))


def test_hook_response_body_sees_chunks_and_adds_trailers(rig: Rig) -> None:
    answer = ask(rig, "/response_two/chunked")
    assert answer.body == b"b(a(onetwo)a)b"
    assert answer.trailers == [("X-T", "t"), ("X-a", "ended"), ("X-b", "ended")]
    ask(rig, "/response_body_keep/chunked")
    rig.proxy.wait_for_log("trailers [('X-T', 't')]")


def test_hook_response_body_that_reads_keeps_the_length(rig: Rig) -> None:
    for location in ("read", "read_and_none"):
        answer = ask(rig, f"/{location}/", b"12345")
        assert answer.body == b"12345"
        assert answer.header("content-length") == "5"
        assert not chunked(answer)
    log = rig.proxy.wait_for_log("answer had 5 bytes")
    assert "request had 5 bytes" in log
    assert "upstream answer had 5 bytes" in log


def test_hook_response_body_none_leaves_the_length(rig: Rig) -> None:
    answer = ask(rig, "/response_body_none/")
    assert (answer.body, answer.header("content-length")) == (b"ok", "2")


def test_hook_response_body_filters_answers_of_plugins(rig: Rig) -> None:
    """Those of ``upstream_response_body`` do not."""
    assert ask(rig, "/answer/").body == b"a(by plugin)a"
    answer = ask(rig, "/answer/?stream")
    assert (answer.body, chunked(answer)) == (b"a(one two)a", True)
    assert answer.trailers == [("X-a", "ended")]
    answer = ask(rig, "/answer_read/")
    assert (answer.body, answer.header("content-length")) == (b"by plugin", "9")


def test_hook_response_body_is_not_asked_without_a_body(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.request("HEAD", "/response_body_a/")
        assert (answer.status, answer.header("content-length")) == (200, None)
        answer = client.get("/response_body_a/204")
        assert (answer.status, answer.body) == (204, b"")
        assert client.get("/response_body_a/").body == b"a(ok)a"


def test_hook_response_body_works_for_http_1_0(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET /response_body_a/ HTTP/1.0\r\n\r\n")
        answer = client.answer()
        assert answer.body == b"a(ok)a"
        assert answer.header("transfer-encoding") is None


def test_hook_response_body_filter_that_raises_cuts_the_answer(rig: Rig, script: Script) -> None:
    before = failures(rig, "response_body_boom")
    script.go_on.clear()
    with rig.connect() as client:
        client.send(b"GET /response_body_boom/boom HTTP/1.1\r\nHost: test\r\n\r\n")
        assert client.read_until(b"one").endswith(b"one")
        script.go_on.set()
        assert client.read_until(b"never") == b"\r\n"
    log = rig.proxy.wait_for_log(
        "plugin response_body_boom failed in body filter, location response_body_boom"
    )
    assert "RuntimeError: secret of the filter" in log
    assert failures(rig, "response_body_boom") == before + 1
    assert ask(rig, "/response_body_a/").body == b"a(ok)a"


def test_hook_response_body_filter_that_raises_at_the_end_cuts_the_answer(rig: Rig) -> None:
    before = failures(rig, "response_body_boom_at_end")
    with rig.connect() as client:
        client.sock.settimeout(0.7)
        client.send(b"GET /response_body_boom_at_end/chunked HTTP/1.1\r\nHost: test\r\n\r\n")
        seen = client.read_until(b"0\r\n\r\n")
    assert not seen.endswith(b"0\r\n\r\n")
    assert b"secret" not in seen
    rig.proxy.wait_for_log("KeyError: 'secret of the end'")
    assert failures(rig, "response_body_boom_at_end") == before + 1


def test_hook_response_body_filter_that_raises_at_the_end_of_a_whole_body_answers_500(
    rig: Rig,
) -> None:
    before = failures(rig, "response_body_boom_at_end")
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get("/response_body_boom_at_end/")
            assert (answer.status, answer.complete) == (500, True)
            assert b"secret" not in answer.body
    assert failures(rig, "response_body_boom_at_end") == before + 2


@pytest.mark.parametrize("what", ["bad", "class"])
def test_hook_response_body_that_returns_no_filter_answers_500(rig: Rig, what: str) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get(f"/response_body_{what}/")
            assert (answer.status, answer.complete) == (500, True)
    rig.proxy.wait_for_log(f"plugin response_body_{what} failed in response_body")


def test_hook_response_body_filter_that_returns_none_at_first_answers_500(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/response_body_nothing/").status == 500
    assert failures(rig, "response_body_nothing") == 1


def test_hook_response_body_that_lies_about_the_length_at_once_answers_500(rig: Rig) -> None:
    with rig.connect() as client:
        assert [client.get("/liar/").status for _ in range(2)] == [500, 500]


# Filters of requests.


@pytest.mark.parametrize(
    ("location", "body"),
    [
        ("request_body_a", b"a(12345)a"),
        ("request_two", b"b(a(12345)a)b"),
        ("request_body_keep", b"54321"),
    ],
)
def test_hook_request_body_rewrites_in_listed_order(rig: Rig, location: str, body: bytes) -> None:
    with rig.connect() as client:
        for _ in range(2):
            assert client.request("POST", f"/{location}/", body=b"12345").body == body
    for request in rig.origin.requests:
        assert request.body == body
        assert request.header("transfer-encoding") == "chunked"
        assert request.header("content-length") is None
    if location == "request_two":
        assert rig.origin.requests[0].trailers == [("X-a", "ended"), ("X-b", "ended")]


@pytest.mark.parametrize("location", ["read", "request_body_none"])
def test_hook_request_body_that_reads_keeps_the_length(rig: Rig, location: str) -> None:
    assert ask(rig, f"/{location}/", b"12345").body == b"12345"
    assert rig.origin.requests[0].header("content-length") == "5"


@pytest.mark.parametrize("location", ["request_body_boom", "request_body_boom_at_end"])
def test_hook_request_body_filter_that_raises_answers_500(rig: Rig, location: str) -> None:
    before = failures(rig, location)
    answer = ask(rig, f"/{location}/", b"boom")
    assert (answer.status, answer.complete) == (500, True)
    assert b"secret" not in answer.body
    rig.proxy.wait_for_log(f"plugin {location} failed in body filter, location {location}")
    assert failures(rig, location) == before + 1
    assert ask(rig, "/request_body_a/", b"1").body == b"a(1)a"


def test_hook_request_body_filter_that_raises_late_answers_500(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(
            b"POST /request_body_boom/ HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\none\r\n"
        )
        client.send(b"4\r\nboom\r\n0\r\n\r\n")
        assert client.answer().status == 500


def test_hook_request_body_filter_may_raise_an_answer(rig: Rig) -> None:
    answer = ask(rig, "/request_body_error/", b"boom")
    assert answer.status == 422
    assert b"Not that" in answer.body


def test_hook_request_body_that_lies_about_the_length_does_not_reach_the_next_request(
    rig: Rig,
) -> None:
    with rig.connect() as client:
        client.request("POST", "/request_liar/", body=b"12345")
    assert ask(rig, "/read/next").status == 200
    assert rig.origin.requests[-1].method == "GET"
    assert rig.origin.requests[-1].target == "/read/next"
