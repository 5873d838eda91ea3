"""The keys of the cache: what is accepted, and what mistakes are explained how."""

from __future__ import annotations

import pytest
from pingap_cache.settings import CacheSettings, matcher
from pydantic import ValidationError

from pingap.testing import configuration_problems


@pytest.mark.parametrize(
    "line",
    [
        'directory = ""',
        'directory = "memory://?max_size=50&mode=Compact"',
        'directory = "/var/cache/p?inactive=1h&reading_max=0&writing_max=5&cache_max=100&levels=1:2"',
        'directory = "/var/cache/p?cache_file_max_weight=10&max_size=1GiB"',
        'namespace = "shop"',
        'headers = ["X-Tenant"]',
        'max_ttl = "1h"',
        'max_file_size = "20MB"',
        "max_file_size = 0",
        'lock = "0s"',
        'lock = "28s"',
        'lock = "1m"\ntimeout = "2m"',
        'lock = "1m"\ntimeout = "0s"',
        "eviction = true",
        "predictor = false",
        "check_cache_control = true",
        'purge_ip_list = ["10.0.0.0/8", "::1"]',
        'skip = "^/api/"',
        'skip = "^/(?!static/)"',
        "query_sort = true",
        'query_ignore = ["utm_*"]',
        'step = "request"',
    ],
)
def test_keys(line: str) -> None:
    assert configuration_problems(f'[plugins.c]\ncategory = "cache"\n{line}\n') == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('directory = "cache"', "absolute path"),
        ('directory = "/c?levls=1"', 'did you mean "levels"'),
        ('directory = "memory://?inactive=1h"', "no parameter"),
        ('directory = "/c?levels=4"', "levels"),
        ('namespace = "two words"', "namespace"),
        ('headers = ["X Tenant"]', "is not the name of a header"),
        ('lock = "fast"', "duration"),
        ('lock = "30s"', "lock = 30s is too long"),
        ("eviction = false", "evicted"),
        ('predictor = "no"', "true or false"),
        ('purge_ip_list = ["10.0.0.0/33"]', "not an IP address or network"),
        ('skip = "("', ""),
        ('skip = "(?=("', "look-around"),
        ("max_age = 3", "unknown key"),
    ],
)
def test_mistakes(line: str, said: str) -> None:
    [problem] = configuration_problems(f'[plugins.c]\ncategory = "cache"\n{line}\n')
    assert said in problem


def test_patterns_of_parameters() -> None:
    matches = matcher(["utm_*", "x", "a[b]", "q?", "*id"])
    assert matches is not None
    assert [bool(matches(name)) for name in ("utm_", "utm_a", "x", "a[b]", "sid")] == [True] * 5
    assert not any(matches(name) for name in ("utm", "xx", "ab", "q1", "ids"))
    assert matcher([]) is None


def test_a_regular_expression_is_linear_unless_it_looks_around() -> None:
    assert CacheSettings(skip="^/a").skip is not None
    with pytest.raises(ValidationError):
        CacheSettings(skip=3)  # type: ignore[arg-type]
