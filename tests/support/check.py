"""What ``pingap -t`` says of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.command import invoke


def check(tmp_path: Path, toml: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return the exit code, and what is said, without the folder of the configuration.

    :param tmp_path: its folder; distributions are in ``site`` below it.
    :param toml: a server is added if it has none.
    """
    if "[servers." not in toml:
        toml += '\n[servers.added]\naddr = "127.0.0.1:0"\n'
    path = tmp_path / "p.toml"
    path.write_text(toml)
    code, out, err = invoke("-t", "-c", path, PYTHONPATH=str(tmp_path / "site"), **(env or {}))
    assert "Traceback" not in err
    assert out in ("", "The configuration is valid.\n")
    return code, (err + out).replace(f"{tmp_path}/", "")
