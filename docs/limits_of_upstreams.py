"""What is bounded for upstreams and their connections."""

from __future__ import annotations

from collections.abc import Iterator

from limit_keys import key_of
from markdown_table import Row

from pingap.config import (
    format_duration,
    format_size,
    health_check,
)
from pingap.config.addresses import MAX_WEIGHT
from pingap.protocol import (
    events,
    http2_client,
    http2_state,
)
from pingap.proxy.body_relay import REPLAY_LIMIT
from pingap.upstream import transparent, upstream
from pingap.upstream.balancing import ring
from pingap.upstream.circuit_breaking import breakers
from pingap.upstream.connections import http1_connection as connection
from pingap.upstream.connections import http1_time_limits, http2_time_limits, pinned
from pingap.upstream.discovering import service as discovery
from pingap.upstream.health import ejection, http_check
from pingap.upstream.health import service as health_service
from pingap.upstream.retrying import retries, retry_budget
from pingap.wire import http2_halves, tcp

KIB, MIB = 1024, 1024 * 1024


def upstream_limits() -> Iterator[Row]:
    """Yield the limits of upstreams."""
    up = "upstreams"
    yield "making a connection", *key_of(up, "connection_timeout"), "504, or another attempt"
    yield "the same, with TLS", *key_of(up, "total_connection_timeout"), "504, or another attempt"
    seconds = format_duration(upstream.HANDSHAKE_SECONDS)
    text = "504, or another attempt; `total_connection_timeout` takes its place"
    yield "a TLS handshake", seconds, "", text
    text = "504, or the response is cut if it has begun; locations can have limits of their own"
    yield "next bytes of a response", *key_of(up, "read_timeout"), text
    yield "upstream accepts no data", *key_of(up, "write_timeout"), text
    yield "idle connection", *key_of(up, "idle_timeout"), "closed"
    seconds = format_duration(connection.CLOSE_SECONDS)
    yield "sending buffered bytes before a connection is closed", seconds, "", "connection reset"
    text = "if the upstream then closes the connection, it is not a failure of the upstream"
    seconds = format_duration(http1_time_limits.SLOW_REQUEST_SECONDS)
    yield "arrival of a request body from the client", seconds, "", text
    text = "another request becomes the probe; the result of this one does not count"
    seconds = format_duration(breakers.PROBE_BODY_SECONDS)
    yield "arrival of the body of a circuit breaker's probe", seconds, "", text
    text = "further ones are closed after their response"
    yield (
        "idle connections pinned to a client's connection, per backend",
        str(pinned.MOST_IDLE),
        "",
        text,
    )
    text = "further ones are closed when they have been idle for a second"
    yield "idle connections kept", *key_of("basic", "upstream_keepalive_pool_size"), text
    text = "no further attempt: 502 or 504"
    most = f"; {retries.MOST} at most"
    yield "further attempts", "none", "`locations.*.max_retries`", text + most
    yield "age of a request that is retried", *key_of("locations", "max_retry_window"), text
    seconds = f"{format_duration(transparent.LOOKUP_SECONDS)}, or the limit of a connection"
    key = "`upstreams.*.connection_timeout`"
    yield "looking up the host of a transparent upstream", seconds, key, "504, or another attempt"
    seconds = format_duration(transparent.REMEMBERED_SECONDS)
    yield "time for which its addresses are used", seconds, "", "it is looked up again"
    text = "the one that was looked up first is forgotten"
    yield "names remembered for a transparent upstream", str(transparent.MOST_NAMES), "", text
    key = "`upstreams.*.retry_budget`"
    share = f"{upstream.DEFAULT_RETRY_BUDGET} percent of the requests of the last "
    share += f"{format_duration(retry_budget.SECONDS)}, and {retry_budget.AT_LEAST}"
    yield "retries of requests that had been sent", share, key, "no further attempt"
    text = "a longer one is not sent again"
    yield "request body kept for `retry_on`", *key_of("locations", "retry_buffer_size"), text
    size = format_size(tcp.MOST_REST)
    yield "response read from a connection that was reset", size, "", "the response is cut"
    yield "weight of a backend", f"{MAX_WEIGHT:,}", "`addrs`", "an error of the configuration"
    text = "with more backends, each has fewer points than its 160, and shares are less even"
    yield "points on the ring of a hash", f"{ring.MOST_POINTS:,}", "", text
    yield from _discovery_limits()
    replay = format_size(REPLAY_LIMIT)
    text = "a longer one is not sent again if a reused connection was already closed"
    yield "request body kept to be sent again", replay, "", text
    yield "response head", format_size(events.RESPONSE_LIMITS.size), "", "502"
    yield "response header fields", str(events.RESPONSE_LIMITS.fields), "", "502"
    yield "chunk overhead", "as for requests", "", "502, or the response is cut if it has begun"


