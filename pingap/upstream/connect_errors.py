"""Why there is no connection: what the log says, and what follows for the request.

Where that happened is for the caller to put before the text: ``app(10.0.0.1:80)``.
"""

from __future__ import annotations

from pingap.errors import UpstreamError


def not_in_time() -> UpstreamError:
    """Return the error for a peer that did not answer the SYN in time."""
    return UpstreamError(
        "did not accept a connection in time",
        error_type="ConnectTimedout",
        status=504,
        connecting=True,
    )


def unreachable(error: OSError) -> UpstreamError:
    """Return the error for what the system said when it tried to connect."""
    if isinstance(error, TimeoutError):
        return not_in_time()
    refused = isinstance(error, ConnectionRefusedError)
    return UpstreamError(
        f"cannot be reached: {error.strerror or error}",
        error_type="ConnectRefused" if refused else "ConnectError",
        connecting=True,
    )
