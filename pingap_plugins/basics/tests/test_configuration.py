"""Mistakes in the settings are told when the configuration is loaded, all at once."""

from __future__ import annotations

import pytest

from pingap.testing import configuration_problems

MISTAKES = """
[plugins.stats]
category = "stats"
value = "/stats"
[plugins.ping]
category = "ping"
[plugins.ping_path]
category = "ping"
path = "ping"
[plugins.mock]
category = "mock"
status = 100
headers = ["X-A: b", "bad name: x", "no colon"]
delay = 3
step = "response"
[plugins.mock_body]
category = "mock"
status = 204
data = "x"
[plugins.id]
category = "request_id"
algorithm = "uuid4"
size = 0
header_name = "a b"
[plugins.headers]
category = "response_headers"
add_headers = ["X-A: b", "nope"]
set_headers = ["X-A: $nothing_such"]
rename_headers = ["X-Old"]
mode = "upstreams"
[plugins.redirect]
category = "redirect"
status = 300
prefix = "/a?b"
[plugins.idle_redirect]
category = "redirect"
http_to_https = false
[plugins.pattern]
category = "redirect"
from = "("
to = "/x"
[plugins.target]
category = "redirect"
to = "https://$http_host/"
"""


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What is wrong with ``MISTAKES``."""
    return configuration_problems(MISTAKES)


@pytest.mark.parametrize(
    "problem",
    [
        "4: plugins.stats.value: unknown key (known keys: path)",
        "plugins.stats.path: this key is required",
        "plugins.ping.path: this key is required",
        '9: plugins.ping_path.path: found "ping", expected a path',
        "12: plugins.mock.status: found 100 (integer), expected at least 200",
        "13: plugins.mock.headers[1]: 'bad name' is not a header name",
        "plugins.mock.headers[2]: 'no colon' is not a header: expected \"Name: value\"",
        "plugins.mock.delay: found 3 (integer), expected a duration",
        'plugins.mock.step: found "response", expected "request" or "proxy_upstream"',
        "plugins.mock_body: found data, expected none: a 204 response has no body",
        'plugins.id.algorithm: found "uuid4" (string), expected one of uuid, nanoid',
        "plugins.id.size: found 0 (integer), expected at least 1",
        "plugins.id.header_name: 'a b' is not a header name",
        "plugins.headers.add_headers[1]: 'nope' is not a header: expected \"Name: value\"",
        "plugins.headers.set_headers[0]: $nothing_such is neither",
        'plugins.headers.rename_headers[0]: found "X-Old", expected "old: new"',
        'plugins.headers.mode: found "upstreams" (string), expected one of response, upstream',
        "plugins.redirect.status: found 300 (integer), expected",
        'plugins.redirect.prefix: found "/a?b", expected a path prefix',
        "plugins.idle_redirect: redirects nothing: set http_to_https = true, a prefix, or to",
        "40: plugins.pattern.from: ",
        '44: plugins.target.to: found "https://$http_host/", in which the host is missing',
    ],
)
def test_mistake_is_told(told: list[str], problem: str) -> None:
    assert [line for line in told if problem in line]


def test_nothing_else_is_told(told: list[str]) -> None:
    assert len(told) == 22
