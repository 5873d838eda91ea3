"""What is bounded for plugins and in the process."""

from __future__ import annotations

from collections.abc import Iterator

from limit_keys import key_of
from markdown_table import Row

from pingap.client import client, pools
from pingap.client import stream as side_call_stream
from pingap.config import (
    changes,
    files,
    format_duration,
    format_size,
    kinds,
    network_lists,
)
from pingap.config.storage import history
from pingap.downstream import (
    http1_connection,
    listener,
)
from pingap.http import context
from pingap.observability import log_files, metric_families, notifications, plugin_metrics, watchdog
from pingap.plugins import (
    background_tasks,
    chains,
    durable_store,
    file_body,
    foreign_code,
    message_filters,
    threaded_filter,
    websocket_filter,
)
from pingap.plugins import local as local_plugins
from pingap.protocol import (
    websocket_deflate,
    websocket_frames,
)
from pingap.proxy import body_source, fetch, filter_chain, unattended, websocket_session
from pingap.shared_state import bus, messages, state, values
from pingap.supervisor import activation, control_socket, master, reload, supervisor, upgrade
from pingap.tls import issuer, replacements
from pingap.worker import notifying

KIB, MIB = 1024, 1024 * 1024


def message_limits() -> Iterator[Row]:
    """Yield the limits of messages that plugins read."""
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
    yield "arrival of the rest of a WebSocket message", seconds, key, text
    size = f"{websocket_frames.MOST_CONTROL} bytes"
    yield "a ping, pong or close frame", size, "", "both sides closed, the sender with 1002"
    number = str(websocket_deflate.MOST_FINAL_BLOCKS)
    text = "both sides closed, the sender with 1007"
    yield "streams of DEFLATE in a compressed message", number, "", text
    seconds = format_duration(websocket_session.CLOSE_SECONDS)
    text = "both connections are closed"
    yield "closing of the upstream's connection after a WebSocket was closed", seconds, "", text
    size = format_size(message_filters.EVENT_LIMIT)
    yield "a server-sent event", size, "`SSEFilter.message_limit`", "response cut"
    size = format_size(message_filters.GRPC_LIMIT)
    key = "`GRPCMessageFilter.message_limit`"
    yield "a gRPC message", size, key, "413 for a request; a response is cut"


def _succession_limits() -> Iterator[Row]:
    yield "requests in progress after a signal to stop", *key_of("basic", "grace_period"), "cut"
    yield (
        "last request of an idle connection after an upgrade",
        format_duration(http1_connection.LAST_REQUEST_SECONDS),
        "",
        "connection closed; a shorter `keepalive_timeout` takes its place",
    )
    seconds, key = format_duration(chains.DEFAULT_TIMEOUT), "`plugins.*.timeout`"
    yield "an async hook of a plugin", seconds, key, "cancelled: 500, unless it may fail open"
    last = key_of("basic", "graceful_shutdown_timeout")
    yield "plugins that shut down", *last, "the process ends without them"
    seconds = format_duration(foreign_code.LEAVE_SECONDS)
    yield "cancelled task of a plugin", seconds, "", "abandoned, and logged"
    first = format_duration(background_tasks.FIRST_PAUSE)
    most = format_duration(background_tasks.LONGEST_PAUSE)
    text = "restarted after this pause"
    yield "failed service of a plugin", f"{first}, doubling up to {most}", "", text
    silent = key_of("basic", "worker_timeout")
    yield "a worker does not respond", *silent, "killed and replaced"
    yield (
        "pause before a worker that repeatedly ends at once is replaced",
        f"up to {format_duration(supervisor.LONGEST_WAIT)}",
        "",
        "the other workers serve meanwhile",
    )
    yield (
        "workers build a new configuration",
        format_duration(reload.PREPARE_SECONDS),
        "",
        "the old one stays in use",
    )
    first, most = format_duration(master.FIRST_PAUSE), format_duration(master.LONGEST_PAUSE)
    text = "with `-a` or `--autoreload`, it is repeated after this pause"
    yield (
        "a reload failed for a reason that may be temporary",
        f"{first}, doubling up to {most}",
        "",
        text,
    )
    yield (
        "a new process (`-u`) waits for the old one",
        format_duration(upgrade.WAIT_SECONDS),
        "",
        "it exits and reports the reason",
    )
    yield (
        "the old process looks for the new one",
        format_duration(upgrade.CONNECT_SECONDS),
        "",
        "the old one continues",
    )
    yield (
        "the new process has the sockets but does not serve",
        format_duration(upgrade.SERVE_SECONDS),
        "",
        "the old one continues",
    )


