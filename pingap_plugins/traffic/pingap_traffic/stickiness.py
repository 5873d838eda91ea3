"""The bucket of a client: random, or the same for each of its requests."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pingap import (
    ContextKey,
    Cookie,
    Duration,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    Secret,
    SignedCookie,
)
from pingap_traffic.buckets import BUCKETS, bucket_of, random_bucket

_BUCKET_BYTES: Final = 2
_ONLY_HTTPS: Final = ("__host-", "__secure-")


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError("expected 1s at least")
    return seconds


class StickySettings(PluginSettings):
    """The keys about clients that keep their side."""

    sticky_cookie: str | None = None
    """A cookie of the application: clients with the same value get the same side."""
    sticky_header: str | None = None
    """A request header instead of a cookie."""
    own_cookie: str | None = None
    """Name of a cookie that pingap itself gives to each client, signed with ``keys``."""
    keys: list[Secret] = Field(default_factory=list)
    """Keys that sign ``own_cookie``, of at least 32 bytes: the first one signs, all are accepted."""
    cookie_max_age: Annotated[Duration, AfterValidator(_at_least_a_second)] = 30 * 86400.0
    """How long ``own_cookie`` is valid."""

    def sticky_sources(self) -> list[str]:
        """Return the keys that say how to recognise clients."""
        names = ("sticky_cookie", "sticky_header", "own_cookie")
        return [name for name in names if getattr(self, name)]

    def sticky_problem(self) -> str | None:
        """Return what is wrong with these keys."""
        sources = self.sticky_sources()
        if len(sources) > 1:
            return f"{sources[0]} and {sources[1]} cannot be combined: remove one of them"
        if self.own_cookie and not self.keys:
            return (
                "keys is missing: own_cookie is signed, with the output of `openssl rand -hex 32`"
            )
        given = self.model_fields_set & {"keys", "cookie_max_age"}
        if given and not self.own_cookie:
            return f"{', '.join(sorted(given))} has no effect without own_cookie"
        return None


class ClientBuckets:
    """Finds the buckets of requests.

    :param settings: how to recognise clients; if they do not say, buckets are random.
    :raises ValueError: a name or a key is invalid.
    """

    def __init__(self, settings: StickySettings) -> None:
        self._cookie = settings.sticky_cookie
        self._header = settings.sticky_header
        self._own = _OwnCookie(settings) if settings.own_cookie else None
        self.gives_cookie = self._own is not None
        self.is_sticky = bool(settings.sticky_sources())

    def value(self, request: Request) -> str | None:
        """Return the value that identifies a client; None if the client did not send it."""
        if self._cookie:
            return request.cookie(self._cookie)
        return request.header(self._header) if self._header else None

    def bucket(self, request: Request, ctx: RequestContext) -> int | None:
        """Return the bucket of a request; None if the client did not send the value that identifies it."""
        if self._own is not None:
            return self._own.bucket(request, ctx)
        if not self.is_sticky:
            return random_bucket()
        value = self.value(request)
        return None if value is None else bucket_of(value)

    def give_cookie(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Let a client that has no cookie yet keep its bucket."""
        if self._own is not None:
            self._own.give(request, response, ctx)


class _OwnCookie:
    """A cookie with a bucket, which clients cannot choose.

    Browsers refuse a ``Secure`` cookie over plain HTTP, so there is one for each scheme.
    """

    def __init__(self, settings: StickySettings) -> None:
        name, max_age = settings.own_cookie or "", settings.cookie_max_age
        self._secure = SignedCookie(Cookie(name, max_age=max_age), settings.keys)
        if name.lower().startswith(_ONLY_HTTPS):
            self._plain = self._secure
        else:
            plain = Cookie(name, max_age=max_age, secure=False)
            self._plain = SignedCookie(plain, settings.keys)
        # Of one request, whose response gives it to the client.
        self._new = ContextKey[int | None]("new bucket", None)

    def bucket(self, request: Request, ctx: RequestContext) -> int:
        value = self._secure.read(request)
        if value is not None and len(value) == _BUCKET_BYTES:
            return int.from_bytes(value, "big") % BUCKETS
        bucket = ctx[self._new] = random_bucket()
        return bucket

    def give(self, request: Request, response: Response, ctx: RequestContext) -> None:
        if (bucket := ctx[self._new]) is None:
            return
        cookie = self._secure if ctx.scheme(request) == "https" else self._plain
        response.headers.append(cookie.set(bucket.to_bytes(_BUCKET_BYTES, "big")))
