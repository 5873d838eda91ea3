"""Whether a response may be stored, for how long, and which of its fields (RFC 9111, 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin

from pingap_content.media_types import MediaTypes

from pingap import Headers
from pingap_cache.http.conditional import can_validate
from pingap_cache.http.directives import (
    ResponseDirectives,
    request_directives,
    response_directives,
)
from pingap_cache.http.freshness import HEURISTIC, Lifetime, corrected_initial_age, lifetime
from pingap_cache.http.stored import StoredResponse
from pingap_cache.http.tags import response_tags
from pingap_cache.http.vary import vary_names

TRACES: Final = frozenset(
    {
        *(b"x-request-id", b"x-trace-id", b"x-span-id", b"uber-trace-id"),
        *(b"traceparent", b"tracestate", b"traceresponse"),
    }
)
"""Fields about one request, which would be wrong about another one."""

_OF_ONE_REQUEST: Final = frozenset({206, 304, 412, 416})
"""Status codes of answers to a range or a condition: not what others would get. No parts are stored."""
_UNDERSTOOD: Final = frozenset(int(status) for status in HTTPStatus if status >= 200)
"""Status codes whose meaning for caches is known."""
_NEVER_STORED: Final = frozenset(
    {
        b"age",  # worked out anew for each answer
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
        b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization",
        b"trailer",  # trailers are not stored
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator says about storing. Durations are seconds."""

    targets: tuple[bytes, ...] = (b"cdn-cache-control",)
    """Targeted fields this cache obeys, in lower case, the most important first (RFC 9213, 2.2)."""
    heuristic_fraction: float = 0.1
    """Part of the time since ``Last-Modified`` for which a response without lifetime is fresh; 0: none."""
    heuristic_most: float = 86400.0
    max_ttl: float | None = None
    """Upper bound of every lifetime."""
    needs_cache_control: bool = False
    """Store only what has ``Cache-Control`` or a targeted field."""
    content_types: MediaTypes | None = None
    """Store only these; None for all."""
    set_cookie: bool = True
    """Store responses that set cookies and have an explicit lifetime, as RFC 9111 lets (7.3)."""
    stale_while_revalidate: float = 0.0
    """For responses with a lifetime that do not name it; outside of RFC 9111 unless agreed with the origin
    (4.2.4)."""
    stale_if_error: float = 0.0
    """As ``stale_while_revalidate``."""
    stale_despite_s_maxage: bool = False
    """Let ``s-maxage`` forbid stale responses only if no allowance is named beside it, as many caches do;
    by RFC 9111, 5.2.2.10, it always does."""
    keep_stale: float = 86400.0
    """How long past its lifetime a response is kept, to be revalidated, or for who accepts it stale."""
    unstored_fields: frozenset[bytes] = TRACES


@dataclass(frozen=True, slots=True)
class Storing:
    """The decision on a response."""

    response: StoredResponse | None
    """What to store; of a response that was updated, there even if it may not be stored any more."""
    keep: float
    """Seconds for which it is useful; 0: not to be stored."""
    reason: str
    """Why it is not stored, or what gave it its lifetime."""


def consider(
    method: str,
    url: str,
    request_headers: Headers,
    status: int,
    headers: Headers,
    *,
    request_time: float,
    response_time: float,
    policy: Policy,
    reason: bytes | None = None,
) -> Storing:
    """Decide on a response of the origin (RFC 9111, 3).

    A response to POST that may be stored answers GET and HEAD, and belongs under their key.

    :param url: the target URI.
    :param reason: the reason phrase, if it was not the usual one.
    """
    directives = response_directives(headers, policy.targets)
    fresh = _lifetime(status, headers, directives, response_time, policy)
    refusal = (
        _refused_method(method, url, headers, fresh)
        or _refused_request(request_headers, directives)
        or _refused_response(status, headers, directives, fresh, policy)
    )
    if refusal:
        return Storing(None, 0.0, refusal)
    response = _assemble(
        status, reason, headers, directives, fresh, request_time, response_time, url, policy
    )
    return _with_keep(response, policy)


def reconsider(
    stored: StoredResponse,
    request_headers: Headers,
    headers: Headers,
    *,
    request_time: float,
    response_time: float,
    policy: Policy,
) -> Storing:
    """Decide on a stored response whose fields were updated (RFC 9111, 3.2).

    :param headers: the updated fields, with ``Age`` if the update had one.
    """
    directives = response_directives(headers, policy.targets)
    fresh = _lifetime(stored.status, headers, directives, response_time, policy)
    response = _assemble(
        stored.status, stored.reason, headers, directives, fresh, request_time, response_time,
        stored.url, policy,
    )  # fmt: skip
    refusal = _refused_request(request_headers, directives) or _refused_response(
        stored.status, headers, directives, fresh, policy
    )
    return Storing(response, 0.0, refusal) if refusal else _with_keep(response, policy)


def _lifetime(
    status: int,
    headers: Headers,
    directives: ResponseDirectives,
    response_time: float,
    policy: Policy,
) -> Lifetime:
    return lifetime(
        status,
        headers,
        directives,
        response_time,
        fraction=policy.heuristic_fraction,
        most=policy.heuristic_most,
    )


def _refused_method(method: str, url: str, headers: Headers, fresh: Lifetime) -> str:
    """Return why the method forbids storing (RFC 9110, 9.3), or nothing."""
    if method == "GET":
        return ""
    if method != "POST":
        return f"the method is {method}"
    location = headers.find(b"content-location")
    if location is None or not fresh.explicit:
        return "the method is POST, without Content-Location and explicit lifetime"
    try:
        same = urljoin(url, location.decode("latin-1")) == url
    except ValueError:
        same = False
    return "" if same else "the method is POST, and Content-Location is another URL"


