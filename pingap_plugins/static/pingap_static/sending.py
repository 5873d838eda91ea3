"""Responses with files: whole, in parts, or without a body."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from pingap import (
    ByteRange,
    FileBody,
    HTTPError,
    Request,
    Response,
    content_range,
    range_heads,
)
from pingap_static.answering import CONDITIONS, WHOLE, Verdict, verdict
from pingap_static.files import OpenFile, Representation

FAILURE: Final = "File access error"
"""What clients are told if a file cannot be read."""
# About the content, which a 304 does not carry (RFC 9110, 15.4.5).
_NOT_IN_304: Final = (b"content-type", b"content-encoding", b"content-disposition", b"accept-ranges")  # fmt: skip
# Of the file, not of the error that it is sent for.
_NOT_IN_ERRORS: Final = (b"etag", b"last-modified", b"accept-ranges", b"cache-control", b"content-disposition")  # fmt: skip


class Parts:
    """The body of a response with several ranges of a file (RFC 9110, 14.6).

    :param file: it is closed with this body.
    :param heads: what is sent before each part, and at the end.
    :param name: for logs.
    """

    def __init__(
        self, file: OpenFile, parts: Sequence[ByteRange], heads: Sequence[bytes], name: str
    ) -> None:
        self._file = file
        self._name = name
        self._parts = parts
        self._heads = heads
        self.content_length = length_of(parts, heads)
        """Bytes that are sent."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the parts, each read in pieces by threads."""
        try:
            for head, (start, stop) in zip(self._heads, self._parts, strict=False):
                yield head
                async for piece in FileBody(
                    self._file.copy(), start, stop - start, name=self._name
                ):
                    yield piece
            yield self._heads[-1]
        finally:
            self._file.close()


def length_of(parts: Sequence[ByteRange], heads: Sequence[bytes]) -> int:
    """Return the bytes of several parts."""
    return sum(stop - start for start, stop in parts) + sum(map(len, heads))


def answer(request: Request, file: Representation) -> Response:
    """Return the response with a file, as the client wants it.

    :raises HTTPError: 412 or 416.
    """
    if CONDITIONS.isdisjoint(request.headers.keys):
        return whole(file)
    return _answer(request, file)


def _answer(request: Request, file: Representation) -> Response:
    decided = verdict(request.method, request.headers, file, time.time())
    if decided is WHOLE:
        return whole(file)
    if decided.status == 304:
        headers = file.headers.copy()
        for key in _NOT_IN_304:
            headers.discard(key)
        return Response(304, b"", headers)
    if decided.status == 206:
        return _partial(file, decided)
    if decided.status == 416:
        refused = {"Content-Range": f"bytes */{file.size}"}
        raise HTTPError(416, "The file has no such bytes", headers=refused)
    raise HTTPError(412, "The file has changed")


def whole(file: Representation) -> Response:
    """Return the response with all of a file."""
    if file.content is not None:
        if file.whole is None:
            file.whole = Response(200, file.content, file.headers)
        return file.whole.copy()
    return Response(200, _body(file, 0, file.size), file.headers)


def error_page(file: Representation, error: HTTPError) -> Response:
    """Return the response with a file as the page of an error."""
    headers = file.headers.copy()
    for key in _NOT_IN_ERRORS:
        headers.discard(key)
    for prepared in error.fields:
        headers.replace(prepared)
    if file.content is not None:
        return Response(error.status, file.content, headers)
    return Response(error.status, _body(file, 0, file.size), headers)


def _partial(file: Representation, decided: Verdict) -> Response:
    parts = decided.parts
    headers = file.headers.copy()
    if len(parts) == 1:
        start, stop = parts[0]
        headers.replace((b"content-range", b"Content-Range: " + content_range(parts[0], file.size)))
        if file.content is not None:
            return Response(206, file.content[start:stop], headers)
        return Response(206, _body(file, start, stop - start), headers)
    boundary = secrets.token_hex(16).encode()
    heads = range_heads(list(parts), file.size, headers.find(b"content-type"), boundary)
    kind = b"Content-Type: multipart/byteranges; boundary=" + boundary
    headers.replace((b"content-type", kind))
    return Response(206, _several(file, parts, heads), headers)


def _several(
    file: Representation, parts: Sequence[ByteRange], heads: Sequence[bytes]
) -> bytes | Parts:
    if (content := file.content) is not None:
        pieces = [
            head + content[start:stop] for head, (start, stop) in zip(heads, parts, strict=False)
        ]
        return b"".join([*pieces, heads[-1]])
    assert file.file is not None
    return Parts(OpenFile(file.file.take()), parts, heads, _name(file))


def _name(file: Representation) -> str:
    return repr(os.fsdecode(file.path))


def _body(file: Representation, start: int, length: int) -> FileBody:
    """Return a part of an open file, of which the response becomes the owner.

    :raises HTTPError: 500, it became shorter in the last microseconds.
    """
    assert file.file is not None
    try:
        body = FileBody(file.file.take(), start, length, name=_name(file))
    except ValueError:
        raise HTTPError(500, FAILURE) from None
    if body.stat.st_mtime_ns != file.identity[3] and body.stat.st_size <= file.size:
        body.close()
        raise HTTPError(500, FAILURE)
    return body
