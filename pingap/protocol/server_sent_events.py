"""Server-Sent Events (WHATWG HTML, 9.2), without IO, as an intermediary needs them.

A decoder splits a stream into blocks, each ended by an empty line, and keeps their bytes: unchanged blocks
are passed on byte for byte, including comments and unknown fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

_BOM: Final = b"\xef\xbb\xbf"
_END_OF_LINE: Final = re.compile(r"\r\n|\r|\n")
_ENDS: Final = frozenset((b"\r\n", b"\r", b"\n"))


class EventTooLarge(Exception):
    """An event exceeds the size limit.

    :param limit: maximum size of an event in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"a server-sent event of more than {limit} bytes")
        self.limit = limit


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    r"""One event.

    :param data: the text; its lines are separated by ``\n``.
    :param event: the type; empty for the default, ``message``.
    :param id: sent by a client as ``Last-Event-ID`` when it reconnects; None leaves it unchanged.
    :param retry: milliseconds after which a client reconnects; None leaves it unchanged.
    :param comments: the lines that begin with a colon, without it. Clients ignore them.
    :raises ValueError: a type, an ID or a comment with several lines, an ID with a NUL, or a negative
        ``retry``.
    """

    data: str
    event: str = ""
    id: str | None = None
    retry: int | None = None
    comments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in (self.event, self.id or "", *self.comments):
            if _END_OF_LINE.search(text):
                raise ValueError(f"{text!r:.60} has several lines, and only data may")
        if self.id is not None and "\0" in self.id:
            raise ValueError("an id must not contain NUL: clients would ignore it")
        if self.retry is not None and self.retry < 0:
            raise ValueError(f"{self.retry!r} is not a number of milliseconds")

    def encode(self) -> bytes:
        """Return the event in UTF-8, with the empty line at its end."""
        lines = [f":{comment}" for comment in self.comments]
        if self.event:
            lines.append(f"event: {self.event}")
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}")
        # ``\r`` also ends a line: unchanged, it would begin another field.
        lines += [f"data: {line}" for line in _END_OF_LINE.split(self.data)]
        return ("\n".join(lines) + "\n\n").encode()


class Block(NamedTuple):
    """The data between two empty lines.

    :param raw: its bytes, with the empty line; without it if the stream ended before.
    :param event: None if clients ignore the block because it has no data.
    :param is_rest: it is only the LF of a CRLF whose CR has ended the previous block.
    """

    raw: bytes
    event: ServerSentEvent | None
    is_rest: bool = False


class EventDecoder:
    """Reads the bytes of one stream as blocks.

    :param limit: maximum size of a block in bytes.
    """

    __slots__ = ("_after_cr", "_at_line_start", "_begun", "_limit", "_raw")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._raw = bytearray()  # of the incomplete block
        self._begun = False  # a byte order mark is only allowed before
        self._at_line_start = True
        self._after_cr = False  # an LF would belong to the previous line end

    def feed(self, data: bytes) -> list[Block]:
        """Handle received bytes; return the blocks that they complete.

        :raises EventTooLarge: a block exceeds the limit.
        """
        blocks: list[Block] = []
        for line in data.splitlines(keepends=True):  # the last one may be incomplete
            if self._after_cr:
                self._after_cr = False
                if line == b"\n":  # the rest of a CRLF that was split between two reads
                    if self._raw:
                        self._raw += line
                    else:
                        blocks.append(Block(line, None, is_rest=True))
                    continue
            if len(self._raw) + len(line) > self._limit:
                raise EventTooLarge(self._limit)
            self._raw += line
            is_empty = self._at_line_start and line in _ENDS
            self._after_cr = line.endswith(b"\r")
            self._at_line_start = line.endswith((b"\r", b"\n"))
            if is_empty or (self._at_line_start and self._is_mark_only):
                blocks.append(self._take())
        return blocks

    @property
    def _is_mark_only(self) -> bool:
        """Whether the stream contains only a byte order mark and a line end so far."""
        raw = self._raw
        return not self._begun and len(raw) <= 5 and raw[:3] == _BOM and bytes(raw[3:]) in _ENDS

    def end(self) -> Block | None:
        """Handle the end of the stream; return the incomplete block.

        Clients ignore it, but filters that inspect events should see it nevertheless.
        """
        return self._take() if self._raw else None

    def _take(self) -> Block:
        raw = bytes(self._raw)
        text = raw if self._begun else raw.removeprefix(_BOM)
        self._raw.clear()
        self._begun, self._at_line_start = True, True
        return Block(raw, _read(text.splitlines()))


def _read(lines: Iterable[bytes]) -> ServerSentEvent | None:
    """Return the event of a block (WHATWG HTML, 9.2.6); None if it has no data."""
    data: list[str] = []
    comments: list[str] = []
    event, id_, retry = "", None, None
    for line in lines:
        name, _, rest = line.decode("utf-8", "replace").partition(":")
        value = rest.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            id_ = value
        elif name == "retry" and value.isascii() and value.isdigit():
            retry = _number(value)
        elif not name and line:
            comments.append(rest)
    if not data:
        return None
    return ServerSentEvent("\n".join(data), event, id_, retry, tuple(comments))


def _number(digits: str) -> int | None:
    """Return a number; None if it has more digits than any browser accepts."""
    return int(digits) if len(digits) <= 18 else None
