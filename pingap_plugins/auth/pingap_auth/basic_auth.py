"""Admit clients with a user name and a password (RFC 7617)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from pydantic import Field as SettingsField

from pingap import (
    ConfigTable,
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
from pingap_auth.basic_credentials import basic_credentials, decoded_credentials, user_of
from pingap_auth.checks import BusyError, Checks
from pingap_auth.guard import Guard
from pingap_auth.remembered import Known
from pingap_auth.users import Users, lines_of, read_users

_MISSING: Final = "Authorization is missing"
_WRONG: Final = "Invalid user or password"
_BUSY: Final = "Too many passwords are being checked"
_RETRY_AFTER: Final = field("Retry-After", "5")


class BasicAuth(Guard):
    """Admits clients with a user name and a password; browsers ask for them."""

    category = "basic_auth"
    reads_headers = ("authorization",)

    class Settings(PluginSettings):
        """Settings of ``basic_auth``."""

        authorizations: list[Secret] = SettingsField(default=[])
        """Base64 of ``user:password``, for each user. With ``file:PATH``, the file is read again when it
        changes."""
        users: list[Secret] = SettingsField(default=[])
        """Lines `user:hash` as in `users_file`. (A key that pingap does not have.)"""
        users_file: FilePath | None = None
        """A file with lines ``user:hash``, as ``htpasswd -B`` writes it: bcrypt, argon2 or SHA-crypt. It is
        read again when it changes."""
        realm: str = "Access to the staging site"
        """What browsers show when they ask."""
        delay: Duration = 0.0
        """How long a wrong password is not answered."""
        hide_credentials: bool = False
        """Whether ``Authorization`` is removed before the request is forwarded."""
        remember: Duration = 60.0
        """How long a checked password of ``users`` or ``users_file`` is not checked again; 0: always."""

    def __init__(self, settings: Settings, table: ConfigTable | None = None) -> None:
        path = settings.users_file
        if not settings.authorizations and not settings.users and path is None:
            raise ValueError("nobody could pass: set users, users_file or authorizations")
        self.set_up(table, settings.delay)
        self._challenge = field("WWW-Authenticate", f"Basic realm={_quoted(settings.realm)}")
        self._hide = settings.hide_credentials
        secrets = settings.authorizations
        self._fixed = WatchedFiles(
            lambda: _known(secrets), [one.path for one in settings.authorizations]
        )
        self._users: WatchedFiles[Users] | None = None
        if settings.users or path is not None:
            files = [path, *(one.path for one in settings.users)]
            self._users = WatchedFiles(lambda: _users(settings), files)
        self.watched = [self._fixed, *([self._users] if self._users is not None else [])]
        self._checks = Checks()

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Let the request pass, or refuse it."""
        values = request.headers.find_all(b"authorization")
        if not values:
            self.count("missing", ctx)
            return self._answer(401, _MISSING)
        # An upstream could read another one of several.
        credentials = basic_credentials(values[0]) if len(values) == 1 else None
        if credentials is None:
            return self._wrong(request, ctx)
        if self._fixed.value.find(credentials) is not None:
            self._pass(credentials, request, ctx)
            return None
        if self._users is None:
            return self._wrong(request, ctx)
        users = self._users.value
        known = users.known(users.digest(credentials))
        if known is None:
            return self._check(users, credentials, request, ctx)
        if not known:
            return self._wrong(request, ctx)
        self._pass(credentials, request, ctx)
        return None

    async def _check(
        self, users: Users, credentials: bytes, request: Request, ctx: RequestContext
    ) -> Response | None:
        try:
            right = await self._checks.run(users, credentials, ctx.client_ip(request))
        except BusyError:
            self.count("busy", ctx)
            response = self._answer(503, _BUSY)
            response.headers.append(_RETRY_AFTER)
            return response
        if right:
            self._pass(credentials, request, ctx)
            return None
        refused = self._wrong(request, ctx)
        return refused if isinstance(refused, Response) else await refused

    def _pass(self, credentials: bytes, request: Request, ctx: RequestContext) -> None:
        ctx.user = user_of(credentials)
        if self._hide:
            request.headers.discard(b"authorization")

    def _wrong(self, request: Request, ctx: RequestContext) -> Response | Awaitable[Response]:
        return self.refuse(self._answer(401, _WRONG), "wrong", request, ctx)

    def _answer(self, status: int, text: str) -> Response:
        response = Response(status, text)
        if status == 401:
            response.headers.append(self._challenge)
        return response


def _users(settings: BasicAuth.Settings) -> Users:
    path = settings.users_file
    lines = [] if path is None else list(lines_of(path.read_text("utf-8")))
    for at, secret in enumerate(settings.users):
        lines += ((f"users[{at}]", line) for line in secret.read_again().splitlines())
    return read_users(lines, settings.remember)


def _known(secrets: list[Secret]) -> Known[bool]:
    pairs = []
    for at, secret in enumerate(secrets):
        credentials = decoded_credentials(secret.read_again().encode())
        if credentials is None:
            raise ValueError(f"authorizations[{at}] is not base64 of user:password")
        pairs.append((credentials, True))
    return Known(pairs)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
