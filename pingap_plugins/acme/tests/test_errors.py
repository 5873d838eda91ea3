"""What goes wrong, in one line for the operator."""

from __future__ import annotations

import json

import pytest
import requests
from acme import errors, messages
from pingap_acme.errors import described

PREFIX = "urn:ietf:params:acme:error:"


def problem(code: str, detail: str, **more: object) -> messages.Error:
    return messages.Error.from_json({"type": PREFIX + code, "detail": detail, **more})


def test_a_problem_has_advice_and_detail() -> None:
    text = described(problem("rateLimited", "too many\n  certificates"))
    assert text == "the limit of the authority is reached - too many certificates"
    assert described(problem("somethingNew", "no way")) == "no way"


def test_problems_of_single_names_are_all_told() -> None:
    inner = [
        {"type": PREFIX + "caa", "detail": "CAA", "identifier": {"type": "dns", "value": "a.b"}}
    ]
    text = described(problem("caa", "two names", subproblems=inner))
    assert text.endswith("two names - a.b: CAA")


def test_each_name_that_could_not_be_verified() -> None:
    answer = {
        "identifier": {"type": "dns", "value": "a.example.com"},
        "status": "invalid",
        "challenges": [
            {
                "type": "http-01",
                "url": "https://ca/1",
                "status": "invalid",
                "token": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "error": {"type": PREFIX + "connection", "detail": "refused"},
            }
        ],
    }
    body = messages.Authorization.from_json(json.loads(json.dumps(answer)))
    failed = messages.AuthorizationResource(body=body, uri="https://ca/2")
    text = described(errors.ValidationError([failed]))
    assert text.startswith("a.example.com (http-01): the authority could not reach this host")
    assert text.endswith(" - refused")
    assert described(errors.ValidationError([])) == "the authority could not verify the names"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.TimeoutError(), "the authority did not finish in time"),
        (requests.exceptions.SSLError("self-signed"), "is not trusted: self-signed"),
        (requests.ConnectionError("refused\nmore"), "the authority cannot be reached: refused"),
        (ValueError(), "the authority does not answer as it should: ValueError: "),
        (errors.IssuanceError(problem("badCSR", "P-521")), "set acme_key_type - P-521"),
    ],
)
def test_others(error: Exception, text: str) -> None:
    found = described(error)
    assert found.endswith(text)
    assert "\n" not in found


def test_a_long_text_is_cut() -> None:
    assert len(described(problem("caa", "x" * 10_000))) == 1000
