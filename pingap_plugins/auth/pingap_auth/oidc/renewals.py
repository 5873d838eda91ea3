"""Renews sessions: once for all requests that need it, in all workers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import anyio

from pingap import BackgroundTasks, SharedValues, WatchedFiles, Worker
from pingap_auth.identity import fingerprint
from pingap_auth.oidc.provider import Provider, ProviderAwayError, ProviderError
from pingap_auth.oidc.sealed import LONGEST_TEXT
from pingap_auth.oidc.secret_values import SecretValues
from pingap_auth.oidc.session import Session

log = logging.getLogger("pingap")

RESULT_SECONDS: Final = 60.0
"""How long requests with the old cookie get the new session, or the refusal, without another call."""
AWAY_SECONDS: Final = 5.0
"""How long the provider is not asked again for a session after it did not answer."""
_LOCK_SECONDS: Final = 40.0
_PIECE: Final = 4096
"""Longest value of the shared state."""
_AWAY: Final = "away"
_ENDED: Final = "ended"


class Renewals:
    """Gets new tokens for sessions.

    :param needed: claims that a session keeps.
    """

    def __init__(
        self, provider: Provider, secrets: WatchedFiles[SecretValues], needed: Sequence[str]
    ) -> None:
        self._provider, self._secrets, self._needed = provider, secrets, needed
        self._running: dict[str, anyio.Event] = {}

    def start(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Prepare."""
        self._tasks, self._shared = tasks, worker.shared
        self._results: SharedValues = worker.shared.values("oidc:renewed", value_bytes=_PIECE)

    async def renew(self, text: str, session: Session) -> str:
        """Return the text of the new cookie.

        :param text: of the old one.
        :raises ProviderError: the session has ended, or is too large.
        :raises ProviderAwayError: the provider does not answer.
        """
        digest = fingerprint(text.encode())
        if not (found := self._read(digest)):
            if (done := self._running.get(digest)) is None:
                done = self._running[digest] = anyio.Event()
                # A task of its own: the client may leave, and the provider may take a token only once.
                self._tasks.start_soon(self._run, digest, session, done)
            await done.wait()
            found = self._read(digest)
        if found == _ENDED:
            raise ProviderError("the session has ended")
        if not found or found == _AWAY:
            raise ProviderAwayError("the provider did not answer")
        return found

    async def _run(self, digest: str, session: Session, done: anyio.Event) -> None:
        try:
            async with self._shared.lock(f"oidc/{digest}", _LOCK_SECONDS):
                if not self._read(digest):  # otherwise another worker was faster
                    await self._ask(digest, session)
        finally:
            del self._running[digest]
            done.set()

    async def _ask(self, digest: str, session: Session) -> None:
        try:
            tokens = await self._provider.renew(session.refresh_token, str(session.claims["sub"]))
        except ProviderAwayError as error:
            log.warning("oidc: a session cannot be renewed: %s", error)
            self._write(digest, _AWAY, AWAY_SECONDS)
            return
        except ProviderError as error:
            log.info("oidc: a session has ended: %s", error)
            self._write(digest, _ENDED, RESULT_SECONDS)
            return
        renewed = session.renewed(tokens, self._needed)
        text = self._secrets.value.sessions.seal(renewed.as_dict())
        if len(text) > LONGEST_TEXT:
            log.warning("oidc: a session has ended: it has become too large for cookies")
            text = _ENDED
        self._write(digest, text, RESULT_SECONDS)

    def _write(self, digest: str, text: str, seconds: float) -> None:
        # From behind: other workers may read meanwhile, and begin with the first piece.
        for at in reversed(range(0, len(text), _PIECE)):
            piece = text[at : at + _PIECE].encode()
            self._results.set(f"{digest}/{at // _PIECE}", piece, seconds=seconds)

    def _read(self, digest: str) -> str:
        """Return the result; empty if there is none."""
        pieces: list[bytes] = []
        while not pieces or len(pieces[-1]) == _PIECE:
            pieces.append(self._results.get(f"{digest}/{len(pieces)}") or b"")
        return b"".join(pieces).decode()
