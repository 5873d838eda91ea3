"""A circuit breaker as a state machine over shared state (config.md 6.4): no IO, and time is passed in.

Every worker has a ``CircuitBreaker`` for a backend, and they share one record in shared state: the state of
the breaker, and the number of consecutive failures. A failure, a probe and a change of state modify the
record while it is held, so simultaneous changes of several workers are serialised, and the second worker
finds the change of the first. A success after another success only checks whether the record is still the
known one, and takes no lock.

In between, a worker acts on the state it knew last. If that is out of date, its attempts belong to an old
term, and their results are ignored.

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
"""Tolerance for sums of fractions."""


class State(IntEnum):
    """The state of a breaker; the numbers are those of the metric."""

    CLOSED = 0
    """It lets requests through."""
    OPEN = 1
    """It refuses them."""
    HALF_OPEN = 2
    """It lets a few probes through, to test the backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """The conditions under which a breaker opens and closes.

    :param max_consecutive_failures: consecutive failures that open it; 0: off.
    :param max_failure_percent: percentage of failures in the window that opens it; 0: off.
    :param min_requests: minimum number of attempts in the window for the percentage.
    :param probes: maximum number of concurrent attempts while half-open, and consecutive successes that
        close it.
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
    """The shared record of a breaker.

    :ivar term: changes whenever it opens or closes.
    :ivar open_until: when it becomes half-open, or became it.
    :ivar row: consecutive failures while it is closed, consecutive successes while it is half-open.
    """

    term: int = 0
    state: State = State.CLOSED
    open_until: float = 0.0
    row: int = 0

    @classmethod
    def of(cls, values: Values) -> Record:
        """Return the record for values of the table."""
        term, state, open_until, row = values
        return cls(int(term), State(int(state)), open_until, int(row))


class CircuitBreaker:
    """A breaker: gets the beginning and the end of attempts, and decides whether another one may begin.

    The caller identifies an attempt by a token. ``admit`` and ``release`` enclose it in any case;
    ``succeeded`` or ``failed`` is called in between, unless there is no result. A result counts only in the
    term in which the attempt began.

    :param settings: when it opens and closes.
    :param shared: the shared state, in which all workers count together.
    :param key: of the backend, the same in all workers.
    :param open_until: a known earlier opening; used if nothing is shared.
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
        self._attempts: dict[Hashable, int] = {}  # in progress -> the term in which they began
        self._probes: set[Hashable] = set()  # those that hold a slot
        self._is_full = False  # no slot was left when this worker last checked
        self._counts_rows = settings.max_consecutive_failures > 0
        self._requests: SharedWindow | None = None
        self.reason = ""
        """Why this worker last opened it, for the log."""
        with self._table.locked(key) as held:
            if held.values is None:
                held.values = Record(1, State.OPEN, open_until) if open_until else Record()
        self.known = Record()
        """The record as last known to this worker."""
        self.term, self.state = self.known.term, self.known.state  # copies for fast access
        self._version = 0  # of the shared record when it was read
        self.look()

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.state.name.lower()} {len(self._probes)} probes>"

    @property
    def refuses(self) -> bool:
        """Whether no attempt may begin now, as far as this worker knows."""
        if self.state is State.CLOSED:
            return False
        return self.state is State.OPEN or self._is_full

    # Attempts.

    def admit(self, token: Hashable) -> bool:
        """Let an attempt begin, if allowed.

        :returns: False if it is not allowed: then ``refuses`` is true from now on.
        """
        if self.state is State.CLOSED:
            self._attempts[token] = self.term
            return True
        return not self.refuses and self._admit_probe(token)

    def _admit_probe(self, token: Hashable) -> bool:
        """Give a probe a slot, unless other workers have taken the last one."""
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
        """Record that an attempt is over: a probe returns its slot.

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
        """Record that an attempt succeeded.

        :returns: this closes the breaker.
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
        """Record that an attempt failed: no connection, no response, or a bad status.

        :returns: this opens the breaker.
        """
        if self._attempts.get(token) != self.term:
            return False
        return self._change(lambda record: self._after_failure(record, now))

    # What becomes of the record.

    def _after_probe(self, record: Record) -> Record:
        """Count a successful probe."""
        if record.term != self.term:
            return record
        if record.row + 1 >= self._settings.probes:
            return Record(record.term + 1)
        return record._replace(row=record.row + 1)

    def _end_row(self, record: Record) -> Record:
        """Reset the number of consecutive failures."""
        return record._replace(row=0) if record.row and record.term == self.term else record

    def _after_failure(self, record: Record, now: float) -> Record:
        """Count a failure, and open the breaker if the limit is reached."""
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
        """Count a failure in the window; return the reason to open the breaker, empty if there is none."""
        settings = self._settings
        if 0 < settings.max_consecutive_failures <= row:
            return f"{row} failures in a row"
        if self._requests is None:
            return ""
        requests = self._requests.add(1, now)
        failures = self._window(self.term, "failures").add(1, now)
        # The rest of an earlier piece of time is a fraction. Four requests must reach a limit of four
        # wherever the piece began.
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
        """Read the changes of other workers."""
        version, values = self._table.version(self._key), self._table.get(self._key)
        self._know(self.known if values is None else Record.of(values), version)

    def _change(self, decide: Callable[[Record], Record]) -> bool:
        """Change the shared record exclusively.

        :param decide: returns the new record.
        :returns: whether this worker has changed its state.
        """
        with self._table.locked(self._key) as held:
            # A record that was displaced is recreated from the known one.
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
        """Return a window of a term: each starts empty."""
        return self._shared.window(f"{self._key}:{term}:{what}", self._settings.window)
