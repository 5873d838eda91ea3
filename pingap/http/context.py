"""The state of one request, shared by all its phases."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from pingap.http.connection import Connection
from pingap.http.context_keys import ContextKey
from pingap.http.context_ports import AnyOrigin, RunningExchange
from pingap.http.errors import PingapError
from pingap.http.forwarding import NOTHING, Told
from pingap.http.headers import Field, field
from pingap.http.original_request import OriginalRequest
from pingap.http.outcome import RequestOutcome
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.shared_state.state import SharedState

_NOTHING: Mapping[str, str] = MappingProxyType({})
_PLAIN = re.compile("[ -~]*").fullmatch
_TIMING = re.compile("[0-9A-Za-z_.-]{1,64}").fullmatch
_DESCRIPTION = re.compile("[0-9A-Za-z_. -]{0,64}").fullmatch
MOST_TIMINGS: Final = 32
"""Maximum number of ``Server-Timing`` metrics that plugins can add to a response."""
T = TypeVar("T")
_NO_TIMES: Mapping[str, float] = MappingProxyType({})


class RequestContext:
    """The data of one request, apart from its head. Lives from the head to the log line.

    Attributes named ``*_at`` are monotonic seconds (``time.monotonic``), others are durations in seconds. A
    value that is not known yet, or never will be, is that of the class.
    """

    location: str = ""
    """Name of the location that matched; empty if none did."""
    captures: Mapping[str, str] = _NOTHING
    """Named groups of the host and path expressions of the location."""
    _request_id: str = ""
    upstream_name: str = ""
    """See ``upstream``, which checks assigned values."""
    upstream_addr: str = ""
    """Address of the chosen peer."""
    upstream_host: str = ""
    """The chosen peer as it is configured: what a request without ``Host`` gets as ``Host``."""
    upstream_status: int = 0
    """Status of the upstream's response; 0 if there was none."""
    upstream_reused: bool = False
    """Whether the upstream connection had served a request before."""
    upstream_connect_time: float | None = None
    """Seconds until an upstream connection was usable; None if none was needed."""
    upstream_tcp_connect_time: float | None = None
    """The TCP part of it; None if this request opened no connection."""
    upstream_tls_handshake_time: float | None = None
    """The TLS part of it; None without a TLS handshake."""
    upstream_connected_at: float = 0.0
    """When the request could be sent."""
    upstream_connection_began: float = 0.0
    """When the connection to the peer was established; 0 if there is none."""
    upstream_connected: int = 0
    """Connections of the upstream, with ``enable_tracer``; else 0."""
    pins_upstream: bool = False
    """Whether the upstream connection serves no other client; see :meth:`pin_upstream`."""
    upstream_retries: int = 0
    """Number of retries: how often the request was, or was about to be, sent again."""
    upstream_head_at: float = 0.0
    """When the head of the upstream's response had arrived; 0 before."""
    choice_fields: Sequence[Field] = ()
    """Header fields that the choice of a peer adds to the response (a cookie that binds the client)."""
    error: PingapError | None = None
    """The reason for a failed request or an error page; None if there was no error."""
    status: int = 0
    """Status sent to the client; 0 if none was sent."""
    body_bytes_sent: int = 0
    """Bytes of the response body that were sent, without framing. If the connection broke, bytes still
    buffered in the proxy do not count, but bytes lost in the network do."""
    body_bytes_received: int = 0
    """Bytes of the request body that were received."""
    ended_at: float = 0.0
    """When the last byte was passed to the connection; 0 before."""
    plugin_times: Mapping[str, float] = _NO_TIMES
    """Plugin instance -> seconds it has taken so far; empty unless plugins are timed (``plugin_timing``)."""
    processing: int = 0
    """Requests in progress at the location when this one began, including itself."""
    finish_without_client: bool = False
    """Set by a plugin: read the upstream's response to its end even if the client has disconnected.

    Body filters then get all of it, and ``end`` instead of ``abandoned``. It does not apply while the
    client's request is incomplete, to upgrades, and to bodies that plugins produce. Limits: the time
    limits of the upstream, 64 MiB, and the grace period when pingap shuts down."""
    reads_ahead: bool = False
    """Whether a plugin has called :meth:`read_ahead`."""
    in_background: bool = False
    """Whether the request has no client: see :meth:`send_in_background`."""
    origin: AnyOrigin | None = None
    """Set by a plugin: answers the request within the process, in place of the location's upstream. If a
    plugin sets ``ctx.upstream``, too, that upstream gets the request."""
    _background: tuple[Request, RequestContext] | None = None
    _exchange: RunningExchange | None = None  # set while plugins may need it, since it refers back
    _user: str = ""
    _received: tuple[Request, str, str, str]  # the request and its original method, target and host
    _read_body: Callable[[int], Awaitable[bytes]] | None = None

    def __init__(self, connection: Connection, began_at: float) -> None:
        self.connection = connection
        self.began_at = began_at
        # Frequently used attributes are found faster in the object than in its class.
        self.body_bytes_received = self.upstream_retries = 0
        self.plugin_times = _NO_TIMES
        self.pins_upstream = False
        self.upstream_head_at = 0.0
        self.choice_fields = ()
        self.error = None
        self._request_id = ""

    @property
    def outcome(self) -> RequestOutcome | None:
        """How the request ended; None while it is in progress. Known in ``logging``."""
        failed: RequestOutcome | None = self.__dict__.get("_outcome")
        if failed is not None:
            return failed
        return RequestOutcome.COMPLETE if self.ended_at else None

    def pin_upstream(self) -> None:
        """Use an upstream connection that is never shared with other clients.

        For backends that authenticate connections instead of requests. Later requests of the client's connection
        to the same peer use it, too, and both connections are closed together. Call this in ``request`` or
        ``proxy_upstream``, before the request is sent. NTLM and Negotiate are detected automatically.

        :raises RuntimeError: the request was already sent.
        """
        if self.upstream_connected_at:
            raise RuntimeError("the request was already sent: call pin_upstream before that")
        self.pins_upstream = True

    async def read_body(self, limit: int) -> bytes:
        """Read the whole request body; it is then sent on as usual.

        Call this in an async phase that runs before the request is sent (``request``, ``proxy_upstream``).
        Afterwards the body is ``request.body``, too. The phase has no time limit while the client sends.

        :param limit: maximum size of the body in bytes.
        :returns: the body; ``b""`` if the request has none.
        :raises HTTPError: 413, the body is larger.
        :raises RuntimeError: the request was sent, or is over.
        """
        if self.ended_at:
            raise RuntimeError("the request is over: call read_body before that")
        if self._read_body is None:
            return b""
        return await self._read_body(limit)

    async def read_response(self, response: Response, limit: int) -> bytes | None:
        """Read the whole body of a response in ``upstream_response``, so that it can be replaced.

        Unless it is empty, another one can then be assigned to ``response.body``; later plugins see the
        response as if it had come that way, without trailers. The time limits of the upstream apply.

        :param response: the response that the phase was called with.
        :param limit: maximum size of the body in bytes.
        :returns: the body; None if it is larger, or comes from a plugin in pieces.
        :raises RuntimeError: it is being sent.

        .. versionadded:: 1.1
        """
        if self._exchange is not None:
            return await self._exchange.read_response(response, limit)
        body = response.body
        return body if isinstance(body, bytes) and len(body) <= limit else None

    def read_ahead(self, wanted: bool = True) -> None:
        """Read the upstream's response as fast as it arrives, even for a slow client; or stop that.

        For a body filter that passes the bytes on to others, which wait for them. What the client has not accepted
        yet is kept in memory, so stop when that may be too much. No effect on bodies that plugins produce.

        .. versionadded:: 1.1
        """
        if self.reads_ahead is not wanted:
            self.reads_ahead = wanted
            if (exchange := self._exchange) is not None:
                exchange.on_client_full(exchange.client_full)

    def send_in_background(self, request: Request) -> RequestContext:
        """Send a request to the upstream although this one is answered at once; return its context.

        A plugin calls this in ``request``, and answers, such as a cache with what it has, which it refreshes that
        way. The request then goes on behind that plugin, as this one would have: through ``request`` of the plugins
        behind it and ``proxy_upstream`` to the upstream, with the headers that the location sets, then through
        ``upstream_response`` and ``upstream_response_body``, whose filters get the whole body. Nobody gets the
        response: there is no ``response``, ``response_body`` or ``error_page``, and no line in the access log;
        ``logging`` runs for the plugins behind the caller only. Limits are those of ``finish_without_client``. It is
        not sent if no plugin answers, and for clients with an upstream connection of their own (``pin_upstream``).

        :param request: without a body: a copy (:meth:`Request.copy`), changed as needed.
        :returns: its context: a copy of this one, whose ``in_background`` is true.
        :raises ValueError: the request has a body, or asks for an upgrade.

        .. versionadded:: 1.1
        """
        if request.has_body or request.upgrade:
            raise ValueError(f"{request!r} has a body or asks for an upgrade")
        other = RequestContext.__new__(RequestContext)
        other.__dict__.update(self.__dict__)
        for name in ("_values", "_state", "_variants"):
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name].copy()
        for name in ("_timings", "_timing_descriptions", "_read_body", "_exchange"):
            other.__dict__.pop(name, None)
        if self.plugin_times:
            other.plugin_times = {}
        other.began_at = time.monotonic()
        other.body_bytes_received = 0
        other.in_background = True
        self._background = request, other
        return other

    def fail(self, outcome: RequestOutcome, error: PingapError) -> None:
        """Record that the response stays incomplete. Not for plugins."""
        self.__dict__["_outcome"] = outcome
        self.error = error

    @property
    def shared(self) -> SharedState:
        """Numbers that are the same for all workers: counters, gauges, windows and tables."""
        return self.connection.shared

    @property
    def request_id(self) -> str:
        """Set by the ``request_id`` plugin; shown in the access log and on error pages.

        :raises TypeError: when assigned: not a string.
        :raises ValueError: when assigned: a character that is invalid in a header field.
        """
        return self._request_id

    @request_id.setter
    def request_id(self, value: str) -> None:
        if _PLAIN(value) is None:
            field("X-Request-Id", value)
        self._request_id = value

    @property
    def user(self) -> str:
        """The authenticated user, set by a plugin; empty if there is none.

        The access log shows it as ``{:user}``.

        :raises TypeError: when assigned: not a string.
        :raises ValueError: when assigned: a character that is invalid in a header field.
        """
        return self._user

    @user.setter
    def user(self, value: str) -> None:
        if _PLAIN(value) is None:
            field("X-User", value)
        self._user = value

    @property
    def upstream(self) -> str:
        """Name of the upstream; a plugin may set it before the upstream is chosen.

        :raises TypeError: when assigned: not a string.
        """
        return self.upstream_name

    @upstream.setter
    def upstream(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"upstream is the name of an upstream, not {value!r:.40}")
        self.upstream_name = value

    @property
    def state(self) -> dict[str, Any]:
        """Data that plugins keep for this request, by name of the plugin."""
        state: dict[str, Any] | None = self.__dict__.get("_state")
        if state is None:
            state = self.__dict__["_state"] = {}
        return state

    @property
    def variants(self) -> dict[str, str]:
        """The properties that distinguish variants of the response, by name: ``{"encoding": "br"}``.

        A plugin that changes a response depending on the request records the dependency here. A cache behind
        it includes these in its key. Begin names with the plugin's category.
        """
        variants: dict[str, str] | None = self.__dict__.get("_variants")
        if variants is None:
            variants = self.__dict__["_variants"] = {}
        return variants

    def __getitem__(self, key: ContextKey[T]) -> T:
        """Return the value of a key.

        :raises KeyError: no plugin has set it, and the key has no default.
        """
        values: dict[ContextKey[Any], Any] = self.__dict__.get("_values", {})
        if key in values:
            return cast("T", values[key])
        if key.default:
            return key.default[0]
        raise KeyError(key.name)

    def __setitem__(self, key: ContextKey[T], value: T) -> None:
        self.__dict__.setdefault("_values", {})[key] = value

    def __contains__(self, key: object) -> bool:
        """Return whether a plugin has set the value of a key."""
        return key in self.__dict__.get("_values", {})

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds by name, as recorded by ``timing``."""
        timings: Mapping[str, float] = self.__dict__.get("_timings", _NO_TIMES)
        return timings

    @property
    def timing_descriptions(self) -> Mapping[str, str]:
        """Descriptions by name, as recorded by ``timing``."""
        descriptions: Mapping[str, str] = self.__dict__.get("_timing_descriptions", _NOTHING)
        return descriptions

    def timing(self, name: str, seconds: float, description: str = "") -> None:
        """Add a metric to ``Server-Timing``, where the server sends it (``enable_server_timing``).

        Values of a repeated name are added up. At most 32 names are kept. A body filter that holds the
        head (``hold_head``) can still call this in ``end``.

        :param name: letters, digits and ``-_.``, such as ``cache.lookup``.
        :param description: additional information, such as ``gzip 3.4``: letters, digits, spaces
            and ``-_.``.
        :raises ValueError: another name or description, or seconds below 0.
        """
        if not _TIMING(name) or not seconds >= 0 or not _DESCRIPTION(description):
            raise ValueError(
                f"timing({name!r:.40}, {seconds!r:.40}) is not a metric of Server-Timing"
            )
        timings = self.__dict__.setdefault("_timings", {})
        if name in timings or len(timings) < MOST_TIMINGS:
            timings[name] = timings.get(name, 0.0) + seconds
            if description:
                self.__dict__.setdefault("_timing_descriptions", {})[name] = description

    @property
    def original(self) -> OriginalRequest:
        """The request as the client sent it, before plugins changed it."""
        request, method, target, host = self._received
        return OriginalRequest(
            method, request.received_target or target, host, self.scheme(request)
        )

    @property
    def upstream_processing_time(self) -> float | None:
        """From the usable connection to the response head, in seconds; None without one."""
        return self.upstream_head_at - self.upstream_connected_at if self.upstream_head_at else None

    @property
    def upstream_response_time(self) -> float | None:
        """From the response head to its last byte, in seconds; None before that."""
        if not (self.upstream_head_at and self.ended_at):
            return None
        return self.ended_at - self.upstream_head_at

    def told(self, request: Request) -> Told:
        """Return the values that a trusted proxy forwarded; read once, before plugins change them."""
        if not self.connection.is_trusted:
            return NOTHING
        found: Told | None = self.__dict__.get("_told")
        if found is None:
            found = self.__dict__["_told"] = self.connection.told(request)
        return found

    def scheme(self, request: Request) -> str:
        """Return the scheme that the client used, also behind trusted proxies."""
        return self.told(request).scheme or self.connection.scheme

    def host(self, request: Request) -> str:
        """Return the host that the client requested, without port, also behind trusted proxies."""
        return self.told(request).host or request.host

    def port(self, request: Request) -> str:
        """Return the port that the client connected to, also behind trusted proxies; may be empty."""
        return self.told(request).port or str(self.connection.server_port or "")

    def client_ip(self, request: Request) -> str:
        """Return the client's address (see :meth:`Connection.client_ip`)."""
        return self.told(request).client or self.connection.remote_addr

    @property
    def service_time(self) -> float:
        """Seconds from the request's head to its end, or to now."""
        return (self.ended_at or time.monotonic()) - self.began_at
