"""The page of an error: HTML or JSON, escaped, or from a template."""

from __future__ import annotations

import json

import pytest

from pingap import Connection, Headers, HTTPError, Request, RequestContext, Response, __version__
from pingap.proxy.error_page import DEFAULT_TEMPLATE, ErrorPage


def render(
    template: str = "", *, accept: str = "", request_id: str = "", error: HTTPError | None = None
) -> Response:
    ctx = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    ctx.request_id = request_id
    headers = Headers({"Accept": accept} if accept else {})
    return ErrorPage(template).error_page(
        Request("GET", "/", headers), error or HTTPError(404), ctx
    )


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


def test_default_page_tells_status_and_message() -> None:
    response = render(error=HTTPError(403, "Members only", error_type="Club"), request_id="id-1")
    assert response.status == 403
    assert "<h1>403 Forbidden</h1>\n<p>Members only</p>\n<p><small>id-1</small>" in text(response)
    assert "{{" not in text(response)
    assert response.headers.items() == [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "private, no-store"),
        ("X-Pingap-EType", "Club"),
        ("X-Request-Id", "id-1"),
    ]


def test_default_page_without_message_or_id() -> None:
    response = render()
    assert "<p>Not Found</p>" in text(response)
    assert "x-request-id" not in response.headers
    assert "<h1>599 Error</h1>" in text(render(error=HTTPError(599)))


def test_values_are_escaped_in_html() -> None:
    response = render(error=HTTPError(400, '<script>"x"&</script>'), request_id="<b>")
    assert "&lt;script&gt;&quot;x&quot;&amp;&lt;/script&gt;" in text(response)
    assert "<small>&lt;b&gt;</small>" in text(response)
    assert "<script>" not in text(response)


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("application/json", True), ("application/problem+json, */*", True),
        ("APPLICATION/JSON", True), ("application/json, text/html", True),
        ("text/html, application/json", False), ("*/*", False), ("", False), ("text/plain", False),
    ],
)  # fmt: skip
def test_json_if_the_client_prefers_it(accept: str, is_json: bool) -> None:
    response = render(accept=accept, error=HTTPError(404, 'a "b"'), request_id="id")
    assert (response.headers["content-type"] == "application/json; charset=utf-8") is is_json
    if is_json:
        assert json.loads(text(response)) == {
            "status": 404, "error": "Not Found", "message": 'a "b"', "request_id": "id"
        }  # fmt: skip


def test_json_without_an_id() -> None:
    assert "request_id" not in json.loads(text(render(accept="application/json")))


def test_template_with_every_placeholder() -> None:
    names = ("status", "reason", "content", "error_type", "request_id", "version")
    template = "x|" + "|".join("{{" + name + "}}" for name in names) + "|{{status}}|{{other}}"
    error = HTTPError(404, "<gone>", error_type="Kind")
    response = render(template, error=error, request_id="id", accept="application/json")
    expected = f"x|404|Not Found|&lt;gone&gt;|Kind|id|{__version__}|404|{{{{other}}}}"
    assert text(response) == expected
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_template_in_json_is_escaped_as_json() -> None:
    template = ' {"why": "{{content}}", "id": "{{request_id}}"}'
    response = render(template, error=HTTPError(400, 'a "b" \\ <c>\nd'), request_id="x")
    assert json.loads(text(response)) == {"why": 'a "b" \\ <c>\nd', "id": "x"}
    assert response.headers["content-type"] == "application/json; charset=utf-8"


def test_template_that_begins_with_a_placeholder_is_html() -> None:
    response = render("{{status}} {{content}}", error=HTTPError(400, "<b>"))
    assert text(response) == "400 &lt;b&gt;"
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_values_are_not_templates() -> None:
    response = render("x {{content}} {{request_id}}", error=HTTPError(400, "{{request_id}}"),
                      request_id="{{version}}")  # fmt: skip
    assert text(response) == "x {{request_id}} {{version}}"


def test_default_template_is_a_whole_page() -> None:
    assert DEFAULT_TEMPLATE.startswith("<!doctype html>")


def test_headers_of_an_error_are_those_of_the_answer() -> None:
    error = HTTPError(503, headers={"Retry-After": "60", "X-Why": "rest"})
    headers = render(error=error).headers
    assert (headers["retry-after"], headers["x-why"]) == ("60", "rest")
    with pytest.raises(ValueError, match="is not a header name"):
        HTTPError(503, headers={"Retry After": "60"})
    with pytest.raises(ValueError, match="has a control character"):
        HTTPError(503, headers={"Retry-After": "60\r\nX: y"})
