"""The ``Server-Timing`` header (observability.md, section 5)."""

from __future__ import annotations

import re
import time

from pingap.http.context import RequestContext
from pingap.http.headers import field
from pingap.http.response import Response

_NO_TOKEN = re.compile(r"[^!#$%&'*+.^`|~0-9A-Za-z-]")


def add_server_timing(response: Response, ctx: RequestContext) -> None:
    """Add the durations up to the head of the response, in milliseconds, for the client."""
    entries: list[str] = []
    connect, processing = ctx.upstream_connect_time, ctx.upstream_processing_time
    if connect is not None:
        entries.append(f"upstream.connect;dur={connect * 1000:.0f}")
    if processing is not None:
        entries.append(f"upstream.processing;dur={processing * 1000:.0f}")
        entries.append(f"upstream;dur={((connect or 0) + processing) * 1000:.0f}")
    if ctx.upstream_retries:
        entries.append(f'upstream.attempts;desc="{ctx.upstream_retries + 1}"')
    for name, seconds in ctx.plugin_times.items():
        entries.append(f"plugin.{_NO_TOKEN.sub('_', name)};dur={seconds * 1000:.3f}")
    for name, seconds in ctx.timings.items():
        text = ctx.timing_descriptions.get(name)
        description = f';desc="{text}"' if text else ""
        entries.append(f"{name};dur={seconds * 1000:.3f}{description}")
    entries.append(f"total;dur={(time.monotonic() - ctx.began_at) * 1000:.0f}")
    response.headers.append(field("Server-Timing", ", ".join(entries)))
