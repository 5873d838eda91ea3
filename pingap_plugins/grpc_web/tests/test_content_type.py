"""Content types: what is gRPC-Web, and what it becomes."""

from __future__ import annotations

import pytest
from pingap_grpc_web.content_type import GrpcWebType, accepts_text, answer_type, parse

BINARY = GrpcWebType(text=False, message="")
TEXT = GrpcWebType(text=True, message="")


@pytest.mark.parametrize(
    ("value", "text", "grpc"),
    [
        ("application/grpc-web", False, "application/grpc"),
        ("application/grpc-web+proto", False, "application/grpc+proto"),
        ("application/grpc-web+json", False, "application/grpc+json"),
        ("application/grpc-web-text", True, "application/grpc"),
        ("application/grpc-web-text+proto", True, "application/grpc+proto"),
        ("application/grpc-web-text-base64", True, "application/grpc"),
        ("application/grpc-web+proto; charset=utf-8", False, "application/grpc+proto"),
        (" application/grpc-web ;x=y", False, "application/grpc"),
        ("Application/gRPC-Web+Proto", False, "application/grpc+Proto"),
    ],
)
def test_grpc_web_becomes_grpc(value: str, text: bool, grpc: str) -> None:
    kind = parse(value)
    assert kind is not None
    assert (kind.text, kind.grpc) == (text, grpc)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-webby",
        "application/grpc-web-texts",
        "application/grpc-web+",
        "application/grpc-web proto",
        "x-application/grpc-web",
        "text/plain",
    ],
)
def test_all_else_is_not(value: str) -> None:
    assert parse(value) is None


@pytest.mark.parametrize(
    ("accept", "request_type", "text"),
    [
        ("application/grpc-web-text", TEXT, True),
        ("application/grpc-web-text", BINARY, True),
        ("application/grpc-web+proto", TEXT, False),
        ("text/html, application/grpc-web-text;q=0.5", BINARY, True),
        ("*/*", TEXT, True),
        ("*/*", BINARY, False),
        ("", TEXT, True),
    ],
)
def test_accept_chooses_the_mode_of_the_answer(
    accept: str, request_type: GrpcWebType, text: bool
) -> None:
    assert accepts_text(accept, request_type) is text


@pytest.mark.parametrize(
    ("value", "request_type", "text", "expected"),
    [
        ("application/grpc", BINARY, False, "application/grpc-web"),
        ("application/grpc", BINARY, True, "application/grpc-web-text"),
        ("application/grpc+proto", TEXT, True, "application/grpc-web-text+proto"),
        ("application/grpc", GrpcWebType(False, "+proto"), False, "application/grpc-web+proto"),
        ("application/grpc;x=y", BINARY, False, "application/grpc-web"),
        ("application/grpc-web", BINARY, False, None),
        ("text/html", BINARY, False, None),
        ("", BINARY, False, None),
    ],
)
def test_grpc_becomes_grpc_web(
    value: str, request_type: GrpcWebType, text: bool, expected: str | None
) -> None:
    assert answer_type(value, request_type, text=text) == expected
