"""Versions in a real etcd: what is kept once, for how long, and the commands."""

from __future__ import annotations

import json
from functools import partial

import anyio
import pytest
from etcd_server import Etcd, needs_etcd
from pingap_etcd import history
from pingap_etcd.location import parse_location
from pingap_etcd.storage import EtcdStorage
from support.command import invoke

from pingap import ConfigNote, ConfigSnapshot, ConfigVersion, StorageError

pytestmark = needs_etcd

TEXTS = {
    "servers/web": '[servers.web]\naddr = "127.0.0.1:8080"\nlocations = ["a"]\n',
    "locations/a": '[locations.a]\nplugins = ["p"]\n',
    "plugins/p": '[plugins.p]\ncategory = "mock"\nstatus = 200\n',
}


class Site:
    """A configuration in etcd with a history."""

    def __init__(self, etcd: Etcd, prefix: str) -> None:
        self.etcd, self.prefix = etcd, prefix
        self.location = f"etcd://{etcd.hosts}{prefix}?enable_history"
        for name, text in TEXTS.items():
            etcd.put(f"{prefix}/{name}.toml", text)

    @property
    def storage(self) -> EtcdStorage:
        return EtcdStorage(parse_location(self.location))

    @property
    def history(self) -> history.EtcdHistory:
        found = self.storage.history
        assert found is not None
        return found

    def read(self) -> ConfigSnapshot:
        return anyio.run(self.storage.read)

    def write(self, documents: dict[str, str | None]) -> None:
        anyio.run(partial(self.storage.write, documents, expected=self.read().version))

    def record(self, reason: str = "") -> str:
        """Record what is there now, as an instance does that serves it; return the newest version."""
        anyio.run(self.history.record, self.read(), ConfigNote("ann", reason))
        return self.versions()[-1].name

    def versions(self) -> list[ConfigVersion]:
        return anyio.run(self.history.versions)

    def kept_keys(self) -> list[str]:
        """Return the keys of texts that are kept."""
        inside = f"{self.prefix}-history/"
        return [one.removeprefix(inside) for one in self.etcd.get(inside)]


@pytest.fixture
def site(etcd: Etcd, prefix: str) -> Site:
    return Site(etcd, prefix)


def test_versions_are_recorded_and_read(site: Site) -> None:
    name = site.record("started")
    assert site.record("again") == name
    (version,) = site.versions()
    assert (version.note, version.version) == (ConfigNote("ann", "started"), site.read().version)
    old = site.read()
    site.etcd.put(f"{site.prefix}/locations/a.toml", "# by hand\n")
    assert site.record() != name
    assert anyio.run(site.history.snapshot, name).files == old.files
    assert len(site.kept_keys()) == 4  # a text that did not change is kept once
    with pytest.raises(StorageError, match=r"there is no version '\.\./x'"):
        anyio.run(site.history.snapshot, "../x")


def test_what_a_version_has_is_not_kept_again_by_a_write(site: Site) -> None:
    site.record()
    kept = site.kept_keys()
    site.write({"locations/a.toml": "# 1\n"})
    assert site.kept_keys() == kept
    site.write({"locations/a.toml": "# 2\n"})  # the first text was in no version
    assert len(site.kept_keys()) == len(kept) + 1
    site.write({"locations/a.toml": TEXTS["locations/a"]})
    assert len(site.versions()) == 1
    site.record()
    assert len(site.versions()) == 1  # the same texts as before


def test_what_was_replaced_meanwhile_is_not_recorded(site: Site) -> None:
    old = site.read()
    site.etcd.put(f"{site.prefix}/locations/a.toml", "# other\n")
    anyio.run(site.history.record, old, ConfigNote())
    assert site.versions() == []


def test_the_oldest_are_forgotten(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_VERSIONS", 2)
    monkeypatch.setattr(history, "MOST_OTHER_TEXTS", 1)
    for number in range(4):
        site.write({"locations/a.toml": f"# {number}\n"})
        site.record()
    assert len(site.versions()) == 2
    assert len([one for one in site.kept_keys() if one.startswith("locations/")]) == 3
    monkeypatch.setattr(history, "MOST_BYTES", 100)
    site.write({"locations/a.toml": "# last\n"})
    site.record()
    assert len(site.versions()) == 1
    assert anyio.run(site.history.snapshot, site.versions()[0].name) == site.read()


def test_two_instances_record_one_version(site: Site) -> None:
    snapshot = site.read()

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(site.history.record, snapshot, ConfigNote())

    anyio.run(both)
    assert len(site.versions()) == 1
    assert len(site.kept_keys()) == 3


def test_many_documents_are_recorded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_OPERATIONS", 2)
    name = site.record()
    assert anyio.run(site.history.snapshot, name).files == site.read().files


def test_a_version_without_one_of_its_texts_is_damaged(site: Site) -> None:
    name = site.record()
    site.etcd.ctl("del", "--prefix", f"{site.prefix}-history/locations/")
    with pytest.raises(StorageError, match="is damaged"):
        anyio.run(site.history.snapshot, name)


def test_items_are_written_to_their_own_keys(site: Site) -> None:
    table = {"path": "/b", "plugins": ["p"]}
    items = {("locations", "b"): table, ("plugins", "p"): None}
    anyio.run(partial(site.storage.write_items, items, expected=site.read().version))
    found = site.etcd.get(f"{site.prefix}/")
    assert "[locations.b]" in found[f"{site.prefix}/locations/b.toml"]
    assert f"{site.prefix}/plugins/p.toml" not in found


def test_the_commands(site: Site) -> None:
    first = site.record("started")
    site.write(
        {"locations/a.toml": None, "plugins/q.toml": TEXTS["plugins/p"].replace(".p]", ".q]")}
    )
    site.write({"servers/web.toml": TEXTS["servers/web"].replace('"a"', "")})
    second = site.record()
    code, out, err = invoke("history", "list", "-c", site.location)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["version", second, first]
    assert TEXTS["locations/a"] in invoke("history", "show", first, "-c", site.location)[1]
    code, out, _ = invoke("history", "diff", first, second, "-c", site.location)
    assert (code, "location:a" in out) == (1, True)
    code, out, _ = invoke("diff", first, second, "-c", site.location, "--json")
    assert code == 1
    assert json.loads(out)["changed"][0]["differences"][0]["before"] == "a"
    code, out, err = invoke("history", "restore", first, "-c", site.location)
    assert (code, err) == (0, "")
    assert {name.removeprefix(f"{site.prefix}/"): text for name, text in site.read().files} == {
        f"{name}.toml": text for name, text in TEXTS.items()
    }
    assert site.versions()[-1].note.reason == f"restored {first}"
    assert len(site.versions()) == 3
    code, _, err = invoke("history", "list", "-c", site.location.partition("?")[0])
    assert (code, "-c PATH?enable_history" in err) == (2, True)
