"""The plugin: limits how often requests come, or how many are in progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from pingap import (
    ConfigTable,
    ContextKey,
    Counter,
    LogTag,
    Plugin,
    Request,
    RequestContext,
    Response,
    SharedState,
    hookimpl,
)
from pingap_limit import fields
from pingap_limit.keys import Clients, Keys
from pingap_limit.rates import Rate
from pingap_limit.settings import Settings as LimitSettings
from pingap_limit.slots import Slot, Slots
from pingap_limit.standing import Standing
from pingap_limit.strategies import LocalLimiter

log = logging.getLogger("pingap")

_PAUSE: Final = 10.0
"""Seconds between two lines of a log about requests over a limit."""
_AUTHENTICATORS: Final = ("basic_auth", "key_auth", "jwt", "combined_auth", "forward_auth", "oidc")


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
        self._has_allowed = bool(settings.allow or settings.allow_keys)
        if ("user", "") in settings.parts:
            self.after = _AUTHENTICATORS
        self._policy = fields.policy(self._name, self._rate.amount, self._rate.seconds)
        self._counts: Counts | None = None
        self._told_at = -_PAUSE
        # Of one request: several instances may be in one location.
        self._standing = ContextKey[Standing | None]("standing", None)
        self._slot = ContextKey[Slot | None]("slot", None)
        self._result = ContextKey[str | None]("result of a limit", None)
        self.refused = Counter("pingap_limit_refused", "Requests that were refused", ("reason",))
        self.reported = Counter(
            "pingap_limit_reported", 'Requests that mode = "enforce" would have refused'
        )

    def active_phases(self) -> tuple[str, ...]:
        """Take part in the phases that the settings need."""
        phases = ["request"]
        if self._settings.headers:
            phases.append("response")
        if self._settings.type == "inflight":
            phases.append("logging")
        return tuple(phases)

    def log_tags(self) -> Mapping[str, LogTag]:
        """Offer ``{:<name>.result}``: ``passed``, ``refused``, ``reported`` or ``unlimited``."""
        return {"result": lambda request, response, ctx: ctx[self._result]}

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        """Count the request, and refuse it if it is over the limit."""
        if self._has_allowed and self._keys.is_allowed(request, ctx):
            ctx[self._result] = "unlimited"
            return None
        key = self._keys.key(request, ctx)
        if key is None:
            return self._missing(ctx)
        counts = self._counts
        if counts is None or counts.shared is not ctx.shared:
            counts = self._counts = Counts(ctx.shared, self._name, self._settings, self._rate)
        if self._settings.type == "inflight":
            return self._entered(counts.slots.enter(key), ctx)
        passed = counts.limiter.hit(key)
        if passed and not self._settings.headers:
            ctx[self._result] = "passed"
            return None
        return self._judged(counts.limiter.standing(key, passed), ctx)

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

    def _entered(self, found: Slot | int, ctx: RequestContext) -> Response | None:
        """Keep the slot of a request, or refuse it."""
        if not isinstance(found, int):
            ctx[self._slot] = found
            ctx[self._result] = "passed"
            return None
        text = f"Plugin limit, exceed limit {found + 1}/{self._rate.amount}"
        return self._refusal(ctx, 429, text, "1", "over the limit")

    def _judged(self, standing: Standing, ctx: RequestContext) -> Response | None:
        """Let a request pass, or refuse it, and remember what the response tells."""
        if self._settings.headers:
            ctx[self._standing] = standing
        if standing.passed:
            ctx[self._result] = "passed"
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
