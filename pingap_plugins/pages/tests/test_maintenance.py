"""``maintenance_mode``: a file switches it."""

from __future__ import annotations

from pathlib import Path

import pytest
from waiting import until

from pingap.testing import Proxy, configuration_problems


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    return tmp_path / "maintenance"


def described(proxy: Proxy, switch: Path, **settings: object) -> Proxy:
    proxy.location("/", plugins=[("maintenance_mode", {"when_file": str(switch), **settings})])
    return proxy


def test_the_file_switches_it_on_and_off(proxy: Proxy, switch: Path) -> None:
    described(proxy, switch)
    assert proxy.get("/").status == 200
    switch.touch()
    until(lambda: proxy.get("/").status == 503)
    switch.unlink()
    until(lambda: proxy.get("/").status == 200)


def test_it_is_on_from_the_first_request(proxy: Proxy, switch: Path) -> None:
    switch.touch()
    answer = described(proxy, switch, retry_after="10m", message="<soon>").get("/")
    assert (answer.status, answer.header("retry-after")) == (503, "600")
    assert "&lt;soon&gt;" in answer.text
    assert proxy.upstream.requests == []


def test_clients_can_be_let_in(proxy: Proxy, switch: Path) -> None:
    switch.touch()
    described(proxy, switch, allow=["192.0.2.0/24"], retry_after="0s")
    assert proxy.get("/", client_ip="192.0.2.7").status == 200
    refused = proxy.get("/", client_ip="198.51.100.7")
    assert (refused.status, refused.header("retry-after")) == (503, None)


def test_the_page_is_a_template(proxy: Proxy, switch: Path, tmp_path: Path) -> None:
    switch.touch()
    page = tmp_path / "closed.html"
    page.write_text("<h1>{{status}}</h1>{{content}}")
    described(proxy, switch, page=str(page), message="a & b")
    answer = proxy.get("/", headers={"Accept": "text/html"})
    assert (answer.status, answer.text) == (503, "<h1>503</h1>a &amp; b")
    assert answer.header("retry-after") == "300"
    answer = proxy.get("/", headers={"Accept": "application/json"})
    assert answer.json() == {"status": 503, "error": "Service Unavailable", "message": "a & b"}


def test_error_pages_apply(proxy: Proxy, switch: Path, pages: Path) -> None:
    switch.touch()
    proxy.configure("servers.web", error_pages={"503": str(pages / "404.html")})
    answer = described(proxy, switch).get("/")
    assert (answer.status, answer.text) == (503, (pages / "404.html").read_text())
    assert answer.header("retry-after") == "300"


def test_a_server_is_closed_as_a_whole(proxy: Proxy, switch: Path) -> None:
    switch.touch()
    proxy.configure("plugins.closed", category="maintenance_mode", when_file=str(switch))
    proxy.configure("servers.web", plugins=["closed"])
    proxy.location("/only")
    assert proxy.get("/elsewhere").status == 503


def test_grpc_gets_a_status(proxy: Proxy, switch: Path, pages: Path) -> None:
    switch.touch()
    proxy.configure("servers.web", enabled_h2=True)
    described(proxy, switch, page=str(pages / "404.html"))
    with proxy.connect_http2() as client:
        answer = client.request("POST", "/a/B", headers=[("content-type", "application/grpc")])
    assert (answer.status, answer.header("grpc-status")) == (200, "14")


@pytest.mark.parametrize("path", ["maintenance", "", "/run/"])
def test_the_path_is_absolute(path: str) -> None:
    toml = f'[plugins.m]\ncategory = "maintenance_mode"\nwhen_file = "{path}"\n'
    [problem] = configuration_problems(toml)
    assert "plugins.m" in problem
    assert "when_file" in problem
