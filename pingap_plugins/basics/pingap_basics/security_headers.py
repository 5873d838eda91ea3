"""Adds the response headers that tell browsers to be careful, where the upstream has not set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from pingap import (
    Field,
    Headers,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    field,
    hookimpl,
)

INSTANCE: Final = "pingap:securityHeaders"
_CSP: Final = b"content-security-policy"
_FRAMES: Final = b"x-frame-options"


def _check_value(text: str) -> str:
    if not text.strip():
        raise ValueError("found no value; false leaves the header out")
    field("X", text)
    return text


Value = Annotated[str, AfterValidator(_check_value)] | Literal[False]
"""The value of a header; ``False`` leaves it out."""


class SecurityHeaders(Plugin):
    """Adds headers that make browsers careful. One that a response already has is not changed or doubled."""

    category = "security_headers"
    may_fail_open = True

    class Settings(PluginSettings):
        """Settings of ``security_headers``. Each takes the value of a header, or `false` to leave it out."""

        strict_transport_security: Value = "max-age=31536000"
        """`Strict-Transport-Security` (RFC 6797), only in answers over HTTPS: the client, or a trusted proxy in front,
        uses TLS. Browsers then use only HTTPS for the host, here for a year. Add `; includeSubDomains` if that is
        true for all hosts below it."""
        content_type_options: Value = "nosniff"
        """`X-Content-Type-Options`: files are what their `Content-Type` says."""
        frame_options: Value = "SAMEORIGIN"
        """`X-Frame-Options`: who may show pages in a frame."""
        content_security_policy: Value = "frame-ancestors 'self'"
        """`Content-Security-Policy`; the default is the same as that of `frame_options`, for newer browsers."""
        referrer_policy: Value = "strict-origin-when-cross-origin"
        """`Referrer-Policy`: other sites learn only the origin that a visitor comes from."""
        permissions_policy: Value = "camera=(), geolocation=(), microphone=()"
        """`Permissions-Policy`: what pages, and frames in them, cannot ask for."""

    def __init__(self, settings: Settings) -> None:
        self._hsts = _field("Strict-Transport-Security", settings.strict_transport_security)
        self._frames = _field("X-Frame-Options", settings.frame_options)
        self._policy = _field("Content-Security-Policy", settings.content_security_policy)
        self._about_frames = _names_frames(self._policy)
        others = (
            _field("X-Content-Type-Options", settings.content_type_options),
            _field("Referrer-Policy", settings.referrer_policy),
            _field("Permissions-Policy", settings.permissions_policy),
        )
        self._others = tuple(one for one in others if one is not None)
        if not (self._others or self._hsts or self._frames or self._policy):
            raise ValueError("adds nothing: every header is false")

    @classmethod
    @hookimpl
    def pingap_instances(cls) -> Mapping[str, Mapping[str, object]]:
        """Return the instance with the defaults."""
        return {INSTANCE: {"category": cls.category}}

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Add the headers that are missing."""
        headers = response.headers
        for one in self._others:
            if one[0] not in headers.keys:
                headers.append(one)
        hsts = self._hsts
        if hsts is not None and hsts[0] not in headers.keys and ctx.scheme(request) == "https":
            headers.append(hsts)
        self._add_policy(headers)

    def _add_policy(self, headers: Headers) -> None:
        """Add what limits frames, unless the upstream does: ``frame-ancestors`` makes browsers ignore the other one."""
        own_policy = headers.find(_CSP)
        decided = _FRAMES in headers.keys or b"frame-ancestors" in (own_policy or b"").lower()
        if self._frames is not None and not decided:
            headers.append(self._frames)
        overrules = decided and self._about_frames
        if self._policy is not None and own_policy is None and not overrules:
            headers.append(self._policy)


def _field(name: str, value: str | Literal[False]) -> Field | None:
    return None if value is False else field(name, value)


def _names_frames(policy: Field | None) -> bool:
    return policy is not None and b"frame-ancestors" in policy[1].lower()
