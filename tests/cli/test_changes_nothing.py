"""``-t``, ``lint``, ``explain`` and ``schema`` look at a configuration and change nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.command import invoke

from pingap.cli.main import TEMPLATE

ROOT = Path(__file__).parents[2]
LOGS = """
[basic]
error_log = "logs/error.log"
pid_file = "run/pingap.pid"
upgrade_sock = "run/up.sock"
[plugins.hello]
category = "mock"
[locations.all]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:0, unix:{folder}/web.sock"
locations = ["all"]
access_log = "{target} combined"
"""
COMMANDS = (
    ("-t",),
    ("lint",),
    ("explain", "GET", "/", "--server", "web"),
    ("schema",),
)


def state(folder: Path) -> list[tuple[str, int, int, int]]:
    found = ((one, one.lstat()) for one in sorted(folder.rglob("*")))
    return [(str(one), info.st_mode, info.st_size, info.st_mtime_ns) for one, info in found]


def run_all(folder: Path, *more: str) -> None:
    for command in COMMANDS:
        conf = () if command == ("schema",) else ("-c", folder / "p.toml")
        code, _, err = invoke(*command, *conf, *(more if command == ("-t",) else ()), cwd=folder)
        assert code in (0, 1), err
        assert "Traceback" not in err


@pytest.mark.parametrize("target", ["logs/deep/web.log", "fifo", "link", "/dev/stdout"])
def test_log_files_are_not_made(tmp_path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    (tmp_path / "p.toml").write_text(LOGS.format(folder=tmp_path, target=target))
    devices = [Path(path).lstat() for path in ("/dev/stdout", "/dev/stderr")]
    before = state(tmp_path)
    run_all(tmp_path, "--log", f"{tmp_path}/new/app.log")
    assert state(tmp_path) == before
    now = [Path(path).lstat() for path in ("/dev/stdout", "/dev/stderr")]
    assert [one.st_ino for one in now] == [one.st_ino for one in devices]


@pytest.mark.parametrize("example", ["conf.d", "template"])
def test_examples(tmp_path: Path, example: str) -> None:
    conf = tmp_path / "p.toml"
    if example == "template":
        conf.write_text(TEMPLATE)
    else:
        shutil.copytree(ROOT / example, conf)
    before = state(tmp_path)
    for command in (("-t",), ("lint",)):
        code, _, err = invoke(*command, "-c", conf, cwd=tmp_path)
        assert code in (0, 1), err
    assert state(tmp_path) == before


def test_a_log_that_could_not_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = LOGS.format(folder=tmp_path, target=f"{tmp_path}/file/web.log")
    (tmp_path / "p.toml").write_text(text)
    code, _, err = invoke("-t", "-c", tmp_path / "p.toml")
    assert code == 2
    assert "servers.web.access_log: cannot open" in err
    assert "is not a directory" in err
    assert "Errno" not in err


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("x" * 300, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
        ("app.toml/x.log", "is not a directory"),
    ],
)
def test_a_log_that_cannot_exist_is_a_problem_without_errno(
    tmp_path: Path, target: str, reason: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "app.toml").write_text(LOGS.format(folder=tmp_path, target=target))
    code, _, err = invoke("-c", "app.toml", "-t", "--log", target, cwd=tmp_path)
    assert code == 2
    first, second, _ = err.split("\n", 2)
    assert first.startswith("--log: cannot open ")
    assert "app.toml:13: servers.web.access_log: cannot open " in second
    assert reason in first
    assert reason in second
    assert "Errno" not in err


def test_the_home_of_nobody_is_a_folder_of_this_name(tmp_path: Path) -> None:
    text = LOGS.replace('"logs/', '"~nobody-has-this-name/').replace(
        '"run/', '"~nobody-has-this-name/'
    )
    target = "~nobody-has-this-name/web.log"
    (tmp_path / "p.toml").write_text(text.format(folder=tmp_path, target=target))
    code, out, err = invoke("-c", "p.toml", "-t", "--log", target, cwd=tmp_path)
    assert (code, out, err) == (0, "The configuration is valid.\n", "")
    code, _, err = invoke("--upstream", "127.0.0.1:1", "--cert", target, "-t", cwd=tmp_path)
    assert code == 2
    assert "--cert: there is no file" in err
