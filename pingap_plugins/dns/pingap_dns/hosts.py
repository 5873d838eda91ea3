"""The hosts file: names that are known without a name server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

HOSTS: Final = Path("/etc/hosts")
MOST_BYTES: Final = 1 << 20
"""Maximum number of bytes that are read."""

_LOCAL: Final = ("127.0.0.1", "::1")


def read_hosts(path: Path = HOSTS) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each name in a hosts file; empty if it cannot be read."""
    try:
        found = path.stat()
        return _read(path, (found.st_mtime_ns, found.st_size, found.st_ino))
    except OSError:
        return {}


@lru_cache(maxsize=4)
def _read(path: Path, version: tuple[int, ...]) -> dict[str, tuple[str, ...]]:
    """Read a version of the file only once, because it may be long."""
    with path.open("rb") as file:
        text = file.read(MOST_BYTES).decode(errors="replace")
    return parse_hosts(text.splitlines())


def parse_hosts(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each name in the lines of a hosts file; malformed lines are ignored."""
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        try:
            ip = str(ip_address(address))
        except ValueError:
            continue
        for name in names:
            found.setdefault(name.lower().removesuffix("."), {})[ip] = None
    return {name: tuple(addresses) for name, addresses in found.items()}


def look_up(hosts: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    """Return the addresses of a name in the hosts file, or of a local name (RFC 6761, 6.3)."""
    name = name.lower().removesuffix(".")
    if name in hosts:
        return hosts[name]
    return _LOCAL if name == "localhost" or name.endswith(".localhost") else ()
