"""What a newcomer is told to do works: the commands, ``conf.d``, the examples."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from docs.blocks import DOCS, ROOT, blocks, pages, shown_file
from support.plugins import installed

from pingap import Plugin
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import load
from pingap.testing import Proxy

MAKEFILE = (ROOT / "Makefile").read_text()


def test_readme_has_its_two_commands_and_every_command_exists() -> None:
    commands = re.findall(r"^make (\w+)", blocks("sh", ROOT / "README.md")[0].text, re.MULTILINE)
    assert commands == ["run", "test"]
    for page in pages():
        for target in re.findall(r"`make ([a-z]+)", page.read_text()):
            assert re.search(rf"^{target}: ", MAKEFILE, re.MULTILINE), f"{page}: make {target}"


def test_make_run_serves_conf_d() -> None:
    assert re.search(r"^run:.*\n\t\S*pingap -c conf\.d", MAKEFILE, re.MULTILINE)


def test_conf_d_has_no_problems_and_no_warnings() -> None:
    config = load(ROOT / "conf.d")
    runtime = build(config, installed_registry())
    assert [*config.warnings, *runtime.warnings] == []
    assert [str(address) for address in config.servers["web"].addresses] == ["127.0.0.1:8080"]


@pytest.mark.parametrize("file", sorted((ROOT / "conf.d").glob("*.toml")), ids=lambda f: f.name)
def test_conf_d_explains_itself(file: Path) -> None:
    """Keys stand below a comment, directly or after other keys of the same paragraph."""
    explained = False
    for line in file.read_text().splitlines():
        if line.startswith(("#", "[")):
            explained = True
        elif not line:
            explained = False
        elif re.match(r"\w+ = ", line):
            assert explained, f"{file.name}: {line}"


def test_conf_d_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = "\n".join(file.read_text() for file in sorted((ROOT / "conf.d").glob("*.toml")))
    text = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace(":8081", f":{port}")
    with Proxy(text) as proxy, proxy.connect() as client:
        page = client.get("/")
        assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
        assert b"It works" in page.body
        assert page.header("x-served-by") == "pingap"
        assert page.header("x-request-id")
        assert client.get("/json").body == b'{"message": "It works"}'
        assert client.get("/ping").body == b"pong"
        assert client.get("/stats").header("content-type") == "application/json; charset=utf-8"
        assert b'pingap_http_requests_total{location="site",server="web"} 2.0' in (
            client.get("/metrics").body
        )


# Examples.


def test_the_examples_run_in_a_proxy(examples: Path) -> None:
    toml = """
    [plugins.repairs]
    category = "maintenance"
    message = "New shelves are being built"
    retry_after = "10m"
    [plugins.page]
    category = "mock"
    data = "<p>hello"
    headers = ["Content-Type: text/html"]
    [plugins.footer]
    category = "footer"
    text = "<p>the end"
    [locations.shop]
    path = "/shop"
    plugins = ["repairs"]
    [locations.page]
    plugins = ["page", "footer"]
    [servers.web]
    addr = "127.0.0.1:0"
    locations = ["shop", "page"]
    """
    with installed(examples), Proxy(toml) as proxy, proxy.connect() as client:
        answer = client.get("/shop")
        assert (answer.status, answer.body) == (503, b"New shelves are being built")
        assert answer.header("retry-after") == "600"
        assert client.get("/").body == b"<p>hello<p>the end"


def test_the_entry_point_of_the_example_is_the_one_that_is_tested(examples: Path) -> None:
    import tomli

    project = tomli.loads(shown_file("writing-a-plugin.md", "pyproject.toml"))
    points = project["project"]["entry-points"]["pingap"]
    text = next(examples.glob("*/entry_points.txt")).read_text()
    for name, target in points.items():
        assert f"{name} = {target}\n" in text


def test_the_plugin_in_the_readme_answers() -> None:
    (block,) = blocks("python", ROOT / "README.md")
    namespace: dict[str, object] = {"__name__": "readme"}
    exec(block.text, namespace)
    cls = namespace["Hello"]
    assert isinstance(cls, type)
    assert issubclass(cls, Plugin)
    plugin = cls(cls.Settings.model_validate({"name": "you"}))
    assert plugin.request().body == b"hello you"


def test_the_manual_needs_no_internet() -> None:
    """Mermaid and the script that searches file:// pages would come from a CDN."""
    settings = (ROOT / "mkdocs.yml").read_text()
    (script,) = re.findall(r"polyfills:\n +- (\S+)", settings)
    assert "iframe-worker" in script  # so that the plugin "offline" adds none
    assert (DOCS / script).is_file()
    assert [str(block) for block in blocks("mermaid")] == []


def test_pages_of_the_manual_stand_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    missing = [page.name for page in DOCS.glob("*.md") if f"- {page.name}" not in navigation]
    assert missing == []
