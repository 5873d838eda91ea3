"""The fixtures as pytest finds them, in runs of their own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

PLUGIN = """
import pytest
from pingap import Plugin, Response, hookimpl

class Faulty(Plugin):
    category = "faulty"
    @hookimpl
    def request(self):
        raise LookupError("no such shelf")
"""


def run(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    pytester.makepyfile(PLUGIN + text)
    return pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-W", "error")


def test_they_are_found_without_asking(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(proxy, upstream, start_proxy, clock):
    proxy.location("/x", plugins=["pingap:ping"])
    assert proxy.get("/x").status == 200
    assert upstream.received_once().path == "/x"
    clock.advance(1)
""",
    )
    result.assert_outcomes(passed=1)


def test_a_failure_of_a_plugin_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(proxy):
    proxy.location(plugins=[Faulty])
    assert proxy.get("/").status == 500

def test_with_toml(start_proxy):
    proxy = start_proxy('''
[plugins.f]
category = "faulty"
[locations.all]
plugins = ["f"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
''', categories=[Faulty])
    assert proxy.get("/").status == 500
""",
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*LookupError: no such shelf",
            "*UnexpectedError: the proxy logged an error: *plugin faulty failed in request*",
            "*UnexpectedError: the proxy logged an error: *plugin f failed in request*",
        ]
    )


def test_a_failure_that_is_expected_does_not(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(proxy):
    proxy.location(plugins=[Faulty])
    assert proxy.get("/").status == 500
    assert "no such shelf" in proxy.expect_error("LookupError")
""",
    )
    result.assert_outcomes(passed=1)


def test_one_expected_failure_does_not_excuse_two(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(proxy):
    proxy.location("/a", plugins=[Faulty])
    proxy.location("/b", plugins=[Faulty])
    proxy.get("/a")
    proxy.get("/b")
    proxy.expect_error("LookupError")
""",
    )
    result.assert_outcomes(passed=1, errors=1)


SCRIPT = """
def test_it(proxy, upstream):
    def handle(served, request):
        assert request.header("x-a") == "b"
        served.respond()
    upstream.on("/", handle)
    assert proxy.get("/").status == 502
"""


def test_an_error_in_a_script_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, SCRIPT)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ScriptError: a script of the upstream failed: AssertionError*"])


def test_an_error_in_a_script_that_is_expected_does_not(pytester: pytest.Pytester) -> None:
    result = run(pytester, SCRIPT + "    upstream.expect_error(AssertionError)\n")
    result.assert_outcomes(passed=1)


def test_a_test_that_fails_leaves_nothing(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import threading

def test_it(proxy):
    client = proxy.connect()
    client.send(b"GET / HT")
    raise RuntimeError

def test_after():
    assert [one.name for one in threading.enumerate()] == ["MainThread"]
""",
    )
    result.assert_outcomes(passed=1, failed=1)
