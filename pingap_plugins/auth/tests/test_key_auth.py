"""``key_auth`` as clients see it."""

from __future__ import annotations

import select
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_auth.keys import without_parameters

from pingap import Headers, Request
from pingap.testing import Answer, Proxy, Upstream, configuration_problems

MISSING = (401, "Key missing")
WRONG = (401, "Key auth fail")


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


@pytest.fixture
def site(proxy: Proxy) -> Proxy:
    proxy.configure("servers.web", enabled_h2=True, access_log="[{:user}] {:keys.failure} {status}")
    proxy.configure(
        "plugins.keys",
        category="key_auth",
        header="X-Key",
        query="key",
        keys=["hush", "a b+c&d"],
        named_keys={"alice": "sesame"},
        name_header="X-Key-Name",
    )
    proxy.location("/", plugins=["keys"])
    return proxy


def test_a_key_in_a_header(site: Proxy, upstream: Upstream) -> None:
    assert site.get("/", headers={"x-KEY": "hush"}).status == 200
    assert upstream.received_once().header("x-key") == "hush"


@pytest.mark.parametrize(
    "query",
    [
        "key=hush",
        "x=1&key=hush",
        "key=%68ush",
        "%6bey=hush",
        "key=a+b%2Bc%26d",
        "key=hush&key=hush",
    ],
)
def test_a_key_in_the_query(site: Proxy, query: str, upstream: Upstream) -> None:
    assert site.get(f"/?{query}").status == 200
    assert upstream.received_once().target == f"/?{query}"


def test_no_key(site: Proxy, upstream: Upstream) -> None:
    for target in ("/", "/?key=", "/?key", "/?keys=hush", "/?a=key=hush"):
        answer = site.get(target, headers={"X-Key": ""})
        assert told(answer) == MISSING
        assert answer.header("content-type") is None
    assert upstream.requests == []
    assert site.access_log == ["[] missing 401"] * 5


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("key=Hush", []),
        ("key=hush%00", []),
        ("key=hush%20", []),
        ("key=hush&key=other", []),
        ("key=other&key=hush", []),
        ("", [("X-Key", "hush"), ("X-Key", "other")]),
        ("", [("X-Key", "hush, hush")]),
        ("", [("X-Key", "Hush")]),
        ("", [("X-Key", '"hush"')]),
        ("", [("X-Key", "Bearer hush")]),
        ("", [("X-Key", "h" * 5000)]),
        ("key=hush", [("X-Key", "other")]),
        ("key=other", [("X-Key", "hush")]),
        ("key=alice", []),
        ("key=%ff", []),
    ],
)
def test_what_is_wrong(
    site: Proxy, query: str, headers: list[tuple[str, str]], upstream: Upstream
) -> None:
    assert told(site.get(f"/?{query}", headers=headers)) == WRONG
    assert upstream.requests == []
    assert site.access_log == ["[] wrong 401"]


def test_too_many_parameters(site: Proxy, upstream: Upstream) -> None:
    assert site.get("/?" + "&" * 1500 + "key=hush").status == 400
    assert upstream.requests == []


def test_a_named_key_is_known_to_the_upstream_the_log_and_metrics(
    site: Proxy, upstream: Upstream
) -> None:
    assert site.get("/", headers={"X-Key": "sesame", "X-Key-Name": "root"}).status == 200
    assert site.get("/", headers={"X-Key": "hush", "x-key-NAME": "root"}).status == 200
    assert [one.headers.get_all("x-key-name") for one in upstream.requests] == [["alice"], []]
    assert site.access_log == ["[alice]  200", "[]  200"]
    assert site.metrics().value("pingap_auth_key_uses_total", key_name="alice") == 1


def test_hidden_keys_never_reach_the_upstream(proxy: Proxy, upstream: Upstream) -> None:
    settings = {"header": "X-Key", "query": "key", "keys": ["hush"], "hide_credentials": True}
    proxy.location("/", plugins=[("key_auth", settings)])
    proxy.configure("servers.web", enabled_h2=True)
    proxy.get("/a?b=%20c&key=hush&d&&%6Bey=hush&%6bey=", headers={"x-KEY": "hush"})
    proxy.get("/?key=hush", headers=[("X-Key", "hush"), ("X-KEY", "hush")])
    proxy.get("/%7ea?x=1&key=hush")
    with proxy.connect_http2() as client:
        client.request("GET", "/?key=hush", headers={"x-key": "hush"})
    assert [one.target for one in upstream.requests] == ["/a?b=%20c&d&", "/", "/%7ea?x=1", "/"]
    assert [one.header("x-key") for one in upstream.requests] == [None] * 4


@given(st.lists(st.sampled_from(["key", "%6bey", "k", "key=1", "a=key", "", "+", "%ff=1", "\xe9"])))
def test_what_is_removed_is_what_was_found(pairs: list[str]) -> None:
    rest = without_parameters("&".join(pairs), ["key"])
    assert Request("GET", f"/?{rest}", Headers()).query_params.get_all("key") == []
    kept = [one for one in pairs if one not in ("key", "%6bey", "key=1")]
    assert rest == "&".join(kept)


