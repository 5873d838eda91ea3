"""What a request for a directory is answered with: its slash, or a list of what it contains."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote

from pingap import Headers, Request, RequestContext, Response, field
from pingap_static.listing import Listing, wish_of
from pingap_static.lookup import Folder, Lookup
from pingap_static.page import POLICY, as_html, as_json, prefers_json

_HTML: Final = Headers(
    {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept",
    }
)
_JSON: Final = Headers(
    [field("Content-Type", "application/json; charset=utf-8"), field("Vary", "Accept")]
)
_AS_IT_IS: Final = "".join(map(chr, range(0x21, 0x7F)))  # of a target: a character for each byte


class Folders:
    """Answers requests for directories.

    :param lookup: how files are found.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def answer(self, request: Request, ctx: RequestContext, folder: Folder) -> Response:
        """Return the response, in a thread.

        :raises OSError: the directory cannot be read.
        """
        if folder.file is None:
            return with_slash(request, ctx)
        listing = Listing(folder.file, lambda entry: self._is_shown(folder, entry))
        wish = wish_of(request)
        if prefers_json(request.header("accept") or ""):
            return Response(200, as_json(listing.sorted(wish)), _JSON)
        page, is_root = listing.page(wish), not folder.names
        return Response(
            200, as_html(request.path, page, len(listing), wish, is_root=is_root), _HTML
        )

    def _is_shown(self, folder: Folder, entry: os.DirEntry[str]) -> bool:
        """Return whether a client could have what is shown."""
        if entry.name.startswith(".") and not self._lookup.dot_files:
            return False
        if self._lookup.follow or not entry.is_symlink():
            return True
        try:
            self._lookup.open((*folder.names, os.fsencode(entry.name)))
        except OSError:
            return False
        return True


def with_slash(request: Request, ctx: RequestContext) -> Response:
    """Redirect to the directory, so that relative links on its page lead into it.

    The path is the one that the client sent, because a plugin may have rewritten it.
    """
    target = quote(ctx.original.target, _AS_IT_IS, "latin-1")
    path, _, query = target.partition("?")
    location = "/" + path.lstrip("/\\") + "/"  # two slashes would begin a host
    return Response.redirect(f"{location}?{query}" if query else location, 301)
