"""``early_request``, ``request`` and ``proxy_upstream``: order, answers and changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig

from pingap.testing import Answer, Upstream

SOURCE = '''
class Trace(Plugin):
    """Notes what was called, in every phase, and tells it in a header."""

    category = "trace"
    body = "reads"

    class Settings(PluginSettings):
        tag: str

    def __init__(self, settings):
        self.tag = settings.tag

    def note(self, phase, ctx):
        ctx.state.setdefault("trace", []).append(f"{self.tag}.{phase}")

    @hookimpl
    def early_request(self, request, ctx): self.note("early", ctx)

    @hookimpl
    def request(self, ctx): self.note("request", ctx)

    @hookimpl
    def proxy_upstream(self, ctx): self.note("proxy", ctx)

    @hookimpl
    def request_body(self, ctx): self.note("body", ctx)

    @hookimpl
    def upstream_response(self, ctx): self.note("upstream_response", ctx)

    @hookimpl
    def upstream_response_body(self, ctx): self.note("upstream_body", ctx)

    @hookimpl
    def response(self, ctx, response):
        self.note("response", ctx)
        response.headers.set("X-Trace", " ".join(ctx.state["trace"]))

    @hookimpl
    def response_body(self, ctx): self.note("response_body", ctx)

    @hookimpl
    def logging(self, ctx):
        self.note("logging", ctx)
        log.warning("trace %s", " ".join(ctx.state["trace"]))


class Late(Trace):
    """The same, async."""

    category = "late"

    async def wait(self, phase, ctx):
        await anyio.sleep(0.001)
        self.note(phase, ctx)

    @hookimpl
    async def early_request(self, request, ctx): await self.wait("early", ctx)

    @hookimpl
    async def request(self, ctx): await self.wait("request", ctx)

    @hookimpl
    async def proxy_upstream(self, ctx): await self.wait("proxy", ctx)

    @hookimpl
    async def request_body(self, ctx): await self.wait("body", ctx)

    @hookimpl
    async def upstream_response(self, ctx): await self.wait("upstream_response", ctx)

    @hookimpl
    async def upstream_response_body(self, ctx): await self.wait("upstream_body", ctx)

    @hookimpl
    async def response(self, ctx, response):
        await self.wait("response", ctx)
        response.headers.set("X-Trace", " ".join(ctx.state["trace"]))

    @hookimpl
    async def response_body(self, ctx): await self.wait("response_body", ctx)

    @hookimpl
    async def logging(self, ctx):
        await self.wait("logging", ctx)
        log.warning("trace %s", " ".join(ctx.state["trace"]))


class Answer(Plugin):
    """Answers in one phase."""

    category = "answer"
    steps = ("request", "proxy_upstream")

    class Settings(PluginSettings):
        text: str

    def __init__(self, settings):
        self.text = settings.text

    @hookimpl
    def request(self): return Response.text(200, self.text)


class LateAnswer(Answer):
    category = "late_answer"

    @hookimpl
    async def request(self):
        await anyio.sleep(0.001)
        return Response.text(201, self.text)


class Change(Plugin):
    """Changes what the upstream is asked."""

    category = "change"
    steps = ("early_request", "request", "proxy_upstream")

    @hookimpl
    def early_request(self, request, ctx):
        request.headers.set("X-Set", "by plugin")
        request.headers.add("X-Added", "two")
        request.headers.remove("X-Secret")
        request.headers.set("Content-Length", "999")
        request.headers.set("Transfer-Encoding", "gzip")
        request.headers.set("Connection", "close")
        request.rewrite("/elsewhere", "a=b")


class Choose(Plugin):
    """Chooses the upstream."""

    category = "choose"

    @hookimpl
    def proxy_upstream(self, request, ctx):
        ctx.upstream = request.query_value("to")


class Limited(Plugin):
    """Takes part in one of its phases."""

    category = "limited"

    def active_phases(self): return {"response"}

    @hookimpl
    def request(self): return Response.text(200, "must not run")

    @hookimpl
    def response(self, response): response.headers.set("X-Limited", "yes")


class Fewer(Plugin):
    """Takes no arguments, or some, in another order."""

    category = "fewer"

    @hookimpl
    def early_request(self): pass

    @hookimpl
    def request(self, request): request.headers.set("X-Fewer", "request")

    @hookimpl
    def proxy_upstream(self, ctx, request): request.headers.add("X-Fewer", ctx.location)

    @hookimpl
    def upstream_response(self, ctx, response, request):
        response.headers.set("X-Fewer", f"{request.method} {response.status} {ctx.location}")

    @hookimpl
    def response(self, ctx, response): response.headers.add("X-Fewer", ctx.upstream)

    @hookimpl
    def logging(self, response): log.warning("fewer %r", response)
'''

PLUGINS = """
[plugins.a]
category = "trace"
tag = "a"
[plugins.b]
category = "trace"
tag = "b"
[plugins.late]
category = "late"
tag = "late"
[plugins.first]
category = "answer"
text = "first"
[plugins.second]
category = "answer"
text = "second"
[plugins.before_upstream]
category = "answer"
text = "before upstream"
step = "proxy_upstream"
[plugins.late_answer]
category = "late_answer"
text = "late"
[plugins.change]
category = "change"
[plugins.change_request]
category = "change"
step = "request"
[plugins.change_proxy]
category = "change"
step = "proxy_upstream"
[plugins.choose]
category = "choose"
[plugins.limited]
category = "limited"
[plugins.fewer]
category = "fewer"
"""

LOCATIONS = {
    "ab": "a b",
    "ba": "b a",
    "mixed": "a late b",
    "first": "a first second b",
    "second": "second first",
    "late": "a late_answer first b",
    "before": "a before_upstream b",
    "request_wins": "before_upstream first",
    "change": "change",
    "change_request": "change_request",
    "change_proxy": "change_proxy",
    "choose": "choose",
    "limited": "limited",
    "fewer": "fewer",
}


@pytest.fixture(scope="module")
def second() -> Iterator[Upstream]:
    def tell(served: object) -> None:
        while served.read_request() is not None:  # type: ignore[attr-defined]
            served.respond(b"the other")  # type: ignore[attr-defined]

    with Upstream(tell) as origin:  # type: ignore[arg-type]
        yield origin


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, second: Upstream) -> Iterator[Rig]:
    more = f'{PLUGINS}\n[upstreams.other]\naddrs = ["{second.addr}"]\n'
    with serving(tmp_path_factory.mktemp("hooks"), SOURCE, LOCATIONS, more=more) as rig:
        yield rig


@pytest.fixture(autouse=True)
def _forget(rig: Rig) -> None:
    rig.origin.requests.clear()


def get(rig: Rig, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    with rig.connect() as client:
        return client.request("POST" if body else "GET", target, body=body, headers=headers or {})


EACH_REQUEST = ("early", "request", "proxy")
UPSTREAM_ANSWERS = ("upstream_response", "response")


@pytest.mark.parametrize(
    ("location", "tags"), [("ab", "ab"), ("ba", "ba"), ("mixed", ["a", "late", "b"])]
)
def test_hook_early_request_and_all_others_run_in_listed_order(
    rig: Rig, location: str, tags: list[str]
) -> None:
    with rig.connect() as client:
        answer = client.request("POST", f"/{location}/{''.join(tags)}", body=b"body")
        assert answer.body == b"body"
        phases = (*EACH_REQUEST, "body", *UPSTREAM_ANSWERS)
        whole = [f"{tag}.{phase}" for phase in phases for tag in tags]
        assert (answer.header("x-trace") or "").split() == whole
        phases = (*phases, "upstream_body", "response_body", "logging")
        last = " ".join(f"{tag}.{phase}" for phase in phases for tag in tags)
        rig.proxy.wait_for_log(f"trace {last}")


def test_hook_request_body_is_not_asked_without_a_body(rig: Rig) -> None:
    trace = (get(rig, "/ab/").header("x-trace") or "").split()
    assert trace == [
        f"{tag}.{phase}" for phase in (*EACH_REQUEST, *UPSTREAM_ANSWERS) for tag in "ab"
    ]


@pytest.mark.parametrize(
    ("location", "status", "body"),
    [
        ("first", 200, b"first"),
        ("second", 200, b"second"),
        ("late", 201, b"late"),
        ("request_wins", 200, b"first"),
    ],
)
def test_hook_request_first_answer_wins(rig: Rig, location: str, status: int, body: bytes) -> None:
    answer = get(rig, f"/{location}/")
    assert (answer.status, answer.body) == (status, body)
    assert rig.origin.requests == []


def test_hook_request_answer_ends_the_phase(rig: Rig) -> None:
    trace = get(rig, "/first/").header("x-trace")
    assert trace == "a.early b.early a.request a.response b.response"
    assert get(rig, "/late/").header("x-trace") == trace


def test_hook_proxy_upstream_answers_instead_of_the_upstream(rig: Rig) -> None:
    answer = get(rig, "/before/")
    assert answer.body == b"before upstream"
    assert rig.origin.requests == []
    before = "a.early b.early a.request b.request a.proxy"
    assert answer.header("x-trace") == f"{before} a.response b.response"


@pytest.mark.parametrize("location", ["change", "change_request", "change_proxy"])
def test_hook_proxy_upstream_request_and_early_request_change_what_is_sent(
    rig: Rig, location: str
) -> None:
    answer = get(
        rig, f"/{location}/x?y=z", b"12345", {"X-Added": "one", "X-Secret": "s", "X-Kept": "k"}
    )
    assert answer.body == b"12345"
    (sent,) = rig.origin.requests
    assert sent.target == "/elsewhere?a=b"
    assert sent.header("x-set") == "by plugin"
    assert sent.header_all("x-added") == ["one", "two"]
    assert sent.header("x-secret") is None
    assert sent.header("x-kept") == "k"


@pytest.mark.parametrize("location", ["change", "change_proxy"])
def test_hook_request_cannot_spoil_the_framing_to_the_upstream(rig: Rig, location: str) -> None:
    with rig.connect() as client:
        for _ in range(2):
            assert client.request("POST", f"/{location}/", body=b"12345").body == b"12345"
    for sent in rig.origin.requests:
        assert sent.header_all("content-length") == ["5"]
        assert sent.header("transfer-encoding") is None
        assert sent.header("connection") is None


def test_hook_proxy_upstream_chooses_the_upstream(rig: Rig) -> None:
    assert get(rig, "/choose/?to=origin").body == b"ok"
    assert get(rig, "/choose/?to=other").body == b"the other"
    answer = get(rig, "/choose/?to=nowhere")
    assert answer.status == 503
    assert b"nowhere" not in answer.body


def test_hook_request_left_out_by_active_phases(rig: Rig) -> None:
    answer = get(rig, "/limited/")
    assert (answer.body, answer.header("x-limited")) == (b"ok", "yes")


def test_hook_may_name_any_of_its_arguments(rig: Rig) -> None:
    answer = get(rig, "/fewer/")
    assert rig.origin.requests[0].header_all("x-fewer") == ["request", "fewer"]
    values = [value for name, value in answer.headers if name == "X-Fewer"]
    assert values == ["GET 200 fewer", "origin"]
    rig.proxy.wait_for_log("fewer <Response 200>")


def test_state_belongs_to_one_request(rig: Rig) -> None:
    with rig.connect() as client:
        first = client.get("/ab/").header("x-trace")
        assert client.get("/ab/").header("x-trace") == first
