"""Settings: all keys of pingap, and mistakes that are told when the configuration is loaded."""

from __future__ import annotations

import pytest
from pingap_compression.compression import Compression

from pingap.testing import Proxy, Upstream, configuration_problems

REST = (
    '[upstreams.u]\naddrs = ["127.0.0.1:1"]\n[servers.s]\naddr = "127.0.0.1:0"\nlocations = ["l"]\n'
)


def problems(keys: str, category: str = "compression") -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "{category}"\n{keys}\n')


@pytest.mark.parametrize(
    "keys",
    [
        "gzip_level = 6",
        "br_level = 11\nzstd_level = 22\ngzip_level = 9\nmode = 'upstream'\nmin_length = 1024",
        "gzip_level = 99",  # counts as 9, as it always did
        "decompression = true",
        "gzip_level = 1\nmin_length = '1KiB'\ntypes = ['text/*']\nremark = 'x'",
        "decompression = true\nmax_decompressed_size = '1MiB'\nmax_decompression_ratio = 1000",
    ],
)
def test_keys(keys: str) -> None:
    assert problems(keys) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "does nothing: set gzip_level, br_level or zstd_level, or decompression = true"),
        ("gzip_level = 0", "does nothing"),
        ("gzip_level = -1", "gzip_level"),
        ("br_level = '6'", "br_level"),
        ("gzip_level = 6\nmode = 'up'", "mode"),
        ("gzip_level = 6\ntypes = ['text']", 'found "text", expected a media type'),
        ("gzip_level = 6\nmin_length = -1", "min_length"),
        ("decompression = true\nmax_decompression_ratio = 0", "max_decompression_ratio"),
        ("gzip_levl = 6", "gzip_levl: unknown key"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "encodings"),
        ("encodings = ' , '", "encodings names no coding"),
        ("encodings = ['gzip']", "encodings"),
        ("encodings = 'gzip, *'", '"*" is not the name of a coding'),
        ("encodings = 'gzip;q=1'", '"gzip;q=1" is not the name of a coding'),
        ("encodings = 'gzip'\nonly_one_encoding = 1", "only_one_encoding"),
    ],
)
def test_mistakes_of_accept_encoding(keys: str, told: str) -> None:
    found = problems(keys, "accept_encoding")
    assert any(told in one for one in found), found


def test_levels_above_the_highest_count_as_that() -> None:
    plugin = Compression(Compression.Settings(gzip_level=99, br_level=99, zstd_level=99))
    assert plugin._levels == {"zstd": 22, "br": 11, "gzip": 9}


@pytest.mark.parametrize("name", ["pingap:compression", "pingap:compressionUpstream"])
def test_instances_without_a_table(name: str, upstream: Upstream, proxy: Proxy) -> None:
    upstream.reply("/", b"text " * 100, headers={"Content-Type": "text/plain"})
    proxy.location("/", plugins=[name])
    for accept, coding in (("gzip, br, zstd", "zstd"), ("gzip, br", "br"), ("gzip", "gzip")):
        answer = proxy.get("/", headers={"Accept-Encoding": accept})
        assert answer.headers["Content-Encoding"] == coding


def test_the_adjustment_without_a_table(upstream: Upstream, proxy: Proxy) -> None:
    proxy.location("/", plugins=["pingap:acceptEncodingAdjustment"])
    proxy.get("/", headers={"Accept-Encoding": "gzip, deflate, br;q=0.1"})
    assert upstream.received_once().header("accept-encoding") == "br"


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        ("gzip, deflate, br, zstd", "br, gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=0, br", "br"),
        ("brx, gzip2", None),
        ("*", "br, gzip"),
        ("*;q=0", None),
        ("*, br;q=0", "gzip"),
        (None, None),
    ],
)
def test_accept_encoding_is_narrowed(
    accept: str | None, sent: str | None, upstream: Upstream, proxy: Proxy
) -> None:
    proxy.location("/", plugins=[("accept_encoding", {"encodings": "br, Gzip, br"})])
    proxy.get("/", headers={"Accept-Encoding": accept} if accept else {})
    assert upstream.received_once().header("accept-encoding") == sent
