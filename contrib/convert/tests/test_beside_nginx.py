"""The converted configuration answers as nginx does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from side_by_side import Pair, backend, needs_nginx, side_by_side

pytestmark = needs_nginx

HASH = "$5$saltsalt$bA8FfBAVfgsVJ1yVxlHx/gxmQUBe.AfKjn1WjJJvl8C"

LOCATIONS = """
upstream app { server 127.0.0.1:@BACKEND@ weight=2; server 127.0.0.1:9 backup; keepalive 8; }
server {
    listen @PORT@ default_server;
    server_name example.test;
    location = / { return 200 "home"; }
    location / { return 200 "root"; }
    location /prefix { return 200 "prefix"; }
    location /prefix/long { return 200 "long"; }
    location ^~ /strong/ { return 200 "strong"; }
    location ~ \\.txt$ { return 200 "first regex"; }
    location ~* \\.(TXT|md)$ { return 200 "second regex"; }
    location = /exact.txt { return 200 "exact"; }
    location /plain/ { proxy_pass http://app; }
    location /uri/ { proxy_pass http://app/other/path/; proxy_set_header Host $host; }
    location = /one { proxy_pass http://127.0.0.1:@BACKEND@/replaced; }
    location /bare { proxy_pass http://127.0.0.1:@BACKEND@/; }
    location /headers/ {
        proxy_pass http://app;
        proxy_set_header Host fixed.test;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Fixed "a b";
        add_header X-Tag tagged;
    }
    location /rewritten/ { rewrite ^/rewritten/(.*)$ /new/$1 break; proxy_pass http://app; }
    location /small { client_max_body_size 10; proxy_pass http://app; }
    location /gone { return 410; }
    location /there { return 302 http://other.test/x; }
    location /nested/ { return 301 /moved; }
}
"""


@pytest.fixture(scope="module")
def locations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with (
        backend() as port,
        side_by_side(
            tmp_path_factory.mktemp("nginx"), LOCATIONS.replace("@BACKEND@", str(port))
        ) as pair,
    ):
        assert pair.result.left_out == []
        yield pair


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/x", "/?a=b", "/prefix", "/prefixed", "/prefix/long", "/prefix/longer/x"),
        *("/strong/", "/strong/a.txt", "/strong", "/a.txt", "/A.TXT", "/a.md", "/prefix/a.txt"),
        *("/exact.txt", "/exact.txt?x", "/exact.txt/", "/%65xact.txt", "/prefix//long"),
        *("/plain/", "/plain/a%20b?x=1&y", "/plain", "/uri/", "/uri/a/b?c", "/uri/a%2520b"),
        *("/one", "/one?x=1", "/onex", "/bare", "/bare/x", "/barex"),
        *("/headers/x", "/rewritten/a?b=c", "/rewritten/", "/gone", "/there", "/nested/x?y"),
    ],
)
def test_locations(locations: Pair, path: str) -> None:
    locations.compare(path, "example.test")


def test_bodies(locations: Pair) -> None:
    locations.compare("/small", method="POST", body=b"0123456789")
    locations.compare("/small", method="POST", body=b"01234567890")
    locations.compare("/plain/", method="POST", body=b"x" * (1 << 20))


HOSTS = """
server { listen @PORT@; server_name a.test; return 200 "a"; }
server { listen @PORT@; server_name *.test; location / { return 200 "any test"; } }
server { listen @PORT@; server_name *.deep.test; location / { return 200 "any deep"; } }
server { listen @PORT@; server_name .dot.test; location /only { return 200 "dot"; } }
server { listen @PORT@; server_name www.*; location / { return 200 "www"; } }
server { listen @PORT@; server_name ~^r\\d+\\.; location / { return 200 "first"; } }
server { listen @PORT@; server_name ~^r1; location / { return 200 "second"; } }
server { listen @PORT@ default_server; server_name _ d.other; location / { return 200 "default"; } }
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with side_by_side(tmp_path_factory.mktemp("nginx"), HOSTS) as pair:
        yield pair


NAMES = (
    *("a.test", "A.TEST", "a.test:99", "b.test", "x.deep.test", "deep.test", "y.x.deep.test"),
    *("www.example", "www.a.test", "r12.example", "r1x.example"),
    *("unknown.example", "d.other", "10.0.0.1"),
)
# At "/", nginx looks for files of its own for the names ".dot.test", which have no other location.
REQUESTS = [
    *((name, path) for name in NAMES for path in ("/", "/only/x")),
    *(("dot.test", "/only/x"), ("x.dot.test", "/only/x")),
]


@pytest.mark.parametrize(("host", "path"), REQUESTS)
def test_hosts(hosts: Pair, host: str, path: str) -> None:
    hosts.compare(path, host)


FILES = """
types { text/html html; text/plain txt; application/octet-stream bin; }
server {
    listen @PORT@;
    root @FOLDER@/www;
    location / { try_files $uri $uri/ /index.html; }
    location /files/ { alias @FOLDER@/other/; }
    location /sub/ { index start.html; }
    location /strict/ { try_files $uri =404; error_page 404 /404.html; }
    location /closed/ { deny all; }
    location /local/ { allow 127.0.0.1; deny all; }
    location /not-local/ { deny 127.0.0.1; allow all; }
    location /users/ { auth_basic "Members"; auth_basic_user_file @FOLDER@/users; }
    location /limited { limit_req zone=one burst=2 nodelay; limit_req_status 429; }
}
limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("nginx")
    for name in (
        *("www/index.html", "www/a.txt", "www/sub/start.html", "www/404.html", "other/b.txt"),
        *("www/strict/x.txt", "www/closed/x.txt", "www/local/x.txt", "www/not-local/x.txt"),
        *("www/users/x.txt", "www/limited/x.txt"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}\n")
    (folder / "users").write_text(f"me:{HASH}\n")
    with side_by_side(folder, FILES) as pair:
        yield pair


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/a.txt", "/index.html", "/sub/", "/sub", "/sub/start.html", "/unknown/path"),
        *("/files/b.txt", "/files/none.txt", "/files/../a.txt", "/strict/x.txt", "/strict/none"),
        *("/closed/x.txt", "/local/x.txt", "/not-local/x.txt", "/users/x.txt"),
    ],
)
def test_files_and_access(files: Pair, path: str) -> None:
    files.compare(path)


def test_limits(files: Pair) -> None:
    for _ in range(5):
        files.compare("/limited/x.txt")
