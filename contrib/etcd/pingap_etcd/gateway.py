"""A client of the JSON gateway that every etcd member has (etcd 3.4 and newer).

It needs neither gRPC nor its threads, so the process that forks the workers can use it. It logs in, and goes
to another member when one does not answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

import anyio

from pingap import StorageError
from pingap_etcd.location import Location
from pingap_etcd.session import Answer, Session, TokenExpiredError, UnreachableError

_LOGINS: Final = 2


class Gateway:
    """Makes requests to the first endpoint that answers, and stays with it.

    :param location: the endpoints and the credentials.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._endpoints = list(location.endpoints)
        self._token = ""

    async def call(self, path: str, body: Mapping[str, object]) -> Answer:
        """Make a request and return its answer.

        :param path: below ``/v3/``.
        :raises UnreachableError: no endpoint answers. If one failed in the middle of the request, it may
            have been carried out.
        :raises StorageError: etcd refuses the request.
        """
        failures = []
        for endpoint in list(self._endpoints):
            try:
                return await self._call(endpoint, path, body)
            except UnreachableError as error:
                failures.append(str(error))
                self._leave(endpoint)
        raise UnreachableError("; ".join(failures))

    async def stream(self, path: str, body: Mapping[str, object]) -> AsyncIterator[Answer]:
        """Make a request and yield its messages as they arrive; it ends only with an exception.

        :raises SilentError: there was no message for a while.
        :raises UnreachableError: the endpoint does not answer, or the connection was lost. The next call
            uses another endpoint.
        :raises StorageError: etcd refuses the request.
        """
        endpoint = self._endpoints[0]
        try:
            async with Session.open(self._location, endpoint) as session:
                headers = await self._headers(session)
                async for message in session.stream(path, body, headers):
                    yield message
        except TokenExpiredError:
            self._token = ""
            raise UnreachableError(f"{endpoint}: the login has expired") from None
        except UnreachableError:
            self._leave(endpoint)
            raise

    def _leave(self, endpoint: str) -> None:
        """Put an endpoint last; the next one needs a new login.

        The same one as well: after a restart, etcd does not know the token, and some versions only hang up.
        """
        self._endpoints.remove(endpoint)
        self._endpoints.append(endpoint)
        self._token = ""

    async def _call(self, endpoint: str, path: str, body: Mapping[str, object]) -> Answer:
        timeout = self._location.timeout
        with anyio.move_on_after(timeout):
            async with Session.open(self._location, endpoint) as session:
                for _ in range(_LOGINS):
                    try:
                        return await session.post(path, body, await self._headers(session))
                    except TokenExpiredError:
                        self._token = ""
            raise StorageError(f"{endpoint}: a new login is not accepted")
        raise UnreachableError(f"{endpoint}: no answer within {timeout:g} s")

    async def _headers(self, session: Session) -> dict[str, str]:
        """Return the headers of a request, after a login if one is needed."""
        headers = {"Grpc-Metadata-hasleader": "true"}  # a member without its cluster must say so
        if self._location.user:
            if not self._token:
                login = {"name": self._location.user, "password": self._location.password}
                answer = await session.post("auth/authenticate", login, headers)
                self._token = str(answer.get("token", ""))
            headers["Authorization"] = self._token
        return headers
