"""Queries and forms: ``application/x-www-form-urlencoded`` (WHATWG URL, section 5.1).

``multipart/form-data``, which browsers use to upload files, is not supported.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from pingap.http.errors import HTTPError
from pingap.http.multi_dict import MultiDict

MOST_PARAMETERS: Final = 1000
"""Maximum number of parameters of a query or form; empty ones, as between two ``&``, count as well."""
_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


class InvalidForm(HTTPError, ValueError):
    """A query or form that is not parsed. Unless a plugin catches it, the client gets its status."""


def parse_query(query: str) -> MultiDict:
    """Return the parameters of a query, decoded.

    :param query: as sent, with a character for each byte (Latin-1).
    :raises HTTPError: 400, more than 1000 parameters. It is a ``ValueError``, too.
    """
    return _parameters(query.encode("latin-1", "replace"))


def parse_form(body: bytes, content_type: str | None) -> MultiDict:
    """Return the fields of a submitted form, decoded.

    Escapes and ``+`` are decoded. A ``charset`` is ignored: forms are UTF-8, and bytes that are not
    valid become U+FFFD. Forms with files (``multipart/form-data``) are not supported.

    :param body: the whole body, as in :attr:`Request.body`.
    :param content_type: the request's ``Content-Type``; None if it has none.
    :raises HTTPError: 415, another media type than ``application/x-www-form-urlencoded``; 400, more
        than 1000 fields. Both are a ``ValueError``, too.
    """
    media_type = (content_type or "").partition(";")[0].strip(" \t")
    if media_type.lower() != _MEDIA_TYPE:
        raise InvalidForm(415, f"Expected a form of the type {_MEDIA_TYPE}")
    return _parameters(body)


def _parameters(data: bytes) -> MultiDict:
    if data.count(b"&") >= MOST_PARAMETERS:
        raise InvalidForm(400, f"More than {MOST_PARAMETERS} parameters")
    pairs = (piece.partition(b"=") for piece in data.split(b"&") if piece)
    return MultiDict((form_decoded(name), form_decoded(value)) for name, _, value in pairs)


def form_decoded(data: bytes) -> str:
    """Decode a name or value: escapes and ``+``; invalid UTF-8 becomes U+FFFD."""
    return unquote_to_bytes(data.replace(b"+", b" ")).decode("utf-8", "replace")
