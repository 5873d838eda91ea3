"""Entity tags of the variants that this worker has stored lately (RFC 9111, 4.3.1).

A request for a variant that is not stored may turn out to get one that is: the origin is told which
there are, and need not send it again.
"""

from __future__ import annotations

from typing import Final

from pingap_cache.http.vary import Variants

MOST_URLS: Final = 2000
"""URLs that are remembered."""
MOST: Final = 8
"""Variants of each."""
LONGEST: Final = 128
"""Bytes of an entity tag; longer ones are not offered."""


class Offers:
    """Remembers under which key the variant with an entity tag is stored."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, dict[bytes, bytes]]] = {}

    def note(self, primary: bytes, marker: Variants, etag: bytes, variant: bytes) -> None:
        """Remember a variant, if its tag is strong: others may have the same weak one.

        :param primary: the key of its URL, with what else makes a difference.
        :param variant: its own key.
        """
        if len(etag) > LONGEST or b"," in etag or etag[:1] != b'"' or not etag.endswith(b'"'):
            return
        generation, known = self._known.pop(primary, (b"", {}))
        if generation != marker.generation:  # (what was purged is not used again)
            known = {}
        known.pop(etag, None)
        known[etag] = variant
        if len(known) > MOST:
            del known[next(iter(known))]
        if len(self._known) >= MOST_URLS:
            del self._known[next(iter(self._known))]
        self._known[primary] = marker.generation, known

    def of(self, primary: bytes, marker: Variants) -> dict[bytes, bytes]:
        """Return the keys of variants by entity tag, the newest last."""
        generation, known = self._known.get(primary, (b"", {}))
        return known.copy() if known and generation == marker.generation else {}
