"""security_headers."""

from __future__ import annotations

import pytest
from pingap_basics.redirect import Redirect
from pingap_basics.security_headers import SecurityHeaders
from pydantic import ValidationError

from pingap import Headers, Response
from pingap.testing import Proxy, Upstream, make_context, make_request

HSTS = "Strict-Transport-Security"
DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def added(
    own: dict[str, str], *, scheme: str = "http", settings: dict[str, object] | None = None
) -> dict[str, str]:
    """Return the headers that are added to a response."""
    plugin = SecurityHeaders(SecurityHeaders.Settings.model_validate(settings or {}))
    response = Response(200, b"", Headers(own))
    before = {name for name, _ in response.headers.items()}
    plugin.response(make_request(), response, make_context(scheme=scheme))
    names = [name.lower() for name, _ in response.headers.items()]
    assert len(names) == len(set(names)), "a header is doubled"
    assert {name: response.headers[name] for name in own} == own, "a header was changed"
    return {name: value for name, value in response.headers.items() if name not in before}


def test_defaults() -> None:
    assert added({}) == DEFAULTS


def test_hsts_only_over_tls() -> None:
    assert added({}, scheme="https") == {**DEFAULTS, HSTS: "max-age=31536000"}


@pytest.mark.parametrize("name", DEFAULTS)
def test_headers_of_the_upstream_stay(name: str) -> None:
    assert name not in added({name.lower(): "own"}, scheme="https")
    assert HSTS not in added({HSTS: "max-age=0"}, scheme="https")


@pytest.mark.parametrize(
    ("own", "missing"),
    [
        ({"X-Frame-Options": "DENY"}, {"X-Frame-Options", "Content-Security-Policy"}),
        ({"Content-Security-Policy": "default-src 'self'"}, {"Content-Security-Policy"}),
        (
            {"Content-Security-Policy": "img-src *; FRAME-ancestors 'none'"},
            {"X-Frame-Options", "Content-Security-Policy"},
        ),
    ],
)
def test_the_upstream_decides_about_frames(own: dict[str, str], missing: set[str]) -> None:
    assert DEFAULTS.keys() - added(own).keys() == missing


def test_a_policy_about_other_things_is_added_beside_frame_options_of_the_upstream() -> None:
    settings: dict[str, object] = {"content_security_policy": "default-src 'self'"}
    found = added({"X-Frame-Options": "DENY"}, settings=settings)
    assert found["Content-Security-Policy"] == "default-src 'self'"


def test_false_leaves_a_header_out() -> None:
    keys = ("content_type_options", "frame_options", "content_security_policy")
    more = ("referrer_policy", "permissions_policy")
    settings: dict[str, object] = dict.fromkeys((*keys, *more), False)
    assert added({}, scheme="https", settings=settings) == {HSTS: "max-age=31536000"}
    settings["strict_transport_security"] = False
    with pytest.raises(ValueError, match="adds nothing"):
        added({}, settings=settings)


@pytest.mark.parametrize("value", [True, "", " ", "a\nb", 3])
def test_wrong_values(value: object) -> None:
    with pytest.raises(ValidationError):
        SecurityHeaders.Settings.model_validate({"referrer_policy": value})


def test_the_instance_with_a_redirect_to_https(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", b"ok", headers={"Referrer-Policy": "no-referrer"})
    to_https = (Redirect, {"http_to_https": True})
    proxy.location("/", plugins=["pingap:securityHeaders", to_https])
    plain = proxy.get("/")
    assert (plain.status, HSTS in plain.headers) == (307, False)  # RFC 6797, 7.2
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    secure = proxy.get("/", headers={"X-Forwarded-Proto": "https"})
    assert (secure.status, secure.headers[HSTS]) == (200, "max-age=31536000")
    assert secure.headers["Referrer-Policy"] == "no-referrer"
