"""A real browser, Chromium, over TLS and HTTP/2: a page that posts, and one each of WebSocket and SSE."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from support.certificates import issue
from support.chromium import PROGRAM, chromium
from support.rig import running
from support.waiting import DEADLINE, until
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side

from pingap.protocol.websocket import accept_value
from pingap.testing import Served

LEAF = issue("localhost", common_name="localhost")
SERVER = (
    "global_certificates = true\nenabled_h2 = true\n"
    'access_log = "{method} {proto} {uri} {status}"\n'
)
PAGE = """<!doctype html><title>waiting</title><pre id="results"></pre><script>
const post = async (path, body) => (await fetch(path, {method: "POST", body})).text();

const webSocket = () => new Promise((done, failed) => {
  const socket = new WebSocket(`wss://${location.host}/chat`), heard = [];
  socket.onopen = () => socket.send("first");
  socket.onmessage = event => {
    heard.push(event.data);
    if (heard.length == 1) socket.send("x".repeat(100000)); else socket.close(1000);
  };
  socket.onclose = event => done({heard: heard.map(text => text.slice(0, 10)), code: event.code});
  socket.onerror = () => failed(new Error("WebSocket"));
});

const serverSentEvents = () => new Promise((done, failed) => {
  const source = new EventSource("/events"), heard = [];
  source.onmessage = async event => {
    heard.push(event.data);
    await post("/seen", event.data);  // the next one is sent only then
    if (heard.length == 3) { source.close(); done(heard); }
  };
  source.onerror = () => failed(new Error("EventSource"));
});

(async () => {
  const results = {};
  try {
    results.posted = await post("/post", "y".repeat(200000));
    results.webSocket = await webSocket();
    results.events = await serverSentEvents();
    results.protocols = performance.getEntriesByType("resource").map(one => one.nextHopProtocol);
    results.protocols.push(performance.getEntriesByType("navigation")[0].nextHopProtocol);
    document.title = "done";
  } catch (error) {
    results.error = String(error);
    document.title = "failed";
  }
  document.getElementById("results").textContent = JSON.stringify(results);
})();
</script>"""


class Site:
    """The origin of the page. It sends an event when the page has told that it saw the one before."""

    def __init__(self) -> None:
        self.seen = threading.Semaphore(0)

    def __call__(self, served: Served) -> None:
        while (request := served.read_request()) is not None:
            path = request.target
            if path == "/chat":
                self.chat(served, request.header("sec-websocket-key") or "")
                return
            if path == "/events":
                self.events(served)
                return
            if path == "/page":
                page = PAGE.encode()
                head = b"Content-Type: text/html\r\nContent-Length: %d" % len(page)
                served.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + page)
                continue
            if path == "/seen":
                self.seen.release()
            served.respond(f"{request.method} of {len(request.body)}".encode())

    def events(self, served: Served) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            served.send(b"data: event %d\n\n" % number)
            if not self.seen.acquire(timeout=DEADLINE):
                return  # what was sent did not arrive while more was to come
        while served.receive():
            pass

    def chat(self, served: Served, key: str) -> None:
        accepted = f"Upgrade: websocket\r\nSec-WebSocket-Accept: {accept_value(key)}\r\n"
        served.send(f"HTTP/1.1 101 X\r\nConnection: Upgrade\r\n{accepted}\r\n".encode())
        protocol = Protocol(Side.SERVER)
        while data := served.receive():
            protocol.receive_data(data)
            for frame in protocol.events_received():
                if getattr(frame, "opcode", None) is Opcode.TEXT:
                    protocol.send_text(frame.data.upper())
            for answer in protocol.data_to_send():
                if answer:
                    served.send(answer)


@pytest.mark.timeout(90)
def test_a_page_with_a_post_a_websocket_and_events(tmp_path: Path) -> None:
    if PROGRAM is None and os.environ.get("CI") != "true":
        pytest.skip("Chromium is not installed")
    assert PROGRAM is not None, "CI installs Chromium (.ci/run)"
    certificates = LEAF.toml("leaf", "is_default = true")
    with running(Site(), server=SERVER, more=certificates) as rig:
        with chromium(tmp_path / "chromium", LEAF) as browser:
            browser.open(f"https://localhost:{rig.proxy.port()}/page")
            until(lambda: browser.value("document.title") in ("done", "failed"), seconds=30)
            found = browser.value("JSON.parse(document.getElementById('results').textContent)")
            assert browser.value("document.title") == "done", found
        assert found["posted"] == "POST of 200000"
        assert found["webSocket"] == {"heard": ["FIRST", "XXXXXXXXXX"], "code": 1000}
        assert found["events"] == ["event 0", "event 1", "event 2"]
        assert set(found["protocols"]) == {"h2"}
        log = rig.proxy.wait_for_log("/events")
        assert "POST HTTP/2.0 /post 200" in log
        assert "GET HTTP/2.0 /chat 101" in log  # a stream of HTTP/2 (RFC 8441)
