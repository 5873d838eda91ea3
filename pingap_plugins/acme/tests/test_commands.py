"""``pingap certs``, for a directory with certificates and failures."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pingap_acme.commands import certs
from pingap_acme.shelf import Shelf, State
from support.certificates import issue

from pingap import KeyPair

TOML = """
[servers.web]
addr = "127.0.0.1:0"

[certificates.shop]
domains = "shop.example.com, WWW.shop.example.com"
acme = "lets_encrypt"
acme_storage = "{shelf}"
"""
NAMES = ("shop.example.com", "www.shop.example.com")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    found = Shelf(tmp_path / "acme")
    file = tmp_path / "pingap.toml"
    file.write_text(TOML.format(shelf=found.directory))
    monkeypatch.setenv("PINGAP_CONF", str(file))
    return found


def keep(shelf: Shelf, *names: str, days: int = 90) -> None:
    own = issue(*names, days=(-2, days))
    shelf.keep_pair("shop", KeyPair(own.cert.encode(), own.key.encode()))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(certs, arguments)


def test_a_certificate_that_is_well(shelf: Shelf) -> None:
    keep(shelf, *NAMES)
    shelf.keep_state("shop", State(NAMES, authority="https://ca/dir"))
    result = run("list")
    assert result.exit_code == 0, result.output
    head, line = result.output.splitlines()
    assert head.split() == ["name", "expires", "renewed", "state", "domains"]
    assert line.startswith("shop  2")
    assert line.endswith("  ok     shop.example.com, www.shop.example.com")
    [found] = json.loads(run("list", "--json").output)
    assert found["domains"] == list(NAMES)
    assert found["authority"] == "https://ca/dir"
    assert found["renewal"] < found["expires"]
    assert (found["problem"], found["next_try"]) == ("", None)
    assert run("show", "shop").exit_code == 0


def test_one_that_is_missing(shelf: Shelf) -> None:
    result = run("list")
    assert result.exit_code == 1
    assert result.output.splitlines()[1].split()[:4] == ["shop", "-", "-", "missing"]


def test_one_that_has_expired(shelf: Shelf) -> None:
    keep(shelf, *NAMES, days=-1)
    result = run("show", "shop")
    assert result.exit_code == 1
    assert "state     expired\n" in result.output


def test_one_for_other_names(shelf: Shelf) -> None:
    keep(shelf, NAMES[0])
    assert "state     other names\n" in run("show", "shop").output


def test_a_renewal_that_fails(shelf: Shelf) -> None:
    keep(shelf, *NAMES)
    shelf.keep_state("shop", State(NAMES, 3, time.time() + 60, "refused"))
    result = run("show", "shop")
    assert result.exit_code == 1
    assert "state     renewal fails\nfailures  3\ncause     refused\nnext try  2" in result.output
    found = json.loads(run("show", "shop", "--json").output)
    assert found["next_try"] == pytest.approx(time.time() + 60, abs=30)


def test_renew(shelf: Shelf) -> None:
    early = run("renew", "shop")
    assert early.exit_code == 2
    assert "has not ordered a certificate there yet" in early.output
    shelf.keep_state("shop", State(NAMES))
    assert run("renew", "shop").exit_code == 0
    assert shelf.is_wished("shop")


@pytest.mark.parametrize("command", ["show", "renew"])
def test_a_name_that_is_not_there(shelf: Shelf, command: str) -> None:
    result = run(command, "shopp")
    assert result.exit_code == 2
    assert result.output == 'no certificate with acme is named "shopp"; there is: shop\n'


def test_mistakes_of_the_configuration(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "pingap.toml").write_text("[servers.web]\naddr = 5\n")
    result = run("list")
    assert result.exit_code == 2
    assert "pingap.toml:2: servers.web.addr" in result.output
    assert run("list", "-c", str(tmp_path / "none.toml")).exit_code == 2


def test_no_configuration(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINGAP_CONF")
    result = run("list")
    assert (result.exit_code, result.output) == (2, "where is the configuration? Give -c PATH\n")
