"""What is bounded for clients and their connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from limit_keys import key_of
from markdown_table import Row

from pingap.config import (
    format_duration,
    format_size,
)
from pingap.downstream import (
    http1_connection,
    http1_time_limits,
    http2_connection,
    http2_time_limits,
    listener,
    proxy_acceptor,
    sniffing,
)
from pingap.downstream import tls_acceptor as acceptor
from pingap.http import cookies, error_template, forms, forwarding, signing
from pingap.protocol import (
    chunked,
    events,
    http1_response,
    http2_endpoint,
    http2_floods,
    http2_frames,
    http2_hpack,
    http2_state,
    proxy_protocol,
)
from pingap.proxy import internal_redirect
from pingap.tls import client_hello
from pingap.wire import backlog, http2_halves
from pingap.wire import tls_transport as transport

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


def client_limits() -> Iterator[Row]:
    """Yield the limits of requests of clients."""
    server = "servers"
    yield "request line", *key_of(server, "max_request_line"), "414, connection closed"
    yield "request head", *key_of(server, "max_header_size"), "431, connection closed"
    yield "header fields", *key_of(server, "max_headers"), "431, connection closed"
    yield "arrival of a head", *key_of(server, "head_read_timeout"), "408, connection closed"
    timeout = key_of(server, "downstream_read_timeout")
    text = "408 if no response has begun; connection closed; `client_body_timeout` of a location takes its place"
    yield "next bytes of a body", *timeout, text
    overhead = f"{format_size(chunked.OVERHEAD)}, and {chunked.OVERHEAD_PER_CHUNK} bytes a chunk"
    yield "chunk sizes, extensions, trailers", overhead, "", "400, connection closed"
    yield "request body", *key_of("locations", "client_max_body_size"), "413"
    yield "requests at once on a location", *key_of("locations", "max_processing"), "429"
    text = "the rest stays in the kernel's buffers until the request is answered"
    yield "pipelined requests held", *key_of(server, "pipeline_buffer_size"), text
    text = "counted from the right; the others are ignored"
    yield "hops of `X-Forwarded-For` and `Forwarded` read", str(forwarding.MOST_HOPS), "", text
    text = "the others do not affect the format of an error page"
    yield "members of `Accept` read", str(error_template.MOST_ACCEPTED), "", text
    what = "parameters of a query or form that a plugin reads"
    yield what, str(forms.MOST_PARAMETERS), "", "400, unless the plugin catches the error"
    text = "an error of the plugin that sets it"
    yield "name and value of a cookie", f"{cookies.LONGEST_COOKIE} bytes", "", text
    text = "502; the reason is logged"
    yield "internal redirects of a request", str(internal_redirect.MOST_REDIRECTS), "", text
    size = f"{signing.LONGEST_TEXT} characters, from {signing.LONGEST_VALUE} bytes"
    yield "a signed value", size, "", "`verify` returns None; `sign` raises an error"


def connection_limits() -> Iterator[Row]:
    """Yield the limits of connections of clients."""
    server = "servers"
    text = "503 with `Retry-After: 1`; over HTTP/2 GOAWAY"
    yield "connections of a worker", *key_of("basic", "max_connections"), text
    waited = f"{format_duration(sniffing.TURN_AWAY_SECONDS)}, for {listener.MOST_TURNED_AWAY}"
    yield (
        "detecting the protocol of a connection that is turned away (`enabled_h2`)",
        waited,
        "",
        "503",
    )
    yield "connections not yet accepted", *key_of(server, "backlog"), "the kernel refuses more"
    yield "waiting for the next request", *key_of(server, "keepalive_timeout"), "connection closed"
    timeout = key_of(server, "head_read_timeout")
    yield "arrival of a PROXY header", *timeout, "connection reset"
    size = f"{proxy_protocol.MOST_TEXT} bytes (v1), {proxy_protocol.MOST_BINARY} bytes (v2)"
    yield "PROXY header", size, "", "connection reset"
    text = "the oldest one is reset"
    yield "connections that wait for a PROXY header", str(proxy_acceptor.MOST_WAITING), "", text
    timeout = key_of(server, "tls_handshake_timeout")
    yield "a TLS handshake", *timeout, "connection reset"
    text = "the oldest one that has sent nothing is reset, or else the oldest one"
    yield "TLS handshakes under way", *key_of(server, "tls_max_handshakes"), text
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
        *key_of(server, "tunnel_idle_timeout"),
        text,
    )
    text = "connection closed after the response"
    yield "requests on a connection", *key_of(server, "keepalive_requests"), text
    text = "connection reset; the access log has the bytes that were sent"
    yield "client does not read", *key_of(server, "downstream_write_timeout"), text
    seconds = format_duration(http1_connection.LINGER_SECONDS)
    text = "connection reset; until then its data is read and discarded"
    yield "client continues to send after it was refused", seconds, "", text
    size = format_size(http1_connection.LINGER_BYTES)
    yield "bytes discarded in that time", size, "", "connection reset"
    seconds = format_duration(http1_time_limits.LOOK_SECONDS)
    text = "its socket is checked; if it is gone, the request ends (499)"
    yield "client that is not read, because its pipelined requests wait", seconds, "", text
    first = format_duration(http1_time_limits.PROBE_SECONDS)
    most = format_duration(http1_time_limits.MOST_PROBE_SECONDS)
    text = "probed by one `100 Continue`, then by TCP keep-alive; if it is gone, the request ends (499)"
    yield (
        "half-closed client, its response pauses",
        f"{first} to {most}",
        "",
        "the request ends (499): if the client has left, nothing else shows it",
    )
    yield "half-closed client, response not ready", f"{first}, doubling up to {most}", "", text


def state_limits() -> Iterator[Row]:
    """Yield the limits of the memory of one connection."""
    for state_, size in STATES.items():
        yield state_, format_size(size), "", "" if "TLS" not in state_ else "OpenSSL's included"


def turn_limits() -> Iterator[Row]:
    """Yield the limits of the work per turn of the event loop."""
    text = "the rest is done in later turns, round robin; until then the connection is not read"
    milliseconds = f"{backlog.SECONDS * 1000:g}ms"
    yield "work beyond the first piece of each connection", milliseconds, "", text
    piece = format_size(backlog.PIECE)
    what = "a piece: one request, frame, record or WebSocket message; or bytes of heads, chunks, a handshake"
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


def http2_limits() -> Iterator[Row]:
    """Yield the limits of clients of HTTP/2."""
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
    timeout = key_of(server, "head_read_timeout")
    yield "arrival of a frame or header block", *timeout, "`PROTOCOL_ERROR`, connection closed"
    size = format_size(state.STREAM_WINDOW)
    text = "the client gets no more window until the upstream has accepted it"
    yield "request body held for a stream", size, "", text
    yield "the same, for a connection", format_size(state.CONNECTION_WINDOW), "", text
    text = "408, for that stream; `client_body_timeout` of a location takes its place"
    yield "next bytes of a body", *key_of(server, "downstream_read_timeout"), text
    least = http2_halves.LEAST_PROGRESS
    text = f"`CANCEL`, for that stream; {least} bytes restart the time"
    yield (
        "client does not open the window of a stream",
        *key_of(server, "downstream_write_timeout"),
        text,
    )
    size = format_size(http2_connection.MOST_UNSENT)
    yield "responses that a client does not read", size, "", "reading from the client is paused"
    seconds = format_duration(http1_connection.LINGER_SECONDS)
    size = format_size(http1_connection.LINGER_BYTES)
    text = "`NO_ERROR`, for that stream; until then the data is read and discarded"
    yield "client continues to send after its response", f"{seconds}, {size}", "", text
    default, key = key_of(server, "keepalive_timeout")
    text = "PING; if it does not respond within the same time, the connection is cut"
    yield "client is silent while a stream is open", f"half of {default}", key, text
    text = "reading from upstreams is paused until half of it is sent"
    held = format_size(http2_connection.MOST_HELD)
    yield "responses of a connection that wait for the client's window", held, "", text
    seconds = format_duration(http2_time_limits.GOAWAY_SECONDS)
    text = "streams opened later are refused"
    yield "new streams after the first GOAWAY", seconds, "", text
    yield "closed streams remembered", str(state.CLOSED_STREAMS), "", "late frames are errors"
    blocks = f"{http2_hpack.MOST_BLOCKS} of {http2_hpack.LONGEST_BLOCK} bytes, "
    blocks += f"{format_size(http2_hpack.LONGEST_LIST)} decoded"
    yield "header blocks cached for a connection", blocks, "", "the cache is emptied"


def flood_limits() -> Iterator[Row]:
    """Yield the limits of frames of HTTP/2 that ask for nothing."""
    for stock in http2_floods.STOCKS.values():
        limit = f"{stock.most}, and {stock.per_second:g} a second"
        name = stock.name
        if name == "streams reset":
            name = "streams reset before their response began"
        yield name, limit, "", "`ENHANCE_YOUR_CALM`, connection closed, logged"
