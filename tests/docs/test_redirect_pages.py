"""The examples of the pages about redirects and mounts do what the pages say."""

from __future__ import annotations

import re

import pytest
from docs.blocks import DOCS, shown_file

from pingap.testing import Proxy, Upstream

REDIRECTS = re.findall(
    r"^\| (?:`(\S+)` )?\| `(\S+)` \| `(/\S+)` \| `(\S+)` \|$",
    (DOCS / "redirect.md").read_text(),
    flags=re.MULTILINE,
)
MOUNT = (DOCS / "mount.md").read_text()


@pytest.mark.parametrize(("source", "to", "sent", "location"), REDIRECTS)
def test_targets_are_made_as_shown(source: str, to: str, sent: str, location: str) -> None:
    table = {"to": to, "from": source} if source else {"to": to}
    proxy = Proxy(upstream=None)
    proxy.location("/", plugins=[("redirect", table)], upstream="")
    with proxy:
        answer = proxy.get(sent, headers={"Host": "shop.test"})
    assert answer.header("location") == location


def test_a_site_with_one_name(upstream: Upstream) -> None:
    toml = shown_file("redirect.md", "site.toml").replace("127.0.0.1:8080", "127.0.0.1:0")
    with Proxy(toml=toml.replace("127.0.0.1:3000", upstream.addr)) as proxy:

        def location(host: str, path: str, scheme: str = "https") -> str | None:
            headers = {"Host": host, "X-Forwarded-Proto": scheme}
            return proxy.get(path, headers=headers).header("location")

        assert location("www.example.com", "/a/") == "https://example.com/a/"
        assert location("example.com", "/a", "http") == "https://example.com/a"
        assert location("example.com", "/a/?b") == "/a?b"
        assert location("example.com", "/a?b") is None
    assert upstream.received_once().target == "/a?b"


def mounted(upstream: Upstream) -> Proxy:
    toml = shown_file("mount.md", "pingap.toml").replace("127.0.0.1:8080", "127.0.0.1:0")
    return Proxy(toml=toml.replace("127.0.0.1:3000", upstream.addr))


@pytest.mark.parametrize(
    ("sent", "got"), re.findall(r"^\| `(/\S*)` \| `(/\S*)` \|$", MOUNT, flags=re.MULTILINE)
)
def test_paths_are_shortened_as_shown(sent: str, got: str, upstream: Upstream) -> None:
    with mounted(upstream) as proxy:
        assert proxy.get(sent).status == 200
    assert upstream.received_once().target == got


ANSWERS = [
    ("Location", "/login", "/wiki/login"),
    ("Content-Location", "/login", "/wiki/login"),
    *(
        (name, before, after)
        for name, before, after in re.findall(
            r"^\| (?:`(\S+)`)? ?\| `([^`]+)`.* \| (?:`([^`]+)`|unchanged).*\|$",
            MOUNT.partition("## Responses")[2],
            flags=re.MULTILINE,
        )
    ),
]


def test_headers_are_corrected_as_shown(upstream: Upstream) -> None:
    assert len(ANSWERS) > 9
    with mounted(upstream) as proxy:
        for at, (_, before, after) in enumerate(ANSWERS):
            name = next(one for one, *_ in reversed(ANSWERS[: at + 1]) if one)
            value = f"a=b; {before}" if before.startswith("Path") else before
            upstream.reply(f"/{at}", headers={name: value})
            answer = proxy.get(f"/wiki/{at}", headers={"Host": "shop.example.com"})
            assert (answer.header(name) or "").endswith(after or value), (name, before)
