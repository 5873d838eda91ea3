"""Compress responses, and decompress them for clients that cannot."""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated, Any, Final, Literal

from pingap_content.decoders import Limits
from pingap_content.encoders import MOST_LEVEL, PREFERENCE
from pingap_content.media_types import MediaTypes, check_type
from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import (
    AcceptedEncodings,
    AsyncBodyFilter,
    BodyFilter,
    ByteSize,
    ContextKey,
    Counter,
    Histogram,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    ThreadedBodyFilter,
    accepted_encodings,
    hookimpl,
)
from pingap_compression.filters import Compressing, CompressingAnywhere, Decompressing, Work
from pingap_compression.media_types import DEFAULT_TYPES
from pingap_compression.pace import QUICK, Pace
from pingap_compression.plans import Policy

log = logging.getLogger("pingap")

COMPRESSION_TIME: Final = ContextKey[int]("compression_time")
"""Milliseconds that coding the body of a response took."""
COMPRESSION_RATIO: Final = ContextKey[str]("compression_ratio")
"""How many times smaller it became, with one decimal."""

_HELD: Final = 256 * 1024
"""Bytes that come out of a whole body before the head leaves."""
_MARGIN: Final = 4096
"""Bytes by which a body that cannot be compressed may become longer."""

MediaType = Annotated[str, AfterValidator(check_type)]
Level = Annotated[int, SettingsField(ge=0)]


