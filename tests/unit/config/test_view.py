"""What plugins see of a configuration: the view, and the version of its texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pingap.config import ConfigView, Snapshot, parse, read

TOML = """
[plugins.door]
category = "jwt"
secret = "key-of-the-door"
[certificates.shop]
tls_key = "key-of-the-shop"
[locations.shop]
plugins = ["door"]
rewrite = "key-of-a-claim"
[servers.web]
addr = "127.0.0.1:0"
locations = ["shop"]
"""


def test_a_view_has_the_items_and_cannot_be_changed() -> None:
    view = ConfigView.of(parse(TOML, claims={"locations": {"rewrite": "pingap-rewrite"}}))
    assert view.servers["web"].locations == ("shop",)
    assert view.plugins["door"].options == {"secret": "key-of-the-door"}
    with pytest.raises(TypeError):
        view.servers["web"] = view.servers["web"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        view.basic = view.basic  # type: ignore[misc]


def test_a_view_shows_no_secrets() -> None:
    view = ConfigView.of(parse(TOML, claims={"locations": {"rewrite": "pingap-rewrite"}}))
    assert repr(view) == "<Config servers: web; locations: shop>"
    for section in (view.plugins, view.certificates, view.locations, view.servers):
        assert "key-of" not in repr(section)


def test_a_version_does_not_depend_on_the_directory(tmp_path: Path) -> None:
    versions = []
    for folder, text in (("a", "# one"), ("b", "# one"), ("c", "# two")):
        for name in ("x.toml", "y.toml"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text(text)
        versions.append(read(tmp_path / folder).version)
    assert versions[0] == versions[1] != versions[2]
    (tmp_path / "b" / "y.toml").rename(tmp_path / "b" / "z.toml")
    assert read(tmp_path / "b").version not in versions


def test_a_version_does_not_depend_on_the_order() -> None:
    one, two = ("a.toml", "# one"), ("b.toml", "# two")
    assert Snapshot(files=(one, two)).version == Snapshot(files=(two, one)).version
    assert len(Snapshot().version) == 64
    assert Snapshot(files=(("a", "bc"),)).version != Snapshot(files=(("ab", "c"),)).version


def test_a_configuration_knows_its_texts() -> None:
    assert parse("# text", "x.toml").snapshot == Snapshot.of_text("# text", "x.toml")
