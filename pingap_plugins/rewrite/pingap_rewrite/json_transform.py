"""Change JSON in the bodies of requests and responses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import anyio
from pingap_content.decoders import DECODABLE, BombError, DecodeError, Limits, decoder
from pingap_content.encoders import encoder
from pingap_content.heads import become_other, drop_digests, is_coded, weaken_etag_of_304
from pingap_content.media_types import MediaTypes, check_type
from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import (
    AsyncBodyFilter,
    BodyFilter,
    ByteSize,
    ContextKey,
    Counter,
    Headers,
    HTTPError,
    Plugin,
    PluginSettings,
    Regex,
    Request,
    RequestContext,
    Response,
    ThreadedBodyFilter,
    hookimpl,
)
from pingap_rewrite.body import LEVELS
from pingap_rewrite.json_paths import JSONRule, expander, parse_json_rule
from pingap_rewrite.json_text import JSONError, transform
from pingap_rewrite.statuses import Statuses

log = logging.getLogger("pingap")

_MOST: Final = 64 * 1024 * 1024
_QUICK: Final = 16 * 1024
"""Bytes that are changed in the event loop; more take a thread."""
_NEVER: Final = frozenset((101, 204, 205, 206, 304, 416))
_RATIO: Final = 1_000_000
"""(``max_size`` is the limit.)"""


def _check_rule(text: str) -> str:
    parse_json_rule(text)
    return text


def _check_size(size: int) -> int:
    if not 1 <= size <= _MOST:
        raise ValueError(f"found {size}, expected 1 to 64MiB")
    return size


class _Failure(Exception):
    """A body that cannot be changed.

    :param status: for a client that sent it.
    """

    def __init__(self, reason: str, status: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


@dataclass(slots=True)
class _Planned:
    """A response that is changed, and how that ended.

    :param refuses: it is not sent if it cannot be changed.
    """

    response: Response
    coding: str
    refuses: bool
    seen: bool = False
    failure: _Failure | None = None

    def done(self, failure: _Failure | None = None) -> None:
        """Record the end.

        :raises HTTPError: 502, the response is not sent.
        """
        self.seen, self.failure = True, failure
        if failure is not None and self.refuses:
            raise HTTPError(502, "The response cannot be changed", error_type="JSONTransform")


class JSONTransform(Plugin):
    """Sets, removes and renames fields of JSON, in the bodies of requests and responses."""

    category = "json_transform"
    contract = "1.1"
    body = "rewrites"
    before = ("compression",)

    class Settings(PluginSettings):
        """Settings of ``json_transform``."""

        request: list[Annotated[str, AfterValidator(_check_rule)]] = SettingsField(default=[])
        """Rules for requests, in order: `set PATH VALUE`, `default PATH VALUE`, `remove PATH`, `rename PATH NAME`."""
        response: list[Annotated[str, AfterValidator(_check_rule)]] = SettingsField(default=[])
        """The same for responses."""
        path: Regex | None = None
        """Only bodies of requests whose path matches, and of their responses, are changed."""
        status_codes: str = ""
        """Only responses with these statuses are changed, separated by commas: `200, 404`, `5xx`."""
        types: list[Annotated[str, AfterValidator(check_type)]] = SettingsField(
            default=["application/json", "application/*+json"]
        )
        """Media types that are changed; `*` stands for anything in the second half, `*/*` for all."""
        max_size: Annotated[ByteSize, AfterValidator(_check_size)] = 1024 * 1024
        """Bytes that a body may have, also when it is decompressed."""
        on_failure: Literal["refuse", "pass"] = "refuse"
        """What happens to a body that cannot be changed: `refuse` answers with 400, 413 or 415, or with 502 for a
        response; `pass` lets it pass as it is, except for a request that is too large."""

    def __init__(self, settings: Settings) -> None:
        self._request_rules = [parse_json_rule(one) for one in settings.request]
        self._response_rules = [parse_json_rule(one) for one in settings.response]
        self._path = settings.path
        self._statuses = Statuses(settings.status_codes)
        self._types = MediaTypes(settings.types)
        self._limit = settings.max_size
        self._refuses = settings.on_failure == "refuse"
        self._body = ContextKey[bytes | None]("changed JSON of a request", None)
        self._planned = ContextKey[_Planned | None]("JSON of a response", None)
        self.changed = Counter(
            "pingap_json_changed", "Bodies to which rules were applied", ("direction",)
        )
        self.failed = Counter(
            "pingap_json_failed", "Bodies that could not be changed", ("direction", "reason")
        )

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Yield what has no effect."""
        if not self._request_rules and not self._response_rules:
            yield "category", "there are no rules", "set request or response, or remove the plugin"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Awaitable[None] | None:
        """Change the body before the request is sent.

        :raises HTTPError: 400, 413 or 415, it cannot be changed.
        """
        applies = self._request_rules and request.has_body and self._matches(request)
        if not applies or not self._takes(request.headers):
            return None
        return self._change_request(request, ctx)

    async def _change_request(self, request: Request, ctx: RequestContext) -> None:
        body = await ctx.read_body(self._limit)
        coding = request.header("content-encoding") or ""
        work = self._work(self._request_rules, request, ctx, coding)
        try:
            if len(body) > _QUICK or coding:
                changed = await anyio.to_thread.run_sync(work, body)
            else:
                changed = work(body)
        except _Failure as failure:
            self.failed.labels("request", failure.reason).inc()
            if self._refuses:
                raise HTTPError(failure.status, str(failure)) from None
            return
        self.changed.labels("request").inc()
        if changed != body:
            drop_digests(request.headers)
            ctx[self._body] = changed

    @hookimpl
    def request_body(self, ctx: RequestContext) -> BodyFilter | None:
        """Send the changed body instead of the one that was read."""
        changed = ctx[self._body]
        return None if changed is None else _Instead(changed)

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Decide whether the body is changed, and change the head."""
        if ctx.error is not None:
            return
        ctx[self._planned] = None
        headers, status = response.headers, response.status
        if not self._response_rules or status not in self._statuses or not self._matches(request):
            return
        if status == 304 and ("content-type" not in headers or self._takes(headers)):
            weaken_etag_of_304(headers, request.header("if-none-match"))
        if status in _NEVER or not self._takes(headers):
            return
        become_other(headers)
        ctx[self._planned] = _Planned(response, headers.get("content-encoding", ""), self._refuses)

    @hookimpl
    def response_body(
        self, request: Request, response: Response, ctx: RequestContext
    ) -> BodyFilter | AsyncBodyFilter | None:
        """Do what was decided."""
        planned = ctx[self._planned]
        if planned is None or planned.response is not response:
            return None
        work = self._work(self._response_rules, request, ctx, planned.coding)
        return _ChangingAnywhere(_Changing(work, self._limit, planned))

    @hookimpl
    def logging(self, request: Request, ctx: RequestContext) -> None:
        """Count what was done with the response."""
        planned = ctx[self._planned]
        if planned is None or not planned.seen:
            return
        if (failure := planned.failure) is None:
            self.changed.labels("response").inc()
            return
        self.failed.labels("response", failure.reason).inc()
        target = ctx.original.target.partition("?")[0][:200]
        log.warning("location %s: the response to %s: %s", ctx.location, target, failure)

    def _matches(self, request: Request) -> bool:
        return self._path is None or self._path.search(request.path) is not None

    def _takes(self, headers: Headers) -> bool:
        return headers.get("content-type", "application/octet-stream") in self._types

    def _work(
        self, rules: list[JSONRule], request: Request, ctx: RequestContext, coding: str
    ) -> Callable[[bytes], bytes]:
        """Return the function that changes a whole body.

        It raises ``_Failure``.
        """
        expand, limit = expander(request, ctx), self._limit
        coding = coding.strip().lower()
        coded = is_coded(Headers({"Content-Encoding": coding})) if coding else False

        def change(body: bytes) -> bytes:
            if not body:
                return body
            if coded and coding not in DECODABLE:
                raise _Failure("coding", 415, "The content coding of the body is not supported")
            plain = _decoded(body, DECODABLE[coding], limit) if coded else body
            try:
                made = transform(plain, rules, expand)
            except JSONError:
                raise _Failure("invalid", 400, "The body is not valid JSON") from None
            if made is plain:
                return body
            return _encoded(made, DECODABLE[coding]) if coded else made

        return change


def _decoded(body: bytes, coding: str, limit: int) -> bytes:
    made = decoder(coding, Limits(limit, _RATIO))
    try:
        plain = made.feed(body)
    except BombError:
        raise _Failure("size", 413, "The body is too large") from None
    except DecodeError:
        raise _Failure("broken", 400, "The body cannot be decompressed") from None
    if not made.is_complete:
        raise _Failure("broken", 400, "The body cannot be decompressed")
    return plain


def _encoded(body: bytes, coding: str) -> bytes:
    made = encoder(coding, LEVELS[coding], len(body))
    return made.compress(body) + made.finish()


class _Instead(BodyFilter):
    """Sends another body."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    def feed(self, chunk: bytes) -> bytes:
        body, self._rest = self._rest, b""
        return body

    def end(self, trailers: Headers) -> bytes:
        drop_digests(trailers)
        return self._rest


