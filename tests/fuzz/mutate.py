"""Breaking what was valid, and writing it in odd ways."""

from __future__ import annotations

import random

_JUNK = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b"\xff\xfe", b"%00", b"/../", b"//",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
    b"Connection: close, upgrade\r\n", b"Expect: 100-continue\r\n", b"Host: b\r\n", b"HTTP/1.1",
    b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"X: " + b"y" * 9000 + b"\r\n", b"TRACE ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0\0\0\4\0\0\0\0\0", b"\0\0\4\3\0\0\0\1\0\0\0\10", b"\0\0\4\x08\0\0\0\0\0\0\0\0\0", b"\x16\x03\x01", b"\x15\x03\x03\0\2\2\0",
)  # fmt: skip


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        end = min(end, at + 400)
        kind = rng.choice(("cut", "drop", "double", "swap", "flip", "junk", "junk", "digit"))
        if kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[end:]
        elif kind == "double":
            data = data[:end] + data[at:]
        elif kind == "swap":
            middle = (at + end) // 2
            data = data[:at] + data[middle:end] + data[at:middle] + data[end:]
        elif kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif kind == "digit":
            data = data.replace(b"%d" % rng.randrange(10), b"%d" % rng.randrange(100), 1)
        else:
            data = data[:at] + rng.choice(_JUNK) + data[at:]
    return data


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """Cut data as it is to be written: whole, in halves, in odd sizes, a few bytes one by one."""
    how = rng.choice(("whole", "whole", "odd", "odd", "bytes"))
    if how == "whole" or len(data) < 2:
        return [data]
    found = []
    if how == "bytes":
        found = [data[at : at + 1] for at in range(min(len(data), 40))]
        data = data[40:]
    while data:
        size = rng.choice((1, 2, 9, 100, 1000, 16_384, 65_536))
        found.append(data[:size])
        data = data[size:]
    return found
