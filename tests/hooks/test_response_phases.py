"""``upstream_response`` and ``response``: changes, replacing a response, framing stays ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig

from pingap.testing import Answer, Served

SOURCE = '''
class ChangeUpstream(Plugin):
    category = "change_upstream"

    @hookimpl
    def upstream_response(self, request, response, ctx):
        response.headers.set("X-Seen", f"{ctx.upstream_status} {bool(ctx.upstream_addr)}")
        response.headers.remove("X-Internal")
        response.status = 203


class Replace(Plugin):
    """Puts a response in place of the upstream's."""

    category = "replace"

    class Settings(PluginSettings):
        text: str

    def __init__(self, settings):
        self.text = settings.text

    @hookimpl
    def upstream_response(self, response):
        before = response.headers.get("X-Replaced", "upstream")
        return Response(418, self.text, {"X-Replaced": f"{before} {self.text}"})


class LateReplace(Replace):
    category = "late_replace"

    @hookimpl
    async def upstream_response(self, response):
        await anyio.sleep(0.001)
        return Replace.upstream_response(self, response)


class Same(Plugin):
    """Returns the response it was given."""

    category = "same"

    @hookimpl
    def upstream_response(self, response):
        response.headers.set("X-Same", "yes")
        return response


class Stamp(Plugin):
    category = "stamp"

    class Settings(PluginSettings):
        tag: str

    def __init__(self, settings):
        self.tag = settings.tag

    @hookimpl
    def response(self, request, response, ctx):
        response.headers.add("X-Stamp", f"{self.tag} {response.status} {response.upstream}")


class Status(Plugin):
    category = "status"

    @hookimpl
    def response(self, response): response.status = 410


class Framing(Plugin):
    """Sets the fields that frame a message."""

    category = "framing"

    @hookimpl
    def response(self, response):
        for name, value in {
            "Content-Length": "3", "Transfer-Encoding": "gzip, chunked", "Connection": "X-Kept",
            "Keep-Alive": "timeout=1", "Trailer": "X", "Upgrade": "h2c", "TE": "trailers",
            "X-Kept": "kept",
        }.items():
            response.headers.set(name, value)


class Answer(Plugin):
    category = "answer"

    @hookimpl
    def request(self, request):
        return Response.json({"path": request.path})


class Raise(Plugin):
    category = "raise"

    @hookimpl
    def request(self, request):
        raise HTTPError(int(request.query), "Members <only>", error_type="Club")


class Guard(Plugin):
    category = "guard"

    @hookimpl
    def response(self, response):
        if response.status == 200:
            raise HTTPError(451, "Not here")