class _Changing(BodyFilter):
    """Changes a whole body within a limit, before anything of the response is sent."""

    def __init__(self, work: Callable[[bytes], bytes], limit: int, planned: _Planned) -> None:
        self._change = work
        self._limit = limit
        self._done = planned.done
        self._kept: list[bytes] = []
        self.size = 0
        self._passes = False
        self.hold_head = limit + 64 * 1024

    def feed(self, chunk: bytes) -> bytes:
        if self._passes:
            return chunk
        self.size += len(chunk)
        self._kept.append(chunk)
        if self.size <= self._limit:
            return b""
        self._done(_Failure("size", 413, f"it has more than {self._limit} bytes"))
        self._passes = True
        return self._take()

    def end(self, trailers: Headers) -> bytes:
        drop_digests(trailers)
        if self._passes:
            return b""
        body = self._take()
        try:
            changed = self._change(body)
        except _Failure as failure:
            self._done(failure)
            return body
        self._done()
        return changed

    def _take(self) -> bytes:
        body, self._kept = b"".join(self._kept), []
        return body


class _ChangingAnywhere(ThreadedBodyFilter):
    """Changes short bodies in the event loop, and others in a thread."""

    def __init__(self, inner: _Changing) -> None:
        super().__init__(inner)
        self._changing = inner

    def needs_thread(self, method: str, size: int) -> bool:
        return method == "end" and self._changing.size > _QUICK