def _refused_request(headers: Headers, directives: ResponseDirectives) -> str:
    """Return why the request forbids storing (RFC 9111, 3, 3.5 and 5.2.1.5), or nothing."""
    if request_directives(headers).no_store:
        return "no-store of the request"
    allowed = directives.public or directives.must_revalidate or directives.s_maxage is not None
    if b"authorization" in headers.keys and not allowed:
        return "Authorization, without public, must-revalidate or s-maxage"
    return ""


def _refused_response(
    status: int, headers: Headers, directives: ResponseDirectives, fresh: Lifetime, policy: Policy
) -> str:
    """Return why the response itself may not be stored (RFC 9111, 3), or nothing."""
    if status < 200 or status in _OF_ONE_REQUEST:
        return f"status {status}"
    if policy.content_types is not None and headers.get("content-type") not in policy.content_types:
        return "Content-Type, which is not in content_types"
    if directives.must_understand:  # which makes no-store count for other caches only (5.2.2.3)
        if status not in _UNDERSTOOD:
            return f"must-understand, and status {status} is not known"
    elif directives.no_store:
        return f"no-store of {directives.field}"
    if directives.private:
        return f"private of {directives.field}"
    if policy.needs_cache_control and not directives.field:
        return "no Cache-Control"
    if not (fresh.explicit or directives.public or status in HEURISTIC):
        return f"status {status} without explicit lifetime"
    unstored = directives.private_fields | directives.no_cache_fields
    if b"set-cookie" in headers.keys and b"set-cookie" not in unstored:
        if not policy.set_cookie:
            return "Set-Cookie"
        # Else a cookie for one client would go to all, though nobody said that they may share it.
        if not fresh.explicit or fresh.seconds <= 0 or directives.no_cache:
            return "Set-Cookie, without explicit lifetime"
    if vary_names(headers) is None:
        return "Vary: *"
    return ""


def _assemble(
    status: int,
    reason: bytes | None,
    headers: Headers,
    directives: ResponseDirectives,
    fresh: Lifetime,
    request_time: float,
    response_time: float,
    url: str,
    policy: Policy,
) -> StoredResponse:
    """Work out what serving this response will need."""
    seconds, source = fresh.seconds, fresh.source
    if policy.max_ttl is not None and seconds > policy.max_ttl:
        seconds, source = policy.max_ttl, f"max_ttl, below {source}"
    initial_age = corrected_initial_age(headers, request_time, response_time)
    # (What was never fresh may be meant for one client, though nothing says so.)
    while_revalidate = policy.stale_while_revalidate if seconds > 0 else 0.0
    if_error = policy.stale_if_error if seconds > 0 else 0.0
    if directives.stale_while_revalidate is not None:
        while_revalidate = float(directives.stale_while_revalidate)
    if directives.stale_if_error is not None:
        if_error = float(directives.stale_if_error)
    return StoredResponse(
        status,
        reason,
        stored_fields(headers, directives, policy.unstored_fields),
        request_time,
        response_time,
        response_time - initial_age,
        seconds,
        source,
        directives.no_cache,
        _forbids_stale(directives, policy),
        while_revalidate,
        if_error,
        url,
        response_tags(headers),
    )


def _forbids_stale(directives: ResponseDirectives, policy: Policy) -> bool:
    """Whether stale responses are prohibited in the protocol (RFC 9111, 4.2.4 and 5.2.2.10)."""
    named = (directives.stale_while_revalidate, directives.stale_if_error) != (None, None)
    by_s_maxage = directives.s_maxage is not None and not (policy.stale_despite_s_maxage and named)
    return (
        directives.must_revalidate
        or directives.proxy_revalidate
        or directives.no_cache
        or by_s_maxage
    )


def _with_keep(response: StoredResponse, policy: Policy) -> Storing:
    """Say for how long a response that may be stored is useful."""
    left = response.expires - response.response_time
    allowed = 0.0
    if not response.forbids_stale:
        allowed = max(response.stale_while_revalidate, response.stale_if_error)
    again = can_validate(response)
    if not again and (response.no_cache or left + allowed <= 0):
        return Storing(response, 0.0, f"no validator, and no lifetime ({response.source})")
    if again or not response.forbids_stale:
        allowed = max(allowed, policy.keep_stale)
    keep = max(0.0, left + allowed)
    return Storing(response, keep, response.source if keep else f"too old ({response.source})")


def stored_fields(
    headers: Headers, directives: ResponseDirectives, unstored: frozenset[bytes] = frozenset()
) -> Headers:
    """Return the fields that may be stored (RFC 9111, 3.1; RFC 9110, 7.6.1).

    Not those of one connection or one proxy, nor those that ``private`` or ``no-cache`` names: they
    could not be used again without asking the origin.

    :param unstored: further names, in lower case.
    """
    dropped = _dropped(unstored)
    named = directives.private_fields | directives.no_cache_fields
    if (listed := headers.find(b"connection")) is not None:
        named |= {name.strip(b" \t").lower() for name in listed.split(b",")}
    if named:
        dropped |= named
    stored = headers.copy()
    for name in dropped.intersection(headers.keys):
        stored.discard(name)
    return stored


@lru_cache(maxsize=16)
def _dropped(unstored: frozenset[bytes]) -> frozenset[bytes]:
    """Return all names that are not stored."""
    return _NEVER_STORED | unstored
