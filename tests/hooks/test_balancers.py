"""Balancers of plugins: of distributions, of classes, of files; and words that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from support.check import check
from support.plugins import installed, write_distribution

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import load
from pingap.testing import Proxy, Upstream

SOURCE = '''
class Last(Balancer):
    """Always the last one, or the one of an argument."""

    def __init__(self, peers, place):
        super().__init__(peers)
        self.place = place

    def choose(self, request, ctx, usable):
        if request.path == "/broken":
            raise LookupError("no luck")
        peers = [peer for peer in self.peers if usable(peer)]
        return peers[min(self.place, len(peers) - 1)] if peers else None


def last(peers, options):
    if options.argument and not options.argument.isdigit():
        raise ValueError("expected a place after the colon")
    return Last(peers, int(options.argument or -1))


@hookimpl
def pingap_balancers():
    return {"last": last}
'''
POINTS = {"balancer:last": "my_balancers"}
TOML = """
[upstreams.origin]
addrs = ["127.0.0.1:9", "127.0.0.1:10", "{addr}"]
algo = "{algo}"
[locations.all]
upstream = "origin"
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""
HASHES = "hash:url, hash:ip, hash:path, hash:header:<name>, hash:cookie:<name>, hash:query:<name>"
KNOWN = f"round_robin, least_conn, p2c, random, {HASHES}, sticky:<cookie>"


def install(folder: Path, points: Mapping[str, str] = POINTS) -> None:
    write_distribution(folder / "site", "my_balancers", SOURCE, points)


def test_hook_pingap_balancers_adds_a_word_to_algo(tmp_path: Path, upstream: Upstream) -> None:
    install(tmp_path)
    for algo in ("last", "last:2"):
        toml = TOML.format(addr=upstream.addr, algo=algo)
        with (
            installed(tmp_path / "site"),
            Proxy(toml) as proxy,
            proxy.connect() as client,
        ):
            assert [client.get("/").status for _ in range(3)] == [200] * 3


def test_hook_pingap_balancers_that_raise_are_plugins_that_raise(
    tmp_path: Path, upstream: Upstream
) -> None:
    install(tmp_path)
    toml = TOML.format(addr=upstream.addr, algo="last")
    with (
        installed(tmp_path / "site"),
        Proxy(toml) as proxy,
        proxy.connect() as client,
    ):
        answer = client.get("/broken")
        assert (answer.status, b"no luck" in answer.body) == (500, False)
        error = proxy.expect_error("plugin upstreams.origin.algo failed in choose")
        assert "LookupError: no luck" in error
        assert client.get("/").status == 200


def test_hook_pingap_balancers_of_a_class(upstream: Upstream) -> None:
    from pingap import Balancer, BalancerOptions, Peer, Plugin, hookimpl

    class Only(Plugin):
        category = "only"

        @classmethod
        @hookimpl
        def pingap_balancers(cls) -> Mapping[str, object]:
            return {"only": cls.make}

        @staticmethod
        def make(peers: list[Peer], options: BalancerOptions) -> Balancer:
            from pingap.upstream.balancing.round_robin import RoundRobin

            return RoundRobin(peers[2:])

    with Proxy(TOML.format(addr=upstream.addr, algo="only"), categories=[Only]) as proxy:
        assert [proxy.get("/").status for _ in range(3)] == [200] * 3


def test_the_argument_is_checked_by_the_factory(tmp_path: Path) -> None:
    install(tmp_path)
    toml = TOML.format(addr="127.0.0.1:11", algo="last:x")
    assert check(tmp_path, toml) == (
        2,
        'p.toml:4: upstreams.origin.algo: found "last:x", expected a place after the colon\n'
        "1 problem.\n",
    )


