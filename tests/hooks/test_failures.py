"""Plugins fail closed: in every phase, whatever they raise or return."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from support.plugins import serving
from support.rig import Rig, answer_or_none
from support.waiting import until

from pingap.hookspecs import PHASES
from pingap.testing import Answer, Client

SOURCE = '''
import asyncio
from pingap.hookspecs import PHASES


class Fail(Plugin):
    """Raises, in one phase, or returns what the phase does not know."""

    category = "fail"
    body = "rewrites"

    class Settings(PluginSettings):
        phase: str
        result: str = ""

    def __init__(self, settings): self.phase, self.value = settings.phase, settings.result

    def active_phases(self): return [self.phase]


class LateFail(Fail):
    category = "late_fail"


def failing(phase):
    def fail(self):
        if self.value:
            return {"text": "secret", "number": 17, "true": True, "list": [Response(200)]}[self.value]
        raise RuntimeError(f"secret of {phase}")

    async def late(self):
        await anyio.sleep(0.001)
        return fail(self)

    return hookimpl(fail), hookimpl(late)


for phase in PHASES:
    for cls, method in zip((Fail, LateFail), failing(phase)):
        setattr(cls, phase, method)


class Note(Plugin):
    category = "note"

    @hookimpl
    def logging(self, response, ctx):
        log.warning("noted %s %s %s", ctx.location, response and response.status, ctx.status)


class Header(Plugin):
    """Sets a header from the query."""

    category = "header"

    class Settings(PluginSettings):
        value: str

    def __init__(self, settings): self.value = settings.value

    @hookimpl
    def response(self, response): response.headers.set("X-A", self.value)


class Odd(Plugin):
    """Answers with a response that cannot be sent."""

    category = "odd"

    @hookimpl
    def request(self, request):
        what = request.query
        if what == "id":
            raise HTTPError(400, "odd", error_type="two\\r\\nlines")
        return {
            "text": lambda: Response("200", "odd"),
            "interim": lambda: Response(100, "odd"),
            "switch": lambda: Response(101, "odd"),
            "large": lambda: Response(1000, "odd"),
            "zero": lambda: Response(0, "odd"),
            "list": lambda: Response(200, ["odd"]),
            "none": lambda: Response(200, None),
            "array": lambda: Response(200, bytearray(b"odd")),
            "good": lambda: Response(299, "good"),
        }[what]()


class Wait(Plugin):
    """Waits for ever, or until somebody cancels."""

    category = "wait"

    @hookimpl
    async def request(self, request, ctx):
        log.warning("waiting %s", request.query)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            log.warning("cancelled %s", request.query)
            raise


class Cancelled(Plugin):
    """Awaits something that somebody else cancelled."""

    category = "cancelled"

    @hookimpl
    async def request(self):
        other = asyncio.get_running_loop().create_future()
        other.cancel()
        await other
'''

PLUGINS = "".join(
    f'[plugins.{phase}{late}]\ncategory = "{late.strip("_")}{"_" if late else ""}fail"\nphase = "{phase}"\n'
    for phase in PHASES
    for late in ("", "_late")
)
RESULTS = ("text", "number", "true", "list")
PLUGINS += "".join(
    f'[plugins.{phase}_{result}{late}]\ncategory = "{"late_" if late else ""}fail"\n'
    f'phase = "{phase}"\nresult = "{result}"\n'
    for phase in ("request", "response_body", "upstream_response")
    for result in RESULTS
    for late in ("", "_late")
)
PLUGINS += """
[plugins.note]
category = "note"
[plugins.split]
category = "header"
value = "a\\r\\nX-Evil: b"
[plugins.odd]
category = "odd"
[plugins.wait]
category = "wait"
[plugins.cancelled]
category = "cancelled"
"""
ELSEWHERE = ("logging", "server_request", "upstream_error", "error_page", "websocket")
"""Phases that this request does not meet, or whose failure changes no response."""
FAILING = [f"{phase}{late}" for phase in PHASES if phase not in ELSEWHERE for late in ("", "_late")]
NONSENSE = [
    f"{phase}_{result}{late}"
    for phase in ("request", "response_body", "upstream_response")
    for result in RESULTS
    for late in ("", "_late")
]
OTHERS = ["logging", "logging_late", "note", "split", "odd", "wait", "cancelled"]
LOCATIONS = {name: f"{name} note" for name in (*FAILING, *NONSENSE, *OTHERS) if name != "note"}
LOCATIONS["note"] = "note"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    server = 'prometheus_metrics = "/metrics"'
    folder = tmp_path_factory.mktemp("hooks")
    with serving(folder, SOURCE, LOCATIONS, more=PLUGINS, server=server, sound=False) as running:
        yield running


def failures(rig: Rig, plugin: str) -> list[float]:
    with rig.connect() as client:
        lines = client.get("/metrics").body.decode().splitlines()
    marks = ("pingap_plugin_failures{", f'plugin="{plugin}"', f'location="{plugin}"')
    return [float(one.rpartition(" ")[2]) for one in lines if all(mark in one for mark in marks)]


def ask(client: Client, target: str) -> Answer:
    return client.request("POST", target, body=b"body")


@pytest.mark.parametrize("plugin", FAILING)
def test_hook_that_raises_answers_500(rig: Rig, plugin: str) -> None:
    phase = plugin.removesuffix("_late")
    with rig.connect() as client:
        for _ in range(2):
            answer = ask(client, f"/{plugin}/")
            assert (answer.status, answer.complete) == (500, True)
            assert answer.header("x-pingap-etype") == "InternalError"
            text = answer.body.decode() + str(answer.headers)
            for word in ("secret", "Traceback", "RuntimeError", "test_plugins", phase + "_"):
                assert word not in text
        assert client.get("/note/").body == b"ok"
    log = rig.proxy.wait_for_log(f"noted {plugin} 500 500")
    assert f"ERROR plugin {plugin} failed in {phase}, location {plugin}, at " in log
    assert f"RuntimeError: secret of {phase}" in log
    assert failures(rig, plugin)[0] >= 2


@pytest.mark.parametrize("plugin", ["request_late", "proxy_upstream_late"])
def test_hook_that_answers_late_leaves_the_connection_fit_for_bodies(rig: Rig, plugin: str) -> None:
    with rig.connect() as client:
        client.sock.settimeout(0.5)
        assert ask(client, f"/{plugin}/").status == 500
        assert client.request("POST", "/note/", body=b"fine").body == b"fine"


@pytest.mark.parametrize("plugin", ["logging", "logging_late"])
def test_hook_logging_that_raises_changes_nothing_for_others(rig: Rig, plugin: str) -> None:
    with rig.connect() as client:
        for _ in range(2):
            assert ask(client, f"/{plugin}/").body == b"body"
        until(lambda: failures(rig, plugin) == [2])
    log = rig.proxy.wait_for_log(f"noted {plugin} 200 200")
    assert f"ERROR plugin {plugin} failed in logging, location {plugin}, at " in log


@pytest.mark.parametrize("plugin", NONSENSE)
def test_hook_that_returns_nonsense_answers_500(rig: Rig, plugin: str) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get(f"/{plugin}/")
            assert (answer.status, answer.complete) == (500, True)
            assert b"secret" not in answer.body
    rig.proxy.wait_for_log(f"ERROR plugin {plugin} failed in ")
    assert failures(rig, plugin) == [2]


def test_hook_response_cannot_split_the_answer(rig: Rig) -> None:
    with rig.connect() as client:
        for _ in range(2):
            answer = client.get("/split/")
            assert answer.status == 500
            assert answer.header("x-evil") is None
    rig.proxy.wait_for_log("ERROR plugin split failed in response, location split")


@pytest.mark.parametrize(
    "what", ["text", "interim", "switch", "large", "zero", "list", "none", "id"]
)
def test_hook_request_response_that_cannot_be_sent_answers_500(rig: Rig, what: str) -> None:
    with rig.connect() as client:
        client.sock.settimeout(0.5)
        client.send(f"GET /odd/?{what} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        status = client.read_head().status
        assert status == 500


def test_hook_request_after_odd_responses_the_proxy_serves(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET /odd/?text HTTP/1.1\r\nHost: test\r\n\r\n")
        answer_or_none(client)
    with rig.connect() as client:
        answer = client.get("/odd/?good")
        assert (answer.status, answer.body) == (299, b"good")


def test_hook_request_is_cancelled_when_the_client_leaves(rig: Rig) -> None:
    for how in ("reset", "end"):
        with rig.connect() as client:
            client.send(f"GET /wait/?{how} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            rig.proxy.wait_for_log(f"waiting {how}")
            if how == "reset":
                linger = struct.pack("ii", 1, 0)
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                # The end of a client's side counts as leaving only some time after its request.
                client.sock.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    client.sock.recv(1)
        rig.proxy.wait_for_log(f"cancelled {how}")
        rig.proxy.wait_for_log("noted wait None 499")
    assert failures(rig, "wait") == []


def test_hook_request_that_raises_cancelled_answers_500(rig: Rig) -> None:
    with rig.connect() as client:
        client.sock.settimeout(0.5)
        assert client.get("/cancelled/").status == 500
