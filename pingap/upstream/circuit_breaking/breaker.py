"""A circuit breaker as a state machine over shared state (config.md 6.4): no IO, and time is passed in.

Every worker has a ``CircuitBreaker`` for a backend, and all of them one record in shared state: what
the breaker does, and how many failures there were in a row. A failure, a probe and a change of state
change the record while it is held: so what several workers find at once happens one after the
other, and whoever comes second finds it done. An attempt that goes well, after another that did,
only looks whether the record is still the one that is known here, and takes no lock.

In between, a worker acts on what it knew last. If that is out of date, its attempts belong to a
term that is over, and tell nothing.

``Breakers`` puts one in front of each peer of an upstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from pingap.shared_state.state import SharedState, SharedWindow, Values

_TABLE: Final = "circuit_breaker"
_FIELDS: Final = "qqdq"
_ROUNDING: Final = 1e-6
"""What sums of fractions may be wrong by."""


class State(IntEnum):
    """What a breaker does with requests; the numbers are those of the metric."""

    CLOSED = 0
    """It lets them through."""
    OPEN = 1
    """It refuses them."""
    HALF_OPEN = 2
    """It lets a few through, to see how they fare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a breaker opens and closes.

    :param max_consecutive_failures: failures in a row that trip it; 0: they do not.
    :param max_failure_percent: percentage of failures in the window that trips it; 0: it does not.
    :param min_requests: attempts in the window before the percentage counts.
    :param probes: attempts at once while half-open, and successes in a row that close it.
    :param open_duration: seconds it stays open.
    :param window: length of the window in seconds.
    """

    max_consecutive_failures: int = 0
    max_failure_percent: int = 0
    min_requests: int = 10
    probes: int = 5
    open_duration: float = 10.0
    window: float = 60.0


class Record(NamedTuple):
    """What all workers know of a breaker.

    :ivar term: another one whenever it opens or closes.
    :ivar open_until: when it becomes half-open, or became it.
    :ivar row: failures in a row while it is closed, successes in a row while it is half-open.
    """

    term: int = 0
    state: State = State.CLOSED
    open_until: float = 0.0
    row: int = 0

    @classmethod
    def of(cls, values: Values) -> Record:
        """Return the record with values of the table."""
        term, state, open_until, row = values
        return cls(int(term), State(int(state)), open_until, int(row))


class CircuitBreaker:
    """A breaker: told when attempts begin and end, it tells whether another one may begin.

    An attempt is known by a token of the caller's. ``admit`` and ``release`` stand around it,
    whatever becomes of it; ``succeeded`` or ``failed`` come between, unless nothing was learnt.
    What is learnt of an attempt counts only in the term in which it began.

    :param settings: when it opens and closes.
    :param shared: where workers count together.
    :param key: of the backend, the same in all workers.
    :param open_until: it was open before, as is known from elsewhere. Counts if nothing is shared.
    """

    __slots__ = (
        "_attempts",
        "_counts_rows",
        "_is_full",
        "_key",
        "_probes",
        "_requests",
        "_settings",
        "_shared",
        "_table",
        "_version",
        "known",
        "reason",
        "state",
        "term",
    )

    def __init__(
        self, settings: BreakerSettings, shared: SharedState, key: str, open_until: float = 0.0
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._key = key
        self._table = shared.table(_TABLE, _FIELDS)
        self._attempts: dict[Hashable, int] = {}  # under way -> the term in which they began
        self._probes: set[Hashable] = set()  # those that have a place
        self._is_full = False  # there was no place left when this worker looked
        self._counts_rows = settings.max_consecutive_failures > 0
        self._requests: SharedWindow | None = None
        self.reason = ""
        """Why this worker opened it last, for people."""
        with self._table.locked(key) as held:
            if held.values is None:
                held.values = Record(1, State.OPEN, open_until) if open_until else Record()
        self.known = Record()
        """What this worker knew last."""
        self.term, self.state = self.known.term, self.known.state  # once more, to be read fast
        self._version = 0  # of the shared record when it was known
        self.look()

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.state.name.lower()} {len(self._probes)} probes>"

    @property
    def refuses(self) -> bool:
        """Whether no attempt may begin now, as far as is known here."""
        if self.state is State.CLOSED:
            return False
        return self.state is State.OPEN or self._is_full

    # Attempts.

    def admit(self, token: Hashable) -> bool:
        """Let an attempt begin, if it may.

        :returns: False if it may not: then ``refuses`` is true from now on.
        """
        if self.state is State.CLOSED:
            self._attempts[token] = self.term
            return True
        return not self.refuses and self._admit_probe(token)

    def _admit_probe(self, token: Hashable) -> bool:
        """Give a probe a place, unless other workers have given the last one away."""
        places = self._shared.gauge(self._key)

        def take_place(record: Record) -> Record:
            if record.state is State.HALF_OPEN and places.value < self._settings.probes:
                places.add()
                self._probes.add(token)
                self._attempts[token] = record.term
            return record

        self._change(take_place)
        if token in self._probes:
            return True
        return self.state is State.CLOSED and self.admit(token)

    def release(self, token: Hashable) -> bool:
        """Take note that an attempt is over: a probe gives its place back.

        :returns: it was a probe.
        """
        self._attempts.pop(token, None)
        if token not in self._probes:
            return False
        self._probes.discard(token)
        self._shared.gauge(self._key).add(-1)
        self._look_for_places()
        return True

    def succeeded(self, token: Hashable, now: float) -> bool:
        """Take note that an attempt went well.

        :returns: so the breaker closes.
        """
        if self._attempts.get(token) != self.term:
            return False
        if self.state is State.HALF_OPEN:
            return self._change(self._after_probe)
        if self._requests is not None:
            self._requests.count(1, now)
        if self._counts_rows and (
            self.known.row or self._table.version(self._key) != self._version
        ):
            self._change(self._end_row)
        return False

    def failed(self, token: Hashable, now: float) -> bool:
        """Take note that an attempt failed: no connection, no answer, or a bad status.

        :returns: so the breaker opens.
        """
        if self._attempts.get(token) != self.term:
            return False
        return self._change(lambda record: self._after_failure(record, now))

    # What becomes of the record.

    def _after_probe(self, record: Record) -> Record:
        """Count a probe that went well."""
        if record.term != self.term:
            return record
        if record.row + 1 >= self._settings.probes:
            return Record(record.term + 1)
        return record._replace(row=record.row + 1)

    def _end_row(self, record: Record) -> Record:
        """End a row of failures."""
        return record._replace(row=0) if record.row and record.term == self.term else record

    def _after_failure(self, record: Record, now: float) -> Record:
        """Count a failure, and open the breaker if it is one too many."""
        if record.term != self.term:
            return record
        if record.state is State.CLOSED:
            record = record._replace(row=record.row + self._counts_rows)
            reason = self._too_much(record.row, now)
        else:
            reason = "a probe failed"
        if not reason:
            return record
        self.reason = reason
        return Record(record.term + 1, State.OPEN, now + self._settings.open_duration)

    def _too_much(self, row: int, now: float) -> str:
        """Count a failure in the window; return why the breaker trips, empty if it does not."""
        settings = self._settings
        if 0 < settings.max_consecutive_failures <= row:
            return f"{row} failures in a row"
        if self._requests is None:
            return ""
        requests = self._requests.add(1, now)
        failures = self._window(self.term, "failures").add(1, now)
        # (What is left of an earlier piece of time is a fraction. Four requests are enough for
        # a limit of four wherever the piece began.)
        if math.ceil(requests - _ROUNDING) < settings.min_requests:
            return ""
        if failures * 100 < settings.max_failure_percent * requests - _ROUNDING:
            return ""
        return f"{failures:.0f} failures of {requests:.0f} requests"

    # Time, and other workers.

    def wake(self, now: float) -> bool:
        """Become half-open, if it was open for long enough.

        :returns: this worker is the first one that did.
        """
        if self.state is not State.OPEN or now < self.known.open_until:
            return False

        def half_open(record: Record) -> Record:
            if record.state is not State.OPEN or now < record.open_until:
                return record
            return record._replace(state=State.HALF_OPEN)

        return self._change(half_open)

    def look(self) -> None:
        """Take note of what other workers did."""
        version, values = self._table.version(self._key), self._table.get(self._key)
        self._know(self.known if values is None else Record.of(values), version)

    def _change(self, decide: Callable[[Record], Record]) -> bool:
        """Change the shared record, which no other worker does at the same time.

        :param decide: returns what becomes of it.
        :returns: its state is another one, by this worker.
        """
        with self._table.locked(self._key) as held:
            # (One that gave way to others is as it is known here.)
            before = self.known if (values := held.values) is None else Record.of(values)
            after = decide(before)
            if after is not before:
                held.values = after
            version = self._table.version(self._key)
        self._know(after, version)
        return after.state is not before.state

    def _know(self, record: Record, version: int) -> None:
        """Act on a record from now on."""
        counts = self._settings.max_failure_percent > 0
        if counts and (self._requests is None or record.term != self.term):
            self._requests = self._window(record.term, "requests")
        self.known, self._version = record, version
        self.term, self.state = record.term, record.state
        self._look_for_places()

    def _look_for_places(self) -> None:
        places = self._settings.probes
        half_open = self.state is State.HALF_OPEN
        self._is_full = half_open and self._shared.gauge(self._key).value >= places

    def _window(self, term: int, what: str) -> SharedWindow:
        """Return a window of a term: each begins with nothing counted."""
        return self._shared.window(f"{self._key}:{term}:{what}", self._settings.window)
