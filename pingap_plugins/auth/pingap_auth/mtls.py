"""Admit clients by their certificates."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator
from pydantic import Field as SettingsField

from pingap import (
    ConfigTable,
    FilePath,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    WatchedFiles,
    field,
    hookimpl,
)
from pingap_auth.guard import Guard
from pingap_auth.identity import fingerprint

TlsDetails: TypeAlias = Any
"""What ``Connection.tls`` is; its class is not a public name."""

_MISSING: Final = "A client certificate is required"
_WRONG: Final = "This client certificate is not accepted"
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_NAME: Final = re.compile(r"(DNS|email|URI|IP):.+").fullmatch

Part = Literal["subject", "common_name", "names", "fingerprint"]


def _read_fingerprint(text: str) -> str:
    """Return a fingerprint as ``openssl x509 -fingerprint -sha256`` and others write it, in one form."""
    found = text.strip().rpartition("=")[2].replace(":", "").lower()
    if not _FINGERPRINT(found):
        raise ValueError("expected the SHA-256 of a certificate, 64 hexadecimal digits")
    return found


def _check_name(text: str) -> str:
    if not _NAME(text):
        raise ValueError('expected a name such as "DNS:a.example" or "URI:spiffe://prod/*"')
    return text


Fingerprint = Annotated[str, AfterValidator(_read_fingerprint)]
AlternativeName = Annotated[str, AfterValidator(_check_name)]


@dataclass(frozen=True, slots=True)
class _Lists:
    """The lists of fingerprints, as their files contain them now."""

    accepted: frozenset[str]
    revoked: frozenset[str]


class Mtls(Guard):
    """Admits clients with a certificate that the server has verified, and that is in a list."""

    category = "mtls"

    class Settings(PluginSettings):
        """Settings of ``mtls``."""

        subjects: list[str] = SettingsField(default=[])
        """Accepted subjects, as in RFC 4514: ``CN=alice,O=Shop``."""
        common_names: list[str] = SettingsField(default=[])
        """Accepted common names: ``alice``."""
        names: list[AlternativeName] = SettingsField(default=[])
        """Accepted alternative names, with their kind (``DNS:``, ``email:``, ``URI:``, ``IP:``); a ``*`` at the
        end stands for anything."""
        fingerprints: list[Fingerprint] = SettingsField(default=[])
        """Accepted certificates by their SHA-256."""
        fingerprints_file: FilePath | None = None
        """A file with one of them on each line, which is read again when it changes."""
        revoked: list[Fingerprint] = SettingsField(default=[])
        """Certificates that are refused, by their SHA-256."""
        revoked_file: FilePath | None = None
        """A file with one of them on each line, which is read again when it changes."""
        headers: dict[str, Part] = SettingsField(default={})
        """Headers for the upstream: ``subject``, ``common_name``, ``names`` or ``fingerprint``. The same headers
        from clients are removed."""

    def __init__(self, settings: Settings, table: ConfigTable | None = None) -> None:
        self.set_up(table)
        self._accepts = _condition(settings)
        self._lists = WatchedFiles(
            lambda: _read_lists(settings), [settings.fingerprints_file, settings.revoked_file]
        )
        self.watched = (self._lists,)
        self._lists_fingerprints = bool(settings.fingerprints or settings.fingerprints_file)
        self._headers = settings.headers
        self._header_keys = [field(name, "")[0] for name in settings.headers]
        self.adds_headers = tuple(settings.headers)

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response] | None:
        """Let the request pass, or refuse it."""
        for key in self._header_keys:
            request.headers.discard(key)
        tls = ctx.connection.tls
        if tls is None or not tls.client_fingerprint:
            self.count("missing", ctx)
            return Response(403, _MISSING)
        if (reason := self._reason_against(tls)) is not None:
            return self.refuse(Response(403, _WRONG), reason, request, ctx)
        ctx.user = tls.client_common_name or tls.client_subject
        fields = [field(name, _part(tls, part)) for name, part in self._headers.items()]
        for one in fields:
            request.headers.append(one)
        if fields:
            ctx.variants["mtls"] = fingerprint(*(line for _, line in fields))
        return None

    def _reason_against(self, tls: TlsDetails) -> str | None:
        # A connection may stay open for longer than its certificate is valid.
        if tls.client_valid_until <= time.time():
            return "expired"
        lists = self._lists.value
        if tls.client_fingerprint in lists.revoked:
            return "revoked"
        if self._lists_fingerprints and tls.client_fingerprint in lists.accepted:
            return None
        if self._accepts is None:  # nothing else is listed
            return "not listed" if self._lists_fingerprints else None
        return None if self._accepts(tls) else "not listed"


def _condition(settings: Mtls.Settings) -> Callable[[TlsDetails], bool] | None:
    subjects, common = frozenset(settings.subjects), frozenset(settings.common_names)
    exact = frozenset(name for name in settings.names if not name.endswith("*"))
    prefixes = tuple(name[:-1] for name in settings.names if name.endswith("*"))
    if not (subjects or common or exact or prefixes):
        return None

    def accepts(tls: TlsDetails) -> bool:
        return (
            tls.client_subject in subjects
            or tls.client_common_name in common
            or any(one in exact or one.startswith(prefixes) for one in tls.client_names)
        )

    return accepts


def _part(tls: TlsDetails, part: Part) -> str:
    if part == "names":
        # A name that contains a comma must not look like two.
        return ",".join(name.replace(",", "\\2C") for name in tls.client_names)
    return str(getattr(tls, f"client_{part}"))


def _read_lists(settings: Mtls.Settings) -> _Lists:
    return _Lists(
        frozenset((*settings.fingerprints, *_lines(settings.fingerprints_file))),
        frozenset((*settings.revoked, *_lines(settings.revoked_file))),
    )


def _lines(path: Path | None) -> Iterator[str]:
    if path is None:
        return
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if text := line.partition("#")[0].strip():
            try:
                yield _read_fingerprint(text)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
