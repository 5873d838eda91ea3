"""A pingap with several workers and a cache."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pingap.testing import ProxyProcess

TOML = """
[basic]
threads = {workers}
pid_file = "{folder}/pid"
grace_period = "0s"

[plugins.c]
category = "cache"
{cache}

[upstreams.u]
addrs = ["{upstream}"]

[locations.l]
upstream = "u"
plugins = ["c"]

[servers.s]
addr = "127.0.0.1:0"
locations = ["l"]
"""


@contextmanager
def running(
    folder: Path,
    upstream: str,
    *,
    cache: str = "",
    workers: int = 2,
    prefix: Sequence[str] = (),
) -> Iterator[ProxyProcess]:
    """Run pingap; its state is in ``folder``.

    :param prefix: a program, with arguments, that runs it.
    """
    toml = TOML.format(folder=folder, upstream=upstream, cache=cache, workers=workers)
    with ProxyProcess(toml, folder, program=(*prefix, sys.executable, "-m", "pingap")) as pingap:
        yield pingap


def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds."""
    limit = time.monotonic() + 30
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError("it did not come")
        time.sleep(0.02)
