"""Conditions and ranges, as a table and through sockets."""

from __future__ import annotations

import email
import os
from collections.abc import Callable
from email.policy import HTTP
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_static.answering import verdict
from pingap_static.files import Representation

from pingap import Headers
from pingap.testing import Proxy

Site = Callable[..., Proxy]
OLD = 1_700_000_000
BEFORE, DATE, AFTER = (f"Tue, 14 Nov 2023 22:13:{second} GMT" for second in (19, 20, 21))
NOW = OLD + 1000.0
TAG = '"a-1"'


def status(method: str = "GET", *, modified: int | None = OLD, now: float = NOW, **fields: str) -> int:  # fmt: skip
    file = Representation(
        path=b"", identity=(0, 0, 0, 0, 0), headers=Headers(), etag=TAG.encode(), modified=modified, size=10
    )  # fmt: skip
    headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
    return verdict(method, headers, file, now).status


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (200, {}),
        (304, {"If_None_Match": TAG}),
        (304, {"If_None_Match": "W/" + TAG}),
        (304, {"If_None_Match": f'"x", {TAG}'}),
        (304, {"If_None_Match": "*"}),
        (200, {"If_None_Match": '"x"'}),
        (200, {"If_None_Match": '"x"', "If_Modified_Since": DATE}),  # the first decides (13.2.2)
        (304, {"If_Modified_Since": DATE}),
        (304, {"If_Modified_Since": AFTER}),
        (200, {"If_Modified_Since": BEFORE}),
        (200, {"If_Modified_Since": "yesterday"}),
        (200, {"If_Match": TAG}),
        (200, {"If_Match": "*"}),
        (412, {"If_Match": "W/" + TAG}),
        (412, {"If_Match": '"x"'}),
        (200, {"If_Match": TAG, "If_Unmodified_Since": BEFORE}),
        (412, {"If_Unmodified_Since": BEFORE}),
        (200, {"If_Unmodified_Since": DATE}),
        (412, {"If_Match": '"x"', "If_None_Match": TAG}),
        (206, {"Range": "bytes=0-0"}),
        (416, {"Range": "bytes=10-"}),
        (200, {"Range": "bytes=x"}),
        (200, {"Range": "bytes=0-1,1-2"}),
        (206, {"Range": "bytes=0-0", "If_Range": TAG}),
        (200, {"Range": "bytes=0-0", "If_Range": "W/" + TAG}),
        (200, {"Range": "bytes=0-0", "If_Range": '"x"'}),
        (206, {"Range": "bytes=0-0", "If_Range": DATE}),
        (200, {"Range": "bytes=0-0", "If_Range": AFTER}),
        (200, {"Range": "bytes=0-0", "If_Range": "x"}),
        (304, {"Range": "bytes=0-0", "If_None_Match": TAG}),
    ],
)
def test_the_order_of_rfc_9110(expected: int, fields: dict[str, str]) -> None:
    assert status(**fields) == expected


def test_ranges_are_for_get() -> None:
    assert status("HEAD", Range="bytes=0-0") == 200


def test_a_date_in_the_future_is_none() -> None:
    assert status(modified=None, If_Modified_Since=AFTER) == 200
    assert status(modified=None, If_Unmodified_Since=BEFORE) == 200


def test_a_date_of_this_second_is_no_strong_validator() -> None:
    assert status(now=OLD + 0.5, Range="bytes=0-0", If_Range=DATE) == 200


@given(st.dictionaries(st.sampled_from(["If_Match", "If_None_Match", "If_Range", "Range", "If_Modified_Since"]), st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)))  # fmt: skip
def test_anything_has_an_answer(fields: dict[str, str]) -> None:
    assert status(**fields) in (200, 206, 304, 412, 416)


@pytest.fixture(params=[1000, 300_000], ids=["in memory", "streamed"])
def content(request: pytest.FixtureRequest, root: Path) -> bytes:
    content = os.urandom(request.param)
    (root / "f.txt").write_bytes(content)
    os.utime(root / "f.txt", (OLD, OLD))
    return content


@pytest.mark.parametrize(
    ("asked", "part"), [("0-9", slice(0, 10)), ("990-", slice(990, None)), ("-7", slice(-7, None)), ("0-9999999", slice(None))]
)  # fmt: skip
def test_one_range(site: Site, content: bytes, asked: str, part: slice) -> None:
    answer = site().get("/f.txt", headers={"Range": f"bytes={asked}"})
    expected = content[part]
    start = range(len(content))[part].start
    assert (answer.status, answer.body) == (206, expected)
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(content)}"  # fmt: skip
    assert answer.headers["Content-Length"] == str(len(expected))


def test_several_ranges(site: Site, content: bytes) -> None:
    answer = site().get("/f.txt", headers={"Range": "bytes=0-4, 500-899, -3"})
    assert answer.status == 206
    assert answer.headers["Content-Length"] == str(len(answer.body))
    kind = answer.headers["Content-Type"]
    assert kind.startswith("multipart/byteranges; boundary=")
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.body, policy=HTTP)  # fmt: skip
    parts = list(message.iter_parts())
    assert [part["Content-Range"] for part in parts] == [
        f"bytes 0-4/{len(content)}",
        f"bytes 500-899/{len(content)}",
        f"bytes {len(content) - 3}-{len(content) - 1}/{len(content)}",
    ]
    assert all(part["Content-Type"] == "text/plain" for part in parts)
    boundary = kind.partition("boundary=")[2].encode()
    bodies = [
        part.partition(b"\r\n\r\n")[2][:-2] for part in answer.body.split(b"--" + boundary)[1:-1]
    ]
    assert bodies == [content[:5], content[500:900], content[-3:]]


def test_a_range_beyond_the_end(site: Site, content: bytes) -> None:
    answer = site().get("/f.txt", headers={"Range": f"bytes={len(content)}-"})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(content)}"


def test_304_has_validators_and_no_content(site: Site, content: bytes) -> None:
    proxy = site(max_age="1h", headers=["X-A: b"])
    tag = proxy.get("/f.txt").headers["ETag"]
    for fields in ({"If-None-Match": tag}, {"If-Modified-Since": DATE}):
        answer = proxy.get("/f.txt", headers=fields)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == tag
        assert answer.headers["Last-Modified"] == DATE
        assert answer.headers["Cache-Control"] == "public, max-age=3600"
        assert answer.headers["X-A"] == "b"
        assert "Content-Type" not in answer.headers


def test_a_download_is_resumed_only_if_the_file_is_the_same(
    site: Site, root: Path, content: bytes
) -> None:
    proxy = site()
    tag = proxy.get("/f.txt").headers["ETag"]
    fields = {"Range": "bytes=100-", "If-Range": tag}
    assert proxy.get("/f.txt", headers=fields).body == content[100:]
    (root / "f.txt").write_bytes(b"another")
    answer = proxy.get("/f.txt", headers=fields)
    assert (answer.status, answer.body) == (200, b"another")
    assert proxy.get("/f.txt", headers={"If-Match": tag}).status == 412
