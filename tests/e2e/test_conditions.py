"""Locations with conditions, through sockets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.testing import Proxy

TOML = """
[basic]
trusted_proxies = ["127.0.0.1"]
[plugins.one]
category = "mock"
data = "one"
[plugins.other]
category = "mock"
data = "other"
[locations.one]
path = "/"
plugins = ["one"]
KEYS
[locations.other]
path = "/"
weight = 0
plugins = ["other"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["one", "other"]
"""


@pytest.mark.parametrize(
    ("keys", "method", "target", "headers", "wanted"),
    [
        ('match_methods = ["POST"]', "POST", "/", {}, "one"),
        ('match_methods = ["POST"]', "GET", "/", {}, "other"),
        ('match_ips = ["10.0.0.0/8"]', "GET", "/", {"X-Forwarded-For": "10.1.1.1"}, "one"),
        ('match_ips = ["10.0.0.0/8"]', "GET", "/", {"X-Forwarded-For": "11.1.1.1"}, "other"),
        ('match_ips = ["127.0.0.1"]', "GET", "/", {}, "one"),
        ('match_headers = ["!X-Old"]', "GET", "/", {"X-Old": ""}, "other"),
        (
            'match_headers = ["User-Agent:~(?i)mobile"]',
            "GET",
            "/",
            {"User-Agent": "A Mobile"},
            "one",
        ),
        ('match_query = ["v:1 | v:2"]', "GET", "/?v=2", {}, "one"),
        ('match_cookies = ["!beta:yes"]', "GET", "/", {"Cookie": "a=b; beta=yes"}, "other"),
    ],
)
def test_a_location_is_chosen(
    start_proxy: Callable[..., Proxy],
    keys: str,
    method: str,
    target: str,
    headers: dict[str, str],
    wanted: str,
) -> None:
    proxy = start_proxy(TOML.replace("KEYS", keys))
    assert proxy.request(method, target, headers=headers).text == wanted


def test_explain_knows_them(tmp_path: Path) -> None:
    keys = 'match_methods = ["GET"]\nmatch_ips = ["10.0.0.0/8"]\nmatch_headers = ["!X-Old | X-New"]'
    path = tmp_path / "pingap.toml"
    path.write_text(TOML.replace("KEYS", keys).replace(":0", ":6180"))

    def explained(*arguments: str) -> str:
        command = [sys.executable, "-m", "pingap", "explain", *arguments, "-c", str(path)]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        ).stdout

    found = explained("POST", "/", "-H", "X-Old: 1")
    for reason in (
        "method: it is not GET",
        "client: it is not in 10.0.0.0/8",
        'header: "x-old" is there, and "x-new" is missing',
    ):
        assert reason in found
    assert "location  one" in explained("GET", "/", "--client", "10.9.9.9")
    assert "'nobody' does not appear to be an IPv4 or IPv6 address" in explained(
        "GET", "/", "--client", "nobody"
    )
