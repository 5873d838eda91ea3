"""Directives of Caddy that answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from pingap_convert.caddy.modifiers import Modifiers, header_value
from pingap_convert.caddy.reader import Segment
from pingap_convert.result import Result, Table

_UPSTREAM: Final = re.compile(r"(?:(https?|h2c)://)?(unix//[^\s]+|[^/\s{}]+)")
_CODES: Final = {"permanent": 301, "temporary": 302, "html": 302}
_POLICIES: Final = {
    "client_ip_hash": "hash:ip",
    "ip_hash": "hash:ip",
    "least_conn": "least_conn",
    "random": "random",
    "random_choose": "p2c",
    "round_robin": "round_robin",
    "uri_hash": "hash:url",
}
_TIMES: Final = {
    "dial_timeout": "connection_timeout",
    "read_timeout": "read_timeout",
    "response_header_timeout": "read_timeout",
    "write_timeout": "write_timeout",
}
_IGNORED: Final = frozenset(
    {
        "flush_interval",
        "health_interval",
        "health_timeout",
        "fail_duration",
        "max_fails",
        "trusted_proxies",
        "lb_try_duration",
        "lb_try_interval",
    }
)


class Answers:
    """Adds what answers to the table of a location.

    :param name: of the location.
    """

    def __init__(self, result: Result, name: str) -> None:
        self._result = result
        self._name = name

    def add(
        self, segment: Segment, arguments: Sequence[str], table: Table, modifiers: Modifiers
    ) -> None:
        """Complete the table of a location."""
        getattr(self, f"_{segment.name}")(segment, list(arguments), table, modifiers)

    def _answer(self, table: Table, answer: Table) -> None:
        plugin = {"category": "mock", **answer}
        table["plugins"].append(self._result.add("plugins", f"{self._name}_answer", plugin))

    def _respond(
        self, segment: Segment, arguments: list[str], table: Table, modifiers: Modifiers
    ) -> None:
        texts = [one for one in arguments if not re.fullmatch(r"\d{3}", one)]
        codes = [int(one) for one in arguments if re.fullmatch(r"\d{3}", one)]
        answer: Table = {"status": codes[-1] if codes else 200}
        if texts:
            answer |= {"data": texts[0], "headers": ["Content-Type: text/plain; charset=utf-8"]}
            if re.search(r"\{[a-z]", texts[0]):
                self._result.leave_out(segment.place, "respond", "placeholders stay as they are")
        self._answer(table, answer)

    def _error(
        self, segment: Segment, arguments: list[str], table: Table, modifiers: Modifiers
    ) -> None:
        codes = [int(one) for one in arguments if re.fullmatch(r"\d{3}", one)]
        self._answer(table, {"status": codes[-1] if codes else 500})

    def _abort(
        self, segment: Segment, arguments: list[str], table: Table, modifiers: Modifiers
    ) -> None:
        self._result.leave_out(segment.place, "abort", "the requests get 403")
        self._answer(table, {"status": 403})

    def _php_fastcgi(
        self, segment: Segment, arguments: list[str], table: Table, modifiers: Modifiers
    ) -> None:
        why = "pingap speaks HTTP to backends only, so its requests get 501"
        self._result.leave_out(segment.place, "php_fastcgi", why)
        self._answer(table, {"status": 501})

    def _redir(
        self, segment: Segment, arguments: list[str], table: Table, modifiers: Modifiers
    ) -> None:
        target, *rest = arguments or ["/"]
        code = (
            _CODES.get(rest[0]) or (int(rest[0]) if rest[0].isdecimal() else 302) if rest else 302
        )
        if target == "https://{host}{uri}":
            plugin: Table = {"category": "redirect", "http_to_https": True, "status": code}
            table["plugins"].append(self._result.add("plugins", "to_https", plugin))
            self._answer(table, {"status": 404})
            return
        try:
            written = header_value(target)
        except ValueError:
            written = target.partition("{")[0] or "/"
            self._result.leave_out(
                segment.place, f"redir {target}", "placeholders are left out of the URL"
            )
        self._answer(table, {"status": code, "headers": [f"Location: {written}"]})

    def _file_server(
        self, segment: Segment, arguments: list[str], table: Table, modifiers: Modifiers
    ) -> None:
        plugin: Table = {
            "category": "directory",
            "path": modifiers.root,
            "index": ["index.html", "index.txt"],
        }
        if "browse" in arguments:
            plugin["autoindex"] = True
        for one in segment.block or []:
            if one.name == "root" and len(one.words) == 2:
                plugin["path"] = one.words[1]
            elif one.name == "index":
                plugin["index"] = one.words[1:]
            elif one.name == "browse":
                plugin["autoindex"] = True
            elif one.name != "precompressed":
                self._result.leave_out(
                    one.place, f"file_server {one.name}", "there is no equivalent"
                )
        folder = Path(segment.place.file).parent / plugin["path"]
        if "{" in str(folder) or not folder.is_dir():
            why = f"the directory {folder} does not exist here, so its requests get 404"
            self._result.leave_out(segment.place, "file_server", why)
            self._answer(table, {"status": 404})
            return
        plugin["path"] = str(folder.absolute())
        if stripped := table.pop("rewrite", ""):
            prefix = re.sub(r"\\(.)", r"\1", stripped.removeprefix("(?i)^"))
            if stripped.startswith("(?i)^") and " " not in stripped:
                plugin["strip_prefix"] = prefix
            else:
                self._result.leave_out(segment.place, "rewrite", "not before file_server")
        if modifiers.fallback:
            plugin["fallback"] = modifiers.fallback
        table["plugins"].append(self._result.add("plugins", f"{self._name}_files", plugin))

    def _reverse_proxy(
        self, segment: Segment, arguments: list[str], table: Table, modifiers: Modifiers
    ) -> None:
        upstream: Table = {"addrs": []}
        targets = [*arguments]
        for one in segment.block or []:
            if one.name == "to":
                targets += one.words[1:]
        for target in targets:
            self._add_target(segment, target, upstream)
        if not upstream["addrs"]:
            self._result.leave_out(
                segment.place, "reverse_proxy", "it has no upstream, so its requests get 502"
            )
            self._answer(table, {"status": 502})
            return
        if len(upstream["addrs"]) > 1:
            upstream["algo"] = "random"  # the default of Caddy
        if any(not _is_address(one) for one in upstream["addrs"]):
            upstream["discovery"] = "static"
        table["enable_reverse_proxy_headers"] = True
        for one in segment.block or []:
            self._add_option(one, upstream, table, modifiers)
        table["upstream"] = self._result.add("upstreams", f"{self._name}_upstream", upstream)

    def _add_target(self, segment: Segment, target: str, upstream: Table) -> None:
        found = _UPSTREAM.fullmatch(target)
        if found is None:
            self._result.leave_out(segment.place, f"reverse_proxy {target}", "not a fixed address")
            return
        scheme, host = found[1], found[2]
        if host.startswith("unix//"):
            upstream["addrs"].append(f"unix:{host.removeprefix('unix/')}")
            return
        if host.startswith(":"):
            host = f"127.0.0.1{host}"
        bare = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        upstream["addrs"].append(
            host if bare != host else f"{host}:{443 if scheme == 'https' else 80}"
        )
        if scheme == "https":
            upstream["sni"] = bare
        if scheme == "h2c":
            upstream["alpn"] = "H2"

    def _add_option(
        self, option: Segment, upstream: Table, table: Table, modifiers: Modifiers
    ) -> None:
        name, arguments = option.name, option.words[1:]
        if name == "header_up":
            value = arguments[1] if len(arguments) > 1 else ""
            if value in ("{upstream_hostport}", "{http.reverse_proxy.upstream.hostport}"):
                arguments = [arguments[0], upstream["addrs"][0]]
            modifiers.header_up(option, arguments, table)
        elif name == "header_down":
            modifiers.apply(Segment(["header", *arguments], option.place), arguments, table)
        elif name == "lb_policy" and arguments and arguments[0] in _POLICIES:
            upstream["algo"] = _POLICIES[arguments[0]]
        elif name == "lb_policy" and len(arguments) == 2 and arguments[0] in ("header", "query"):
            upstream["algo"] = f"hash:{arguments[0]}:{arguments[1]}"
        elif name == "lb_retries" and arguments and arguments[0].isdecimal():
            table["max_retries"] = min(int(arguments[0]), 15)
        elif name == "health_uri" and arguments:
            host = upstream["addrs"][0].partition(":")[0]
            upstream["health_check"] = f"http://{host}{arguments[0]}"
        elif name == "transport" and arguments[:1] == ["http"]:
            for one in option.block or []:
                self._add_transport(one, upstream)
        elif name != "to" and name not in _IGNORED:
            self._result.leave_out(option.place, f"reverse_proxy {name}", "there is no equivalent")

    def _add_transport(self, option: Segment, upstream: Table) -> None:
        name, arguments = option.name, option.words[1:]
        host = upstream["addrs"][0].partition(":")[0]
        if name in _TIMES and arguments:
            upstream[_TIMES[name]] = arguments[0]
        elif name == "tls":
            upstream.setdefault("sni", host)
        elif name == "tls_insecure_skip_verify":
            upstream["verify_cert"] = False
            upstream.setdefault("sni", host)
        elif name == "tls_server_name" and arguments:
            upstream["sni"] = arguments[0]
        elif name == "versions" and set(arguments) <= {"h2c"}:
            upstream["alpn"] = "H2"
        elif name not in ("keepalive", "keepalive_idle_conns", "compression", "versions"):
            self._result.leave_out(option.place, f"transport {name}", "there is no equivalent")


def _is_address(text: str) -> bool:
    if text.startswith("unix:"):
        return True
    try:
        return ip_address(text.rpartition(":")[0]).version == 4
    except ValueError:
        return False
