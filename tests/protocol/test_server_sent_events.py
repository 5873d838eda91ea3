"""Server-Sent Events: read cut anywhere, as a browser does, with every byte kept."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import cost
from support.wire import at, cut, every_cut

from pingap.protocol.server_sent_events import EventDecoder, EventTooLarge, ServerSentEvent

LIMIT = 1 << 20
BOM = b"\xef\xbb\xbf"


def read(parts: Iterable[bytes], limit: int = LIMIT) -> list[ServerSentEvent]:
    """Return the events of a stream, and check that no byte is lost."""
    parts = list(parts)
    decoder = EventDecoder(limit)
    blocks = [block for part in parts for block in decoder.feed(part)]
    rest = decoder.end()
    raw = [block.raw for block in blocks] + ([rest.raw] if rest is not None else [])
    assert b"".join(raw) == b"".join(parts)
    return [block.event for block in blocks if block.event is not None]


def event(data: str, **more: object) -> ServerSentEvent:
    return ServerSentEvent(data, **more)  # type: ignore[arg-type]


STREAMS: dict[str, tuple[bytes, list[ServerSentEvent]]] = {
    # Those of WHATWG HTML, 9.2.6.
    "two lines": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [event("YHOO\n+2\n10")]),
    "four blocks": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [event("first event", id="1"), event("second event", id="")],
    ),
    "empty data": (b"data\n\ndata\ndata\n\ndata:", [event(""), event("\n")]),
    "a space or none": (b"data:test\n\ndata: test\n\n", [event("test"), event("test")]),
    # All fields.
    "all fields": (
        b"event: add\nid: 7\nretry: 1500\ndata: x\n\n", [event("x", event="add", id="7", retry=1500)],
    ),
    "the last of each": (b"event: a\nevent: b\nid: 1\nid: 2\ndata:\n\n", [event("", event="b", id="2")]),
    "unknown fields": (b"foo: bar\nDATA: x\n data: y\ndata : z\ndata: 1\n\n", [event("1")]),
    "comments": (b":one\ndata: x\n: two\n:\n\n", [event("x", comments=("one", " two", ""))]),
    "an id with NUL": (b"id: a\0b\ndata: x\n\n", [event("x")]),
    "retry that is no number": (b"retry: 1s\nretry: -1\nretry:\ndata: x\n\n", [event("x")]),
    "retry in other digits": ("retry: \u0661\ndata: x\n\n".encode(), [event("x")]),
    "a number of many digits": (b"retry: " + b"9" * 5000 + b"\ndata: x\n\n", [event("x")]),
    "no data": (b"event: add\nid: 3\nretry: 1\n\n:\n\n\n\n", []),
    # Lines.
    "CR": (b"data: a\rdata: b\r\rdata: c\r\r", [event("a\nb"), event("c")]),
    "CRLF": (b"data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", [event("a\nb"), event("c")]),
    "a mixture": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\n\rdata: d\n\r", [*map(event, "abcd")]),
    "no other ends": ("data: a\x0bb\x0cc\x85d\u2028e\n\n".encode(), [event("a\x0bb\x0cc\x85d\u2028e")]),
    "an end that is missing": (b"data: a\n\ndata: b\n", [event("a")]),
    "half a line": (b"data: a\n\ndat", [event("a")]),
    # The byte order mark.
    "a mark": (BOM + b"data: a\n\n", [event("a")]),
    "a mark and an empty line": (BOM + b"\ndata: a\n\n", [event("a")]),
    "a mark and CRLF": (BOM + b"\r\ndata: a\r\n\r\n", [event("a")]),
    "two marks": (BOM + BOM + b"data: a\ndata: b\n\n", [event("b")]),
    "a mark that comes late": (b"data: a\n\n" + BOM + b"data: b\n\n", [event("a")]),
    "a mark on the second line": (b"data: a\n" + BOM + b"\ndata: b\n\n", [event("a\nb")]),
    # UTF-8.
    "UTF-8": ("event: ä\ndata: 🎈\n\n".encode(), [event("🎈", event="ä")]),
    "no UTF-8": (b"data: \xff\xe4\n\n", [event("\ufffd\ufffd")]),
}  # fmt: skip


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_is_read_cut_anywhere(case: str) -> None:
    data, expected = STREAMS[case]
    for parts in every_cut(data) if len(data) < 400 else [[data], cut(data, 1)]:
        assert read(parts) == expected


def test_an_event_leaves_with_its_empty_line() -> None:
    """With CR a line feed may still follow; nobody waits for it."""
    for end in (b"\n\n", b"\r\r", b"\r\n\r"):
        decoder = EventDecoder(LIMIT)
        (block,) = decoder.feed(b"data: a" + end)
        assert block == (b"data: a" + end, event("a"), False)
        if end[-1:] == b"\r":
            assert decoder.feed(b"\n") == [(b"\n", None, True)]
        assert decoder.end() is None


def test_what_is_incomplete_is_read_at_the_end() -> None:
    for rest, found in (
        (b"data: b", event("b")),
        (b"data: b\nid: 1\n", event("b", id="1")),
        (b"x", None),
    ):
        decoder = EventDecoder(LIMIT)
        decoder.feed(b"data: a\n\n" + rest)
        assert decoder.end() == (rest, found, False)


def test_the_limit_counts_the_bytes_of_an_event() -> None:
    data = b"data: 5678\n\n"
    for parts in every_cut(data * 2):
        assert len(read(parts, limit=12)) == 2
        with pytest.raises(EventTooLarge, match="more than 11 bytes"):
            read(parts, limit=11)
    for data in (b"x" * 13, b":\n" * 7):
        for parts in every_cut(data):
            with pytest.raises(EventTooLarge):
                read(parts, limit=12)


lines = st.sampled_from([
    b"data: a", b"data", b":c", b"id: 1", b"event: e", b"retry: 5", b"", b"", BOM, b"x", b"\xff",
])  # fmt: skip
streams = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=12).map(
    lambda found: b"".join(line + end for line, end in found)
)


def reference(data: bytes) -> list[ServerSentEvent]:
    """Read a stream as the standard says it, all at once."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    found: list[ServerSentEvent] = []
    fields: dict[str, object] = {}
    texts: list[str] = []
    comments: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if not line:
            if texts:
                found.append(event("\n".join(texts), comments=tuple(comments), **fields))
            fields, texts, comments = {}, [], []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ") if name else value
        if name == "data":
            texts.append(value)
        elif name in ("id", "event"):
            fields[name] = value
        elif name == "retry":
            fields[name] = int(value)
        elif not name:
            comments.append(value)
    return found


