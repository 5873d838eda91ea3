"""Caddyfiles: what is read, what is served, and what is left out."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from pingap_convert.caddy.convert import convert_caddyfile
from pingap_convert.caddy.reader import read_caddyfile
from pingap_convert.formats import write_toml
from pingap_convert.result import ConversionError, Result
from side_by_side import backend
from support.process import Process

BCRYPT = "$2b$05$abcdefghijklmnopqrstuuJCYPIONJ2RsY8x1S5rVUXVb6dGQrXbe"

SITE = """
{
	email me@example.test
}
(secure) {
	header X-Snippet {args[0]}
	header -X-Hidden
}
:8080 {
	import secure yes
	root * www
	encode gzip
	@posts {
		method POST
		path /form/*
	}
	@beta header X-Beta *
	basic_auth /private/* {
		me @HASH@
	}
	header /static/* Cache-Control "max-age=60"
	handle /api/* {
		reverse_proxy 127.0.0.1:@BACKEND@ {
			header_up X-Fixed "a b"
		}
	}
	handle_path /stripped/* {
		reverse_proxy 127.0.0.1:@BACKEND@
	}
	redir /old /new permanent
	redir @posts /thanks 303
	respond @beta "beta"
	respond /health 204
	respond /Text "hello there" 201
	file_server
}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("caddy")
    for name in ("index.html", "static/a.txt", "private/x.txt", "api.txt"):
        path = folder / "www" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}\n")
    with backend() as port:
        file = folder / "Caddyfile"
        file.write_text(SITE.replace("@BACKEND@", str(port)).replace("@HASH@", BCRYPT))
        result = Result(output=folder / "pingap.toml")
        convert_caddyfile(file, result)
        assert result.left_out == []
        for path, content in result.files.items():
            path.write_text(content)
        toml = write_toml(result.ordered()).replace("0.0.0.0:8080", "127.0.0.1:0")
        (server,) = tomli.loads(toml)["servers"]
        with Process(toml.replace(server, "web"), folder / "proxy") as proxy:
            yield proxy


def ask(
    proxy: Process, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port(), timeout=10)
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=fields)
        answer = connection.getresponse()
        body = answer.read().decode()
        return answer.status, body, {k.lower(): v for k, v in answer.headers.items()}
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/", 200, "this is index.html"),
        ("/static/a.txt", 200, "this is static/a.txt"),
        ("/api/x?y=1", 200, "GET /api/x?y=1"),
        ("/API/x", 200, "GET /API/x"),
        ("/api.txt", 200, "this is api.txt"),
        ("/stripped/a/b", 200, "GET /a/b"),
        ("/STRIPPED/a", 200, "GET /a"),
        ("/old", 301, ""),
        ("/old/x", 404, ""),
        ("/health", 204, ""),
        ("/text", 201, "hello there"),
        ("/private/x.txt", 401, ""),
        ("/PRIVATE/x.txt", 401, ""),
        ("/private", 301, ""),
    ],
)
def test_a_site(site: Process, path: str, status: int, said: str) -> None:
    found, body, headers = ask(site, path)
    assert found == status
    assert said in body
    assert headers["x-snippet"] == "yes"
    assert "x-hidden" not in headers


def test_headers_and_matchers(site: Process) -> None:
    assert ask(site, "/static/a.txt")[2]["cache-control"] == "max-age=60"
    assert ask(site, "/form/x", "POST")[0] == 303
    assert ask(site, "/form/x")[0] == 404
    assert ask(site, "/any", X_Beta="1")[1] == "beta"
    assert "x-fixed=a b" in ask(site, "/api/x")[1]
    assert ask(site, "/api/x", X_Forwarded_For="1.2.3.4")[1].count("x-forwarded-for=127.0.0.1") == 1


def test_no_condition_leads_around_a_password(site: Process) -> None:
    assert ask(site, "/private/x.txt", X_Beta="1")[0] == 401
    assert ask(site, "/private/x.txt", "POST")[0] == 401
    assert ask(site, "/private/%78.txt")[0] == 401
    assert ask(site, "//private/x.txt")[0] == 401


def converted(folder: Path, text: str) -> Result:
    file = folder / "Caddyfile"
    file.write_text(text)
    result = Result()
    convert_caddyfile(file, result)
    return result


def reasons(result: Result) -> list[str]:
    return [f"{place.line}: {reason}" for place, reason in sorted(result.left_out)]


def test_sites_without_certificates_have_no_tls(tmp_path: Path) -> None:
    result = converted(tmp_path, "example.test, www.example.test {\n respond ok\n}\n")
    assert reasons(result) == [
        "1: example.test: certificates are not ordered automatically, so it is served without TLS",
        "1: www.example.test: certificates are not ordered automatically, so it is served without TLS",
    ]
    assert result.tables["servers"]["listen_80"]["addr"] == "0.0.0.0:80"
    (location,) = result.tables["locations"].values()
    assert location["host"] == "example.test,www.example.test"


def test_one_site_needs_no_braces(tmp_path: Path) -> None:
    result = converted(tmp_path, 'localhost:3000\n\nrespond "a # b" 200 # c\n')
    assert result.tables["plugins"]["localhost_answer"]["data"] == "a # b"


def test_what_is_closed(tmp_path: Path) -> None:
    text = """:80 {
	basic_auth @unknown {
		a $2a$14$x
	}
	@unknown expression true
	forward_auth /x 127.0.0.1:9
	respond hello
}
"""
    result = converted(tmp_path, text)
    assert reasons(result) == [
        "2: basic_auth: its matcher @unknown cannot be converted, so everything gets 403",
        "5: @unknown: expression true cannot be converted",
        "6: forward_auth: there is no equivalent, so all requests get 403",
    ]
    first, *_ = sorted(result.tables["locations"].values(), key=lambda one: -one["weight"])
    assert result.tables["plugins"][first["plugins"][0]]["status"] == 403
    assert "path" not in first


def test_refusals_that_cannot_be_converted_refuse_everything(tmp_path: Path) -> None:
    text = """:80 {
	bind 127.0.0.1
	@strangers not remote_ip 10.0.0.0/8
	abort @strangers
	handle @strangers {
		respond /x 403
	}
	respond hello
}
"""
    result = converted(tmp_path, text)
    assert reasons(result) == [
        "3: @strangers: not remote_ip 10.0.0.0/8 cannot be converted",
        "4: abort: its matcher @strangers cannot be converted, so everything gets 403",
        "5: handle: its matcher @strangers cannot be converted, so everything gets 403",
    ]
    (server,) = result.tables["servers"].values()
    assert server["addr"] == "127.0.0.1:80"
    first, *_ = sorted(result.tables["locations"].values(), key=lambda one: -one["weight"])
    assert result.tables["plugins"][first["plugins"][0]]["status"] == 403


def test_client_certificates_that_cannot_be_converted_close_the_site(tmp_path: Path) -> None:
    text = "https://a.test {\n tls {\n  client_auth {\n   mode require\n  }\n }\n respond hi\n}\n"
    result = converted(tmp_path, text)
    assert "3: tls client_auth: so all requests get 403" in reasons(result)
    first, *_ = sorted(result.tables["locations"].values(), key=lambda one: -one["weight"])
    assert result.tables["plugins"][first["plugins"][0]]["status"] == 403


def test_imports(tmp_path: Path) -> None:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "a.caddy").write_text("http://a.test {\n import ../common\n}\n")
    (tmp_path / "common").write_text("respond /x `from common`\n")
    result = converted(tmp_path, "import sites/*.caddy\n")
    assert result.left_out == []
    texts = [one.get("data") for one in result.tables["plugins"].values()]
    assert "from common" in texts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (":80 {\n respond x\n", "Caddyfile:1: a block has no end"),
        (":80\n}\n", "Caddyfile:2: found } without a block"),
        ("import none.caddy\n", "Caddyfile:1: import none.caddy: there is none"),
        ("(a) {\n import a\n}\n:80 {\n import a\n}\n", "import in a circle"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConversionError) as caught:
        converted(tmp_path, text)
    assert said in str(caught.value)


def test_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "81")
    file = tmp_path / "Caddyfile"
    file.write_text(
        ':{$PORT}, :{$OTHER:82} {\n\trespond "a \\"b\\"" \\\n\t\t200\n\theader X <<END\n\tlong\n\tEND\n}\n'
    )
    (site,) = read_caddyfile(file).sites
    assert site.words == [":81,", ":82"]
    assert [one.words for one in site.block or []] == [
        ["respond", 'a "b"', "200"],
        ["header", "X", "\tlong"],
    ]
