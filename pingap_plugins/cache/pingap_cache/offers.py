"""Entity tags of the variants that this worker has stored lately (RFC 9111, 4.3.1).

A request for a variant that is not stored may turn out to get one that is: the origin is told which
there are, and need not send it again. Only those count whose request accepted the same codings: many
origins compare tags before they compress, and would have everybody get what is not compressed.
"""

from __future__ import annotations

from typing import Final

from pingap import Headers
from pingap_cache.http.vary import Variants, normalised

MOST_URLS: Final = 2000
"""URLs that are remembered."""
MOST: Final = 8
"""Variants of each."""
LONGEST: Final = 128
"""Bytes of an entity tag; longer ones are not offered."""
_CODINGS: Final = b"accept-encoding"


class Offers:
    """Remembers under which key the variant with an entity tag is stored."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, dict[bytes, bytes] | None]] = {}

    def note(
        self, url: bytes, marker: Variants, headers: Headers, etag: bytes, variant: bytes
    ) -> None:
        """Remember a variant, if its tag is strong: others may have the same weak one.

        :param url: the key of its URL, with what else makes a difference.
        :param headers: of the request.
        :param variant: its own key.
        """
        if len(etag) > LONGEST or b"," in etag or etag[:1] != b'"' or not etag.endswith(b'"'):
            return
        key = _key(url, marker, headers)
        generation, known = self._known.pop(key, (b"", {}))
        if generation != marker.generation:  # (what was purged is not used again)
            known = {}
        if known is not None:
            known.pop(etag, None)
            known[etag] = variant
            if len(known) > MOST:
                del known[next(iter(known))]
        self._keep(key, marker, known)

    def of(self, url: bytes, marker: Variants, headers: Headers) -> dict[bytes, bytes]:
        """Return the keys of variants by entity tag, the newest last."""
        generation, known = self._known.get(_key(url, marker, headers), (b"", {}))
        return known.copy() if known and generation == marker.generation else {}

    def give_up(self, url: bytes, marker: Variants, headers: Headers) -> None:
        """Offer nothing of a URL any more: the origin's 304 did not say what it is about."""
        key = _key(url, marker, headers)
        self._known.pop(key, None)
        self._keep(key, marker, None)

    def _keep(self, key: bytes, marker: Variants, known: dict[bytes, bytes] | None) -> None:
        if len(self._known) >= MOST_URLS:
            del self._known[next(iter(self._known))]
        self._known[key] = marker.generation, known


def _key(url: bytes, marker: Variants, headers: Headers) -> bytes:
    if _CODINGS not in marker.names:
        return url
    return b"%b\0%b" % (url, normalised(_CODINGS, headers) or b"")
