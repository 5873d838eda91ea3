"""Encrypted values of storages: their format, their use in ``includes``, and a change of the secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.command import invoke

from pingap.config import ConfigError, load
from pingap.config.sealed import seal, unseal

FRAGMENT = "max_processing = 5\nclient_max_body_size = '1kb'\n"


def test_the_format_is_that_of_pingap() -> None:
    """Values of the tests of pingap's own ``aes_encrypt``."""
    assert seal("12345678901234567890123456789012", "hello") == "ckosmpE7P8FUPbIY7mKyURn+9G46"
    value = "ytvtT0b5XoF1pdqRbfqX9qgATJJ25guB2xxG0T0="
    assert unseal("short-key", value) == "pingap secret"
    with pytest.raises(ValueError, match="it was not encrypted with this secret"):
        unseal("other-key", value)
    assert seal("12345678901234567890123456789012ABC", "hello").startswith("ckosmp")


@pytest.mark.parametrize("value", ["", "?", "YQ==", "ztvtT0b5XoF1pdqRbfqX9qgATJJ25guB2xxG0T0="])
def test_other_values_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"expected an encrypted|it was not encrypted"):
        unseal("short-key", value)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "old").write_text("the old one\n")
    (tmp_path / "new").write_text("the new one\n")
    conf = tmp_path / "pingap.toml"
    conf.write_text(
        '[locations.a]\nincludes = ["s"]\n[locations.b]\nincludes = ["s"]\n'
        f'# limits\n[storages.s]\ncategory = "x"\nvalue = "{seal("the old one", FRAGMENT)}"  # enc\n'
        'secret = "file:old"\n[storages.clear]\ncategory = "x"\nvalue = "weight = 1"\n'
    )
    return conf


def test_encrypted_values_are_included(conf: Path) -> None:
    config = load(conf)
    assert config.locations["b"].max_processing == 5
    assert "5" not in repr(config.storages)
    conf.write_text(conf.read_text().replace("file:old", "file:new"))
    with pytest.raises(ConfigError) as caught:
        load(conf)
    (problem,) = caught.value.problems
    assert str(problem) == f"{conf}:8: storages.s.value: it was not encrypted with this secret"


def test_the_secret_is_changed(conf: Path) -> None:
    before = conf.read_text()
    code, out, err = invoke(
        "secret", "rotate", "-c", conf, "--old", "file:old", "--new", "file:new"
    )
    assert (code, out, err) == (0, "encrypted with the new secret: s\n", "")
    changed = [
        (one, two)
        for one, two in zip(before.splitlines(), conf.read_text().splitlines(), strict=True)
        if one != two
    ]
    value = f'value = "{seal("the new one", FRAGMENT)}"  # enc'
    assert [two for _, two in changed] == [value, 'secret = "file:new"']
    assert load(conf).locations["a"].max_processing == 5
    again = invoke("secret", "rotate", "-c", conf, "--old", "file:old", "--new", "file:new")
    assert again == (0, "encrypted with the new secret: none\n", "")


def test_a_value_that_cannot_be_decrypted_changes_nothing(conf: Path) -> None:
    conf.write_text(conf.read_text().replace(seal("the old one", FRAGMENT), seal("x", "y")))
    before = conf.read_text()
    code, _, err = invoke("secret", "rotate", "-c", conf, "--old", "file:old", "--new", "file:new")
    assert (code, err) == (2, "pingap: storages.s.value: it was not encrypted with this secret\n")
    assert conf.read_text() == before
    code, _, err = invoke(
        "secret", "rotate", "-c", conf, "--old", "the old one", "--new", "file:new"
    )
    assert (code, "not the secret itself" in err) == (2, True)


def test_texts_are_encrypted_and_decrypted(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the key")
    text = FRAGMENT
    for name, expected in (("encrypt", seal("the key", FRAGMENT) + "\n"), ("decrypt", FRAGMENT)):
        done = subprocess.run(
            [sys.executable, "-m", "pingap", "secret", name, "--secret", f"file:{tmp_path}/key"],
            input=text,
            capture_output=True,
            text=True,
            timeout=40,
            check=True,
        )
        assert done.stdout == expected
        text = done.stdout
