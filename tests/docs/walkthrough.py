"""Doing what a page says: writing its files, running its commands, comparing their output.

A block whose first line is a comment with a file name is a file. ``sh`` is run in a first terminal,
``sh second-terminal`` in another one, where Ctrl-C ends what ran there before. ``text`` is what the
block before it prints; ``...`` stands for anything.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from docs.blocks import Block, every_block

ADDRESS: Final = "127.0.0.1:8080"
"""Where the pages' proxies listen; the walk uses a port that is free."""

_WRAPPER: Final = '#!/bin/sh\nexec "{python}" -m {module} "$@"\n'


class Walkthrough:
    """A reader at two terminals.

    Installing from a registry is what the page does not test: an environment that it makes sees
    what is installed for the tests, and pip may download nothing.

    :param page: the page.
    :param directory: where the reader begins; empty.
    """

    def __init__(self, page: Path, directory: Path) -> None:
        self._blocks = every_block(page)
        self._directory = directory / "reader"
        self._tools = directory / "tools"
        self._state = self._tools / "state"
        self._address = f"127.0.0.1:{_free_port()}"
        self._server: subprocess.Popen[bytes] | None = None
        self._printed = ""
        self._prepare()

    def _prepare(self) -> None:
        self._directory.mkdir()
        self._tools.mkdir()
        _script(self._tools / "python3", f'#!/bin/sh\nexec "{_base_python()}" "$@"\n')
        (self._tools / ".curlrc").write_text("silent\n")
        self._state.write_text(f"cd {self._directory}\n")
        clean = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
        self._environment = {
            **clean,
            "PATH": f"{self._tools}:{os.environ['PATH']}",
            "CURL_HOME": str(self._tools),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # which is how pip wants this one: it is a negation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def walk(self) -> int:
        """Do all that the page says; return how many outputs were compared.

        :raises AssertionError: something is not as the page says.
        """
        compared = 0
        for block in self._blocks:
            if block.file:
                self._write(block)
            elif block.info == "sh":
                self._run(block)
            elif block.info == "sh second-terminal":
                self._serve(block)
            elif block.info == "text":
                compared += 1
                self._compare(block)
            else:
                raise AssertionError(f"{block}: neither a file, nor commands, nor an output")
        return compared

    @property
    def _here(self) -> Path:
        """The directory in which the first terminal stands."""
        return Path(self._state.read_text().rpartition("cd ")[2].strip())

    def _write(self, block: Block) -> None:
        file = self._here / block.file
        assert file.parent.is_dir(), f"{block}: there is no directory {block.file} belongs in"
        file.write_text(block.text.replace(ADDRESS, self._address))

    def _run(self, block: Block) -> None:
        commands = block.text.replace(ADDRESS, self._address)
        script = f'. {self._state}\n{commands}\n(export -p; echo "cd $PWD") > {self._state}'
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        self._printed = done.stdout
        assert done.returncode == 0, f"{block}: exit code {done.returncode}\n{self._printed}"
        environment = self._here / ".venv"
        if environment.exists() and not (environment / "bin" / "pingap").exists():
            self._furnish(environment)

    def _furnish(self, environment: Path) -> None:
        """Let an environment see what is installed here, as if it had been downloaded."""
        packages = next(environment.glob("lib/python*/site-packages"))
        ours = sysconfig.get_path("purelib")
        (packages / "installed.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        theirs = environment / "bin" / "python"
        # Checkers look for packages without running Python, so they need the environment of ours.
        runs = {"pingap": theirs, "pytest": theirs, "mypy": sys.executable, "ruff": sys.executable}
        for module, python in runs.items():
            _script(environment / "bin" / module, _WRAPPER.format(python=python, module=module))

    def _serve(self, block: Block) -> None:
        self._interrupt()
        output = self._tools / "second-terminal"
        commands = block.text.replace(ADDRESS, self._address)
        with output.open("wb") as file:
            self._server = subprocess.Popen(
                ["bash", "-e", "-c", f". {self._state}\n{commands}"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal of its own, so that Ctrl-C reaches no other
            )
        limit = time.monotonic() + 30
        while self._address not in (printed := output.read_text()):  # as the reader, who looks
            assert self._server.poll() is None, f"{block}:\n{printed}"
            assert time.monotonic() < limit, f"{block}: nothing is served\n{printed}"
            time.sleep(0.02)
        self._printed = printed

    def _interrupt(self) -> None:
        """Press Ctrl-C in the second terminal."""
        if self._server is None:
            return
        if self._server.poll() is None:
            os.killpg(self._server.pid, signal.SIGINT)
        self._server.wait(30)
        self._server = None

    def _compare(self, block: Block) -> None:
        printed, expected = (
            re.sub(" +", " ", text.replace(self._address, ADDRESS).strip())  # columns may be wider
            for text in (self._printed, block.text)
        )
        pattern = ".*".join(re.escape(part) for part in expected.split("..."))
        found = re.fullmatch(pattern, printed, re.DOTALL)
        assert found, f"{block}: printed was\n{printed}\nand not\n{expected}"

    def __enter__(self) -> Walkthrough:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._interrupt()


def _base_python() -> str:
    """Return the interpreter that environments are made with."""
    base: str = getattr(sys, "_base_executable", sys.executable)
    return base


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