@pytest.mark.parametrize(
    ("algo", "message"),
    [
        ("round-robin", f'expected one of {KNOWN}, last; did you mean "round_robin"?'),
        ("lsat", f'expected one of {KNOWN}, last; did you mean "last"?'),
        ("magic", f"expected one of {KNOWN}, last"),
        ("hash:pth", f'expected one of {HASHES}; did you mean "hash:path"?'),
        ("round_robin:2", "expected nothing after the word"),
        (
            "sticky:a",
            'needs sticky_secret, of at least 16 characters: "file:PATH" or "$ENV:NAME", with what'
            " `openssl rand -hex 32` prints",
        ),
    ],
)
def test_a_word_that_nobody_knows_is_told(tmp_path: Path, algo: str, message: str) -> None:
    install(tmp_path)
    toml = TOML.format(addr="127.0.0.1:11", algo=algo)
    code, said = check(tmp_path, toml)
    assert code == 2
    assert said == f'p.toml:4: upstreams.origin.algo: found "{algo}", {message}\n1 problem.\n'


def test_a_distribution_that_is_blocked_or_wrong_says_so(tmp_path: Path) -> None:
    install(tmp_path, {"balancer:last": "my_balancers", "balancer:first": "my_balancers"})
    toml = TOML.format(addr="127.0.0.1:11", algo="last")
    code, said = check(tmp_path, toml, {"PINGAP_BLOCK_PLUGINS": "my-balancers"})
    assert code == 2
    assert "its distribution my-balancers is blocked by PINGAP_BLOCK_PLUGINS" in said
    code, said = check(tmp_path, toml.replace("last", "first"))
    assert code == 2
    assert "the entry point 'balancer:first' of my-balancers does not refer to a balancer" in said


def test_a_secret_without_cookies_is_a_warning(tmp_path: Path) -> None:
    toml = TOML.format(addr="127.0.0.1:11", algo="p2c").replace(
        "[locations", 'sticky_secret = "0123456789abcdef"\n[locations'
    )
    code, said = check(tmp_path, toml)
    assert code == 0
    assert (
        "p.toml:5: upstreams.origin.sticky_secret: has no effect without"
        ' algo = "sticky:<cookie>"' in said
    )


def test_a_transparent_upstream_does_not_balance(tmp_path: Path) -> None:
    toml = """
    [upstreams.anywhere]
    addrs = []
    discovery = "transparent"
    transparent_allow = ["a.example"]
    algo = "p2c"
    """
    code, said = check(tmp_path, toml)
    assert code == 0
    told = "has no effect: a transparent upstream connects to the host that the client requests"
    assert f"p.toml:6: upstreams.anywhere.algo: {told}" in said


FILE = """
from pingap import *


class Nth(Balancer):
    def choose(self, request, ctx, usable):
        return next((peer for peer in self.peers if usable(peer)), None)


class Own(Plugin):
    @classmethod
    @hookimpl
    def pingap_balancers(cls):
        return {"nth": lambda peers, options: Nth(peers)}
"""


def test_hook_pingap_balancers_of_a_file_and_what_a_reload_takes_over(tmp_path: Path) -> None:
    file, path = tmp_path / "own.py", tmp_path / "p.toml"
    file.write_text(FILE)
    toml = TOML.format(addr="127.0.0.1:11", algo="nth")
    path.write_text(f'[plugins.own]\ncategory = "python"\npath = "own.py"\n{toml}')
    registry = installed_registry()
    first = build(load(path), registry)
    kept = build(load(path), registry, previous=first)
    assert kept.upstreams["origin"] is first.upstreams["origin"]
    file.write_text(FILE.replace('"nth"', '"nth"  '))
    changed = build(load(path), registry, previous=kept)
    assert changed.upstreams["origin"] is not first.upstreams["origin"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"nth"', '"p2c"'), 'another balancer has the name "p2c"'),
        (("return {", "return 1/0, {"), "Own.pingap_balancers failed: ZeroDivisionError"),
        (("algo", ""), ""),
    ],
)
def test_what_a_file_gets_wrong_is_told(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    (tmp_path / "own.py").write_text(FILE.replace(*change))
    toml = '[plugins.own]\ncategory = "python"\npath = "own.py"\n'
    code, said = check(tmp_path, toml)
    assert code == (2 if message else 0)
    if message:
        assert f"p.toml:3: plugins.own.path: {message}" in said
