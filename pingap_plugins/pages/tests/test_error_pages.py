"""``error_pages``: which page a client gets for an error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from waiting import until

from pingap import HTTPError, Plugin, RequestContext, hookimpl
from pingap.testing import Proxy, Upstream, configuration_problems

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FAILING = ("mock", {"status": 404, "data": "made by a plugin"})


class Refuse(Plugin):
    """Refuses every request."""

    category = "refuse"

    @hookimpl
    def request(self, ctx: RequestContext) -> None:
        ctx.request_id = "id-1"
        raise HTTPError(403, "<b>no</b>", headers={"Allow": "NONE"})


GUARD = Refuse


def test_a_file_is_sent_as_it_is(proxy: Proxy, pages: Path) -> None:
    proxy.location("/", plugins=[GUARD], error_pages={"403": str(pages / "404.html")})
    answer = proxy.get("/x", headers=BROWSER)
    assert (answer.status, answer.text) == (403, (pages / "404.html").read_text())
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert answer.header("cache-control") == "private, no-store"
    assert answer.header("vary") == "Accept"


def test_head_has_the_length_of_the_page(proxy: Proxy, pages: Path) -> None:
    proxy.location("/", plugins=[GUARD], error_pages={"403": str(pages / "404.html")})
    answer = proxy.request("HEAD", "/x", headers=BROWSER)
    assert (answer.status, answer.body) == (403, b"")
    assert answer.header("content-length") == str((pages / "404.html").stat().st_size)


def test_conditions_do_not_apply_to_errors(proxy: Proxy, pages: Path) -> None:
    proxy.location("/", plugins=[GUARD], error_pages={"403": str(pages / "404.html")})
    answer = proxy.get("/x", headers={**BROWSER, "If-None-Match": "*", "Range": "bytes=0-1"})
    assert (answer.status, answer.text) == (403, (pages / "404.html").read_text())


def test_http2_gets_the_page(proxy: Proxy, pages: Path) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", plugins=[GUARD], error_pages={"403": str(pages / "404.html")})
    with proxy.connect_http2() as client:
        answer = client.get("/x", headers=[("accept", "text/html")])
    assert (answer.status, answer.text) == (403, (pages / "404.html").read_text())


def test_a_template_is_filled_and_escaped(proxy: Proxy, pages: Path) -> None:
    page = {"template": str(pages / "50x.html")}
    proxy.location("/", plugins=[GUARD], error_pages={"4xx": page})
    answer = proxy.get("/x", headers=BROWSER)
    assert answer.text == "<p>403 Forbidden: &lt;b&gt;no&lt;/b&gt; id-1</p>"
    assert (answer.header("x-request-id"), answer.header("allow")) == ("id-1", "NONE")


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("application/problem+json, text/html;q=0.5", True),
        ("text/html, application/json;q=0.9", False),
        ("*/*", False),
    ],
)
def test_who_prefers_json_gets_json(proxy: Proxy, pages: Path, accept: str, json: bool) -> None:
    proxy.location("/", plugins=[GUARD], error_pages={"403": str(pages / "404.html")})
    answer = proxy.get("/x", headers={"Accept": accept})
    assert answer.status == 403
    assert (answer.header("content-type") == "application/json; charset=utf-8") is json
    if json:
        assert answer.json()["status"] == 403


def test_json_can_have_a_template(proxy: Proxy, pages: Path) -> None:
    page = {"file": str(pages / "404.html"), "json_template": str(pages / "error.json")}
    proxy.location("/", plugins=[FAILING], error_pages={"404": page}, intercept_errors=True)
    answer = proxy.get("/x", headers={"Accept": "application/json"})
    assert answer.json() == {"code": 404, "text": "Not Found"}


def test_a_page_of_another_type_is_for_everyone(proxy: Proxy, pages: Path) -> None:
    (pages / "plain.txt").write_bytes(b"caf\xe9")
    proxy.location("/", plugins=[GUARD], error_pages={"403": str(pages / "plain.txt")})
    answer = proxy.get("/x", headers={"Accept": "application/json"})
    assert (answer.body, answer.header("content-type")) == (b"caf\xe9", "text/plain")
    assert answer.header("vary") is None


def test_a_status_wins_over_its_class_and_a_location_over_its_server(
    proxy: Proxy, pages: Path
) -> None:
    for name in ("server", "class", "status"):
        (pages / f"{name}.txt").write_text(name)
    rules = {"4xx": str(pages / "class.txt"), "403, 404": str(pages / "status.txt")}
    proxy.configure("servers.web", error_pages={"4xx 5xx": str(pages / "server.txt")})
    proxy.location("/own", plugins=[GUARD], error_pages=rules)
    proxy.location("/large", client_max_body_size=1, error_pages=rules, upstream="upstream")
    proxy.location("/none", plugins=[GUARD])
    assert proxy.get("/own").text == "status"
    assert proxy.request("POST", "/large", body=b"12").text == "class"
    assert proxy.get("/none").text == "server"
    missing = proxy.get("/elsewhere")
    assert (missing.status, missing.text) == (404, "server")


def test_responses_of_upstreams_pass_unless_intercepted(
    proxy: Proxy, upstream: Upstream, pages: Path
) -> None:
    page = {"404 401": str(pages / "404.html")}
    proxy.location("/as-it-is", error_pages=page)
    proxy.location("/replaced", error_pages=page, intercept_errors=True)
    headers = {"WWW-Authenticate": 'Basic realm="a"', "ETag": '"1"', "Set-Cookie": "a=1"}
    for path in ("/as-it-is", "/replaced"):
        upstream.reply(path, status=401, body=b"x" * 100_000, headers=headers)
    assert proxy.get("/as-it-is", headers=BROWSER).body == b"x" * 100_000
    with proxy.connect() as client:
        for _ in range(2):
            answer = client.get("/replaced", headers=BROWSER)
            assert (answer.status, answer.text) == (401, (pages / "404.html").read_text())
            assert answer.header("www-authenticate") == 'Basic realm="a"'
            assert (answer.header("etag"), answer.header("set-cookie")) == (None, None)
    upstream.reply("/replaced", status=410, body=b"gone")
    assert proxy.get("/replaced", headers=BROWSER).body == b"gone"


def test_the_status_can_be_changed(proxy: Proxy, pages: Path) -> None:
    page = {"file": str(pages / "404.html"), "status": 404}
    proxy.location("/", plugins=[GUARD], error_pages={"403": page})
    assert proxy.get("/x").status == 404


def test_fields_of_other_plugins_are_sent(proxy: Proxy, pages: Path) -> None:
    cors = ("cors", {"allow_origin": "https://app.test"})
    secure = ("response_headers", {"set_headers": ["X-Frame-Options: DENY"]})
    proxy.location("/", plugins=[cors, secure, GUARD], error_pages={"4xx": str(pages / "404.html")})
    answer = proxy.get("/x", headers={**BROWSER, "Origin": "https://app.test"})
    assert (answer.status, answer.text) == (403, (pages / "404.html").read_text())
    assert answer.header("access-control-allow-origin") == "https://app.test"
    assert answer.header("x-frame-options") == "DENY"


def test_grpc_gets_no_page(proxy: Proxy, pages: Path) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", plugins=[GUARD], error_pages={"4xx": str(pages / "404.html")})
    with proxy.connect_http2() as client:
        answer = client.request("POST", "/a/B", headers=[("content-type", "application/grpc")])
    assert (answer.status, answer.header("grpc-status"), answer.body) == (200, "7", b"")


def test_an_upstream_has_the_page(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/errors/403", body=b"<p>cms</p>", headers={"Content-Type": "text/html"})
    page = {"upstream": "upstream", "path": "/errors/403?lang=en"}
    proxy.location("/", plugins=[GUARD], error_pages={"403": page})
    answer = proxy.get("/x", headers={**BROWSER, "Host": "shop.test", "Cookie": "secret=1"})
    assert (answer.status, answer.text) == (403, "<p>cms</p>")
    asked = upstream.received_once()
    assert (asked.method, asked.target) == ("GET", "/errors/403?lang=en")
    assert (asked.header("host"), asked.header("accept")) == ("shop.test", BROWSER["Accept"])
    assert asked.header("cookie") is None


@pytest.mark.parametrize("case", ["missing", "large", "late"])
def test_without_the_page_of_the_upstream_pingap_has_one(
    proxy: Proxy, upstream: Upstream, case: str
) -> None:
    release = threading.Event()

    def late() -> object:
        release.wait(30)
        yield b"late"

    if case == "missing":
        upstream.reply("/page", status=404)
    elif case == "large":
        upstream.reply("/page", body=b"x" * 2000)
    else:
        upstream.stream("/page", late)
    page = {"upstream": "upstream", "path": "/page", "timeout": "100ms", "max_size": "1KiB"}
    proxy.location("/", plugins=[GUARD], error_pages={"403": page})
    try:
        answer = proxy.get("/x", headers={"Accept": "application/json"})
    finally:
        release.set()
    assert (answer.status, answer.json()["status"]) == (403, 403)
    assert len(upstream.requests) == 1


def test_a_changed_file_is_read_again(proxy: Proxy, pages: Path) -> None:
    proxy.location("/", plugins=[GUARD], error_pages={"403": str(pages / "404.html")})
    assert "Nothing" in proxy.get("/x").text
    (pages / "404.html").write_text("new")
    until(lambda: proxy.get("/x").text == "new")
    (pages / "404.html").unlink()
    proxy.expect_error("the previous content stays in use")
    assert proxy.get("/x").text == "new"


TOML = """[upstreams.site]
addrs = ["127.0.0.1:3000"]
[locations.site]
upstream = "site"
{keys}
[servers.web]
addr = "127.0.0.1:0"
locations = ["site"]
"""


@pytest.mark.parametrize(
    ("keys", "line", "text"),
    [
        ('error_pages = { 404 = "missing.html" }', 5, "cannot be read: No such file"),
        ('error_pages = { 304 = "{page}" }', 5, "expected statuses from 400 to 599"),
        ('error_pages = { "404 6xx" = "{page}" }', 5, 'found "6xx"'),
        ("error_pages = { 404 = {} }", 5, "expected one of file, template and upstream"),
        ('error_pages = { 404 = { upstream = "sote", path = "/" } }', 5, 'did you mean "site"'),
        ('error_pages = { 404 = { upstream = "site" } }', 5, "path is missing"),
        ('error_pages = { 404 = { upstream = "site", path = "x" } }', 5, 'begins with "/"'),
        ('error_pages = { 404 = { file = "{page}", path = "/" } }', 5, "path has no effect"),
        ('error_pages = { 404 = { file = "{page}", status = 302 } }', 5, "found 302"),
        ('error_pages = { 404 = { fil = "a" } }', 5, "file"),
        ("intercept_errors = true", 5, "no effect without error_pages"),
    ],
)
def test_mistakes_are_told(keys: str, line: int, text: str, pages: Path) -> None:
    keys = keys.replace("{page}", str(pages / "404.html"))
    [problem] = configuration_problems(TOML.format(keys=keys))
    assert problem.startswith(f"pingap.toml:{line}: locations.site"), problem
    assert text in problem


def test_a_status_has_one_page(pages: Path) -> None:
    page = pages / "404.html"
    keys = f'error_pages = {{ 404 = "{page}", "403 404" = "{page}" }}'
    [problem] = configuration_problems(TOML.format(keys=keys))
    assert "404 has two pages" in problem


def test_a_server_intercepts_for_its_locations(
    proxy: Proxy, upstream: Upstream, pages: Path
) -> None:
    page = str(pages / "404.html")
    proxy.configure("servers.web", error_pages={"5xx": page}, intercept_errors=True)
    proxy.location("/", plugins=[("response_headers", {"add_headers": ["X-Mark: 1"]})])
    upstream.reply("/x", status=500, body=b"details")
    answer = proxy.get("/x", headers=BROWSER)
    assert (answer.status, answer.text) == (500, (pages / "404.html").read_text())
    assert answer.header_all("x-mark") == ["1"]


def test_a_replaced_response_is_not_stored(proxy: Proxy, upstream: Upstream, pages: Path) -> None:
    page = str(pages / "404.html")
    proxy.location("/", plugins=["cache"], error_pages={"404": page}, intercept_errors=True)
    proxy.configure("plugins.cache", category="cache")
    upstream.reply("/x", status=404, headers={"Cache-Control": "max-age=60"})
    upstream.reply("/y", body=b"found", headers={"Cache-Control": "max-age=60"})
    assert [proxy.get("/x").text for _ in range(2)] == [(pages / "404.html").read_text()] * 2
    assert [proxy.get("/y").text for _ in range(2)] == ["found"] * 2
    assert [one.target for one in upstream.requests] == ["/x", "/x", "/y"]
