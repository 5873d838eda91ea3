"""Origins: they answer requests within the process, in place of an upstream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pingap.plugins.peer import Peer

if TYPE_CHECKING:
    from pingap.plugins.origin_call import OriginCall


class Origin(ABC):
    """Answers requests within the process, in place of an upstream.

    A plugin assigns one to ``ctx.origin`` in ``early_request``, ``request`` or ``proxy_upstream``. The
    request then passes all phases as if it were sent to an upstream: body filters, header changes of the
    location, ``upstream_request``, ``upstream_response``, and messages of WebSockets. A plugin that sets
    ``ctx.upstream`` takes precedence.

    :param name: shown as the upstream in logs and metrics, and as the plugin in those of failures.

    .. versionadded:: 1.1
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.peer = Peer(name, name, name)
        """Passed to ``upstream_request``."""

    @abstractmethod
    def answer(self, call: OriginCall) -> None:
        """Begin to answer a request; must not block.

        Usually starts a task, which uses the methods of the call and catches its own exceptions.

        :param call: the request, and the way to answer it.
        :raises Exception: the same as :meth:`OriginCall.fail`.
        """
