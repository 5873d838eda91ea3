"""The value of ``-c``: what is accepted, and errors that show no password."""

from __future__ import annotations

from pathlib import Path

import pytest
from pingap_etcd.hooks import open_storage
from pingap_etcd.location import Location, parse_location

from pingap.build.loading import read_configuration
from pingap.build.registry import installed_registry
from pingap.config import ConfigError


def test_everything_that_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_PASSWORD", "s3cret")
    query = "user=me&password=$ENV:ETCD_PASSWORD&timeout=4s&connect_timeout=500ms"
    found = parse_location(
        f"etcd://10.0.0.1,h2:2380,[::1]:5/a/b/?{query}&enable_history&ca=/ca.pem&cert=/c&key=/k"
    )
    assert found == Location(
        endpoints=("https://10.0.0.1:2379", "https://h2:2380", "https://[::1]:5"),
        prefix="/a/b",
        user="me",
        password="s3cret",
        timeout=4,
        connect_timeout=0.5,
        enable_history=True,
        ca="/ca.pem",
        cert="/c",
        key="/k",
    )
    assert "s3cret" not in repr(found)
    password = tmp_path / "password"
    password.write_text("from a file\n")
    assert parse_location(f"etcd://h/p?user=a&password=file:{password}").password == "from a file"


def test_little_is_needed() -> None:
    assert parse_location("etcd://h/p") == Location(("http://h:2379",), "/p")
    assert parse_location("etcd://h/p?tls=true").endpoints == ("https://h:2379",)
    assert parse_location("etcd://h/p?user=a&password=b%26c").password == "b&c"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("etcd://h", "found no prefix of the keys, expected etcd://HOST:PORT,HOST:PORT/PREFIX"),
        ("etcd://h/", "found no prefix"),
        ("etcd://h/a//b", "found no prefix"),
        ("etcd:///p", "found the endpoint ''"),
        ("etcd://h:99999/p", "found the endpoint 'h:99999'"),
        ("etcd://h:x/p", "found the endpoint 'h:x'"),
        ("etcd://me:s3cret@h/p", "found a user before the host, expected ?user="),
        ("etcd://h/p?user=me", "user and password need each other"),
        ("etcd://h/p?password=s3cret", "user and password need each other"),
        ("etcd://h/p?usr=a", "unknown parameter usr; did you mean user?"),
        ("etcd://h/p?x=s3cret", "unknown parameter x (known: user, password, timeout"),
        ("etcd://h/p?timeout=1s&timeout=2s", "the parameter timeout is given twice"),
        ("etcd://h/p?timeout=5", "the parameter timeout: "),
        ("etcd://h/p?timeout=0", "expected more than 0 and at most 60 seconds"),
        ("etcd://h/p?enable_history=maybe", "the parameter enable_history: expected true or"),
        ("etcd://h/p?cert=a", "cert and key need each other"),
        ("etcd://h/p?ca=", "the parameter ca: "),
        ("etcd://h/p?user=a&password=$ENV:NOT_SET", 'environment variable "NOT_SET" is not set'),
    ],
)
def test_mistakes(location: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        open_storage(location)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_mistake_is_one_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        read_configuration(["etcd://h/p?usr=a"], installed_registry())
    assert str(caught.value) == "etcd://: unknown parameter usr; did you mean user?\n1 problem."
