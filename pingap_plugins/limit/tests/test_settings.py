"""Settings: all keys of pingap, and mistakes that are told when the configuration is loaded."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import pytest
from pingap_limit.plugin import Limit
from pingap_limit.rates import parse_rate

from pingap.testing import configuration_problems


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "limit"\n{keys}\n')


@pytest.mark.parametrize(
    "keys",
    [
        "max = 10",
        "type = 'inflight'\nmax = 100\ntag = 'cookie'\nkey = 'sid'\nstep = 'proxy_upstream'",
        "type = 'rate'\ntag = 'header'\nkey = 'X-Key'\nmax = 10\ninterval = '1s'\nweight = 0",
        "tag = 'query'\nkey = 'k'\nmax = 0\ninterval = '500ms'\nremark = 'x'\nstep = 'request'",
        "rate = '5 per 2 seconds'\nstrategy = 'gcra'\nburst = 9\nheaders = true",
        "max = 512\nstrategy = 'moving-window'\nmode = 'report'",
        "by = ['ip', 'header:x-a', 'path']\nmax = 1\nmissing = 'ip'\nipv6_prefix = 48",
        "by = ['cookie:a']\nmax = 1\nmissing = 'refuse'\nallow = ['::1']\nallow_keys = ['b']",
        "max = 1\nstorage = 'redis://h:6379'\nstorage_timeout = '1s'\non_storage_failure = 'refuse'",
        "max = 1\nstorage = 'rediss+sentinel://:p%20w@a:1,b:2/shop'\nstorage_prefix = 'x'",
        "max = 1\nstorage = 'redis+cluster://a:1,[::1]:2'\nstorage_connections = 2",
        "max = 1\nstorage = 'rediss+sentinel://:p@a:1/shop?sentinel_password=q&db=1'",
        "max = 1\nstorage = 'rediss+cluster://a:1/?ssl_check_hostname=false'",
        "max = 1\nstorage = 'redis+unix:///r.sock?db=2'",
        "max = 1\nstorage = 'redis://u:p%40@a:1/3'",
        "max = 9999\nstrategy = 'moving-window'\nstorage = 'redis+unix:///r.sock'\n"
        "on_storage_failure = 'allow'",
    ],
)
def test_keys(keys: str) -> None:
    assert problems(keys) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "max is missing"),
        ("max = -1", "max"),
        ("max = '10'", "max"),
        ("max = 1.5", "max"),
        ("max = 1\ntype = 'in_flight'", "type"),
        ("max = 1\ntag = 'IP'", "tag"),
        ("max = 1\ntag = 'cookie'", 'key is missing: the name of the cookie for tag = "cookie"'),
        ("max = 1\ntag = 'header'\nkey = ''", "key is missing"),
        ("max = 1\nkey = 'a'", 'key has no effect with tag = "ip"'),
        ("max = 1\nby = ['ip']\ntag = 'ip'", "by takes the place of tag and key"),
        ("max = 1\nby = ['ipx']", 'found "ipx", expected one of ip, host, path, user, header:NAME'),
        ("max = 1\ntag = 'claim'", "key is missing: the name of the claim"),
        ("max = 1\nby = ['header']", 'found "header"'),
        ("max = 1\nby = ['header:X Key']", '"X Key" is not the name of a header'),
        ("max = 1\ntag = 'cookie'\nkey = 'sid='", '"sid=" is not the name of a cookie'),
        ("max = 1\nby = ['ip:1']", 'found "ip:1"'),
        ("max = 1\nby = ['header:']", 'found "header:"'),
        ("max = 1\ninterval = 'soon'", "interval"),
        ("max = 1\ninterval = '0s'", "expected a longer time"),
        ("max = 1\nweight = 101", "weight"),
        ("max = 1\nstep = 'response'", "step"),
        ("max = 1\nrate = '1/second'", "rate takes the place of max and interval"),
        ("rate = 'often'", 'found "often", expected a rate such as'),
        ("rate = '1/second; 9/hour'", "expected a rate such as"),
        ("max = 1\nstrategy = 'leaky'", "strategy"),
        ("max = 1\nstrategy = 'gcra'\nweight = 5", "weight has an effect"),
        ("max = 1\nburst = 5", "burst has an effect"),
        ("max = 0\nstrategy = 'gcra'", "found max = 0, expected at least 1"),
        ("max = 513\nstrategy = 'moving-window'", "moving-window keeps the time of each request"),
        ("max = 1\ntype = 'inflight'\nweight = 5\nburst = 1", "burst, weight has no effect with"),
        ("max = 1\ntype = 'inflight'\nrate = '1/second'", "rate takes the place"),
        ("max = 1\nby = ['ip', 'path']\nallow_keys = ['a']", "allow_keys needs a single property"),
        ("max = 1\nallow = ['10.0.0.0/33']", "allow"),
        ("max = 1\nipv6_prefix = 0", "ipv6_prefix"),
        ("max = 1\nfail_open = true", "fail_open"),
        ("max = 1\nstorage_timeout = '1s'", "storage_timeout has no effect with no storage"),
        ("max = 1\nstorage = 'redis'", "storage begins with none of redis://, rediss://"),
        ("max = 1\nstorage = 'http://a:1'", "storage begins with none of"),
        ("max = 1\nstorage = 'redis://:hush@a'", "a host has no port"),
        ("max = 1\nstorage = 'redis://:hush@a:99999'", "a host has no port"),
        ("max = 1\nstorage = 'redis://a:1,b:2'", "several hosts, expected one with redis://"),
        ("max = 1\nstorage = 'redis+unix://a'", "lacks the path of a socket"),
        ("max = 1\nstorage = 'redis+sentinel://:hush@a:1'", "lacks the name of the service"),
        ("max = 1\nstorage = 'redis+cluster://a:1?db=1'", "unknown parameter for redis+cluster://"),
        ("max = 1\nstorage = 'redis+cluster://a:1/1'", "a cluster has no numbered databases"),
        (
            "max = 1\nstorage = 'redis://a:1?hush=hush'",
            "unknown parameter for redis://: expected db",
        ),
        ("max = 1\nstorage = 'redis://a:1?ssl_ca_certs=hush'", "unknown parameter"),
        ("max = 1\nstorage = 'redis://a:1?sentinel_password=hush'", "unknown parameter"),
        (
            "max = 1\nstorage = 'rediss://a:1?ssl_ca_certs=hush'",
            "file of ssl_ca_certs does not exist",
        ),
        ("max = 1\nstorage = 'rediss://a:1?ssl_check_hostname=no'", "neither true nor false"),
        ("max = 1\nstorage = 'redis://a:1?db=x'", "the database is not a number"),
        ("max = 1\nstorage = 'redis://a:1/hush'", "the database is not a number"),
        ("max = 1\nstorage = 'redis://a:1/0/1'", "the database is not a number"),
        ("max = 1\nstorage = 'redis+unix:///r.sock?db='", "the database is not a number"),
        (
            "max = 1\nstorage = '$ENV:NO_SUCH_REDIS'",
            'the environment variable "NO_SUCH_REDIS" is not set',
        ),
        (
            "max = 513\nstrategy = 'moving-window'\nstorage = 'redis://a:1'",
            "moving-window keeps the time of each request",
        ),
        ("maximum = 1", "maximum: unknown key"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found
    assert not any("hush" in one for one in found)


def test_lint_tells_what_a_limit_does_not_see(tmp_path: Path) -> None:
    conf = tmp_path / "pingap.toml"
    conf.write_text(
        '[plugins.p]\ncategory = "limit"\nmax = 1\ntag = "cookie"\nkey = "sid"\n'
        '[plugins.m]\ncategory = "mock"\n[locations.l]\nplugins = ["m", "p"]\n'
        '[servers.s]\naddr = "127.0.0.1:0"\nlocations = ["l"]\n'
    )
    command = [sys.executable, "-m", "pingap", "lint", "-c", str(conf)]
    done = run(command, capture_output=True, text=True, timeout=60, check=False)
    assert '"m" may answer before the guard "p" is asked' in done.stdout
    assert "plugins.p.missing: requests without the cookie have no limit" in done.stdout


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [("1/second", 1, 1), ("100 per minute", 100, 60), ("5/2hours", 5, 7200), ("9/DAY", 9, 86400)],
)
def test_rates(text: str, amount: int, seconds: float) -> None:
    rate = parse_rate(text)
    assert (rate.amount, rate.get_expiry()) == (amount, seconds)


@pytest.mark.parametrize("text", ["5/0 minutes", "5/fortnight", "1/second; 5/minute", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="expected a rate such as"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("by", "told"),
    [
        (["ip"], []),
        (["host", "path"], []),
        (["ip", "user"], ["requests without the user have no limit"]),
        (["claim:tenant"], ["requests without the claim have no limit"]),
    ],
)
def test_advice_about_properties_that_may_be_missing(by: list[str], told: list[str]) -> None:
    found = Limit(Limit.Settings(max=1, by=by)).advice()
    assert [problem for _, problem, _ in found] == told


def test_a_user_is_known_behind_authentication() -> None:
    assert {"key_auth", "mtls"} < set(Limit(Limit.Settings(max=1, tag="user")).after)
    assert not Limit(Limit.Settings(max=1)).after
