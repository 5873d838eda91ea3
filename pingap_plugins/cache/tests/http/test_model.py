"""Random requests, responses and times against an oracle written from RFC 9111, section 4, alone.

The oracle knows what each response says as plain data, never reads a field, and shares no code with the cache. It
checks that nothing is served which the RFC forbids, and that what is plainly fresh is served without the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from pingap_cache.http.serving import Verdict
from pingap_cache.http.storing import Policy
from simulated_cache import Reply, Seen, SimulatedCache, date

from pingap import Headers

ERRORS = (500, 502, 503, 504)
URLS = ["http://example.org/a", "http://example.org/b"]


@dataclass(frozen=True)
class Said:
    """What a response says."""

    status: int = 200
    max_age: int | None = None
    s_maxage: int | None = None
    expires: int | None = None
    """Seconds after ``Date``."""
    modified: int | None = None
    """Seconds before ``Date``."""
    age: int = 0
    slow_clock: int = 0
    """Seconds by which ``Date`` is late."""
    swr: int | None = None
    sie: int | None = None
    flags: frozenset[str] = frozenset()
    etag: str | None = None
    vary: tuple[str, ...] = ()
    delay: int = 0

    def has_cache_control(self) -> bool:
        """Whether any directive is there."""
        return bool(self.flags) or (self.max_age, self.s_maxage, self.swr, self.sie) != (None,) * 4

    def pairs(self, now: float) -> list[tuple[str, str]]:
        """Write it as fields."""
        offset = now - 1_800_000_000 - self.slow_clock
        said = sorted(self.flags)
        for name, seconds in (
            ("max-age", self.max_age), ("s-maxage", self.s_maxage),
            ("stale-while-revalidate", self.swr), ("stale-if-error", self.sie),
        ):  # fmt: skip
            if seconds is not None:
                said.append(f"{name}={seconds}")
        pairs = [("Date", date(offset))]
        if said:
            pairs.append(("Cache-Control", ", ".join(said)))
        if self.expires is not None:
            pairs.append(("Expires", date(offset + self.expires)))
        if self.modified is not None:
            pairs.append(("Last-Modified", date(offset - self.modified)))
        if self.etag is not None:
            pairs.append(("ETag", self.etag))
        if self.age:
            pairs.append(("Age", str(self.age)))
        if self.vary:
            pairs.append(("Vary", ", ".join(self.vary)))
        return pairs


@dataclass(frozen=True)
class Wish:
    """What a request says."""

    flags: frozenset[str] = frozenset()
    max_age: int | None = None
    min_fresh: int | None = None
    max_stale: int | None = None
    authorization: bool = False
    part: str = ""
    """``Range``: all that there is, but as a part."""
    selecting: tuple[tuple[str, str], ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """Write it as fields."""
        said = sorted(self.flags)
        for name, seconds in (
            ("max-age", self.max_age),
            ("min-fresh", self.min_fresh),
            ("max-stale", self.max_stale),
        ):
            if seconds is not None:
                said.append(f"{name}={seconds}")
        pairs = list(self.selecting)
        if said:
            pairs.append(("Cache-Control", ", ".join(said)))
        if self.authorization:
            pairs.append(("Authorization", "secret"))
        if self.part:
            pairs.append(("Range", self.part))
        return pairs


@dataclass
class Known:
    """A response that went by, as the oracle remembers it, with the fields that a 304 gave it since."""

    number: int
    url: str
    said: Said
    wish: Wish
    asked_at: float
    came_at: float
    invalid: bool = False

    def update(self, said: Said, asked_at: float) -> None:
        """Section 3.2: a field that is there takes the place of the one before, others stay."""
        old, moved = self.said, asked_at + said.delay - said.slow_clock - self.dated()
        controls = said if said.has_cache_control() else old
        self.said = replace(
            controls,
            status=old.status,
            expires=_kept(old.expires, -moved) if said.expires is None else said.expires,
            modified=_kept(old.modified, moved) if said.modified is None else said.modified,
            etag=said.etag,
            vary=said.vary or old.vary,
            age=said.age,
            slow_clock=said.slow_clock,
            delay=said.delay,
        )
        self.asked_at, self.came_at = asked_at, asked_at + said.delay

    def dated(self) -> float:
        """Return the moment that ``Date`` names."""
        return self.came_at - self.said.slow_clock

    # -- RFC 9111, section by section

    def may_be_stored(self) -> bool:
        """Section 3."""
        said = self.said
        if said.status in (206, 304) or "no-store" in self.wish.flags:
            return False
        understood = said.status in (200, 203, 301, 404, 500, 503)
        if "must-understand" in said.flags:
            if not understood:
                return False
        elif "no-store" in said.flags:
            return False
        if "private" in said.flags:
            return False
        shared = said.flags & {"public", "must-revalidate"} or said.s_maxage is not None
        if self.wish.authorization and not shared:
            return False
        explicit = (said.expires, said.max_age, said.s_maxage) != (None, None, None)
        return explicit or "public" in said.flags or said.status in (200, 203, 301, 404)

    def lifetime(self) -> float:
        """Section 4.2.1 and 4.2.2, of a shared cache."""
        said = self.said
        if said.s_maxage is not None:
            return said.s_maxage
        if said.max_age is not None:
            return said.max_age
        if said.expires is not None:
            return max(0, said.expires)
        if said.modified is not None and (
            said.status in (200, 203, 301, 404) or "public" in said.flags
        ):
            return max(0, said.modified) / 10
        return 0

    def age(self, now: float) -> float:
        """Section 4.2.3."""
        apparent = max(0, self.said.slow_clock)
        corrected = self.said.age + (self.came_at - self.asked_at)
        return max(apparent, corrected) + (now - self.came_at)

    def forbids_stale(self) -> bool:
        """Section 4.2.4."""
        forbidding = {"must-revalidate", "proxy-revalidate", "no-cache"}
        return bool(self.said.flags & forbidding) or self.said.s_maxage is not None

    def matches(self, wish: Wish) -> bool:
        """Section 4.1."""
        first, second = dict(self.wish.selecting), dict(wish.selecting)
        return all(first.get(name) == second.get(name) for name in self.said.vary)


def _kept(seconds: int | None, moved: float) -> int | None:
    return None if seconds is None else int(seconds + moved)


RESTRICTIONS = ["no-store", "private", "no-cache", "must-revalidate", "proxy-revalidate"]
SECONDS = st.sampled_from([0, 1, 5, 10, 60])
MAYBE = st.none() | SECONDS
FLAGS = st.sets(
    st.sampled_from(
        ["no-store", "private", "no-cache", "public", "must-revalidate", "proxy-revalidate", "must-understand", "x"]
    ),
    max_size=2,
).map(frozenset)  # fmt: skip
SAID = st.builds(
    Said,
    status=st.sampled_from([200] * 6 + [203, 206, 301, 302, 404, 500, 503, 599]),
    max_age=MAYBE,
    s_maxage=st.none() | st.none() | SECONDS,
    expires=st.none() | st.integers(-5, 60),
    modified=st.none() | st.integers(-5, 600),
    age=st.sampled_from([0, 0, 0, 3, 30]),
    slow_clock=st.sampled_from([0, 0, 0, 4, -4]),
    swr=st.none() | st.none() | SECONDS,
    sie=st.none() | st.none() | SECONDS,
    flags=st.just(frozenset()) | FLAGS,
    etag=st.sampled_from([None, '"1"', '"2"', 'W/"1"']),
    vary=st.sampled_from([(), (), (), ("A",), ("A", "B"), ("*",)]),
    delay=st.sampled_from([0, 0, 0, 2]),
)
CACHEABLE = st.builds(
    Said,
    max_age=st.sampled_from([1, 5, 60]),
    etag=st.sampled_from([None, '"1"']),
    swr=MAYBE,
    sie=MAYBE,
    age=st.sampled_from([0, 3]),
)
RESTRICTED = st.builds(
    Said,
    max_age=st.sampled_from([2, 60]),
    etag=st.sampled_from([None, '"1"']),
    sie=st.just(60),
    flags=st.sampled_from([frozenset(), *(frozenset({flag}) for flag in RESTRICTIONS)]),
    vary=st.sampled_from([(), ("A",), ("B",), ("A", "B")]),
)
SELECTING = st.tuples(st.sampled_from(["", "1", "2"]), st.sampled_from(["", "1"])).map(
    lambda values: tuple((name, value) for name, value in zip("AB", values, strict=True) if value)
)
WISH = st.builds(
    Wish,
    flags=st.just(frozenset())
    | st.sets(st.sampled_from(["no-cache", "no-store", "only-if-cached"]), max_size=1).map(
        frozenset
    ),
    max_age=st.none() | st.none() | SECONDS,
    min_fresh=st.none() | st.none() | SECONDS,
    max_stale=st.none() | st.none() | SECONDS,
    authorization=st.sampled_from([False, False, False, True]),
    part=st.sampled_from(["", "", "", "bytes=0-5"]),
    selecting=SELECTING,
)
PLAIN = st.builds(Wish, selecting=SELECTING)


class CacheMachine(RuleBasedStateMachine):
    """Requests and responses in any order, and the clock between them."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = SimulatedCache(self.origin)
        self.known: dict[int, Known] = {}
        """By the number of what the origin said last of it."""
        self.said = 0
        self.last: dict[str, Known | None] = dict.fromkeys(URLS)
        self.next, self.wish, self.fails = Said(), Wish(), False
        self.not_modified_at: float | None = None

    @initialize(stale_if_error=SECONDS, keep=st.sampled_from([0.0, 1000.0]))
    def choose(self, stale_if_error: int, keep: float) -> None:
        self.default_sie = stale_if_error
        self.cache.policy = Policy(stale_if_error=stale_if_error, keep_stale=keep)

    def origin(self, method: str, url: str, asked: Headers) -> Reply:
        """Answer with ``next``; 304 only if that is what the validator in the request stands for."""
        if self.fails:
            return Reply(status=0)
        self.said = number = self.said + 1
        said, now = self.next, self.cache.now
        tag = asked.find(b"if-none-match")
        pairs = [*said.pairs(now + said.delay), ("X-Said", str(number))]
        if tag is not None and said.status == 200 and said.etag in tag.decode().split(", "):
            self.not_modified_at = now
            return Reply(pairs, 304, b"", float(said.delay))
        self.not_modified_at = None  # (if it was asked once more, without conditions)
        if said.status == 200 and asked.find(b"range") is not None:
            said = replace(said, status=206)
        known = Known(number, url, said, self.wish, now, now + said.delay)
        self.known[number] = known
        # (An error may have been replaced by a stale response, and was not stored then.)
        # A part says nothing about the whole that is stored.
        if said.status != 206:
            self.last[url] = None if said.status in ERRORS else known
        return Reply(pairs, said.status, b"%06d" % number, float(said.delay))

    @rule(seconds=st.sampled_from([1, 2, 3, 4, 5, 10, 60, 100]))
    def time_passes(self, seconds: int) -> None:
        self.cache.now += seconds

    @rule(said=CACHEABLE, wish=PLAIN)
    def usual_request(self, said: Said, wish: Wish) -> None:
        self.get(said, wish, URLS[0], fails=False)

    @rule(said=RESTRICTED, wish=PLAIN, fails=st.booleans())
    def restricted_response(self, said: Said, wish: Wish, fails: bool) -> None:
        self.get(said, wish, URLS[1], fails=fails)

    @rule(
        said=SAID, wish=WISH, url=st.sampled_from(URLS), fails=st.sampled_from([False, False, True])
    )
    def request(self, said: Said, wish: Wish, url: str, fails: bool) -> None:
        self.get(said, wish, url, fails=fails)

    @rule(
        url=st.sampled_from(URLS),
        status=st.sampled_from([200, 204, 302, 404, 500]),
        other=st.booleans(),
    )
    def unsafe_request(self, url: str, status: int, other: bool) -> None:
        target = URLS[1 - URLS.index(url)] if other else url
        self.next, self.wish, self.fails = Said(status), Wish(), False
        original = self.cache.origin
        self.cache.origin = lambda method, where, asked: Reply([("Location", target)], status)
        self.cache.ask(method="POST", url=url)
        self.cache.origin = original
        if status < 400:
            for known in self.known.values():
                known.invalid |= known.url in (url, target)
            self.last[url] = self.last[target] = None

    def get(self, said: Said, wish: Wish, url: str, *, fails: bool) -> None:
        self.next, self.wish, self.fails, self.not_modified_at = said, wish, fails, None
        before, now = self.said, self.cache.now
        expected = self.must_be_served(wish, url, now)
        seen = self.cache.ask(wish.pairs(), url=url)
        if seen.status == 504 and seen.verdict is Verdict.UNAVAILABLE:
            assert "only-if-cached" in wish.flags
            assert not seen.origin_asked
            assert expected is None
            return
        if seen.status == 0:
            assert fails
            assert expected is None
            return
        validated = self.not_modified_at is not None and not seen.background
        fields = seen.held.headers if validated and seen.held is not None else seen.headers
        known = self.known[int(fields["x-said"])]
        assert known.number == int(seen.body)
        if known.number <= before and seen.from_cache:
            self.check_served(seen, known, wish, url, now)
        else:
            assert expected is None
            assert "only-if-cached" not in wish.flags
        if self.not_modified_at is not None:
            self.check_not_modified(seen, known, url)

    def check_not_modified(self, seen: Seen, known: Known, url: str) -> None:
        """Section 4.3: a 304 says that what has this tag still holds, with the new fields."""
        assert known.url == url
        assert not known.invalid
        assert known.may_be_stored()
        assert known.said.etag == self.next.etag
        assert self.not_modified_at is not None
        if not known.matches(self.wish):  # another variant: a strong tag stands for the same bytes
            assert not seen.background
            assert known.said.etag is not None
            assert known.said.etag.startswith('"')
        # From now on it is what the origin says to this request: with its credentials or without, and with
        # what the 304 says of how it was selected.
        known = self.known[self.said] = replace(known, wish=self.wish)
        known.update(self.next, self.not_modified_at)
        if not seen.background:
            assert seen.headers.get_all("age") == [str(int(known.age(self.cache.now)))]
        asked_openly = "no-store" not in self.wish.flags and not self.wish.authorization
        self.last[url] = known if asked_openly else None

    def check_served(self, seen: Seen, known: Known, wish: Wish, url: str, now: float) -> None:
        """Section 4: what a cache must not do when it uses a stored response."""
        assert known.url == url
        assert known.may_be_stored()
        assert not known.invalid
        assert known.matches(wish)
        assert "*" not in known.said.vary
        assert "no-cache" not in known.said.flags
        assert "no-cache" not in wish.flags
        failed = self.fails or self.next.status in ERRORS
        # (What is refreshed in the background was served before the origin was asked.)
        after_error = (
            failed and bool(seen.origin_asked) and seen.verdict is not Verdict.STALE_REFRESH
        )
        moment = self.cache.now if after_error else now
        age, lifetime = known.age(moment), known.lifetime()
        assert seen.headers.get_all("age") == [str(int(age))]
        if wish.max_age is not None:
            assert age <= wish.max_age
        if wish.min_fresh is not None and not after_error:
            assert lifetime >= age + wish.min_fresh
        if age < lifetime:
            return
        assert not known.forbids_stale()
        stale = age - lifetime
        allowed = known.said.swr if known.said.swr is not None else 0
        by_revalidation = bool(seen.origin_asked) and stale < allowed
        by_client = wish.max_stale is not None and stale <= wish.max_stale
        sie = known.said.sie if known.said.sie is not None else self.default_sie
        assert by_revalidation or by_client or (after_error and stale < sie)

    def must_be_served(self, wish: Wish, url: str, now: float) -> Known | None:
        """The last response of a URL that never varied, if it is plainly fresh and nothing speaks against it."""
        if wish.flags or (wish.max_age, wish.min_fresh) != (None, None):
            return None
        last = self.last[url]
        varied = any(known.said.vary for known in self.known.values() if known.url == url)
        if last is None or varied or last.invalid:
            return None
        usable = last.may_be_stored() and "no-cache" not in last.said.flags
        return last if usable and last.age(now) < last.lifetime() else None


CacheMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
)
TestCacheMachine = pytest.mark.timeout(300)(
    CacheMachine.TestCase
)  # it may have to shrink a failure
