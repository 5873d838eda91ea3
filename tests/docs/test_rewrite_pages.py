"""The examples of the pages about rewriting do what the pages say."""

from __future__ import annotations

import gzip
import re

import pytest
from docs.blocks import DOCS, shown_file

from pingap.testing import Proxy, Upstream


def site(page: str, file: str, *upstreams: Upstream) -> Proxy:
    """Return the proxy of a page, whose backends are these, in order."""
    toml = shown_file(page, file).replace("127.0.0.1:8080", "127.0.0.1:0")
    for upstream in upstreams:
        toml = re.sub(r"127\.0\.0\.1:300\d", upstream.addr, toml, count=1)
    return Proxy(toml=toml)


@pytest.mark.parametrize(
    ("sent", "got"),
    re.findall(
        r"^\| `(/\S+)` \| `(/\S+)` \|$", (DOCS / "rewrite.md").read_text(), flags=re.MULTILINE
    ),
)
def test_paths_are_rewritten_as_shown(sent: str, got: str, upstream: Upstream) -> None:
    with site("rewrite.md", "pingap.toml", upstream) as proxy:
        assert proxy.get(sent).status == 200
        assert upstream.received_once().target == got


@pytest.mark.parametrize(
    ("rule", "sent", "got"),
    re.findall(
        r"^\| `(\^.+)` \| `(/\S+)` \| `(/\S+)` \|$",
        (DOCS / "rewrite.md").read_text(),
        flags=re.MULTILINE,
    ),
)
def test_queries_are_made_as_shown(rule: str, sent: str, got: str, upstream: Upstream) -> None:
    toml = re.sub("rewrite = .*", f'rewrite = "{rule}"', shown_file("rewrite.md", "pingap.toml"))
    toml = toml.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:3000", upstream.addr)
    with Proxy(toml=toml.replace('path = "/api/"', 'path = "/"')) as proxy:
        assert proxy.get(sent).status == 200
        assert upstream.received_once().target == got


def test_groups_are_variables() -> None:
    with Upstream() as blue, Upstream() as green:
        with site("rewrite.md", "tenants.toml", blue, green) as proxy:
            assert proxy.get("/blue/x", headers={"Host": "acme.example.com"}).status == 200
            assert proxy.get("/red/x", headers={"Host": "acme.example.com"}).status == 503
        received = blue.received_once()
        assert (received.target, received.header("x-tenant")) == ("/acme/x", "acme")
        assert green.requests == []


def test_links_are_replaced_as_shown(upstream: Upstream) -> None:
    page = b"<a href='http://old.example.com/a'></a><SCRIPT src=\"/stats.js\"></script>"
    upstream.reply("/", page, headers={"Content-Type": "text/html"})
    upstream.reply("/go", b"", 302, headers={"Location": "http://old.example.com/b"})
    with site("sub-filter.md", "pingap.toml", upstream) as proxy:
        assert proxy.get("/").body == b"<a href='https://www.example.com/a'></a>"
        assert proxy.get("/go").header("location") == "https://www.example.com/b"


def test_responses_are_compressed_once(upstream: Upstream) -> None:
    page = b"<a href='http://old.example.com/a'></a>"
    upstream.reply("/", page, headers={"Content-Type": "text/html"})
    with site("sub-filter.md", "once.toml", upstream) as proxy:
        answer = proxy.get("/", headers={"Accept-Encoding": "gzip"})
        assert answer.header("content-encoding") == "gzip"
        assert gzip.decompress(answer.body) == b"<a href='https://www.example.com/a'></a>"
        assert upstream.received_once().header("accept-encoding") == "identity"


def test_json_is_changed_as_shown(upstream: Upstream) -> None:
    page = (DOCS / "json-transform.md").read_text()
    shown = re.search(r"With it, `(.+)` from a client becomes\n`(.+)`", page)
    assert shown is not None
    json = {"Content-Type": "application/json"}
    body = b'{"items":[{"internal_id":1,"name":"x"},{}]}'
    upstream.reply("/v1/users", body, headers=json)
    with site("json-transform.md", "pingap.toml", upstream) as proxy:
        answer = proxy.request("POST", "/v1/users", body=shown[1].encode(), headers=json)
        assert answer.body == b'{"items":[{"name":"x"},{}],"version":1}'
        assert upstream.received_once().body.decode() == shown[2]
