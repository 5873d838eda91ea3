"""Heads of HTTP/1.1: their lines and fields (RFC 9112, 2 to 5), without IO.

Nearly all heads are plain: every field is written as ``name: value``. One pass of a regular expression over
the whole head finds those. Any other head is read line by line, which detects errors.
"""

from __future__ import annotations

import re
from typing import Final

from pingap.http.headers import FIELD_VALUE, TOKEN, Headers, make_headers
from pingap.http.response import REASONS

END_OF_HEAD: Final = b"\r\n\r\n"

plain_request_line: Final = re.compile(
    r"([A-Z]++) (((?:/(?![./;])[!$&-.0-;=@-Z^-~]*+)++)(?:\?([!$-~\x80-\xff]*+))?+) HTTP/1\.1"
).fullmatch
"""Matches a request line that needs no closer look: method, target, path and query. The path is the one that
locations match (see ``paths.is_odd``)."""
_REQUEST_LINE: Final = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9]\.[0-9])"
)
_STATUS_LINE: Final = re.compile(
    rb"HTTP/(1\.[0-9]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?"
)
# Without the lookahead, a line that continues with a control character would match.
plain_fields: Final = re.compile(
    rb"\r\n([-0-9a-z]++): [!-~][\t -~\x80-\xff]*+(?<![ \t])(?=\r\n|\Z)"
).findall
"""Finds the names of the fields of a head in lower case that are written as ``name: value``."""
_SPACE_BEFORE_COLON: Final = re.compile(rb"\A([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class Malformed(Exception):
    """The peer broke the protocol; the message gives the reason."""


def read_request_line(line: str) -> tuple[str, str, str]:
    """Return method, target and version of a request line.

    :raises Malformed: it is invalid.
    """
    if not (match := _REQUEST_LINE.fullmatch(line)):
        raise Malformed("malformed request line")
    method, target, version = match.groups()
    return method, target, version


_USUAL_STATUS_LINES: Final = {
    b"HTTP/1.1 %d %b" % (status, reason): (status, reason, True)
    for status, reason in REASONS.items()
}


def read_status_line(line: bytes) -> tuple[int, bytes, bool]:
    """Return status, reason, and whether it is HTTP/1.1 or later (RFC 9110, 6.2), not 1.0.

    :raises Malformed: it is invalid.
    """
    if (usual := _USUAL_STATUS_LINES.get(line)) is not None:
        return usual
    if not (match := _STATUS_LINE.fullmatch(line)):
        raise Malformed("malformed status line")
    version, status, reason = match.groups()
    return int(status), reason or b"", version != b"1.0"


def read_field(line: bytes) -> tuple[bytes, bytes]:
    """Read a field line: its name in lower case, and the line as ``Name: value``.

    No white space before the colon, no control character anywhere, so no folding (RFC 9112, 5).

    :raises Malformed: it is invalid.
    """
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise Malformed("malformed header field")
    return name.lower(), b"%b: %b" % (name, value)


def read_fields(head: bytes, lines: list[bytes]) -> tuple[Headers, bool]:
    """Return the fields of a head, and whether it is plain: names have no special characters except ``-``.

    :param head: without the empty line at its end.
    :param lines: its field lines; the list is taken over.
    :raises Malformed: one of them is invalid.
    """
    keys = plain_fields(head.lower())
    if len(keys) == len(lines):  # all lines were found
        return make_headers(keys, lines), True
    return Headers(map(read_field, lines)), False


def read_response_fields(head: bytes, lines: list[bytes]) -> Headers:
    """Return the fields of a response, as ``read_fields`` does.

    White space before a colon is removed there, and only there (RFC 9112, 5.1).

    :raises Malformed: one of them is invalid.
    """
    try:
        return read_fields(head, lines)[0]
    except Malformed:
        return Headers(
            read_field(_SPACE_BEFORE_COLON.sub(rb"\1:", line, count=1)) for line in lines
        )


def has_bare_lf(data: bytes, start: int = 0) -> bool:
    """Return whether a line ends with LF alone, so that the data cannot become a head."""
    return _BARE_LF.search(data, start) is not None
