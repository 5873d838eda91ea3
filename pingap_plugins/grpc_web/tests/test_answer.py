"""The body of an answer, byte for byte."""

from __future__ import annotations

import pytest
from grpc_wire import message, text, trailers
from pingap_grpc_web.answer import AnswerFilter, take_status, trailers_frame

from pingap import Headers, Response, field
from pingap.testing import filter_every_cut

OK = {"grpc-status": "0"}
HELLO = message(b"\n\x05hello")


def test_the_frame_of_trailers() -> None:
    fields = Headers({"Grpc-Status": "0", "grpc-message": "", "X-Sum": "3"}).fields
    assert trailers_frame(fields) == (
        b"\x80\x00\x00\x00\x2agrpc-status: 0\r\ngrpc-message: \r\nx-sum: 3\r\n"
    )


def test_names_that_come_twice_stay_twice() -> None:
    fields = [field("a", "1"), field("A", "2")]
    assert trailers_frame(fields) == trailers("a: 1", "a: 2")


@pytest.mark.parametrize("body", [b"", HELLO, HELLO + message(b"") + message(b"x" * 300)])
def test_trailers_become_the_last_message(body: bytes) -> None:
    left = Headers(OK)
    made = filter_every_cut(lambda: AnswerFilter([], text=False), body, trailers=left)
    assert made == body + trailers("grpc-status: 0")
    assert len(left) == 0


@pytest.mark.parametrize("payload", [b"", b"a", b"ab", b"abc"])
def test_in_text_mode_messages_and_trailers_are_base64(payload: bytes) -> None:
    made = filter_every_cut(
        lambda: AnswerFilter([], text=True), message(payload), trailers=Headers(OK)
    )
    assert made == text(message(payload), trailers("grpc-status: 0"))


def test_an_answer_without_a_status_ends_with_an_unknown_error() -> None:
    made = filter_every_cut(lambda: AnswerFilter([], text=False), HELLO)
    assert made == HELLO + trailers(
        "grpc-status: 2", "grpc-message: the answer of the upstream ended without a status"
    )


def test_the_status_of_the_head_moves_to_the_body() -> None:
    fields = {"Grpc-Status": "5", "grpc-message": "no such book", "X-Id": "7"}
    response = Response(200, headers=fields)
    status = take_status(response)
    assert [name for name, _ in response.headers.items()] == ["X-Id", "Cache-Control"]
    made = filter_every_cut(lambda: AnswerFilter(status, text=False), b"")
    assert made == trailers("grpc-status: 5", "grpc-message: no such book")


def test_a_status_behind_the_body_counts_more_than_one_in_the_head() -> None:
    made = filter_every_cut(
        lambda: AnswerFilter([field("grpc-status", "0")], text=False),
        HELLO,
        trailers=Headers({"grpc-status": "13"}),
    )
    assert made == HELLO + trailers("grpc-status: 13")


def test_a_head_without_status_stays_as_it_is() -> None:
    response = Response(200, headers={"grpc-message": "x"})
    assert take_status(response) == []
    assert "grpc-message" in response.headers
