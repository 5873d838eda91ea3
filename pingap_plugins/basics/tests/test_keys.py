"""Types of settings that several plugins have."""

from __future__ import annotations

import pytest
from pingap_basics.keys import ExactPath, HeaderName
from pydantic import TypeAdapter, ValidationError


@pytest.mark.parametrize("text", ["/", "/ping", "/a/b.c~d/%C3%A9", "/a:b@c;d=e"])
def test_exact_path_is_taken_as_it_is(text: str) -> None:
    assert TypeAdapter(ExactPath).validate_python(text) == text


@pytest.mark.parametrize("text", ["", "ping", "/ping?a=1", "/a#b", "/a b", "/é", "/a\n"])
def test_exact_path_that_could_never_match_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="expected a path"):
        TypeAdapter(ExactPath).validate_python(text)


@pytest.mark.parametrize("text", ["", "a b", "a:", "é"])
def test_header_name_is_checked(text: str) -> None:
    with pytest.raises(ValidationError, match="is not a header name"):
        TypeAdapter(HeaderName).validate_python(text)
