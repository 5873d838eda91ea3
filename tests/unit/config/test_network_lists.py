"""Named networks and files of networks."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from pingap import Networks, NetworkSet, PluginSettings
from pingap.config import ConfigError, Surroundings, parse
from pingap.http.network_sets import NAMED
from pingap.testing import Proxy


class Settings(PluginSettings):
    allow: Networks = ()


def networks(directory: Path, *entries: str) -> Networks:
    table = {"allow": list(entries)}
    return Settings.model_validate(table, context=Surroundings(directory=directory)).allow


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("loopback", "127.0.0.1 127.255.255.255 ::1", "128.0.0.0 ::2"),
        (
            "private",
            "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.1.1 fc00:: fdff::1",
            "9.255.255.255 11.0.0.0 172.15.0.1 172.32.0.0 192.169.0.0 127.0.0.1 fe80::1 2001:db8::1",
        ),
        ("link-local", "169.254.1.1 fe80::1 febf::1", "169.253.0.0 fec0::1"),
        ("cgnat", "100.64.0.0 100.127.255.255", "100.63.255.255 100.128.0.0 ::1"),
    ],
)
def test_named_networks(tmp_path: Path, name: str, inside: str, outside: str) -> None:
    [entry] = networks(tmp_path, name)
    assert str(entry) == name
    assert all(ip_address(one) in entry for one in inside.split())
    assert not any(ip_address(one) in entry for one in outside.split())
    assert entry == networks(tmp_path, name)[0]


def test_every_name_is_tested() -> None:
    assert set(NAMED) == {"loopback", "private", "link-local", "cgnat"}


def test_a_file_beside_addresses(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# office\n192.0.2.0/25  ; first\n\n2001:db8::/32\n")
    found = networks(tmp_path, "file:list.txt", "private", "198.51.100.7")
    listed = NetworkSet(found)
    assert listed.changes
    for address in ("192.0.2.127", "2001:db8::1", "10.1.1.1", "198.51.100.7", "::ffff:192.0.2.1"):
        assert address in listed
    assert "192.0.2.128" not in listed
    with pytest.raises(ValueError, match="invalid IP address"):
        assert "unix" in listed
    assert ip_address("192.0.2.127") in found[0]
    assert str(found[0]) == f"file:{tmp_path}/list.txt"
    assert found[0] is networks(tmp_path, "file:list.txt")[0], "it would be read twice"


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        ("file:none.txt", b"", "none.txt cannot be read: No such file"),
        ("file:list.txt", b"10.0.0.1\nlocalhost\n", 'list.txt:2: "localhost" is not an IP'),
        ("file:list.txt", b"10.0.0.1\n\xff\n", "list.txt:2: not UTF-8 text"),
        ("privat", b"", '"privat" is not an IP address or network; did you mean "private"?'),
    ],
)
def test_mistakes(tmp_path: Path, entry: str, content: bytes, message: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    for key in ("trusted_proxies", "match_ips"):
        section = "[basic]" if key == "trusted_proxies" else "[locations.a]"
        with pytest.raises(ConfigError) as caught:
            parse(f'{section}\n{key} = ["::1", "{entry}"]\n', "a.toml", directory=tmp_path)
        assert message in str(caught.value)
        assert f"a.toml:2: {section[1:-1]}.{key}[1]: " in str(caught.value)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "list.txt").open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with pytest.raises(ValueError, match="larger than 67108864 bytes"):
        networks(tmp_path, "file:list.txt")


def test_a_changed_file_of_trusted_proxies(proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "proxies.txt"
    file.write_text("192.0.2.1\n")
    proxy.configure("basic", trusted_proxies=[f"file:{file}"])
    shown = ("response_headers", {"set_headers": ["X-Client: ${client_ip}"]})
    proxy.location("/", plugins=[shown])

    def client() -> str:
        return proxy.get("/", headers={"X-Forwarded-For": "203.0.113.9"}).headers["X-Client"]

    with proxy.connect() as kept:
        kept.get("/")
        assert client() == "127.0.0.1"
        file.write_text("192.0.2.1\n127.0.0.1\n")
        proxy.wait_for_log("was read again")
        assert client() == "203.0.113.9"
        assert kept.get("/").status == 200, "the connection was lost"
    file.write_text("nonsense\n")
    proxy.wait_for_log("previous content stays in use")
    assert "proxies.txt:1" in proxy.expect_error("nonsense")
    assert client() == "203.0.113.9"
