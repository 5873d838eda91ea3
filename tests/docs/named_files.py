"""Files that settings of the manual name."""

from __future__ import annotations

from pathlib import Path

from docs.blocks import blocks
from mmdb_writer import MMDBWriter
from netaddr import IPSet

_RECORD = {
    "country": {"iso_code": "DE"},
    "continent": {"code": "EU"},
    "autonomous_system_number": 64496,
}


_TEXTS = {
    "users.htpasswd": f"alice:$2b$04${'a' * 21}u{'b' * 31}\n",
    "release.key": "0123456789abcdef" * 4 + "\n",
    "api.keys": "alice:4c6f4a2b9d1e\nbob:8e0d7c5b3a19\n",
}


def write_named_files(directory: Path) -> None:
    """Write the lists that the manual shows, and what stands for users, pages and databases."""
    for name, text in _TEXTS.items():
        _write(directory / name, text.encode())
    for block in blocks("text"):
        if block.file:
            _write(directory / block.file, block.text.encode())
    _write(directory / "pages/not_here.html", b"<h1>Not here</h1>")
    for name in ("404.html", "down.html", "down.json", "closed.html"):
        _write(directory / "pages" / name, b"{{content}}")
    for name in ("www/index.html", "www/404.html", "current/index.html", "downloads/a.iso"):
        _write(directory / name, b"a file of the site")
    for name in ("country", "asn"):
        writer = MMDBWriter(6, ipv4_compatible=True, database_type="Test")
        writer.insert_network(IPSet(["192.0.2.0/24"]), _RECORD)
        file = directory / f"geo/{name}.mmdb"
        file.parent.mkdir(parents=True, exist_ok=True)
        writer.to_db_file(str(file))


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
