"""All forms of ``directory``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pingap_cache.stores.budget import FALLBACK, MOST, memory_budget
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.location import DiskLocation, MemoryLocation, parse_location
from pingap_cache.stores.memory import MemoryStore
from pingap_cache.stores.tiered import TieredStore


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("", MemoryLocation()),
        ("memory://", MemoryLocation()),
        ("memory:///?max_size=50", MemoryLocation(percent=50.0)),
        ("memory://?max_size=200mb&mode=Compact", MemoryLocation(200_000_000, compact=True)),
        ("memory://?mode=normal", MemoryLocation()),
        ("/nowhere/cache", DiskLocation(Path("/nowhere/cache"))),
        ("/nowhere//x/../cache/", DiskLocation(Path("/nowhere/cache"))),
        ("/nowhere/a%20b", DiskLocation(Path("/nowhere/a b"))),
        (
            "/nowhere?max_size=1GiB&inactive=2h&reading_max=0&writing_max=5&levels=1:2",
            DiskLocation(Path("/nowhere"), 2**30, 7200.0, 0, 5, levels=(1, 2)),
        ),
        (
            "/nowhere?cache_max=100&cache_file_max_weight=16&levels=3",
            DiskLocation(Path("/nowhere"), cache_max=100, cache_file_max_weight=16, levels=(3,)),
        ),
    ],
)
def test_forms(text: str, location: object) -> None:
    assert parse_location(text) == location


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_location("~/cache?inactive=1h") == DiskLocation(tmp_path / "cache", None, 3600.0)


def test_one_folder_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert parse_location(f"{tmp_path}/link/x") == parse_location(f"{tmp_path}/x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cache", 'found "cache", expected "memory://", or an absolute path'),
        ("file:///x", "expected"),
        ("memory://x", "expected"),
        ("/x/$HOME", 'without "$"'),
        ("memory://?maxsize=3", 'memory has no parameter "maxsize"; did you mean "max_size"?'),
        ("memory://?inactive=3h", 'memory has no parameter "inactive"; known: max_size, mode'),
        ("/x?mode=Normal", 'a directory has no parameter "mode"; known: max_size, '),
        ("memory://?max_size=101", "expected a percentage of 1 to 100"),
        ("memory://?max_size=0", "expected a percentage of 1 to 100"),
        ("memory://?max_size=10kb", "expected at least 1MiB"),
        ("memory://?max_size=5zz", 'unknown unit "zz"'),
        ("memory://?mode=large", 'found "large", expected "Normal" or "Compact"'),
        ("/x?max_size=1GiB&max_size=2GiB", 'the parameter "max_size" is given twice'),
        ("/x?inactive=5", 'the parameter "inactive": found "5", expected a duration'),
        ("/x?reading_max=-1", 'found "-1", expected a number'),
        ("/x?levels=1:2:2", "expected one or two numbers of 1 to 3"),
        ("/x?levels=4", "expected one or two numbers of 1 to 3"),
        ("/x?levels=", "expected one or two numbers of 1 to 3"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_location(text)


def test_memory_is_divided_among_workers() -> None:
    store = parse_location("memory://?max_size=80MiB").open(4)
    assert isinstance(store, MemoryStore)
    assert store.figures().limit == 20 * 2**20
    half = parse_location("memory://?max_size=50").open(1).figures().limit
    assert half == pytest.approx(memory_budget() / 2, rel=0.5)  # (others use memory, too)


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [("", TieredStore), ("?cache_max=5", TieredStore), ("?cache_max=0", DiskStore)],
)
def test_memory_in_front_of_a_folder(tmp_path: Path, parameters: str, kind: type) -> None:
    folder = tmp_path / "cache"
    assert isinstance(parse_location(f"{folder}{parameters}").open(2), kind)
    assert not folder.exists()  # nothing is opened before the fork


def test_the_budget_is_a_part_of_what_there_is() -> None:
    assert 0 < memory_budget() <= max(MOST, FALLBACK)
