"""``pingap diff``: requests that two configurations handle differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import invoke

from pingap.config.storage.files import FileStorage
from pingap.config.storage.history import ConfigNote

TOML = """
[servers.web]
addr = "127.0.0.1:8080"
locations = ["shop", "api", "old", "regex", "m"]
[locations.shop]
host = "shop.example, *.shop.example"
upstream = "u"
proxy_set_headers = ["X-A: 1"]
[locations.api]
host = "shop.example"
path = "/api"
rewrite = "^/api/(.*) /$1"
upstream = "u"
[locations.old]
path = "/old"
plugins = ["r"]
[locations.regex]
path = "~^/x[0-9]"
upstream = "u"
[locations.m]
path = "=/m"
plugins = ["m", "later"]
[plugins.m]
category = "mock"
path = "/m"
[plugins.later]
category = "mock"
delay = "1s"
[plugins.r]
category = "redirect"
http_to_https = true
[upstreams.u]
addrs = ["127.0.0.1:9", "127.0.0.1:10 2"]
"""

Changes = dict[str, dict[str, tuple[str, str]]]


def changes(tmp_path: Path, old: str, new: str, *more: object) -> Changes:
    """Return for each request what differs when a text is replaced."""
    (tmp_path / "old.toml").write_text(TOML)
    assert old in TOML
    (tmp_path / "new.toml").write_text(TOML.replace(old, new))
    code, out, err = invoke("diff", tmp_path / "old.toml", tmp_path / "new.toml", "--json", *more)
    assert err == ""
    found = json.loads(out)
    assert code == (1 if found["changed"] else 0)
    assert "regex" in found["locations_not_asked"] or more
    return {
        one["url"]: {d["what"]: (d["before"], d["after"]) for d in one["differences"]}
        for one in found["changed"]
    }


HEALTH = "a TCP connection every 10 s"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[servers.web]", "# c\n[servers.web]\nremark = 'x'", {}),
        (
            ', *.shop.example"',
            '"',
            {
                "http://below.shop.example/": {
                    "location": ("shop", "none: 404"),
                    "headers to the upstream": ("set X-A", "-"),
                    "upstream": ("u", "-"),
                }
            },
        ),
        (
            "/$1",
            "/v2/$1",
            {"http://shop.example/api/below": {"path for the upstream": ("/below", "/v2/below")}},
        ),
        (
            'path = "/m"',
            'path = "/m"\nstatus = 404',
            {
                "http://other-host.invalid/m": {
                    "answer": ("200 of the plugin m", "404 of the plugin m"),
                    "settings of the plugin m": ("status", "status"),
                }
            },
        ),
        (
            '["r"]',
            '["m", "r"]',
            {
                f"http://other-host.invalid/old{rest}": {"plugins": ("r", "m, r")}
                for rest in ("", "/below")
            },
        ),
        (
            'path = "=/m"',
            'path = "=/n"',
            {
                "http://other-host.invalid/m": {
                    "location": ("m", "none: 404"),
                    "plugins": ("m, later", "-"),
                    "answer": ("200 of the plugin m", "-"),
                },
                "http://other-host.invalid/n": {
                    "location": ("none: 404", "m"),
                    "plugins": ("-", "m, later"),
                    "answer": ("-", "answer of the plugin later"),
                },
            },
        ),
        (
            '"X-A: 1"',
            '"X-A: 2"',
            {
                url: {"settings of the location shop": ("proxy_set_headers",) * 2}
                for url in ("http://below.shop.example/", "http://shop.example/")
            },
        ),
    ],
)
def test_requests_of_the_hosts_and_paths_are_compared(
    tmp_path: Path, old: str, new: str, expected: Changes
) -> None:
    assert changes(tmp_path, old, new) == expected


def test_urls_come_from_a_file(tmp_path: Path) -> None:
    urls = tmp_path / "urls"
    urls.write_text("# a comment\n\nPOST http://a:8080/x1  # one\nhttp://a:8081/\n")
    found = changes(tmp_path, '"127.0.0.1:10 2"', '"127.0.0.1:11"', "--urls", urls)
    assert list(found) == ["http://a:8080/x1"]
    assert found["http://a:8080/x1"]["backends"][1] == "127.0.0.1:9, 127.0.0.1:11"
    urls.write_text("http://a/\nGET a b\n")
    code, _, err = invoke("diff", tmp_path / "old.toml", tmp_path / "new.toml", "--urls", urls)
    assert (code, "line 2: expected a URL, or a method and a URL" in err) == (2, True)


def test_it_is_readable(tmp_path: Path) -> None:
    changes(tmp_path, "/$1", "/v2/$1")
    code, out, _ = invoke("diff", tmp_path / "old.toml", tmp_path / "new.toml")
    assert code == 1
    assert out == (
        "GET http://shop.example/api/below  (server web)\n"
        "  path for the upstream:  /below -> /v2/below\n\n"
        "1 of 8 requests would be handled differently.\n"
        "Not asked for, as their hosts or paths are regular expressions (use --urls): regex\n"
    )


def test_versions_are_compared(tmp_path: Path) -> None:
    conf = tmp_path / "conf.toml"
    conf.write_text(TOML)
    storage = FileStorage(f"{conf}?enable_history")
    assert storage.history is not None
    storage.history.record_now(storage.snapshot(), ConfigNote())
    (version,) = storage.history.versions_now()
    conf.write_text(TOML.replace('path = "/m"', 'path = "/m"\nstatus = 404'))
    code, out, _ = invoke("diff", version.name, conf, "-c", conf)
    assert (code, "404 of the plugin m" in out) == (1, True)
    assert invoke("diff", "77", conf, "-c", conf)[0] == 2


def test_mistakes_are_told(tmp_path: Path) -> None:
    wrong: Any = tmp_path / "wrong.toml"
    wrong.write_text("[server]\n")
    code, _, err = invoke("diff", wrong, wrong)
    assert (code, f"{wrong}:1: server: unknown table" in err) == (2, True)
    assert invoke("diff", tmp_path / "missing.toml", wrong)[0] == 2
