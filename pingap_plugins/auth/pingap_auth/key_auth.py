"""Admit clients that send a key, in a header or in the query."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from pydantic import Field as SettingsField

from pingap import (
    ConfigTable,
    Counter,
    Duration,
    FilePath,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    Secret,
    WatchedFiles,
    field,
    hookimpl,
)
from pingap_auth.guard import Guard
from pingap_auth.identity import fingerprint
from pingap_auth.keys import LONGEST_KEY, read_keys, without_parameters

_MISSING: Final = "Key missing"
_WRONG: Final = "Key auth fail"


class KeyAuth(Guard):
    """Admits clients that send an accepted key."""

    category = "key_auth"
    steps = ("request",)

    class Settings(PluginSettings):
        """Settings of ``key_auth``."""

        header: str = ""
        """The header that contains the key."""
        query: str = ""
        """The parameter of the query that contains the key. With ``header`` as well, either may."""
        keys: list[Secret] = SettingsField(default=[])
        """Accepted keys. With ``file:PATH``, the file is read again when it changes."""
        named_keys: dict[str, Secret] = SettingsField(default={})
        """Accepted keys with the names of those who have them: a table ``name = "key"``."""
        keys_file: FilePath | None = None
        """A file with lines ``name:key``, which is read again when it changes."""
        name_header: str = ""
        """A header for the upstream with the name of the key. The same header from clients is removed."""
        delay: Duration = 0.0
        """How long a wrong key is not answered."""
        hide_credentials: bool = False
        """Whether the key is removed before the request is forwarded."""

    def __init__(self, settings: Settings, table: ConfigTable | None = None) -> None:
        if not settings.header and not settings.query:
            raise ValueError("no place for the key: set header, query or both")
        self.set_up(table, settings.delay)
        self._header = field(settings.header, "")[0] if settings.header else b""
        self._query = settings.query
        self._hide = settings.hide_credentials
        self._name_header = settings.name_header
        self._name_key = field(settings.name_header, "")[0] if settings.name_header else b""
        if self._name_key and self._name_key == self._header:
            raise ValueError("name_header and header are the same")
        self.reads_headers = (settings.header,) if settings.header else ()
        self.adds_headers = (settings.name_header,) if settings.name_header else ()
        keys, named, path = settings.keys, settings.named_keys, settings.keys_file
        files = [path, *(one.path for one in (*keys, *named.values()))]
        self._keys = WatchedFiles(lambda: read_keys(keys, named, path), files)
        self.watched = (self._keys,)
        self.uses = Counter("pingap_auth_key_uses", "Requests with a named key", ("key_name",))

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response] | None:
        """Let the request pass, or refuse it."""
        sent = self._sent(request)
        if not sent:
            self.count("missing", ctx)
            return Response(401, _MISSING)
        key = sent.pop()
        # Several different ones: an upstream could read another one than we do.
        name = self._keys.value.find(key) if not sent and len(key) <= LONGEST_KEY else None
        if name is None:
            return self.refuse(Response(401, _WRONG), "wrong", request, ctx)
        self._pass(name, key, request, ctx)
        return None

    def _sent(self, request: Request) -> set[bytes]:
        values = request.headers.find_all(self._header) if self._header else []
        if self._query and request.query:
            values += [one.encode() for one in request.query_params.get_all(self._query)]
        return {value for value in values if value}

    def _pass(self, name: str, key: bytes, request: Request, ctx: RequestContext) -> None:
        if self._hide:
            request.headers.discard(self._header)
            if self._query and request.query:
                request.replace_query(without_parameters(request.query, (self._query,)))
        if self._name_key:
            request.headers.discard(self._name_key)
            if name:
                request.headers.append(field(self._name_header, name))
        if name:
            ctx.user = name
            self.uses.labels(name).inc()
        if not self._hide:
            # The upstream knows who asks, so a cache must not mix the responses up.
            ctx.variants["key_auth"] = fingerprint(key)
        elif self._name_key:
            ctx.variants["key_auth"] = name
