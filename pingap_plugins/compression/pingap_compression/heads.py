"""Header fields of responses that are compressed or decompressed. Nothing here does IO."""

from __future__ import annotations

import re
from typing import Final

from pingap import Headers, field

_VARY: Final = field("Vary", "Accept-Encoding")
_CODINGS: Final = {one: field("Content-Encoding", one) for one in ("gzip", "br", "zstd")}
_OF_OTHER_BYTES: Final = (
    b"content-length",
    b"content-md5",
    b"digest",  # RFC 3230: of the representation as it is coded
    b"content-digest",  # RFC 9530, as the next
    b"repr-digest",
)
_ENTITY_TAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def is_coded(headers: Headers) -> bool:
    """Return whether a content coding was applied (RFC 9110, 8.4)."""
    value = headers.find(b"content-encoding")
    return value is not None and value.strip().lower() not in (b"", b"identity")


def forbids_change(headers: Headers) -> bool:
    """Return whether ``Cache-Control: no-transform`` forbids to change the body (RFC 9111, 5.2)."""
    value = headers.find(b"cache-control")
    return value is not None and b"no-transform" in [
        one.strip(b" \t").lower() for one in value.split(b",")
    ]


def vary_by_coding(headers: Headers) -> None:
    """Say that the response depends on ``Accept-Encoding``, unless that is said already."""
    value = headers.find(b"vary")
    if value is None:
        headers.append(_VARY)
        return
    names = [one.strip(b" \t") for one in value.split(b",")]
    if b"*" in names or b"accept-encoding" in [name.lower() for name in names]:
        return
    merged = ", ".join(name.decode("latin-1") for name in names if name)
    headers.set("Vary", f"{merged}, Accept-Encoding" if merged else "Accept-Encoding")


def weaken_etag(headers: Headers) -> None:
    """Make a strong entity tag weak: it was that of other bytes (RFC 9110, 8.8.1)."""
    tag = headers.get("etag")
    if tag is not None and tag.startswith('"'):
        headers.set("ETag", f"W/{tag}")


def weaken_etag_of_304(headers: Headers, if_none_match: str | None) -> None:
    """Do the same for a response that says 304, unless the client has the strong tag.

    Then it has what is not coded. Otherwise it, or a cache in front of the upstream, has the weak
    tag, and looks for that.
    """
    tag = headers.get("etag")
    if tag is None or tag not in _strong_tags(if_none_match or ""):
        weaken_etag(headers)


def _strong_tags(text: str) -> set[str]:
    return {match[0] for match in _ENTITY_TAG.finditer(text) if match[1] is None}


def drop_digests(fields: Headers) -> None:
    """Drop what was computed of other bytes, from a head or from trailers."""
    for key in _OF_OTHER_BYTES:
        fields.discard(key)


def become_coded(headers: Headers, coding: str) -> None:
    """Change the head of a response whose body gets a coding."""
    headers.replace(_CODINGS[coding])
    _become_other(headers)


def become_plain(headers: Headers) -> None:
    """Change the head of a response whose coding is taken away."""
    headers.discard(b"content-encoding")
    _become_other(headers)


def _become_other(headers: Headers) -> None:
    drop_digests(headers)
    headers.discard(b"accept-ranges")
    weaken_etag(headers)
