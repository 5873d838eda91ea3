"""Routing: the rows of config.md 5.1 to 5.5, and the index against a linear scan."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingap.proxy.conditions import Asked, ConditionKind, ValueCondition
from pingap.proxy.matching import (
    NO_CAPTURES,
    HostKind,
    HostMatcher,
    HostPiece,
    PathKind,
    PathMatcher,
)
from pingap.proxy.routes import Candidate, Route, computed_weight
from pingap.proxy.routing import Router


@dataclass
class Request:
    """A request as conditions see it; header names in lower case."""

    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"

    def header(self, name: str) -> str | None:
        assert name == name.lower()
        return self.headers.get(name)


class Untouchable:
    """A request that must not be looked at."""

    @property
    def method(self) -> str:
        raise AssertionError("method was asked for")

    @property
    def query(self) -> str:
        raise AssertionError("query was asked for")

    def header(self, name: str) -> str | None:
        raise AssertionError(f"header {name} was asked for")


def pick(routes: list[Route], host: str = "", path: str = "/", request: object = None):
    found = Router(routes).match(host, path, request or Untouchable())
    return None if found is None else found[0]


# 5.1 Path kinds


@pytest.mark.parametrize(
    ("written", "kind", "matching", "others"),
    [
        (None, PathKind.ANY, ["/", "/a", "*", ""], []),
        ("", PathKind.ANY, ["/", "*"], []),
        ("  ", PathKind.ANY, ["/", "*"], []),
        ("=/a", PathKind.EXACT, ["/a"], ["/a/", "/A", "/", "/ab", "/%61"]),
        (" = /a ", PathKind.EXACT, ["/a"], ["/a/", " /a"]),
        ("=", PathKind.EXACT, [""], ["/", "/a"]),
        ("~/a", PathKind.REGEX, ["/a", "/b/a", "/abc"], ["/", "/A"]),
        (" ~ ^/a$ ", PathKind.REGEX, ["/a"], ["/ab", "/b/a"]),
        ("~", PathKind.REGEX, ["", "/", "/a"], []),
        ("/api", PathKind.PREFIX, ["/api", "/api/", "/apix"], ["/ap", "/v1/api", "/API"]),
        (" /api ", PathKind.PREFIX, ["/apix"], ["/ap", " /api"]),
        ("/", PathKind.PREFIX, ["/", "/a"], ["*", ""]),
        ("api", PathKind.PREFIX, ["api"], ["/api"]),
    ],
)
def test_path_kinds(written, kind, matching, others):
    matcher = PathMatcher.parse(written)
    assert matcher.kind is kind
    for path in matching:
        assert matcher.match(path) is not None, path
        assert pick([Route(target=1, path=written)], path=path) == 1
    for path in others:
        assert matcher.match(path) is None, path
        assert pick([Route(target=1, path=written)], path=path) is None


# 5.2 Host kinds


@pytest.mark.parametrize(
    ("written", "matching", "others"),
    [
        (None, ["", "a.com"], []),
        ("", ["", "a.com"], []),
        (" , ,", ["", "a.com"], []),
        ("a.com", ["a.com", "A.Com"], ["", "b.com", "x.a.com"]),
        ("A.com", ["a.com", "A.COM"], ["b.com"]),
        ("a.com.", ["a.com"], ["b.com"]),
        ("[::1]", ["[::1]"], ["::1", "["]),
        ("[0:0::0001]", ["[::1]"], ["[::2]"]),
        (
            "*.a.com",
            ["x.a.com", "X.A.com", "y.x.a.com", "..a.com"],
            ["a.com", ".a.com", "xa.com", ""],
        ),
        ("*.A.com", ["x.a.com"], ["a.com"]),
        ("*.com", ["a.com", "x.a.com"], ["com", ".com"]),
        ("~a", ["a.com", "b.a"], ["A.com", "b.com"]),
        ("~ ^(a|b)$", ["a", "b"], ["ab"]),
        ("a.com, b.com", ["a.com", "b.com"], ["c.com", " b.com"]),
        ("a.com,,*.b.com , ~^c", ["a.com", "x.b.com", "cc"], ["b.com", "x.a.com", "Cc"]),
        ("a.com, A.com", ["a.com"], ["b.com"]),
    ],
)
def test_host_kinds(written, matching, others):
    matcher = HostMatcher.parse(written)
    for host in matching:
        assert matcher.match(host) is not None, host
        assert pick([Route(target=1, host=written)], host=host) == 1
    for host in others:
        assert matcher.match(host) is None, host
        assert pick([Route(target=1, host=written)], host=host) is None


def test_host_pieces_are_told_apart():
    matcher = HostMatcher.parse("A.com, *.B.com, ~C")
    assert [(piece.kind, piece.text) for piece in matcher.pieces] == [
        (HostKind.EXACT, "a.com"),
        (HostKind.WILDCARD, "b.com"),
        (HostKind.REGEX, "C"),
    ]
    assert matcher.has_regex


@pytest.mark.parametrize("written", ["*", "*.", "*a.com", "*.*", "*.*.com", "a.*.com", "**.com"])
def test_a_host_wildcard_is_one_leading_star(written):
    with pytest.raises(ValueError, match=re.escape('host wildcard must be "*.name", found')):
        HostPiece.parse(written)
    with pytest.raises(ValueError, match=re.escape(f'"{written}"')):
        Router([Route(target=1, host=f"a.com, {written}")])


@pytest.mark.parametrize("route", [Route(target=1, path="~["), Route(target=1, host="~[")])
def test_a_broken_regex_is_named(route):
    with pytest.raises(ValueError, match=re.escape('"[" is not a regular expression: ')):
        Router([route])


def test_regexes_are_compiled_as_told():
    router = Router(
        [Route(target=1, path="~/A", host="~^B")], lambda text: re.compile(text, re.IGNORECASE)
    )
    assert router.match("b.com", "/a", Untouchable()) == (1, {})


# Captures


@pytest.mark.parametrize(
    ("route", "host", "path", "expected"),
    [
        (Route(target=1), "a", "/x", {}),
        (Route(target=1, path="~/(x)"), "a", "/x", {}),
        (Route(target=1, path="~/(?P<p>.)"), "a", "/x", {"p": "x"}),
        (Route(target=1, host="~^(?P<h>.)"), "abc", "/x", {"h": "a"}),
        (Route(target=1, host="~^(?P<h>.)", path="~/(?P<p>.)"), "a", "/x", {"h": "a", "p": "x"}),
        (Route(target=1, host="~^(?P<v>.)", path="~/(?P<v>.)"), "a", "/x", {"v": "a"}),
        (Route(target=1, path="~/(?P<p>x)|/(?P<q>y)"), "a", "/y", {"q": "y"}),
        (Route(target=1, path="~/(?P<p>x)?"), "a", "/y", {}),
        (Route(target=1, host="b, ~(?P<h>.)"), "b", "/", {}),
        (Route(target=1, host="~(?P<h>.), b"), "b", "/", {"h": "b"}),
        (Route(target=1, host="~^(?P<h>.)"), "ABC", "/", {"h": "A"}),
    ],
)
def test_captures(route, host, path, expected):
    found = Router([route]).match(host, path, Untouchable())
    assert found == (1, expected)
    if not expected:
        assert found[1] is NO_CAPTURES


def test_captures_are_those_of_the_picked_route():
    routes = [
        Route(target="loser", path="~/(?P<lost>.)", weight=1),
        Route(target="heavier, other host", path="~/(?P<other>.)", host="~^b", weight=3),
        Route(target="winner", path="~/(?P<won>.)", weight=2),
    ]
    assert Router(routes).match("a", "/x", Untouchable()) == ("winner", {"won": "x"})


# 5.3 Conditions


@pytest.mark.parametrize(
    ("written", "matching", "others"),
    [
        ("X-A:1", ["1"], ["", "2", "1 ", "11", None]),
        ("x-a : 1 ", ["1"], ["2", None]),
        ("X-A", ["1", "", "a b\tc", "caf\xe9"], [None]),
        ("X-A:\u00e9", ["\xc3\xa9"], ["\xe9"]),
        ("X-A:caf\xe9", ["caf\xc3\xa9", "a, caf\xc3\xa9"], ["cafe"]),
        ("X-A:2", ["1, 2", "2 ,1", "1,\t2, 3"], ["1 2", "12, 3", "2;q=1"]),
        ("X-A:a, b", ["a, b", "x, a, b"], ["b, a"]),
        ("X-A:", [""], ["1", None]),
        ("X-A:b:c", ["b:c"], ["b"]),
        ("X-A:v", ["v"], ["V"]),
    ],
)
def test_header_conditions(written, matching, others):
    for value in matching + others:
        request = Request(headers={} if value is None else {"x-a": value})
        expected = 1 if value in matching else None
        assert pick([Route(target=1, match_headers=(written,))], request=request) == expected


@pytest.mark.parametrize(
    ("written", "matching", "others"),
    [
        (
            "k:1",
            ["k=1", "a=2&k=1", "k=1&k=2", "k=2&k=1", "k=%31", "%6b=1"],
            ["", "k", "k=", "K=1", "kk=1"],
        ),
        ("k:a b", ["k=a+b", "k=a%20b"], ["k=a%2Bb", "k=a"]),
        ("k:a%20b", ["k=a+b", "k=a%20b"], ["k=a%2520b"]),
        ("k:a+b", ["k=a%2Bb"], ["k=a+b"]),
        ("k:\u00e9", ["k=%C3%A9", "k=\xc3\xa9"], ["k=%E9", "k=\xe9"]),
        ("k", ["k=1", "k=", "k", "a&k", "a=1&k&b", "&&k&"], ["", "a=k", "kk", "&", "k%20"]),
        ("k:", ["k", "k=", "a=1&k"], ["", "k=1", "a="]),
        ("k:a=b", ["k=a=b"], ["k=a"]),
        ("k:a:b", ["k=a:b"], ["k=a"]),
        (" k : 1 ", ["k=1"], ["k= 1"]),
    ],
)
def test_query_conditions(written, matching, others):
    for query in matching + others:
        expected = 1 if query in matching else None
        assert pick([Route(target=1, match_query=(written,))], request=Request(query)) == expected


@pytest.mark.parametrize(
    ("written", "matching", "others"),
    [
        ("k:1", ["k=1", "a=2;k=1", "k=1; k=2", "k=2; k=1", "a; k = 1 ;b"], [None, "", "k", "K=1"]),
        ("k", ["k=1", "k=", "k", "a; k", "n=caf\xe9; k"], [None, "", "a=k", "kk", ";"]),
        ("k:", ["k", "k=", "a=1; k "], [None, "k=1"]),
        ("k:a=b", ["k=a=b"], ["k=a"]),
    ],
)
def test_cookie_conditions(written, matching, others):
    for cookies in matching + others:
        request = Request(headers={} if cookies is None else {"cookie": cookies})
        expected = 1 if cookies in matching else None
        assert pick([Route(target=1, match_cookies=(written,))], request=request) == expected


@pytest.mark.parametrize("missing", [None, "header", "query", "cookie", "host", "path"])
def test_everything_must_hold(missing):
    route = Route(
        target=1,
        host="a",
        path="/a",
        match_headers=("x-a:1", "x-b"),
        match_query=("q", "r:1"),
        match_cookies=("c",),
    )
    headers = {"x-a": "1", "x-b": "2", "cookie": "c=1"}
    if missing in ("header", "cookie"):
        del headers["x-b" if missing == "header" else "cookie"]
    request = Request("q" if missing == "query" else "q&r=1", headers)
    host = "b" if missing == "host" else "a"
    path = "/b" if missing == "path" else "/a"
    assert pick([route], host, path, request) == (1 if missing is None else None)


@pytest.mark.parametrize("written", ["", " ", ":", ":v", " : v"])
@pytest.mark.parametrize("kind", ConditionKind)
def test_a_condition_needs_a_name(kind, written):
    with pytest.raises(ValueError, match=f"{kind.value} condition must be"):
        ValueCondition.parse(kind, written)


# 5.4 Weight


@pytest.mark.parametrize(
    ("path", "host", "weight"),
    [
        (None, None, 0),
        ("", "", 0),
        ("/", None, 0),
        ("=", None, 0),
        ("~", None, 0),
        ("=/api", None, 1029),
        ("~/api", None, 261),
        ("/api", None, 516),
        (" /api ", None, 516),
        ("= /api", None, 1030),
        ("/" + "a" * 62, None, 512 + 63),
        ("/" + "a" * 63, None, 512 + 64),
        ("/" + "a" * 64, None, 512 + 64),
        ("=" + "a" * 500, None, 1024 + 64),
        ("~" + "a" * 500, None, 256 + 64),
        (None, "a.com", 128),
        (None, "*.a.com", 128),
        (None, "a.com,b.com", 128),
        (None, " , ", 0),
        (None, "~a", 2),
        (None, " ~a ", 2),
        (None, "a.com,~b", 8),
        (None, "a.com, ~b", 9),
        (None, "a~.com", 128),
        (None, "~" + "a" * 200, 201),
        ("/api", "a.com", 644),
        ("=/api", "~a", 1031),
    ],
)
def test_computed_weight(path, host, weight):
    assert computed_weight(path, host) == weight
    assert Router([Route(target=1, path=path, host=host)]).candidates[0].weight == weight


@pytest.mark.parametrize(("weight", "winner"), [(None, "exact"), (0, "any"), (1, "exact")])
def test_an_explicit_weight_replaces_the_computed_one(weight, winner):
    # 0 is explicit too; it ties with the computed 0 of the first route.
    routes = [Route(target="any", path="/"), Route(target="exact", path="=/a", weight=weight)]
    assert pick(routes, path="/a") == winner


# 5.5 Selection


def test_no_routes_and_no_match_are_none():
    assert Router([]).match("a.com", "/", Untouchable()) is None
    assert pick([Route(target=1, path="=/a")], path="/b") is None


def test_ties_keep_the_given_order():
    routes = [Route(target=n, path=path) for n, path in enumerate(["/", "", "~/", "=/", None])]
    assert [candidate.target for candidate in Router(routes).candidates] == [3, 2, 0, 1, 4]
    routes = [Route(target=n, path=path, weight=7) for n, path in enumerate(["/", "=/", "~/"])]
    assert pick(routes) == 0
    assert pick(routes[::-1]) == 2


@pytest.mark.parametrize(
    ("host", "path", "winner"),
    [
        ("a.com", "/api", "exact path"),
        ("a.com", "/api/v1/users", "long prefix"),
        ("a.com", "/api/v2", "prefix"),
        ("a.com", "/x.png", "regex path"),
        ("a.com", "/x", "exact host"),
        ("x.a.com", "/x", "wildcard host"),
        ("b7", "/x", "regex host"),
        ("b", "/x", "any"),
        ("", "*", None),
    ],
)
def test_the_heaviest_match_wins(host, path, winner):
    routes = [
        Route(target="any", path="/"),
        Route(target="regex host", host=r"~^b\d$"),
        Route(target="wildcard host", host="*.a.com"),
        Route(target="exact host", host="a.com"),
        Route(target="regex path", path=r"~\.png$"),
        Route(target="prefix", path="/api"),
        Route(target="long prefix", path="/api/v1"),
        Route(target="exact path", path="=/api"),
    ]
    assert pick(routes, host, path) == winner
    assert pick(routes[::-1], host, path) == winner


def test_weight_beats_the_more_specific_host_and_path():
    routes = [
        Route(target="long", path="/api/v1", host="x.a.com", weight=1),
        Route(target="short", path="/api", host="*.com", weight=2),
    ]
    assert pick(routes, "x.a.com", "/api/v1") == "short"


def test_a_condition_that_fails_passes_the_request_on():
    routes = [
        Route(target="beta", path="/api", match_headers=("x-beta",), weight=3),
        Route(target="canary", path="/api", match_query=("canary",), weight=2),
        Route(target="stable", path="/api", weight=1),
    ]
    assert pick(routes, path="/api", request=Request(headers={"x-beta": "1"})) == "beta"
    assert pick(routes, path="/api", request=Request("canary")) == "canary"
    assert pick(routes, path="/api", request=Request()) == "stable"


def test_a_request_is_looked_at_only_for_conditions_that_can_win():
    routes = [
        Route(target="conditional", path="/api", match_headers=("x",), weight=1),
        Route(target="heavier", path="=/api", weight=2),
    ]
    assert pick(routes, path="/api", request=Untouchable()) == "heavier"


def test_prefixes_of_every_length():
    routes = [Route(target=n, path="/" + "a" * n) for n in range(300)]
    assert pick(routes, path="/" + "a" * 40 + "b") == 40
    assert pick(routes, path="/b") == 0
    # Past 64 characters all weigh the same, so the configured order decides.
    assert pick(routes, path="/" + "a" * 299) == 63
    assert pick(routes[::-1], path="/" + "a" * 299) == 299


def test_hosts_of_many_labels():
    routes = [Route(target="a", host="*.a.com"), Route(target="com", host="*.com", weight=1)]
    assert pick(routes, "." * 5000 + ".a.com") == "a"
    assert pick(routes, "." * 5000 + ".b.com") == "com"
    assert pick(routes, "." * 5000) is None
    assert pick(routes, ".x.com") == "com"
    assert pick(routes, ".com") is None
    assert pick(routes, "m") is None


def test_a_candidate_tells_which_predicate_fails():
    (candidate,) = Router(
        [Route(target=1, host="a.com", path="/a", match_query=("q", "r:1"))]
    ).candidates
    assert isinstance(candidate, Candidate)
    assert candidate.host.match("a.com") is NO_CAPTURES
    assert candidate.path.match("/b") is None
    failing = [c for c in candidate.conditions if not c.holds(Asked(Request("q&r=2")))]
    assert failing == [ValueCondition.parse(ConditionKind.QUERY, "r:1")]
    assert candidate.match("a.com", "/a", Asked(Request("q&r=1"))) is NO_CAPTURES
    assert candidate.match("a.com", "/a", Asked(Request("q"))) is None


def test_a_route_may_be_built_with_its_type_written_out():
    assert Route[int](target=1) == Route(target=1)


# The index finds what a linear scan finds.


def scan(routes: list[Route], host: str, path: str, request: Request):
    """The rules once more, without an index and without the code under test."""
    for route in sorted(routes, key=lambda route: -weight_of(route)):
        host_groups, path_groups = scan_host(route.host, host), scan_path(route.path, path)
        if host_groups is None or path_groups is None:
            continue
        pairs = [pair.split("=", 1) for pair in request.query.split("&")]
        cookies = [
            pair.strip().split("=", 1) for pair in request.headers.get("cookie", "").split(";")
        ]
        if (
            all(scan_pairs(list(request.headers.items()), text) for text in route.match_headers)
            and all(scan_pairs(pairs, text) for text in route.match_query)
            and all(scan_pairs(cookies, text) for text in route.match_cookies)
        ):
            return route.target, path_groups | host_groups
    return None


def weight_of(route: Route) -> int:
    return computed_weight(route.path, route.host) if route.weight is None else route.weight


def scan_path(written, path):
    if not written:
        return {}
    if written[0] == "~":
        found = re.search(written[1:], path)
        return found and {k: v for k, v in found.groupdict().items() if v is not None}
    holds = path == written[1:] if written[0] == "=" else path.startswith(written)
    return {} if holds else None


def scan_host(written, host):
    if not written:
        return {}
    for piece in written.split(","):
        if piece[0] == "~":
            flag = "(?i)" if re.search("[A-Z]", piece) else ""
            if found := re.search(flag + piece[1:], host):
                return {k: v for k, v in found.groupdict().items() if v is not None}
        elif piece[0] == "*":
            if re.fullmatch(r".+\." + re.escape(piece[2:]), host, re.IGNORECASE):
                return {}
        elif piece.lower() == host.lower():
            return {}
    return None


def scan_pairs(pairs, condition):
    name, *wanted = condition.split(":", 1)
    return any(
        found == name and (not wanted or (value or [""]) == wanted) for found, *value in pairs
    )


names = st.lists(st.sampled_from(["a", "b", "A", ""]), max_size=4).map(".".join)
plain_names = st.lists(st.sampled_from(["a", "b", "A"]), min_size=1, max_size=3).map(".".join)
paths = st.text("/ab", max_size=5).map(lambda text: "/" + text)
pairs = st.sampled_from(["a", "b", "a=", "a=1", "a=2", "b=1"])
wanted = st.lists(st.sampled_from(["a", "a:", "a:1", "a:2", "b", "b:1"]), max_size=2).map(tuple)
no_or_some = st.one_of(st.just(()), st.just(()), wanted)

host_texts = st.one_of(
    st.none(),
    st.lists(
        st.one_of(
            plain_names,
            plain_names.map("*.".__add__),
            st.sampled_from(["~a", "~^(?P<x>b)", "~(?P<h>a)|(?P<x>A)", r"~\."]),
        ),
        min_size=1,
        max_size=3,
    ).map(",".join),
)
path_texts = st.one_of(
    st.none(),
    paths,
    paths,
    paths.map("=".__add__),
    st.sampled_from(["~a", "~^/(?P<x>[ab])", "~(?P<p>b)|(?P<x>//)", "~b$"]),
)
route_parts = st.fixed_dictionaries(
    {
        "path": path_texts,
        "host": host_texts,
        "weight": st.one_of(st.none(), st.integers(0, 3)),
        "match_headers": no_or_some,
        "match_query": no_or_some,
        "match_cookies": no_or_some,
    }
)
requests = st.builds(
    lambda query, headers, cookies: Request(
        "&".join(query), {**headers, **({"cookie": "; ".join(cookies)} if cookies else {})}
    ),
    st.lists(pairs, max_size=3),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1", "2"])),
    st.lists(pairs, max_size=3),
)


@settings(max_examples=400, deadline=None)
@given(
    parts=st.lists(route_parts, max_size=12),
    asked=st.lists(st.tuples(names, paths, requests), min_size=1, max_size=5),
)
def test_the_index_agrees_with_a_linear_scan(parts, asked):
    routes = [Route(target=number, **part) for number, part in enumerate(parts)]
    router = Router(routes, raw=True)
    for host, path, request in asked:
        assert router.match(host, path, request) == scan(routes, host, path, request)
        for candidate in router.candidates:
            alone = scan([routes[candidate.target]], host, path, request)
            assert candidate.match(host, path, Asked(request)) == (alone and alone[1])
