"""Fixtures for what the manual shows."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from docs.blocks import blocks, every_block, pages, shown_file
from docs.named_files import write_named_files
from support.certificates import issue

from pingap.build.registry import installed_registry
from pingap.observability.log_files import LogFile, LogFiles
from pingap.plugins.registry import Registry

EXAMPLES = {
    "maintenance": "pingap_maintenance:Maintenance",
    "footer": "pingap_footer:Footer",
    "door": "pingap_door:Door",
    "visitors": "pingap_door:Visitors",
    "header_limit": "pingap_header_limit:HeaderLimit",
    "basic:beacon_path": "acme_beacon",
    "country": "pingap_operations",
    "context_key:country": "pingap_operations",
    "log:datagram": "pingap_operations",
}
"""Entry points of the examples in the manual -> where they are."""

ELSEWHERE = {
    "pingap_header_limit": ("first-plugin.md", "plugins/header_limit.py"),
    "acme_beacon": ("distributions.md", "acme_beacon.py"),
    "pingap_operations": ("process-hooks.md", "pingap_operations.py"),
}
"""Modules that ``writing-a-plugin.md`` does not show -> the page that does, and as which file."""


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """The modules of the manual, as a folder that can stand on the path."""
    return write_examples(tmp_path / "examples")


def write_examples(folder: Path) -> Path:
    """Write the modules of the manual, as a distribution."""
    info = folder / "pingap_examples-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pingap-examples\nVersion: 1.0\n")
    lines = [f"{category} = {target}" for category, target in EXAMPLES.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pingap]", *lines, ""]))
    for target in EXAMPLES.values():
        module = target.partition(":")[0]
        page, name = ELSEWHERE.get(module, ("writing-a-plugin.md", f"{module}.py"))
        (folder / f"{module}.py").write_text(shown_file(page, name))
    return folder


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of a configuration, with the plugin files and applications that the manual shows."""
    monkeypatch.setattr(
        sys, "path", [*sys.path]
    )  # to which the directory of an application is added
    for block in (block for page in pages() for block in every_block(page)):
        if block.file.startswith("apps/"):
            monkeypatch.delitem(sys.modules, Path(block.file).stem, raising=False)
        if block.file.startswith(("plugins/", "apps/")):
            file = tmp_path / "conf" / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
    write_certificates(tmp_path / "conf" / "tls")
    write_named_files(tmp_path / "conf")
    return tmp_path / "conf"


def write_certificates(folder: Path) -> None:
    """Write the certificates and keys that the manual names."""
    folder.mkdir(parents=True)
    named = {
        name for block in blocks("toml") for name in re.findall(r'tls/(\w+)\.pem"', block.text)
    }
    for name in named:
        ca = name in ("authority", "clients", "internal")
        issue(f"{name}.test", ca=ca).write(folder, name)


@pytest.fixture
def registry(examples: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The installed plugins and those of the manual."""
    return registry_with(examples, monkeypatch)


def registry_with(examples: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return the installed plugins and those of the manual, which can be imported from now on."""
    installed = entry_points(group="pingap")
    shown = [EntryPoint(name, target, "pingap") for name, target in EXAMPLES.items()]
    for target in EXAMPLES.values():
        monkeypatch.delitem(sys.modules, target.partition(":")[0], raising=False)
    monkeypatch.syspath_prepend(str(examples))
    return installed_registry([*installed, *shown])


@pytest.fixture
def no_log_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let configurations name log files that cannot be written here."""
    monkeypatch.setattr(LogFiles, "open", lambda self, target, output=None: LogFile())
