"""Whatever is wrong with a configuration, one run reports all of it."""

from __future__ import annotations

from pathlib import Path

from support.check import check

CONFIGURATION = """
[basic]
user = "nosuchuser"
threads = "x"
[upstreams.bad]
addrs = ["127.0.0.1:99999"]
[upstreams.good]
addrs = ["127.0.0.1:80"]
algo = "nosuch"
[plugins.headers]
category = "response_headers"
set_headers = ["bad"]
[locations.bad]
upstream = "bad"
path = "/bad"
[locations.good]
upstream = "good"
weight = "x"
proxy_set_headers = ["X-A: $nosuch"]
plugins = ["headers", "nosuch"]
[locations.other]
path = "~(("
upstream = "nosuch"
[servers.web]
addr = "127.0.0.1:0"
locations = ["bad", "good", "other", "nosuch"]
access_log = "{nosuch}"
tls_min_version = "9"
[certificates.web]
domains = "a.test"
"""


def test_problems_of_every_stage_are_reported_in_one_run(tmp_path: Path) -> None:
    code, text = check(tmp_path, CONFIGURATION)
    *problems, count = text.splitlines()
    keys = [line.split(": ")[1] for line in problems]
    assert (code, count) == (2, "15 problems.")
    assert sorted(keys) == sorted(
        [
            "basic.user",
            "basic.threads",
            "upstreams.bad.addrs[0]",
            "upstreams.good.algo",
            "plugins.headers.set_headers[0]",
            "locations.good.weight",
            "locations.good.proxy_set_headers[0]",
            "locations.good.plugins[1]",
            "locations.other.path",
            "locations.other.upstream",
            "servers.web.locations[3]",
            "servers.web.access_log",
            "servers.web.tls_min_version",
            "certificates.web.tls_cert",
            "certificates.web.tls_key",
        ]
    )
