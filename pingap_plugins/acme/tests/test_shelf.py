"""The directory with certificates, keys, accounts and orders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pingap_acme.account import Account
from pingap_acme.order import Begun, new_key
from pingap_acme.shelf import Shelf, State
from support.certificates import issue

from pingap import KeyPair

NAMES = ("a.example.com",)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "acme")


def full(shelf: Shelf, table: str = "shop") -> None:
    own = issue("a.example.com")
    shelf.keep_pair(table, KeyPair(own.cert.encode(), own.key.encode()))
    shelf.keep_account("account", Account.create())
    shelf.keep_state(table, State(NAMES, failures=3, next_try=1e10, error="refused"))
    shelf.keep_begun(table, Begun("https://ca/order/1", new_key("p256").decode(), NAMES))
    shelf.keep_token("token", b"content")


def files(shelf: Shelf) -> list[Path]:
    return [path for path in shelf.directory.rglob("*") if path.is_file()]


def test_only_the_owner_can_read_it(shelf: Shelf) -> None:
    before = os.umask(0)
    try:
        full(shelf)
        with shelf.only_one("shop"):
            pass
    finally:
        os.umask(before)
    assert len(files(shelf)) == 6
    assert {path.stat().st_mode & 0o777 for path in files(shelf)} == {0o600}
    folders = [path for path in shelf.directory.rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_what_is_kept_is_found_again(shelf: Shelf) -> None:
    full(shelf)
    again = Shelf(shelf.directory)
    pair, begun = again.pair("shop"), again.begun("shop")
    assert pair is not None
    assert pair.chain.startswith(b"-----BEGIN CERTIFICATE")
    assert pair.key.startswith(b"-----BEGIN PRIVATE KEY")
    assert again.state("shop", NAMES) == State(NAMES, 3, 1e10, "refused")
    assert begun is not None
    assert begun.url == "https://ca/order/1"
    assert again.token("token") == b"content"
    again.keep_token("token", None)
    again.keep_begun("shop", None)
    assert (again.token("token"), again.begun("shop")) == (None, None)


def test_what_is_not_there(shelf: Shelf) -> None:
    assert (shelf.pair("shop"), shelf.account("x"), shelf.begun("shop")) == (None, None, None)
    assert shelf.state("shop", NAMES) == State(NAMES)
    shelf.keep_begun("shop", None)
    shelf.keep_token("token", None)
    assert not shelf.directory.exists()


def test_the_state_of_other_names_is_of_no_use(shelf: Shelf) -> None:
    full(shelf)
    assert shelf.state("shop", ("b.example.com",)) == State(("b.example.com",))


@pytest.mark.parametrize("name", ["../../up", "..", ".hidden", "a/b", "ü", "x" * 80])
def test_no_name_leads_out_of_it(shelf: Shelf, name: str) -> None:
    full(shelf, name)
    assert {path.parent.parent for path in files(shelf)} == {shelf.directory}
    assert shelf.pair(name) is not None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b'"x"', b"null", b'{"a": 1}'])
def test_damaged_files_are_made_again(shelf: Shelf, content: bytes) -> None:
    full(shelf)
    for path in files(shelf):
        path.write_bytes(content)
    assert shelf.pair("shop") is None
    assert shelf.state("shop", NAMES) == State(NAMES)
    assert shelf.begun("shop") is None
    with pytest.raises(ValueError, match=r".*"):
        shelf.account("account")


@pytest.mark.parametrize(
    "content",
    [
        b'{"names": ["a.example.com"], "failures": "three"}',
        b'{"names": ["a.example.com"], "next_try": null}',
        b'{"names": ["a.example.com"], "suggested": "soon"}',
    ],
)
def test_a_state_with_other_types(shelf: Shelf, content: bytes) -> None:
    full(shelf)
    (shelf.directory / "orders" / "shop.state").write_bytes(content)
    assert shelf.state("shop", NAMES) == State(NAMES)


def test_an_order_with_a_damaged_key_is_not_continued(shelf: Shelf) -> None:
    shelf.keep_begun("shop", Begun("https://ca/order/1", "no key", NAMES))
    assert shelf.begun("shop") is None


def test_only_one_orders(shelf: Shelf) -> None:
    with (
        shelf.only_one("shop") as first,
        shelf.only_one("shop") as second,
        shelf.only_one("other") as third,
    ):
        assert (first, second, third) == (True, False, True)
    with shelf.only_one("shop") as again:
        assert again
