"""What ``pingap -t`` says of a configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.plugins import python_path


def check(tmp_path: Path, toml: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Return the exit code, and what is said, without the folder of the configuration.

    :param tmp_path: its folder; distributions are in ``site`` below it.
    :param toml: a server is added if it has none.
    """
    if "[servers." not in toml:
        toml += '\n[servers.added]\naddr = "127.0.0.1:0"\n'
    path = tmp_path / "p.toml"
    path.write_text(toml)
    done = subprocess.run(
        [sys.executable, "-m", "pingap", "-t", "-c", str(path)],
        env={**os.environ, **python_path(tmp_path / "site"), **(env or {})},
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout in ("", "The configuration is valid.\n")
    return done.returncode, (done.stderr + done.stdout).replace(f"{tmp_path}/", "")
