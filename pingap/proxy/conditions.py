"""The conditions of a location besides its host and path: headers, query, cookies, method and client.

All conditions of a location must hold. Each is independent, so that `pingap explain` can say which one does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote

from pingap.config.entries import EXPRESSION, NOT, split_condition
from pingap.config.regex.pattern import Pattern
from pingap.http.forms import form_decoded
from pingap.http.networks import Network

CompileRegex: TypeAlias = Callable[[str], Pattern]

_ESCAPED = re.compile(r"[%+\x80-\xff]").search


class RequestView(Protocol):
    """The part of a request that conditions use; only read by routes with conditions."""

    @property
    def method(self) -> str:
        """The method as sent."""

    @property
    def query(self) -> str:
        """The query as sent, without ``?``, a character for each byte; empty if there is none."""

    def header(self, name: str) -> str | None:
        """The value of a header, its lines joined as a list; ``name`` is in lower case."""


class ClientView(Protocol):
    """Knows the client of a request."""

    def client_ip(self, request: Any, /) -> str:
        """Return the address of the client, also behind trusted proxies; empty if it has none."""


class Asked:
    """A request for conditions: the examined parts are parsed once, for any number of conditions."""

    __slots__ = ("_client", "_pairs", "_request")

    def __init__(self, request: RequestView, client: ClientView | None = None) -> None:
        self._request = request
        self._client = client
        self._pairs: dict[ConditionKind, dict[str, list[str]]] = {}

    @property
    def method(self) -> str:
        """The method as sent."""
        return self._request.method

    @property
    def client(self) -> str:
        """The address of the client; empty if it has none (a Unix socket)."""
        return self._client.client_ip(self._request) if self._client is not None else ""

    def values(self, kind: ConditionKind, name: str) -> Sequence[str]:
        """Return all values of a name; a name without ``=`` has an empty value."""
        if kind is ConditionKind.HEADER:
            value = self._request.header(name)
            return () if value is None else (value,)
        if (pairs := self._pairs.get(kind)) is None:
            is_query = kind is ConditionKind.QUERY
            pairs = self._pairs[kind] = self._query() if is_query else self._cookies()
        return pairs.get(name, ())

    def _query(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for pair in self._request.query.split("&"):
            if pair:
                name, _, value = pair.partition("=")
                if _ESCAPED(pair):
                    name, value = _decoded(name), _decoded(value)
                found.setdefault(name, []).append(value)
        return found

    def _cookies(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for pair in (self._request.header("cookie") or "").split(";"):
            name, _, value = pair.partition("=")
            found.setdefault(name.strip(), []).append(value.strip())
        return found


class Condition(Protocol):
    """A condition of a location. Equal conditions are equal objects, for ``pingap lint``."""

    @property
    def about(self) -> str:
        """What it examines: one word."""

    def holds(self, asked: Asked) -> bool:
        """Test a request."""

    def failure(self) -> str:
        """Return why it does not hold, for ``pingap explain``."""


class ConditionKind(Enum):
    """The part of a request that an entry examines (config.md, section 5.3)."""

    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"


@dataclass(frozen=True, slots=True)
class Term:
    """``name``, ``name:value`` or ``name:~expression``, or with ``!`` the opposite.

    :param value: None if any value matches.
    :param pattern: matches the value, instead.
    :param member: finds the value of a header in a list.
    """

    kind: ConditionKind
    name: str
    value: str | None
    negated: bool = False
    pattern: Pattern | None = field(default=None, compare=False, repr=False)
    member: re.Pattern[str] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(
        cls, kind: ConditionKind, written: str, compile_regex: CompileRegex = re.compile
    ) -> Term:
        """Read a term as written in TOML (config.md, section 5.3).

        Escapes in a query condition are decoded, since pingap 0.13.9 compares the query as sent.

        :raises ValueError: there is no name, or the expression is invalid.
        """
        written = written.strip()
        negated = written.startswith(NOT)
        name, colon, value = (part.strip() for part in written.removeprefix(NOT).partition(":"))
        if not name:
            raise ValueError(
                f'{kind.value} condition must be "name" or "name:value", found "{written}"'
            )
        name = unquote(name) if kind is ConditionKind.QUERY else name
        name = name.lower() if kind is ConditionKind.HEADER else name
        if value.startswith(EXPRESSION):
            pattern = compile_regex(value.removeprefix(EXPRESSION).strip())
            return cls(kind, name, value, negated, pattern=pattern)
        member = None
        # Fields are text with a character for each byte.
        is_query = kind is ConditionKind.QUERY
        value = unquote(value) if is_query else value.encode().decode("latin-1")
        if kind is ConditionKind.HEADER and value:
            text = re.escape(value)
            member = re.compile(rf"^{text}\Z|^{text}[ \t]*,|,[ \t]*{text}[ \t]*(?:,|\Z)")
        return cls(kind, name, value if colon else None, negated, member=member)

    def holds(self, asked: Asked) -> bool:
        """Test a request; if a name has several values, any of them may match.

        A header has the value if it is the whole value, or a member of the list, on one line or several
        (RFC 9110, 5.3).
        """
        return self._matches(asked.values(self.kind, self.name)) is not self.negated

    def _matches(self, values: Sequence[str]) -> bool:
        if self.value is None or not values:
            return bool(values)
        if self.pattern is not None:
            return any(self.pattern.search(_text(self.kind, value)) for value in values)
        if self.value in values:
            return True
        return self.member is not None and self.member.search(values[0]) is not None

    def failure(self) -> str:
        """Return why it does not hold."""
        if self.value is None:
            return f'"{self.name}" ' + ("is there" if self.negated else "is missing")
        if self.pattern is not None:
            return f'"{self.name}" {"matches" if self.negated else "does not match"} {self.value}'
        return f'"{self.name}" {"is" if self.negated else "is not"} "{self.value}"'


@dataclass(frozen=True, slots=True)
class ValueCondition:
    """One entry of ``match_headers``, ``match_query`` or ``match_cookies``: one of its terms must hold."""

    terms: tuple[Term, ...]

    @classmethod
    def parse(
        cls, kind: ConditionKind, written: str, compile_regex: CompileRegex = re.compile
    ) -> ValueCondition:
        """Read an entry: a term, or several with ``|`` between them.

        :raises ValueError: a term has no name, or an invalid expression.
        """
        parts = split_condition(written)
        return cls(tuple(Term.parse(kind, part, compile_regex) for part in parts))

    @property
    def about(self) -> str:
        """What it examines."""
        return self.terms[0].kind.value

    def holds(self, asked: Asked) -> bool:
        """Test a request."""
        return any(term.holds(asked) for term in self.terms)

    def failure(self) -> str:
        """Return why no term holds."""
        return f"{self.about}: " + ", and ".join(term.failure() for term in self.terms)


@dataclass(frozen=True, slots=True)
class MethodCondition:
    """``match_methods``: the method is one of these."""

    methods: frozenset[str]
    about = "method"

    def holds(self, asked: Asked) -> bool:
        """Test a request."""
        return asked.method in self.methods

    def failure(self) -> str:
        """Return why it does not hold."""
        return f"method: it is not {' or '.join(sorted(self.methods))}"


@dataclass(frozen=True, slots=True)
class ClientCondition:
    """``match_ips``: the client is in one of these networks, also behind trusted proxies."""

    networks: tuple[Network, ...]
    about = "client"

    def holds(self, asked: Asked) -> bool:
        """Test a request; a client without an address is in no network."""
        try:
            client = ip_address(asked.client.partition("%")[0])
        except ValueError:
            return False
        return any(client in network for network in self.networks)

    def failure(self) -> str:
        """Return why it does not hold."""
        return f"client: it is not in {', '.join(map(str, self.networks))}"


def is_written(entry: str) -> bool:
    """Return whether an entry of a list of conditions is not empty; empty ones are ignored."""
    return bool(entry.strip())


def value_conditions(
    kind: ConditionKind, entries: Sequence[str], compile_regex: CompileRegex
) -> Iterator[ValueCondition]:
    """Read the entries of a list.

    :raises ValueError: see `ValueCondition.parse`.
    """
    for entry in entries:
        if is_written(entry):
            yield ValueCondition.parse(kind, entry, compile_regex)


def _text(kind: ConditionKind, value: str) -> str:
    """Return a value as an expression sees it: fields as UTF-8, if they are."""
    if kind is ConditionKind.QUERY or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _decoded(text: str) -> str:
    """Decode a part of a query in the way of forms (WHATWG URL, 5.1)."""
    return form_decoded(text.encode("latin-1", "replace"))
