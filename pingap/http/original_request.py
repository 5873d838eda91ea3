"""A request as the client sent it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OriginalRequest:
    """The request as the client sent it, before any plugin changed it.

    :param method: as sent.
    :param target: path and query as sent, also for an absolute target.
    :param host: the original value of ``Request.host``.
    :param scheme: ``http`` or ``https``, as in ``RequestContext.scheme``.
    """

    method: str
    target: str
    host: str
    scheme: str