@given(streams, st.lists(st.integers(0, 1000), max_size=6))
def test_it_reads_as_the_standard_says(data: bytes, places: list[int]) -> None:
    assert read(at(data, places)) == reference(data)


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=6))
def test_anything_can_be_read(data: bytes, places: list[int]) -> None:
    assert read(at(data, places)) == read([data])


# Writing.

one_line = st.text(max_size=20).filter(lambda text: not {"\r", "\n"} & set(text))
events = st.builds(
    ServerSentEvent,
    st.text(max_size=50),
    one_line,
    st.none() | one_line.filter(lambda text: "\0" not in text),
    st.none() | st.integers(0, 10**9),
    st.lists(one_line, max_size=3).map(tuple),
)


@given(st.lists(events, max_size=4))
def test_what_is_written_can_be_read(sent: list[ServerSentEvent]) -> None:
    def normal(one: ServerSentEvent) -> ServerSentEvent:
        data = one.data.replace("\r\n", "\n").replace("\r", "\n")
        return event(data, event=one.event, id=one.id, retry=one.retry, comments=one.comments)

    assert read([b"".join(one.encode() for one in sent)]) == [normal(one) for one in sent]


def test_how_it_is_written() -> None:
    all_of_it = event("a\r\nb\rc\n", event="e", id="", retry=0, comments=(" c",))
    assert all_of_it.encode() == (
        b": c\nevent: e\nid: \nretry: 0\ndata: a\ndata: b\ndata: c\ndata: \n\n"
    )
    assert event("").encode() == b"data: \n\n"


@pytest.mark.parametrize(
    "more",
    [
        {"event": "a\ndata: b"},
        {"id": "a\rb"},
        {"id": "a\0"},
        {"comments": ("a\n\n",)},
        {"retry": -1},
    ],
)
def test_no_field_can_begin_another_one(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"several lines|NUL|milliseconds"):
        event("x", **more)


def _read_byte_by_byte(size: int) -> None:
    read(cut(b"data: " + b"x" * size + b"\n\n", 1))


def _read_lines_byte_by_byte(size: int) -> None:
    read(cut(b"data: x\r" * (size // 8) + b"\r", 1))


def _read_events(size: int) -> None:
    read([b"data\n\n" * (size // 6)])


def test_reading_costs_as_much_as_there_is() -> None:
    for work in (_read_byte_by_byte, _read_lines_byte_by_byte, _read_events):
        assert cost(work, 80_000) < 24 * cost(work, 10_000)
