"""Every plugin of the page about messages in a real proxy, configured with the TOML that the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tomli
from docs.blocks import DOCS, every_block
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pingap.plugins.local import load_module
from pingap.testing import Proxy, Upstream, filter_every_cut

PAGE = DOCS / "messages.md"

Start = Callable[[str], Proxy]


@pytest.fixture
def start(directory: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a proxy with one of the plugins."""
    monkeypatch.chdir(directory)
    with ExitStack() as running:

        def start(file: str) -> Proxy:
            wanted = f'path = "plugins/{file}"'
            (toml,) = (block.text for block in every_block(PAGE) if wanted in block.text)
            toml += f'[upstreams.app]\naddrs = ["{upstream.addr}"]\n'
            names = list(tomli.loads(toml)["locations"])
            toml += f'[servers.web]\naddr = "127.0.0.1:0"\nlocations = {names}\n'
            return running.enter_context(Proxy(toml))

        yield start


def test_what_matches_is_hidden_in_events(start: Start, upstream: Upstream) -> None:
    kind = {"Content-Type": "text/event-stream"}
    upstream.reply("/", b": hi\n\nid: 1\ndata: call 555123\n\ndata: 555\n\n", headers=kind)
    upstream.reply("/page", b"data: 555123\n\n")
    proxy = start("redact_events.py")
    answer = proxy.get("/", headers={"Accept-Encoding": "gzip"})
    assert answer.body == b": hi\n\nid: 1\ndata: call ***\n\ndata: 555\n\n"
    assert upstream.received_once().header("accept-encoding") is None
    assert proxy.get("/page").body == b"data: 555123\n\n"


def test_events_in_every_cut(directory: Path) -> None:
    redacted = load_module(directory / "plugins" / "redact_events.py").Redacted
    found = filter_every_cut(lambda: redacted(re.compile("[0-9]+")), b"data: a1\n\ndata: b\r\n\r\n")
    assert found == b"data: a***\n\ndata: b\r\n\r\n"


def test_messages_of_grpc_are_counted(start: Start, upstream: Upstream) -> None:
    def message(data: bytes, flag: int = 0) -> bytes:
        return bytes((flag,)) + len(data).to_bytes(4) + data

    upstream.reply("/library.Books/Find", message(b"abc") + message(b"de", 1))
    proxy = start("count_grpc.py")
    kind = {"Content-Type": "application/grpc+proto"}
    path = "/library.Books/Find"
    answer = proxy.request("POST", path, headers=kind, body=message(b"x"))
    assert answer.body == message(b"abc") + message(b"de", 1)
    assert proxy.request("POST", path, body=message(b"x")).body == answer.body
    value = proxy.metrics().value
    for direction, messages, size in (("request", 1, 1), ("response", 2, 5)):
        assert value("count_grpc_messages_total", direction=direction) == messages
        assert value("count_grpc_bytes_total", direction=direction) == size
    answer = proxy.request("POST", path, headers=kind, body=b"no gRPC")
    assert answer.header("grpc-status") == "13"  # INTERNAL


def test_the_chat_stays_polite(start: Start, upstream: Upstream) -> None:
    upstream.websocket("/chat")
    proxy = start("chat_rules.py")
    host, port = proxy.address()
    with connect(f"ws://{host}:{port}/chat") as client:
        client.send("hello")
        assert client.recv(10) == "hello"
        client.send(b"fool")
        assert client.recv(10) == b"fool"
        for _ in range(2):
            client.send("you fool")
            assert client.recv(10) == "Please be polite"
        client.send("you idiot")
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert (client.close_code, client.close_reason) == (4003, "be polite")
