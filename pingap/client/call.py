"""One side call: its time limits, and its error messages."""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import anyio

from pingap.client.errors import SideCallError
from pingap.tls.options import reason

if TYPE_CHECKING:
    import httpcore

_WAITING_FOR_HEAD: Final = "http11.receive_response_headers.started"
"""The event of httpcore with which waiting for an answer begins."""


@dataclass(slots=True)
class Call:
    """Limits the time of a call, and translates its errors.

    :param name: method and URL as messages show them.
    :param timeout: seconds for each step.
    :param total_timeout: seconds for all of them; infinite: no limit.
    """

    name: str
    timeout: float
    total_timeout: float = math.inf
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._deadline = anyio.current_time() + self.total_timeout

    def error(self, text: str) -> SideCallError:
        """Return an error of this call."""
        return SideCallError(f"{self.name}: {text}")

    async def send(
        self, pool: httpcore.AsyncConnectionPool, request: httpcore.Request
    ) -> httpcore.Response:
        """Connect, send a request and return the head of the response.

        :raises SideCallError: one of these steps failed or took too long.
        """
        # httpcore limits each read, so a head that arrives byte by byte would never time out.
        request.extensions["timeout"] = dict.fromkeys(("pool", "connect", "write"), self.timeout)
        request.extensions["trace"] = trace = _Trace(self)
        with self.translated(), trace.scope:
            return await pool.handle_async_request(request)
        raise self.too_slow("no answer", self.timeout)

    def scope(self, seconds: float) -> anyio.CancelScope:
        """Return a scope that ends with a step, or with the call."""
        return anyio.CancelScope(deadline=min(self._deadline, anyio.current_time() + seconds))

    def too_slow(self, step: str, seconds: float) -> SideCallError:
        """Return the error of a step that was ended by its scope."""
        if anyio.current_time() >= self._deadline:
            step, seconds = "not complete", self.total_timeout
        # The system has its own limit for connecting.
        return self.error(f"{step} within {seconds:g} s" if math.isfinite(seconds) else step)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of httpcore and of the system as ``SideCallError``."""
        import httpcore

        try:
            yield
        except httpcore.TimeoutException as error:
            steps = {
                httpcore.ConnectTimeout: "no connection",
                httpcore.PoolTimeout: "no free connection",
                httpcore.WriteTimeout: "the request was not accepted",
            }
            raise self.too_slow(steps.get(type(error), "no answer"), self.timeout) from None
        except httpcore.LocalProtocolError as error:
            # h11 shows the value of an invalid header, which may be a secret.
            raise self.error(f"the request is not valid: {_without_values(error)}") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise self.error(_reason(error)) from error


class _Trace:
    """Follows the steps of httpcore: waiting for the response begins when the request has been sent."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.scope = call.scope(math.inf)

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event == _WAITING_FOR_HEAD:
            self.scope.deadline = self._call.scope(self._call.timeout).deadline


def _reason(error: Exception) -> str:
    """Return the message of the system or of OpenSSL, which libraries wrap."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLError):
            return reason(below)
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
        below = below.__cause__ or below.__context__
    return str(error) or type(error).__name__


def _without_values(error: Exception) -> str:
    return str(error).partition(" b'")[0].partition(' b"')[0]
