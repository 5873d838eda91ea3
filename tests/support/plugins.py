"""Plugins that a test writes, installed for one proxy process.

A user gives classes or objects to the proxy. These are distributions with entry points, as the core finds them.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pingap.testing import Proxy, Upstream
from support.origin import Script, echo
from support.rig import Rig, unchecked

_CLASS = re.compile(r'^class (\w+)\(.*\):\n(?:    .*\n|\n)*?    category = "([\w]+)"', re.MULTILINE)

PREAMBLE = """
import anyio, logging, os
from pingap import *
log = logging.getLogger("pingap.test")

"""
"""What every module of plugins begins with; ``log`` writes to the proxy's log."""


def write_distribution(
    folder: Path, name: str, source: str, points: Mapping[str, str] | None = None
) -> None:
    """Install a distribution of one module into a folder, as ``pip`` would.

    :param name: of the module; the distribution is called so as well, with ``-`` for ``_``.
    :param points: entry points of the group ``pingap``: name -> object; by default one for each class
        with a category.
    """
    source = PREAMBLE + textwrap.dedent(source)
    if points is None:
        points = {category: f"{name}:{cls}" for cls, category in _CLASS.findall(source)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir()
    distribution = name.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1\n")
    lines = [f"{point} = {target}" for point, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pingap]", *lines, ""]))


def python_path(folder: Path) -> dict[str, str]:
    """Return the environment in which the distributions of a folder are installed."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{before}" if before else str(folder)}


def routes(locations: Mapping[str, str], origin: str, *, server: str = "", more: str = "") -> str:
    """Return TOML of a server ``web`` with a location ``/<name>/`` for each name.

    :param locations: name -> names of its plugins, separated by blanks; further keys may follow on
        lines of their own.
    :param more: further tables.
    """
    tables = []
    for name, setting in locations.items():
        plugins, _, keys = setting.partition("\n")
        tables.append(
            f'[locations.{name}]\npath = "/{name}/"\nupstream = "origin"\n'
            f"plugins = {plugins.split()!r}\n{keys}\n"
        )
    return f"""
{"".join(tables)}
[upstreams.origin]
addrs = ["{origin}"]
health_check = "none"
{more}
[servers.web]
addr = "127.0.0.1:0"
locations = {list(locations)!r}
{server}
"""


@contextmanager
def serving(
    folder: Path,
    source: str,
    locations: Mapping[str, str],
    *,
    server: str = "",
    more: str = "",
    script: Script = echo,
    sound: bool = True,
) -> Iterator[Rig]:
    """Run an origin, and a proxy with plugins in front of it (see ``routes``).

    What the proxy logs is for the test to look at: no error makes it fail.

    :param sound: False if tests show defects that pingap logs as its own.
    """
    write_distribution(folder / "site", "test_plugins", source)
    with Upstream(script) as origin, installed(folder / "site"):
        toml = routes(locations, origin.addr, server=server, more=more)
        with unchecked(Proxy(toml)) as proxy:
            yield Rig(proxy, origin)
            assert not sound or "bug in pingap" not in proxy.log


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Let this process find the distributions of a folder for a while.

    Another folder may have modules of the same names.
    """
    modules = [path.stem for path in folder.glob("*") if path.suffix in ("", ".py")]
    before = {name: sys.modules.pop(name) for name in modules if name in sys.modules}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)