def _discovery_limits() -> Iterator[Row]:
    seconds = format_duration(discovery.FIRST_SECONDS)
    text = "the worker serves, and answers 503 for this upstream"
    yield "finding backends before a worker serves", seconds, "", text
    text = "the last backends stay in use; the next attempt is after "
    text += format_duration(discovery.RETRY_SECONDS)
    yield "finding backends later", format_duration(discovery.FIND_SECONDS), "", text
    least = format_duration(discovery.SHORTEST_SECONDS)
    text = f"backends are looked up again; {least} at least, whatever a TTL says"
    yield "age of the backends found", *key_of("upstreams", "update_frequency"), text
    text = "further ones wait for their turn"
    yield "upstreams that are looked up at once", str(discovery.MOST_AT_ONCE), "", text
    seconds = format_duration(discovery.SETTLE_SECONDS)
    yield "events of a discovery that arrive together", seconds, "", "one lookup for all of them"


def http2_upstream_limits() -> Iterator[Row]:
    """Yield the limits of upstreams of HTTP/2."""
    up = "upstreams"
    text = "another connection is made"
    yield "requests at once on a connection", *key_of(up, "max_h2_streams"), text
    seconds = format_duration(http2_time_limits.SETTINGS_SECONDS)
    yield "arrival of the first HTTP/2 settings", seconds, "", "504, or another attempt"
    text = "the upstream gets no more window until the client has accepted it"
    size = format_size(http2_state.STREAM_WINDOW)
    yield "response held for a stream", size, "", text
    least = http2_halves.LEAST_PROGRESS
    text = f"504, for that stream; {least} bytes restart the time"
    yield "upstream does not open the window of a stream", *key_of(up, "write_timeout"), text
    yield "interim responses", str(http2_client.MOST_INTERIM), "", "502"
    text = "another connection replaces it; it closes after its last stream"
    yield "streams that pingap resets on a connection", str(http2_client.MOST_RESETS), "", text
    text = "502: the upstream has processed none of them"
    yield "refusals of one request", str(retries.MOST_REFUSALS), "", text
    text = "a longer one is not sent again after a refusal"
    yield "request body kept to be sent again", format_size(REPLAY_LIMIT), "", text
    seconds, answer = (
        format_duration(http2_time_limits.PING_SECONDS),
        format_duration(http2_time_limits.ANSWER_SECONDS),
    )
    text = f"PING; if it does not respond within {answer}, the connection is cut"
    yield "upstream is silent while a stream is open", seconds, "", text
    yield "frames that ask for nothing", "as above", "", "connection closed, 502"


def health_limits() -> Iterator[Row]:
    """Yield the limits of checks of backends."""
    checked = health_check.HealthCheck()
    key = "`upstreams.*.health_check`"
    seconds = format_duration(checked.connection_timeout)
    yield "opening the connection of a check", seconds, key, "the check failed"
    yield (
        "the response to a check",
        format_duration(checked.read_timeout),
        key,
        "the check failed",
    )
    text = "the rest is not searched"
    yield "body of that response", format_size(http_check.MOST_BODY), "", text
    text = "a shorter one is an error when the configuration is loaded"
    yield "time between two checks", format_duration(health_check.SHORTEST), key, text
    yield "checks at once, of all upstreams", str(health_service.MOST_AT_ONCE), "", "others wait"
    seconds = f"{ejection.LONGEST} times `passive_ejection_time`"
    yield (
        "time for which a backend is ejected",
        seconds,
        "`upstreams.*.passive_ejection_time`",
        "it gets requests again",
    )
    key = "passive_max_ejected_percent"
    share, key = key_of("upstreams", key)
    text = "further backends get requests although they fail"
    yield "backends ejected at once", f"{share} percent", key, text
