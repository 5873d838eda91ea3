"""referer_restriction: hosts, ends of hosts, and URLs that pretend to be of another host."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_restriction.referer_restriction import Hosts, host_of

from pingap.testing import Proxy, Upstream, configuration_problems

Guarded = Callable[..., Proxy]


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "referer_restriction"\n{keys}\n')


@pytest.mark.parametrize(
    ("referer", "is_listed"),
    [
        ("https://github.com/a/b?c#d", True),
        ("http://github.com:8080/", True),
        ("https://github.com", True),
        ("https://GitHub.COM./", True),
        ("https://www.github.com/", False),
        ("https://a.bar.cn/", True),
        ("https://a.b.bar.cn/", True),
        ("https://bar.cn/", False),
        ("https://xbar.cn/", False),
        ("https://xfoo.cn/", True),  # "*foo.cn" is without a dot, as in pingap 0.13.9
        ("https://foo.cn/", True),
        ("http://[::1]:80/", True),
        ("/relative", False),
        ("github.com", False),
        ("", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("kind", ["allow", "deny"])
def test_types(guarded: Guarded, referer: str | None, is_listed: bool, kind: str) -> None:
    listed = ["github.com", "*.bar.cn", "*foo.cn", "[::1]"]
    proxy = guarded("referer_restriction", type=kind, referer_list=listed)
    answer = proxy.get("/", headers={} if referer is None else {"Referer": referer})
    passes = is_listed is (kind == "allow")
    assert answer.status == (200 if passes else 403)
    assert answer.text == ("ok" if passes else "Request is forbidden")


def test_a_star_is_any_host(guarded: Guarded) -> None:
    proxy = guarded("referer_restriction", referer_list=["*"], message="Start at the home page")
    assert proxy.get("/", headers={"Referer": "https://anything.test/"}).status == 200
    assert proxy.get("/").text == "Start at the home page"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "empty list refuses every request"),
        (
            'referer_list = ["a.cn", "https://a.cn"]',
            'referer_list[1]: "https://a.cn" is not a host',
        ),
        ('referer_list = ["a.cn:80"]', "leave out scheme, port and path"),
        ('referer_list = ["a.*"]', "is not a host"),
        ('referer_list = ["bücher.test"]', "xn--"),
        ('referer_list = [""]', "is not a host"),
        ('referer_list = ["a.cn"]\ntype = "x"', "type"),
        ('referer_list = ["a.cn"]\nfail_open = true', "fail_open"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


# Attacks.

EVIL = [
    "https://evil.test/https://good.test/",
    "https://evil.test?https://good.test/",
    "https://evil.test#good.test",
    "https://evil.test\\@good.test/",
    "https://evil.test/@good.test/",
    "https://evil.test?@good.test/",
    "https://good.test@evil.test/",
    "https://good.test:80@evil.test/",
    "https://good.test.evil.test/",
    "https://evilgood.test/",
    "https://good.test%2eevil.test/",
    "https://good.test%00.evil.test/",
    "https://good.test evil.test/",
    "https://good.test\tevil.test/",
    "https:good.test/",
    "https:/good.test/",
    "//good.test/",
    "https:///good.test/",
    "javascript://good.test\\",
    "https://[good.test]/",
    "https://good.test]/",
    "https://[::1]good.test/",
    "https://good.test:evil/",
    " https://good.test/x https://evil.test/",
    "data:text/html,https://good.test/",
    "https://a@b@good.test/",
    "https://good\xadtest/",
]


@pytest.mark.parametrize("referer", EVIL)
def test_other_sites_cannot_look_like_an_allowed_one(guarded: Guarded, referer: str) -> None:
    proxy = guarded("referer_restriction", referer_list=["good.test", "*.good.test"])
    assert proxy.get("/", headers={"Referer": referer}).status == 403


@pytest.mark.parametrize(
    "lines",
    [
        [("Referer", "https://good.test/"), ("Referer", "https://evil.test/")],
        [("Referer", "https://evil.test/"), ("referer", "https://good.test/")],
    ],
)
def test_every_line_counts(guarded: Guarded, lines: list[tuple[str, str]]) -> None:
    allow = guarded("referer_restriction", referer_list=["good.test"])
    assert allow.get("/", headers=lines).status == 403


def test_no_line_may_be_denied(guarded: Guarded, upstream: Upstream) -> None:
    deny = guarded("referer_restriction", type="deny", referer_list=["evil.test"])
    for lines in (["good", "evil"], ["evil", "good"]):
        headers = [("Referer", f"https://{name}.test/") for name in lines]
        assert deny.get("/", headers=headers).status == 403
    assert upstream.requests == []


@pytest.mark.parametrize(
    "referer", ["https://EVIL.test/", "https://evil.test.:443/", "//x@evil.test"]
)
def test_forms_of_a_denied_host(guarded: Guarded, referer: str) -> None:
    proxy = guarded("referer_restriction", type="deny", referer_list=["evil.test"])
    wanted = 403 if referer.startswith("https") else 200  # no browser sends the last one
    assert proxy.get("/", headers={"Referer": referer}).status == wanted


@given(
    st.text("ab0.-", min_size=1, max_size=20).filter(lambda host: host.strip(".")),
    st.sampled_from(["", ":80", ":"]),
    st.sampled_from(["", "/", "/a@b", "?a", "#a"]),
)
def test_hosts_are_those_of_the_standard_library(host: str, port: str, rest: str) -> None:
    url = f"https://{host}{port}{rest}"
    assert host_of(url) == (urlsplit(url).hostname or "").removesuffix(".")


@given(st.text(max_size=30))
def test_any_text_is_handled(text: str) -> None:
    host_of(text)
    host_of(f"https://{text}")
    assert not Hosts(("good.test",)).match(f"https://{text}.evil/")


@pytest.mark.parametrize(
    "url", ["a" * 60_000, "https://" + "a" * 60_000, "https://a" + "@" * 60_000]
)
def test_no_value_takes_long(url: str) -> None:
    began = time.process_time()
    host_of(url + " ")
    assert time.process_time() - began < 0.5
