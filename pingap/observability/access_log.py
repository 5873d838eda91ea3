"""The access log: formats compiled once, lines written in batches.

Formats and tags are those of pingap 0.13.9 (observability.md, section 1). Values from outside are escaped, so
that they cannot forge a line; in a JSON format, as JSON requires.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from pingap.config.problem import did_you_mean
from pingap.config.variables import (
    find_context_key,
    find_variable,
    human_time,
    is_variable,
    known_keys,
)
from pingap.http.context import RequestContext
from pingap.http.headers import Headers, header_key
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.observability.json_lines import inside_strings, is_json, json_text, json_value
from pingap.observability.logs import json_line
from pingap.observability.timestamps import local_time_at

if TYPE_CHECKING:
    from pingap.observability.log_files import LogFile

Line: TypeAlias = Callable[[Request, Response | None, RequestContext], str]
Record: TypeAlias = Callable[[Request, Response | None, RequestContext], None]

PRESETS: Final = {
    "combined": '{remote} "{method} {uri} {proto}" {status} {size_human} "{referer}" "{user_agent}"',
    "common": '{remote} "{method} {uri} {proto}" {status} {size_human}',
    "short": "{remote} {method} {uri} {proto} {status} {size_human} - {latency}ms",
    "tiny": "{method} {uri} {status} {size_human} - {latency}ms",
}

LogTag: TypeAlias = "Callable[[Request, Response | None, RequestContext], str | None]"
"""Makes the text of an access log tag for an ended request; None or empty if there is none."""

_NO_TAGS: Final[Mapping[str, LogTag]] = {}
_TAG: Final = re.compile(r"\{([A-Za-z_~:$<>-][A-Za-z0-9_.~:$<>-]*)\}")
_VARIABLE: Final = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")


class AccessLog:
    """Makes the line of a request and passes it to a file.

    :param text: a preset or a format.
    :param file: an access log file, or the application log.
    :param shared: the file is the application log, so lines begin like all lines there.
    :param as_json: and those are JSON.
    :param tags: those of plugins.
    :raises ValueError: an unknown tag.
    """

    def __init__(
        self,
        text: str,
        file: LogFile,
        *,
        shared: bool = False,
        as_json: bool = False,
        tags: Mapping[str, LogTag] | None = None,
    ) -> None:
        text = PRESETS.get(text, text)
        use: Callable[[str], object] = file.write
        if shared and as_json:
            use = partial(_write_message, file)
        else:
            text = "{when} INFO " * shared + text + "\n"
        self.record = cast("Record", _compile(text, tags or {}, use))
        """Write the line of an ended request."""


def split_setting(setting: str) -> tuple[str | None, str]:
    """Split ``servers.*.access_log`` into a file, if one is named, and a format.

    The part before the first space is a file only if the rest is a preset or begins with ``{`` or ``${``, and the part
    itself does not look like a format.
    """
    file, _, rest = setting.partition(" ")
    if (
        (rest in PRESETS or rest.startswith(("{", "${")))
        and "{" not in file
        and file not in PRESETS
    ):
        return file, rest
    return None, setting


def compile_format(text: str, tags: Mapping[str, LogTag] = _NO_TAGS) -> Line:
    """Return the function that makes a line, compiled from a format.

    :param tags: those of plugins, by the name after the colon.
    :raises ValueError: an unknown tag; the message lists the known ones.
    """
    return cast("Line", _compile(text, tags, str))


def _compile(text: str, tags: Mapping[str, LogTag], use: Callable[[str], object]) -> object:
    """Return the function that makes a line and passes it to another function.

    Each tag stands for an expression (``_TAGS``), and all of them are combined into one: this takes half the
    time of calling a function per tag. Nothing of the format itself is evaluated.
    """
    text = _VARIABLE.sub(_as_tag, text)
    parts = _TAG.split(text)[::2]
    as_json = is_json(parts)
    names: dict[str, object] = dict(_NAMES, use=use, escape=json_text if as_json else escape)
    values = [_expression(match[1], names, tags) for match in _TAG.finditer(text)]
    if as_json:
        gaps = zip(values, inside_strings(parts), strict=True)
        values = [one if inside else f"json_value({one})" for one, inside in gaps]
    template = "%s".join(part.replace("%", "%%") for part in parts)
    source = f"lambda request, response, ctx: use({template!r} % ({', '.join([*values, ''])}))"
    return eval(source, names)  # noqa: S307  # our own expressions, see above


def _as_tag(match: re.Match[str]) -> str:
    """Return ``${name}`` as a tag: of the variable, or else of the tag of this name; ``$${name}`` is ``$`` and a tag."""
    escaped, name = match.groups()
    if escaped or (name in _TAGS and not is_variable(name)):
        return "$" * bool(escaped) + f"{{{name}}}"
    return f"{{${name}}}"


def escape(text: str) -> str:
    r"""Return the text with quotes, backslashes and everything but printable ASCII as ``\xHH``."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _UNSAFE.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in _bytes(match[0])), text)


def _write_message(file: LogFile, line: str) -> None:
    """Write a line as the message of a JSON line of the application log."""
    file.write(json_line("INFO", {"message": line}) + "\n")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1") if ord(text) < 256 else text.encode("utf-8")


@lru_cache(maxsize=4096)
def human_size(size: int) -> str:
    """Return a size in powers of 1000 with one decimal, truncated: ``1.1KB``."""
    for unit, factor in (("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000)):
        if size >= factor:
            tenths = size * 10 // factor
            return f"{tenths // 10}.{tenths % 10}{unit}" if tenths % 10 else f"{tenths // 10}{unit}"
    return f"{size}B"


def _header(headers: Headers, key: bytes) -> str:
    keys = headers.keys
    if keys.count(key) == 1:
        return headers.lines[keys.index(key)][len(key) + 2 :].decode("latin-1")
    value = headers.find(key)
    return "-" if value is None else value.decode("latin-1")


def _request_header(key: bytes) -> str:
    """Return the expression for a request header, with a call only if it is present."""
    there = f"{key!r} in request.headers.keys"
    return f"(escape(header(request.headers, {key!r})) if {there} else '-')"


def _response_header(response: Response | None, key: bytes) -> str:
    return "-" if response is None else _header(response.headers, key)


def _utc_now() -> str:
    # Not datetime.now(): ``pingap.testing`` moves the time of the module ``time``.
    return (
        datetime.fromtimestamp(time.time(), UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


_TAGS: Final = {
    "host": "escape(ctx.host(request)) or '-'",
    "method": "request.method",
    "path": "escape(request.target.partition('?')[0])",
    "query": "escape(request.query) or '-'",
    "uri": "escape(request.target)",
    "proto": "'HTTP/' + request.http_version",
    "remote": "ctx.connection.remote_addr or '-'",
    "client_ip": "ctx.client_ip(request) or '-'",
    "scheme": "ctx.scheme(request)",
    "referer": _request_header(b"referer"),
    "user_agent": _request_header(b"user-agent"),
    "when": "local_time_at(ctx.ended_at)",
    "when_utc_iso": "utc_now()",
    "when_unix": "int(time.time() * 1000)",
    "size": "ctx.body_bytes_sent",
    "size_human": "human_size(ctx.body_bytes_sent)",
    "payload_size": "ctx.body_bytes_received",
    "payload_size_human": "human_size(ctx.body_bytes_received)",
    "status": "ctx.status or '-'",
    "latency": "int((ctx.ended_at - ctx.began_at) * 1000)",
    "latency_human": "human_time(ctx.ended_at - ctx.began_at)",
    "request_id": "escape(ctx.request_id) or '-'",
}
"""Tag -> its expression of ``request``, ``response``, ``ctx`` and ``_NAMES``."""

_NAMES: Final[dict[str, object]] = {
    "escape": escape,
    "header": _header,
    "response_header": _response_header,
    "human_size": human_size,
    "human_time": human_time,
    "json_value": json_value,
    "local_time_at": local_time_at,
    "utc_now": _utc_now,
    "time": time,
}


def _expression(tag: str, names: dict[str, object], tags: Mapping[str, LogTag]) -> str:
    """Return the expression of a tag; additional names that it needs are added to ``names``."""
    kind, name = tag[0], tag[1:]
    if kind == ">":
        return _request_header(header_key(name))
    if kind == "<":
        return f"escape(response_header(response, {header_key(name)!r}))"
    if kind == "~":
        return f"escape(request.cookie({name!r}) or '')"
    if kind == "$":
        return _variable(name, names)
    if kind == ":" and name in tags:
        names[variable := f"tag_{len(names)}"] = tags[name]
        return f"escape({variable}(request, response, ctx))"
    if kind == ":":
        names[variable := f"context_{len(names)}"] = _context_getter(name, tags)
        return f"escape({variable}(request, ctx))"
    if tag not in _TAGS:
        raise ValueError(f"unknown tag {{{tag}}} (tags: {', '.join(sorted(_TAGS))})")
    return _TAGS[tag]


def _variable(name: str, names: dict[str, object]) -> str:
    """Return the expression of a variable; in upper case it is of the environment, and may be missing there."""
    if name.isupper() or (name in os.environ and not is_variable(name)):
        return f"escape({os.environ.get(name, '')!r})"
    found = find_variable(name)
    if isinstance(found, str):
        return f"escape({found!r})"
    names[variable := f"variable_{len(names)}"] = found
    return f"(escape({variable}(request, ctx) or '') or '-')"


def _plugin_time(ctx: RequestContext, plugin: str) -> str:
    seconds = ctx.plugin_times.get(plugin)
    return "-" if seconds is None else f"{seconds * 1000:.3f}"


def _context_getter(
    name: str, tags: Mapping[str, LogTag]
) -> Callable[[Request, RequestContext], str]:
    if plugin := name.removeprefix("plugin.") if name.startswith("plugin.") else "":
        return lambda request, ctx: _plugin_time(ctx, plugin)
    if (lookup := find_context_key(name)) is None:
        hint = did_you_mean(name, [*known_keys(), *tags])
        known = ", ".join([*known_keys(), *sorted(tags)])
        raise ValueError(f"unknown context key {{:{name}}}{hint} (keys: {known})")
    return lambda request, ctx: lookup(request, ctx) or ""
