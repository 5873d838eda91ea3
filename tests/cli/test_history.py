"""``pingap history``: lists, shows, compares and restores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import invoke

from pingap.config.storage.files import FileStorage
from pingap.config.storage.history import ConfigNote


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    directory = tmp_path / "conf.d"
    (directory / "locations").mkdir(parents=True)
    (directory / "web.toml").write_text(
        '[servers.web]\naddr = "127.0.0.1:8080"\nlocations = ["a"]\n'
    )
    (directory / "locations" / "a.toml").write_text('# a\n[locations.a]\nplugins = ["p"]\n')
    (directory / "p.toml").write_text(
        '[plugins.p]\ncategory = "basic_auth"\nauthorizations = ["YTpi"]\n'
    )
    record(directory)
    return directory


def record(directory: Path) -> str:
    """Record what is there now; return the name of the version."""
    storage = FileStorage(f"{directory}?enable_history")
    assert storage.history is not None
    storage.history.record_now(storage.snapshot(), ConfigNote("ann", "a test"))
    return storage.history.versions_now()[-1].name


def test_versions_are_listed(conf: Path) -> None:
    first = record(conf)
    (conf / "p.toml").write_text((conf / "p.toml").read_text().replace("YTpi", "YTpj"))
    second = record(conf)
    code, out, _ = invoke("history", "list", "-c", conf)
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["version", "time", "reason", "by"]
    assert [line.split()[0] for line in lines] == [second, first]
    assert [line.endswith("current") for line in lines] == [True, False]
    newest = json.loads(invoke("history", "list", "-c", conf, "--json")[1])[0]
    assert (newest["name"], newest["by"], newest["is_current"]) == (second, "ann", True)


def test_secrets_are_shown_on_request_only(conf: Path) -> None:
    first = record(conf)
    code, out, _ = invoke("history", "show", first, "-c", conf)
    assert code == 0
    assert f"# {conf}/locations/a.toml\n# a\n[locations.a]\n" in out
    assert 'authorizations = ["***"]' in out
    assert "YTpi" in invoke("history", "show", first, "-c", conf, "--reveal")[1]
    (conf / "p.toml").write_text((conf / "p.toml").read_text().replace("YTpi", "YTpj"))
    code, out, _ = invoke("history", "diff", first, "-c", conf)
    expected = (
        '[MODIFIED] plugin:p\n- authorizations = ["***"]\n+ authorizations = ["***"]  # changed\n'
    )
    assert (code, out) == (1, expected)
    code, out, _ = invoke("history", "diff", first, "-c", conf, "--reveal")
    assert (code, '-authorizations = ["YTpi"]\n+authorizations = ["YTpj"]' in out) == (1, True)
    assert invoke("history", "diff", first, first, "-c", conf)[:2] == (0, "")


def test_a_version_is_restored(conf: Path) -> None:
    first = record(conf)
    before = (conf / "locations" / "a.toml").read_text()
    (conf / "locations" / "a.toml").unlink()
    (conf / "b.toml").write_text(before + 'remark = "new"\n')
    second = record(conf)
    code, out, err = invoke("history", "restore", first, "-c", conf, "--reason", "it broke")
    assert (code, err) == (0, "")
    assert out.startswith(f"restored {first} in {conf}; ")
    assert (conf / "locations" / "a.toml").read_text() == before
    assert not (conf / "b.toml").exists()
    newest = json.loads(invoke("history", "list", "-c", conf, "--json")[1])[0]
    assert (newest["reason"], newest["is_current"]) == ("it broke", True)
    assert invoke("history", "restore", second[:-2], "-c", conf)[0] == 0
    assert (conf / "b.toml").exists()


def test_one_file_is_restored(tmp_path: Path) -> None:
    conf = tmp_path / "pingap.toml"
    conf.write_text('[servers.web]\naddr = "127.0.0.1:8080"\n')
    first = record(conf)
    conf.write_text('[servers.web]\naddr = "127.0.0.1:8081"\n')
    assert invoke("history", "restore", first, "-c", conf)[0] == 0
    assert "8080" in conf.read_text()


def test_what_is_no_longer_valid_is_not_restored(conf: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "missing.pem"
    text = (conf / "p.toml").read_text()
    (conf / "p.toml").write_text(
        f'{text}[certificates.c]\ntls_cert = "{certificate}"\ntls_key = "x"\n'
    )
    first = record(conf)
    (conf / "p.toml").write_text(text)
    code, out, err = invoke("history", "restore", first, "-c", conf)
    assert (code, out) == (2, "")
    assert f"{conf}/p.toml:5: certificates.c.tls_cert: " in err
    assert (conf / "p.toml").read_text() == text


def test_what_is_not_there_is_told(conf: Path, tmp_path: Path) -> None:
    code, _, err = invoke("history", "show", "99", "-c", conf)
    assert (code, err) == (2, "pingap: there is no version 99; see pingap history list\n")
    (tmp_path / "other").mkdir()
    code, _, err = invoke("history", "list", "-c", tmp_path / "other")
    assert code == 2
    assert "no versions of this configuration are kept: start pingap with" in err
