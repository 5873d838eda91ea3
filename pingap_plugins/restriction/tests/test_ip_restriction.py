"""ip_restriction: who passes, what others get, and what they try."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.testing import Proxy, Upstream, configuration_problems

Guarded = Callable[..., Proxy]
StartProxy = Callable[..., Proxy]


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "ip_restriction"\n{keys}\n')


@pytest.mark.parametrize(
    ("kind", "client_ip", "status"),
    [
        ("allow", "192.0.2.7", 200),
        ("allow", "198.51.100.1", 403),
        ("Allow", "10.255.0.1", 200),
        ("deny", "192.0.2.7", 403),
        ("DENY", "10.255.0.1", 403),
        ("deny", "198.51.100.1", 200),
        ("deny", "2001:db8::1", 403),
        ("deny", "2001:DB8:0:0::1", 403),
    ],
)
def test_types(guarded: Guarded, kind: str, client_ip: str, status: int) -> None:
    entries = ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]
    proxy = guarded("ip_restriction", type=kind, ip_list=entries)
    answer = proxy.get("/", client_ip=client_ip)
    assert answer.status == status
    assert answer.text == ("ok" if status == 200 else "Request is forbidden")


def test_the_type_is_allow_by_default(guarded: Guarded, upstream: Upstream) -> None:
    proxy = guarded("ip_restriction", ip_list=["192.0.2.7"], message="Go away")
    answer = proxy.get("/", client_ip="192.0.2.8")
    assert (answer.status, answer.text) == (403, "Go away")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert upstream.requests == []
    assert proxy.get("/", client_ip="192.0.2.7").status == 200


def test_refused_requests_are_counted(proxy: Proxy) -> None:
    proxy.location(
        "/", plugins=[("ip_restriction", {"type": "deny", "ip_list": ["192.0.2.7"]})], name="l"
    )
    for last in (7, 7, 8):
        proxy.get("/", client_ip=f"192.0.2.{last}")
    assert proxy.metrics().value("pingap_restriction_refused_total") == 2


def test_a_client_without_an_address_gets_400(start_proxy: StartProxy, tmp_path: Path) -> None:
    """As in pingap 0.13.9, whatever the type is."""
    path = tmp_path / "socket"
    for kind in ("allow", "deny"):
        proxy = start_proxy(f"""
