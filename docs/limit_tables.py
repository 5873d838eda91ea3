"""The tables of everything that is bounded, read from the code; a part of ``generate.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from markdown_table import Row, table

from pingap.client import client, pools
from pingap.client import stream as side_call_stream
from pingap.config import (
    SECTIONS,
    BasicConfig,
    changes,
    files,
    format_duration,
    format_size,
    health_check,
    kinds,
)
from pingap.config.addresses import MAX_WEIGHT
from pingap.downstream import (
    http1_connection,
    http2_connection,
    listener,
    proxy_acceptor,
    sniffing,
)
from pingap.downstream import tls_acceptor as acceptor
from pingap.http import context, cookies, forms, forwarding, signing
from pingap.observability import (
    log_files,
    metric_families,
    notifications,
    plugin_metrics,
    watchdog,
)
from pingap.plugins import (
    background_tasks,
    file_body,
    foreign_code,
    message_filters,
    threaded_filter,
    websocket_filter,
)
from pingap.plugins import local as local_plugins
from pingap.protocol import (
    chunked,
    events,
    http1_response,
    http2_client,
    http2_endpoint,
    http2_floods,
    http2_frames,
    http2_hpack,
    http2_state,
    proxy_protocol,
    websocket_deflate,
    websocket_frames,
)
from pingap.proxy import body_source, error_page, filter_chain, websocket_session
from pingap.proxy.body_relay import REPLAY_LIMIT
from pingap.shared_state import bus, messages, state
from pingap.supervisor import activation, reload, supervisor, upgrade
from pingap.tls import client_hello, issuer
from pingap.upstream import transparent, upstream
from pingap.upstream.balancing import ring
from pingap.upstream.circuit_breaking import breakers
from pingap.upstream.connections import http1_connection as connection
from pingap.upstream.connections import http2_connection as http2_upstream
from pingap.upstream.connections import pinned
from pingap.upstream.discovering import service as discovery
from pingap.upstream.health import ejection, http_check
from pingap.upstream.health import service as health_service
from pingap.upstream.retrying import retries, retry_budget
from pingap.wire import backlog, http2_halves, tcp
from pingap.wire import tls_transport as transport
from pingap.worker import notifying

KIB, MIB = 1024, 1024 * 1024

STATES: Final = {
    "idle": 4 * KIB,
    "half of a PROXY header": 8 * KIB,
    "half of a head of 32KiB": 48 * KIB,
    "a request whose upstream does not answer": 16 * KIB,
    "the same, with pipelined requests": 384 * KIB,
    "a request body that the upstream does not read": 512 * KIB,
    "a response that the client does not read": 512 * KIB,
    "a WebSocket whose client does not read": 512 * KIB,
    "half of a TLS handshake": 96 * KIB,
    "TLS, idle": 96 * KIB,
    "HTTP/2, idle": 32 * KIB,
    "HTTP/2, cached header blocks": 256 * KIB,
    "HTTP/2, 128 requests whose upstream does not answer": 2 * MIB,
    "HTTP/2, 128 responses that the client does not read": 8 * MIB,
    "HTTP/2, request bodies that the upstream does not read": 4 * MIB,
}
"""State of one connection -> most bytes of a worker's memory that it uses, including its upstream connections,
with the default limits; measured by ``tests/e2e/test_connection_memory.py``."""


def limits() -> str:
    """Return the table of everything that is bounded."""
    head = ("What", "Limit", "Key", "What happens")
    return "\n".join(
        f"### {title}\n\n{table(head, rows)}"
        for title, rows in (
            ("Requests of clients", list(_client_limits())),
            ("Connections of clients", list(_connection_limits())),
            ("Work per turn of the event loop", list(_turn_limits())),
            ("Memory of one connection", list(_state_limits())),
            ("Clients of HTTP/2", list(_http2_limits())),
            ("Frames of HTTP/2 that ask for nothing", list(_flood_limits())),
            ("Upstreams", list(_upstream_limits())),
            ("Upstreams of HTTP/2", list(_http2_upstream_limits())),
            ("Messages that plugins read", list(_message_limits())),
            ("Checks of backends", list(_health_limits())),
            ("The process", list(_process_limits())),
        )
    )


def _key(section: str, key: str) -> tuple[str, str]:
    """Return the default and the name of a key, as they stand in the table."""
    model = BasicConfig if section == "basic" else SECTIONS[section]
    one = model.model_json_schema(mode="serialization")["properties"][key]
    default = one.get("default")
    text = "none" if default in (None, 0, "0B") else str(default)
    return text, f"`{section}.{key}`" if section == "basic" else f"`{section}.*.{key}`"


def _client_limits() -> Iterator[Row]:
    server = "servers"
    yield "request line", *_key(server, "max_request_line"), "414, connection closed"
    yield "request head", *_key(server, "max_header_size"), "431, connection closed"
    yield "header fields", *_key(server, "max_headers"), "431, connection closed"
    yield "arrival of a head", *_key(server, "head_read_timeout"), "408, connection closed"
    timeout = _key(server, "downstream_read_timeout")
    yield "next bytes of a body", *timeout, "408 if no answer has begun; connection closed"
    overhead = f"{format_size(chunked.OVERHEAD)}, and {chunked.OVERHEAD_PER_CHUNK} bytes a chunk"
    yield "chunk sizes, extensions, trailers", overhead, "", "400, connection closed"
    yield "request body", *_key("locations", "client_max_body_size"), "413"
    yield "requests at once on a location", *_key("locations", "max_processing"), "429"
    text = "the rest stays in the kernel's buffers until the request is answered"
    yield "pipelined requests held", *_key(server, "pipeline_buffer_size"), text
    text = "counted from the right; the others are ignored"
    yield "hops of `X-Forwarded-For` and `Forwarded` read", str(forwarding.MOST_HOPS), "", text
    text = "the others do not affect the format of an error page"
    yield "members of `Accept` read", str(error_page.MOST_ACCEPTED), "", text
    what = "parameters of a query or form that a plugin reads"
    yield what, str(forms.MOST_PARAMETERS), "", "400, unless the plugin catches the error"
    text = "an error of the plugin that sets it"
    yield "name and value of a cookie", f"{cookies.LONGEST_COOKIE} bytes", "", text
    size = f"{signing.LONGEST_TEXT} characters, from {signing.LONGEST_VALUE} bytes"
    yield "a signed value", size, "", "`verify` returns None; `sign` raises an error"


def _connection_limits() -> Iterator[Row]:
    server = "servers"
    text = "503 with `Retry-After: 1`; over HTTP/2 GOAWAY"
    yield "connections of a worker", *_key("basic", "max_connections"), text
    waited = f"{format_duration(sniffing.TURN_AWAY_SECONDS)}, for {listener.MOST_TURNED_AWAY}"
    yield (
        "detecting the protocol of a connection that is turned away (`enabled_h2`)",
        waited,
        "",
        "503",
    )
    yield "connections not yet accepted", *_key(server, "backlog"), "the kernel refuses more"
    yield "waiting for the next request", *_key(server, "keepalive_timeout"), "connection closed"
    timeout = _key(server, "head_read_timeout")
    yield "arrival of a PROXY header", *timeout, "connection reset"
    size = f"{proxy_protocol.MOST_TEXT} bytes (v1), {proxy_protocol.MOST_BINARY} bytes (v2)"
    yield "PROXY header", size, "", "connection reset"
    text = "the oldest one is reset"
    yield "connections that wait for a PROXY header", str(proxy_acceptor.MOST_WAITING), "", text
    timeout = _key(server, "tls_handshake_timeout")
    yield "a TLS handshake", *timeout, "connection reset"
    text = "the oldest one that has sent nothing is reset, or else the oldest one"
    yield "TLS handshakes under way", *_key(server, "tls_max_handshakes"), text
    text = "connection reset; each record with data allows another one"
    most = str(transport.MOST_IDLE_RECORDS)
    yield "TLS records without data (KeyUpdate, padding) after the handshake", most, "", text
    size = format_size(client_hello.MOST_HELLO)
    yield "ClientHello that is inspected", size, "", "a longer one goes to OpenSSL as it is"
    seconds = format_duration(acceptor.LINGER_SECONDS)
    text = "connection reset; until then it may read the 400 that it was sent"
    yield "client spoke plain HTTP on a TLS port", seconds, "", text
    text = "connection cut"
    yield (
        "an upgraded connection on which nothing passes",
        *_key(server, "tunnel_idle_timeout"),
        text,
    )
    text = "connection closed after the answer"
    yield "requests on a connection", *_key(server, "keepalive_requests"), text
    text = "connection reset; the access log has the bytes that were sent"
    yield "client does not read", *_key(server, "downstream_write_timeout"), text
    seconds = format_duration(http1_connection.LINGER_SECONDS)
    text = "connection reset; until then what it sends is read and thrown away"
    yield "client sends on after it was refused", seconds, "", text
    size = format_size(http1_connection.LINGER_BYTES)
    yield "bytes thrown away in that time", size, "", "connection reset"
    seconds = format_duration(http1_connection.LOOK_SECONDS)
    text = "its socket is checked; if it is gone, the request ends (499)"
    yield "client that is not read, since its next requests wait", seconds, "", text
    first = format_duration(http1_connection.PROBE_SECONDS)
    most = format_duration(http1_connection.MOST_PROBE_SECONDS)
    text = "probed by one `100 Continue`, then by TCP keep-alive; if it is gone, the request ends (499)"
    yield (
        "half-closed client, its response pauses",
        f"{first} to {most}",
        "",
        "the request ends (499): if the client has left, nothing else shows it",
    )
    yield "half-closed client, response not ready", f"{first}, doubling up to {most}", "", text


def _state_limits() -> Iterator[Row]:
    for state_, size in STATES.items():
        yield state_, format_size(size), "", "" if "TLS" not in state_ else "OpenSSL's included"


def _turn_limits() -> Iterator[Row]:
    text = "the rest is done in later turns, round robin; until then the connection is not read"
    milliseconds = f"{backlog.SECONDS * 1000:g}ms"
    yield "work beyond the first piece of each connection", milliseconds, "", text
    piece = format_size(backlog.PIECE)
    what = "a piece: one request, frame or record; or bytes of heads, chunks, a handshake"
    yield what, piece, "", "the rest is split into further pieces"
    chunks, interim = format_size(http1_response.PIECE), http1_response.MOST_AT_ONCE
    what = "a piece of an HTTP/1.1 response from an upstream"
    size = f"{chunks} of chunks, {interim} interim responses"
    yield what, size, "", "the rest is split into further pieces"
    what = "a piece of a WebSocket whose messages a plugin reads, over HTTP/1.1"
    yield what, format_size(events.TUNNEL_PIECE), "", "the rest is split into further pieces"
    size = format_size(backlog.FULL_READ)
    yield "bytes of one read", size, "", "after a read of this size, other sockets are read first"
    seconds = format_duration(backlog.LAST_SECONDS)
    text = "the response is cut"
    yield "processing buffered input of an upstream that disconnected", seconds, "", text


def _http2_limits() -> Iterator[Row]:
    server, state = "servers", http2_state
    yield "streams at once on a connection", str(state.MOST_STREAMS), "", "`REFUSED_STREAM`"
    size = format_size(http2_frames.MOST_FRAME)
    yield "frame", size, "", "`FRAME_SIZE_ERROR`, connection closed"
    yield "request line, head, header fields", "as above", "", "414 or 431, for that stream only"
    twice = "twice size and fields of a head, with 32 bytes a field"
    text = "`ENHANCE_YOUR_CALM`, connection closed"
    yield "header block, decoded or not", twice, "", text
    yield "frames of a header block", str(http2_endpoint.MOST_CONTINUATIONS), "", text
    text = "`COMPRESSION_ERROR`, connection closed"
    number = str(http2_hpack.MOST_SIZE_UPDATES)
    yield "table size updates in a header block", number, "", text
    text = "`ENHANCE_YOUR_CALM`, connection closed"
    yield "settings in one frame", str(http2_endpoint.MOST_SETTINGS), "", text
    timeout = _key(server, "head_read_timeout")
    yield "arrival of a frame or header block", *timeout, "`PROTOCOL_ERROR`, connection closed"
    size = format_size(state.STREAM_WINDOW)
    text = "the client gets no more room until the upstream has taken it"
    yield "request body held for a stream", size, "", text
    yield "the same, for a connection", format_size(state.CONNECTION_WINDOW), "", text
    yield "next bytes of a body", *_key(server, "downstream_read_timeout"), "408, for that stream"
    least = http2_halves.LEAST_PROGRESS
    text = f"`CANCEL`, for that stream; {least} bytes restart the time"
    yield (
        "client does not open the window of a stream",
        *_key(server, "downstream_write_timeout"),
        text,
    )
    size = format_size(http2_connection.MOST_UNSENT)
    yield "responses that a client does not read", size, "", "reading from the client is paused"
    seconds = format_duration(http1_connection.LINGER_SECONDS)
    size = format_size(http1_connection.LINGER_BYTES)
    text = "`NO_ERROR`, for that stream; until then it is read and thrown away"
    yield "client sends on after its answer", f"{seconds}, {size}", "", text
    default, key = _key(server, "keepalive_timeout")
    text = "PING; without a sign of life in as much time again, the connection is cut"
    yield "client says nothing while a stream is open", f"half of {default}", key, text
    text = "reading from upstreams is paused until half of it is sent"
    held = format_size(http2_connection.MOST_HELD)
    yield "responses of a connection that wait for window", held, "", text
    seconds = format_duration(http2_connection.GOAWAY_SECONDS)
    text = "what it opens later is refused"
    yield "new streams after the first GOAWAY", seconds, "", text
    yield "closed streams remembered", str(state.CLOSED_STREAMS), "", "late frames are errors"
    blocks = f"{http2_hpack.MOST_BLOCKS} of {http2_hpack.LONGEST_BLOCK} bytes, "
    blocks += f"{format_size(http2_hpack.LONGEST_LIST)} decoded"
    yield "header blocks cached for a connection", blocks, "", "the cache is emptied"


def _flood_limits() -> Iterator[Row]:
    for stock in http2_floods.STOCKS.values():
        limit = f"{stock.most}, and {stock.per_second:g} a second"
        name = stock.name
        if name == "streams reset":
            name = "streams reset before their response began"
        yield name, limit, "", "`ENHANCE_YOUR_CALM`, connection closed, logged"


def _upstream_limits() -> Iterator[Row]:
    up = "upstreams"
    yield "making a connection", *_key(up, "connection_timeout"), "504, or another attempt"
    yield "the same, with TLS", *_key(up, "total_connection_timeout"), "504, or another attempt"
    seconds = format_duration(upstream.HANDSHAKE_SECONDS)
    text = "504, or another attempt; `total_connection_timeout` takes its place"
    yield "a TLS handshake", seconds, "", text
    text = "504, or the answer is cut if it has begun"
    yield "next bytes of an answer", *_key(up, "read_timeout"), text
    yield "upstream takes nothing", *_key(up, "write_timeout"), text
    yield "idle connection", *_key(up, "idle_timeout"), "closed"
    seconds = format_duration(connection.CLOSE_SECONDS)
    yield "sending buffered bytes before a connection is closed", seconds, "", "connection reset"
    text = "if the upstream then closes the connection, it is not a failure of the upstream"
    seconds = format_duration(connection.SLOW_REQUEST_SECONDS)
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
    text = "those beyond it that were not used for a second are closed"
    yield "idle connections kept", *_key("basic", "upstream_keepalive_pool_size"), text
    text = "no further attempt: 502 or 504"
    most = f"; {retries.MOST} at most"
    yield "further attempts", "none", "`locations.*.max_retries`", text + most
    yield "age of a request that is tried again", *_key("locations", "max_retry_window"), text
    seconds = f"{format_duration(transparent.LOOKUP_SECONDS)}, or the limit of a connection"
    key = "`upstreams.*.connection_timeout`"
    yield "finding the name of a transparent upstream", seconds, key, "504, or another attempt"
    seconds = format_duration(transparent.REMEMBERED_SECONDS)
    yield "how long its addresses are used", seconds, "", "it is looked up again"
    text = "the one that was found first is forgotten"
    yield "names remembered for a transparent upstream", str(transparent.MOST_NAMES), "", text
    key = "`upstreams.*.retry_budget`"
    share = f"{upstream.DEFAULT_RETRY_BUDGET} percent of the requests of the last "
    share += f"{format_duration(retry_budget.SECONDS)}, and {retry_budget.AT_LEAST}"
    yield "requests that were sent and are sent again", share, key, "no further attempt"
    text = "a longer one is not sent again"
    yield "request body kept for `retry_on`", *_key("locations", "retry_buffer_size"), text
    size = format_size(tcp.MOST_REST)
    yield "answer read from a connection that was reset", size, "", "the answer is cut"
    yield "weight of a backend", f"{MAX_WEIGHT:,}", "`addrs`", "an error of the configuration"
    text = "with more backends, each has fewer points than its 160, and shares are less even"
    yield "points on the ring of a hash", f"{ring.MOST_POINTS:,}", "", text
    yield from _discovery_limits()
    replay = format_size(REPLAY_LIMIT)
    text = "a longer one is not sent again when a kept connection had died"
    yield "request body kept to be sent again", replay, "", text
    yield "response head", format_size(events.RESPONSE_LIMITS.size), "", "502"
    yield "response header fields", str(events.RESPONSE_LIMITS.fields), "", "502"
    yield "chunk overhead", "as for requests", "", "502, or the answer is cut if it has begun"


def _discovery_limits() -> Iterator[Row]:
    seconds = format_duration(discovery.FIRST_SECONDS)
    text = "the worker serves without its backends, which answers 503"
    yield "finding backends before a worker serves", seconds, "", text
    text = "the last backends stay in use, and it is tried again after "
    text += format_duration(discovery.RETRY_SECONDS)
    yield "finding backends later", format_duration(discovery.FIND_SECONDS), "", text
    least = format_duration(discovery.SHORTEST_SECONDS)
    text = f"backends are looked up again; {least} at least, whatever a TTL says"
    yield "age of what was found", *_key("upstreams", "update_frequency"), text
    text = "further ones wait for their turn"
    yield "upstreams that are looked up at once", str(discovery.MOST_AT_ONCE), "", text
    seconds = format_duration(discovery.SETTLE_SECONDS)
    yield "news of a discovery that come together", seconds, "", "one lookup for all of them"


def _http2_upstream_limits() -> Iterator[Row]:
    up, there = "upstreams", http2_upstream
    text = "another connection is made"
    yield "requests at once on a connection", *_key(up, "max_h2_streams"), text
    seconds = format_duration(there.SETTINGS_SECONDS)
    yield "begin of HTTP/2", seconds, "", "504, or another attempt"
    text = "the upstream gets no more room until the client has taken it"
    size = format_size(http2_state.STREAM_WINDOW)
    yield "answer held for a stream", size, "", text
    least = http2_halves.LEAST_PROGRESS
    text = f"504, for that stream; {least} bytes restart the time"
    yield "upstream does not open the window of a stream", *_key(up, "write_timeout"), text
    yield "interim responses", str(http2_client.MOST_INTERIM), "", "502"
    text = "another connection replaces it; it closes after its last stream"
    yield "streams that pingap resets on a connection", str(http2_client.MOST_RESETS), "", text
    text = "502: it did nothing with any of them"
    yield "refusals of one request", str(retries.MOST_REFUSALS), "", text
    text = "a longer one is not sent again after a refusal"
    yield "request body kept to be sent again", format_size(REPLAY_LIMIT), "", text
    seconds, answer = format_duration(there.PING_SECONDS), format_duration(there.ANSWER_SECONDS)
    text = f"PING; without a sign of life within {answer}, the connection is cut"
    yield "upstream says nothing while a stream is open", seconds, "", text
    yield "frames that ask for nothing", "as above", "", "connection closed, 502"


def _message_limits() -> Iterator[Row]:
    one = websocket_filter
    size = format_size(one.MESSAGE_LIMIT)
    key = "`WebSocketFilter.message_limit`"
    yield (
        "a message of a WebSocket, decompressed",
        size,
        key,
        "both sides closed, the sender with 1009",
    )
    seconds = format_duration(one.STALL_SECONDS)
    key, text = "`WebSocketFilter.stall_timeout`", "both sides closed, the sender with 1008"
    yield "a message of a WebSocket becomes complete", seconds, key, text
    size = f"{websocket_frames.MOST_CONTROL} bytes"
    yield "a ping, pong or close frame", size, "", "both sides closed, the sender with 1002"
    number = str(websocket_deflate.MOST_FINAL_BLOCKS)
    text = "both sides closed, the sender with 1007"
    yield "streams of DEFLATE in a compressed message", number, "", text
    seconds = format_duration(websocket_session.CLOSE_SECONDS)
    text = "both connections are closed"
    yield "an upstream ends the connection of a closed WebSocket", seconds, "", text
    size = format_size(message_filters.EVENT_LIMIT)
    yield "a server-sent event", size, "`SSEFilter.message_limit`", "response cut"
    size = format_size(message_filters.GRPC_LIMIT)
    key = "`GRPCMessageFilter.message_limit`"
    yield "a message of gRPC", size, key, "413 for a request; a response is cut"


def _health_limits() -> Iterator[Row]:
    checked = health_check.HealthCheck()
    key = "`upstreams.*.health_check`"
    seconds = format_duration(checked.connection_timeout)
    yield "making the connection of a check", seconds, key, "the backend failed it"
    yield (
        "the answer to a check",
        format_duration(checked.read_timeout),
        key,
        "the backend failed it",
    )
    text = "more is not looked at"
    yield "body of that answer", format_size(http_check.MOST_BODY), "", text
    text = "shorter ones are refused when the configuration is loaded"
    yield "time between two checks", format_duration(health_check.SHORTEST), key, text
    text = "the oldest is forgotten"
    yield "values that workers keep of each other's news", str(bus.MOST_VALUES), "", text
    text = "others are left out of `Server-Timing`"
    yield "timings that plugins add to a request", str(context.MOST_TIMINGS), "", text
    yield "messages that wait for a plugin", str(messages.MOST_WAITING), "", "the oldest is dropped"
    waiting = str(notifications.MOST_WAITING)
    yield "notifications that wait to be handled", waiting, "", "the oldest is dropped"
    size = format_size(notifications.LARGEST)
    yield "a notification", size, "", "its detail is cut; `ValueError` if that is not enough"
    seconds = format_duration(notifying.HANDLER_SECONDS)
    yield "an async handler of a notification", seconds, "", "it is cancelled, and that is logged"
    size = format_size(messages.LARGEST_VALUE)
    yield "a message between workers", size, "", "`publish` raises an error"
    yield "checks at once, of all upstreams", str(health_service.MOST_AT_ONCE), "", "others wait"
    seconds = f"{ejection.LONGEST} times `passive_ejection_time`"
    yield (
        "a backend is kept out",
        seconds,
        "`upstreams.*.passive_ejection_time`",
        "it gets requests",
    )
    key = "passive_max_ejected_percent"
    share, key = _key("upstreams", key)
    text = "others get requests although they fail"
    yield "backends kept out at once", f"{share} percent", key, text


def _succession_limits() -> Iterator[Row]:
    yield "requests under way after a signal to stop", *_key("basic", "grace_period"), "cut"
    yield (
        "last request of an idle connection after an upgrade",
        format_duration(http1_connection.LAST_REQUEST_SECONDS),
        "",
        "connection closed; a shorter `keepalive_timeout` takes its place",
    )
    last = _key("basic", "graceful_shutdown_timeout")
    yield "plugins that shut down", *last, "the process ends without them"
    seconds = format_duration(foreign_code.LEAVE_SECONDS)
    yield "cancelled task of a plugin", seconds, "", "abandoned, and logged"
    first = format_duration(background_tasks.FIRST_PAUSE)
    most = format_duration(background_tasks.LONGEST_PAUSE)
    text = "restarted after this pause"
    yield "failed service of a plugin", f"{first}, doubling up to {most}", "", text
    silent = _key("basic", "worker_timeout")
    yield "a worker shows no sign of life", *silent, "killed and replaced"
    yield (
        "replacing a worker that ends at once, again and again",
        f"up to {format_duration(supervisor.LONGEST_WAIT)}",
        "",
        "the others serve meanwhile",
    )
    yield (
        "workers build a new configuration",
        format_duration(reload.PREPARE_SECONDS),
        "",
        "the old one stays",
    )
    yield (
        "a new process (`-u`) waits for the old one",
        format_duration(upgrade.WAIT_SECONDS),
        "",
        "it ends with the reason",
    )
    yield (
        "the old process looks for the new one",
        format_duration(upgrade.CONNECT_SECONDS),
        "",
        "the old one goes on",
    )
    yield (
        "the new process has the sockets and does not serve",
        format_duration(upgrade.SERVE_SECONDS),
        "",
        "the old one goes on",
    )


def _side_call_limits() -> Iterator[Row]:
    seconds, text = format_duration(client.TIMEOUT), "`SideCallError`"
    yield "a side call, or a step of a streamed one", seconds, "the parameter `timeout`", text
    size = format_size(side_call_stream.MOST_BODY)
    yield (
        "body of the answer to a side call, read as a whole",
        size,
        "the parameter `max_body`",
        text,
    )
    text = "further calls wait for one, up to their time limit"
    most = str(pools.MOST_CONNECTIONS)
    yield (
        "connections of side calls by TCP, to one Unix socket, or with one `ClientTLS`",
        most,
        "",
        text,
    )
    text = "the connections of the one unused for longest are closed"
    yield "Unix sockets and `ClientTLS` whose connections are kept", str(pools.MOST_POOLS), "", text
    yield "idle connection of side calls", format_duration(pools.IDLE_SECONDS), "", "closed"


def _body_limits() -> Iterator[Row]:
    size = format_size(filter_chain.MOST_WAITING)
    yield "bytes waiting for an async body filter", size, "", "reading from the sender is paused"
    threads, text = str(threaded_filter.FILTER_THREADS), "further calls wait for one"
    yield "threads of body filters, unless a plugin has a limiter of its own", threads, "", text
    threads = str(file_body.FILE_THREADS)
    yield "threads that open and read files (`FileBody`)", threads, "", "further reads wait for one"
    size = f"2 pieces of {format_size(file_body.PIECE)}"
    yield "bytes of a file that are read ahead", size, "", "the client has to take one first"
    seconds = format_duration(body_source.READ_SECONDS)
    text = "500, or the response is cut if it has begun"
    yield "opening a file, or reading a piece of it", seconds, "", text


def _process_limits() -> Iterator[Row]:
    yield from _succession_limits()
    seconds = format_duration(log_files.FLUSH_SECONDS)
    batch = f"{log_files._BATCH} lines"
    size = format_size(kinds.SECRET_LIMIT)
    text = "an error when the configuration is loaded"
    yield "configuration file", format_size(files.FILE_LIMIT), "", text
    yield "plugin file", format_size(local_plugins.SOURCE_LIMIT), "", text
    yield "file of a secret", size, "", text
    limit = format_duration(watchdog.LIMIT_SECONDS)
    yield "file of a certificate or key", size, "", "an error when the configuration is loaded"
    text = "the one unused for longest is dropped"
    yield "certificates that an authority signed and keeps", str(issuer.KEPT), "", text
    yield "sockets taken over from systemd", str(activation.MOST), "", "the others stay unused"
    text = "logged with its stack, once in "
    text += f"{format_duration(watchdog.REPEAT_SECONDS)} for each place"
    yield "code that blocks the event loop", f"about {limit}", "", text
    series = f"{plugin_metrics.MOST_SERIES} combinations"
    text = f"counted together under `{plugin_metrics.OTHER}`"
    yield "label values of a plugin's metric", series, "", text
    yield from _body_limits()
    text = "the others are left out; counted as a failure of the plugin"
    yield "metrics that a plugin collects", str(metric_families.MOST_COLLECTED), "", text
    yield from _side_call_limits()
    sizes, text = state.DEFAULT_SIZES, "the one unused for longest is forgotten"
    for kind in ("counters", "gauges", "windows"):
        yield f"shared {kind}", str(getattr(sizes, kind)), "", text
    yield "records of shared tables", str(sizes.tables), "", text
    yield "values of such a record", str(state.MOST_VALUES), "", "an error of the plugin"
    size = format_size(changes.TEXT_LIMIT)
    yield "text of what changed in the configuration", size, "", "cut"
    yield "log lines waiting in memory", f"{seconds} or {batch}", "", "written; none is dropped"
    size = format_size(log_files.MOST_KEPT)
    text = "the oldest are dropped; a warning gives their number"
    yield "log lines kept while a log cannot be written", size, "", text
