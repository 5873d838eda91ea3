"""The plugin ``fault``: delays and aborts requests on purpose, to see how clients and alarms cope."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Annotated, Final

import anyio
from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from pingap import (
    ConfigTable,
    ContextKey,
    Counter,
    Duration,
    LogTag,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    hookimpl,
)
from pingap_traffic.buckets import Percent, is_within, random_bucket

DROP: Final = 444
"""The status that stands for no response at all, as in nginx."""
_TIMEOUT: Final = 30.0
"""Seconds that an async phase may take unless the table has ``timeout``."""
_DURATION: Final[TypeAdapter[float]] = TypeAdapter(Duration)


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("found 0, expected a longer time")
    return seconds


class FaultSettings(PluginSettings):
    """Settings of ``fault``."""

    allow: bool = False
    """Must be ``true``: without it, the configuration is invalid, so that nobody injects faults by accident."""
    delay: Annotated[Duration, AfterValidator(_positive)] | None = None
    """How long requests are delayed; less than the ``timeout`` of the table, which is 30 s unless set."""
    delay_percent: Percent = 100
    """Percentage of the requests that are delayed, exact to 0.01."""
    abort_status: Annotated[int, Field(ge=400, le=599)] | None = None
    """The status of aborted requests. 444: no response is sent, and the connection is closed (HTTP/2: the stream is
    reset)."""
    abort_percent: Percent = 100
    """Percentage of the requests that are aborted, exact to 0.01; a delayed one is aborted after its delay."""
    message: str = "Fault injected"
    """The body of the response to aborted requests."""
    header: str | None = None
    """Only requests with this header can get a fault."""
    header_value: str | None = None
    """The value that ``header`` must have; without it, any value."""

    @model_validator(mode="after")
    def _keys_fit(self) -> FaultSettings:
        given = self.model_fields_set
        if not self.allow:
            raise ValueError("allow = true is missing: this plugin breaks requests on purpose")
        if self.delay is None and self.abort_status is None:
            raise ValueError("delay or abort_status is missing: there is no fault to inject")
        if self.delay is None and "delay_percent" in given:
            raise ValueError("delay_percent has no effect without delay")
        if self.abort_status is None and given & {"abort_percent", "message"}:
            raise ValueError("abort_percent and message have no effect without abort_status")
        if self.abort_status == DROP and "message" in given:
            raise ValueError(f"message is never sent: abort_status = {DROP} sends no response")
        if self.header_value is not None and not self.header:
            raise ValueError("header_value has no effect without header")
        return self


class Fault(Plugin):
    """Delays and aborts requests on purpose; for tests only."""

    category = "fault"
    Settings = FaultSettings

    def __init__(self, settings: FaultSettings, table: ConfigTable | None = None) -> None:
        self._settings = settings
        self._delay = settings.delay or 0.0
        self._aborted = _aborted(settings)
        _check_timeout(self._delay, table)
        self._fault = ContextKey[str | None]("injected fault", None)
        self.injected = Counter("pingap_fault_injected", "Injected faults", ("fault",))
        self._delays = self.injected.labels("delay")
        self._aborts = self.injected.labels("abort")

    def log_tags(self) -> Mapping[str, LogTag]:
        """Offer ``{:<name>.fault}``: ``delay``, ``abort``, ``delay+abort``, or nothing."""
        return {"fault": lambda request, response, ctx: ctx[self._fault]}

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Tell ``pingap lint`` that faults are injected."""
        yield "allow", "requests are delayed or aborted on purpose", "remove it after the test"

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Draw the faults of a request."""
        settings = self._settings
        if not self._is_concerned(request):
            return None
        delays = self._delay > 0 and is_within(random_bucket(), settings.delay_percent)
        aborts = self._aborted is not None and is_within(random_bucket(), settings.abort_percent)
        if not delays:
            return self._abort(ctx, "abort") if aborts else None
        ctx[self._fault] = "delay"
        self._delays.inc()
        return self._after_a_while(ctx, aborts)

    def _is_concerned(self, request: Request) -> bool:
        settings = self._settings
        if not settings.header:
            return True
        value = request.header(settings.header)
        if settings.header_value is None:
            return value is not None
        return value == settings.header_value

    async def _after_a_while(self, ctx: RequestContext, aborts: bool) -> Response | None:
        await anyio.sleep(self._delay)
        return self._abort(ctx, "delay+abort") if aborts else None

    def _abort(self, ctx: RequestContext, fault: str) -> Response:
        assert self._aborted is not None
        ctx[self._fault] = fault
        self._aborts.inc()
        return self._aborted.copy()


def _check_timeout(delay: float, table: ConfigTable | None) -> None:
    """Check that a delay ends before the phase is cancelled, which would answer with 500.

    :raises ValueError: it does not.
    """
    found = table.values.get("timeout") if table else None
    timeout = _TIMEOUT if found is None else _DURATION.validate_python(found)
    if delay >= timeout:
        raise ValueError(f"delay is {delay:g}s, expected less than timeout, which is {timeout:g}s")


def _aborted(settings: FaultSettings) -> Response | None:
    if settings.abort_status is None:
        return None
    if settings.abort_status == DROP:
        return Response.drop()
    return Response.text(settings.abort_status, settings.message)
