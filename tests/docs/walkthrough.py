"""Doing what a page says: writing its files, running its commands, comparing their output.

A block whose first line is a comment with a file name is a file. ``sh`` is run in a first terminal,
``sh second-terminal``, ``sh third-terminal`` and ``sh fourth-terminal`` in others, where Ctrl-C ends what
ran there before.
``text`` is what the block before it prints; ``...`` stands for anything.
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

ADDRESSES: Final = {
    "second-terminal": "127.0.0.1:8080",
    "third-terminal": "127.0.0.1:3000",
    "fourth-terminal": "127.0.0.1:3001",
}
"""Where the pages' proxies, and what is behind them, listen; the walk uses ports that are free."""

_WRAPPER: Final = '#!/bin/sh\nexec "{python}" -m {module} "$@"\n'
_PYTHON: Final = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then set -- "$@" --without-pip; fi
exec "{python}" "$@"
"""
"""An environment gets the pip of the tests (``_furnish``): unpacking one took longer than the rest of a walk."""


class Walkthrough:
    """A reader at some terminals.

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
        self._used = {shown: f"127.0.0.1:{_free_port()}" for shown in ADDRESSES.values()}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._printed = ""
        self._prepare()

    def _prepare(self) -> None:
        self._directory.mkdir()
        self._tools.mkdir()
        _script(self._tools / "python3", _PYTHON.format(python=_base_python()))
        (self._tools / ".curlrc").write_text("silent\n")
        self._state.write_text(f"cd {self._directory}\n")
        clean = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
        self._environment = {
            **clean,
            "PATH": f"{self._tools}:{os.environ['PATH']}",
            "HOME": str(self._tools),
            "PINGAP_STATE_DIR": str(self._tools / "pingap"),
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
            elif block.language == "sh" and (terminal := block.info[3:]) in ADDRESSES:
                self._serve(block, terminal)
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
        file.write_text(self._with_free_ports(block.text))

    def _run(self, block: Block) -> None:
        commands = self._with_free_ports(block.text)
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
        runs = {
            **dict.fromkeys(("pip", "pingap", "pytest"), theirs),
            **dict.fromkeys(("mypy", "ruff"), sys.executable),
        }
        for module, python in runs.items():
            _script(environment / "bin" / module, _WRAPPER.format(python=python, module=module))

    def _with_free_ports(self, text: str) -> str:
        for shown, used in self._used.items():
            text = text.replace(shown, used)
            text = text.replace(_as_python(shown), _as_python(used))
        return text

    def _as_shown(self, text: str) -> str:
        for shown, used in self._used.items():
            text = text.replace(used, shown)
        return text

    def _serve(self, block: Block, terminal: str) -> None:
        self._interrupt(terminal)
        output = self._tools / terminal
        commands = self._with_free_ports(block.text)
        with output.open("wb") as file:
            server = self._servers[terminal] = subprocess.Popen(
                ["bash", "-e", "-c", f". {self._state}\n{commands}"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal of its own, so that Ctrl-C reaches no other
            )
        limit = time.monotonic() + 30
        address = self._used[ADDRESSES[terminal]]
        while address not in (printed := output.read_text()):  # as the reader, who looks
            assert server.poll() is None, f"{block}:\n{printed}"
            assert time.monotonic() < limit, f"{block}: nothing is served\n{printed}"
            time.sleep(0.02)
        self._printed = printed

    def _interrupt(self, terminal: str) -> None:
        """Press Ctrl-C in a terminal."""
        if (server := self._servers.pop(terminal, None)) is None:
            return
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGINT)
        server.wait(30)

    def _compare(self, block: Block) -> None:
        printed, expected = (
            re.sub(" +", " ", self._as_shown(text).strip())  # columns may be wider
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
        for terminal in ADDRESSES:
            self._interrupt(terminal)


def _as_python(address: str) -> str:
    """Return an address as programs write it that are given host and port."""
    host, _, port = address.partition(":")
    return f'"{host}", {port}'


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