def _side_call_limits() -> Iterator[Row]:
    seconds, text = format_duration(client.TIMEOUT), "`SideCallError`"
    yield "a side call, or a step of a streamed one", seconds, "the parameter `timeout`", text
    size = format_size(side_call_stream.MOST_BODY)
    yield (
        "body of the response to a side call, read as a whole",
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
    yield "bytes of a file that are read ahead", size, "", "reading waits for the client"
    text = "discarded, as if no plugin wanted it"
    size = format_size(unattended.LARGEST_BODY)
    yield "body that is read for `ctx.finish_without_client`", size, "", text
    most = str(listener.MOST_UNATTENDED)
    yield "such bodies at once whose connection is lost, per server", most, "", text
    seconds = format_duration(body_source.READ_SECONDS)
    text = "500, or the response is cut if it has begun"
    yield "opening a file, or reading a piece of it", seconds, "", text


def _bus_limits() -> Iterator[Row]:
    size = format_size(messages.LARGEST_VALUE)
    yield "a message between workers", size, "", "`publish` raises an error"
    waiting = str(messages.MOST_WAITING)
    yield "messages that wait for a plugin", waiting, "", "the oldest is dropped"
    text = "the oldest is forgotten"
    yield "values of one kind that the bus between workers retains", str(bus.MOST_VALUES), "", text


def process_limits() -> Iterator[Row]:
    """Yield the limits of the process."""
    yield from _succession_limits()
    size = format_size(kinds.SECRET_LIMIT)
    text = "an error when the configuration is loaded"
    yield "configuration file", format_size(files.FILE_LIMIT), "", text
    yield "plugin file", format_size(local_plugins.SOURCE_LIMIT), "", text
    yield "file of a secret", size, "", text
    yield "file of networks", format_size(network_lists.FILE_LIMIT), "", text
    limit = format_duration(watchdog.LIMIT_SECONDS)
    yield "file of a certificate or key", size, "", "an error when the configuration is loaded"
    text = "the one unused for longest is dropped"
    yield "certificates that an authority signed and keeps", str(issuer.KEPT), "", text
    text = "`replace` raises an error"
    names = str(replacements.MOST_NAMES)
    yield "names of certificates that plugins replaced, added or removed", names, "", text
    size_of_one = format_size(messages.LARGEST_VALUE)
    yield "chain, key and names of such a certificate", size_of_one, "", text
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
    text = "others are left out of `Server-Timing`"
    yield "timings that plugins add to a request", str(context.MOST_TIMINGS), "", text
    yield from _side_call_limits()
    yield from _bus_limits()
    sizes, text = state.DEFAULT_SIZES, "the one unused for longest is forgotten"
    for kind in ("counters", "gauges", "windows"):
        yield f"shared {kind}", str(getattr(sizes, kind)), "", text
    yield "records of shared tables", str(sizes.tables), "", text
    yield "values of such a record", str(state.MOST_VALUES), "", "an error of the plugin"
    text = "the one that expires first is forgotten"
    yield f"shared values of up to {values.SMALL_VALUE} bytes", str(sizes.values), "", text
    size = format_size(values.LARGE_VALUE)
    yield f"shared values of up to {size}", str(sizes.large_values), "", text
    text = "one that has expired or is not used up is forgotten first"
    yield f"shared quotas of up to {values.SMALL_VALUE} bytes", str(sizes.quotas), "", text
    yield f"shared quotas of up to {size}", str(sizes.large_quotas), "", text
    yield "shared locks held at once", f"about {sizes.locks}", "", "further ones are waited for"
    waiting = str(notifications.MOST_WAITING)
    yield "notifications not yet handled", waiting, "", "the oldest is dropped"
    size = format_size(notifications.LARGEST)
    yield "a notification", size, "", "its detail is shortened; `ValueError` if that is not enough"
    seconds = format_duration(notifying.HANDLER_SECONDS)
    yield "an async handler of a notification", seconds, "", "it is cancelled, and that is logged"
    size = format_size(durable_store.LARGEST_STORE)
    yield "file of `worker.store`", size, "", "`StoreError`"
    yield "response to `worker.fetch`", format_size(fetch.LARGEST_RESPONSE), "", "`HTTPError` 502"
    size = f"{durable_store.LONGEST_KEY} bytes"
    yield "key in `worker.store`", size, "", "an error of the plugin"
    size = format_size(changes.TEXT_LIMIT)
    yield "description of a configuration change", size, "", "cut"
    seconds = format_duration(log_files.FLUSH_SECONDS)
    batch = f"{log_files._BATCH} lines"
    yield "log lines waiting in memory", f"{seconds} or {batch}", "", "written; none is dropped"
    size = format_size(log_files.MOST_KEPT)
    text = "the oldest are dropped; a warning gives their number"
    yield "log lines kept while a log cannot be written", size, "", text
    yield from _control_limits()


def _control_limits() -> Iterator[Row]:
    clients = str(control_socket.MOST_CLIENTS)
    yield "clients of the control socket", clients, "", "further ones are disconnected"
    seconds = format_duration(control_socket.ASK_SECONDS)
    yield "time for a request to the control socket", seconds, "", "disconnected"
    size = format_size(control_socket.LONGEST_REQUEST)
    yield "request to the control socket", size, "", "it is refused"
    versions = f"{history.MOST_VERSIONS}, {format_size(history.MOST_BYTES)}"
    yield "versions of the configuration that are kept", versions, "", "the oldest are removed"
