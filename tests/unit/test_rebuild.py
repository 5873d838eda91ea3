"""Building the next configuration in a thread: what happens to it once nobody wants it any more."""

from __future__ import annotations

import gc
import threading

import anyio
import anyio.to_thread
import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import Config, parse
from pingap.worker import rebuild
from pingap.worker.rebuild import Rebuild

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("ends", [True, False])
async def test_a_build_that_hangs_is_known(monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    monkeypatch.setattr(rebuild, "LEAVE_SECONDS", 10.0 if ends else 0.05)
    began, go_on = threading.Event(), threading.Event()

    def load() -> Config:
        began.set()
        go_on.wait(20)
        return parse("")

    building = Rebuild(build(parse(""), installed_registry([])), load, "")
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(building.run)
            await anyio.to_thread.run_sync(began.wait)
            if ends:
                threading.Timer(0.05, go_on.set).start()
            tasks.cancel_scope.cancel()
        assert building.is_stuck is not ends
        assert gc.isenabled()
    finally:
        go_on.set()
