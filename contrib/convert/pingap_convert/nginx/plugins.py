"""Directives that become plugins: headers, compression, limits, and who may come in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from pingap_convert.nginx.directives import Directive, Scope
from pingap_convert.nginx.values import header_value, size
from pingap_convert.result import Result

_HASH: Final = re.compile(r"\$(?:2[aby]|argon2id|argon2i|argon2d|5|6)\$")
_RATE: Final = re.compile(r"(\d+)r/([sm])")
_UNITS: Final = {"s": "second", "m": "minute"}
_CLOSED: Final = ("auth_request", "auth_jwt", "limit_except", "secure_link", "valid_referers")
"""Directives that restrict access and have no equivalent."""
_RESTRICTIONS: Final = frozenset({"allow", "auth_basic", "deny", "internal", *_CLOSED})
_KEYS: Final = {
    "$binary_remote_addr": {"tag": "ip"},
    "$remote_addr": {"tag": "ip"},
    "$host": {"tag": "host"},
    "$server_name": {"tag": "host"},
    "$uri": {"tag": "path"},
}


def restricts(directive: Directive) -> bool:
    """Return whether a block refuses some requests: without it, more would be let in."""
    for one in directive.block or ():
        refuses = one.name == "return" and one.args and one.args[0].startswith("4")
        if refuses or one.name in _RESTRICTIONS or restricts(one):
            return True
    return False


def _nested_expressions(scope: Scope) -> list[Directive]:
    """Return the regular expressions inside of a location; other nested locations are converted."""
    around = scope.parent.directives if scope.parent else []
    if not any(one.name == "location" for one in around):
        return []  # of a server
    return [one for one in scope.here("location") if one.args[0] in ("~", "~*")]


def is_to_https(directive: Directive) -> bool:
    """Return whether an ``if`` redirects http to https."""
    returns = [" ".join(one.args) for one in directive.block or () if one.name == "return"]
    targets = ("301 https://$host$request_uri", "301 https://$server_name$request_uri")
    condition = " ".join(directive.args) in ("$scheme = http", "$scheme != https", "$https = ")
    return condition and returns[:1] != [] and returns[0] in targets


class Plugins:
    """Adds the plugins of a location.

    :param zones: name -> directive ``limit_req_zone`` or ``limit_conn_zone``.
    """

    def __init__(self, result: Result, zones: dict[str, Directive]) -> None:
        self._result = result
        self._zones = zones

    def of(self, scope: Scope, name: str) -> list[str]:
        """Return the plugins that run before the one that answers.

        :param name: of the location.
        """
        return [*self._guards(scope, name), *self._limits(scope, name), *self._changes(scope, name)]

    def _guards(self, scope: Scope, name: str) -> Iterator[str]:
        reasons = [one for kind in _CLOSED for one in scope.all(kind)]
        reasons += [
            one
            for one in scope.all("ssl_verify_client")
            if one.args != ["on"] and one.args != ["off"]
        ]
        for one in reasons:
            self._result.leave_out(
                one.place, one.name, "there is no equivalent, so all requests get 403"
            )
        for one in [*scope.all("if"), *_nested_expressions(scope)]:
            if restricts(one) and not is_to_https(one):
                reasons.append(one)
                why = "it refuses requests in a way that cannot be converted, so all get 403"
                self._result.leave_out(one.place, f"{one.name} {' '.join(one.args)}", why)
        satisfy = scope.last("satisfy")
        if satisfy and satisfy.args == ["any"]:
            reasons.append(satisfy)
            self._result.leave_out(satisfy.place, "satisfy any", "all conditions have to hold")
        if reasons:
            yield self._result.add("plugins", f"{name}_closed", {"category": "mock", "status": 403})
        if networks := self._networks(scope):
            yield self._result.add("plugins", f"{name}_addresses", networks)
        if users := self._users(scope):
            yield self._result.add("plugins", f"{name}_users", users)

    def _networks(self, scope: Scope) -> dict[str, Any] | None:
        innermost: Scope | None = scope
        while innermost and not any(one.name in ("allow", "deny") for one in innermost.directives):
            innermost = innermost.parent
        if innermost is None:
            return None
        rules = [*innermost.here("allow"), *innermost.here("deny")]
        rules.sort(key=innermost.directives.index)
        last, others = rules[-1], rules[:-1]
        if last.args != ["all"]:
            others = rules
        kinds = {one.name for one in others}
        opposite = len(kinds) == 1 and (last.args != ["all"] or last.name not in kinds)
        listed = [one.args[0] for one in others if _is_network(one.args[0])]
        if not others:
            return None if last.name == "allow" else {"category": "mock", "status": 403}
        if opposite and len(listed) == len(others) and (last.args == ["all"] or kinds == {"deny"}):
            return {"category": "ip_restriction", "type": kinds.pop(), "ip_list": listed}
        if kinds == {"allow"} and last.args != ["all"]:
            return None  # everybody else may come in as well
        self._result.leave_out(last.place, "allow, deny", "a mixture, so all requests get 403")
        return {"category": "mock", "status": 403}

    def _users(self, scope: Scope) -> dict[str, Any] | None:
        realm, file = scope.last("auth_basic"), scope.last("auth_basic_user_file")
        if realm is None or realm.args[:1] in ([], ["off"]):
            return None
        path = Path(file.args[0]) if file and file.args else None
        if path is not None and not path.is_absolute() and file is not None:
            path = Path(file.place.file).parent / path
        why = "there is no auth_basic_user_file" if path is None else _why_not(path)
        if why:
            text = f"{why}, so all requests get 403"
            self._result.leave_out((file or realm).place, "auth_basic_user_file", text)
            return {"category": "mock", "status": 403}
        return {"category": "basic_auth", "users_file": str(path), "realm": realm.args[0]}

    def _limits(self, scope: Scope, name: str) -> Iterator[str]:
        for limit in [*scope.all("limit_req"), *scope.all("limit_conn")]:
            table = self._limit(limit)
            if table is not None:
                yield self._result.add("plugins", f"{name}_{limit.name}", table)

    def _limit(self, limit: Directive) -> dict[str, Any] | None:
        given = dict(one.partition("=")[::2] for one in limit.args)
        is_rate = limit.name == "limit_req"
        zone = self._zones.get(given.get("zone", "") if is_rate else limit.args[0])
        key = zone.args[0] if zone else ""
        header = re.fullmatch(r"\$http_(\w+)", key)
        by = {"tag": "header", "key": header[1].replace("_", "-")} if header else _KEYS.get(key)
        if zone is None or by is None:
            why = f"there is no limit by {key}" if zone else "its zone does not exist"
            self._result.leave_out(limit.place, limit.name, why)
            return None
        table: dict[str, Any] = {"category": "limit", **by}
        if not is_rate:
            return {**table, "type": "inflight", "max": int(limit.args[1])}
        rate = _RATE.fullmatch(dict(one.partition("=")[::2] for one in zone.args).get("rate", ""))
        if rate is None:
            self._result.leave_out(zone.place, zone.name, "expected a rate such as 10r/s")
            return None
        if "burst" in given and "nodelay" not in given:
            text = "requests of the burst are not delayed, as with nodelay"
            self._result.leave_out(limit.place, limit.name, text)
        burst = int(given.get("burst", "0")) + 1
        return {**table, "rate": f"{rate[1]}/{_UNITS[rate[2]]}", "strategy": "gcra", "burst": burst}

    def _changes(self, scope: Scope, name: str) -> Iterator[str]:
        if scope.value("gzip", "off") == "on":
            yield self._result.add("plugins", "gzip", self._gzip(scope))
        scope.all("gzip_types"), scope.all("gzip_comp_level"), scope.all("gzip_min_length")
        headers = []
        for one in scope.all("add_header"):
            try:
                headers.append(f"{one.args[0]}: {header_value(one.args[1])}")
            except (ValueError, IndexError) as error:
                self._result.leave_out(one.place, f"add_header {one.args[0]}", str(error))
        hidden = [one.args[0] for one in scope.all("proxy_hide_header")]
        if headers or hidden:
            table: dict[str, Any] = {"category": "response_headers"}
            table |= {"add_headers": headers} if headers else {}
            table |= {"remove_headers": hidden} if hidden else {}
            yield self._result.add("plugins", f"{name}_headers", table)

    def _gzip(self, scope: Scope) -> dict[str, Any]:
        types = scope.last("gzip_types")
        table: dict[str, Any] = {
            "category": "compression",
            "gzip_level": int(scope.value("gzip_comp_level", "1")),
            "types": ["text/html", *(types.args if types else ())],
            "min_length": size(scope.value("gzip_min_length", "20")),
        }
        if types and "*" in types.args:
            del table["types"]
        return table


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _why_not(path: Path) -> str:
    """Return why a file of passwords cannot be used; empty if it can."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return f"{path} cannot be read"
    hashes = [line.partition(":")[2] for line in lines if line.strip() and line[0] != "#"]
    if all(_HASH.match(one) for one in hashes):
        return ""
    return f"{path} has hashes that are too weak (make them again with htpasswd -B)"
