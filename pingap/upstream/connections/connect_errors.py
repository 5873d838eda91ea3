"""Errors of connecting: the text for the log, and the consequences for the request.

The caller puts the place before the text: ``app(10.0.0.1:80)``.
"""

from __future__ import annotations

import errno
from typing import Final

from pingap.http.errors import UpstreamError

_OURS: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
)
"""This host has no file descriptor, memory or port left."""


def is_ours(error: BaseException) -> bool:
    """Return whether this host lacked a resource for a connection; the peer is not to blame."""
    return isinstance(error, OSError) and error.errno in _OURS


def not_in_time() -> UpstreamError:
    """Return the error for a peer that did not answer the SYN in time."""
    return UpstreamError(
        "did not accept a connection in time",
        error_type="ConnectTimedout",
        status=504,
        connecting=True,
    )


def unreachable(error: OSError) -> UpstreamError:
    """Return the error for a system error while connecting."""
    if isinstance(error, TimeoutError):
        return not_in_time()
    refused, ours = isinstance(error, ConnectionRefusedError), is_ours(error)
    return UpstreamError(
        f"cannot be reached{' from this host' if ours else ''}: {error.strerror or error}",
        error_type="ConnectRefused" if refused else "ConnectError",
        status=503 if ours else 502,
        connecting=True,
        blameless=ours,
    )
