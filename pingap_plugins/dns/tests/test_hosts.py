"""The hosts file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_dns.hosts import look_up, parse_hosts, read_hosts

LINES = """
127.0.0.1 localhost
::1       localhost ip6-localhost   # both
10.0.0.1  App app.example.com.
10.0.0.2  app
not-an-ip app
10.0.0.3
""".splitlines()


def test_a_name_has_all_its_addresses_in_any_case_and_once() -> None:
    hosts = parse_hosts([*LINES, "10.0.0.1 app"])
    assert hosts["localhost"] == ("127.0.0.1", "::1")
    assert look_up(hosts, "APP.") == ("10.0.0.1", "10.0.0.2")
    assert look_up(hosts, "app.example.com") == ("10.0.0.1",)
    assert look_up(hosts, "other") == ()


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "LocalHost."])
def test_localhost_is_local_without_a_file(name: str) -> None:
    assert look_up({}, name) == ("127.0.0.1", "::1")


def test_a_file_that_is_not_there_or_no_text_is_no_problem(tmp_path: Path) -> None:
    assert read_hosts(tmp_path / "none") == {}
    (tmp_path / "hosts").write_bytes(b"10.0.0.1 a\n\xff\xfe\x00\n10.0.0.2 b")
    assert read_hosts(tmp_path / "hosts") == {"a": ("10.0.0.1",), "b": ("10.0.0.2",)}
    (tmp_path / "hosts").write_bytes(b"10.0.0.3 longer")
    assert read_hosts(tmp_path / "hosts") == {"longer": ("10.0.0.3",)}


@given(st.lists(st.text()))
def test_whatever_stands_there_is_read(lines: list[str]) -> None:
    parse_hosts(lines)
