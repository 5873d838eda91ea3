"""The entry script of the container runs by itself; the Containerfile names what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from docs.blocks import ROOT

CONTAINER = ROOT / "contrib" / "container"
ENTRYPOINT = CONTAINER / "entrypoint.sh"
CONTAINERFILE = (CONTAINER / "Containerfile").read_text()

FAKE = """#!{python}
import json, os, sys
print(json.dumps([os.path.basename(sys.argv[0]), os.getpid(), sys.argv[1:]]))
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with programs that tell their name, process id and arguments."""
    for name in ("pingap", "other"):
        program = tmp_path / name
        program.write_text(FAKE.format(python=sys.executable))
        program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "program", "passed"),
    [
        ([], "pingap", []),
        (["-t"], "pingap", ["-t"]),
        (["-c", "/a b/*", ""], "pingap", ["-c", "/a b/*", ""]),
        (["--upstream=a,b"], "pingap", ["--upstream=a,b"]),
        (["pingap", "plugins"], "pingap", ["plugins"]),
        (["other", "-x", "$HOME", "a\nb"], "other", ["-x", "$HOME", "a\nb"]),
    ],
)
def test_the_entry_script_becomes_what_is_asked_for(
    programs: Path, arguments: list[str], program: str, passed: list[str]
) -> None:
    process = subprocess.Popen(
        [ENTRYPOINT, *arguments],
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate(timeout=20)
    # The same process id: it is process 1 of the container, and signals reach it.
    assert json.loads(out) == [program, process.pid, passed]


def test_the_entry_script_serves_what_the_environment_says(tmp_path: Path) -> None:
    conf = tmp_path / "conf.toml"
    conf.write_text('[servers.web]\naddr = "127.0.0.1:0"\n')
    folder = Path(sys.executable).parent
    process = subprocess.Popen(
        [ENTRYPOINT],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "PINGAP_CONF": str(conf)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        seen = ""
        for line in process.stderr:
            seen += line
            if "127.0.0.1:" in line:
                break
        assert "is serving" in seen
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(20) == 0


def test_what_the_image_copies_is_there_and_is_enough_to_build_from() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    sources = [ROOT / source for line in copied for source in line.split()]
    assert ROOT / "pyproject.toml" in sources
    assert [source for source in sources if not source.exists()] == []
    project = (ROOT / "pyproject.toml").read_text()
    for wanted in re.findall(r'^readme = "(.+)"|^"(\S+)" = "pingap/', project, re.MULTILINE):
        assert ROOT / (wanted[0] or wanted[1]) in sources


def test_the_image_does_not_run_as_root_and_starts_the_script_itself() -> None:
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", CONTAINERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]' in CONTAINERFILE  # no shell around it
    assert ENTRYPOINT.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_entry_script_has_no_traps_of_the_shell() -> None:
    done = subprocess.run(["shellcheck", ENTRYPOINT], capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    assert done.returncode == 0
