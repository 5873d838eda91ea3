"""The plugin and the test of the page about control."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.blocks import DOCS, every_block, shown_file

from pingap.testing import Proxy

pytest_plugins = ["pytester"]

REST = """
[plugins.hello]
category = "mock"
data = "one"
[locations.hello]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["admin", "hello"]
"""
HEADERS = {"Authorization": "Bearer the token"}
CONFTEST = """
import pytest

@pytest.fixture
def admin_toml():
    return {text!r}
"""


def shown_toml() -> str:
    (text,) = (block.text for block in every_block(DOCS / "control.md") if block.language == "toml")
    return text + REST


@pytest.fixture
def site(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.chdir(directory)
    monkeypatch.setenv("ADMIN_TOKEN", "the token")
    with Proxy(shown_toml()) as running:
        yield running


def test_only_the_admin_may(site: Proxy) -> None:
    assert site.get("/admin/figures").status == 403
    assert site.get("/admin/figures", headers={"Authorization": "Bearer \xe9"}).status == 403
    assert site.get("/admin/figures", headers=HEADERS).json()["workers"][0]["leads"]
    assert site.get("/admin/else", headers=HEADERS).status == 404


def test_a_configuration_is_checked_and_applied(site: Proxy) -> None:
    def send(method: str, text: str) -> dict[str, object]:
        answer = site.request(method, "/admin/configuration", headers=HEADERS, body=text.encode())
        return answer.json()  # type: ignore[no-any-return]

    wrong = shown_toml().replace("data =", "dato =")
    (problem,) = send("POST", wrong)["problems"]  # type: ignore[misc]
    assert 'did you mean "data"?' in problem["text"]
    assert (problem["line"], problem["warning"]) == (12, False)
    assert send("PUT", wrong) == {"problems": [problem]}
    assert site.get("/").text == "one"
    applied = send("PUT", shown_toml().replace("one", "two"))
    assert applied["needs_restart"] == []
    assert len(str(applied["version"])) == 64
    assert site.get("/").text == "two"


def test_a_restart_needs_a_supervisor(site: Proxy) -> None:
    answer = site.request("POST", "/admin/restart", headers=HEADERS)
    assert (answer.status, "supervisor" in answer.text) == (409, True)


def test_the_test_of_the_page_passes(pytester: pytest.Pytester) -> None:
    (pytester.path / "plugins").mkdir()
    (pytester.path / "plugins" / "admin.py").write_text(
        shown_file("control.md", "plugins/admin.py")
    )
    (pytester.path / "conftest.py").write_text(CONFTEST.format(text=shown_toml()))
    (pytester.path / "test_admin.py").write_text(shown_file("control.md", "test_admin.py"))
    pytester.runpytest_subprocess("-q", "-W", "error").assert_outcomes(passed=1)
