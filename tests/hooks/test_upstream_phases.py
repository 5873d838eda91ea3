"""Phases of attempts: ``upstream_request``, ``upstream_attempt``, ``upstream_error``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig
from support.waiting import until

from pingap.testing import Served

SOURCE = '''
class Trace(Plugin):
    """Gives each attempt a number of its own, and notes how each ended."""

    category = "trace"

    @hookimpl
    def upstream_request(self, request, headers, peer, ctx):
        headers.set("X-Attempt", f"{ctx.upstream_retries} {peer.text.partition(':')[0]}")
        if "change" in request.query:
            request.headers.set("X-Late", "1")

    @hookimpl
    def upstream_attempt(self, request, attempt, ctx):
        assert attempt.began_at <= attempt.ended_at
        assert attempt.sent_at == 0 or attempt.began_at <= attempt.sent_at <= attempt.ended_at
        error = attempt.error and type(attempt.error).__name__
        log.warning(
            "attempt %s of %s: %s %s sent=%s reused=%s error=%s", attempt.number, request.path,
            attempt.upstream, attempt.status, attempt.sent_at > 0, attempt.reused, error,
        )


class Sign(Plugin):
    """Signs late what the plugins before it made of the headers."""

    category = "sign"

    @hookimpl
    async def upstream_request(self, request, headers):
        await anyio.sleep(0.001)
        headers.set("X-Signed", headers.get("X-Attempt", "") + " " + request.target)


class Fallback(Plugin):
    category = "fallback"

    @hookimpl
    def upstream_error(self, request, error, ctx):
        match request.query_value("how"):
            case "answer": return Response.text(200, f"stale {error.status}")
            case "raise": raise HTTPError(504, "slow")
            case "break": raise RuntimeError("secret")
            case "odd": return 17
            case "twice":
                ctx.state["tries"] = tries = ctx.state.get("tries", 0) + 1
                return Retry(after=0.01) if tries < 3 else None
            case "wake": return Retry(after=0.01)


class LateFallback(Fallback):
    category = "late_fallback"

    @hookimpl
    async def upstream_error(self, request, error, ctx):
        await anyio.sleep(0.001)
        return Fallback.upstream_error(self, request, error, ctx)


class Left(Plugin):
    category = "left"

    @hookimpl
    def logging(self, request, ctx):
        log.warning("left %s %s", request.path, ctx.outcome.name)


class Bad(Plugin):
    category = "bad"

    class Settings(PluginSettings):
        phase: str

    def __init__(self, settings): self.phase = settings.phase

    def active_phases(self): return [self.phase]

    @hookimpl
    def upstream_request(self): raise RuntimeError("secret")

    @hookimpl
    def upstream_attempt(self): raise RuntimeError("secret")
'''
PLUGINS = "".join(
    f'[plugins.{name}]\ncategory = "{name}"\n'
    for name in ("trace", "sign", "fallback", "late_fallback", "left")
)
PLUGINS += "".join(
    f'[plugins.bad_{phase}]\ncategory = "bad"\nphase = "{phase}"\n'
    for phase in ("upstream_request", "upstream_attempt")
)
LOCATIONS = {
    "trace": 'trace sign\nproxy_set_headers = ["X-Set: 1"]',
    "late": "trace late_fallback",
    "now": "trace fallback left",
    "none": "",
    "bad_request": "bad_upstream_request",
    "bad_attempt": "bad_upstream_attempt",
}


def serve(served: Served) -> None:
    """Answer each request on a connection of its own; close it unanswered while ``failures`` are left."""
    request = served.read_request()
    if request is None:
        return
    if failures.get(request.query, 0) > 0:
        failures[request.query] -= 1
    else:
        served.respond(headers={"Connection": "close"})


failures: dict[str, int] = {}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("attempts")
    with serving(folder, SOURCE, LOCATIONS, more=PLUGINS, script=serve) as running:
        yield running


def test_each_attempt_has_headers_of_its_own(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/trace/?a").status == 200
    request = rig.origin.requests[-1]
    assert request.header("x-attempt") == "0 127.0.0.1"
    assert request.header("x-set") == "1"
    assert request.header("x-signed") == "0 127.0.0.1 /trace/?a"
    log = rig.proxy.wait_for_log("attempt 1 of /trace/")
    assert "attempt 1 of /trace/: origin 200 sent=True" in log


def test_the_request_itself_cannot_be_changed_in_an_attempt(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/trace/?change").status == 500
    assert "plugin trace failed in upstream_request" in rig.proxy.wait_for_log(
        "can no longer be set"
    )


@pytest.mark.parametrize("place", ["bad_request", "bad_attempt"])
def test_a_plugin_that_fails_at_an_attempt_answers_500(rig: Rig, place: str) -> None:
    with rig.connect() as client:
        assert client.get(f"/{place}/").status == 500
        assert client.get("/none/").body == b"ok"
    rig.proxy.wait_for_log(f"plugin bad_upstream_{place[4:]} failed in upstream_{place[4:]}")


@pytest.mark.parametrize("place", ["now", "late"])
def test_a_plugin_answers_for_an_upstream_that_failed(rig: Rig, place: str) -> None:
    with rig.connect() as client:
        for how, status, body in (
            ("answer", 200, b"stale 502"),
            ("raise", 504, b"slow"),
            ("break", 500, b""),
            ("odd", 500, b""),
            ("none", 502, b""),
        ):
            failures[f"how={how}"] = 1
            answer = client.get(f"/{place}/?how={how}")
            assert (answer.status, answer.complete) == (status, True)
            assert body in answer.body
            assert b"secret" not in answer.body
    rig.proxy.wait_for_log(f"attempt 1 of /{place}/: origin 0 sent=True")
    rig.proxy.wait_for_log("error=UpstreamError")


@pytest.mark.parametrize("place", ["now", "late"])
def test_a_plugin_asks_for_another_attempt_until_the_upstream_is_awake(
    rig: Rig, place: str
) -> None:
    failures["how=wake"] = 3
    with rig.connect() as client:
        assert client.get(f"/{place}/?how=wake").body == b"ok"
    assert failures["how=wake"] == 0


def test_attempts_that_a_plugin_asks_for_end_when_it_wants_no_more(rig: Rig) -> None:
    failures["how=twice"] = 10
    with rig.connect() as client:
        assert client.get("/now/?how=twice").status == 502
    assert failures["how=twice"] == 7


def test_a_body_that_was_sent_is_not_sent_again(rig: Rig) -> None:
    failures["how=wake"] = 2
    with rig.connect() as client:
        assert client.request("POST", "/now/?how=wake", body=b"body").status == 502
    assert failures["how=wake"] == 1


def test_a_client_that_leaves_ends_the_waiting(rig: Rig) -> None:
    failures["how=wake"] = 1_000_000
    with rig.connect() as client:
        client.send(b"GET /now/?how=wake HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: failures["how=wake"] < 999_998, "attempts")
    rig.proxy.wait_for_log("left /now/ CLIENT_GONE")
    failures["how=wake"] = 0
