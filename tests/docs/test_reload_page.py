"""The page about changes of the configuration shows what pingap tells."""

import re
from pathlib import Path

from pingap.config import parse
from pingap.config.changes import changes_between, changes_text

PAGE = Path(__file__).parents[2] / "docs" / "reload.md"

OLD = """
[upstreams.app]
addrs = ["10.0.0.1"]
[locations.shop]
upstream = "app"
path = "/"
[plugins.ping]
category = "ping"
path = "/ping"
[plugins.auth]
category = "key_auth"
token = "one"
[certificates.shop]
tls_cert = '''-----BEGIN CERTIFICATE-----
one
-----END CERTIFICATE-----'''
"""
NEW = """
[upstreams.app]
addrs = ["10.0.0.1"]
[upstreams.orders]
addrs = ["10.0.0.2"]
[locations.shop]
upstream = "app"
path = "/shop"
proxy_set_headers = ["Authorization: Bearer secret"]
[plugins.auth]
category = "key_auth"
token = "two"
[certificates.shop]
tls_cert = '''-----BEGIN CERTIFICATE-----
two
-----END CERTIFICATE-----'''
"""


def test_the_text_of_changes_is_the_one_that_is_shown() -> None:
    (shown,) = re.findall(r"^```text\n(.*?)\n```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    told = changes_text(changes_between(parse(OLD), parse(NEW)))
    assert _without_checksums(told) == _without_checksums(shown)


def _without_checksums(text: str) -> str:
    return re.sub(r"crc32:[0-9A-F]{8}", "crc32:", text)
