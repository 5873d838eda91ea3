"""Derives endpoints from the answers of name servers. No IO.

If a question fails, the last good answer to it is used. A name that has disappeared, or no longer has an
address, also counts as failed: an error in a zone must not take a site down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import groupby
from typing import Final, Literal, NamedTuple

from pingap import Endpoint

MOST_WEIGHT: Final = 100
"""Weights of SRV records, which can be up to 65535, are scaled down."""
MOST_SERVICES: Final = 256
"""Maximum number of SRV records that are used for a name."""

Kind = Literal["A", "AAAA", "SRV"]


class Question(NamedTuple):
    """A name, and the kind of its records."""

    name: str
    kind: Kind


class Service(NamedTuple):
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The records of a name; empty if it exists without records of this kind.

    :param addresses: of A and AAAA.
    :param services: of SRV.
    :param ttl: seconds for which they are valid.
    """

    addresses: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    ttl: float = math.inf

    def __bool__(self) -> bool:
        return bool(self.addresses or self.services)


_NONE: Final = Answer()


class Records:
    """The answers of one round of questions, and earlier ones.

    :param last: good answers of earlier rounds.
    :param kinds: the kinds of addresses to use.
    """

    def __init__(self, last: Mapping[Question, Answer], kinds: Sequence[Kind]) -> None:
        self._last = last
        self._kinds = kinds
        self.answered: dict[Question, Answer] = {}
        self.failed: dict[Question, str] = {}
        self.failures: dict[str, None] = {}
        """Each failure as a sentence."""
        self.good: dict[Question, Answer] = {}
        """The good answers of this round."""

    @property
    def ttl(self) -> float:
        """Seconds after which an answer may change."""
        return min((one.ttl for one in self.answered.values() if one), default=math.inf)

    def services(self, name: str) -> tuple[Service, ...]:
        """Return the SRV records of a name; a target of ``.`` means that there is no service."""
        question = Question(name, "SRV")
        answer = self.answered.get(question, _NONE)
        usable = tuple(one for one in answer.services if one.target != ".")
        if not usable:
            answer = self._last.get(question, _NONE)
            reason = self.failed.get(question) or f'"{name}" has no SRV record'
            self._fail(reason, known=bool(answer))
            usable = answer.services
        if usable:
            self.good[question] = Answer(services=usable)
        return usable[:MOST_SERVICES]

    def of_service(self, name: str) -> Iterator[Endpoint]:
        """Yield the endpoints of a name with SRV records; all but the first priority are backups."""
        groups = groupby(self.services(name), key=lambda one: one.priority)
        for place, (_, group) in enumerate(groups):
            services = list(group)
            heaviest = max(one.weight for one in services)
            for one in services:
                weight = one.weight
                if heaviest > MOST_WEIGHT:
                    weight = round(weight * MOST_WEIGHT / heaviest)
                host = one.target.removesuffix(".")
                for address in self._addresses(one.target):
                    yield Endpoint(
                        (address, one.port), max(weight, 1), place > 0, f"{host}:{one.port}"
                    )

    def of_name(self, entry: Endpoint) -> Iterator[Endpoint]:
        """Yield the endpoints of an entry with a host; the entry itself if it has an address."""
        if (name := entry.host_name) is None:
            yield entry
            return
        for address in self._addresses(name):
            yield entry.at(address)

    def _addresses(self, name: str) -> list[str]:
        questions = [Question(name, kind) for kind in self._kinds]
        found = any(self.answered.get(one, _NONE) for one in questions)
        addresses: list[str] = []
        for question in questions:
            if found and question in self.answered:
                answer = self.answered[question]
            else:
                answer = self._last.get(question, _NONE)
            if answer:
                self.good[question] = answer
            addresses += filter(_is_usable, answer.addresses)
        if not found:
            reasons = [self.failed[one] for one in questions if one in self.failed]
            reason = reasons[0] if reasons else f'"{name}" has no address'
            self._fail(reason, known=bool(addresses))
        elif not addresses:
            self._fail(f'the addresses of "{name}" cannot be those of a backend', known=False)
        return addresses

    def _fail(self, reason: str, *, known: bool) -> None:
        self.failures[f"{reason}; the last answer stays in use" if known else reason] = None


def _is_usable(text: str) -> bool:
    """Return whether an address can be a backend; some name servers block names with 0.0.0.0."""
    address = ip_address(text)
    return not (address.is_unspecified or address.is_multicast or address.is_link_local)
