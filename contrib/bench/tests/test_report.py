"""Medians, tables, and the place of a text in a page."""

from __future__ import annotations

import pytest
from compare import interpreters, wanted_kinds
from cpu_profile import by_package, parts_of
from report import Sample, replace_part, tables


def sample(user: float, kernel: float = 10, p99: float | None = 2) -> Sample:
    return Sample(user, kernel, 1000, 1, p99, 2**20)


def test_the_median_is_a_cost_that_was_measured() -> None:
    got = Sample.median([sample(30, 1, 5), sample(10, 30, 9), sample(20, 15, 1)])
    assert (got.user, got.kernel, got.p99) == (20, 15, 5)


def test_what_a_tool_does_not_say_has_no_median() -> None:
    assert Sample.median([sample(1, p99=None)]).p99 is None


def test_tables() -> None:
    results = {
        "ping": {"nginx": sample(10), "pingap": sample(30)},
        "h2": {"pingap": Sample(95, 10, 1, None, None, 3 * 2**20)},
    }
    assert tables(results, ["nginx", "pingap"], "Here.").splitlines() == [
        *("Here.", ""),
        *("### CPU time per request, µs (requests per CPU second, nginx = 1)", ""),
        "| scenario | nginx | pingap |",
        "| --- | --- | --- |",
        "| ping | 20.0 (1.00) | 40.0 (0.50) |",
        "| h2 | - | 105 |",
        *("", "### Answer time, ms: median / 99th percentile", ""),
        "| scenario | nginx | pingap |",
        "| --- | --- | --- |",
        "| ping | 1.00 / 2.00 | 1.00 / 2.00 |",
        *("", "### Memory after a run, MiB", ""),
        "|  | nginx | pingap |",
        "| --- | --- | --- |",
        "| at most | 1.0 | 3.0 |",
    ]


def test_a_part_of_a_page_is_replaced() -> None:
    page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    once = replace_part(page, "x", "new\n")
    assert once == "a\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nb\n"
    assert replace_part(once, "x", "new\n") == once
    with pytest.raises(ValueError, match="no part 'y'"):
        replace_part(page, "y", "new")


def test_interpreters_take_the_place_of_pingap() -> None:
    kinds = wanted_kinds("pingap,nginx", ["a=env X=0 python3", "b=/opt/python"])
    assert list(kinds) == ["pingap a", "pingap b", "nginx"]
    assert list(kinds["pingap a"].version)[:4] == ["env", "X=0", "python3", "-c"]
    with pytest.raises(ValueError, match="unknown proxy squid"):
        wanted_kinds("squid", [])
    with pytest.raises(ValueError, match="LABEL=COMMAND"):
        interpreters(["python3"])


def test_shares_of_perf() -> None:
    report = """
    40.00%  libpython3.11.so.1.0
    30.50%  [kernel.kallsyms]
    10.00%  loop.cpython-311-x86_64-linux-gnu.so
     9.00%  libc.so.6
     5.50%  libstdc++.so.6.0.30
     5.00%  python3.11
"""
    assert parts_of(report) == pytest.approx(
        {"interpreter": 0.45, "kernel": 0.305, "uvloop": 0.1, "C library": 0.09, "other": 0.055}
    )


def test_packages() -> None:
    modules = {"pingap.http.a": 1.0, "pingap.wire.b": 5.0, "pingap.http.c.d": 2.0, "pingap_x": 1.5}
    assert list(by_package(modules | {"uuid": 0.5}).items()) == [
        ("pingap.wire", 5.0),
        ("pingap.http", 3.0),
        ("plugins", 1.5),
        ("standard library and dependencies", 0.5),
    ]
