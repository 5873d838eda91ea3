"""Heads of HTTP/1.1 as bytes, plain ones and others, and ways of spoiling them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

REQUEST_LINES: Final = [
    b"GET / HTTP/1.1", b"POST /a/b.c;d?e=f&g=%20 HTTP/1.1", b"GET /a?b?c HTTP/1.1", b"GET /? HTTP/1.1", b"PURGE /a/ HTTP/1.1",
    b"GET /!$&'()*+,-.09:;=@AZ^_`az{|}~/a?!$~\x80\xff HTTP/1.1", b"GET /a?\" HTTP/1.1", b"M-SEARCH /a HTTP/1.1",
    b"get /a HTTP/1.1", b"GET //a HTTP/1.1", b"GET /a//b HTTP/1.1", b"GET /a/../b HTTP/1.1", b"GET /.a HTTP/1.1",
    b"GET /a/;b HTTP/1.1", b"GET /a%2fb HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET /a?b#c HTTP/1.1", b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET  / HTTP/1.1",
    b"GET /\xc3\xa4 HTTP/1.1", b"GET /a\\b HTTP/1.1", b"GET / HTTP/1.10", b"GET /", b"", b"GET / HTTP/1.1\0",
]  # fmt: skip
HOSTS: Final = [
    b"a", b"Shop.Example.COM:8080", b"a.", b"a.:80", b"a:", b"[::1]:80", b"my_shop", b"a-b~c", b"%61", b"!$&'()*+,;=", b"127.0.0.1",
    b".", b"..", b"a..b", b".a", b":80", b"a:123456", b"a:b", b"a:8:0", b"a b", b"a/b", b"\xe4", b"[::1", b"b" * 255,
    b"b" * 255 + b":65535", b"b" * 256 + b":65535", b"b" * 262,
]  # fmt: skip
FIELDS: Final = [
    b"Accept: */*", b"X-1-: a\tb \x80\xff~", b"A: b", b"B: !", b"User-Agent: x (y; z)", b"x-trace: 0", b"-: -",
    b"host: a", b"hOST: a", b"Host:a", b"Host:", b"Host: ",
    b"Connection: keep-alive", b"Connection: Close", b"connection: KEEP-alive", b"Connection: keep-alive, x", b"Connection: keep-alivf",
    b"Connection: clos", b"Content-Length: 0", b"Content-Length: 3", b"CONTENT-LENGTH: 007", b"Content-Length: 999999999999999999",
    b"Content-Length: 1000000000000000000", b"Content-Length: +1", b"Content-Length: 1,1", b"Content-Length: 1 1",
    b"Content-Length: \xb9", b"Transfer-Encoding: chunked", b"transfer-encoding: gzip, chunked", b"Expect: 100-continue", b"expect: x",
    b"X-Retry-Attempt: 1", b"X-Pingap-Plugin-Timing: 1", b"X-Pingap-Plugin-Timinh: 1", b"Expecu: 1", b"Connectiom: a",
    b"x_y: a", b"A : b", b"A:b", b"A:  b", b"A: b ", b"A: b\t", b"A: ", b"A:", b": b", b"A", b" A: b", b"\tA: b", b"A: b\0c", b"A: \x80",
    b"A: b\x7f", b"A: \tb", b"A: b\rc", b"A: b\nc", b"\xe4: b", b"A(: b", b"",
]  # fmt: skip
STATUS_LINES: Final = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 Fine\t\x80\xff", b"HTTP/1.1 999 x",
    b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints",
    b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.9 200 OK", b"HTTP/1.0 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.11 200 OK", b"HTTP/1. 200 OK",
    b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 x", b"HTTP/1.1 2x0 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 200\tOK",
    b"HTTP/1.1 200 O\0K", b"HTTP/1.1 200 O\x7fK", b"http/1.1 200 OK", b"HTTP/1.1200 OK", b"HTTP/1.1 ", b"HTTP/1.", b"",
]  # fmt: skip
_INSERTED: Final = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b": ", b"/", b".", b";", b"?", b"%", b"#", b"_", b"\x7f", b"\x80",
]  # fmt: skip


def _pick(random: Random, some: list[bytes]) -> bytes:
    """Return one of some, which have the plain ones in front: so about half of all."""
    return some[int(len(some) * random.random() ** 3)]


def spoil(random: Random, first_lines: list[bytes]) -> bytes:
    """Return a head without the empty line at its end, often with bytes changed, doubled or left out."""
    fields = [_pick(random, FIELDS) for _ in range(random.randrange(5))]
    if random.random() < 0.7:
        fields.insert(0, b"Host: " + _pick(random, HOSTS))
    wire = bytearray(b"\r\n".join([_pick(random, first_lines), *fields]))
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        start = random.randrange(len(wire) + 1)
        end = start + random.randrange(8)
        inserted = (random.choice(_INSERTED), random.randbytes(1), wire[start:end], b"")
        wire[start : random.choice((start, end))] = random.choice(inserted)
    return bytes(wire)


def many(first_lines: list[bytes], number: int) -> Iterator[bytes]:
    """Yield so many heads of ``spoil``, the same ones each time."""
    random = Random(1)
    return (spoil(random, first_lines) for _ in range(number))


def every_byte(wire: bytes) -> Iterator[bytes]:
    """Yield some bytes with every value put at every place, and beside it."""
    for place in range(len(wire) + 1):
        for value in range(256):
            byte = bytes([value])
            yield wire[:place] + byte + wire[place:]
            yield wire[:place] + byte + wire[place + 1 :]
