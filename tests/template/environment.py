"""An environment with nothing but wheels: of the core, and of the plugins made from the template."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from template.variants import INSTALLED

from pingap.cli.scaffold.choices import distribution

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


class Environment:
    """A virtual environment and the plugins in it, made with the core that is installed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "env" / "bin"

    def plugin(self, name: str) -> Path:
        """Return the folder of a plugin."""
        return self.folder / distribution(name)

    def run(self, command: str, *arguments: object, cwd: Path) -> str:
        """Run a program of the environment, which must succeed; return what it said."""
        return _run(self.bin / command, *arguments, cwd=cwd)

    def make(self) -> None:
        """Build and install everything."""
        _run(sys.executable, "-m", "venv", "--without-pip", self.folder / "env", cwd=self.folder)
        (core,) = self._wheels(ROOT)
        self._install(f"{core}[testing]")
        for name, arguments in INSTALLED.items():
            self.run("pingap", "new-plugin", name, *arguments, cwd=self.folder)
        group = f"{self.plugin('greet')}/pyproject.toml:dev"
        plugins = self._wheels(*map(self.plugin, INSTALLED))
        self._install("--no-compile", *plugins, "--group", group)

    def _wheels(self, *projects: Path) -> list[Path]:
        before = set(self.folder.glob("wheels/*.whl"))
        # hatchling is in the group dev: one less thing to fetch for each project.
        build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels")
        _run(*PIP, *build, *projects, cwd=self.folder)
        return sorted(set(self.folder.glob("wheels/*.whl")) - before)

    def _install(self, *what: object) -> None:
        python = ("--python", self.bin / "python")
        _run(*PIP, *python, "install", "--quiet", *what, cwd=self.folder)


def shared_environment(folder: Path) -> Environment:
    """Return the environment, made by the first process that asks."""
    environment = Environment(folder / "template")
    with (folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := folder / "template.done").exists():
            environment.folder.mkdir()
            environment.make()
            done.touch()
    return environment


def _run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        timeout=240,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout
