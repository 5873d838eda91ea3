"""``json_transform`` through sockets."""

from __future__ import annotations

import gzip
import json

import pytest
from pingap_content.decoders import Limits, decoder
from pingap_content.encoders import encoder

from pingap.testing import Proxy, Upstream, configuration_problems

JSON = {"Content-Type": "application/json; charset=utf-8"}
RULES = {
    "request": ["set meta.client $client_ip", "remove admin"],
    "response": ["remove secret", "rename user.nm name"],
}


@pytest.fixture
def api(proxy: Proxy) -> Proxy:
    proxy.location("/", plugins=[("json_transform", RULES)])
    return proxy


def test_a_request(api: Proxy, upstream: Upstream) -> None:
    headers = {**JSON, "X-CaSe": "kept", "Content-Digest": "x"}
    assert api.request("POST", "/", body=b'{"a": 1, "admin": true}', headers=headers).status == 200
    received = upstream.received_once()
    assert received.body == b'{"a":1,"meta":{"client":"127.0.0.1"}}'
    assert ("X-CaSe", "kept") in list(received.headers)
    assert received.header("content-digest") is None
    assert api.metrics().value("pingap_json_changed_total", direction="request") == 1


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("coding", ["", "gzip", "br", "zstd", "deflate"])
def test_bodies_of_all_kinds(size: int, coding: str, api: Proxy, upstream: Upstream) -> None:
    text = {"secret": 1, "user": {"nm": "x" * size}}
    body = json.dumps(text).encode()
    headers = dict(JSON)
    if coding:
        made = encoder(coding, 1, None)
        body = made.compress(body) + made.finish()
        headers["Content-Encoding"] = coding
    upstream.reply("/", body, headers={**headers, "ETag": '"a"'})
    cut = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
    answer = api.request("POST", "/", body=cut, headers=headers)
    assert (answer.status, answer.header("etag")) == (200, 'W/"a"')
    for data, expected in (
        (answer.body, {"user": {"name": "x" * size}}),
        (upstream.received_once().body, {**text, "meta": {"client": "127.0.0.1"}}),
    ):
        plain = decoder(coding, Limits(0, 1000)).feed(data) if coding else data
        assert json.loads(plain) == expected
    assert answer.header("content-encoding") == (coding or None)
    assert answer.header("content-length") == str(len(answer.body))


def test_what_stays_as_it_is(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(
        "/", plugins=[("json_transform", {**RULES, "path": "^/a", "status_codes": "2xx"})]
    )
    body = b'{ "admin": 1, "secret": 2 }'
    for path, status, headers in (
        ("/b", 200, JSON),
        ("/a", 404, JSON),
        ("/a", 200, {"Content-Type": "text/plain"}),
    ):
        upstream.reply(path, body, status, headers={**headers, "ETag": '"a"'})
        before = len(upstream.requests)
        kind = {"Content-Type": "text/plain"}
        answer = proxy.request("POST", path, body=body, headers=kind)
        assert (answer.status, answer.body, answer.header("etag")) == (status, body, '"a"')
        assert upstream.requests[before].body == body


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[" * 50_000, {}, 400),
        (b'{"a":"' + b"x" * 2000 + b'"}', {}, 413),
        (b"xx", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b'"' + b"x" * 100_000 + b'"', mtime=0), {"Content-Encoding": "gzip"}, 413),
        (b"{}", {"Content-Encoding": "x-own"}, 415),
        (b"{}", {"Content-Encoding": "gzip, br"}, 415),
    ],
)
@pytest.mark.parametrize("on_failure", ["refuse", "pass"])
def test_requests_that_cannot_be_changed(
    body: bytes, headers: dict[str, str], status: int, on_failure: str,
    proxy: Proxy, upstream: Upstream,
) -> None:  # fmt: skip
    limit = 60_000 if body.startswith(b"[") else 1000
    settings = {**RULES, "max_size": limit, "on_failure": on_failure}
    proxy.location("/", plugins=[("json_transform", settings)])
    answer = proxy.request("POST", "/", body=body, headers={**JSON, **headers})
    if on_failure == "refuse" or len(body) > limit:
        assert answer.status == status
        assert upstream.requests == []
    else:
        assert (answer.status, upstream.received_once().body) == (200, body)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b'{"a":"' + b"x" * 2000 + b'"}', {}),
        (b"xx", {"Content-Encoding": "gzip"}),
        (b"{}", {"Content-Encoding": "x-own"}),
    ],
)
@pytest.mark.parametrize("on_failure", ["refuse", "pass"])
def test_responses_that_cannot_be_changed(
    body: bytes, headers: dict[str, str], on_failure: str, chunked: bool,
    proxy: Proxy, upstream: Upstream,
) -> None:  # fmt: skip
    settings = {**RULES, "max_size": 1000, "on_failure": on_failure}
    proxy.location("/", plugins=[("json_transform", settings)])
    if chunked:
        pieces = [body[at : at + 400] for at in range(0, len(body), 400)]
        upstream.stream("/", lambda: iter(pieces), headers={**JSON, **headers})
    else:
        upstream.reply("/", body, headers={**JSON, **headers})
    answer = proxy.get("/")
    if on_failure == "refuse":
        assert answer.status == 502
    else:
        assert (answer.status, answer.body) == (200, body)
    proxy.wait_for_log("the response to /: ")


def test_empty_bodies(api: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", b"", headers=JSON)
    assert api.request("POST", "/", headers=JSON).status == 200
    assert api.request("HEAD", "/").status == 200


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "json_transform"\n{keys}\n')


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('request = ["remove"]', "pingap.toml:3: plugins.p.request[0]: there is no path"),
        ('response = ["set a b"]', "pingap.toml:3: plugins.p.response[0]: b is neither JSON"),
        ('max_size = "1GiB"', "expected 1 to 64MiB"),
        ('on_failure = "ignore"', "on_failure"),
        ('status_codes = "abc"', 'status_codes: found "abc"'),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


def test_all_keys() -> None:
    assert problems(
        'request = ["default a.b :connection_id"]\nresponse = []\npath = "^/a"\nstatus_codes = "200"\n'
        'types = ["*/*"]\nmax_size = "2MiB"\non_failure = "pass"'
    ) == []  # fmt: skip
