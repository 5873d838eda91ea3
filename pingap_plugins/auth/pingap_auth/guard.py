"""What all plugins of this distribution share: refusals, which are counted and may be delayed."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final

import anyio
from pydantic import TypeAdapter

from pingap import (
    BackgroundTasks,
    ConfigTable,
    ContextKey,
    Counter,
    Duration,
    Gauge,
    LogTag,
    Metric,
    Plugin,
    Request,
    RequestContext,
    Response,
    WatchedFiles,
    Worker,
)
from pingap_auth.failing_clients import FailingClients

MOST_DELAYED: Final = 1000
"""Refusals that one instance delays at a time, in each worker; further ones are sent at once."""
_HOOK_TIMEOUT: Final = 30.0
"""Seconds for an async phase, unless the operator sets ``timeout``."""


class Guard(Plugin):
    """Base of the plugins of this distribution.

    :ivar failures: counts refused requests by reason.
    """

    contract = "1.1"
    guard = True
    watched: Sequence[WatchedFiles[Any]] = ()
    """What is made from files; ``__init__`` sets it."""

    def set_up(self, table: ConfigTable | None, delay: float = 0.0) -> None:
        """Prepare refusals; call it in ``__init__``.

        :param table: the table of this instance; None in tests without one.
        :param delay: seconds before a wrong credential is refused.
        :raises ValueError: the delay is not shorter than the time limit of a phase.
        """
        limit = _time_limit(table)
        if delay >= limit:
            raise ValueError(
                f"delay must be shorter than timeout ({limit:g}s): a longer delay would end in an "
                "error, so set timeout, too"
            )
        self._delay = delay
        self._delayed = 0
        self._clients = FailingClients()
        self._reason = ContextKey[str]("reason of a refusal", "")
        self.failures = Counter("pingap_auth_failures", "Requests that were refused", ("reason",))

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Follow the files."""
        for files in self.watched:
            await files.catch_up()
            tasks.start_service(files.watch)

    def refuse(
        self, response: Response, reason: str, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response]:
        """Refuse a request that had a credential, after the delay.

        :param reason: a word for metrics and the log, never for the client.
        """
        self._clients.record(ctx.client_ip(request))
        self.count(reason, ctx)
        if not self._delay or self._delayed >= MOST_DELAYED:
            return response
        return self._late(response)

    def count(self, reason: str, ctx: RequestContext) -> None:
        """Count a refusal, without holding it against the client: it sent no credential."""
        self.failures.labels(reason).inc()
        ctx[self._reason] = reason

    async def _late(self, response: Response) -> Response:
        self._delayed += 1
        try:
            await anyio.sleep(self._delay)
        finally:
            self._delayed -= 1
        return response

    def log_tags(self) -> Mapping[str, LogTag]:
        """Offer ``{:<plugin>.failure}``: why this instance refused a request."""
        return {"failure": lambda request, response, ctx: ctx[self._reason] or None}

    def collect(self) -> Iterable[Metric]:
        """Show the clients with the most failures, so that a metrics page stays short."""
        gauge = Gauge(
            "pingap_auth_client_failures",
            "Wrong credentials of a client in the last minutes",
            ("client",),
        )
        for client, number in self._clients.worst():
            gauge.labels(client).set(number)
        yield gauge


def _time_limit(table: ConfigTable | None) -> float:
    written = table.values.get("timeout") if table is not None else None
    return _DURATION.validate_python(written) if written else _HOOK_TIMEOUT


_DURATION: Final[TypeAdapter[float]] = TypeAdapter(Duration)