def test_responses_are_kept_apart_in_a_cache(proxy: Proxy, upstream: Upstream) -> None:
    """The upstream sees the key, so it may answer everyone differently."""
    fresh = {"Cache-Control": "max-age=60"}
    upstream.on(
        "/", lambda served, request: served.respond(request.header("x-key").encode(), headers=fresh)
    )
    settings = {"header": "X-Key", "keys": ["one", "two"]}
    proxy.location("/", plugins=[("key_auth", settings), "cache"])
    proxy.configure("plugins.cache", category="cache")
    for _ in range(2):
        assert proxy.get("/", headers={"X-Key": "one"}).text == "one"
        assert proxy.get("/", headers={"X-Key": "two"}).text == "two"
    assert len(upstream.requests) == 2
    assert told(proxy.get("/", headers={"X-Key": "three"})) == WRONG
    assert told(proxy.get("/")) == MISSING


def test_hidden_keys_share_the_cache(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", b"all the same", headers={"Cache-Control": "max-age=60"})
    settings = {"header": "X-Key", "keys": ["one", "two"], "hide_credentials": True}
    proxy.location("/", plugins=[("key_auth", settings), "cache"])
    proxy.configure("plugins.cache", category="cache")
    for key in ("one", "two"):
        assert proxy.get("/", headers={"X-Key": key}).text == "all the same"
    assert len(upstream.requests) == 1
    assert told(proxy.get("/")) == MISSING


def test_wrong_keys_are_delayed(proxy: Proxy) -> None:
    proxy.location("/", plugins=[("key_auth", {"header": "X-Key", "keys": ["a"], "delay": "25s"})])
    with proxy.connect() as slow:
        slow.send_request("GET", "/", headers={"X-Key": "b"})
        assert told(proxy.get("/")) == MISSING
        assert proxy.get("/", headers={"X-Key": "a"}).status == 200
        assert not select.select([slow.sock], [], [], 0)[0]


# Keys in a file.


def test_keys_of_a_file_come_and_go(proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "api.keys"
    path.write_text("# keys\n\nalice: one\nalice:two\nbob:three:four\n")
    settings = {"header": "X-Key", "keys_file": str(path), "name_header": "X-Name"}
    proxy.location("/", plugins=[("key_auth", settings)])
    for key, status in {"one": 200, "two": 200, "three:four": 200, "three": 401}.items():
        assert proxy.get("/", headers={"X-Key": key}).status == status
    path.write_text("bob:five\n")
    proxy.wait_for_log("was read again")
    for key, status in {"one": 401, "five": 200}.items():
        assert proxy.get("/", headers={"X-Key": key}).status == status
    path.write_text("")
    proxy.wait_for_log("auth keys can't be empty")
    assert proxy.get("/", headers={"X-Key": "five"}).status == 200
    proxy.expect_error("auth keys can't be empty")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('header = "X-Key"', "auth keys can't be empty"),
        ('header = "X-Key"\nkeys = []', "auth keys can't be empty"),
        ('keys = ["hush"]', "no place for the key: set header, query or both"),
        ('header = "X-Key"\nkeys = ["", "hush"]', "auth key is not allowed empty"),
        ('header = "X Key"\nkeys = ["hush"]', "is not a header name"),
        ('header = "X-Key"\nkeys = ["hush"]\nstep = "response"', "step"),
        ('header = "X-Key"\nkeys = ["hush"]\nfail_open = true', "fail_open"),
        ('header = "X"\nkeys = ["hush"]\nname_header = "x"', "are the same"),
        ('header = "X"\nnamed_keys = {{ "a b" = "hush" }}', "'a b' is not a name"),
        (
            'header = "X"\nnamed_keys = {{ a = "hush", b = "hush" }}',
            "the same key has another name",
        ),
        ('header = "X"\nkeys_file = "{tmp}/none"', "cannot be read"),
        ('header = "X"\nkeys_file = "{tmp}/line"', "keys_file, line 2: expected name:key"),
        ('header = "X"\nkeys_file = "{tmp}/empty"', "keys_file, line 1: auth key is not allowed"),
        ('header = "X"\nkeys = ["' + "hush" * 2000 + '"]', "longer than 4096 characters"),
    ],
)
def test_mistakes(tmp_path: Path, keys: str, reason: str) -> None:
    (tmp_path / "line").write_text("a:b\nhush\n")
    (tmp_path / "empty").write_text("a:\n")
    toml = f'[plugins.p]\ncategory = "key_auth"\n{keys}\n'.replace("{tmp}", str(tmp_path))
    found = configuration_problems(toml.replace("{{", "{").replace("}}", "}"))
    assert any(reason in one for one in found), found
    assert not any("hush" in one.replace(str(tmp_path), "") for one in found)


def test_the_keys_of_pingap() -> None:
    toml = """
    [plugins.p]
    category = "key_auth"
    query = "key"
    keys = ["KOXQaw", "GKvXY2"]
    hide_credentials = true
    delay = "10ms"
    step = "request"
    """
    assert configuration_problems(toml) == []
