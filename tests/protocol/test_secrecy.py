"""Nothing that may hold a credential is remembered between requests, on either side of HTTP/2."""

from __future__ import annotations

import gc

import pytest
from hpack import Encoder
from support.cost import cost

from pingap.http.headers import Headers, make_headers
from pingap.protocol import http2_fields, http2_hpack
from pingap.protocol.events import HeadLimits
from pingap.protocol.fields import drop_listed
from pingap.protocol.http2_hpack import HeadReader, fields_block
from pingap.protocol.http2_request import read_head
from pingap.protocol.http2_response import read_head as read_response_head
from pingap.protocol.secrecy import HARMLESS, may_remember_target

SECRET = "kq7Zs3cr3t"

NAMES = """Authorization Proxy-Authorization Cookie Cookie2 X-Api-Key Api-Key X-Auth-Token X-Auth-Key
X-Access-Token X-Amz-Security-Token X-Vault-Token X-CSRF-Token X-XSRF-Token Private-Token Job-Token
X-Session-Id X-Goog-Api-Key X-GitHub-Token X-Hub-Signature-256 X-Shopify-Access-Token DPoP
X-Forwarded-Access-Token Ocp-Apim-Subscription-Key Set-Cookie Location WWW-Authenticate
Authentication-Info Referer X-Original-URL Sec-WebSocket-Key Sec-WebSocket-Protocol Link Refresh
X-Pass X-JWT-Assertion X-Plain"""


def remembered() -> list[object]:
    """Return the caches of all decoders and encoders."""
    return [
        http2_fields.field_lines,
        http2_hpack._encoded,
    ]


def assert_forgotten() -> None:
    for cache in remembered():
        assert SECRET not in repr(cache)


@pytest.mark.parametrize("name", NAMES.split())
def test_no_field_is_remembered_in_http2(name: str) -> None:
    secret = (name.lower(), SECRET)
    start = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
    requests = HeadReader(read_head, HeadLimits())
    responses = HeadReader(read_response_head, HeadLimits())
    encoder = Encoder()
    for _ in range(2):  # the second time, the peer has it in its table
        requests.head(encoder.encode([*start, secret]))
    encoder = Encoder()
    for _ in range(2):
        responses.head(encoder.encode([(":status", "200"), secret]))
    fields_block(Headers({name: SECRET}))
    assert requests._known == responses._known == {}
    assert_forgotten()


@pytest.mark.parametrize(
    "target",
    [
        f"/?t={SECRET}",
        f"/reset/{SECRET}",
        f"/verify-email/{SECRET}",
        f"/bot123456:{SECRET}/getMe",
        f"/hooks/{SECRET}{SECRET}",
        f"/a;jsessionid={SECRET}",
        f"http://u:{SECRET}@a/",
        f"/%2f{SECRET}",
    ],
)
def test_no_target_with_a_secret_is_remembered(target: str) -> None:
    assert not may_remember_target(target)
    block = Encoder().encode(
        [(":method", "GET"), (":scheme", "http"), (":path", target), (":authority", "a")]
    )
    reader = HeadReader(read_head, HeadLimits())
    if target[0] == "/":
        reader.head(block)
    assert reader._known == {}


def test_ordinary_targets_are_remembered() -> None:
    assert may_remember_target("/api/v1/users/1234")
    assert not {one for one in HARMLESS if one != one.lower()}


def _drop(options: int) -> None:
    names = [b"a%d" % number for number in range(options)]
    headers = make_headers(list(names[:250]), [b"%b: " % name for name in names[:250]])
    drop_listed(headers, frozenset(names))
    assert not headers.keys


def _discard(number: int) -> None:
    headers = make_headers([b"a", b"b"] * number, [b"a: ", b"b: "] * number)
    headers.discard(b"a")
    assert len(headers) == number


def test_dropping_fields_costs_time_in_proportion() -> None:
    gc.collect()
    assert cost(_drop, 16_000) < 24 * cost(_drop, 2_000)
    assert cost(_discard, 16_000) < 24 * cost(_discard, 2_000)
