"""The plugin behind the location key ``internal_redirect``: upstreams choose what an internal location answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from pingap import (
    ContextKey,
    Field,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    hookimpl,
)

_PRIVATE: Final = (
    *(b"x-pingap-redirect", b"x-accel-redirect", b"x-accel-buffering", b"x-accel-charset"),
    *(b"x-accel-expires", b"x-accel-limit-rate"),
)
"""Fields of upstreams that are not for clients."""
_OF_CONTENT: Final = (b"content-type", b"content-disposition", b"accept-ranges")
"""What the upstream knows better about a file, as in nginx."""
_OF_CACHES: Final = (b"cache-control", b"expires")
_COOKIE: Final = b"set-cookie"
_KEPT: Final = (*_OF_CONTENT, *_OF_CACHES, _COOKIE)


def _check_names(names: list[str]) -> list[str]:
    if not names:
        raise ValueError("found an empty list, expected at least one header")
    return names


class InternalRedirect(Plugin):
    """Replaces responses of upstreams that have a certain header by those of an internal location."""

    category = "internal_redirect"
    contract = "1.1"

    class Settings(PluginSettings):
        """The key."""

        internal_redirect: Annotated[
            list[Literal["X-Pingap-Redirect", "X-Accel-Redirect"]], AfterValidator(_check_names)
        ]
        """Headers with which upstreams name the path of an internal location, percent-encoded: ``X-Pingap-Redirect``,
        ``X-Accel-Redirect``. Neither of them is ever sent to a client of the location."""

    def __init__(self, settings: Settings) -> None:
        self._keys = [name.lower().encode("ascii") for name in settings.internal_redirect]
        self._kept = ContextKey[list[Field]]("kept by internal_redirect", [])

    @hookimpl
    def upstream_response(self, response: Response, ctx: RequestContext) -> Response | None:
        """Redirect, if the upstream asks for it."""
        headers = response.headers
        found = [value for key in self._keys if (value := headers.find(key)) is not None]
        for key in _PRIVATE:
            headers.discard(key)
        if not found:
            return None
        ctx[self._kept] = [one for one in headers.fields if one[0] in _KEPT]
        return Response.internal_redirect(found[0].decode("latin-1"))

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Add what the upstream has said about the response of the internal location."""
        headers = response.headers
        for key in _PRIVATE:  # that location may have an upstream, too
            headers.discard(key)
        kept = ctx[self._kept]
        if not kept:
            return
        replaced = _replaced(response)
        for key in {key for key, _ in kept if key in replaced}:
            headers.discard(key)
        for prepared in kept:
            if prepared[0] in replaced or prepared[0] == _COOKIE:
                headers.append(prepared)

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Return the key."""
        return {"internal_redirect": cls}


def _replaced(response: Response) -> tuple[bytes, ...]:
    """Return the fields that those of the upstream replace: none in errors, which it did not foresee."""
    if response.status == 304:
        return _OF_CACHES
    if response.status not in (200, 206):
        return ()
    content_type = response.headers.find(b"content-type") or b""
    if content_type.startswith(b"multipart/byteranges"):
        return (b"content-disposition", b"accept-ranges", *_OF_CACHES)
    return (*_OF_CONTENT, *_OF_CACHES)
