"""Every configuration in the manual loads, and builds, without problems and warnings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomli
from docs.blocks import DOCS, Block, blocks
from docs.conftest import write_certificates

from pingap.build.graph import build
from pingap.config import SECTIONS, BasicConfig, ConfigError, load, parse
from pingap.plugins.registry import Registry

NO_PINGAP = ("pyproject.toml",)
"""Files that are TOML and no configuration of pingap."""

UNUSED = {"servers.tls_ciphersuites"}
"""Keys that the example does not show: most Pythons cannot do it."""

_FILLED_IN = {
    "servers": 'addr = "127.0.0.1:0"',
    "locations": "",
    "upstreams": 'addrs = ["127.0.0.1:9"]',
    "plugins": 'category = "request_id"',
    "storages": 'category = "config"\nvalue = ""',
    "certificates": 'tls_cert = "tls/shop.pem"\ntls_key = "tls/shop.key"',
}
"""What a fragment refers to -> a table that will do."""

ENVIRONMENT = {"ADMIN_AUTHORIZATION": "YWxpY2U6c2VzYW1l", "SHOP_BACKEND": "127.0.0.1:3000"}
"""Environment variables that need a certain form; all others get some text."""

CONFIGURATIONS = [block for block in blocks("toml") if Path(block.file).name not in NO_PINGAP]


def filled_in(text: str) -> str:
    """Return a fragment with the tables it refers to."""
    data = tomli.loads(text)
    wanted = {(section, name) for section, name in _references(data) if name}
    missing = {(s, n) for s, n in wanted if n not in data.get(s, {}) and n[0] != "$"}
    tables = [
        f'[{section}."{name}"]\n{_FILLED_IN[section]}\n'
        for section, name in sorted(missing)
        if not name.startswith("pingap:")
    ]
    return "\n".join([text, *tables])


def _references(data: dict[str, dict[str, dict[str, object]]]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for section in ("servers", "locations", "upstreams"):
        for item in data.get(section, {}).values():
            found += [("storages", name) for name in item.get("includes", ())]
            found += [("locations", name) for name in item.get("locations", ())]
            found += [("servers", name) for name in item.get("servers", ())]
            found += [("plugins", name) for name in item.get("plugins", ())]
            found.append(("upstreams", item.get("upstream", "")))
            if item.get("global_certificates") and "certificates" not in data:
                found.append(("certificates", "any"))
    return found


@pytest.mark.usefixtures("no_log_files")
@pytest.mark.parametrize("block", CONFIGURATIONS, ids=str)
def test_a_block_is_a_configuration(
    block: Block, registry: Registry, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = filled_in(block.text) if block.is_fragment else block.text
    monkeypatch.chdir(directory)
    for name in re.findall(r"\$(?:ENV:|\{(?=[A-Z]\w*\}))(\w+)", text):
        monkeypatch.setenv(name, ENVIRONMENT.get(name, f"a secret long enough for a key of {name}"))
    config = parse(text, str(block), claims=registry.claims, directory=directory)
    runtime = build(config, registry)
    warnings = [*config.warnings, *runtime.warnings]
    expected = ["has no certificate yet"]
    if block.is_fragment:  # what makes a location answer need not be part of it
        expected.append("answers every request with 503")
    warnings = [one for one in warnings if not any(text in one.message for text in expected)]
    assert warnings == []


def test_there_are_blocks() -> None:
    assert len(CONFIGURATIONS) > 10


@pytest.mark.usefixtures("no_log_files")
def test_the_example_directory_uses_every_supported_key(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STICKY_SECRET", "a secret that is long enough for a key")
    for block in blocks("toml", DOCS / "configuration.md"):
        if block.file.startswith("conf/"):
            file = tmp_path / block.file
            file.parent.mkdir(exist_ok=True, parents=True)
            file.write_text(block.text)
    write_certificates(tmp_path / "conf" / "tls")
    config = load(tmp_path / "conf", claims=registry.claims)
    runtime = build(config, registry)
    warnings = [*config.warnings, *runtime.warnings]
    if block.is_fragment:  # what makes a location answer need not be part of it
        warnings = [one for one in warnings if "answers every request with 503" not in one.message]
    assert warnings == []
    used = {f"basic.{key}" for key in config.basic.model_fields_set}
    for section in SECTIONS:
        for item in getattr(config, section).values():
            used |= {f"{section}.{key}" for key in item.model_fields_set}
    assert supported_keys() - used - UNUSED == set()


def supported_keys() -> set[str]:
    """Return every key that does something in this version."""
    found = set()
    for section, model in {"basic": BasicConfig, **SECTIONS}.items():
        for key, field in model.model_fields.items():
            marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            if "not_yet" not in marks and "no_effect" not in marks and key != "claimed":
                found.add(f"{section}.{key}")
    return found


def test_the_mistake_in_the_quick_start_is_told_as_shown(registry: Registry) -> None:
    page = DOCS / "quick-start.md"
    (good,) = (block.text for block in blocks("toml", page) if block.file)
    (shown,) = (block.text for block in blocks("text", page))
    with pytest.raises(ConfigError) as caught:
        parse(good.replace("plugins = ", "plugin = "), "pingap.toml")
    assert str(caught.value) == shown.strip()


def test_the_mistakes_in_the_configuration_page_are_told_as_shown(tmp_path: Path) -> None:
    shown = blocks("text", DOCS / "configuration.md")[0].text
    conf_d = DOCS.parent / "conf.d"
    copy = tmp_path / "conf.d"
    copy.mkdir()
    for file in conf_d.glob("*.toml"):
        text = file.read_text().replace(
            '"pingap:requestId", "servedBy"', '"pingap:ping", "servdBy"'
        )
        text = text.replace('connection_timeout = "2s"', "connection_timeout = 2")
        (copy / file.name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(copy)
    assert str(caught.value).replace(f"{tmp_path}/", "") == shown.strip()
