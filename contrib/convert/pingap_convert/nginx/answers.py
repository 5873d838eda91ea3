"""What answers the requests of a location: ``proxy_pass``, files, or ``return``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pingap_convert.nginx.directives import Directive, Scope
from pingap_convert.nginx.upstreams import Upstreams
from pingap_convert.nginx.values import duration, header_value
from pingap_convert.result import Result, Table, escaped

_REDIRECTS: Final = frozenset({"301", "302", "303", "307", "308"})
_TO_HTTPS: Final = re.compile(r"https://\$(?:host|server_name|http_host)\$request_uri")
_BACKENDS: Final = ("fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
_UPGRADE: Final = {
    ("connection", "upgrade"),
    ("upgrade", "$http_upgrade"),
    ("connection", "$connection_upgrade"),
    ("connection", ""),
}


class Answers:
    """Adds what answers to the table of a location."""

    def __init__(self, result: Result, upstreams: Upstreams) -> None:
        self._result = result
        self._upstreams = upstreams

    def add(self, scope: Scope, table: Table, name: str, path: str) -> None:
        """Complete the table of a location.

        :param name: of the location.
        :param path: as nginx has it, with its modifier.
        """
        if scope.here("internal"):  # for clients, it does not exist
            self._answer(table, name, {"status": 404})
            return
        for one in scope.here("return"):
            self.add_return(one, table, name)
            return
        for kind in _BACKENDS:
            for one in scope.here(kind):
                why = "pingap speaks HTTP to backends only, so its requests get 501"
                self._result.leave_out(one.place, kind, why)
                self._answer(table, name, {"status": 501})
                return
        for one in scope.here("proxy_pass"):
            self._add_proxy(one, scope, table, name, path)
            return
        self._add_files(scope, table, name, path)

    def add_return(self, directive: Directive, table: Table, name: str) -> None:
        """Answer with a status, a text, or a redirect."""
        code, *words = directive.args
        if not code.isdecimal():  # only a URL
            code, words = "302", [code]
        text = " ".join(words)
        if code in _REDIRECTS and _TO_HTTPS.fullmatch(text):
            status = 302 if code == "303" else int(code)
            plugin = {"category": "redirect", "http_to_https": True, "status": status}
            table["plugins"].append(self._result.add("plugins", "to_https", plugin))
            self._answer(table, name, {"status": 404})
            return
        answer: Table = {"status": int(code)}
        if code == "444":
            self._result.leave_out(directive.place, "return 444", "the requests get 403")
            answer["status"] = 403
        elif code in _REDIRECTS:
            answer["headers"] = [f"Location: {self._fixed(directive, text)}"]
        elif text:
            answer["data"] = self._text(directive, text)
            answer["headers"] = ["Content-Type: text/plain"]
        self._answer(table, name, answer)

    def _fixed(self, directive: Directive, url: str) -> str:
        try:
            return header_value(url)
        except ValueError:
            fixed = url.partition("$")[0]
            self._result.leave_out(
                directive.place, f"return {url}", "variables are left out of the URL"
            )
            return fixed or "/"

    def _text(self, directive: Directive, text: str) -> str:
        if "$" in text:
            self._result.leave_out(
                directive.place, "return", "variables in its text stay as they are"
            )
        return text

    def _answer(self, table: Table, name: str, answer: Table) -> None:
        plugin = {"category": "mock", **answer}
        table["plugins"].append(self._result.add("plugins", f"{name}_answer", plugin))

    def _add_proxy(
        self, directive: Directive, scope: Scope, table: Table, name: str, path: str
    ) -> None:
        target = self._upstreams.target(directive, scope)
        if target is None:
            self._answer(table, name, {"status": 502})
            return
        table["upstream"] = target.upstream
        if target.count > 1:
            table["max_retries"] = min(target.count - 1, 15)
        self._add_headers(scope, table, target.host)
        prefix = path.removeprefix("=").removeprefix("^~").strip()
        if target.uri is not None and not path.startswith("~"):
            end = "$" if path.startswith("=") else ""
            table["rewrite"] = f"^{escaped(prefix)}{end} {target.uri.replace('$', '$$')}"
        self._add_rewrite(scope, table)

    def _add_headers(self, scope: Scope, table: Table, host: str) -> None:
        headers, names = [], set()
        for one in scope.all("proxy_set_header"):
            header, value = (*one.args, "")[:2]
            names.add(header.lower())
            if (header.lower(), value.lower()) in _UPGRADE:
                continue  # pingap passes upgrades on by itself
            if header.lower() == "host" and value == "$http_host":
                continue
            if not value:
                self._result.leave_out(
                    one.place, f"proxy_set_header {header}", "it cannot be removed"
                )
                continue
            try:
                headers.append(
                    f"{header}: {host if value == '$proxy_host' else header_value(value)}"
                )
            except ValueError as error:
                self._result.leave_out(one.place, f"proxy_set_header {header}", str(error))
        if "host" not in names:
            headers.insert(0, f"Host: {host}")
        if headers:
            table["proxy_set_headers"] = headers

    def _add_rewrite(self, scope: Scope, table: Table) -> None:
        for one in scope.here("rewrite"):
            pattern, replacement, *flags = one.args
            if flags != ["break"] or "rewrite" in table or " " in pattern + replacement:
                why = "only one rewrite with break, before a proxy_pass without a URI"
                self._result.leave_out(one.place, "rewrite", why)
            elif re.search(r"\$[a-z]", replacement):
                self._result.leave_out(one.place, "rewrite", "variables in the replacement")
            else:
                table["rewrite"] = f"{pattern} {replacement}"

    def _add_files(self, scope: Scope, table: Table, name: str, path: str) -> None:
        alias, root = scope.here("alias"), scope.last("root")
        found = alias[-1] if alias else root
        if found is None:
            self._answer(table, name, {"status": 404})
            return
        folder = found.args[0]
        if "$" in folder or not Path(folder).is_dir():
            why = (
                "a path with variables"
                if "$" in folder
                else f"the directory {folder} does not exist here"
            )
            self._result.leave_out(found.place, found.name, f"{why}, so its requests get 404")
            self._answer(table, name, {"status": 404})
            return
        plugin: Table = {"category": "directory", "path": folder}
        if alias and path.startswith(("~", "=")):
            self._result.leave_out(
                found.place, "alias", "only with a prefix, so its requests get 404"
            )
            self._answer(table, name, {"status": 404})
            return
        if alias and (prefix := path.removeprefix("^~").strip().rstrip("/")):
            plugin["strip_prefix"] = prefix
        self._add_file_options(scope, plugin)
        table["plugins"].append(self._result.add("plugins", f"{name}_files", plugin))

    def _add_file_options(self, scope: Scope, plugin: Table) -> None:
        index = scope.last("index")
        names = [one for one in (index.args if index else ["index.html"]) if "$" not in one]
        plugin["index"] = names[0] if len(names) == 1 else names
        if scope.value("autoindex", "off") == "on":
            plugin["autoindex"] = True
        for one in scope.all("try_files")[-1:]:
            *tried, last = one.args
            if last.startswith("/") and "$" not in last and set(tried) <= {"$uri", "$uri/"}:
                plugin["fallback"] = last
            elif last != "=404" or not set(tried) <= {"$uri", "$uri/"}:
                self._result.leave_out(
                    one.place, "try_files", "expected $uri $uri/ and =404 or a file"
                )
        for one in scope.all("expires")[-1:]:
            try:
                plugin["max_age"] = duration(one.args[-1])
            except ValueError:
                self._result.leave_out(one.place, "expires", f"{one.args[-1]} is no time from now")
        self._add_error_pages(scope, plugin)

    def _add_error_pages(self, scope: Scope, plugin: Table) -> None:
        pages: dict[str, str] = {}
        for one in scope.all("error_page"):
            *codes, page = one.args
            if page.startswith("/") and all(code.isdecimal() for code in codes) and "$" not in page:
                root = Path(plugin["path"])
                if "strip_prefix" not in plugin and (root / page.lstrip("/")).is_file():
                    pages |= dict.fromkeys((code for code in codes if code < "500"), page)
                    continue
            self._result.leave_out(
                one.place, "error_page", "only files in the directory of the location"
            )
        if pages:
            plugin["error_pages"] = pages
