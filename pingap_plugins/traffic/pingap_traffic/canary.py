"""The plugin ``canary``: tries a new version with some requests, and steps back if it fails more often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from pingap import (
    BackgroundTasks,
    ConfigTable,
    ContextKey,
    Counter,
    Duration,
    Gauge,
    LogTag,
    Metric,
    Notification,
    Plugin,
    Request,
    RequestContext,
    RequestOutcome,
    Response,
    SharedState,
    UpstreamName,
    Worker,
    hookimpl,
)
from pingap_traffic.buckets import Percent, is_within
from pingap_traffic.step_back import NEW, OLD, Rule, StepBack, Tally
from pingap_traffic.stickiness import ClientBuckets, StickySettings

Reason = Literal["header", "cookie", "weight"]
_WORDS: Final = {"always": NEW, "never": OLD}


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("found 0, expected a longer time")
    return seconds


class CanarySettings(StickySettings):
    """Settings of ``canary``."""

    upstream: UpstreamName
    """The upstream of the new version."""
    weight: Percent = 0
    """Percentage of the requests that it gets, exact to 0.01, of those that ``header`` and ``cookie`` do not decide."""
    header: str | None = None
    """A request header that decides: ``always`` selects the new version, ``never`` the old one."""
    header_value: str | None = None
    """The value of ``header`` that selects the new version, instead of ``always`` and ``never``."""
    cookie: str | None = None
    """A cookie that decides, unless the header does: ``always`` selects the new version, ``never`` the old one."""
    step_back: bool = True
    """Whether ``weight`` becomes 0 if the error rate of the new version is higher."""
    tolerance: Percent = 5
    """Percentage points by which the error rate of the new version may be higher than that of the old one."""
    min_requests: Annotated[int, Field(ge=1)] = 50
    """Requests that the new version must have had within ``window`` before its error rate counts."""
    window: Annotated[Duration, AfterValidator(_positive)] = 60.0
    """The time over which error rates are computed."""
    retry_after: Annotated[Duration, AfterValidator(_positive)] | None = None
    """How long after a step back the new version gets its share again; without it, when the table is changed."""

    @model_validator(mode="after")
    def _keys_fit(self) -> CanarySettings:
        for problem in (self._header_problem(), self._rule_problem(), self.sticky_problem()):
            if problem:
                raise ValueError(problem)
        return self

    def _header_problem(self) -> str | None:
        if self.header_value is not None and not self.header:
            return "header_value has no effect without header"
        return None

    def _rule_problem(self) -> str | None:
        if self.step_back:
            return None
        keys = {"tolerance", "min_requests", "window", "retry_after"} & self.model_fields_set
        return f"{', '.join(sorted(keys))} has no effect without step_back" if keys else None


class _Choice(NamedTuple):
    """The side of a request, and what decided."""

    side: str
    reason: Reason


class Canary(Plugin):
    """Sends some requests to a new version, and steps back if its error rate is higher."""

    category = "canary"
    contract = "1.1"
    before = ("cache",)
    Settings = CanarySettings

    def __init__(self, settings: CanarySettings, table: ConfigTable | None = None) -> None:
        self._settings = settings
        self._name = table.name if table else self.category
        content = repr(sorted(table.values.items())) if table else ""
        digest = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._version = int.from_bytes(digest, "big", signed=True)
        self._buckets = ClientBuckets(settings)
        self._judge: StepBack | None = None
        self._worker: Worker | None = None
        self._choice = ContextKey[_Choice | None]("side chosen by canary", None)
        self._unanswered = ContextKey[bool]("no response for canary", False)
        self.requests = Counter(
            "pingap_canary_requests", "Requests by side, and what decided", ("side", "reason")
        )
        self.errors = Counter(
            "pingap_canary_errors", "Requests decided by weight that failed", ("side",)
        )

    def active_phases(self) -> tuple[str, ...]:
        """Take part in the phases that the settings need."""
        phases = ["request"]
        if self._settings.step_back:
            phases += ["upstream_error", "logging"]
        if self._buckets.gives_cookie:
            phases.append("response")
        return tuple(phases)

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Begin from nothing if the table has changed; a reload that changes other tables goes on."""
        self._worker = worker
        self._judge_in(worker.shared).begin()

    def log_tags(self) -> Mapping[str, LogTag]:
        """Offer ``{:<name>.side}`` (``new`` or ``old``) and ``{:<name>.reason}``."""
        return {
            "side": lambda request, response, ctx: c.side if (c := ctx[self._choice]) else None,
            "reason": lambda request, response, ctx: c.reason if (c := ctx[self._choice]) else None,
        }

    def collect(self) -> Iterable[Metric]:
        """Show whether the new side is switched off."""
        if self._worker is not None and self._settings.step_back:
            gauge = Gauge(
                "pingap_canary_stepped_back",
                "Whether the new side gets no share because it failed more often",
                merge="max",
            )
            gauge.set(self._judge_in(self._worker.shared).is_back)
            yield gauge

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Tell ``pingap lint`` about a canary that gets nothing."""
        settings = self._settings
        if not (settings.weight or settings.header or settings.cookie):
            yield "weight", "the new version gets no request", "set weight, header or cookie"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        """Choose a side."""
        choice = self._asked_for(request) or self._by_weight(request, ctx)
        ctx[self._choice] = choice
        self.requests.labels(*choice).inc()
        if choice.side == NEW:
            ctx.upstream = self._settings.upstream

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Give a new client its cookie."""
        self._buckets.give_cookie(request, response, ctx)

    @hookimpl
    def upstream_error(self, ctx: RequestContext) -> None:
        """Remember that no attempt got a response, even if a plugin answers instead."""
        ctx[self._unanswered] = True

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        """Count the result of a request that the weight decided."""
        choice = ctx[self._choice]
        if choice is None or choice.reason != "weight":
            return
        failed = self._has_failed(ctx)
        if failed is None:
            return
        if failed:
            self.errors.labels(choice.side).inc()
        worse = self._judge_in(ctx.shared).count(choice.side, failed)
        if worse is not None:
            self._tell(*worse)

    def _asked_for(self, request: Request) -> _Choice | None:
        """Return the side that the header or the cookie selects."""
        settings = self._settings
        if settings.header and (value := request.header(settings.header)) is not None:
            if settings.header_value is None:
                side = _WORDS.get(value)
            else:
                side = NEW if value == settings.header_value else None
            if side is not None:
                return _Choice(side, "header")
        if settings.cookie and (word := request.cookie(settings.cookie)) in _WORDS:
            return _Choice(_WORDS[word], "cookie")
        return None

    def _by_weight(self, request: Request, ctx: RequestContext) -> _Choice:
        settings = self._settings
        bucket = self._buckets.bucket(request, ctx)  # in any case: it may be a cookie to give
        is_new = bucket is not None and is_within(bucket, settings.weight)
        if is_new and settings.step_back and self._judge_in(ctx.shared).is_back:
            is_new = False
        return _Choice(NEW if is_new else OLD, "weight")

    def _has_failed(self, ctx: RequestContext) -> bool | None:
        """Return whether the upstream failed; None if it was not asked, or the client left first."""
        if ctx[self._unanswered]:
            return True
        if not ctx.upstream_status:
            return None
        return ctx.upstream_status >= 500 or ctx.outcome is RequestOutcome.BROKEN_OFF

    def _judge_in(self, shared: SharedState) -> StepBack:
        judge = self._judge
        if judge is None or judge.shared is not shared:
            settings = self._settings
            rule = Rule(settings.min_requests, settings.tolerance)
            judge = self._judge = StepBack(
                shared, self._name, self._version, rule, settings.window, settings.retry_after
            )
        return judge

    def _tell(self, new: Tally, old: Tally) -> None:
        """Notify operators of a step back."""
        if self._worker is None:
            return
        message = (
            f"canary {self._name}: {new.percent:.1f} % of {new.requests:.0f} requests failed,"
            f" and {old.percent:.1f} % with the old version: it gets no share any more"
        )
        fields = {"plugin": self._name, "upstream": self._settings.upstream}
        self._worker.notify(Notification("canary_stepped_back", message, fields=fields))
