"""Header fields of responses with images, and of requests for them. Nothing here does IO."""

from __future__ import annotations

import re
from typing import Final

from pingap import Headers, Response, field

_VARY: Final = field("Vary", "Accept")
_OF_OTHER_BYTES: Final = (
    b"accept-ranges",
    b"content-length",
    b"content-md5",
    b"digest",  # RFC 3230
    b"content-digest",  # RFC 9530, as the next
    b"repr-digest",
)
_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
ORIGINALS: Final = {"image/jpeg": "jpeg", "image/png": "png"}
"""Media types of images that are changed."""


def media_type(headers: Headers) -> str:
    """Return the type of the content, in lower case and without parameters."""
    return (headers.get("content-type") or "").partition(";")[0].strip(" \t").lower()


def forbids_change(headers: Headers) -> bool:
    """Return whether ``Cache-Control: no-transform`` forbids to change the content (RFC 9111, 5.2)."""
    value = headers.find(b"cache-control")
    return value is not None and b"no-transform" in [
        one.strip(b" \t").lower() for one in value.split(b",")
    ]


def is_changeable(response: Response) -> bool:
    """Return whether a response is an image that may be changed: whole, not coded, and not a download."""
    headers = response.headers
    if response.status != 200 or media_type(headers) not in ORIGINALS or forbids_change(headers):
        return False
    coding = (headers.find(b"content-encoding") or b"identity").strip().lower()
    saved = (headers.find(b"content-disposition") or b"").lstrip(b" \t").lower()
    return coding in (b"", b"identity") and not saved.startswith(b"attachment")


def vary_by_accept(headers: Headers) -> None:
    """Say that the response depends on ``Accept``, unless that is said already."""
    value = headers.find(b"vary")
    if value is None:
        headers.append(_VARY)
        return
    names = [one.strip(b" \t") for one in value.split(b",")]
    if b"*" not in names and b"accept" not in [name.lower() for name in names]:
        merged = ", ".join(name.decode("latin-1") for name in (*names, b"Accept") if name)
        headers.set("Vary", merged)


def become_other(headers: Headers, kind: str, fingerprint: str) -> None:
    """Change the head of a response whose image was converted.

    :param kind: its new type.
    :param fingerprint: of the conversion.
    """
    headers.set("Content-Type", f"image/{kind}")
    drop_facts(headers)
    if (tag := headers.get("etag")) is not None and (made := own_tag(tag, fingerprint)):
        headers.set("ETag", made)
    else:
        headers.discard(b"etag")


def drop_facts(headers: Headers) -> None:
    """Drop fields that describe other bytes."""
    for key in _OF_OTHER_BYTES:
        headers.discard(key)


def own_tag(tag: str, fingerprint: str) -> str:
    """Return the tag of the image that is made of the one with this tag; empty for a malformed one.

    It is weak, because another version of an encoder may make other bytes (RFC 9110, 8.8.1).
    """
    match = _TAG.fullmatch(tag)
    if match is None:
        return ""
    return f'W/"{match[2]}-{"w" if match[1] else "s"}{fingerprint}"'


def is_own(tag: str | None, fingerprint: str) -> bool:
    """Return whether a tag is one that ``own_tag`` made with this fingerprint."""
    return tag is not None and bool(_original(tag, fingerprint))


def original_tags(if_none_match: str, fingerprint: str) -> tuple[str, dict[str, str]]:
    """Put the tags of originals into ``If-None-Match`` where those of images stand that we made of them.

    :returns: the value for the upstream, and our tags by those of the originals.
    """
    own: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if tag := _original(match[0], fingerprint):
            own[tag] = match[0]
            return tag
        return match[0]

    return _TAG.sub(replace, if_none_match), own


def _original(tag: str, fingerprint: str) -> str:
    """Return the tag that one of ours was made of; empty if it is not ours."""
    for mark, weak in ((f'-s{fingerprint}"', ""), (f'-w{fingerprint}"', "W/")):
        if tag.startswith('W/"') and tag.endswith(mark):
            return f'{weak}"{tag[3 : -len(mark)]}"'
    return ""
