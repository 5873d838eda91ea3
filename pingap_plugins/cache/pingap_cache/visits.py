"""What the cache knows of one request, from its head to its last byte."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pingap import Headers
from pingap_cache.fills import Fill
from pingap_cache.http.lookup import Lookup
from pingap_cache.http.status import Forward
from pingap_cache.http.stored import StoredResponse
from pingap_cache.http.storing import Storing
from pingap_cache.http.vary import Variants
from pingap_cache.stores.interface import Entry


@dataclass(slots=True, eq=False)
class Visit:
    """A request that the cache deals with.

    :param url: what it is for, as in the key.
    :param primary: the key of the URL.
    :param extras: what makes a difference besides the URL, hashed; empty if nothing does.
    :param headers: those of the client.
    :param wish: what the request wants of the cache.
    """

    url: str
    primary: bytes
    extras: bytes
    headers: Headers
    wish: Lookup
    key: bytes = b""
    """Where the response for this request is stored, as far as it is known."""
    marker: Variants | None = None
    """What is known of variants of the URL."""
    entry: Entry | None = None
    """What is stored for this request, fresh or not."""
    stored: StoredResponse | None = None
    began: float = field(default_factory=time.monotonic)
    fill: Fill | None = None
    """What others wait for, if this request is the one that fetches."""
    release: Callable[[Fill], None] | None = None
    """Ends ``fill`` if nothing else does."""
    validates: bool = False
    """The origin is asked whether ``stored`` still holds."""
    offers: dict[bytes, bytes] | None = None
    """Keys of other variants by the entity tags that the origin was told."""
    forward: Forward = "uri-miss"
    status: str = ""
    """``x-cache-status``."""
    reason: str = ""
    """Why it was done, for people to read."""
    storing: Storing | None = None
    """What is being stored."""
    new_marker: bool = False
    """``marker`` is to be stored as well."""
    variant: bytes = b""
    """The key under which it is being stored."""

    def __del__(self) -> None:
        # The request may end without that any phase tells: the client left, another plugin answered
        # or failed. Those who wait would only find out when their time is over.
        if self.fill is not None and self.release is not None:
            self.release(self.fill)
