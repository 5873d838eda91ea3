"""Names: as the operator writes them, and as a certificate has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_acme.names import MOST_NAMES, is_address, normalised


def test_names_are_compared_as_certificates_have_them() -> None:
    written = [" B.example.com", "a.Example.com. ", "b.example.com", "", "*.EXAMPLE.com"]
    assert normalised(written) == ("*.example.com", "a.example.com", "b.example.com")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("Bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8::0:1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("_dmarc.example.com", "_dmarc.example.com"),
    ],
)
def test_other_spellings(written: str, found: str) -> None:
    assert normalised([written]) == (found,)
    assert normalised([found]) == (found,)
    assert is_address(found) is (":" in found or found[0].isdecimal())


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "*.com.*",
        "a.*.example.com",
        "**.example.com",
        "*.*.example.com",
        "-a.example.com",
        "a..example.com",
        "a b.example.com",
        "https://example.com",
        "example.com:443",
        f"{'a' * 64}.example.com",
        ".".join(["abcdefgh"] * 30),
        f"{'ü' * 64}.example.com",
        "999.1.2.3",
        "192.0.2.1/24",
    ],
)
def test_what_no_authority_verifies(name: str) -> None:
    with pytest.raises(ValueError, match="domains: ") as error:
        normalised([name])
    assert name in str(error.value)


def test_too_many_names() -> None:
    names = [f"n{number}.example.com" for number in range(MOST_NAMES + 1)]
    assert len(normalised(names[1:])) == MOST_NAMES
    with pytest.raises(ValueError, match="101 names, but a certificate can have 100"):
        normalised(names)


@given(st.lists(st.text(max_size=20) | st.from_regex(r"[A-Za-z0-9-]{1,9}\.[a-z]{2,5}\.?")))
def test_what_is_normalised_stays_so(names: list[str]) -> None:
    try:
        found = normalised(names)
    except ValueError:
        return
    assert normalised(found) == found
