"""The distributions of the page about them, installed, in a real proxy."""

from __future__ import annotations

from pathlib import Path

import tomli
from docs.blocks import shown_file
from support.command import run
from support.plugins import python_path
from support.process import Process

PAGE = "distributions.md"


def install(folder: Path, pyproject: str, module: str) -> None:
    """Install a distribution of the page, as ``pip`` would."""
    project = tomli.loads(shown_file(PAGE, pyproject))["project"]
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(shown_file(PAGE, f"{module}.py"))
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata)
    points = [f"{name} = {target}" for name, target in project["entry-points"]["pingap"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[pingap]", *points, ""]))


def test_the_beacon_does_what_the_page_says(tmp_path: Path) -> None:
    install(tmp_path / "site", "pyproject.toml", "acme_beacon")
    install(tmp_path / "site", "uptime/pyproject.toml", "acme_uptime")
    env = python_path(tmp_path / "site")
    code, out, _ = run("beacon", "hello", **env)
    assert code == 0
    toml = out + shown_file(PAGE, "beacon.toml").partition("\n\n")[2]
    toml += '[locations.a]\nplugins = ["acme:beacon"]\n'
    toml = toml.replace("6188", "0")
    module = tmp_path / "site" / "acme_beacon.py"
    module.write_text(module.read_text().replace("9180", "0"))
    with Process(toml, tmp_path / "proxy", env=env) as proxy:
        for server in ("web", "acme-beacon:port"):
            with proxy.connect(server) as client:
                assert client.get("/beacon").body == b"hello\n\nup since this morning"
                assert client.get("/other").status == 404
