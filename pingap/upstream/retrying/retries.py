"""Decides whether a request is sent to another peer (config.md 5.10, and more)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pingap.http.errors import UpstreamError

if TYPE_CHECKING:
    from pingap.config import LocationConfig
    from pingap.http.ports import Asker
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime

IDEMPOTENT: Final = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"))
"""Methods whose requests may be repeated (RFC 9110, 9.2.2)."""
MOST: Final = 15
"""Attempts after the first (config.md 5.10: 16 in all)."""
MOST_REFUSALS: Final = 3
"""Retries of one request after upstreams that did not process it."""

CONNECT: Final = "connect"
TIMEOUT: Final = "timeout"
RESET: Final = "reset"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a location's requests are retried.

    :param most: maximum number of attempts after the first.
    :param window: seconds since the request was read, after which there are no more attempts.
    :param words: the reasons for another attempt, see ``word_for``.
    :param statuses: response statuses that cause another attempt.
    """

    most: int = 0
    window: float | None = None
    words: frozenset[str] = frozenset((CONNECT,))
    statuses: frozenset[int] = frozenset()

    @classmethod
    def of(cls, settings: LocationConfig) -> RetryPolicy:
        """Return the policy of a location."""
        if not settings.max_retries:
            return cls()
        return cls(
            most=min(settings.max_retries, MOST),
            window=settings.max_retry_window,
            words=frozenset(word for word in settings.retry_on if not word.isdecimal()),
            statuses=frozenset(int(word) for word in settings.retry_on if word.isdecimal()),
        )

    @property
    def repeats_sent(self) -> bool:
        """Whether requests that were already sent are repeated, so that bodies are kept."""
        return bool(self.most and (self.statuses or self.words.difference((CONNECT,))))


def word_for(error: UpstreamError) -> str:
    """Return the word of ``retry_on`` for an error that came before the head of a response."""
    if error.connecting:
        return CONNECT
    return TIMEOUT if error.status == 504 else RESET


class Attempts:
    """The failed attempts of one request, and the decision about another one.

    If the connection could not be made, nothing was sent, and only ``max_retries`` and ``max_retry_window``
    apply. A request that was sent is repeated if that is harmless, its body is available, and the upstream's
    retry budget allows it. Two cases do not count: a kept connection that was closed, and a stream that
    HTTP/2 reported as unprocessed.
    """

    __slots__ = ("_policy", "_refusals", "_retries", "_upstream", "_x", "fresh", "tried")

    def __init__(self, x: Asker, policy: RetryPolicy, upstream: UpstreamRuntime) -> None:
        self._x = x
        self._policy = policy
        self._upstream = upstream
        self._retries = 0
        self._refusals = 0
        self.tried: list[Peer] = []
        """Peers that failed; others are preferred."""
        self.fresh = False
        """Whether the next attempt needs a new connection."""

    def again_after_error(self, error: UpstreamError, peer: Peer | None) -> bool:
        """Return whether there is another attempt after one without a response.

        :param peer: None if there was none.
        """
        if self._died_idle(error):
            self.fresh = True  # so this happens only once
            return self._count("idle")
        if error.unprocessed:
            self._refusals += 1
            again = self._refusals <= MOST_REFUSALS and self._has_body
            return again and self._count("refused")
        word = word_for(error)
        self._note(peer)
        if word not in self._policy.words or not self._may_retry():
            return False
        if word != CONNECT and not self._may_repeat():
            return False
        return self._count(word)

    def again_after_answer(self, status: int, peer: Peer | None) -> bool:
        """Return whether there is another attempt after a response with a status of the policy."""
        self._note(peer)
        return self._may_retry() and self._may_repeat() and self._count(str(status))

    def _note(self, peer: Peer | None) -> None:
        self.fresh = False
        if peer is not None:
            self.tried.append(peer)

    @property
    def _has_body(self) -> bool:
        body = self._x.request_body
        return body is None or body.replayable

    def _died_idle(self, error: UpstreamError) -> bool:
        """Return whether a kept connection had been closed and the request can be repeated safely."""
        return (
            error.untouched
            and self._x.ctx.upstream_reused
            and self._x.request.method in IDEMPOTENT
            and self._has_body
        )

    def _may_retry(self) -> bool:
        policy = self._policy
        if self._retries >= policy.most:
            return False
        return policy.window is None or time.monotonic() - self._x.ctx.began_at <= policy.window

    def _may_repeat(self) -> bool:
        """Return whether a request that was sent may be sent again."""
        if self._x.request.method not in IDEMPOTENT or not self._has_body:
            return False
        return self._upstream.retry_budget.spend(time.monotonic())

    def _count(self, reason: str) -> bool:
        if reason not in ("refused", "idle"):
            self._retries += 1
        self._x.ctx.upstream_retries += 1
        counts = self._upstream.retries
        counts[reason] = counts.get(reason, 0) + 1
        return True
