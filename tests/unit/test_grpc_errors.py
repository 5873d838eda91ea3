"""Errors as clients of gRPC understand them."""

from __future__ import annotations

import pytest

from pingap import Connection, Headers, HTTPError, Request, RequestContext
from pingap.http.grpc_errors import grpc_error, is_grpc
from pingap.proxy.error_page import ErrorPage


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("Application/gRPC; charset=x", True),
        ("application/grpc-web", False),
        ("application/grpc-web+proto", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_which_requests_are_of_grpc(content_type: str, expected: bool) -> None:
    headers = Headers({"Content-Type": content_type} if content_type else {})
    assert is_grpc(Request("POST", "/", headers)) is expected


# Of gRPC's "HTTP to gRPC Status Code Mapping".
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14),
        (408, 2), (413, 2), (500, 2),
    ],
)  # fmt: skip
def test_codes(status: int, code: int) -> None:
    response = grpc_error(HTTPError(status))
    assert (response.status, response.body) == (200, b"")
    assert response.headers["grpc-status"] == str(code)
    assert response.headers["grpc-message"] == f"HTTP status {status}"


def test_a_message_is_escaped() -> None:
    response = grpc_error(HTTPError(404, "nö 100%\n"))
    assert response.headers["grpc-message"] == "n%C3%B6 100%25%0A"


def test_a_page_is_none_for_grpc() -> None:
    ctx = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    ctx.request_id = "id-1"
    request = Request("POST", "/", Headers({"Content-Type": "application/grpc"}))
    response = ErrorPage("a template").error_page(request, HTTPError(403, error_type="Club"), ctx)
    assert response.headers["grpc-status"] == "7"
    assert response.headers["x-pingap-etype"] == "Club"
    assert response.headers["x-request-id"] == "id-1"
