"""Heads of HTTP/1.1: their lines, and what each one means (RFC 9112, 2 to 5), without IO.

Clients and upstreams repeat themselves: most lines of a head were read before, from this peer or
another one. So what a line means is remembered, and reading a head is mostly looking up its lines.
(The same idea as the dynamic table of HPACK, on the reading side only.) Programs even send the same
head again and again, so short heads are remembered as a whole, too. How much is remembered is
bounded. Credentials come under any name and in paths, so only fields and paths that are known to be
harmless are remembered (``secrecy``).
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

from pingap.headers import FIELD_VALUE, TOKEN, Headers
from pingap.paths import is_odd
from pingap.protocol.secrecy import HARMLESS, may_remember_target

T = TypeVar("T")

END_OF_HEAD: Final = b"\r\n\r\n"

MOST_REMEMBERED: Final = 4096
"""Lines of one kind; when there are more, all are forgotten."""
LONGEST_REMEMBERED: Final = 256
"""Bytes of a line that is remembered."""
MOST_HEADS_REMEMBERED: Final = 1024
"""Whole heads of one kind; when there are more, all are forgotten."""
LONGEST_HEAD_REMEMBERED: Final = 512
"""Bytes of a head that is remembered as a whole."""

_REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9]\.[0-9])"
)
_STATUS_LINE: Final = re.compile(
    rb"HTTP/(1\.[0-9]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?"
)
_SPACE_BEFORE_COLON: Final = re.compile(rb"\A([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class Malformed(Exception):
    """The peer broke the protocol; the message says how."""


class Remembered(dict[bytes, T], Generic[T]):
    """What lines mean; a line that is not known is read, and remembered if it may be."""

    most = MOST_REMEMBERED
    longest = LONGEST_REMEMBERED

    def __missing__(self, line: bytes) -> T:
        meaning = self.read(line)
        if len(line) <= self.longest and self.may_remember(line, meaning):
            if len(self) >= self.most:
                self.clear()
            self[line] = meaning
        return meaning

    @staticmethod
    def read(line: bytes) -> T:
        """Return what a line means.

        :raises Malformed: nothing.
        """
        raise NotImplementedError

    @staticmethod
    def may_remember(line: bytes, meaning: T) -> bool:
        """Tell whether a line holds nothing secret."""
        raise NotImplementedError


class _Unusual(Exception):
    """A field is not written as ``Name: value``, with one space."""


class _FieldKeys(Remembered[bytes]):
    """Field line -> its name in lower case."""

    @staticmethod
    def read(line: bytes) -> bytes:
        key, usual = read_field(line)
        if usual != line:
            raise _Unusual
        return key

    @staticmethod
    def may_remember(line: bytes, meaning: bytes) -> bool:
        return meaning in HARMLESS


RequestLine = tuple[str, str, str, str, str, bool]
"""Method, target, path, query, version, and whether it is usual: HTTP/1.1 and a normal path."""


class _RequestLines(Remembered[RequestLine]):
    """Request line -> its parts."""

    @staticmethod
    def read(line: bytes) -> RequestLine:
        if not (match := _REQUEST_LINE.fullmatch(line)):
            raise Malformed("malformed request line")
        method, target, version = (part.decode("latin-1") for part in match.groups())
        path, _, query = target.partition("?")
        usual = version == "1.1" and target[0] == "/" and "#" not in target and not is_odd(path)
        return method, target, path, query, version, usual

    @staticmethod
    def may_remember(line: bytes, meaning: RequestLine) -> bool:
        return not meaning[3] and may_remember_target(meaning[1])


StatusLine = tuple[int, bytes, bool]
"""Status, reason, and whether it is HTTP/1.1 or later (RFC 9110, 6.2), not 1.0."""


class _StatusLines(Remembered[StatusLine]):
    """Status line -> its parts."""

    @staticmethod
    def read(line: bytes) -> StatusLine:
        if not (match := _STATUS_LINE.fullmatch(line)):
            raise Malformed("malformed status line")
        version, status, reason = match.groups()
        return int(status), reason or b"", version != b"1.0"

    @staticmethod
    def may_remember(line: bytes, meaning: StatusLine) -> bool:
        return True


_field_keys: Final = _FieldKeys()
request_lines: Final = _RequestLines()
"""``request_lines[line]`` reads a request line; raises ``Malformed``."""
status_lines: Final = _StatusLines()
"""``status_lines[line]`` reads a status line; raises ``Malformed``."""


def read_field(line: bytes) -> tuple[bytes, bytes]:
    """Read a field line: its name in lower case, and the line as ``Name: value``.

    No white space before the colon, no control character anywhere, so no folding (RFC 9112, 5).

    :raises Malformed: it is none.
    """
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise Malformed("malformed header field")
    return name.lower(), b"%b: %b" % (name, value)


def read_fields(lines: list[bytes]) -> Headers:
    """Read the field lines of a head; the list is taken over.

    :raises Malformed: one of them is none.
    """
    headers = Headers.__new__(Headers)
    headers.lines = lines
    try:
        headers.keys = list(map(_field_keys.__getitem__, lines))
    except _Unusual:
        return Headers(map(read_field, lines))
    return headers


def read_response_fields(lines: list[bytes]) -> Headers:
    """Read the field lines of a response; the list is taken over.

    White space before a colon is removed there, and only there (RFC 9112, 5.1).

    :raises Malformed: one of them is none.
    """
    try:
        return read_fields(lines)
    except Malformed:
        return read_fields([_SPACE_BEFORE_COLON.sub(rb"\1:", line, count=1) for line in lines])


def has_bare_lf(data: bytes, start: int = 0) -> bool:
    """Tell whether a line ends with LF alone, so that what began can never become a head."""
    return _BARE_LF.search(data, start) is not None
