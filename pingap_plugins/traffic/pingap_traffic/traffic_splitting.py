"""The plugin ``traffic_splitting``: sends shares of the requests to other upstreams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import Field, model_validator

from pingap import (
    ContextKey,
    Counter,
    LogTag,
    Plugin,
    Regex,
    Request,
    RequestContext,
    Response,
    UpstreamName,
    hookimpl,
)
from pingap_traffic.buckets import Percent, Shares
from pingap_traffic.stickiness import ClientBuckets, StickySettings

DEFAULT: Final = "(default)"
"""Stands for the upstream that the request would have had without the plugin."""


class SplitSettings(StickySettings):
    """Settings of ``traffic_splitting``."""

    upstream: UpstreamName | None = None
    """The upstream that gets ``weight`` percent of the requests."""
    weight: Percent = 0
    """Percentage of the requests, exact to 0.01."""
    weights: dict[UpstreamName, Percent] = Field(default_factory=dict)
    """Instead of ``upstream`` and ``weight``: several upstreams with a percentage each, which may add up to 100."""
    stickiness: bool = False
    """Whether each client keeps its side, by ``sticky_cookie``, ``sticky_header`` or ``own_cookie``."""
    matcher: Regex | None = None
    """With ``sticky_cookie`` or ``sticky_header``: values in which it is found belong to ``upstream``, no others do,
    whatever ``weight`` is; if that is 0, none do."""

    @model_validator(mode="after")
    def _keys_fit(self) -> SplitSettings:
        for problem in (self._share_problem(), self._client_problem(), self.sticky_problem()):
            if problem:
                raise ValueError(problem)
        return self

    def _share_problem(self) -> str | None:
        if self.weights and self.model_fields_set & {"upstream", "weight"}:
            return "weights takes the place of upstream and weight: remove them"
        if not self.weights and not self.upstream:
            return "upstream is missing: the upstream that gets a share; or set weights"
        return None

    def _client_problem(self) -> str | None:
        sources = self.sticky_sources()
        if self.stickiness and not sources:
            return "stickiness needs sticky_cookie, sticky_header or own_cookie"
        if sources and not self.stickiness:
            return f"{sources[0]} has no effect without stickiness = true"
        if self.matcher is None:
            return None
        if not (self.sticky_cookie or self.sticky_header):
            return "matcher has no effect without stickiness by sticky_cookie or sticky_header"
        return "matcher has no effect with weights: set upstream" if self.weights else None

    @property
    def shares(self) -> Mapping[str, float]:
        """Upstream -> percentage."""
        return self.weights or {self.upstream or "": self.weight}


class TrafficSplitting(Plugin):
    """Sends shares of the requests to other upstreams, at random or by client."""

    category = "traffic_splitting"
    before = ("cache",)
    Settings = SplitSettings

    def __init__(self, settings: SplitSettings) -> None:
        self._shares = Shares(settings.shares)
        self._buckets = ClientBuckets(settings)
        self._matcher = settings.matcher
        self._matched = settings.upstream if settings.weight > 0 else None
        self._empty = [name for name, percent in settings.shares.items() if not percent]
        self._weight_key = "weights" if settings.weights else "weight"
        self._chosen = ContextKey[str | None]("upstream chosen by traffic_splitting", None)
        counter = Counter(
            "pingap_traffic_splitting_requests", "Requests by chosen upstream", ("upstream",)
        )
        self.requests = counter
        self._counts = {name: counter.labels(name) for name in (*settings.shares, DEFAULT)}

    def active_phases(self) -> tuple[str, ...]:
        """Take part in ``response`` only if clients get a cookie."""
        return ("request", "response") if self._buckets.gives_cookie else ("request",)

    def log_tags(self) -> Mapping[str, LogTag]:
        """Offer ``{:<name>.upstream}``: the chosen upstream, or ``(default)``."""
        return {"upstream": lambda request, response, ctx: ctx[self._chosen]}

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Tell ``pingap lint`` about upstreams that get nothing."""
        for name in self._empty:
            yield self._weight_key, f'"{name}" gets no request', "set a percentage above 0"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        """Choose the upstream."""
        name = self._choose(request, ctx)
        if name is not None:
            ctx.upstream = name
        chosen = ctx[self._chosen] = name or DEFAULT
        self._counts[chosen].inc()

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Give a new client its cookie."""
        self._buckets.give_cookie(request, response, ctx)

    def _choose(self, request: Request, ctx: RequestContext) -> str | None:
        if self._matcher is not None:
            value = self._buckets.value(request)
            found = value is not None and self._matcher.search(value) is not None
            return self._matched if found else None
        bucket = self._buckets.bucket(request, ctx)
        return None if bucket is None else self._shares.name_of(bucket)
