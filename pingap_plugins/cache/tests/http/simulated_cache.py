"""A cache made of nothing but the decisions under test, a dict, and a clock that the test moves.

It does with them what the plugin does, without waiting: a background refresh is done at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pingap_cache.http.answer import answer
from pingap_cache.http.conditional import offering, revalidating, unconditional
from pingap_cache.http.invalidation import invalidated
from pingap_cache.http.lookup import Lookup, look_at
from pingap_cache.http.serving import ERRORS, Verdict, decide, may_replace_error
from pingap_cache.http.stored import StoredResponse
from pingap_cache.http.storing import Policy, Storing, consider
from pingap_cache.http.updating import freshen, selects, update_by_head
from pingap_cache.http.vary import Variants, is_marker, suits, vary_names
from pingap_cache.offers import Offers

from pingap import Headers, format_http_date

Pairs = Iterable[tuple[str, str]]
URL = "http://example.org/page"
START = 1_800_000_000.0


def headers(pairs: Pairs = ()) -> Headers:
    made = Headers()
    for name, value in pairs:
        made.append((name.lower().encode(), f"{name}: {value}".encode("latin-1")))
    return made


def date(offset: float) -> str:
    """A date so many seconds after the start."""
    return format_http_date(START + offset).decode()


@dataclass
class Reply:
    """What an origin answers, or that it cannot be reached (status 0)."""

    pairs: Pairs = ()
    status: int = 200
    body: bytes = b"content"
    delay: float = 0.0

    def to(self, asked: Headers) -> Reply:
        """Answer 304 if the validators of the request hold."""
        own = headers(self.pairs)
        tags, since = asked.find(b"if-none-match"), asked.find(b"if-modified-since")
        etag = own.find(b"etag")
        same = etag in tags.split(b", ") if tags else since == own.find(b"last-modified")
        if self.status == 200 and (tags or since) and same:
            return Reply(self.pairs, 304, b"", self.delay)
        return self


Origin = Callable[[str, str, Headers], Reply]


@dataclass
class Seen:
    """What a client got, and what the origin heard."""

    status: int
    headers: Headers
    body: bytes
    origin_asked: list[Headers] = field(default_factory=list)
    verdict: Verdict | None = None
    background: bool = False
    held: StoredResponse | None = None
    """What a 304 was about, as it was before."""

    @property
    def from_cache(self) -> bool:
        return not self.origin_asked or self.background

    @property
    def validated(self) -> bool:
        return any(
            b"if-none-match" in asked.keys or b"if-modified-since" in asked.keys
            for asked in self.origin_asked
        )


@dataclass
class Entry:
    head: bytes
    body: bytes
    dead_at: float = float("inf")
    purged: bool = False


class SimulatedCache:
    def __init__(self, origin: Origin, policy: Policy | None = None) -> None:
        self.origin = origin
        self.policy = policy or Policy()
        self.now = START
        self.entries: dict[bytes, Entry] = {}
        self.generations = 0
        self.offers = Offers()
        self.last_storing: Storing | None = None

    # -- the store

    def find(self, url: str, asked: Headers) -> tuple[bytes, Entry | None]:
        key = url.encode()
        entry = self.live(key)
        if entry is not None and is_marker(entry.head):
            key = Variants.decode(entry.head).key(key, asked)
            entry = self.live(key)
        return key, entry

    def live(self, key: bytes) -> Entry | None:
        entry = self.entries.get(key)
        if entry is not None and entry.dead_at <= self.now:
            del self.entries[key]
            return None
        return entry

    def put(
        self, url: str, asked: Headers, storing: Storing, body: bytes, names: tuple[bytes, ...]
    ) -> None:
        assert storing.response is not None
        key = url.encode()
        known = self.live(key)
        marker = Variants.decode(known.head) if known and is_marker(known.head) else None
        if marker is None and names:
            marker = Variants(names, self.generation())
        elif marker is not None and not marker.covers(names):
            marker = marker.widened(names, self.generation())
        if marker is not None:
            self.entries[key] = Entry(marker.encode(), b"")
            key = marker.key(key, asked)
            if (etag := storing.response.etag) is not None:
                self.offers.note(url.encode(), marker, asked, etag, key)
        self.entries[key] = Entry(storing.response.encode(), body, self.now + storing.keep)

    def covers(self, url: str, updated: StoredResponse) -> bool:
        """Whether a response may stay under its key, although its Vary may have changed."""
        names = vary_names(updated.headers)
        primary = self.live(url.encode())
        if names is None or primary is None or not is_marker(primary.head):
            return names == ()
        return Variants.decode(primary.head).covers(names)

    def generation(self) -> bytes:
        self.generations += 1
        return self.generations.to_bytes(8, "big")

    # -- a request

    def ask(self, pairs: Pairs = (), method: str = "GET", url: str = URL) -> Seen:
        asked = headers(pairs)
        lookup = look_at(method, asked)
        if lookup.bypass:
            return self.pass_on(method, url, asked)
        key, entry = self.find(url, asked)
        stored = StoredResponse.decode(entry.head) if entry else None
        decision = decide(
            stored, lookup.directives, self.now, purged=entry is not None and entry.purged
        )
        if decision.verdict is Verdict.UNAVAILABLE:
            return Seen(504, Headers(), b"", verdict=decision.verdict)
        if decision.from_cache:
            assert stored is not None
            assert entry is not None
            seen = self.serve(stored, entry.body, lookup, method, asked)
            seen.verdict = decision.verdict
            if decision.verdict is Verdict.STALE_REFRESH:
                refreshed = self.validate(method, url, asked, key, entry, stored, Lookup())
                seen.origin_asked, seen.background = refreshed.origin_asked, True
            return seen
        if stored is None or entry is None:
            offers = self.offered(url, lookup, asked)
            if offers and method == "GET":
                return self.select(url, asked, key, offers, lookup)
            return self.fetch(method, url, asked, asked)
        seen = self.validate(method, url, asked, key, entry, stored, lookup)
        seen.verdict = decision.verdict
        return seen

    def serve(
        self, stored: StoredResponse, body: bytes, lookup: Lookup, method: str, asked: Headers
    ) -> Seen:
        made = answer(stored, lookup, asked, len(body), self.now, boundary=b"XX")
        if made.parts is not None:
            pieces = [body[start:stop] for start, stop in made.parts]
            if made.part_heads:
                pieces = [
                    part for pair in zip(made.part_heads, pieces, strict=False) for part in pair
                ]
                pieces.append(made.part_heads[-1])
            body = b"".join(pieces)
        return Seen(made.status, made.headers, b"" if method == "HEAD" else body)

    def exchange(self, method: str, url: str, asked: Headers) -> tuple[Reply, Headers, float]:
        reply = self.origin(method, url, asked)
        sent_at = self.now
        self.now += reply.delay
        return reply, headers(reply.pairs), sent_at

    def pass_on(self, method: str, url: str, asked: Headers) -> Seen:
        reply, fields, sent_at = self.exchange(method, url, asked)
        for other in invalidated(method, url, reply.status, fields):
            self.entries.pop(other.encode(), None)
        self.keep(method, url, asked, reply, fields, sent_at)
        return Seen(reply.status, fields, reply.body, [asked])

    def keep(
        self, method: str, url: str, asked: Headers, reply: Reply, fields: Headers, sent_at: float
    ) -> None:
        if reply.status == 0:
            return
        storing = consider(
            method, url, asked, reply.status, fields,
            request_time=sent_at, response_time=self.now, policy=self.policy,
        )  # fmt: skip
        self.last_storing = storing
        names = vary_names(fields)
        if storing.keep > 0 and names is not None:
            self.put(url, asked, storing, reply.body, names)

    def fetch(self, method: str, url: str, asked: Headers, sent: Headers) -> Seen:
        reply, fields, sent_at = self.exchange(method, url, sent)
        self.keep(method, url, asked, reply, fields, sent_at)
        return Seen(reply.status, fields, reply.body, [sent])

    def offered(self, url: str, lookup: Lookup, asked: Headers) -> dict[bytes, bytes]:
        """The variants that the origin is told of."""
        known = self.live(url.encode())
        if known is None or not is_marker(known.head):
            return {}
        if lookup.ranged or lookup.directives.no_store:
            return {}
        return self.offers.of(url.encode(), Variants.decode(known.head), asked)

    def select(
        self, url: str, asked: Headers, key: bytes, offers: dict[bytes, bytes], lookup: Lookup
    ) -> Seen:
        """Ask for a variant, saying which others are stored."""
        sent = offering(offers, asked)
        reply, fields, sent_at = self.exchange("GET", url, sent)
        if reply.status != 304:
            if reply.status:
                self.keep("GET", url, asked, reply, fields, sent_at)
            return Seen(reply.status, fields, reply.body, [sent])
        other = offers.get(fields.find(b"etag") or b"", b"")
        entry = self.live(other)
        stored = None if entry is None else StoredResponse.decode(entry.head)
        if (
            entry is None
            or stored is None
            or not selects(stored, fields)
            or not suits(stored.headers, asked)
        ):
            again = self.fetch("GET", url, asked, unconditional(asked))
            again.origin_asked.insert(0, sent)
            return again
        times = {"request_time": sent_at, "response_time": self.now, "policy": self.policy}
        storing = freshen(stored, asked, fields, **times)  # type: ignore[arg-type]
        assert storing.response is not None
        if storing.keep > 0 and self.covers(url, storing.response):
            head, until = storing.response.encode(), self.now + storing.keep
            self.entries[key] = Entry(head, entry.body, until)
        seen = self.serve(storing.response, entry.body, lookup, "GET", asked)
        seen.origin_asked, seen.held = [sent], stored
        return seen

    def validate(
        self,
        method: str,
        url: str,
        asked: Headers,
        key: bytes,
        entry: Entry,
        stored: StoredResponse,
        lookup: Lookup,
    ) -> Seen:
        sent = revalidating(stored, asked)
        reply, fields, sent_at = self.exchange(method, url, sent)
        if (reply.status == 0 or reply.status in ERRORS) and may_replace_error(
            stored, lookup.directives, self.now
        ):
            seen = self.serve(stored, entry.body, lookup, method, asked)
            seen.origin_asked, seen.background = [sent], True
            return seen
        times = {"request_time": sent_at, "response_time": self.now, "policy": self.policy}
        if reply.status == 304:
            if not selects(stored, fields):
                self.entries.pop(key, None)
                again = self.fetch(method, url, asked, unconditional(asked))
                again.origin_asked.insert(0, sent)
                return again
            storing: Storing | None = freshen(stored, asked, fields, **times)  # type: ignore[arg-type]
        elif method == "HEAD":
            storing = None
            if reply.status == 200:
                storing = update_by_head(stored, asked, fields, len(entry.body), **times)  # type: ignore[arg-type]
            if storing is None:
                entry.purged = True
                return Seen(reply.status, fields, b"", [sent])
        else:
            self.keep(method, url, asked, reply, fields, sent_at)
            return Seen(reply.status, fields, reply.body, [sent])
        assert storing is not None
        assert storing.response is not None
        self.last_storing = storing
        if storing.keep > 0 and self.covers(url, storing.response):
            self.entries[key] = Entry(
                storing.response.encode(), entry.body, self.now + storing.keep
            )
        else:
            self.entries.pop(key, None)
        seen = self.serve(storing.response, entry.body, lookup, method, asked)
        seen.origin_asked, seen.held = [sent], stored
        return seen
