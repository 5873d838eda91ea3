"""A body on its way through, with sides that only take notes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cost import cost
from support.relays import FakeExchange, FakeSink, FakeSource

from pingap.http.body_filters import BodyFilter
from pingap.http.errors import HTTPError, PluginError
from pingap.http.headers import Headers
from pingap.proxy.body_relay import REPLAY_LIMIT, BodyRelay
from pingap.proxy.filter_stages import Stage


def filters(*wanted: tuple[BodyFilter, str]) -> list[Stage]:
    """Return filters of plugins with these names, for a relay that is opened."""
    return FakeExchange(*wanted).filters


class Upper(BodyFilter):
    def feed(self, chunk: bytes) -> bytes:
        return chunk.upper()


class Hold(BodyFilter):
    """Keeps everything until the end, and adds a trailer."""

    def __init__(self) -> None:
        self.kept = b""

    def feed(self, chunk: bytes) -> bytes:
        self.kept += chunk
        return b""

    def end(self, trailers: Headers) -> bytes:
        trailers.add("X-Length", str(len(self.kept)))
        return self.kept


class Failing(BodyFilter):
    def feed(self, chunk: bytes) -> bytes:
        raise ValueError(chunk)


class Refusing(BodyFilter):
    def end(self, trailers: Headers) -> bytes:
        raise HTTPError(422, "no")


def test_chunks_pass_as_they_came() -> None:
    relay, sink = BodyRelay(FakeSource()), FakeSink()
    relay.open(sink)
    relay.feed(b"a")
    relay.feed(b"bc")
    assert (sink.chunks, relay.finished) == ([b"a", b"bc"], False)
    trailers = Headers({"A": "b"})
    relay.end(trailers)
    assert (sink.ended, sink.trailers, relay.finished) == (True, trailers, True)
    assert relay.received == 3


def test_what_comes_before_the_sink_is_held_and_pauses_the_source() -> None:
    source, sink = FakeSource(), FakeSink()
    relay = BodyRelay(source)
    relay.feed(b"a")
    assert source.paused
    relay.feed(b"b")  # was on its way already
    relay.end(None)
    assert (relay.ended, relay.finished) == (True, False)
    relay.open(sink)
    assert (sink.body, sink.ended) == (b"ab", True)
    assert source.paused  # a source that has ended is left alone: it may serve others by now


def test_an_end_without_body_waits_for_the_sink() -> None:
    source, sink = FakeSource(), FakeSink()
    relay = BodyRelay(source)
    relay.end(None)
    assert source.switches == []
    relay.open(sink)
    assert sink.ended


def test_a_full_sink_pauses_the_source_once() -> None:
    source, sink = FakeSource(), FakeSink()
    relay = BodyRelay(source)
    relay.open(sink)
    relay.set_full(True)
    relay.set_full(True)
    relay.feed(b"on its way")
    relay.set_full(False)
    relay.set_full(False)
    assert source.switches == ["pause", "resume"]
    assert sink.body == b"on its way"


def test_a_sink_that_is_full_at_once_keeps_the_source_paused() -> None:
    source = FakeSource()
    relay = BodyRelay(source)

    class Full(FakeSink):
        def send_chunk(self, chunk: bytes) -> None:
            super().send_chunk(chunk)
            relay.set_full(True)

    relay.feed(b"a")
    relay.open(Full())
    assert source.paused
    relay.set_full(False)
    assert source.switches == ["pause", "resume"]


def test_a_body_beyond_its_limit_is_refused() -> None:
    relay, sink = BodyRelay(FakeSource()), FakeSink()
    relay.limit = 3
    relay.open(sink)
    relay.feed(b"abc")
    with pytest.raises(HTTPError) as caught:
        relay.feed(b"d")
    assert caught.value.status == 413
    assert sink.body == b"abc"


def test_a_body_beyond_its_limit_is_refused_before_there_is_a_sink() -> None:
    relay = BodyRelay(FakeSource())
    relay.limit = 3
    with pytest.raises(HTTPError):
        relay.feed(b"abcd")


def test_filters_work_in_order_and_may_give_their_rest_at_the_end() -> None:
    relay, sink = BodyRelay(FakeSource()), FakeSink()
    relay.feed(b"ab")
    relay.open(sink, filters((Hold(), "hold"), (Upper(), "upper")))
    relay.feed(b"c")
    assert sink.chunks == []
    relay.end(None)
    assert (sink.body, sink.ended) == (b"ABC", True)
    assert sink.trailers == Headers({"X-Length": "3"})
    assert relay.received == 3


def test_no_trailers_are_no_empty_trailers() -> None:
    relay, sink = BodyRelay(FakeSource()), FakeSink()
    relay.open(sink, filters((Upper(), "upper")))
    relay.end(None)
    assert sink.trailers is None


def test_a_failing_filter_names_its_plugin() -> None:
    relay = BodyRelay(FakeSource())
    relay.open(FakeSink(), filters((Upper(), "fine"), (Failing(), "broken")))
    with pytest.raises(PluginError) as caught:
        relay.feed(b"a")
    assert caught.value.instance == "broken"


def test_a_failing_filter_fails_for_what_was_held() -> None:
    relay = BodyRelay(FakeSource())
    relay.feed(b"a")
    with pytest.raises(PluginError):
        relay.open(FakeSink(), filters((Failing(), "broken")))


def test_a_filter_that_fails_behind_another_at_the_end_is_the_one_that_is_named() -> None:
    relay = BodyRelay(FakeSource())
    relay.open(FakeSink(), filters((Hold(), "hold"), (Failing(), "broken")))
    relay.feed(b"a")
    with pytest.raises(PluginError) as caught:
        relay.end(None)
    assert caught.value.instance == "broken"


def test_a_filter_may_answer_with_an_error_of_its_own() -> None:
    relay, sink = BodyRelay(FakeSource()), FakeSink()
    relay.open(sink, filters((Refusing(), "refusing")))
    with pytest.raises(HTTPError) as caught:
        relay.end(None)
    assert (caught.value.status, sink.ended) == (422, False)


def test_a_second_sink_gets_what_the_first_one_got() -> None:
    relay, first, second = BodyRelay(FakeSource()), FakeSink(), FakeSink()
    assert relay.replayable
    relay.keep()
    relay.open(first)
    relay.feed(b"ab")
    assert relay.replayable
    relay.open(second)
    relay.feed(b"c")
    relay.end(Headers({"A": "b"}))
    assert (second.body, second.ended) == (b"abc", True)
    assert (first.body, first.ended) == (b"ab", False)


def test_a_second_sink_gets_a_finished_body_with_its_end() -> None:
    relay, second = BodyRelay(FakeSource()), FakeSink()
    relay.keep()
    relay.open(FakeSink())
    relay.feed(b"ab")
    relay.end(Headers({"A": "b"}))
    relay.open(second)
    assert (second.body, second.trailers) == (b"ab", Headers({"A": "b"}))


def test_a_filtered_body_is_repeated_filtered_once() -> None:
    relay, second = BodyRelay(FakeSource()), FakeSink()
    relay.keep()
    relay.open(FakeSink(), filters((Upper(), "upper")))
    relay.feed(b"ab")
    relay.open(second, filters((Upper(), "upper")))
    relay.feed(b"c")
    assert second.body == b"ABC"


def test_a_full_first_sink_does_not_hold_up_the_second() -> None:
    source = FakeSource()
    relay = BodyRelay(source)
    relay.keep()
    relay.open(FakeSink())
    relay.feed(b"ab")
    relay.set_full(True)
    relay.open(FakeSink())
    assert not source.paused


@pytest.mark.parametrize(("size", "replayable"), [(REPLAY_LIMIT, True), (REPLAY_LIMIT + 1, False)])
def test_only_so_much_is_kept(size: int, replayable: bool) -> None:
    relay = BodyRelay(FakeSource())
    relay.keep()
    relay.open(FakeSink())
    relay.feed(b"x" * (size - 2))
    relay.feed(b"x")
    relay.feed(b"x")
    assert relay.replayable is replayable


def _keep_tiny_chunks(count: int) -> None:
    relay = BodyRelay(FakeSource())
    relay.keep()
    relay.open(FakeSink())
    for _ in range(count):
        relay.feed(b"x")


def test_keeping_tiny_chunks_costs_time_in_proportion() -> None:
    assert cost(_keep_tiny_chunks, 4000) < 24 * cost(_keep_tiny_chunks, 500)


def test_nothing_is_kept_unasked() -> None:
    relay = BodyRelay(FakeSource())
    relay.open(FakeSink())
    assert not relay.replayable


def test_what_comes_between_two_sinks_is_not_lost() -> None:
    source, second = FakeSource(), FakeSink()
    relay = BodyRelay(source)
    relay.keep()
    relay.open(FakeSink())
    relay.feed(b"a" * REPLAY_LIMIT)
    assert relay.replayable  # so the lifecycle begins to connect again, and meanwhile:
    relay.detach()
    relay.feed(b"b")
    relay.end(None)
    assert source.paused
    relay.open(second)
    assert len(second.body) == REPLAY_LIMIT + 1


ACTIONS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=20),
        st.sampled_from(["open", "full", "free"]),
    ),
    max_size=20,
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(actions=ACTIONS)
def test_whatever_happens_the_body_arrives_whole_and_the_source_waits_when_it_must(
    actions: list[bytes | str],
) -> None:
    source, sink = FakeSource(), FakeSink()
    relay = BodyRelay(source)
    fed, opened, full = b"", False, False
    for action in actions:
        if isinstance(action, bytes):
            relay.feed(action)
            fed += action
        elif action == "open" and not opened:
            relay.open(sink)
            opened = True
        elif action in ("full", "free") and opened:
            full = action == "full"
            relay.set_full(full)
        assert source.paused is (full if opened else bool(fed))
        assert sink.body == (fed if opened else b"")
    relay.end(None)
    if not opened:
        relay.open(sink)
    assert (sink.body, sink.ended, relay.finished) == (fed, True, True)