class Compression(Plugin):
    """Compresses responses with zstandard, brotli or gzip, as clients and the operator want."""

    category = "compression"
    contract = "1.1"
    body = "rewrites"
    reads_headers = ("accept-encoding",)

    class Settings(PluginSettings):
        """Settings of ``compression``."""

        gzip_level: Level = 0
        """How well gzip compresses: 1 is fast, 9 is small (larger numbers count as 9), 0 is off."""
        br_level: Level = 0
        """The same for brotli: up to 11."""
        zstd_level: Level = 0
        """The same for zstandard: up to 22."""
        mode: Literal["downstream", "upstream"] = "downstream"
        """When: ``downstream`` on the way to the client, behind any cache; ``upstream`` for responses
        of upstreams only, before a cache that is listed behind can store them."""
        min_length: ByteSize = 20
        """Bytes that a body has at least, if their number is known."""
        types: list[MediaType] = SettingsField(default=list(DEFAULT_TYPES))
        """Media types that are compressed; ``*`` stands for anything in the second half."""
        decompression: bool = False
        """Whether gzip, br, zstd and deflate are taken away for clients that do not accept them."""
        max_decompressed_size: ByteSize = 1024 * 1024 * 1024
        """Bytes that may come out of a body; 0 for any number."""
        max_decompression_ratio: Annotated[int, SettingsField(ge=1)] = 100
        """How many times its size may come out of a body; 1 MiB always may."""

    def __init__(self, settings: Settings) -> None:
        levels = {
            "zstd": settings.zstd_level,
            "br": settings.br_level,
            "gzip": settings.gzip_level,
        }
        self._levels = {
            coding: min(level, MOST_LEVEL[coding]) for coding, level in levels.items() if level
        }
        if not self._levels and not settings.decompression:
            raise ValueError(
                "does nothing: set gzip_level, br_level or zstd_level, or decompression = true"
            )
        self._policy = Policy(
            codings=[one for one in PREFERENCE if one in self._levels],
            types=MediaTypes(settings.types),
            min_length=settings.min_length,
            decompress=settings.decompression,
        )
        self._limits = Limits(settings.max_decompressed_size, settings.max_decompression_ratio)
        self._paces = {coding: Pace(coding, level) for coding, level in self._levels.items()}
        self._upstream = settings.mode == "upstream"
        if self._upstream:
            self.before = ("cache",)  # or it would store what is not compressed
        # Of one request: another instance may be in the same location.
        self._accepted = ContextKey[AcceptedEncodings]("accepted codings", accepted_encodings(None))
        self._work = ContextKey["tuple[Response, Work] | None"]("coding of a response", None)
        self._make_metrics()

    def _make_metrics(self) -> None:
        self.ratio = Histogram(
            "pingap_compression_ratio",
            "How many times smaller bodies became",
            buckets=(1, 2, 3, 5, 10),
        )
        self.time = Histogram(
            "pingap_compression_time",
            "Seconds that compressing a body took",
            ("coding",),
            buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1),
        )
        self.bytes_in = Counter(
            "pingap_compression_bytes_in", "Bytes before compression", ("coding",)
        )
        self.bytes_out = Counter(
            "pingap_compression_bytes_out", "Bytes after compression", ("coding",)
        )
        self.decompressed = Counter(
            "pingap_decompressed_responses", "Responses that were decompressed", ("coding",)
        )
        self.refused = Counter(
            "pingap_decompression_refused", "Responses that could not be decompressed", ("coding",)
        )

    def active_phases(self) -> tuple[str, ...]:
        """Take part in the phases of ``mode`` only."""
        if self._upstream:
            return ("early_request", "upstream_response", "upstream_response_body", "logging")
        return ("early_request", "response", "response_body", "logging")

    @hookimpl
    def early_request(self, request: Request, ctx: RequestContext) -> None:
        """Record what the client accepts: later plugins may ask the upstream for less."""
        found = accepted_encodings(request.header("accept-encoding"))
        ctx[self._accepted] = found
        if self._upstream:
            ctx.variants["compression"] = self._policy.variant(found)

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Decide what is done with the body, and change the head."""
        if ctx.error is not None:
            return  # the body of an error page passes no filters
        ctx[self._work] = None
        plan = self._policy.apply(ctx[self._accepted], request, response)
        if plan is not None:
            ctx[self._work] = (response, Work(plan.coding, plan.action == "compress"))

    @hookimpl
    def upstream_response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Do the same before a cache sees it."""
        self.response(request, response, ctx)

    @hookimpl
    def response_body(
        self, response: Response, ctx: RequestContext
    ) -> BodyFilter | AsyncBodyFilter | None:
        """Do what was decided."""
        found = ctx[self._work]
        if found is None or found[0] is not response:
            return None
        work, length = found[1], response.content_length
        is_whole = isinstance(response.body, bytes) and len(response.body) == length
        if not work.compresses:
            decompressing = Decompressing(work, self._limits)
            decompressing.hold_head = _HELD if is_whole else 0  # an error page may take its place
            return ThreadedBodyFilter(decompressing)
        coding = work.coding
        done = partial(_tell, ctx)
        inner = Compressing(work, self._paces[coding], self._levels[coding], length, done)
        if is_whole and length is not None:
            # All of it is at hand, so the head need not leave before: it can tell length and time.
            inner.hold_head = length + _MARGIN
        if length is not None and inner.estimate(length) <= QUICK:
            return inner
        return CompressingAnywhere(inner)

    @hookimpl
    def upstream_response_body(
        self, response: Response, ctx: RequestContext
    ) -> BodyFilter | AsyncBodyFilter | None:
        """Do the same for what a cache stores."""
        return self.response_body(response, ctx)

    @hookimpl
    def logging(self, request: Request, ctx: RequestContext) -> None:
        """Count what was done."""
        found: tuple[Any, Work] | None = ctx[self._work]
        if found is None:
            return
        work = found[1]
        if work.failure:
            self.refused.labels(work.coding).inc()
            log.warning(
                "location %s: a response (%s) to %s cannot be decompressed: %s",
                ctx.location,
                work.coding,
                ctx.original.target.partition("?")[0][:200],
                work.failure,
            )
        elif work.complete and work.taken:
            self._count(work, ctx)

    def _count(self, work: Work, ctx: RequestContext) -> None:
        if work.compresses:
            ctx[COMPRESSION_TIME] = round(work.seconds * 1000)
            ctx[COMPRESSION_RATIO] = f"{work.ratio:.1f}"
            self.ratio.observe(work.ratio)
            self.time.labels(work.coding).observe(work.seconds)
            self.bytes_in.labels(work.coding).inc(work.taken)
            self.bytes_out.labels(work.coding).inc(work.made)
        else:
            self.decompressed.labels(work.coding).inc()


def _tell(ctx: RequestContext, work: Work) -> None:
    """Tell the time for ``Server-Timing``, if the head has not been sent yet."""
    ctx.timing("compression", work.seconds, f"{work.coding} {work.ratio:.1f}")
