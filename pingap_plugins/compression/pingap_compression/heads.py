"""Header fields of responses that are compressed or decompressed. Nothing here does IO."""

from __future__ import annotations

from typing import Final

from pingap_content.heads import become_other

from pingap import Headers, field

_VARY: Final = field("Vary", "Accept-Encoding")
_CODINGS: Final = {one: field("Content-Encoding", one) for one in ("gzip", "br", "zstd")}


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


def become_coded(headers: Headers, coding: str) -> None:
    """Change the head of a response whose body gets a coding."""
    headers.replace(_CODINGS[coding])
    become_other(headers)


def become_plain(headers: Headers) -> None:
    """Change the head of a response whose coding is taken away."""
    headers.discard(b"content-encoding")
    become_other(headers)
