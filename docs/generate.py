"""Write the generated parts of the manual: settings, hooks and limits, read from the code.

A page holds ``<!-- generated: NAME -->`` and ``<!-- end generated -->``; what stands between them is
replaced. Everything else on a page is written by people.

    python docs/generate.py            write
    python docs/generate.py --check    change nothing; exit 1 and name the pages that are out of date
"""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel

from pingap import hookspecs
from pingap.balancing import ring
from pingap.config import (
    SECTIONS,
    TEMPLATE,
    BasicConfig,
    changes,
    format_duration,
    format_size,
    health_check,
    kinds,
    restart,
)
from pingap.config.addresses import MAX_WEIGHT
from pingap.health import ejection, http_check
from pingap.health import service as health_service
from pingap.hookspecs import PHASES
from pingap.net import http1_connection, http2_connection, http2_halves, proxy_acceptor, tcp
from pingap.observability import log_files, plugin_metrics, watchdog
from pingap.plugin import Plugin
from pingap.plugins import Registry
from pingap.process import activation
from pingap.protocol import (
    chunked,
    events,
    http2_client,
    http2_endpoint,
    http2_floods,
    http2_frames,
    http2_hpack,
    http2_state,
    proxy_protocol,
)
from pingap.relay import REPLAY_LIMIT
from pingap.shared_state import state
from pingap.tls import acceptor, issuer
from pingap.upstream import discovery, retries, retry_budget, transparent, upstream
from pingap.upstream import http2_connection as http2_upstream

DOCS = Path(__file__).parent

