"""Header lists of HTTP/2 (RFC 9113, 8): the part shared by requests and responses, without IO."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Final

from pingap.http.headers import FIELD_VALUE, Headers, make_headers
from pingap.protocol.fields import keep_trailers
from pingap.protocol.http1_head import Malformed
from pingap.protocol.http2_errors import PROTOCOL_ERROR, StreamError
from pingap.protocol.secrecy import HARMLESS, LONGEST_REMEMBERED, MOST_REMEMBERED

HeaderList = Sequence[tuple[bytes, bytes]]

FIELD_OVERHEAD: Final = 32
"""Size of a field in addition to its name and value (RFC 9113, 6.5.2)."""

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_COLON: Final = 58
# Fields of an HTTP/1.1 connection (RFC 9113, 8.2.2).
_FORBIDDEN: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)


class _Lines(dict[tuple[bytes, bytes], bytes]):
    """Field -> its line, for known fields (see ``http1_head``)."""

    def __missing__(self, field: tuple[bytes, bytes]) -> bytes:
        name, value = field
        harmless = name in HARMLESS
        if not (harmless or _NAME.fullmatch(name)):
            raise Malformed("a field name that is invalid, or not in lower case")
        if not FIELD_VALUE.fullmatch(value) or value != value.strip(b" \t"):
            raise Malformed("a field value with control characters, or white space around it")
        line = b": ".join(field)
        if harmless and len(line) <= LONGEST_REMEMBERED:
            if len(self) >= MOST_REMEMBERED:
                self.clear()
            self[name, value] = line
        return line


field_lines: Final = _Lines()
"""``field_lines[name, value]`` is the line of a field; raises ``Malformed``."""


def list_size(fields: HeaderList) -> int:
    """Return the bytes of all names and values."""
    return sum(map(len, chain.from_iterable(fields)))


def split(
    fields: HeaderList, known: Collection[bytes]
) -> tuple[dict[bytes, bytes], list[bytes], list[bytes]]:
    """Return pseudo-header fields, and the keys and lines of the others (RFC 9113, 8.3).

    :param known: the allowed pseudo-header fields.
    :raises Malformed: the list breaks a rule.
    """
    pseudo: dict[bytes, bytes] = {}
    keys: list[bytes] = []
    lines: list[bytes] = []
    for field in fields:
        name, value = field
        if name and name[0] == _COLON:
            if keys or name in pseudo or name not in known:
                raise Malformed(
                    "a pseudo-header field that is unknown, repeated or out of its place"
                )
            pseudo[name] = value
        else:
            lines.append(field_lines[name, value])
            keys.append(name)
    return pseudo, keys, lines


def check_no_connection_fields(keys: list[bytes]) -> None:
    """Reject fields that only concern an HTTP/1.1 connection.

    :raises Malformed: there is such a field.
    """
    if not _FORBIDDEN.isdisjoint(keys):
        raise Malformed("a field that belongs to a connection of HTTP/1.1")


def read_trailers(fields: HeaderList) -> Headers | None:
    """Read the header list after a body.

    :returns: None if nothing of it may be passed on.
    :raises StreamError: it is malformed.
    """
    try:
        keys = [name for name, _ in fields]
        lines = [field_lines[name, value] for name, value in fields]
        check_no_connection_fields(keys)
    except Malformed as error:
        raise StreamError(PROTOCOL_ERROR, str(error)) from None
    return keep_trailers(make_headers(keys, lines))
