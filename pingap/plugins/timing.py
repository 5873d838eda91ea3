"""Measures the time that each plugin takes of a request, for requests that ask for it.

Chains are wrapped once per location. Other requests run the plain chains, so measuring costs nothing
while it is off.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable
from typing import Any

from pingap.http.body_filters import AsyncBodyFilter, BodyFilter
from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome
from pingap.http.request import Request
from pingap.plugins.chains import Call, Chains, Owner
from pingap.plugins.websocket_filter import Sendable, Tunnel, WebSocketFilter
from pingap.protocol.websocket_frames import WebSocketMessage


def is_asked_for(request: Request) -> bool:
    """Return whether a request asks for it, by a header; the caller decides whether the client may."""
    return request.asks_timing


def timed(chains: Chains) -> Chains:
    """Return the same chains, which record in ``ctx.plugin_times`` how long each plugin takes."""
    return chains.wrapped(_wrap)


def _wrap(call: Call, owner: Owner, phase: str) -> Call:
    name = owner.name

    def wrapper(*arguments: Any) -> Any:
        times = arguments[-1].plugin_times  # the context is the last argument of every phase
        began = time.perf_counter()
        try:
            answer = call(*arguments)
        finally:
            _note(times, name, began)
        if inspect.isawaitable(answer):
            return _awaited(answer, times, name)
        return _timed_if_filter(answer, times, name)

    return wrapper


async def _awaited(answer: Awaitable[Any], times: dict[str, float], name: str) -> Any:
    began = time.perf_counter()
    try:
        result = await answer
    finally:
        _note(times, name, began)
    return _timed_if_filter(result, times, name)


def _timed_if_filter(answer: Any, times: dict[str, float], name: str) -> Any:
    if isinstance(answer, BodyFilter):
        return _TimedFilter(answer, times, name)
    if isinstance(answer, AsyncBodyFilter):
        return _TimedAsyncFilter(answer, times, name)
    if isinstance(answer, WebSocketFilter):
        return _TimedWebSocketFilter(answer, times, name)
    return answer


def _note(times: dict[str, float], name: str, began: float) -> None:
    times[name] = times.get(name, 0.0) + time.perf_counter() - began


class _TimedFilter(BodyFilter):
    """Passes all calls on to a filter, and measures their time."""

    def __init__(self, inner: BodyFilter, times: dict[str, float], name: str) -> None:
        self._inner = self._wrapped = inner
        self._times = times
        self._name = name
        self.hold_head = inner.hold_head

    def feed(self, chunk: bytes) -> bytes:
        began = time.perf_counter()
        try:
            return self._inner.feed(chunk)
        finally:
            _note(self._times, self._name, began)

    def flush(self) -> bytes:
        began = time.perf_counter()
        try:
            return self._inner.flush()
        finally:
            _note(self._times, self._name, began)

    def end(self, trailers: Headers) -> bytes:
        began = time.perf_counter()
        try:
            return self._inner.end(trailers)
        finally:
            _note(self._times, self._name, began)

    def abandoned(self, outcome: RequestOutcome) -> None:
        self._inner.abandoned(outcome)


class _TimedAsyncFilter(AsyncBodyFilter):
    """The same for an async filter; time spent waiting is included."""

    def __init__(self, inner: AsyncBodyFilter, times: dict[str, float], name: str) -> None:
        self._inner = self._wrapped = inner
        self._times = times
        self._name = name
        self.hold_head, self.gather = inner.hold_head, inner.gather

    async def feed(self, chunk: bytes) -> Any:
        return await _awaited(self._inner.feed(chunk), self._times, self._name)

    async def flush(self) -> Any:
        return await _awaited(self._inner.flush(), self._times, self._name)

    async def end(self, trailers: Headers) -> Any:
        return await _awaited(self._inner.end(trailers), self._times, self._name)

    def abandoned(self, outcome: RequestOutcome) -> None:
        self._inner.abandoned(outcome)

    def _at_once(self, method: str, *arguments: bytes | Headers) -> bytes | None:
        began = time.perf_counter()
        try:
            return self._inner._at_once(method, *arguments)
        finally:
            _note(self._times, self._name, began)

    def _end_cancelled(self, outcome: RequestOutcome) -> None:
        self._inner._end_cancelled(outcome)


class _TimedWebSocketFilter(WebSocketFilter):
    """Does the same for a WebSocket filter, which may also send messages on its own."""

    def __init__(self, inner: WebSocketFilter, times: dict[str, float], name: str) -> None:
        self.message_limit = inner.message_limit
        self.stall_timeout = inner.stall_timeout
        self._inner = inner
        self._times = times
        self._name = name

    def _join(self, tunnel: Tunnel | None, place: int) -> None:
        self._inner._join(tunnel, place)

    def opened(self) -> None:
        self._inner.opened()

    def from_client(self, message: WebSocketMessage) -> Sendable | None:
        began = time.perf_counter()
        try:
            return self._inner.from_client(message)
        finally:
            _note(self._times, self._name, began)

    def from_upstream(self, message: WebSocketMessage) -> Sendable | None:
        began = time.perf_counter()
        try:
            return self._inner.from_upstream(message)
        finally:
            _note(self._times, self._name, began)

    def closed(self, code: int, reason: str) -> None:
        self._inner.closed(code, reason)