_BLOCK = re.compile(r"(<!-- generated: ([a-z -]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_ROLE = re.compile(r":[a-z]+:`(?:~?[\w.]*\.)?([\w]+)`")
_FIELD = re.compile(r":(?:param (?P<name>\w+)|returns|raises (?P<error>\w+)): (?P<text>.*)")

Row = tuple[str, ...]


def table(head: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# Settings.

_KINDS = {
    "pingap-duration": "duration",
    "pingap-size": "size",
    "pingap-secret": "secret",
    "pingap-regex": "regular expression",
    "pingap-network": "network",
    "pingap-header": "header",
    "pingap-upstream": "upstream name",
}
"""The ``format`` of a setting's JSON schema -> words."""


def settings_tables(model: type[BaseModel], skip: tuple[str, ...] = ()) -> str:
    """Return the keys of a table of the configuration: supported, without effect, not supported."""
    schema = model.model_json_schema(mode="serialization")
    required = schema.get("required", [])
    supported: list[Row] = []
    without_effect: list[Row] = []
    missing: list[Row] = []
    for key, one in schema.get("properties", {}).items():
        if key in skip:
            continue
        kind = type_words(one, schema.get("$defs", {}))
        text = markdown(one.get("description", "").replace("\n", " "))
        if "not_yet" in one:
            missing.append((f"`{key}`", kind, text, one["not_yet"]))
        elif "no_effect" in one:
            without_effect.append((f"`{key}`", kind, text, one["no_effect"]))
        else:
            default = "**required**" if key in required else default_words(one.get("default"))
            supported.append((f"`{key}`", kind, default, text))
    pages = [table(("Key", "Type", "Default", "Meaning"), supported)] if supported else []
    if without_effect:
        pages.append(
            "Accepted with a warning:\n\n"
            + table(("Key", "Type", "In pingap", "Here"), without_effect)
        )
    if missing:
        pages.append(
            "Not supported yet; setting one of these is an error:\n\n"
            + table(("Key", "Type", "Meaning", "Needs"), missing)
        )
    return "\n".join(pages) or "No settings.\n"


def type_words(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "$ref" in schema:
        return type_words(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if (kind := schema.get("format", "")) in _KINDS:
        return _KINDS[kind]
    if "enum" in schema or "const" in schema:
        return " or ".join(
            f"`{word}`" for word in schema.get("enum", [schema.get("const")]) if word
        )
    if "anyOf" in schema:
        kinds = [type_words(one, definitions) for one in schema["anyOf"]]
        return " or ".join(kind for kind in dict.fromkeys(kinds) if kind != "null")
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"array of {type_words(schema.get('items', {}), definitions)}s"
    return {"object": "table"}.get(kind, kind) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None:
        return f" {low or 0} to {high}"
    return f" from {low}" if low else ""


def default_words(default: object) -> str:
    """Write a default as TOML does; nothing if absent, empty or none at all."""
    if default in (None, "", [], {}):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return "`[" + ", ".join(f'"{one}"' for one in default) + "]`"
    return f"`{default}`" if isinstance(default, int | float) else f'`"{default}"`'


def plugin_settings() -> str:
    """Return a section for each category of the installed distributions."""
    registry = Registry()
    pages = []
    for category in registry.categories:
        cls = registry.category(category)
        pages.append(f"### `{category}`\n\n{_about(cls)}\n\n{settings_tables(cls.Settings)}")
    for key, distribution in sorted(registry.location_keys.items()):
        cls = registry.location_key(key)
        pages.append(
            f"### The location key `{key}`\n\nClaimed by {distribution}. {_about(cls)}\n\n"
            + settings_tables(cls.Settings)
        )
    return "\n".join(pages) or "No plugin distribution is installed.\n"


def _about(cls: type[Plugin]) -> str:
    text = markdown(inspect.getdoc(cls) or "")
    phases = [f"`{phase}`" for phase in PHASES if hasattr(cls, phase)]
    facts = [f"Phases: {', '.join(phases)}."] if phases else []
    if cls.steps:
        steps = " or ".join(f"`{step}`" for step in cls.steps)
        facts.append(f"`step` chooses {steps}; the first is the default.")
    return f"{text}\n\n{' '.join(facts)}".rstrip()


# Hooks.


def hooks(names: Iterable[str]) -> str:
    """Return a section for each hook: its signature and its docstring."""
    return "\n".join(_hook(name) for name in names)


def _hook(name: str) -> str:
    function = getattr(hookspecs, name)
    first = "\nThe first plugin that answers ends the phase.\n" if _first_result(function) else ""
    return f"### `{name}`\n\n```python\n{signature(function)}\n```\n{first}\n{docstring(function)}"


def _first_result(function: Callable[..., object]) -> bool:
    return bool(function.pingap_spec["firstresult"])  # type: ignore[attr-defined]  # set by pluggy


def signature(function: Callable[..., object]) -> str:
    """Return the line that an implementation begins with."""
    word = "async def" if inspect.iscoroutinefunction(function) else "def"
    text = str(inspect.signature(function)).replace("'", "")  # annotations are kept as text
    return f"{word} {function.__name__}{text}"


def docstring(function: Callable[..., object]) -> str:
    """Turn a docstring with Sphinx fields into Markdown."""
    body, _, version = (inspect.getdoc(function) or "").partition(".. versionadded::")
    parts: list[str] = []
    rows: list[Row] = []
    for piece in re.split(r"\n\n|\n(?=:)", body):
        words = " ".join(piece.split())
        if match := _FIELD.fullmatch(words):
            rows.append(_field_row(match))
        elif words:
            parts.append(markdown(words))
    if rows:
        parts.append(table(("", ""), rows).rstrip())
    if version.strip():
        parts.append(f"Since {version.strip()}.")
    return "\n\n".join(parts) + "\n"


def _field_row(match: re.Match[str]) -> Row:
    label = f"`{match['name']}`" if match["name"] else "returns"
    if match["error"]:
        label = f"raises `{match['error']}`"
    return label, markdown(match["text"])


def markdown(text: str) -> str:
    """Turn the inline markup of a docstring into Markdown."""
    return _ROLE.sub(r"`\1`", text).replace("``", "`")


# Limits.


def limits() -> str:
    """Return the table of everything that is bounded."""
    head = ("What", "Limit", "Key", "What happens")
    return "\n".join(
        f"### {title}\n\n{table(head, rows)}"
        for title, rows in (
            ("Requests of clients", list(_client_limits())),
            ("Connections of clients", list(_connection_limits())),
            ("Clients of HTTP/2", list(_http2_limits())),
            ("Frames of HTTP/2 that ask for nothing", list(_flood_limits())),
            ("Upstreams", list(_upstream_limits())),
            ("Upstreams of HTTP/2", list(_http2_upstream_limits())),
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


def _connection_limits() -> Iterator[Row]:
    server = "servers"
    yield "connections of a worker", *_key("basic", "max_connections"), "503 with `Retry-After: 1`"
    yield "connections not yet accepted", *_key(server, "backlog"), "the kernel refuses more"
    yield "waiting for the next request", *_key(server, "keepalive_timeout"), "connection closed"
    timeout = _key(server, "head_read_timeout")
    yield "arrival of a PROXY header", *timeout, "connection reset"
    size = f"{proxy_protocol.MOST_TEXT} bytes (v1), {proxy_protocol.MOST_BINARY} bytes (v2)"
    yield "PROXY header", size, "", "connection reset"
    text = "further connections are reset"
    yield "connections whose PROXY header is awaited", str(proxy_acceptor.MOST_WAITING), "", text
    timeout = _key(server, "tls_handshake_timeout")
    yield "a TLS handshake", *timeout, "connection reset"
    text = "further connections are reset"
    yield "TLS handshakes under way", *_key(server, "tls_max_handshakes"), text
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
    text = "connection reset; the log line says what was sent"
    yield "client takes nothing", *_key(server, "downstream_write_timeout"), text
    seconds = format_duration(http1_connection.LINGER_SECONDS)
    text = "connection reset; until then what it sends is read and thrown away"
    yield "client sends on after it was refused", seconds, "", text
    size = format_size(http1_connection.LINGER_BYTES)
    yield "bytes thrown away in that time", size, "", "connection reset"
    first = format_duration(http1_connection.PROBE_SECONDS)
    most = format_duration(http1_connection.MOST_PROBE_SECONDS)
    text = "sent `100 Continue`; one that is gone is given up (499)"
    yield "client ended its side, answer not ready", f"{first}, doubling up to {most}", "", text


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
    yield "settings in one frame", str(http2_endpoint.MOST_SETTINGS), "", text
    timeout = _key(server, "head_read_timeout")
    yield "arrival of a frame or header block", *timeout, "`PROTOCOL_ERROR`, connection closed"
    size = format_size(state.STREAM_WINDOW)
    text = "the client gets no more room until the upstream has taken it"
    yield "request body held for a stream", size, "", text
    yield "the same, for a connection", format_size(state.CONNECTION_WINDOW), "", text
    yield "next bytes of a body", *_key(server, "downstream_read_timeout"), "408, for that stream"
    least = http2_halves.LEAST_PROGRESS
    text = f"`CANCEL`, for that stream; {least} bytes set it anew"
    yield "client gives a stream no room", *_key(server, "downstream_write_timeout"), text
    size = format_size(http2_connection.MOST_UNSENT)
    yield "answers that a client does not take", size, "", "the client is not read either"
    seconds = format_duration(http1_connection.LINGER_SECONDS)
    size = format_size(http1_connection.LINGER_BYTES)
    text = "`NO_ERROR`, for that stream; until then it is read and thrown away"
    yield "client sends on after its answer", f"{seconds}, {size}", "", text
    default, key = _key(server, "keepalive_timeout")
    text = "PING; without a sign of life in as much time again, the connection is cut"
    yield "client says nothing while a stream is open", f"half of {default}", key, text
    seconds = format_duration(http2_connection.GOAWAY_SECONDS)
    text = "what it opens later is refused"
    yield "new streams after the first GOAWAY", seconds, "", text
    yield "closed streams remembered", str(state.CLOSED_STREAMS), "", "late frames are errors"
    blocks = f"{http2_hpack.MOST_BLOCKS} of {http2_hpack.LONGEST_BLOCK} bytes"
    yield "header blocks remembered for a connection", blocks, "", "all are forgotten"


def _flood_limits() -> Iterator[Row]:
    for stock in http2_floods.STOCKS.values():
        limit = f"{stock.most}, and {stock.per_second:g} a second"
        yield stock.name, limit, "", "`ENHANCE_YOUR_CALM`, connection closed"


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
    text = f"504, for that stream; {least} bytes set it anew"
    yield "upstream gives a stream no room", *_key(up, "write_timeout"), text
    yield "interim responses", str(http2_client.MOST_INTERIM), "", "502"
    text = "502: it did nothing with any of them"
    yield "refusals of one request", str(retries.MOST_REFUSALS), "", text
    text = "a longer one is not sent again after a refusal"
    yield "request body kept to be sent again", format_size(REPLAY_LIMIT), "", text
    seconds, answer = format_duration(there.PING_SECONDS), format_duration(there.ANSWER_SECONDS)
    text = f"PING; without a sign of life within {answer}, the connection is cut"
    yield "upstream says nothing while a stream is open", seconds, "", text
    yield "frames that ask for nothing", "as above", "", "connection closed, 502"


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


def _process_limits() -> Iterator[Row]:
    yield "requests under way after a signal to stop", *_key("basic", "grace_period"), "cut"
    seconds = format_duration(log_files.FLUSH_SECONDS)
    batch = f"{log_files._BATCH} lines"
    size = format_size(kinds.SECRET_LIMIT)
    yield "file of a secret", size, "", "an error when the configuration is loaded"
    limit = format_duration(watchdog.LIMIT_SECONDS)
    yield "file of a certificate or key", size, "", "an error when the configuration is loaded"
    text = "the one unused for longest is dropped"
    yield "certificates that an authority signed and keeps", str(issuer.KEPT), "", text
    yield "sockets taken over from systemd", str(activation.MOST), "", "the others stay unused"
    text = "told in the log with its stack, once in "
    text += f"{format_duration(watchdog.REPEAT_SECONDS)} for each place"
    yield "code that keeps the event loop from going on", f"about {limit}", "", text
    series = f"{plugin_metrics.MOST_SERIES} combinations"
    text = f"counted together under `{plugin_metrics.OTHER}`"
    yield "label values of a plugin's metric", series, "", text
    sizes, text = state.DEFAULT_SIZES, "the one unused for longest is forgotten"
    for kind in ("counters", "gauges", "windows"):
        yield f"shared {kind}", str(getattr(sizes, kind)), "", text
    yield "records of shared tables", str(sizes.tables), "", text
    yield "values of such a record", str(state.MOST_VALUES), "", "an error of the plugin"
    size = format_size(changes.TEXT_LIMIT)
    yield "text of what changed in the configuration", size, "", "cut"
    yield "log lines waiting in memory", f"{seconds} or {batch}", "", "written; none is dropped"


# Changes of the configuration.


def _restart_table() -> Iterator[tuple[str, str, str]]:
    """Give table, key and reason, without keys that cannot be set yet."""
    for place, model, reasons in (
        ("basic", BasicConfig, restart.BASIC),
        ("servers.*", SECTIONS["servers"], restart.SERVER),
    ):
        for key, reason in reasons.items():
            if "not_yet" not in (model.model_fields[key].json_schema_extra or ()):
                yield place, key, reason


def restart_keys() -> str:
    """Return the keys whose change needs a restart, with the reason."""
    rows = ((f"`{place}.{key}`", reason) for place, key, reason in _restart_table() if reason)
    return table(("Key", "Why"), rows)


def hot_keys() -> str:
    """Return the keys whose change a running process takes over."""
    lines: dict[str, list[str]] = {}
    for place, key, reason in _restart_table():
        if not reason:
            lines.setdefault(place, []).append(f"`{key}`")
    return "".join(f"- `{place}`: {', '.join(keys)}.\n" for place, keys in lines.items())


# Examples of the commands.


def example(*arguments: str) -> str:
    """Return what a command prints about the configuration that ``tools.md`` shows."""
    page = (DOCS / "tools.md").read_text()
    (shown,) = re.findall(r"^```toml\n# shop\.toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    command = ["pingap", *arguments, "-c", "shop.toml"]
    with TemporaryDirectory() as folder:
        (Path(folder) / "shop.toml").write_text(f"# shop.toml\n{shown}")
        done = run(  # noqa: S603 - ourselves
            [sys.executable, "-m", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    text = done.stdout + done.stderr
    text = re.sub(r"\S*/(?=pingap_\w+/\w+\.py:)", ".../", text)  # where it is installed
    return f"```text\n$ {shlex.join(command)}\n{text}```\n"


def schema_lines() -> str:
    """Return the lines at the top of the template."""
    lines = [line for line in TEMPLATE.splitlines()[:2] if "schema" in line]
    return "```toml\n" + "\n".join(lines) + "\n```\n"


# Pages.

BLOCKS: dict[str, Callable[[], str]] = {
    "basic": lambda: settings_tables(BasicConfig),
    **{
        section: lambda model=model: settings_tables(model, ("claimed", "options"))  # type: ignore[misc]
        for section, model in SECTIONS.items()
    },
    "plugin settings": plugin_settings,
    "phases": lambda: hooks(PHASES),
    "application hooks": lambda: hooks(
        name for name in vars(hookspecs) if name.startswith("pingap_")
    ),
    "limits": limits,
    "restart keys": restart_keys,
    "hot keys": hot_keys,
    "example plugins": lambda: example("plugins"),
    "example explain": lambda: example(
        "explain", "GET", "http://shop.example.com:8080/orders/7", "-H", "X-Beta: no"
    ),
    "example lint": lambda: example("lint"),
    "schema lines": schema_lines,
}
"""Name of a block -> what makes its text."""


def filled(page: str) -> str:
    """Return a page with its blocks made anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{BLOCKS[block[2]]()}\n{block[3]}", page)


def stale_pages() -> dict[Path, str]:
    """Return the pages that are out of date, with what they should be."""
    pages = {path: path.read_text() for path in sorted(DOCS.rglob("*.md"))}
    return {path: new for path, old in pages.items() if (new := filled(old)) != old}


def main(arguments: list[str]) -> int:
    """Write, or check; return the exit code."""
    stale = stale_pages()
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.name} is out of date: run `make docs`", file=sys.stderr)  # noqa: T201
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text)
        print(f"wrote {path.name}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
