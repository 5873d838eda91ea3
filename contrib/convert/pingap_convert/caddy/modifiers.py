"""Directives of Caddy that change requests or responses, or restrict who may come in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pingap_convert.caddy.reader import Segment
from pingap_convert.result import Result, Table, escaped

GUARDS: Final = frozenset({"basic_auth", "basicauth", "forward_auth"})
"""Directives that restrict access."""
MODIFIERS: Final = GUARDS | {
    "encode",
    "header",
    "request_body",
    "request_header",
    "rewrite",
    "root",
    "try_files",
    "uri",
}
"""Directives that do not answer."""
_PLACEHOLDER: Final = re.compile(r"\{[a-z][a-z0-9_.]*[^}]*\}")
_VARIABLES: Final = {
    "{client_ip}": "$client_ip",
    "{host}": "$host",
    "{http.request.host}": "$host",
    "{http.request.remote.host}": "$remote_addr",
    "{method}": "$method",
    "{path}": "$path",
    "{query}": "$args",
    "{remote_host}": "$remote_addr",
    "{remote_port}": "$remote_port",
    "{scheme}": "$scheme",
    "{uri}": "$uri",
}
_LEVELS: Final = {"gzip": ("gzip_level", 5), "zstd": ("zstd_level", 3), "br": ("br_level", 4)}


def header_value(text: str) -> str:
    """Return a header value, which may be one placeholder.

    :raises ValueError: pingap has no form for it.
    """
    if text in _VARIABLES:
        return _VARIABLES[text]
    if _PLACEHOLDER.search(text):
        raise ValueError("only some placeholders, and only as a whole value")
    return text


class Modifiers:
    """The modifiers of one location.

    :param name: of the location.
    """

    def __init__(self, result: Result, name: str) -> None:
        self._result = result
        self._name = name
        self.root = "."
        """The directory of ``file_server``."""
        self.fallback = ""
        """The file that ``try_files`` names last."""

    def apply(self, segment: Segment, arguments: Sequence[str], table: Table) -> None:
        """Add a directive to the table of the location."""
        kind = "basic_auth" if segment.name == "basicauth" else segment.name
        getattr(self, f"_{kind}")(segment, list(arguments), table)

    def strip(self, prefix: str, table: Table) -> None:
        """Remove a prefix from the path that the upstream gets."""
        table["rewrite"] = f"(?i)^{escaped(prefix)}"

    def _add(self, table: Table, what: str, plugin: Table) -> None:
        table["plugins"].append(self._result.add("plugins", f"{self._name}_{what}", plugin))

    def _root(self, segment: Segment, arguments: list[str], table: Table) -> None:
        self.root = arguments[-1] if arguments else "."

    def _encode(self, segment: Segment, arguments: list[str], table: Table) -> None:
        words = arguments + [one.name for one in segment.block or []]
        levels = dict(_LEVELS[one] for one in words or ["zstd", "gzip"] if one in _LEVELS)
        if levels:
            self._add(table, "encode", {"category": "compression", **levels, "min_length": 512})

    def _request_body(self, segment: Segment, arguments: list[str], table: Table) -> None:
        for one in segment.block or []:
            if one.name == "max_size" and len(one.words) == 2:
                table["client_max_body_size"] = one.words[1]
            else:
                self._result.leave_out(one.place, f"request_body {one.name}", "no such limit")

    def _header(self, segment: Segment, arguments: list[str], table: Table) -> None:
        lines = [arguments] if arguments else []
        lines += [one.words for one in segment.block or []]
        plugin: Table = {"category": "response_headers"}
        for name, *values in lines:
            self._one_header(segment, name, values, plugin)
        if len(plugin) > 1:
            self._add(table, "header", plugin)

    def _one_header(self, segment: Segment, name: str, values: list[str], plugin: Table) -> None:
        kind, bare = (name[0], name[1:]) if name[0] in "+-?>" else ("", name)
        if bare == "defer" or len(values) > 1 or "*" in bare:
            self._result.leave_out(segment.place, f"header {name}", "only a name and a value")
        elif kind == "-" and not values:
            plugin.setdefault("remove_headers", []).append(bare)
        elif values:
            keys = {"+": "add_headers", "?": "set_headers_not_exists"}
            try:
                written = f"{bare}: {header_value(values[0])}"
            except ValueError as error:
                self._result.leave_out(segment.place, f"header {name}", str(error))
            else:
                plugin.setdefault(keys.get(kind, "set_headers"), []).append(written)

    def _request_header(self, segment: Segment, arguments: list[str], table: Table) -> None:
        self.header_up(segment, arguments, table)

    def header_up(self, segment: Segment, arguments: Sequence[str], table: Table) -> None:
        """Set or add a header for the upstream."""
        name, *values = arguments
        if name.startswith("-") or len(values) != 1:
            self._result.leave_out(
                segment.place, f"{segment.name} {name}", "only a name and a value"
            )
            return
        key = "proxy_add_headers" if name.startswith("+") else "proxy_set_headers"
        try:
            table.setdefault(key, []).append(f"{name.lstrip('+')}: {header_value(values[0])}")
        except ValueError as error:
            self._result.leave_out(segment.place, f"{segment.name} {name}", str(error))

    def _uri(self, segment: Segment, arguments: list[str], table: Table) -> None:
        if len(arguments) == 2 and arguments[0] == "strip_prefix":
            self.strip(arguments[1], table)
        elif len(arguments) == 2 and arguments[0] == "strip_suffix":
            table["rewrite"] = f"{escaped(arguments[1])}$"
        else:
            self._result.leave_out(
                segment.place, " ".join(segment.words), "only strip_prefix and strip_suffix"
            )

    def _rewrite(self, segment: Segment, arguments: list[str], table: Table) -> None:
        target = arguments[-1] if arguments else ""
        found = re.fullmatch(r"(/[^{}\s$]*?)(\{uri\}|\{path\})?", target)
        if found is None or "rewrite" in table:
            self._result.leave_out(
                segment.place, " ".join(segment.words), "only a path, or one before {uri}"
            )
        elif found[2]:
            table["rewrite"] = f"^/ {found[1].rstrip('/')}/"
        else:
            table["rewrite"] = f"^.*$ {found[1]}"

    def _try_files(self, segment: Segment, arguments: list[str], table: Table) -> None:
        *tried, last = arguments or [""]
        if last.startswith("/") and set(tried) <= {"{path}", "{path}/"}:
            self.fallback = last
        elif not set(arguments) <= {"{path}", "{path}/"}:
            self._result.leave_out(segment.place, "try_files", "expected {path} and one file")

    def _forward_auth(self, segment: Segment, arguments: list[str], table: Table) -> None:
        self._close(segment, table, "there is no equivalent")

    def _basic_auth(self, segment: Segment, arguments: list[str], table: Table) -> None:
        users = [one.words for one in segment.block or []]
        if not users or any(len(one) != 2 or not one[1].startswith("$2") for one in users):
            self._close(segment, table, "only names with hashes by bcrypt")
            return
        content = "".join(f"{name}:{value}\n" for name, value in users)
        path = self._result.add_file(f"{self._name}.users", content)
        if path is None:
            self._close(segment, table, "a file for its users needs --output")
            return
        realm = next((one for one in arguments if one != "bcrypt"), "restricted")
        self._add(
            table, "users", {"category": "basic_auth", "users_file": str(path), "realm": realm}
        )

    def _close(self, segment: Segment, table: Table, why: str) -> None:
        self._result.leave_out(segment.place, segment.name, f"{why}, so all requests get 403")
        self._add(table, "closed", {"category": "mock", "status": 403})
