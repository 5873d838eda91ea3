"""Rules for paths, without IO."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_rewrite.rule import DotSegmentError, Rule, bare_names


def result(rule: str, path: str, query: str = "", **captures: str) -> str | None:
    made = Rule(rule)
    made.check(captures)
    found = made.apply(path, captures)
    if found is None:
        return None
    query = found.query_with(query)
    return found.path + ("?" + query if query else "")


@pytest.mark.parametrize(
    ("rule", "path", "expected"),
    [
        ("^/app/(.*)$ /$1", "/app/x/y", "/x/y"),
        ("^/app/(.*)$ /${1}z", "/app/x", "/xz"),
        ("^/app/(.*)$ /$0", "/app/x", "/app/x"),
        ("^/app/(?<rest>.*)$ /v2/$rest", "/app/x", "/v2/x"),
        ("^/app/(?P<rest>.*)$ /v2/${rest}.html", "/app/x", "/v2/x.html"),
        ("/(a)|/(b) /<$1$2>", "/b", "/%3Cb%3E"),  # overruled below: "<" is invalid when written
        ("a b", "/aaa", "/baa"),  # the first match only
        ("^/none /x", "/app", None),
        ("^/app /$$x", "/app", "/$x"),
        ("^/app /a$", "/app", "/a$"),  # a dollar sign without a name is itself
        # An expression alone: its match is removed.
        ("^/api", "/api/users", "/users"),
        ("^/api", "/api", "/"),
        ("^/api/", "/api/users", "/users"),
        (r"\.php", "/a.php/b.php", "/a/b.php"),
        # A replacement alone: for the whole path.
        ("/$$", "/a", "/$"),
        # Slashes: those in front are one, others stay as the rule makes them.
        ("^/api /", "/api/users", "/users"),
        ("^/api /v1/", "/api/users", "/v1//users"),
        (
            "^/i/(.*) /unsafe/https://cdn.example/$1",
            "/i/a.png",
            "/unsafe/https://cdn.example/a.png",
        ),
        # Escapes.
        ("^/app/(.*) /$1", "/app/a%20b%2Fc", "/a%20b%2Fc"),
        ("^/app/(.*) /$1", "/app/café", "/café"),
        ("^/app/(.*) /$1", '/app/"<>[]^`{|}\\', "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D%5C"),
        ("^/app/(.*) /$1", "/app/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
        ("^/app /caf%C3%A9", "/app", "/caf%C3%A9"),
    ],
)
def test_paths(rule: str, path: str, expected: str | None) -> None:
    if "<$1" in rule:
        with pytest.raises(ValueError, match="invalid in a path"):
            Rule(rule)
        return
    assert result(rule, path) == expected


@pytest.mark.parametrize(
    ("rule", "path", "query", "expected"),
    [
        ("^/a /b", "/a", "q=1", "/b?q=1"),
        ("^/a /b?", "/a", "q=1", "/b"),
        ("^/u/(.*) /user?id=$1", "/u/7", "", "/user?id=7"),
        ("^/u/(.*) /user?id=$1", "/u/7", "q=1&id=8", "/user?id=7&q=1&id=8"),
        ("^/u/(.*) /user?id=$1", "/u/a&admin=1+2;x#?", "", "/user?id=a%26admin%3D1%2B2%3Bx%23?"),
        ("^/u/(.*) /user?id=$1", "/u/a%26b", "", "/user?id=a%26b"),
        ("^/u/(.*) /user?id=$1", "/u/é", "", "/user?id=%C3%A9"),
        ("^/a /b?x=/y?z", "/a", "", "/b?x=/y?z"),
    ],
)
def test_queries(rule: str, path: str, query: str, expected: str) -> None:
    assert result(rule, path, query) == expected


def test_captures_of_the_location() -> None:
    assert result("^/x /t/$tenant", "/x", tenant="acme") == "/t/acme"
    assert result("/t/$tenant", "/any", tenant="a/b ?#") == "/t/a/b%20%3F%23"
    assert result("^/(?<tenant>.) /$tenant", "/x", tenant="acme") == "/x"  # its own come first
    assert bare_names(Rule("^/x /t/tenant"), ["tenant"]) == ["tenant"]
    assert bare_names(Rule("^/x /t/$tenant/tenants"), ["tenant"]) == []


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("^/a /", "/a../secret"),
        ("^/a/ /x/.", "/a/./x"),
        ("^/a(.*) /b/$1", "/a.."),
        ("^/a(.*) /b/$1", "/a..;x/y"),
        ("^/a(.*) /b/$1", "/a..%2Fx"),
        ("^/a(.*) /b/$1", "/a%2e%2E/x"),
        ("^/a(.*) /b$1", "/a%2F..%5Cx"),
    ],
)
def test_no_capture_becomes_a_dot_segment(rule: str, path: str) -> None:
    if path == "/a/./x" or rule.startswith("^/a/ "):
        with pytest.raises(ValueError, match="segment"):
            Rule(rule)
        return
    if path.startswith("/a%2F"):
        assert result(rule, path) == "/b%2F..%5Cx"  # it had one before
        return
    with pytest.raises(DotSegmentError):
        result(rule, path)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("a b c", 'found "a b c", expected "REGEX REPLACEMENT"'),
        ("^/old$", 'replaces the whole path because it has a "$", but does not begin with "/"'),
        ("^/(a /x", '"^/(a" is not a regular expression'),
        ("^/a /x#y", '"#" is invalid in a path'),
        ("^/a /100%", '"%" is invalid in a path'),
        ("^/a /x?a=<b>", '"<" is invalid in a query'),
        ("^/a /x/../y", 'has a segment "." or ".."'),
        ("^/a /x/%2E%2e", 'has a segment "." or ".."'),
    ],
)
def test_mistakes(rule: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Rule(rule)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("^/(a) /$1x", 'there is no group "1x" (known: $0, $1, $host_name); did you mean ${1}x?'),
        ("^/(a) /$2", 'there is no group "2"'),
        ("^/a /$tenant", 'there is no group "tenant" (known: $0, $host_name)'),
        ("/x/$1", 'there is no group "1" (known: $0, $host_name)'),
        ("^/a /x?y=$z", 'there is no group "z"'),
    ],
)
def test_unknown_groups(rule: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Rule(rule).check(["host_name"])


@given(st.text(st.sampled_from("/a.%2fé\\ ?#&;<"), max_size=12), st.text(max_size=5))
def test_every_result_is_a_target(rest: str, tenant: str) -> None:
    from pingap.testing import make_request

    rule = Rule("^/a(.*)$ /b$1/$tenant?x=$1&y=$tenant")
    try:
        found = rule.apply("/a" + rest, {"tenant": tenant.encode("utf-8", "replace").decode()})
    except DotSegmentError:
        return
    if found is not None:
        request = make_request("GET", "/a")
        request.rewrite(found.path, found.query)  # raises if it is no target
        assert request.target.isascii()
