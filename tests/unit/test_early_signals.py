"""That one side is full may be known before there is a body whose source could wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.proxy.exchange import Exchange


class Source:
    """Notes whether it has to wait."""

    paused = False

    def pause_body(self) -> None:
        self.paused = True

    def resume_body(self) -> None:
        self.paused = False


def test_a_client_that_is_full_before_the_answer_begins_holds_it_up() -> None:
    nothing: Any = SimpleNamespace()
    x = Exchange(nothing, nothing, Request("GET", "/", Headers()), nothing)
    x._running = True
    upstream: Any = Source()
    x.on_client_full(True)
    x.upstream = upstream
    x.on_upstream_head(Response(200))
    assert upstream.paused
    x.on_client_full(False)
    assert not upstream.paused
