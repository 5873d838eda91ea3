"""The plugin ``mirror``: sends copies of requests to another upstream, whose responses nobody gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pingap import (
    BackgroundTasks,
    BodyFilter,
    ByteSize,
    ContextKey,
    Counter,
    Duration,
    Gauge,
    Headers,
    HTTPError,
    LogTag,
    Metric,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    UpstreamName,
    Worker,
    field,
    hookimpl,
)
from pingap_traffic.buckets import Percent, is_within, random_bucket
from pingap_traffic.copies import COPIED, BodyCopier, Copy, Memory, Sending

_METHOD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
"""A token (RFC 9110, 9.1)."""


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("found 0, expected a longer time")
    return seconds


def _method(text: str) -> str:
    if not _METHOD(text):
        raise ValueError(f'"{text}" is not a method')
    return text.upper()


def _header_name(name: str) -> str:
    field(name, "1")
    return name


class MirrorSettings(PluginSettings):
    """Settings of ``mirror``."""

    upstream: UpstreamName
    """The upstream that gets the copies."""
    percent: Percent = 100
    """Percentage of the requests that are copied, exact to 0.01."""
    methods: list[Annotated[str, AfterValidator(_method)]] = Field(default_factory=list)
    """Only requests with these methods are copied; empty: all."""
    max_body: ByteSize = 64 * 1024
    """Maximum size of a body; requests with a larger one are not copied."""
    max_memory: ByteSize = 16 * 1024 * 1024
    """Memory of each worker that copies may use. When it is used up, further requests are not copied."""
    queue: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Copies that may wait in each worker. When it is full, further requests are not copied."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 16
    """Copies that each worker sends at the same time."""
    response_timeout: Annotated[Duration, AfterValidator(_positive)] = 10.0
    """How long the upstream may take for a copy, until the end of its response."""
    header: Annotated[str, AfterValidator(_header_name)] = "X-Pingap-Mirror"
    """The header with the value ``1`` that marks copies. Requests that have it are not copied again."""


class Mirror(Plugin):
    """Sends copies of requests to another upstream; clients notice nothing."""

    category = "mirror"
    contract = "1.1"
    body = "reads"
    may_fail_open = True
    Settings = MirrorSettings

    def __init__(self, settings: MirrorSettings) -> None:
        self._settings = settings
        self._methods = frozenset(settings.methods)
        self._mark = field(settings.header, "1")
        self._memory = Memory(settings.max_memory)
        self._sending: Sending | None = None
        self._worker: Worker | None = None
        self._copy = ContextKey[Copy | None]("copy of mirror", None)
        self.copied = Counter("pingap_mirror_copied", "Requests that were copied")
        self.dropped = Counter(
            "pingap_mirror_dropped", "Requests that should have been copied", ("reason",)
        )
        self.responses = Counter(
            "pingap_mirror_responses", "Responses to copies, by class of status", ("status",)
        )
        self.failures = Counter("pingap_mirror_failures", "Copies without a response")

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Start to send copies."""
        settings = self._settings
        self._worker = worker
        self._sending = Sending(tasks, self._send, settings.concurrency, settings.queue)

    def log_tags(self) -> Mapping[str, LogTag]:
        """Offer ``{:<name>.result}``: ``copied``, or why there is no copy; nothing if none was due."""
        return {
            "result": lambda request, response, ctx: c.result if (c := ctx[self._copy]) else None
        }

    def collect(self) -> Iterable[Metric]:
        """Show how many copies wait."""
        gauge = Gauge("pingap_mirror_queue", "Copies that wait to be sent")
        gauge.set(self._sending.waiting if self._sending is not None else 0)
        yield gauge

    @hookimpl
    def proxy_upstream(self, request: Request, ctx: RequestContext) -> None:
        """Decide whether a request is copied."""
        settings = self._settings
        if request.upgrade or request.method == "CONNECT" or settings.header in request.headers:
            return
        if self._methods and request.method not in self._methods:
            return
        if not is_within(random_bucket(), settings.percent):
            return
        copy = Copy(self._memory, settings.max_body, has_body=request.has_body)
        ctx[self._copy] = copy
        if request.content_length > settings.max_body:
            copy.drop("body")

    @hookimpl
    def request_body(self, ctx: RequestContext) -> BodyFilter | None:
        """Copy the body."""
        copy = ctx[self._copy]
        return None if copy is None or copy.result else BodyCopier(copy, self._put)

    @hookimpl
    def upstream_request(self, request: Request, headers: Headers, ctx: RequestContext) -> None:
        """Copy the head as the upstream gets it; of several attempts, that of the first one."""
        copy = ctx[self._copy]
        if copy is None or copy.result or copy.head is not None:
            return
        copied = headers.copy()
        copied.replace(self._mark)
        copy.begin(Request(request.method, request.target, copied, request.host))
        self._put(copy)

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        """Count what became of the copy."""
        copy = ctx[self._copy]
        if copy is None:
            return
        copy.drop("incomplete")  # if nothing was decided: the request has not been sent
        if copy.result == COPIED:
            self.copied.inc()
        else:
            self.dropped.labels(copy.result).inc()

    def _put(self, copy: Copy) -> None:
        """Send a copy as soon as it is complete."""
        if copy.is_ready and self._sending is not None:
            self._sending.put(copy)

    async def _send(self, copy: Copy) -> None:
        """Send a copy, and forget the response."""
        assert self._worker is not None
        assert copy.head is not None
        settings = self._settings
        try:
            response = await self._worker.fetch(
                copy.head,
                upstream=settings.upstream,
                body=copy.body,
                timeout=settings.response_timeout,
                keep_body=False,
            )
        except (HTTPError, KeyError):  # KeyError: a reload has removed the upstream
            self.failures.inc()
        else:
            self.responses.labels(f"{response.status // 100}xx").inc()
