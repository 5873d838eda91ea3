"""Header blocks of HTTP/2 (RFC 7541): reading those of peers, and writing ours.

Reading: peers repeat themselves, so the header list of a block is cached as long as the dynamic table is the
same as when the block was read. Then the same bytes mean the same list.

Writing: only with the static table and literals without indexing, so the encoding of a line does not depend
on the connection and is cached for all of them (as in ``http1_head``). A literal costs a few more bytes than
an index, but searching a table would cost more time than the rest of a response.

Neither side caches fields that may contain a credential (``secrecy``), apart from what the peer itself puts
into the dynamic table of its connection. Such fields are written as never indexed, as the peer may have sent
them (RFC 7541, 6.2.3: no intermediary may weaken that).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import compress
from operator import not_
from typing import Final, Generic, TypeVar

from hpack.table import HeaderTable

from pingap.http.headers import Headers, make_headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.events import HeadLimits
from pingap.protocol.fields import NEVER_FORWARDED, announced_trailers, takes_trailers
from pingap.protocol.hpack_decoder import HpackDecoder, MalformedBlock, OversizedBlock
from pingap.protocol.http2_errors import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, Http2Error
from pingap.protocol.http2_fields import FIELD_OVERHEAD, HeaderList, list_size
from pingap.protocol.secrecy import HARMLESS, LONGEST_REMEMBERED, MOST_REMEMBERED, is_harmless

H = TypeVar("H")

MOST_BLOCKS: Final = 32
"""Number of cached blocks of one connection; if there are more, all are dropped."""
LONGEST_BLOCK: Final = 512
"""Maximum size of a cached block."""
LONGEST_LIST: Final = 4 * 1024
"""Maximum size of its header list: one byte may refer to everything that fits in the table."""
MOST_SIZE_UPDATES: Final = 2
"""Maximum number of table size changes at the beginning of a block: the smallest since the last block, and
the final one (RFC 7541, 4.2)."""

_SIZE_UPDATES: Final = re.compile(
    rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){%d}" % (MOST_SIZE_UPDATES + 1)
)

NO_TABLE: Final = b"\x20"
"""The beginning of our first block: our dynamic table has size 0. So no change has to be announced, whatever
size the client allows (RFC 7541, 4.2)."""

_NAMES: Final = {
    name: place
    for place, (name, _) in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))
    if name[0] != 58
}
"""Name -> its first index in the static table."""
_NEVER_INDEXED: Final = 0x10
_SHORT: Final = [bytes((size,)) for size in range(127)]
"""The lengths of short strings (RFC 7541, 5.2)."""
_AUTHORITY_NAME: Final = 1
_METHOD_NAME: Final = 2
_PATH_NAME: Final = 4
_STATUS_NAME: Final = 8
_METHODS: Final = {"GET": b"\x82", "POST": b"\x83"}
_SCHEMES: Final = {"http": b"\x86", "https": b"\x87"}
_STATUSES: Final = {
    int(value): bytes((0x80 | place,))
    for place, (name, value) in enumerate(HeaderTable.STATIC_TABLE, 1)
    if name == b":status"
}


class HeadReader(Generic[H]):
    """Reads the header blocks that one peer sends.

    :param read: parses the header list of a head.
    :param limits: of a head. A list of more than twice the size is not decoded to its end, after which the
        connection cannot continue; before that, a client that is only careless gets 431.
    """

    __slots__ = ("_decoder", "_known", "_limits", "_read", "most")

    def __init__(self, read: Callable[[HeaderList, HeadLimits], H], limits: HeadLimits) -> None:
        self._read = read
        self._limits = limits
        self.most = 2 * (limits.size + FIELD_OVERHEAD * limits.fields)
        self._decoder = HpackDecoder(self.most)
        self._known: dict[bytes, H] = {}

    def fields(self, block: bytes) -> HeaderList:
        """Return the header list of a block.

        :raises Http2Error: the block is invalid, or far too large.
        """
        changes = self._decoder.changes
        if block[:1] and block[0] & 0xE0 == 0x20 and _SIZE_UPDATES.match(block):
            raise Http2Error(COMPRESSION_ERROR, "too many changes of the table's size")
        try:
            return self._decoder.decode(block)
        except OversizedBlock as excess:
            raise Http2Error(ENHANCE_YOUR_CALM, str(excess)) from None
        except MalformedBlock as error:
            raise Http2Error(COMPRESSION_ERROR, str(error)) from None
        finally:
            if self._decoder.changes != changes:
                self._known.clear()

    def head(self, block: bytes) -> H:
        """Return the parsed head of a block.

        :raises Http2Error: as for ``fields``.
        :raises StreamError: the head is invalid.
        """
        known = self._known
        if block in known:
            return known[block]
        changes = self._decoder.changes
        fields = self.fields(block)
        head = self._read(fields, self._limits)
        if (
            self._decoder.changes == changes
            and len(block) <= LONGEST_BLOCK
            and list_size(fields) <= LONGEST_LIST
            and is_harmless(fields)
        ):
            if len(known) >= MOST_BLOCKS:
                known.clear()
            known[block] = head
        return head


def response_block(response: Response, length: int | None) -> bytes:
    """Return the header block of a response, interim or final.

    :param length: value of ``content-length``; None to omit it.
    """
    block = (_STATUSES.get(response.status) or _status(response.status)) + fields_block(
        response.headers
    )
    return block if length is None else block + _content_length(length)


def request_block(
    request: Request, headers: Headers, length: int | None, scheme: str, default_host: str
) -> bytes:
    """Return the header block of a request to an upstream.

    :param headers: the fields to send; hop-by-hop fields are omitted.
    :param length: bytes of the body; None if unknown, or if there are trailers.
    :param default_host: the authority of a request without one.
    """
    # An empty authority is omitted (RFC 9113, 8.3.1).
    host = headers.find(b"host") or default_host.encode("ascii")
    block = _method(request.method) + _origin(scheme, host) + _path(request.target)
    if headers.keys and headers.keys[0] == b"host":
        headers = make_headers(headers.keys[1:], headers.lines[1:])
    elif b"host" in headers.keys:
        headers = headers.copy()
        headers.discard(b"host")
    block += fields_block(headers)
    if b"te" in headers.keys and takes_trailers(headers):
        block += _encoded[b"te: trailers"]
    if length or (length == 0 and b"content-length" in headers.keys):
        block += _content_length(length)
    return block


def fields_block(headers: Headers) -> bytes:
    """Return the header block of fields, without hop-by-hop and framing fields."""
    keys = headers.keys
    if NEVER_FORWARDED.isdisjoint(keys):
        return b"".join([_encoded[line] for line in headers.lines])
    kept = compress(headers.lines, map(not_, map(NEVER_FORWARDED.__contains__, keys)))
    block = b"".join([_encoded[line] for line in kept])
    if b"trailer" in keys and (line := announced_trailers(headers)):
        block += _encoded[line]
    return block


class _Starts(dict[bytes, tuple[bytes, bool]]):
    """Field name -> the beginning of its representation, and whether its values are harmless."""

    def __missing__(self, written: bytes) -> tuple[bytes, bool]:
        name = written.lower()
        harmless = name in HARMLESS
        # Without indexing, or never indexed, by any hop (RFC 7541, 6.2.2 and 6.2.3).
        start = _start(0 if harmless else _NEVER_INDEXED, _NAMES.get(name, 0), name)
        if len(written) <= LONGEST_REMEMBERED:
            if len(self) >= MOST_REMEMBERED:
                self.clear()
            self[written] = start, harmless
        return start, harmless


_starts: Final = _Starts()


class _Encoded(dict[bytes, bytes]):
    """Field line -> its representation in a header block."""

    def __missing__(self, line: bytes) -> bytes:
        name, _, value = line.partition(b": ")
        start, harmless = _starts[name]
        encoded = start + _length(value) + value
        if harmless and len(line) <= LONGEST_REMEMBERED:
            if len(self) >= MOST_REMEMBERED:
                self.clear()
            self[line] = encoded
        return encoded


_encoded: Final = _Encoded()


def _start(kind: int, place: int, name: bytes) -> bytes:
    """Return the beginning of a field with a literal value: its name, if possible as an index."""
    start = _integer(kind, 4, place)
    return start if place else start + _length(name) + name


def _length(text: bytes) -> bytes:
    size = len(text)
    return _SHORT[size] if size < len(_SHORT) else _integer(0, 7, size)


def _literal(kind: int, place: int, value: bytes) -> bytes:
    return _start(kind, place, b"") + _length(value) + value


def _method(method: str) -> bytes:
    return _METHODS.get(method) or _literal(0, _METHOD_NAME, method.encode("ascii"))


@lru_cache(maxsize=1024)
def _origin(scheme: str, authority: bytes) -> bytes:
    return _SCHEMES[scheme] + _literal(0, _AUTHORITY_NAME, authority)


def _path(target: str) -> bytes:
    # (There are tokens in queries and paths.)
    return _literal(_NEVER_INDEXED, _PATH_NAME, target.encode("latin-1"))


@lru_cache(maxsize=1024)
def _status(status: int) -> bytes:
    return _literal(0, _STATUS_NAME, b"%d" % status)


@lru_cache(maxsize=4096)
def _content_length(length: int) -> bytes:
    return _literal(0, _NAMES[b"content-length"], b"%d" % length)


def _integer(first: int, bits: int, value: int) -> bytes:
    """Return an integer with a prefix of this many bits (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    out = [first | most]
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))
