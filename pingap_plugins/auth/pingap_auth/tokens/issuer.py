"""The keys of an issuer, fetched by one worker for all, and fetched again before they are too old."""

from __future__ import annotations

import logging
import time
from hashlib import sha256
from typing import Final

import anyio
import anyio.lowlevel

from pingap import BackgroundTasks, ClientTLS, SharedValues, SideCallError, Worker, http_client
from pingap_auth.tokens.keys import IssuerKeys, parse_jwks
from pingap_auth.urls import checked_url

log = logging.getLogger("pingap")

LONGEST_DOCUMENT: Final = 60 * 1024
"""Bytes of a JWKS document; a message between workers has at most 64 KiB."""
FETCH_SECONDS: Final = 10.0
MOST_WAITING: Final = 1000
"""Requests that wait for newer keys at a time, in each worker; further ones are told to come back."""
PAUSE_SECONDS: Final = 10.0
"""After a successful fetch, tokens with unknown keys cause no other one for this time."""
LONGEST_PAUSE: Final = 60.0
"""Longest time without another attempt while the issuer is down; the first ones are 1, 2, 4 s."""
_TICK: Final = 1.0
_ASKING: Final = b"asking"


class Issuer:
    """The keys at a URL.

    Whoever needs newer keys calls ``refresh``; of all workers one fetches them, and the others wait. While the
    issuer is down the last keys stay in use.

    :param url: of the JWKS document.
    :param ttl: seconds after which it is fetched again.
    :param tls: options for https.
    :raises ValueError: the URL is not one.
    """

    def __init__(self, url: str, ttl: float, tls: ClientTLS | None = None) -> None:
        try:
            checked_url(url)
        except ValueError:
            raise ValueError(
                f"expected the http or https URL of a JWKS document, not {_shown(url)!r:.80}"
            ) from None
        self.keys: IssuerKeys | None = None
        self._url, self._ttl, self._tls = url, max(ttl, _TICK), tls
        self._topic = f"pingap_auth/jwks/{sha256(url.encode()).hexdigest()[:32]}"
        self._fetched_at = 0.0  # of Unix time, as different processes compare it
        self._failures = self._waiting = 0
        self._refreshing: anyio.Event | None = None

    async def start(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Begin to follow the keys."""
        self._tasks, self._worker = tasks, worker
        self._news = anyio.Event()
        self._turns: SharedValues = worker.shared.values("pingap_auth:jwks")
        tasks.start_service(self._listen)
        tasks.start_service(self._stay_fresh)

    async def refresh(self) -> bool:
        """Return when newer keys are there, if that is possible now. Takes at most ``FETCH_SECONDS``.

        :returns: False if too many others are waiting already.
        """
        if self._waiting >= MOST_WAITING:
            return False
        if self._refreshing is None:
            self._refreshing = anyio.Event()
            # A task of its own: the client for which it was started may leave.
            self._tasks.start_soon(self._refresh, self._refreshing)
        self._waiting += 1
        try:
            with anyio.move_on_after(FETCH_SECONDS + _TICK):
                await self._refreshing.wait()
        finally:
            self._waiting -= 1
        return True

    async def _refresh(self, done: anyio.Event) -> None:
        try:
            news = self._news
            if self._turns.add(self._topic, _ASKING, seconds=2 * FETCH_SECONDS):
                await self._fetch()
            elif self._turns.get(self._topic) == _ASKING:
                with anyio.move_on_after(FETCH_SECONDS):
                    await news.wait()
        finally:
            self._refreshing = None
            done.set()

    async def _fetch(self) -> None:
        try:
            document = await self._document()
            keys = parse_jwks(document)
        except (SideCallError, ValueError) as error:
            self._failures += 1
            pause = min(2.0 ** (self._failures - 1), LONGEST_PAUSE)
            self._turns.set(self._topic, b"failed", seconds=pause)
            self._worker.bus.publish(self._topic + "/failed", b"")
            if self._failures == 1:
                log.warning("the keys of %s cannot be fetched: %s", _shown(self._url), error)
            return
        if self._failures:
            log.info("the keys of %s can be fetched again", _shown(self._url))
        self._failures = 0
        self._turns.set(self._topic, b"done", seconds=min(self._ttl, PAUSE_SECONDS))
        self._take(time.time(), keys)
        head = f"{self._fetched_at!r}\n".encode()
        self._worker.bus.publish(self._topic, head + document, retain=True)

    async def _document(self) -> bytes:
        answer = await http_client.request(
            "GET",
            self._url,
            headers={"Accept": "application/json"},
            timeout=FETCH_SECONDS,
            max_body=LONGEST_DOCUMENT,
            tls=self._tls,
        )
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        return answer.body

    def _take(self, fetched_at: float, keys: IssuerKeys) -> None:
        self.keys, self._fetched_at = keys, fetched_at
        self._news.set()
        self._news = anyio.Event()

    async def _listen(self) -> None:
        with self._worker.bus.subscribe(self._topic) as messages:
            async for message in messages:
                at, _, document = message.value.partition(b"\n")
                if at and float(at) > self._fetched_at:
                    self._take(float(at), parse_jwks(document))
                elif not at:  # it failed: nobody need wait for it any longer
                    self._news.set()
                    self._news = anyio.Event()

    async def _stay_fresh(self) -> None:
        await anyio.lowlevel.checkpoint()  # a retained message comes first
        while True:
            if time.time() - self._fetched_at >= self._ttl:
                await self.refresh()
            await anyio.sleep(_TICK)


def _shown(url: str) -> str:
    return url.partition("?")[0]
