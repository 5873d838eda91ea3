"""What a stored head says, decoded once for as long as the entry is in memory."""

from __future__ import annotations

from pingap import Response
from pingap_cache.http.stored import DecodeError, StoredResponse
from pingap_cache.http.vary import MarkerError, Variants, is_marker
from pingap_cache.stores.interface import Entry


class View:
    """A decoded head: of a response, or of a marker of variants.

    :param stored: the response, or None.
    :param marker: the marker, or None.
    """

    __slots__ = ("age", "hit", "marker", "stored")

    def __init__(self, stored: StoredResponse | None, marker: Variants | None) -> None:
        self.stored = stored
        self.marker = marker
        self.age = -1
        self.hit: Response | None = None
        """The answer to a plain request, at this age of the response."""


def view_of(entry: Entry) -> View | None:
    """Return what an entry is; None if its head cannot be read, so that there is none."""
    view = entry.view
    if view is None:
        view = entry.view = _decode(entry.head)
    return view if isinstance(view, View) else None


def _decode(head: bytes) -> View | str:
    try:
        if is_marker(head):
            return View(None, Variants.decode(head))
        return View(StoredResponse.decode(head), None)
    except (DecodeError, MarkerError) as error:  # of another version
        return str(error)
