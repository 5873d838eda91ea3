"""The plugin ``image_optim``: which phase does what."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Iterable, Mapping
from hashlib import blake2b
from typing import ClassVar, Final

from pydantic import TypeAdapter

from pingap import (
    BackgroundTasks,
    ConfigTable,
    ConfigView,
    ContextKey,
    Counter,
    Duration,
    Histogram,
    HTTPError,
    LogTag,
    Plugin,
    Request,
    RequestContext,
    Response,
    Worker,
    hookimpl,
)
from pingap_image_optim.accept import TYPES, weights
from pingap_image_optim.heads import (
    ORIGINALS,
    become_other,
    drop_facts,
    forbids_change,
    is_changeable,
    is_own,
    media_type,
    original_tags,
    vary_by_accept,
)
from pingap_image_optim.jobs import BUSY, CRASH, TIMEOUT, TOO_LARGE, Job, Reply
from pingap_image_optim.plans import Plan, Planning, parse_size
from pingap_image_optim.pool import Pool
from pingap_image_optim.settings import MARGIN, PLUGIN_SECONDS, ImageSettings, parse_types

log = logging.getLogger("pingap")

MOST_HELD: Final = 64 * 1024 * 1024
"""Bytes of originals that one instance holds in a worker; images beyond that stay as they are."""
MOST_JOBS: Final = 256
"""Plans whose jobs are remembered."""
BASE_MEMORY: Final = 512 * 1024 * 1024
BYTES_PER_PIXEL: Final = 64
"""Address space of a process: for itself, and for each pixel that may be decoded."""
_DURATION: Final = TypeAdapter(Duration)
_IMAGE_TYPES: Final = frozenset({f"image/{kind}" for kind in TYPES})


class ImageOptim(Plugin):
    """Converts JPEG and PNG images of upstreams to smaller types that clients accept, and resizes them."""

    category = "image_optim"
    contract = "1.1"
    before = ("cache",)  # what is made should be stored
    reads_headers = ("accept",)
    Settings: ClassVar[type[ImageSettings]] = ImageSettings

    def __init__(self, settings: ImageSettings, table: ConfigTable | None = None) -> None:
        self.settings = settings
        _check_times(settings.time_limit, {} if table is None else table.values)
        self._types = parse_types(settings.output_types)
        self._planning = Planning(
            self._types,
            frozenset(map(parse_size, settings.sizes)),
            settings.width_parameter,
            settings.height_parameter,
        )
        if settings.width_parameter == settings.height_parameter:
            raise ValueError("width_parameter and height_parameter are the same")
        self._plan = ContextKey[Plan | None]("image plan", None)
        self._own_tags = ContextKey[Mapping[str, str]]("image tags", {})
        self._outcome = ContextKey[str]("image outcome", "")
        self._pool: Pool | None = None
        self._held = 0
        self._jobs: dict[Plan, tuple[Job, str]] = {}
        self.images = Counter(
            "pingap_image_optim_images", "Images by what became of them", ("outcome",)
        )
        self.bytes_in = Counter(
            "pingap_image_optim_bytes_in", "Bytes of originals that were replaced"
        )
        self.bytes_out = Counter("pingap_image_optim_bytes_out", "Bytes of what replaced them")
        self.time = Histogram(
            "pingap_image_optim_time",
            "Seconds that clients waited for a conversion",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10),
        )

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Prepare the processes, which are started when they are needed."""
        settings = self.settings
        processes = settings.processes or max(1, _processors() // _workers(worker.instance.config))
        memory = BASE_MEMORY + BYTES_PER_PIXEL * settings.max_pixels
        self._pool = Pool(processes, memory)
        self._pool.open(tasks)

    async def shutdown(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()

    # The phases.

    @hookimpl
    def early_request(self, request: Request, ctx: RequestContext) -> None:
        """Record what the client asks for: it is part of the key of any cache."""
        if request.method not in ("GET", "HEAD"):
            return
        plan = self._planning.plan(weights(request.header("accept")), request.query)
        ctx[self._plan] = plan
        if variant := plan.variant:
            ctx.variants[self.category] = variant

    @hookimpl
    def proxy_upstream(self, request: Request, ctx: RequestContext) -> None:
        """Ask the upstream whether its image is still the one that ours was made of."""
        value = request.header("if-none-match")
        plan = ctx[self._plan]
        if value is None or plan is None:
            return
        translated, own = original_tags(value, self._job(plan)[1])
        if own:
            ctx[self._own_tags] = own
            request.headers.set("If-None-Match", translated)

    @hookimpl
    def upstream_response(
        self, request: Request, response: Response, ctx: RequestContext
    ) -> Awaitable[None] | None:
        """Convert an image, before a cache stores it."""
        plan = ctx[self._plan]
        if plan is None:
            return None
        headers = response.headers
        if response.status == 304:
            if own := ctx[self._own_tags].get(headers.get("etag") or ""):
                headers.set("ETag", own)
            return None
        if not is_changeable(response) or forbids_change(request.headers):
            return None
        if plan.refused:
            raise HTTPError(400, f"The size {plan.refused} is not offered")
        if request.method == "HEAD":  # what GET would bring is not known
            drop_facts(headers)
            headers.discard(b"etag")
            response.content_length = None
            return None
        return self._change(plan, request, response, ctx)

    @hookimpl
    def response(self, response: Response, ctx: RequestContext) -> None:
        """Say that the image depends on ``Accept``.

        This is done behind any cache: it knows what makes a difference from ``ctx.variants``, and would
        store an image for each value of the header otherwise.
        """
        plan = ctx[self._plan]
        if plan is None or not self._types or ctx.error is not None:
            return
        headers = response.headers
        if response.status in (200, 206):
            concerned = media_type(headers) in _IMAGE_TYPES
        else:
            tag = headers.get("etag")
            concerned = response.status == 304 and is_own(tag, self._job(plan)[1])
        if concerned:
            vary_by_accept(headers)

    # Converting.

    async def _change(
        self, plan: Plan, request: Request, response: Response, ctx: RequestContext
    ) -> None:
        """Replace the image of a response, if that makes it smaller."""
        job, fingerprint = self._job(plan)
        kind = ORIGINALS[media_type(response.headers)]
        data, reply = await self._converted(job, response, ctx)
        converted = bool(reply.body)
        outcome = f"{kind}_to_{reply.outcome}" if converted else reply.outcome
        self.images.labels(outcome).inc()
        ctx[self._outcome] = outcome
        if converted:
            self.bytes_in.inc(len(data))
            self.bytes_out.inc(len(reply.body))
            response.body = reply.body
            become_other(response.headers, reply.outcome, fingerprint)
        elif reply.outcome in (CRASH, TIMEOUT) and reply.detail:
            log.warning(
                "image_optim: %r is sent as it is: %s: %s", request, reply.outcome, reply.detail
            )

    async def _converted(
        self, job: Job, response: Response, ctx: RequestContext
    ) -> tuple[bytes, Reply]:
        """Return the original, and what became of it."""
        largest = self.settings.max_file_size
        length = response.content_length
        if length is not None and length > largest:
            return b"", Reply(TOO_LARGE)
        reserved = largest if length is None else length
        if self._pool is None or (self._held and self._held + reserved > MOST_HELD):
            return b"", Reply(BUSY)
        self._held += reserved
        try:
            data = await ctx.read_response(response, largest)
            if not data:
                return b"", Reply(TOO_LARGE)
            began = time.monotonic()
            reply = await self._pool.convert(job, data)
            took = time.monotonic() - began
            self.time.observe(took)
            ctx.timing(self.category, took)
        finally:
            self._held -= reserved
        return data, reply

    def _job(self, plan: Plan) -> tuple[Job, str]:
        """Return the job for a plan, and the fingerprint of what it makes."""
        if (found := self._jobs.get(plan)) is not None:
            return found
        settings, size = self.settings, plan.size
        job = Job(
            of_jpeg=plan.of_jpeg,
            of_png=plan.of_png,
            width=size.width if size else 0,
            height=size.height if size else 0,
            cover=settings.fit == "cover",
            png_quality=settings.png_quality,
            jpeg_quality=settings.jpeg_quality,
            webp_quality=settings.webp_quality or 0,
            avif_quality=settings.avif_quality,
            avif_speed=settings.avif_speed,
            max_pixels=settings.max_pixels,
            seconds=settings.time_limit,
        )
        made = (job, blake2b(job.encode(), digest_size=5).hexdigest())
        if len(self._jobs) >= MOST_JOBS:  # clients choose them
            self._jobs.clear()
        self._jobs[plan] = made
        return made

    # Looking at it.

    def log_tags(self) -> Mapping[str, LogTag]:
        """Name the tag for access logs."""
        return {"outcome": lambda request, response, ctx: ctx[self._outcome] or None}

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Tell of types that are never chosen, and of a speed that takes too long."""
        types = self._types
        if "avif" in types and "webp" in types and types.index("webp") < types.index("avif"):
            yield (
                "output_types",
                "clients that accept AVIF accept WebP, so AVIF is never made",
                ('write "avif,webp"'),
            )
        if "avif" in types and self.settings.avif_speed == 1:
            yield (
                "avif_speed",
                "AVIF takes seconds for a megapixel at this speed",
                ("use 3, or more where images are not cached"),
            )


def _check_times(seconds: float, table: Mapping[str, object]) -> None:
    """Check that the plugin has time left when a client has waited long enough.

    :param table: of the plugin, with the keys of pingap itself.
    :raises ValueError: it has not.
    """
    given = table.get("timeout")
    timeout = PLUGIN_SECONDS if given is None else _DURATION.validate_python(given)
    if seconds > timeout - MARGIN:
        raise ValueError(
            f"time_limit = {seconds:g}s is too long: it has to be {MARGIN:g} s shorter than timeout, "
            f"which is {timeout:g}s"
        )


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _workers(config: ConfigView) -> int:
    """Return the number of worker processes."""
    counts = [server.threads for server in config.servers.values() if server.threads is not None]
    most = max([config.basic.threads, *counts])
    return most or os.cpu_count() or 1
