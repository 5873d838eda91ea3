"""The grpc-web client of npm, in node, with an ``XMLHttpRequest`` of npm's xhr2."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from grpc_wire import message

from pingap.testing import Proxy, Upstream

CLIENT = Path(__file__).parent / "client.cjs"
PACKAGES = ("grpc-web@2", "xhr2@0.2")
GRPC = {"Content-Type": "application/grpc"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client and what it needs."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed: the grpc-web client of npm cannot be run")
    folder = tmp_path_factory.mktemp("npm")
    shutil.copy(CLIENT, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", *PACKAGES]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=40)
    except subprocess.SubprocessError as error:
        pytest.skip(f"npm cannot install {' and '.join(PACKAGES)}: {error}")
    return folder


def events(packages: Path, site: Proxy, mode: str, kind: str, payload: str) -> list[Any]:
    """Make a call and return what the callbacks of the client got."""
    done = subprocess.run(
        ["node", CLIENT.name, f"http://127.0.0.1:{site.port()}", mode, kind, payload],
        cwd=packages,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def site(proxy: Proxy) -> Proxy:
    proxy.location("/", grpc_web=True)
    return proxy


@pytest.mark.parametrize("mode", ["text", "binary"])
def test_a_unary_call(packages: Path, site: Proxy, upstream: Upstream, mode: str) -> None:
    upstream.reply(
        "/library.Books/Find",
        message(b"answer"),
        headers=GRPC,
        trailers={"grpc-status": "0", "grpc-message": "fine"},
    )
    assert ["data", "answer"] in events(packages, site, mode, "unary", "question")
    received = upstream.received_once()
    assert received.body == message(b"question")
    assert received.header("content-type") in ("application/grpc", "application/grpc+proto")
    assert received.header("x-reader") == "7"


def test_a_stream(packages: Path, site: Proxy, upstream: Upstream) -> None:
    upstream.reply(
        "/library.Books/Find",
        [message(b"one"), message(b""), message(b"x" * 1000)],
        headers=GRPC,
        trailers={"grpc-status": "0", "grpc-message": "all of them"},
    )
    assert events(packages, site, "text", "stream", "question") == [
        ["data", "one"],
        ["data", ""],
        ["data", "x" * 1000],
        ["status", 0, "all of them"],
        ["end"],
    ]


@pytest.mark.parametrize("mode", ["text", "binary"])
def test_a_refusal_without_messages(
    packages: Path, site: Proxy, upstream: Upstream, mode: str
) -> None:
    refusal = {**GRPC, "grpc-status": "5", "grpc-message": "no such book"}
    upstream.reply("/library.Books/Find", b"", headers=refusal)
    found = events(packages, site, mode, "unary", "question")
    assert [one for one in found if one[0] == "error"] == [["error", 5, "no such book"]]
    assert not [one for one in found if one[0] == "data"]


def test_a_failure_in_the_middle_of_a_stream(
    packages: Path, site: Proxy, upstream: Upstream
) -> None:
    upstream.reply(
        "/library.Books/Find",
        [message(b"one")],
        headers=GRPC,
        trailers={"grpc-status": "13", "grpc-message": "the shelf fell over"},
    )
    found = events(packages, site, "text", "stream", "question")
    assert found[0] == ["data", "one"]
    assert ["error", 13, "the shelf fell over"] in found


@pytest.mark.parametrize("mode", ["text", "binary"])
def test_an_upstream_that_is_gone(
    packages: Path, site: Proxy, upstream: Upstream, mode: str
) -> None:
    upstream.raw("/library.Books/Find", b"", then="close")
    found = events(packages, site, mode, "unary", "question")
    expected = [["error", 14, "The upstream server could not answer"]]
    assert [one for one in found if one[0] == "error"] == expected
