"""What ``health_check`` may say, and the words for what it may not."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap.config import ConfigError, parse
from pingap.config.health_check import HealthCheck, parse_health_check


def refusal(text: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - all of the text is compared
        parse_health_check(text)
    return str(caught.value)


def test_without_a_url_a_connection_is_made_every_ten_seconds() -> None:
    found = parse_health_check("")
    assert found == HealthCheck(scheme="tcp", connection_timeout=3, check_frequency=10)
    assert (found.success, found.failure) == (1, 1)


def test_none_switches_checks_off() -> None:
    assert parse_health_check("none") is None


@pytest.mark.parametrize("scheme", ["tcp", "http", "https", "grpc"])
def test_the_defaults_of_a_url(scheme: str) -> None:
    found = parse_health_check(f"{scheme}://app")
    assert found == HealthCheck(scheme=scheme, host="app", success=1, failure=2)  # type: ignore[arg-type]
    assert (found.connection_timeout, found.read_timeout, found.check_frequency) == (3, 3, 10)
    assert found.status == ((200, 200),)


def test_every_parameter() -> None:
    found = parse_health_check(
        "http://app.test:8080/a%20b?connection_timeout=1s&read_timeout=1500ms&check_frequency=2s"
        "&success=3&failure=4&reuse&tls&parallel&service=x.Y&status=200-299,301&body=all+is%20well"
    )
    assert found == HealthCheck(
        scheme="http",
        host="app.test",  # the port is that of the backend
        target="/a%20b",
        connection_timeout=1,
        read_timeout=1.5,
        check_frequency=2,
        success=3,
        failure=4,
        reuse=True,
        tls=True,
        parallel=True,
        service="x.Y",
        status=((200, 299), (301, 301)),
        body="all is well",
    )
    assert [found.accepts(status) for status in (199, 200, 299, 300, 301)] == [False, *[True] * 2, False, True]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "on"),
    [("", True), ("=", True), ("=true", True), ("=1", True), ("=false", False), ("=0", False)],
)
@pytest.mark.parametrize("name", ["reuse", "tls", "parallel"])
def test_switches_can_be_switched_off(name: str, written: str, on: bool) -> None:
    found = parse_health_check(f"grpc://app?{name}{written}")
    assert getattr(found, name) is on


def test_intervals_are_kept_as_written() -> None:
    for text, seconds in [("100ms", 0.1), ("3s", 3), ("11s", 11), ("1m 5s", 65)]:
        found = parse_health_check(f"tcp://a?check_frequency={text.replace(' ', '+')}")
        assert found is not None
        assert found.check_frequency == seconds


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_query_is_written_with_a_prefix(scheme: str) -> None:
    found = parse_health_check(f"{scheme}://a/h?query.a=1&reuse&query.b=%26+%C3%A4&query.query.c=")
    assert found is not None
    assert found.target == "/h?a=1&b=%26%20%C3%A4&query.c="


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("token=abc", "/h?token=abc"),
        ("a=1&failure=3&b=x+y%26&query.c=4&a=2", "/h?a=1&b=x+y%26&c=4&a=2"),
        ("ready&&x", "/h?ready&x"),
    ],
)
def test_parameters_of_its_own_are_sent_as_they_are(query: str, target: str) -> None:
    found = parse_health_check(f"http://a/h?{query}")
    assert found is not None
    assert found.target == target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://a?sucess=2", 'unknown parameter "sucess"; did you mean "success"?; to send it in the query of the check, write query.sucess=2'),
        ("tcp://a?sucess=2", 'unknown parameter "sucess"; did you mean "success"?'),
        ("htp://a", 'found the scheme "htp", expected tcp, http, https, grpc; did you mean "http"?'),
        ("/health", 'found "/health", expected a URL; did you mean "http://app/health"? Replace app by the Host that the backend expects'),
        ("tcp://a?token=2", 'unknown parameter "token"'),
        ("grpc://a?token=2", 'unknown parameter "token"'),
        ("off", 'found "off", expected a URL such as "http://app/health?check_frequency=5s", or "none"'),
        ("http:///health", 'found "http:///health", whose host is missing'),
        ("https://.a.test/", '".a.test" is not the name of a host'),
        ("http://u:p@a/", "user and password are not sent by a health check"),
        ("http://a/#top", 'text after "#" is never sent: write %23'),
        ("http://a/ä", 'found "http://a/ä": write characters other than printable ASCII as %XX'),
        ("tcp://a?failure=0", 'failure: found "0", expected a number from 1 to 1000'),
        ("tcp://a?success=x", 'success: found "x", expected a number from 1 to 1000'),
        ("tcp://a?reuse=maybe", 'reuse: found "maybe", expected true or false'),
        ("tcp://a?reuse&reuse", "reuse is given twice"),
        ("tcp://a?check_frequency=0s", 'check_frequency: found "0s", expected at least "100ms"'),
        ("tcp://a?read_timeout=0", 'read_timeout: found "0", expected a duration such as "30s"'),
        ("tcp://a?read_timeout=3", 'read_timeout: found "3", expected a duration such as "30s": write "3s"'),
        ("http://a?status=2xx", 'status: found "2xx", expected statuses such as "200-299,301"'),
        ("http://a?status=299-200", 'status: found "299-200", expected statuses such as "200-299,301"'),
        ("grpc://a?status=200", "status goes with http and https, not with grpc"),
        ("tcp://a?body=x", "body goes with http and https, not with tcp"),
        ("tcp://a?query.x=1", "query.x goes with http and https, not with tcp"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(text: str, words: str) -> None:
    assert refusal(text) == words


@pytest.mark.parametrize("text", ["http://[::1", "http://a:99999/", "http://a:x/"])
def test_what_is_no_url_is_told(text: str) -> None:
    assert refusal(text).startswith(f'found "{text}", expected a URL such as ')


@given(st.text() | st.builds("http://a/{}?{}".format, st.text(), st.text()))
def test_any_text_is_understood_or_refused(text: str) -> None:
    with suppress(ValueError):
        parse_health_check(text)


def test_the_mistake_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[upstreams.x]\naddrs = ["a"]\nhealth_check = "http://a?reusee=3"', "c")
    assert str(caught.value).startswith('c:3: upstreams.x.health_check: unknown parameter "reusee"')


@pytest.mark.parametrize("key", ['health_check = "none"', "passive_failures = 3"])
def test_a_transparent_upstream_has_no_backends_to_check(key: str) -> None:
    config = parse(
        f'[upstreams.x]\ndiscovery = "transparent"\ntransparent_allow = ["a"]\naddrs = []\n{key}',
        "c",
    )
    assert [str(one) for one in config.warnings] == [
        f"c:5: upstreams.x.{key.split()[0]}: has no effect: the backends of a transparent upstream"
        " are not known"
    ]
