"""Admit applications that sign the time of a request with a shared secret."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import Annotated, Any, Final

from pydantic import Field as SettingsField

from pingap import (
    ConfigTable,
    Duration,
    Networks,
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
from pingap_auth.keys import without_parameters

_PARAMETERS: Final = ("app_id", "ts", "digest")
_NO_STORE: Final = field("Cache-Control", "private, no-store")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+").fullmatch
_LONGEST: Final = 256
_ANY: Final = "*"


class Application(PluginSettings):
    """One application that may pass."""

    app_id: Annotated[str, SettingsField(min_length=1)]
    """Its name."""
    secret: Secret
    """What it shares with pingap. ``*``: its name is enough, and nothing else is checked."""
    deviation: int = 0
    """Seconds by which its clock may differ; required unless ``secret`` is ``*``."""
    ip_list: Networks = ()
    """Addresses from which it may come; empty: any."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An application with the secret that its file contains now."""

    secret: bytes
    deviation: int
    networks: tuple[Any, ...]


class _RefusedError(Exception):
    """A request is refused; the text is for the client."""


class CombinedAuth(Guard):
    """Admits applications by name, address, time, and a digest of the time with a secret."""

    category = "combined_auth"

    class Settings(PluginSettings):
        """Settings of ``combined_auth``."""

        authorizations: Annotated[list[Application], SettingsField(min_length=1)]
        """The applications: an array of tables."""
        replay_protection: bool = False
        """Whether each digest is accepted only once, in all workers; an application can then send one request
        in a second."""
        delay: Duration = 0.0
        """How long a wrong digest is not answered."""
        hide_credentials: bool = False
        """Whether ``app_id``, ``ts`` and ``digest`` are removed before the request is forwarded."""

    def __init__(self, settings: Settings, table: ConfigTable | None = None) -> None:
        self.set_up(table, settings.delay)
        self._name = table.name if table is not None else ""
        for one in settings.authorizations:
            if one.deviation <= 0 and one.secret.get_secret_value() != _ANY:
                raise ValueError(f"{one.app_id}: deviation must be greater than 0")
        listed = settings.authorizations
        if len({one.app_id for one in listed}) < len(listed):
            raise ValueError("two entries have the same app_id")
        self._known = WatchedFiles(lambda: _known(listed), [one.secret.path for one in listed])
        self.watched = (self._known,)
        self._once = settings.replay_protection
        self._hide = settings.hide_credentials

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response] | None:
        """Let the request pass, or refuse it."""
        try:
            app_id = self._check(request, ctx)
        except _RefusedError as error:
            text = str(error)
            response = Response(401, f"Plugin combined_auth invalid, message: {text}")
            response.headers.replace(_NO_STORE)
            if text == "digest is invalid":
                return self.refuse(response, text, request, ctx)
            self.count(text, ctx)
            return response
        if self._hide:
            request.replace_query(without_parameters(request.query, _PARAMETERS))
        ctx.user = app_id
        return None

    def _check(self, request: Request, ctx: RequestContext) -> str:
        app_id = _parameter(request, "app_id")
        app = self._known.value.get(app_id)
        if app is None:
            raise _RefusedError("app id is invalid")
        if app.secret == _ANY.encode():
            return app_id
        if app.networks and not _is_in(ctx.client_ip(request), app.networks):
            raise _RefusedError("ip is invalid")
        ts = _parameter(request, "ts", "timestamp")
        if abs(time.time() - _seconds(ts)) > app.deviation:
            raise _RefusedError("timestamp deviation is invalid")
        sent = _parameter(request, "digest").lower().encode()
        digest = sha256(app.secret + b":" + ts.encode()).hexdigest().encode()
        if not hmac.compare_digest(sent, digest):
            raise _RefusedError("digest is invalid")
        if self._once and not self._is_first(app_id, ts, app, ctx):
            raise _RefusedError("digest is invalid")
        return app_id

    def _is_first(self, app_id: str, ts: str, app: _Known, ctx: RequestContext) -> bool:
        used = ctx.shared.values("combined_auth:used")
        # As a number: "1" and "+1" are the same time, and have different digests.
        key = f"{self._name}\0{app_id}\0{_seconds(ts)}"
        return used.add(key, b"", seconds=2 * app.deviation + 1)


def _parameter(request: Request, name: str, shown: str = "") -> str:
    shown = shown or name.replace("_", " ")
    values = request.query_params.get_all(name) if request.query else []
    if not values or not values[0]:
        raise _RefusedError(f"{shown} is empty")
    if len(values) > 1 or len(values[0]) > _LONGEST:  # an upstream could read another one
        raise _RefusedError(f"{shown} is invalid")
    return values[0]


def _seconds(text: str) -> int:
    if not _INTEGER(text):
        raise _RefusedError("invalid digit found in string")
    number = int(text)
    if not -(2**63) <= number < 2**63:
        side = "small" if number < 0 else "large"
        raise _RefusedError(f"number too {side} to fit in target type")
    return number


def _is_in(address: str, networks: tuple[Any, ...]) -> bool:
    try:
        client = ip_address(address)
    except ValueError:  # a Unix socket has no address
        return False
    return any(client in network for network in networks)


def _known(listed: list[Application]) -> dict[str, _Known]:
    known = {}
    for one in listed:
        if not (secret := one.secret.read_again()):
            raise ValueError(f"{one.app_id}: the secret is empty")
        known[one.app_id] = _Known(secret.encode(), one.deviation, one.ip_list)
    return known
