"""What a directory contains: sorted, escaped, in pages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_static.files import OpenFile
from pingap_static.listing import PAGE, Entry, Listing, Wish, _sorted
from pingap_static.page import as_html, as_json, human_size, prefers_json

from pingap.testing import Proxy

Site = Callable[..., Proxy]
JSON = {"Accept": "application/json"}
LINK = re.compile(r'<td class="name"><a href="([^"]*)">([^<]*)</a>')


def names(proxy: Proxy, query: str = "") -> list[str]:
    return [one["name"] for one in proxy.get("/" + query, headers=JSON).json()]


@pytest.fixture
def files(root: Path) -> Path:
    for name, size, modified in (("b10", 5, 30), ("b9", 7, 10), ("A", 6, 20), (".hidden", 1, 1)):
        (root / name).write_bytes(b"x" * size)
        os.utime(root / name, (modified, modified))
    for name in ("z", "c"):
        (root / name).mkdir()
    return root


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["c", "z", "A", "b9", "b10"]),
        ("?sort=name&order=desc", ["z", "c", "b10", "b9", "A"]),
        ("?sort=modified", ["c", "z", "b9", "A", "b10"]),
        ("?sort=nonsense&order=x&page=-1", ["c", "z", "A", "b9", "b10"]),
    ],
)
def test_orders(site: Site, files: Path, query: str, expected: list[str]) -> None:
    for name, moment in (("c", 1), ("z", 2)):
        os.utime(files / name, (moment, moment))
    assert names(site(autoindex=True), query) == expected


def test_order_by_size(site: Site, files: Path) -> None:
    assert names(site(autoindex=True), "?sort=size&order=desc")[2:] == ["b9", "A", "b10"]


def test_json(site: Site, files: Path) -> None:
    answer = site(autoindex=True).get("/", headers=JSON)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Vary"] == "Accept"
    assert answer.json()[2] == {
        "name": "A",
        "type": "file",
        "href": "./A",
        "mtime": "1970-01-01T00:00:20Z",
        "size": 6,
    }
    assert answer.json()[0]["type"] == "directory"
    assert answer.json()[0]["href"] == "./c/"


def test_the_page(site: Site, files: Path) -> None:
    answer = site(autoindex=True).get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    links = LINK.findall(answer.text)
    assert links == [("./c/", "c/"), ("./z/", "z/"), ("./A", "A"), ("./b9", "b9"), ("./b10", "b10")]
    assert "<title>Index of /</title>" in answer.text
    assert "5 entries" in answer.text


def test_a_folder_below_leads_up(site: Site, files: Path) -> None:
    assert LINK.findall(site(autoindex=True).get("/c/").text) == [("../", "..")]


def test_no_listing_unless_wanted(site: Site, files: Path) -> None:
    assert site().get("/").status == 404


def test_the_index_comes_first(site: Site, files: Path) -> None:
    (files / "index.html").write_bytes(b"index")
    assert site(autoindex=True).get("/").body == b"index"


NAMES = [
    b"<img src=x onerror=alert(1)>",
    b"\"quoted\" & 'more'",
    b"javascript:alert(1)",
    b"caf\xe9",
    b"100% #1?",
    b"line\nbreak",
    "日本".encode(),
    b"http:",
]


def test_names_are_escaped_and_their_links_work(site: Site, root: Path) -> None:
    for name in NAMES:
        (root / os.fsdecode(name)).write_bytes(name)
    proxy = site(autoindex=True)
    page = proxy.get("/").text
    assert "<img" not in page
    links = [unescape(link) for link, _ in LINK.findall(page)]
    assert sorted(unquote_to_bytes(link[2:]) for link in links) == sorted(NAMES)
    for link in links:
        assert link.startswith("./")
        assert proxy.get("/" + link[2:]).body == unquote_to_bytes(link[2:])
    assert {one["href"] for one in proxy.get("/", headers=JSON).json()} == set(links)


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: not {0, 47} & set(name)), max_size=5))  # fmt: skip
def test_no_name_becomes_html(found: list[bytes]) -> None:
    entries = [Entry(name, False, 1, 1.0) for name in found]
    page = as_html("/<b>", entries, len(entries), Wish(), is_root=True).decode()
    assert len(LINK.findall(page)) == len(found)
    assert page.count("<tr>") == len(found) + 1
    assert "<b>" not in page
    as_json(entries).decode("ascii")


def test_pages(site: Site, root: Path) -> None:
    for number in range(PAGE + 5):
        (root / f"f{number}").touch()
    proxy = site(autoindex=True)
    first, second, third = (proxy.get(f"/?page={number}").text for number in (1, 2, 3))
    assert [name for _, name in LINK.findall(first)] == [f"f{n}" for n in range(PAGE)]
    assert [name for _, name in LINK.findall(second)] == [f"f{n}" for n in range(PAGE, PAGE + 5)]
    assert LINK.findall(third) == []
    assert 'page=2" rel="next"' in first
    assert 'order=asc" rel="prev"' in second
    assert 'rel="next"' not in second
    assert len(names(proxy)) == PAGE + 5


def test_an_entry_that_is_gone_by_now(root: Path) -> None:
    (root / "f").touch()
    (root / "g").symlink_to("nowhere")
    file = OpenFile(os.open(root, os.O_RDONLY))
    listing = Listing(file, lambda entry: True)
    (root / "f").unlink()
    assert [entry.size for entry in listing.page(Wish("size"))] == [0, 0]
    file.close()


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("application/json;q=0.5, text/html", False),
        ("text/html;q=0.5, application/json", True),
        ("text/html, application/json", False),
        ("*/*", False),
        ("", False),
        ("application/json;q=x", False),
        ("application/json;q=0", False),
    ],
)
def test_accept(accept: str, json: bool) -> None:
    assert prefers_json(accept) is json


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1024**2 - 1, "1.0 MiB"), (5 * 1024**3, "5.0 GiB"), (2**63, "8192.0 PiB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


def natural(name: str) -> tuple[object, ...]:
    """Return the pieces of a name: text, and the values of numbers."""
    pieces = re.split(r"([0-9]{1,18})", name.casefold())
    return ([int(one) if place % 2 else one for place, one in enumerate(pieces)], name)


@given(st.lists(st.text("aA1 0.\u00e9-9", min_size=1, max_size=24), unique=True, max_size=30))
def test_numbers_in_names_have_their_values(names: list[str]) -> None:
    entries = [cast("os.DirEntry[str]", SimpleNamespace(name=name)) for name in names]
    found = [entry.name for entry in _sorted(entries, Wish())]
    assert found == sorted(names, key=natural)
    assert entries == []
