"""Lists of origins: what they match, and what must not be in them."""

from __future__ import annotations

import pytest
from pingap_restriction.origins import Origins, parse_origin

from pingap.testing import make_context, make_request


def allows(entries: list[str], origin: str, *, credentials: bool = False) -> bool:
    request = make_request(headers={"Origin": origin, "X-Shop": "https://shop.test"})
    return Origins(entries, credentials=credentials).allow(origin, request, make_context())


@pytest.mark.parametrize(
    ("entries", "origin", "is_allowed"),
    [
        (["*"], "https://any.test", True),
        (["*"], "null", True),
        (["https://a.test"], "https://a.test", True),
        (["https://A.test:443"], "https://a.test", True),
        (["http://a.test:080"], "http://a.test", False),  # 080 is no default port as written
        (["https://a.test:8443"], "https://a.test:8443", True),
        (["https://a.test"], "http://a.test", False),
        (["https://a.test"], "https://a.test:8443", False),
        (["https://a.test"], "https://a.test.evil.test", False),
        (["https://a.test"], "https://xa.test", False),
        (["https://a.test"], "null", False),
        (["null"], "null", True),
        (["https://b.test", "https://a.test"], "https://a.test", True),
        (["http://[::1]:3000"], "http://[::1]:3000", True),
        (["moz-extension://0a1b"], "moz-extension://0a1b", True),
        (["~https://[a-z]+\\.a\\.test"], "https://x.a.test", True),
        (["~ ^https://[a-z]+\\.a\\.test$"], "https://x.a.test", True),
        # An expression is for the whole origin, so that nobody has to remember to anchor it.
        (["~https://[a-z]+\\.a\\.test"], "https://x.a.test.evil.test", False),
        (["~https://[a-z]+\\.a\\.test"], "https://evil.test/https://x.a.test", False),
        (["~a\\.test"], "https://a.test", False),
        (["~.*"], "null", False),
        (["$http_origin"], "https://any.test", True),
        (["$http_x_shop"], "https://shop.test", True),
        (["$http_x_shop"], "https://a.test", False),
        (["$http_x_missing"], "https://a.test", False),
    ],
)
def test_entries(entries: list[str], origin: str, is_allowed: bool) -> None:
    assert allows(entries, origin) is is_allowed


def test_a_variable_of_the_environment_is_an_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "https://shop.test")
    assert allows(["$SHOP"], "https://shop.test", credentials=True)
    assert not allows(["$SHOP"], "https://a.test")


@pytest.mark.parametrize(
    "text",
    ["", "a.test", "https://a.test/", "https://a.test/x", "https://*.a.test", "//a.test", "https://",
     "https://u@a.test", "https://a.test:x", "https://a.test, https://b.test", "https://bücher.test"],
)  # fmt: skip
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin: expected scheme, host"):
        parse_origin(text)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], "allow_origin is empty"),
        (["~("], "is not a regular expression"),
        (["$no_such_variable"], "neither an environment variable"),
        (["$"], '"\\$" is not a variable'),
        (["$host/x"], "is not a variable"),
    ],
)
def test_mistakes(entries: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Origins(entries, credentials=False)


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "*",
            "null",
            "$http_origin",
            "$HTTP_ORIGIN",
            ":http_origin",
            "~.*",
            "~https?://.+",
            "~^h",
        ),
        *("~http://.*", "~https://[a-z0-9]+\\.(com|org)", "~https?://[^/]+:[0-9]+"),
        "~https?://[0-9.]+",
    ],
)
def test_credentials_need_a_list(entry: str) -> None:
    if entry == "~^h":  # not the whole origin
        assert not allows([entry], "https://a.test", credentials=True)
        return
    with pytest.raises(ValueError, match=r"any site|any origin|not a value|environment"):
        Origins(["https://a.test", entry], credentials=True)
