"""Plugins made from the template work where nothing else is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.process import Process
from template.environment import Environment
from template.variants import INSTALLED

from pingap.testing import Client, Upstream

pytestmark = pytest.mark.timeout(300)  # the first one waits for pip

every_plugin = pytest.mark.parametrize("name", INSTALLED)


@every_plugin
def test_its_own_tests_pass(environment: Environment, name: str) -> None:
    said = environment.run("pytest", "-q", "-p", "no:cacheprovider", cwd=environment.plugin(name))
    assert " passed" in said
    assert "skipped" not in said


@every_plugin
def test_linters_have_nothing_to_say(environment: Environment, name: str) -> None:
    folder = environment.plugin(name)
    environment.run("ruff", "check", "--no-cache", cwd=folder)
    environment.run("ruff", "format", "--check", "--no-cache", cwd=folder)
    environment.run("mypy", "--cache-dir", environment.folder / "mypy", cwd=folder)


def serve(environment: Environment, origin: Upstream, folder: Path, name: str) -> Process:
    toml = f"""
[plugins.made]
category = "{name}"
text = "good day"
[upstreams.origin]
addrs = ["{origin.addr}"]
[locations.all]
upstream = "origin"
plugins = ["made"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""
    return Process(toml, folder, program=(str(environment.bin / "pingap"),))


def answered(client: Client, path: str) -> tuple[int, bytes]:
    answer = client.get(path)
    return answer.status, answer.body


def test_request_is_served(environment: Environment, upstream: Upstream, tmp_path: Path) -> None:
    with serve(environment, upstream, tmp_path, "greet") as proxy, proxy.connect() as client:
        assert answered(client, "/greet") == (200, b"good day\n")
        assert answered(client, "/") == (200, b"ok")


def test_async_request_is_served(
    environment: Environment, upstream: Upstream, tmp_path: Path
) -> None:
    with serve(environment, upstream, tmp_path, "greet_later") as proxy, proxy.connect() as client:
        assert answered(client, "/greet-later") == (200, b"good day\n")
        assert answered(client, "/") == (200, b"ok")


def test_bodies_are_rewritten(environment: Environment, upstream: Upstream, tmp_path: Path) -> None:
    upstream.reply("/", b"one\n", headers={"Content-Type": "text/plain"})
    with serve(environment, upstream, tmp_path, "footer") as proxy, proxy.connect() as client:
        assert answered(client, "/") == (200, b"one\ngood day\n")


def test_whole_body_is_used_and_logged(
    environment: Environment, upstream: Upstream, tmp_path: Path
) -> None:
    with serve(environment, upstream, tmp_path, "whole") as proxy, proxy.connect() as client:
        answer = client.request("POST", "/whole", body=b"12345")
        assert (answer.status, answer.body) == (200, b"good day: 5 bytes\n")
        proxy.wait_for_log("good day: /whole, 200, ")


@pytest.mark.parametrize("name", ["reading", "a_name_that_is_thirty_long_x9z"])
def test_all_phases_are_served(
    environment: Environment, upstream: Upstream, tmp_path: Path, name: str
) -> None:
    header = "X-" + name.replace("_", "-")
    with serve(environment, upstream, tmp_path, name) as proxy, proxy.connect() as client:
        answer = client.request("POST", "/", body=b"12345")
        assert (answer.status, answer.header(header)) == (200, "good day")
        assert upstream.requests[0].header(header) == "good day"
        assert upstream.requests[0].header(f"{header}-Client") == "127.0.0.1"
        proxy.wait_for_log("good day: /, 200, ")
