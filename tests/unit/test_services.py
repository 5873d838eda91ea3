"""What a process does beside its requests survives its own defects."""

from __future__ import annotations

import anyio
import pytest

from pingap.host import services


async def fail_twice(calls: list[int], most: int) -> None:
    calls.append(len(calls))
    if len(calls) <= most:
        raise ZeroDivisionError


@pytest.mark.anyio
async def test_a_service_that_fails_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "AGAIN_SECONDS", 0.0)
    calls: list[int] = []
    await services.keep_running(fail_twice, calls, 2)
    assert calls == [0, 1, 2]
    assert caplog.text.count("fail_twice failed because of a bug in pingap") == 2


@pytest.mark.anyio
async def test_a_job_that_fails_is_logged_and_not_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []
    assert not await services.attempt(fail_twice, calls, 1)
    assert calls == [0]
    assert "fail_twice failed" in caplog.text


@pytest.mark.anyio
async def test_a_service_can_be_cancelled() -> None:
    with anyio.move_on_after(0.01) as limit:
        await services.keep_running(anyio.sleep_forever)
    assert limit.cancelled_caught
