"""What ``pingap -t`` says of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from support.command import invoke
from support.plugins import installed


def check(tmp_path: Path, toml: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return the exit code, and what is said, without the folder of the configuration.

    :param tmp_path: its folder; distributions are in ``site`` below it.
    :param toml: a server is added if it has none.
    """
    if "[servers." not in toml:
        toml += '\n[servers.added]\naddr = "127.0.0.1:0"\n'
    path = tmp_path / "p.toml"
    path.write_text(toml)
    with installed(tmp_path / "site"), pytest.MonkeyPatch.context() as patch:
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        code, out, err = invoke("-t", "-c", path)
    assert "Traceback" not in err
    assert out in ("", "The configuration is valid.\n")
    return code, (err + out).replace(f"{tmp_path}/", "")