'''

PLUGINS = """
[plugins.change_upstream]
category = "change_upstream"
[plugins.replace]
category = "replace"
text = "one"
[plugins.replace_again]
category = "late_replace"
text = "two"
[plugins.same]
category = "same"
[plugins.stamp]
category = "stamp"
tag = "first"
[plugins.stamp_again]
category = "stamp"
tag = "second"
[plugins.status]
category = "status"
[plugins.framing]
category = "framing"
[plugins.answer]
category = "answer"
[plugins.raise]
category = "raise"
[plugins.guard]
category = "guard"
"""

LOCATIONS = {
    "change": "change_upstream stamp",
    "replace": "replace stamp",
    "late": "replace_again stamp",
    "twice": "replace replace_again",
    "same": "same",
    "stamp": "stamp stamp_again",
    "status": "status stamp",
    "framing": "framing",
    "framing_answer": "framing answer",
    "answer": "answer stamp",
    "raise": "raise stamp",
    "guard": "guard stamp",
}


def answering(served: Served) -> None:
    """Answer with a body in one piece, or, asked for ``slow``, a body that never ends."""
    while (request := served.read_request()) is not None:
        if request.target.endswith("slow"):
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        else:
            served.respond(b"from the upstream", headers={"X-Internal": "secret", "X-Public": "p"})


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("hooks")
    with serving(folder, SOURCE, LOCATIONS, more=PLUGINS, script=answering) as rig:
        yield rig


def get(rig: Rig, target: str) -> Answer:
    with rig.connect() as client:
        return client.get(target)


def stamps(answer: Answer) -> list[str]:
    return [value for name, value in answer.headers if name == "X-Stamp"]


def test_hook_upstream_response_changes_status_and_headers(rig: Rig) -> None:
    answer = get(rig, "/change/")
    assert (answer.status, answer.body) == (203, b"from the upstream")
    assert answer.header("x-seen") == "200 True"
    assert answer.header("x-internal") is None
    assert answer.header("x-public") == "p"
    assert stamps(answer) == ["first 203 True"]


@pytest.mark.parametrize("target", ["", "slow"])
@pytest.mark.parametrize(("location", "text"), [("replace", "one"), ("late", "two")])
def test_hook_upstream_response_replaces_the_response(
    rig: Rig, location: str, text: str, target: str
) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get(f"/{location}/{target}")
            assert (answer.status, answer.body) == (418, text.encode())
            assert answer.header("x-replaced") == f"upstream {text}"
            assert answer.header("x-public") is None
            assert stamps(answer) == ["first 418 False"]


def test_hook_upstream_response_later_plugins_see_the_replacement(rig: Rig) -> None:
    answer = get(rig, "/twice/")
    assert answer.body == b"two"
    assert answer.header("x-replaced") == "upstream one two"


def test_hook_upstream_response_may_return_what_it_was_given(rig: Rig) -> None:
    answer = get(rig, "/same/")
    assert (answer.header("x-same"), answer.body) == ("yes", b"from the upstream")


def test_hook_upstream_response_may_return_what_it_was_given_while_the_body_comes(
    rig: Rig,
) -> None:
    with rig.connect() as client:
        client.sock.settimeout(0.5)
        client.send(b"GET /same/slow HTTP/1.1\r\nHost: test\r\n\r\n")
        head = client.read_until(b"begin")
    assert head.endswith(b"begin")


def test_hook_upstream_response_is_not_called_for_answers_of_plugins(rig: Rig) -> None:
    answer = get(rig, "/answer/x")
    assert answer.body == b'{"path": "/answer/x"}'
    assert answer.header("content-type") == "application/json; charset=utf-8"
    assert answer.header("cache-control") == "private, no-cache"
    assert stamps(answer) == ["first 200 False"]


def test_hook_response_runs_in_listed_order_and_changes_the_head(rig: Rig) -> None:
    assert stamps(get(rig, "/stamp/")) == ["first 200 True", "second 200 True"]
    answer = get(rig, "/status/")
    assert answer.status == 410
    assert stamps(answer) == ["first 410 True"]


def test_hook_response_that_changes_the_status_changes_the_reason(rig: Rig) -> None:
    assert get(rig, "/status/").reason == "Gone"


@pytest.mark.parametrize("location", ["framing", "framing_answer"])
def test_hook_response_cannot_spoil_the_framing(rig: Rig, location: str) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get(f"/{location}/")
            lengths = [value for name, value in answer.headers if name == "Content-Length"]
            assert lengths == [str(len(answer.body))]
            assert len(answer.body) > 3
            names = {name.lower() for name, _ in answer.headers}
            assert names.isdisjoint({"transfer-encoding", "connection", "keep-alive", "trailer"})
            assert names.isdisjoint({"upgrade", "te"})
            assert answer.header("x-kept") == "kept"


@pytest.mark.parametrize("status", [400, 403, 429, 503])
def test_hook_request_http_error_answers_with_its_status(rig: Rig, status: int) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get(f"/raise/?{status}")
            assert answer.status == status
            assert b"Members &lt;only&gt;" in answer.body
            assert answer.header("x-pingap-etype") == "Club"
            assert answer.header("content-type") == "text/html; charset=utf-8"
            assert stamps(answer) == [f"first {status} False"]


def test_hook_response_http_error_takes_the_place_of_the_response(rig: Rig) -> None:
    answer = get(rig, "/guard/")
    assert (answer.status, answer.reason) == (451, "Unavailable For Legal Reasons")
    assert b"from the upstream" not in answer.body
    assert stamps(answer) == ["first 451 False"]


def test_hook_response_is_not_called_without_a_location(rig: Rig) -> None:
    answer = get(rig, "/unknown/")
    assert answer.status == 404
    assert stamps(answer) == []
