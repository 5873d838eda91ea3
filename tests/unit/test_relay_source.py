"""A relay leaves its source alone once that has ended: an upstream connection serves others then."""

from __future__ import annotations

from pingap.proxy.body_relay import BodyRelay


class Source:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_body(self) -> None:
        self.calls.append("pause")

    def resume_body(self) -> None:
        self.calls.append("resume")


def test_source_that_has_ended_is_not_paused() -> None:
    source = Source()
    relay = BodyRelay(source)
    relay.set_full(True)
    relay.set_full(False)
    assert source.calls == ["pause", "resume"]
    relay.end(None)
    relay.set_full(True)
    relay.set_full(False)
    assert source.calls == ["pause", "resume"]
