"""Attempts to get a response from an upstream, as plugins see them."""

from __future__ import annotations

from dataclasses import dataclass

from pingap.http.errors import PingapError
from pingap.http.headers import Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAttempt:
    """One attempt to send a request to an upstream, after it has ended.

    Times are monotonic seconds (``time.monotonic``).

    :param number: 1 for the first attempt of the request.
    :param upstream: name of the upstream.
    :param peer: address of the peer, as configured; empty if none was available.
    :param began_at: when the peer was chosen.
    :param sent_at: when the connection was usable and the head was sent; 0 if it never was.
    :param ended_at: when the response head had arrived, or the attempt failed.
    :param reused: the connection had served a request before.
    :param status: status of the response; 0 without one.
    :param error: why there was no response; None if there was one.
    """

    number: int
    upstream: str
    peer: str
    began_at: float
    sent_at: float
    ended_at: float
    reused: bool
    status: int
    error: PingapError | None


@dataclass(frozen=True, slots=True)
class Retry:
    """Returned by ``upstream_error`` and ``upstream_response``: send the request again, to a newly chosen peer.

    After ``upstream_error``, a request whose body has been sent and not kept is not sent again; after
    ``upstream_response``, none that has a body.

    :param after: seconds to wait before that. The client may disconnect in the meantime.
    :param headers: the fields to send from now on; None: the same as before.
    """

    after: float = 0.0
    headers: Headers | None = None