[plugins.p]
category = "ip_restriction"
type = "{kind}"
ip_list = ["192.0.2.7"]
[locations.l]
plugins = ["p", "pingap:ping"]
[servers.s]
addr = "unix:{path}"
locations = ["l"]
""")
        with proxy.connect() as client:
            answer = client.get("/ping", headers={"Host": "h"})
        assert (answer.status, answer.text) == (400, "invalid IP address syntax")
        proxy.stop()


# Mistakes.


@pytest.mark.parametrize(
    "keys",
    [
        'ip_list = ["10.0.0.1"]',
        'type = "deny"',  # nothing is refused, until something is added
        'ip_list = ["10.0.0.1/8", "::ffff:1.2.3.4"]\ntype = "Allow"\nmessage = "no"',
        'ip_list = ["10.0.0.1"]\nstatus = 444',
    ],
)
def test_keys(keys: str) -> None:
    assert problems(keys) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", 'type = "allow" with an empty list refuses every request'),
        ('ip_list = ["10.0.0.1", "10.0.0.300"]', 'ip_list[1]: "10.0.0.300" is not an IP address'),
        ('ip_list = ["fe80::1%eth0"]', "a zone has no meaning here"),
        ('ip_list = "10.0.0.1"', "ip_list"),
        ("ip_list = [1]", "ip_list[0]"),
        ('ip_list = ["10.0.0.1"]\ntype = "block"', "type"),
        ('ip_list = ["10.0.0.1"]\ntype = 1', "type"),
        ('ip_file = "missing"', "missing"),
        ('ip_list = ["10.0.0.1"]\nfail_open = true', "fail_open"),
        ('ip_list = ["10.0.0.1"]\nstatus = 200', "status"),
        ('ip_list = ["10.0.0.1"]\nstatus = 444\nmessage = "x"', "message is never sent"),
        ('ip_list = ["10.0.0.1"]\nip_lst = []', "ip_lst: unknown key"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


def test_a_mistake_in_the_file_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("10.0.0.1\nlocalhost\n")
    [problem] = problems(f'ip_file = "{file}"')
    assert 'list.txt:2: "localhost" is not an IP address or network' in problem
    file.write_bytes(b"10.0.0.1\n\xff\n")
    [problem] = problems(f'ip_file = "{file}"')
    assert "list.txt:2: not UTF-8 text" in problem
    file.write_text("# nobody\n")
    [problem] = problems(f'ip_file = "{file}"')
    assert "empty list refuses every request" in problem


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    with file.open("wb") as sparse:
        os.truncate(sparse.fileno(), 64 * 1024 * 1024 + 1)
    [problem] = problems(f'ip_file = "{file}"')
    assert "larger than 67108864 bytes" in problem


# The file.


def test_the_file_is_read_again(guarded: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf192.0.2.7\r\n")  # as editors on Windows write it
    proxy = guarded("ip_restriction", type="deny", ip_file=str(file), ip_list=["192.0.2.9"])
    clients = ("192.0.2.7", "192.0.2.8", "192.0.2.9")

    def statuses() -> list[int]:
        return [proxy.get("/", client_ip=client).status for client in clients]

    assert statuses() == [403, 200, 403]
    file.write_text("192.0.2.8\n")
    proxy.wait_for_log("was read again")
    assert statuses() == [200, 403, 403]
    file.write_text("192.0.2.7\nnobody\n")
    proxy.wait_for_log("previous content stays in use")
    assert "list.txt:2" in proxy.expect_error("nobody")
    assert statuses() == [200, 403, 403]


def test_an_empty_new_file_does_not_lock_everybody_out(guarded: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("192.0.2.7\n")
    proxy = guarded("ip_restriction", ip_file=str(file))
    assert proxy.get("/", client_ip="192.0.2.7").status == 200
    file.write_text("")
    proxy.wait_for_log("previous content stays in use")
    proxy.expect_error("it has no networks")
    assert proxy.get("/", client_ip="192.0.2.7").status == 200
    assert proxy.get("/", client_ip="192.0.2.8").status == 403


# Attacks.

PLAIN = """
[basic]
{basic}
[plugins.p]
category = "ip_restriction"
type = "{type}"
ip_list = ["{entry}"]
[plugins.secret]
category = "mock"
data = "secret"
[locations.l]
plugins = ["p", "secret"]
[servers.s]
addr = "{addr}"
locations = ["l"]
enabled_h2 = true
"""


def plain(start_proxy: StartProxy, entry: str, kind: str = "allow", **keys: str) -> Proxy:
    defaults = {"basic": "", "addr": "127.0.0.1:0"}
    return start_proxy(PLAIN.format(entry=entry, type=kind, **{**defaults, **keys}))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.7"},
        {"x-forwarded-for": "192.0.2.7, 192.0.2.7"},
        {"X-Real-IP": "192.0.2.7"},
        {"Forwarded": "for=192.0.2.7"},
        {"X_Forwarded_For": "192.0.2.7"},
        {
            "X-Client-IP": "192.0.2.7",
            "True-Client-IP": "192.0.2.7",
            "CF-Connecting-IP": "192.0.2.7",
        },
        {"X-Forwarded-For": "192.0.2.7", "Connection": "X-Forwarded-For"},
    ],
)
def test_without_trusted_proxies_nobody_can_claim_an_address(
    start_proxy: StartProxy, headers: dict[str, str]
) -> None:
    proxy = plain(start_proxy, "192.0.2.7")
    assert proxy.get("/", headers=headers).status == 403
    with proxy.connect_http2() as client:
        assert client.get("/", headers=headers).status == 403


@pytest.mark.parametrize(
    "forwarded",
    [
        "192.0.2.7, 198.51.100.1",  # the client wrote the first one itself
        "198.51.100.1",
        "192.0.2.7,198.51.100.1, 127.0.0.1",
        "192.0.2.7\t, 198.51.100.1:443",
        "198.51.100.1 192.0.2.7",
        "0192.0.2.7",
        "192.0.2.7%00",
        "::192.0.2.7",
        "192.0.2.7/32",
        "3221225991",
    ],
)
def test_behind_a_trusted_proxy_only_its_entry_counts(
    start_proxy: StartProxy, forwarded: str
) -> None:
    proxy = plain(start_proxy, "192.0.2.7", basic='trusted_proxies = ["127.0.0.1/32"]')
    assert proxy.get("/", headers={"X-Forwarded-For": forwarded}).status == 403
    assert proxy.get("/", headers={"X-Forwarded-For": "192.0.2.7"}).status == 200


@pytest.mark.parametrize(
    "written", ["192.0.2.7", "::ffff:192.0.2.7", "[::FFFF:c000:207]", "192.0.2.7:1234"]
)
def test_a_denied_address_is_recognised_in_every_form(
    start_proxy: StartProxy, written: str
) -> None:
    proxy = plain(start_proxy, "192.0.2.7", "deny", basic='trusted_proxies = ["127.0.0.1/32"]')
    assert proxy.get("/", headers={"X-Forwarded-For": written}).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "198.51.100.1", "Connection": "X-Forwarded-For"},
        {"X-Real-IP": "198.51.100.1", "Connection": "close, x-real-ip"},
        {"Forwarded": "for=198.51.100.1", "Connection": "Forwarded"},
    ],
)
def test_nobody_becomes_the_trusted_proxy_by_removing_what_it_says(
    start_proxy: StartProxy, headers: dict[str, str]
) -> None:
    """The proxy in front passes ``Connection`` of its client on, and may itself do anything."""
    proxy = plain(start_proxy, "127.0.0.0/8", basic='trusted_proxies = ["127.0.0.1/32"]')
    assert proxy.get("/", headers=headers).status == 403
    assert proxy.get("/").status == 200


def test_several_lines_are_read_as_one_list(start_proxy: StartProxy) -> None:
    proxy = plain(start_proxy, "192.0.2.7", basic='trusted_proxies = ["127.0.0.1/32"]')
    lines = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-For", "198.51.100.1")]
    assert proxy.get("/", headers=lines).status == 403
    assert proxy.get("/", headers=lines[::-1]).status == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_ipv4_clients_of_a_dual_stack_listener(start_proxy: StartProxy) -> None:
    proxy = plain(start_proxy, "127.0.0.0/8", addr="[::]:0")
    with socket.create_connection(("127.0.0.1", proxy.port())) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    with socket.create_connection(("::1", proxy.port())) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n",
        b"GET http://h/ HTTP/1.1\r\nHost: h\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n",
        b"HEAD / HTTP/1.1\r\nHost: h\r\n",
        b"PROPFIND / HTTP/1.1\r\nHost: h\r\n",
        b"GET //x/..%2f HTTP/1.1\r\nHost: h\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nTE: trailers\r\n"
        b"Content-Length: 0\r\n",
    ],
)
def test_no_form_of_a_request_passes(start_proxy: StartProxy, head: bytes) -> None:
    with plain(start_proxy, "192.0.2.7").connect() as client:
        client.send(head + b"Connection: close\r\n\r\n")
        answer = client.read_until(b"\r\n")
        assert answer.split()[1] in (b"403", b"400", b"404")


def test_444_closes_the_connection_without_a_response(
    start_proxy: StartProxy, upstream: Upstream
) -> None:
    toml = PLAIN.replace('"{type}"', '"{type}"\nstatus = 444')
    proxy = start_proxy(toml.format(basic="", type="allow", entry="192.0.2.7", addr="127.0.0.1:0"))
    with proxy.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.is_closed()
    assert proxy.metrics().value("pingap_restriction_refused_total") == 1


def test_a_page_is_the_body(guarded: Guarded, tmp_path: Path) -> None:
    page = tmp_path / "refused.html"
    page.write_text("<h1>Not here</h1>")
    proxy = guarded("ip_restriction", ip_list=["192.0.2.7"], status=404, page=str(page))
    answer = proxy.get("/")
    assert (answer.status, answer.text) == (404, "<h1>Not here</h1>")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert proxy.request("HEAD", "/").body == b""


@pytest.mark.parametrize(
    ("name", "size", "keys", "told"),
    [
        ("page.html", 1, 'message = "x"', "message and page are both the body"),
        ("page.php", 1, "", "page: page.php is not one of .htm, .html, .json, .txt"),
        ("page.html", 1024 * 1024 + 1, "", "larger than 1048576 bytes"),
        ("page.html", 1, "status = 444", "page is never sent"),
    ],
)
def test_mistakes_about_pages(tmp_path: Path, name: str, size: int, keys: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"x" * size)
    found = problems(f'ip_list = ["10.0.0.1"]\npage = "{tmp_path / name}"\n{keys}')
    assert any(told in one for one in found), found
