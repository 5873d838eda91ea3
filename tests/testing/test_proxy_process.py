"""A pingap with its workers, for tests of plugins."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pingap.testing import ProxyProcess

TOML = """
[plugins.hello]
category = "mock"
data = "{text}"
[locations.all]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""


def test_what_a_test_can_do_with_it(tmp_path: Path) -> None:
    with ProxyProcess(TOML.format(text="one"), tmp_path, "--threads", "2") as pingap:
        assert pingap.get("/").text == "one"
        first, second = pingap.workers
        os.kill(first, signal.SIGKILL)
        pingap.wait_until(lambda: len(pingap.workers) == 2 and first not in pingap.workers)
        assert second in pingap.workers
        assert "was killed by SIGKILL" in pingap.wait_for_log("SIGKILL")
        pingap.reload(TOML.format(text="two"))
        assert {pingap.get("/").text for _ in range(10)} == {"two"}
        with pytest.raises(AssertionError, match=r"(?s)'nothing' in the log did not.*reloaded"):
            pingap.wait_for_log("nothing", seconds=0)
        assert pingap.stop() == 0


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="unknown key; did you mean"):
        ProxyProcess(TOML.replace("addr", "adr"), tmp_path)
