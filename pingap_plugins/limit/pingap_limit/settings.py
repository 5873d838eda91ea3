"""Settings of ``limit``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pingap import Duration, Networks, PluginSettings, Secret
from pingap_limit.keys import parse_part
from pingap_limit.rates import Rate, parse_rate
from pingap_limit.redis_address import check_address
from pingap_limit.storage import MOST_TIMES

Strategy = Literal["estimate", "fixed-window", "moving-window", "sliding-window-counter", "gcra"]


def _part(text: str) -> str:
    parse_part(text)
    return text


def _rate(text: str) -> str:
    parse_rate(text)
    return text


def _address(secret: Secret) -> Secret:
    check_address(secret.get_secret_value())
    return secret


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("found 0, expected a longer time")
    return seconds


class Settings(PluginSettings):
    """Settings of ``limit``."""

    type: Literal["rate", "inflight"] = "rate"
    """What is limited: how often requests come (``rate``), or how many are in progress (``inflight``)."""
    tag: Literal["ip", "cookie", "header", "query", "path", "host", "user", "claim"] = "ip"
    """What has the limit: each address, each value of a cookie, header field or query parameter, each path,
    each host, or each user, or value of a claim, that a plugin in front has authenticated."""
    key: str | None = None
    """Name of the cookie, header field, query parameter or claim."""
    by: list[Annotated[str, AfterValidator(_part)]] = Field(default_factory=list)
    """Instead of ``tag`` and ``key``: properties of which each combination has the limit, such as
    ``["ip", "header:X-Api-Key"]``."""
    max: Annotated[int, Field(ge=0)] | None = None
    """Number of requests in ``interval``, or in progress. 0 refuses all."""
    interval: Annotated[Duration, AfterValidator(_positive)] = 10.0
    """Length of the window."""
    rate: Annotated[str, AfterValidator(_rate)] | None = None
    """Instead of ``max`` and ``interval``: a rate such as ``100/minute``, ``5 per 2 hours``."""
    strategy: Strategy = "estimate"
    """How requests are counted; ``estimate`` is that of pingap 0.13.9."""
    weight: Annotated[int, Field(ge=0, le=100)] = 50
    """Percent that the current window weighs in the estimate; the rest is for the one before."""
    burst: Annotated[int, Field(ge=1)] | None = None
    """With ``gcra``: requests that may come at once; by default ``max``."""
    missing: Literal["allow", "refuse", "ip"] = "allow"
    """Requests without the property have no limit (``allow``), get 400 (``refuse``), or the address takes its
    place (``ip``)."""
    ipv6_prefix: Annotated[int, Field(ge=1, le=128)] = 64
    """Length of the IPv6 networks that share a limit."""
    allow: Networks = ()
    """Addresses and networks without a limit."""
    allow_keys: list[str] = Field(default_factory=list)
    """Values of the property without a limit."""
    mode: Literal["enforce", "report"] = "enforce"
    """``report`` lets everything pass, but counts and logs what it would refuse."""
    headers: bool = False
    """Whether responses have ``RateLimit-Policy`` and ``RateLimit``."""

    storage: Annotated[Secret, AfterValidator(_address)] | None = None
    """Redis, in which several machines share the limit: ``redis://host:port``, ``rediss://`` with TLS,
    ``redis+unix://``, ``redis+sentinel://`` or ``redis+cluster://``."""
    storage_prefix: str = "pingap"
    """What the names of all keys in Redis begin with. Limits with the same prefix and name are one."""
    storage_timeout: Annotated[Duration, AfterValidator(_positive)] = 0.25
    """How long a decision by Redis may take."""
    storage_connections: Annotated[int, Field(ge=1)] = 16
    """Maximum number of connections of each worker to Redis."""
    on_storage_failure: Literal["local", "refuse", "allow"] = "local"
    """While Redis is away: each machine has the limit for itself (``local``), requests get 503 (``refuse``), or
    there is no limit (``allow``)."""

    @model_validator(mode="after")
    def _keys_fit(self) -> Settings:
        for problem in (self._parts_problem(), self._rate_problem(), self._storage_problem()):
            if problem:
                raise ValueError(problem)
        return self

    def _parts_problem(self) -> str | None:
        given = self.model_fields_set
        named = self.tag in ("cookie", "header", "query", "claim")
        if self.by and given & {"tag", "key"}:
            return "by takes the place of tag and key: remove them"
        if named and not self.by and not self.key:
            return f'key is missing: the name of the {self.tag} for tag = "{self.tag}"'
        if self.key is not None and not named:
            return f'key has no effect with tag = "{self.tag}"'
        if self.key and not self.by:
            parse_part(f"{self.tag}:{self.key}")
        if self.allow_keys and len(self.by) > 1:
            return "allow_keys needs a single property, and by names several"
        return None

    def _rate_problem(self) -> str | None:
        given = self.model_fields_set
        if self.rate is not None and given & {"max", "interval"}:
            return "rate takes the place of max and interval: remove them"
        if self.rate is None and self.max is None:
            return "max is missing: the number of requests"
        if self.type == "inflight":
            rates = {"interval", "rate", "strategy", "weight", "burst", "headers"}
            return _no_effect(given & rates, 'type = "inflight"')
        amount = self.limit.amount
        if self.strategy != "estimate" and not amount:
            return f'found max = 0, expected at least 1 with strategy = "{self.strategy}"'
        if self.strategy != "estimate" and "weight" in given:
            return 'weight has an effect with strategy = "estimate" only'
        if self.strategy != "gcra" and self.burst is not None:
            return 'burst has an effect with strategy = "gcra" only'
        if self.strategy == "moving-window" and amount > MOST_TIMES and self._counts_locally:
            return (
                f"moving-window keeps the time of each request, up to {MOST_TIMES} unless it is in a"
                ' storage with on_storage_failure = "refuse" or "allow";'
                " sliding-window-counter and gcra have no such limit"
            )
        return None

    @property
    def _counts_locally(self) -> bool:
        return self.storage is None or self.on_storage_failure == "local"

    def _storage_problem(self) -> str | None:
        if self.storage is not None:
            return None
        keys = {"storage_prefix", "storage_timeout", "storage_connections", "on_storage_failure"}
        return _no_effect(self.model_fields_set & keys, "no storage")

    @property
    def limit(self) -> Rate:
        """The rate."""
        return parse_rate(self.rate) if self.rate else Rate(self.max or 0, self.interval)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Kind and name of each property that has the limit."""
        return [parse_part(one) for one in self.by] or [(self.tag, self.key or "")]


def _no_effect(keys: set[str], reason: str) -> str | None:
    return f"{', '.join(sorted(keys))} has no effect with {reason}" if keys else None
