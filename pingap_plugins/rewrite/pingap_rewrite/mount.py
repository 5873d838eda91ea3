"""Mounts an application below a prefix that it does not know."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import AfterValidator

from pingap import (
    ContextKey,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)
from pingap_rewrite.mount_fields import Prefix, authority, check_prefix

_FORWARDED: Final = "X-Forwarded-Prefix"
_URLS: Final = frozenset((b"location", b"content-location", b"refresh", b"link", b"set-cookie"))
_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))


class Mount(Plugin):
    """Removes a prefix from the path of requests, and puts it in front of the URLs in header fields of responses.

    The application behind it works as if it were at the root of its host.
    """

    category = "mount"
    contract = "1.1"
    answers = "public"  # a redirect to the prefix
    adds_headers = (_FORWARDED,)
    before = ("cache", "directory")

    class Settings(PluginSettings):
        """Settings of ``mount``."""

        prefix: Annotated[str, AfterValidator(check_prefix)]
        """The prefix, such as `/app`. Requests with other paths pass unchanged."""
        add_slash: bool = True
        """Whether `GET` and `HEAD` requests for the prefix alone are redirected to the prefix with a slash: otherwise,
        browsers resolve relative links of the page one level too high."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = Prefix(settings.prefix)
        self._add_slash = settings.add_slash
        self._header = field(_FORWARDED, self._prefix.sent)
        self._is_mounted = ContextKey[bool]("the prefix was removed", False)

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Remove the prefix."""
        prefix = self._prefix
        if not all(map(prefix.covers, (request.path, *request.other_paths))):
            return None
        if self._add_slash and request.path == prefix.text and _is_page(request):
            return _redirect(f"{prefix.sent}/", request.query)
        raw = prefix.strip_raw(request.target.partition("?")[0])
        if raw is not None:
            request.rewrite(prefix.strip(request.path), raw_path=raw)
        else:
            # Of several readings of a path, the last one has kept its escapes ("allow_in_paths").
            request.rewrite(prefix.strip((request.path, *request.other_paths)[-1]))
        request.headers.replace(self._header)
        ctx[self._is_mounted] = True
        return None

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Correct the URLs in the header fields."""
        headers = response.headers
        if not ctx[self._is_mounted] or _URLS.isdisjoint(headers.keys):
            return
        prefix, hosts = self._prefix, _hosts(request, ctx)
        changes: tuple[tuple[str, Callable[[str], str]], ...] = (
            ("Location", lambda value: prefix.of_url(value, hosts)),
            ("Content-Location", lambda value: prefix.of_url(value, hosts)),
            ("Refresh", lambda value: prefix.of_refresh(value, hosts)),
            ("Link", lambda value: prefix.of_link(value, hosts)),
            ("Set-Cookie", prefix.of_cookie),
        )
        for name, change in changes:
            values = headers.get_all(name)
            changed = list(map(change, values))
            if changed != list(values):
                headers.remove(name)
                for value in changed:
                    headers.add(name, value)


def _is_page(request: Request) -> bool:
    return request.method in ("GET", "HEAD") and not request.upgrade


def _redirect(path: str, query: str) -> Response:
    """Return a permanent redirect.

    :param query: in the form of ``Request.query``.
    """
    location = f"{path}?{quote(query, safe=_ASCII, encoding='latin-1')}" if query else path
    return Response.redirect(location, 301)


def _hosts(request: Request, ctx: RequestContext) -> Collection[str]:
    """Return the hosts under which the client knows the application."""
    scheme = ctx.scheme(request)
    sent = authority(request.header("host") or "", scheme)
    told = authority(f"{ctx.host(request)}:{ctx.told(request).port}".removesuffix(":"), scheme)
    return {sent, told} - {""}
