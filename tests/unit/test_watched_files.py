"""Values made from files: they follow the files, and what is wrong changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap import (
    BackgroundTasks,
    FilePath,
    Plugin,
    PluginSettings,
    Response,
    Secret,
    WatchedFiles,
    hookimpl,
)
from pingap.testing import ConfigError, Proxy

StartProxy = Callable[..., Proxy]


class Word(Plugin):
    """Answers with the words of its files."""

    category = "word"

    class Settings(PluginSettings):
        file: FilePath
        secret: Secret

    def __init__(self, settings: Settings) -> None:
        self.secret = settings.secret
        self.file = settings.file
        self.words = WatchedFiles(self.read, [settings.file, settings.secret.path])

    def read(self) -> str:
        if "bad" in (text := self.file.read_text()):
            raise ValueError("not a word")
        return f"{text.strip()} {self.secret.read_again()}"

    async def startup(self, tasks: BackgroundTasks) -> None:
        tasks.start_service(self.words.watch)

    @hookimpl
    def request(self) -> Response:
        return Response.text(200, self.words.value)


TOML = """
[plugins.word]
category = "word"
file = "{0}"
secret = "{1}"

[locations.l]
plugins = ["word"]

[servers.web]
addr = "127.0.0.1:0"
locations = ["l"]
"""


@pytest.fixture
def proxy(start_proxy: StartProxy, tmp_path: Path) -> Proxy:
    (tmp_path / "word").write_text("one\n")
    (tmp_path / "secret").write_text("hush\n")
    toml = TOML.format(tmp_path / "word", f"file:{tmp_path / 'secret'}")
    return start_proxy(toml, categories=[Word])


def test_a_changed_file_takes_effect(proxy: Proxy, tmp_path: Path) -> None:
    assert proxy.get("/").text == "one hush"
    (tmp_path / "word").write_text("two\n")
    proxy.wait_for_log("was read again")
    assert proxy.get("/").text == "two hush"


def test_the_file_of_a_secret_is_followed_and_never_shown(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("quiet")
    (tmp_path / "new").rename(tmp_path / "secret")
    proxy.wait_for_log("was read again")
    assert proxy.get("/").text == "one quiet"
    assert "quiet" not in proxy.log
    assert "hush" not in proxy.log


def test_what_is_wrong_changes_nothing_and_is_logged_once(proxy: Proxy, tmp_path: Path) -> None:
    proxy.get("/")
    (tmp_path / "word").write_text("bad")
    proxy.wait_for_log("previous content stays in use: not a word")
    assert proxy.get("/").text == "one hush"
    (tmp_path / "word").write_text("two")
    proxy.wait_for_log("was read again")
    assert proxy.get("/").text == "two hush"
    assert proxy.log.count("stays in use") == 1
    proxy.expect_error("not a word")


def test_a_file_that_is_removed_and_comes_back(proxy: Proxy, tmp_path: Path) -> None:
    proxy.get("/")
    (tmp_path / "secret").unlink()
    proxy.wait_for_log("stays in use")
    assert "No such file" in proxy.expect_error("secret")
    assert proxy.get("/").text == "one hush"
    (tmp_path / "secret").write_text("back")
    proxy.wait_for_log("was read again")
    assert proxy.get("/").text == "one back"


def test_a_fifo_in_its_place_blocks_nothing(proxy: Proxy, tmp_path: Path) -> None:
    proxy.get("/")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "fifo").rename(tmp_path / "word")
    proxy.wait_for_log("stays in use")
    assert "it is a FIFO" in proxy.expect_error("word")
    assert proxy.get("/").text == "one hush"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none", "No such file or directory"), (".", "Is a directory"), ("fifo", "it is a FIFO")],
)
def test_a_path_of_no_file_is_a_configuration_error(
    start_proxy: StartProxy, tmp_path: Path, name: str, reason: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match=reason) as caught:
        start_proxy(TOML.format(tmp_path / name, "hush"), categories=[Word])
    assert "plugins.word.file: " in str(caught.value)


def test_a_path_is_relative_to_the_configuration(tmp_path: Path) -> None:
    from pingap.config import Surroundings

    (tmp_path / "word").write_text("one")
    read = Word.Settings.model_validate(
        {"file": "word", "secret": "x"}, context=Surroundings(directory=tmp_path)
    )
    assert read.file == tmp_path / "word"
    assert read.secret.path is None
    assert read.secret.read_again() == "x"


def test_a_value_that_cannot_be_made_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none cannot be read: No such file"):
        WatchedFiles((tmp_path / "none").read_text, [tmp_path / "none"])


def test_the_value_is_not_in_the_repr(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hush")
    files = WatchedFiles((tmp_path / "word").read_text, [tmp_path / "word", None])
    assert repr(files) == f"<WatchedFiles {tmp_path}/word>"
    assert files.value == "hush"
