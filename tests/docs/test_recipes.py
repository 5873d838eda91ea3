"""The recipes, each with a server that behaves as the application does."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docs.blocks import shown_file

from pingap.testing import Fields, Proxy, Received, Upstream
from pingap.testing.served import Served

Recipe = Callable[..., Proxy]

FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP")
FORGED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Real-IP": "6.6.6.6"}


@pytest.fixture
def recipe(start_proxy: Callable[..., Proxy], upstream: Upstream) -> Recipe:
    """Start a recipe whose upstreams are, by their names, those of the test; others are the default one."""

    def start(name: str, **upstreams: Upstream) -> Proxy:
        text = shown_file("recipes.md", f"{name}.toml")
        text = re.sub(r'^addr = ".*"', 'addr = "127.0.0.1:0"', text, flags=re.MULTILINE)

        def with_address(match: re.Match[str]) -> str:
            one = upstreams.get(match[1], upstream)
            return f'[upstreams.{match[1]}]\naddrs = ["{one.addr}"]'

        return start_proxy(re.sub(r"\[upstreams\.(\w+)\]\naddrs = .*", with_address, text))

    return start


def require_forwarded(request: Received, host: str) -> None:
    """Check that the application learns the truth about the client, whatever the client says."""
    found = [request.header_all(name) for name in FORWARDED]
    assert found == [["127.0.0.1"], ["http"], [host], ["127.0.0.1"]]
    assert request.header_all("Host") == [host]


def pieces(count: int) -> list[bytes]:
    return [bytes([number % 256]) * 65536 for number in range(count)]


# Wiki.


def test_mediawiki(recipe: Recipe, upstream: Upstream) -> None:
    proxy, host = recipe("mediawiki"), {"Host": "wiki.example.com"}
    shared = {"Cache-Control": "s-maxage=600, max-age=0", "Vary": "Accept-Encoding, Cookie"}
    upstream.reply("/wiki/AC%2FDC", "one", headers=shared)
    assert [proxy.get("/wiki/AC%2FDC", headers=host).body for _ in range(2)] == [b"one"] * 2
    require_forwarded(upstream.received_once(), "wiki.example.com")
    upstream.reply("/wiki/AC%2FDC", "mine", headers={"Cache-Control": "private, max-age=0"})
    session = {**host, "Cookie": "wiki_session=a"}
    assert proxy.get("/wiki/AC%2FDC", headers=session).body == b"mine"
    assert proxy.get("/wiki/AC%2FDC", headers=host).body == b"one"
    upstream.reply("/wiki/AC%2FDC", "two", headers=shared)
    assert proxy.request("PURGE", "/wiki/AC%2FDC", headers=host).status < 300
    assert proxy.get("/wiki/AC%2FDC", headers=host).body == b"two"


# Git forge.


def serve_git(root: Path) -> Callable[[Served, Received], None]:
    """Return a handler that runs ``git http-backend``, which is what forges do."""

    def handle(served: Served, request: Received) -> None:
        given = {
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "tester",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "CONTENT_TYPE": request.header("Content-Type") or "",
            "HTTP_CONTENT_ENCODING": request.header("Content-Encoding") or "",
            "GIT_PROTOCOL": request.header("Git-Protocol") or "",
            "CONTENT_LENGTH": str(len(request.body)),
        }
        done = subprocess.run(
            ["git", "http-backend"],
            env={**os.environ, **given},
            input=request.body,
            capture_output=True,
            timeout=30,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((text for name, text in fields if name == "Status"), "200 OK")
        served.respond(body, status, headers=[(n, t) for n, t in fields if n != "Status"])

    return handle


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_gitea_with_git_itself(recipe: Recipe, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = serve_git(tmp_path)
    url = f"http://127.0.0.1:{recipe('gitea').port()}/me/project.git"
    config = {
        "http.extraHeader": "Host: git.example.com",
        "http.postBuffer": "65536",  # larger pushes are sent in chunks
        "user.name": "me",
        "user.email": "me@example.com",
    }
    options = [word for key, value in config.items() for word in ("-c", f"{key}={value}")]
    quiet = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path), "NO_PROXY": "*"}

    def git(*arguments: str, cwd: Path = tmp_path) -> None:
        subprocess.run(
            ["git", *options, *arguments],
            check=True,
            cwd=cwd,
            env=quiet,
            capture_output=True,
            timeout=30,
        )

    git("init", "-q", "--bare", "me/project.git")
    git("init", "-q", "-b", "main", "work")
    large = os.urandom(3 << 20)
    (tmp_path / "work" / "large").write_bytes(large)
    git("add", ".", cwd=tmp_path / "work")
    git("commit", "-q", "-m", "one", cwd=tmp_path / "work")
    git("push", "-q", url, "main", cwd=tmp_path / "work")
    git("clone", "-q", "-b", "main", url, "copy")
    assert (tmp_path / "copy" / "large").read_bytes() == large
    pushes = [one for one in upstream.requests if one.path.endswith("/git-receive-pack")]
    assert max(len(one.body) for one in pushes) > len(large)
    require_forwarded(upstream.requests[0], "git.example.com")


def test_gitea_gets_paths_as_sent_and_no_larger_pushes(recipe: Recipe, upstream: Upstream) -> None:
    proxy, host = recipe("gitea"), {"Host": "git.example.com"}
    target = "/me/p/src/branch/feature%2Fone/a%20b?q=%2F"
    assert proxy.get(target, headers=host).status == 200
    assert upstream.received_once().target == target
    too_much = {**host, "Content-Length": str(3 << 30)}
    with proxy.connect() as client:
        client.send_request("POST", "/me/p.git/git-receive-pack", headers=too_much)
        assert client.answer().status == 413


# File cloud.


def test_nextcloud(recipe: Recipe, upstream: Upstream) -> None:
    with Upstream() as push:
        push.websocket("/ws")
        proxy, host = recipe("nextcloud", notify_push=push), {"Host": "cloud.example.com"}
        for kind in ("carddav", "caldav"):
            answer = proxy.request("PROPFIND", f"/.well-known/{kind}", headers=host)
            assert (answer.status, answer.header("Location")) == (301, "/remote.php/dav/")
        assert upstream.requests == []
        with proxy.connect_websocket("/push/ws", headers=host) as socket:
            socket.send("hello")
            assert socket.receive() == "hello"
        assert push.received_once().target == "/ws"
    proxy.get("/.well-known/webfinger?resource=x", headers=host)
    assert upstream.requests[-1].target == "/.well-known/webfinger?resource=x"
    for method in ("PROPFIND", "PROPPATCH", "MKCOL", "MOVE", "COPY", "LOCK", "REPORT", "DELETE"):
        dav = {**host, "Destination": "http://cloud.example.com/remote.php/dav/b", "Depth": "1"}
        answer = proxy.request(method, "/remote.php/dav/files/me/a%20b", headers=dav)
        assert answer.header("X-Content-Type-Options") == "nosniff"
        received = upstream.requests[-1]
        assert (received.method, received.header("Depth")) == (method, "1")
        assert received.header("Destination") == dav["Destination"]
    upload = {**host, **FORGED, "OC-Total-Length": str(5 << 30)}
    proxy.request("PUT", "/remote.php/dav/uploads/me/1/1", headers=upload, body=pieces(32))
    received = upstream.requests[-1]
    assert received.body == b"".join(pieces(32))
    require_forwarded(received, "cloud.example.com")


def test_nextcloud_gets_uploads_as_they_are_sent(recipe: Recipe, upstream: Upstream) -> None:
    proxy = recipe("nextcloud")
    arrived = threading.Event()

    def take(served: Served) -> None:
        request = served.read_head()
        assert request is not None
        served.read_until(b"first\r\n")
        arrived.set()
        served.read_until(b"0\r\n\r\n")
        served.respond(b"", "201 Created")

    def body() -> Iterator[bytes]:
        yield b"first"
        assert arrived.wait(10), "the first piece was held back"
        yield b"last"

    upstream.script = take
    host = {"Host": "cloud.example.com"}
    answer = proxy.request("PUT", "/remote.php/dav/files/me/a", headers=host, body=body())
    assert answer.status == 201


# Notebook server.


def test_jupyter(recipe: Recipe, upstream: Upstream) -> None:
    path = "/api/kernels/1-2/channels"
    upstream.websocket(path)
    proxy = recipe("jupyter")
    headers = {"Host": "notebooks.example.com", "Origin": "http://notebooks.example.com"}
    with proxy.connect_websocket(f"{path}?session_id=3", headers=headers) as socket:
        for message in ("{}", b"\0" * 200_000):
            socket.send(message)
            assert socket.receive() == message
    received = upstream.received_once()
    assert received.header("Origin") == f"http://{received.header('Host')}"
    assert received.header("X-Scheme") == "http"
    require_forwarded(received, "notebooks.example.com")
    servers = proxy._runtime.config.servers
    assert servers["notebooks"].tunnel_idle_timeout == 24 * 3600


# Home automation.


def test_home_assistant(recipe: Recipe, upstream: Upstream) -> None:
    upstream.websocket("/api/websocket")
    proxy, host = recipe("home-assistant"), {"Host": "home.example.com"}
    with proxy.connect_websocket("/api/websocket", headers={**host, **FORGED}) as socket:
        socket.send('{"type": "auth"}')
        assert socket.receive() == '{"type": "auth"}'
    require_forwarded(upstream.received_once(), "home.example.com")
    more = threading.Event()

    def events() -> Iterator[bytes]:
        yield b"data: ping\n\n"
        assert more.wait(10), "the first event was held back"
        yield b"data: pong\n\n"

    upstream.stream("/api/stream", events, headers={"Content-Type": "text/event-stream"})
    with proxy.connect() as client:
        client.send_request("GET", "/api/stream", headers=host)
        client.read_head()
        assert client.read_some() == b"data: ping\n\n"
        more.set()
        assert client.read_rest() == b"data: pong\n\n"


# Container registry.


def registry(served: Served, request: Received) -> None:
    """Answer as a registry does."""
    base = f"{request.header('X-Forwarded-Proto')}://{request.header('Host')}"
    version = [("Docker-Distribution-Api-Version", "registry/2.0")]
    if not request.header("Authorization"):
        challenge = f'Bearer realm="{base}/token",service="registry"'
        served.respond(b"{}", 401, headers=[("WWW-Authenticate", challenge), *version])
    elif request.method == "POST":
        where = f"{base}/v2/app/blobs/uploads/1?_state=a%2Fb%3D"
        served.respond(b"", 202, headers=[("Location", where), *version])
    elif request.method == "PATCH":
        served.respond(b"", 202, headers=[("Range", f"0-{len(request.body) - 1}"), *version])
    elif request.method == "HEAD":
        head = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nDocker-Content-Digest: sha256:ab\r\n\r\n"
        served.send(head.encode())
    else:
        served.respond(b"", 201, headers=version)


def test_registry(recipe: Recipe, upstream: Upstream) -> None:
    upstream.default = registry
    proxy, host = recipe("registry"), {"Host": "registry.example.com"}
    answer = proxy.get("/v2/", headers=host)
    assert answer.status == 401
    realm = 'Bearer realm="http://registry.example.com/token",service="registry"'
    assert answer.header_all("WWW-Authenticate") == [realm]
    known = {**host, "Authorization": "Bearer x"}
    answer = proxy.request("POST", "/v2/app/blobs/uploads/", headers=known)
    location = answer.header("Location") or ""
    assert location == "http://registry.example.com/v2/app/blobs/uploads/1?_state=a%2Fb%3D"
    target = location.removeprefix("http://registry.example.com")
    answer = proxy.request("PATCH", target, headers=known, body=pieces(48))
    assert answer.header("Range") == f"0-{48 * 65536 - 1}"
    assert upstream.requests[-1].target == target
    answer = proxy.request("PUT", f"{target}&digest=sha256:ab", headers=known)
    assert answer.status == 201
    answer = proxy.request("HEAD", "/v2/app/manifests/latest", headers=known)
    found = [answer.header(name) for name in ("Content-Length", "Docker-Content-Digest")]
    assert found == ["1234", "sha256:ab"]
    assert answer.header_all("Docker-Distribution-Api-Version") == ["registry/2.0"]
    assert proxy.get("/", headers=host).status == 404


# Dashboard below a path.


def test_grafana(recipe: Recipe, upstream: Upstream) -> None:
    upstream.websocket("/grafana/api/live/ws")
    upstream.reply("/grafana/", status=302, headers={"Location": "/grafana/login"})
    proxy, host = recipe("grafana"), {"Host": "tools.example.com"}
    answer = proxy.get("/grafana", headers=host)
    assert (answer.status, answer.header("Location")) == (301, "/grafana/")
    assert proxy.get("/grafana-old", headers=host).status == 404
    assert proxy.get("/grafana/", headers=host).header("Location") == "/grafana/login"
    proxy.get("/grafana/d/x?var-a=%2F&from=now-1h", headers=host)
    assert upstream.requests[-1].target == "/grafana/d/x?var-a=%2F&from=now-1h"
    origin = {**host, "Origin": "http://tools.example.com"}
    with proxy.connect_websocket("/grafana/api/live/ws", headers=origin) as socket:
        socket.send("{}")
        assert socket.receive() == "{}"
    received = upstream.requests[-1]
    assert received.header("Origin") == "http://tools.example.com"
    require_forwarded(received, "tools.example.com")


# Media server.


def test_jellyfin(recipe: Recipe, upstream: Upstream) -> None:
    film = bytes(range(256)) * 4096

    def play(served: Served, request: Received) -> None:
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", request.header("Range") or "").groups()  # type: ignore[union-attr]
        part = film[int(first) : int(last) + 1]
        where = f"bytes {first}-{last}/{len(film)}"
        served.respond(part, 206, headers={"Content-Range": where, "Accept-Ranges": "bytes"})

    upstream.on("/Videos/1/stream.mkv", play)
    upstream.websocket("/socket")
    proxy, host = recipe("jellyfin"), {"Host": "media.example.com"}
    for first, last in ((0, 1), (1000, 700_000), (len(film) - 10, len(film) - 1)):
        headers = {**host, "Range": f"bytes={first}-{last}", "If-Range": '"a"'}
        answer = proxy.get("/Videos/1/stream.mkv?static=true", headers=headers)
        assert (answer.status, answer.body) == (206, film[first : last + 1])
        assert answer.header("Content-Range") == f"bytes {first}-{last}/{len(film)}"
        assert upstream.requests[-1].header("If-Range") == '"a"'
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Content-Security-Policy") == "frame-ancestors 'self'"
    assert answer.header("X-Frame-Options") is None
    with proxy.connect_websocket("/socket?api_key=1", headers=host) as socket:
        socket.send("{}")
        assert socket.receive() == "{}"
    assert upstream.requests[-1].header("X-Forwarded-Protocol") == "http"
    require_forwarded(upstream.requests[-1], "media.example.com")
    too_much = {**host, "Content-Length": str(21 << 20)}
    with proxy.connect() as client:
        client.send_request("POST", "/Items/1/Images/Primary", headers=too_much)
        assert client.answer().status == 413


# Chat server.


def test_synapse(recipe: Recipe, upstream: Upstream) -> None:
    proxy, host = recipe("synapse"), {"Host": "matrix.example.com"}
    for kind, key in (("client", "m.homeserver"), ("server", "m.server")):
        answer = proxy.get(f"/.well-known/matrix/{kind}", headers={"Host": "example.com"})
        assert list(answer.json()) == [key]
        assert answer.header("Content-Type") == "application/json"
        cors = answer.header("Access-Control-Allow-Origin")
        assert cors == ("*" if kind == "client" else None)
    for hidden in ("/_synapse/admin/v1/users", "/_matrixx", "/_synapse/client/../admin/v1/users"):
        assert proxy.get(hidden, headers=host).status == 404
    assert upstream.requests == []
    room = "/_matrix/client/v3/rooms/%21a%3Ab/state/m.x/a%2Fb?ts=1"
    for target in (room, "/_synapse/client/oidc/callback?code=%2B"):
        assert proxy.get(target, headers={**host, **FORGED}).status == 200
        assert upstream.requests[-1].target == target
    require_forwarded(upstream.requests[-1], "matrix.example.com")
    message = threading.Event()
    upstream.reply("/_matrix/client/v3/sync", b"{}", until=message)
    with proxy.connect() as client:
        client.send_request("GET", "/_matrix/client/v3/sync?timeout=30000", headers=host)
        upstream.wait_for_request(len(upstream.requests))
        message.set()
        assert client.answer().body == b"{}"
    assert proxy._runtime.config.upstreams["synapse"].read_timeout is None


# S3-compatible store.

KEY = b"secret"
NAMES = ("host", "x-amz-content-sha256", "x-amz-date", "x-amz-meta-a-b", "x-amz-meta-a_b")


def signature(method: str, target: str, fields: Fields) -> str:
    """Sign a request as version 4 of AWS does, without decoding its path."""
    path, _, query = target.partition("?")
    parts = "&".join(sorted(query.split("&")))
    headers = "".join(f"{name}:{fields.get(name)}\n" for name in NAMES)
    body = fields.get("x-amz-content-sha256")
    request = "\n".join([method, path, parts, headers, ";".join(NAMES), str(body)])
    scope = "20260101/eu/s3/aws4_request"
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            "20260101T000000Z",
            scope,
            hashlib.sha256(request.encode()).hexdigest(),
        ]
    )
    key = b"AWS4" + KEY
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def store(served: Served, request: Received) -> None:
    """Accept requests whose signature is right."""
    right = signature(request.method, request.target, request.headers)
    given = (request.header("Authorization") or "").rpartition("=")[2]
    served.respond(b"", 200 if hmac.compare_digest(right, given) else 403)


@pytest.mark.parametrize("host", ["s3.example.com", "bucket.s3.example.com", "s3.example.com:80"])
@pytest.mark.parametrize(
    "target",
    [
        "/bucket/key?versionId=a%2Fb&acl",
        "/bucket//double/./%2e/key%2Fslash%5C~*'()",
        "/bucket/%E2%82%AC%20+%25?list-type=2&prefix=a%20b&X-Amz-Date=%2b",
    ],
)
def test_minio(recipe: Recipe, upstream: Upstream, host: str, target: str) -> None:
    upstream.default = store
    body = b"x" * 200_000
    fields = {
        "Host": host,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": "20260101T000000Z",
        "x-amz-meta-a-b": "1",
        "x-amz-meta-a_b": "2",
    }
    signed = signature("PUT", target, Fields(fields.items()))
    proxy = recipe("minio")
    for signed_with, status in ((signed, 200), ("0" * 64, 403)):
        headers = {**fields, "Authorization": f"AWS4-HMAC-SHA256 Signature={signed_with}"}
        answer = proxy.request("PUT", target, headers=headers, body=body)
        assert answer.status == status
        assert (upstream.requests[-1].target, upstream.requests[-1].body) == (target, body)


def test_the_console_of_minio(recipe: Recipe, upstream: Upstream) -> None:
    with Upstream() as console:
        console.websocket("/ws/objectManager")
        proxy = recipe("minio", minio_console=console)
        headers = {"Host": "console.example.com"}
        with proxy.connect_websocket("/ws/objectManager", headers=headers) as socket:
            socket.send("{}")
            assert socket.receive() == "{}"
        require_forwarded(console.received_once(), "console.example.com")


# Web mail.


def test_roundcube(recipe: Recipe, upstream: Upstream) -> None:
    cookies = [
        "roundcube_sessid=a; path=/; secure; HttpOnly; SameSite=Lax",
        "roundcube_sessauth=-del-; expires=Thu, 01 Jan 1970 00:00:00 GMT; path=/; secure",
    ]
    headers = [("Set-Cookie", one) for one in cookies]
    upstream.reply("/", headers=[*headers, ("X-Powered-By", "PHP"), ("X-Frame-Options", "DENY")])
    proxy, host = recipe("roundcube"), {"Host": "mail.example.com"}
    answer = proxy.get("/?_task=login", headers={**host, "Cookie": "a=1; b=2", **FORGED})
    assert answer.header_all("Set-Cookie") == cookies
    assert answer.header("X-Powered-By") is None
    assert answer.header_all("X-Frame-Options") == ["DENY"]
    assert answer.header("Referrer-Policy") == "strict-origin-when-cross-origin"
    assert answer.header("X-Robots-Tag") == "noindex, nofollow"
    assert upstream.received_once().header_all("Cookie") == ["a=1; b=2"]
    require_forwarded(upstream.received_once(), "mail.example.com")
    for path in (
        "/config/config.inc.php",
        "/%63onfig/config.inc.php",
        "/x/../logs/errors.log",
        "//temp",
        "/.git/config",
        "/SQL/mysql.initial.sql",
        "/CHANGELOG.md",
    ):
        assert proxy.get(path, headers=host).status == 404, path
    assert len(upstream.requests) == 1
    assert proxy.get("/program/js/app.js", headers=host).status == 200
    too_much = {**host, "Content-Length": "27000000"}
    with proxy.connect() as client:
        client.send_request("POST", "/?_task=mail&_action=upload", headers=too_much)
        assert client.answer().status == 413


# Identity provider.


def test_keycloak(recipe: Recipe, upstream: Upstream) -> None:
    large = "x" * 30_000
    upstream.reply("/realms/a/account", headers=[("Set-Cookie", f"KC_STATE={large}; Secure")])
    proxy, host = recipe("keycloak"), {"Host": "login.example.com"}
    cookie = {"Cookie": f"AUTH_SESSION_ID=1; a={large}; b={large}; c={large}"}
    target = "/realms/a/account?SAMLRequest=" + "y" * 20_000
    answer = proxy.get(target, headers={**host, **cookie, **FORGED})
    assert answer.header("Set-Cookie") == f"KC_STATE={large}; Secure"
    assert upstream.received_once().target == target
    assert upstream.received_once().header("Cookie") == cookie["Cookie"]
    require_forwarded(upstream.received_once(), "login.example.com")
    for path in ("/admin/master/console/", "/metrics", "/health", "/realms/../admin/"):
        assert proxy.get(path, headers=host).status == 404
    assert proxy.get("/resources/x/login.css", headers=host).status == 200


def test_the_nodes_of_keycloak(start_proxy: Callable[..., Proxy], upstream: Upstream) -> None:
    """A login stays with its node."""
    with Upstream() as second:
        text = shown_file("recipes.md", "keycloak.toml").replace("0.0.0.0:80", "127.0.0.1:0")
        for old, one in (("10.0.0.1:8080", upstream), ("10.0.0.2:8080", second)):
            text = text.replace(old, one.addr)
        proxy = start_proxy(text)
        for login in range(8):
            before = len(upstream.requests), len(second.requests)
            for _ in range(3):
                headers = {"Host": "login.example.com", "Cookie": f"AUTH_SESSION_ID={login}"}
                proxy.get("/realms/a/login", headers=headers)
            after = len(upstream.requests), len(second.requests)
            assert {new - old for new, old in zip(after, before, strict=True)} == {0, 3}
        assert upstream.requests
        assert second.requests
