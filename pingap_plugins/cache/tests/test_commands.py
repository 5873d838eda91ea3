"""``pingap cache``, against a proxy that runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pingap_cache.commands import cache
from pingap_cache.control import ENTRIES, joined, lines
from pingap_cache.plugin import Cache
from real_processes import until

from pingap.testing import Clock, Proxy, Upstream

FRESH = {"Cache-Control": "max-age=60"}


@pytest.fixture
def cached(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy with a cache that has some pages, and a state directory of its own."""
    monkeypatch.setenv("PINGAP_STATE_DIR", str(tmp_path))
    proxy = Proxy(upstream=upstream, state_directory=tmp_path)
    proxy.location("/", name="site", plugins=[(Cache, {"namespace": "shop"})])
    upstream.reply("/a", b"0123456789", headers={**FRESH, "Cache-Tag": "red", "ETag": '"v1"'})
    upstream.reply("/lang", b"text", headers={**FRESH, "Vary": "Accept-Language"})
    upstream.reply("/private", b"text", headers={"Cache-Control": "private"})
    with proxy:
        for path in ("/a", "/a", "/lang", "/private"):
            proxy.get(path, headers={"Host": "example.org"})
        until(lambda: any(tmp_path.rglob("*.sock")))  # it is made in the background
        yield proxy


def run(*arguments: str) -> str:
    """Run the command; it has to succeed."""
    result = CliRunner().invoke(cache, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_stats(cached: Proxy) -> None:
    head, memory, requests = run("stats").splitlines()
    assert head == "cache: memory, 1 worker"
    assert re.fullmatch(r"  memory    3 entries, \d+\.\d KiB of .* GiB, 0 evicted", memory)
    assert requests == "  requests  4, 25% from the cache: hit 1, miss 2, uncacheable 1"
    [reply] = json.loads(run("stats", "--json"))
    assert reply["stores"]["memory"]["entries"] == 3  # one is a marker of variants


def test_list(cached: Proxy) -> None:
    head, *lines = run("list").splitlines()
    assert head.split() == ["size", "age", "kept", "URL"]
    assert lines[0].split()[:3] == ["10", "B", "0s"]
    assert lines[0].endswith("  http://example.org/a")
    assert sorted(line.endswith("http://example.org/lang") for line in lines) == [
        False,
        False,
        True,
    ]
    assert any(
        line.endswith("http://example.org/lang  (varies by accept-language)") for line in lines
    )
    [entry] = json.loads(run("list", "--prefix", "http://example.org/a", "--json"))
    assert (entry["url"], entry["size"], entry["namespace"]) == ("http://example.org/a", 10, "shop")
    assert run("list", "--prefix", "http://example.com/") == "nothing is stored that matches\n"
    assert run("list", "--prefix", "http://example.com/", "--json") == "[]\n"


@pytest.mark.parametrize("command", [["stats"], ["list"], ["purge", "--all"], ["why", "http://a/"]])
def test_a_cache_that_is_not_there(cached: Proxy, command: list[str]) -> None:
    result = CliRunner().invoke(cache, [*command, "--plugin", "catch"])
    assert result.exit_code == 1
    assert 'no running cache is named "catch"; there is: cache' in result.output


def test_purge(cached: Proxy) -> None:
    assert run("purge", "http://example.org/a") == "purged: 1\n"
    assert run("purge", "--prefix", "http://example.org/l") == "purged: 2\n"
    assert run("purge", "--all") == "purged: 0\n"
    assert cached.get("/a", headers={"Host": "example.org"}).headers["X-Cache-Status"] == "miss"
    assert run("purge", "--tag", "blue") == "purged: 0\n"
    assert run("purge", "--tag", "red", "--soft") == "purged: 1\n"
    assert "/a  (purged softly)" in run("list")


def test_why(cached: Proxy, clock: Clock) -> None:
    def why(path: str, *more: str) -> str:
        return run("why", f"http://example.org{path}", *more)

    assert "location site: fresh: age 0 s, lifetime 60 s by max-age of cache-control" in why("/a")
    assert "the last response was not stored: private of cache-control" in why("/private")
    assert "miss: nothing is stored" in why("/never")
    assert "fresh: varies by accept-language; age 0 s" in why("/lang")
    assert "miss: varies by accept-language" in why("/lang", "-H", "Accept-Language: de")
    assert "bypass: the method is POST" in why("/a", "--method", "POST")
    assert "revalidate: no-cache of the request" in why("/a", "-H", "Cache-Control: no-cache")
    clock.advance(100)
    assert "revalidate: stale; age 100 s, lifetime 60 s" in why("/a")
    assert "stale for 40 s" in why("/a")


def test_why_a_content_type_is_not_stored(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGAP_STATE_DIR", str(tmp_path))
    proxy = Proxy(upstream=upstream, state_directory=tmp_path)
    proxy.location("/", plugins=[(Cache, {"content_types": ["image/*"]})])
    upstream.reply("/a", b"x", headers={**FRESH, "Content-Type": "text/html"})
    with proxy:
        proxy.get("/a", headers={"Host": "example.org"})
        until(lambda: CliRunner().invoke(cache, ["stats"]).exit_code == 0)
        said = run("why", "http://example.org/a")
    assert "last response was not stored: Content-Type, which is not in content_types" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["purge"], "name a URL"),
        (["purge", "/a"], "'/a' is no URL"),
        (["purge", "http://a/", "--all"], "name a URL"),
        (["why", "example.org"], "is no URL"),
        (["why", "http://a/", "-H", "a b: c"], "is not a header name"),
    ],
)
def test_mistakes_are_explained(cached: Proxy, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(cache, arguments)
    assert result.exit_code != 0
    assert said in result.output


def test_nothing_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGAP_STATE_DIR", str(tmp_path))
    result = CliRunner().invoke(cache, ["stats"])
    assert (result.exit_code, "no running pingap with a cache" in result.output) == (1, True)


def test_sockets_are_for_this_user_alone_and_go_with_the_proxy(
    cached: Proxy, tmp_path: Path
) -> None:
    folder = tmp_path / "store/pingap-cache"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 1
    cached.stop()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1, ENTRIES, ENTRIES + 1, 5 * ENTRIES])
def test_a_reply_in_lines_comes_back(count: int) -> None:
    reply = {"plugin": "c", "entries": [{"url": f"http://a/{number}"} for number in range(count)]}
    wanted = {**reply, "entries": list(reply["entries"])}
    sent = list(lines(reply))
    assert max(len(json.loads(line)) for line in sent) <= ENTRIES
    assert joined(b"".join(sent)) == wanted


@pytest.mark.parametrize("data", [b"", b'{"plugin": "c", "ent', b'{"entries": []}\n[{"url": '])
def test_the_reply_of_a_worker_that_ends_meanwhile_does_not_count(data: bytes) -> None:
    assert joined(data) is None
