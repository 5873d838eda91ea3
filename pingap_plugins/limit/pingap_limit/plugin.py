"""The plugin: limits how often requests come, or how many are in progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pingap import (
    BackgroundTasks,
    ConfigTable,
    ContextKey,
    Counter,
    LogTag,
    Plugin,
    Request,
    RequestContext,
    Response,
    SharedState,
    Worker,
    hookimpl,
)
from pingap_limit import fields
from pingap_limit.keys import MAY_BE_MISSING, Clients, Keys
from pingap_limit.rates import Rate
from pingap_limit.settings import Settings as LimitSettings
from pingap_limit.slots import Slot, Slots
from pingap_limit.standing import Standing, StorageAway
from pingap_limit.strategies import LocalLimiter

if TYPE_CHECKING:
    from pingap_limit.remote import Remote

log = logging.getLogger("pingap")

_PAUSE: Final = 10.0
"""Seconds between two lines of a log about requests over a limit."""
_AUTHENTICATORS: Final = (
    "basic_auth",
    "combined_auth",
    "forward_auth",
    "jwt",
    "key_auth",
    "mtls",
    "oidc",
)


class Limit(Plugin):
    """Limits how often requests come, or how many are in progress, for each client or another key."""

    category = "limit"
    contract = "1.1"
    guard = True
    steps = ("request", "proxy_upstream")
    Settings = LimitSettings

    def __init__(self, settings: LimitSettings, table: ConfigTable | None = None) -> None:
        self._settings = settings
        self._name = table.name if table else self.category
        self._rate = settings.limit
        self._keys = Keys(
            settings.parts,
            Clients(settings.ipv6_prefix, settings.allow),
            settings.missing,
            settings.allow_keys,
        )
        self._counts_slots = settings.type == "inflight"
        self._tells = settings.headers
        self._has_allowed = bool(settings.allow or settings.allow_keys)
        if any(kind in ("user", "claim") for kind, _ in settings.parts):
            self.after = _AUTHENTICATORS
        self._policy = fields.policy(self._name, self._rate.amount, self._rate.seconds)
        self._counts: Counts | None = None
        self._remote: Remote | None = None
        self._told_at = -_PAUSE
        # Of one request: several instances may be in one location.
        self._standing = ContextKey[Standing | None]("standing", None)
        self._slot = ContextKey[Slot | None]("slot", None)
        self._result = ContextKey[str | None]("result of a limit", None)
        self.refused = Counter("pingap_limit_refused", "Requests that were refused", ("reason",))
        self.failures = Counter(
            "pingap_limit_storage_failures", "Requests that were decided without the storage"
        )
        self.reported = Counter(
            "pingap_limit_reported", 'Requests that mode = "enforce" would have refused'
        )

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Open the storage. Nothing connects yet: pingap starts without it, too."""
        if self._settings.storage is not None:
            from pingap_limit.remote import Remote  # the client of Redis takes 12 MiB

            self._remote = Remote(worker.shared, self._name, self._settings, self._rate)
            self._remote.start(tasks)

    async def shutdown(self) -> None:
        """Close the storage."""
        if self._remote is not None:
            await self._remote.close()

    def active_phases(self) -> tuple[str, ...]:
        """Take part in the phases that the settings need."""
        phases = ["request"]
        if self._settings.headers:
            phases.append("response")
        if self._settings.type == "inflight":
            phases.append("logging")
        return tuple(phases)

    def log_tags(self) -> Mapping[str, LogTag]:
        """Offer ``{:<name>.result}``: ``refused``, ``reported``, ``unlimited``, or nothing."""
        return {"result": lambda request, response, ctx: ctx[self._result]}

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Tell ``pingap lint`` about limits that requests can avoid."""
        found = [kind for kind, _ in self._settings.parts if kind in MAY_BE_MISSING]
        if found and self._settings.missing == "allow" and self._settings.mode == "enforce":
            problem = f"requests without the {found[0]} have no limit"
            yield "missing", problem, 'set missing = "ip" or "refuse"'

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Count the request, and refuse it if it is over the limit."""
        if self._has_allowed and self._keys.is_allowed(request, ctx):
            ctx[self._result] = "unlimited"
            return None
        key = self._keys.key(request, ctx)
        if key is None:
            return self._missing(ctx)
        if self._remote is not None:
            return self._by_storage(self._remote, key, ctx)
        return self._locally(key, ctx)

    @hookimpl
    def response(self, response: Response, ctx: RequestContext) -> None:
        """Tell what is left."""
        if (standing := ctx[self._standing]) is not None:
            fields.add_fields(response.headers, self._name, self._policy, standing)

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        """Release the slot, however the request ended."""
        if (slot := ctx[self._slot]) is not None:
            ctx[self._slot] = None
            slot.release()

    def _locally(self, key: str, ctx: RequestContext) -> Response | None:
        """Decide in the shared state of this instance."""
        counts = self._counts
        if counts is None or counts.shared is not ctx.shared:
            counts = self._counts = Counts(ctx.shared, self._name, self._settings, self._rate)
        if self._counts_slots:
            return self._entered(counts.slots.enter(key), ctx)
        passed = counts.limiter.hit(key)
        if passed and not self._tells:
            return None
        return self._judged(counts.limiter.standing(key, passed), ctx)

    def _by_storage(
        self, remote: Remote, key: str, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Decide by what all machines share."""
        if remote.calls.is_away:
            return self._without_storage(key, ctx)
        if remote.slots is None and (known := remote.limiter.known_refusal(key)) is not None:
            return self._judged(known, ctx)
        return self._ask(remote, key, ctx)

    async def _ask(self, remote: Remote, key: str, ctx: RequestContext) -> Response | None:
        try:
            if remote.slots is not None:
                return self._entered(await remote.slots.enter(key), ctx)
            return self._judged(await remote.limiter.ask(key), ctx)
        except StorageAway:
            return self._without_storage(key, ctx)

    def _without_storage(self, key: str, ctx: RequestContext) -> Response | None:
        """Decide although the storage is away."""
        self.failures.inc()
        if self._settings.on_storage_failure == "local":
            return self._locally(key, ctx)
        if self._settings.on_storage_failure == "allow":
            ctx[self._result] = "unlimited"
            return None
        return self._refusal(ctx, 503, "Plugin limit, storage unavailable", "1", "storage away")

    def _entered(self, found: Slot | int, ctx: RequestContext) -> Response | None:
        """Keep the slot of a request, or refuse it."""
        if not isinstance(found, int):
            ctx[self._slot] = found
            return None
        text = f"Plugin limit, exceed limit {found + 1}/{self._rate.amount}"
        return self._refusal(ctx, 429, text, "1", "over the limit")

    def _judged(self, standing: Standing, ctx: RequestContext) -> Response | None:
        """Let a request pass, or refuse it, and remember what the response tells."""
        if self._tells:
            ctx[self._standing] = standing
        if standing.passed:
            return None
        seconds = self._rate.seconds
        used, most = standing.used / seconds, self._rate.amount / max(seconds, 1)
        text = f"Plugin limit, exceed limit {fields.number(used)}/{fields.number(most)}"
        return self._refusal(ctx, 429, text, fields.retry_after(standing), "over the limit")

    def _missing(self, ctx: RequestContext) -> Response | None:
        """Answer a request without a key."""
        if self._settings.missing == "allow":
            ctx[self._result] = "unlimited"
            return None
        return self._refusal(ctx, 400, "Plugin limit, key missing", None, "key missing")

    def _refusal(
        self, ctx: RequestContext, status: int, text: str, retry: str | None, reason: str
    ) -> Response | None:
        """Return the response to a request that is refused; None if it is only reported."""
        if self._settings.mode == "report":
            ctx[self._result] = "reported"
            self.reported.inc()
            self._tell(ctx, text)
            return None
        ctx[self._result] = "refused"
        self.refused.labels(reason).inc()
        response = Response(status, text)
        if retry is not None:
            response.headers.set("Retry-After", retry)
        return response

    def _tell(self, ctx: RequestContext, text: str) -> None:
        """Log a request that would have been refused, once in a while."""
        now = time.monotonic()
        if now - self._told_at >= _PAUSE:
            self._told_at = now
            log.info('location %s: limit "%s" would refuse: %s', ctx.location, self._name, text)


class Counts:
    """What this instance counts in the shared state of its worker."""

    def __init__(self, shared: SharedState, name: str, settings: LimitSettings, rate: Rate) -> None:
        self.shared = shared
        self.slots = Slots(shared, name, rate.amount)
        self.limiter = LocalLimiter(
            shared,
            name,
            settings.strategy,
            rate,
            settings.weight / 100,
            settings.burst or rate.amount,
        )
