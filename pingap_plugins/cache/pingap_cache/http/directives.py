"""Directives of ``Cache-Control`` and of targeted fields (RFC 9111, 5.2; RFC 9213; RFC 5861)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import http_sf

from pingap import Headers
from pingap_cache.http.seconds import parse_seconds

Directives = list[tuple[str, str | None]]
"""Names in lower case with their arguments, in the order they came; repeated ones stay."""

UNLIMITED: Final = float("inf")
_USUAL: Final = 200
"""Bytes of a field of a client that is read once and remembered; clients can make up any."""

_MEMBER: Final = re.compile(
    r"""[\s,]*                                # empty members are none (RFC 9110, 5.6.1)
        ([^\s,="]*)                           # the name
        (?:(\s*=\s*)
           (?: "((?:[^"\\]|\\.)*)(?:"|\\?\Z)  # a quoted string, even one that never ends
             | ([^,]*) ) )?                   # or a token
        [^,"]*(?:"(?:[^"\\]|\\.)*(?:"|\\?\Z)[^,"]*)*  # what does not belong there
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def parse(value: str) -> Directives:
    """Read a list of directives (RFC 9111, 5.2).

    Arguments may be tokens or quoted strings. White space around ``=`` is an error that leaves the
    directive there but its argument empty, which is no valid one for any directive that needs one.
    Never raises.

    :param value: the field value, several lines joined with commas.
    """
    found: Directives = []
    at = 0
    while at < len(value):
        member = _MEMBER.match(value, at)
        assert member is not None  # every part of the pattern may be empty
        at = member.end()
        name, equals, quoted, token = member.groups()
        if not name:
            continue
        if equals is None:
            found.append((name.lower(), None))
        elif equals != "=":
            found.append((name.lower(), ""))
        else:
            argument = token.rstrip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
            found.append((name.lower(), argument))
    return found


def serialise(directives: Directives) -> str:
    """Write directives so that ``parse`` reads the same (RFC 9111, 5.2)."""
    parts = []
    for name, argument in directives:
        if argument is None:
            parts.append(name)
        elif _FIELD_NAME.fullmatch(argument):
            parts.append(f"{name}={argument}")
        else:
            escaped = argument.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{name}="{escaped}"')
    return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseDirectives:
    """What a response says to a shared cache (RFC 9111, 5.2.2; RFC 5861, 3 and 4)."""

    field: str = ""
    """The field that said it; empty if none did."""
    no_store: bool = False
    no_cache: bool = False
    no_cache_fields: frozenset[bytes] = frozenset()
    """Fields that may not be reused, of ``no-cache="..."``."""
    private: bool = False
    private_fields: frozenset[bytes] = frozenset()
    """Fields that may not be stored, of ``private="..."``."""
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    s_maxage: int | None = None
    max_age: int | None = None
    invalid: bool = False
    """``s-maxage`` or ``max-age`` had no valid argument, and is 0 (RFC 9111, 4.2.1)."""
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None

    @property
    def names_lifetime(self) -> bool:
        """Whether a lifetime is given, be it 0."""
        return self.s_maxage is not None or self.max_age is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDirectives:
    """What a client asks of caches (RFC 9111, 5.2.1; RFC 5861, 4)."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int | None = None
    max_stale: float | None = None
    """Seconds past its lifetime for which a response is welcome; unlimited without an argument."""
    stale_if_error: int | None = None


NO_DIRECTIVES: Final = RequestDirectives()
"""Of a request that asks for nothing, or whose wishes are not heard."""


def request_directives(headers: Headers) -> RequestDirectives:
    """Read ``Cache-Control`` of a request (RFC 9111, 5.2.1).

    Arguments that are no numbers are ignored, as is ``Pragma`` (deprecated by RFC 9111, 5.4).
    """
    value = headers.find(b"cache-control")
    if value is None:
        return NO_DIRECTIVES
    return _request(value) if len(value) <= _USUAL else _request.__wrapped__(value)


@lru_cache(maxsize=256)
def _request(value: bytes) -> RequestDirectives:
    """Put together what a client asks."""
    given = _first_of_each(parse(value.decode("latin-1")))
    max_stale: float | None = None
    if "max-stale" in given:
        text = given["max-stale"]
        max_stale = UNLIMITED if text is None else parse_seconds(text)
    return RequestDirectives(
        no_cache="no-cache" in given,
        no_store="no-store" in given,
        only_if_cached="only-if-cached" in given,
        max_age=parse_seconds(given.get("max-age") or ""),
        min_fresh=parse_seconds(given.get("min-fresh") or ""),
        max_stale=max_stale,
        stale_if_error=parse_seconds(given.get("stale-if-error") or ""),
    )


def response_directives(headers: Headers, targets: Sequence[bytes] = ()) -> ResponseDirectives:
    """Read the directives that apply to this cache (RFC 9213, 2.2; RFC 9111, 5.2.2).

    The first field of ``targets`` that is valid and not empty is the only one that counts, without
    ``Cache-Control``. All of them are Dictionaries (RFC 9213, 2.1), but for ``Surrogate-Control``,
    which is older and written like ``Cache-Control``.

    :param targets: names of targeted fields in lower case, the most important first.
    """
    for target in targets:
        if (value := headers.find(target)) is not None:
            said = _targeted(target, value)
            if said is not None:
                return said
    value = headers.find(b"cache-control")
    return _NOTHING_SAID if value is None else _cache_control(value)


# Origins, and browsers, send few different values; what they are is worked out once.
@lru_cache(maxsize=256)
def _cache_control(value: bytes) -> ResponseDirectives:
    return _response(parse(value.decode("latin-1")), "cache-control")


@lru_cache(maxsize=256)
def _targeted(target: bytes, value: bytes) -> ResponseDirectives | None:
    """Read a targeted field; ``None`` if it is empty or has an error (RFC 9213, 2.1)."""
    read = _surrogate if target == b"surrogate-control" else _dictionary
    directives = read(value)
    return _response(directives, target.decode("ascii")) if directives else None


_NOTHING_SAID: Final = ResponseDirectives()


def _surrogate(value: bytes) -> Directives:
    """Read ``Surrogate-Control`` (Edge Architecture Specification): ``max-age=60+30`` allows 30 s stale."""
    directives: Directives = []
    for name, argument in parse(value.decode("latin-1")):
        fresh, plus, stale = (argument or "").partition("+")
        if name == "max-age" and plus:
            directives += [(name, fresh), ("stale-while-revalidate", stale)]
        else:
            directives.append((name, argument))
    return directives


def _dictionary(value: bytes) -> Directives:
    """Read a targeted field (RFC 9213, 2.1); one with an error is as if it were not there.

    Values of another type than the directive has are kept as an argument that is not valid.
    """
    try:
        members = http_sf.parse(value, tltype="dictionary")
    except http_sf.StructuredFieldError:
        return []
    assert isinstance(members, dict)
    directives: Directives = []
    for name, member in members.items():
        bare = member[0] if isinstance(member, tuple) else member
        if bare is True:
            directives.append((name, None))
        elif bare is False:
            continue  # "?0" says that the directive is not there
        elif name in _FIELD_LISTS and isinstance(bare, str):
            directives.append((name, bare))
        elif isinstance(bare, int):
            directives.append((name, str(bare)))
        else:
            directives.append((name, ""))
    return directives


_FIELD_LISTS: Final = ("no-cache", "private")


def _response(directives: Directives, field: str) -> ResponseDirectives:
    """Put together what a list of directives says."""
    given = _first_of_each(directives)
    s_maxage, s_maxage_invalid = _lifetime(given, "s-maxage")
    max_age, max_age_invalid = _lifetime(given, "max-age")
    no_cache, no_cache_fields = _qualified(directives, "no-cache")
    private, private_fields = _qualified(directives, "private")
    return ResponseDirectives(
        field=field,
        no_store="no-store" in given,
        no_cache=no_cache,
        no_cache_fields=no_cache_fields,
        private=private,
        private_fields=private_fields,
        public="public" in given,
        must_revalidate="must-revalidate" in given,
        proxy_revalidate="proxy-revalidate" in given,
        must_understand="must-understand" in given,
        s_maxage=s_maxage,
        max_age=max_age,
        invalid=s_maxage_invalid or max_age_invalid,
        stale_while_revalidate=parse_seconds(given.get("stale-while-revalidate") or ""),
        stale_if_error=parse_seconds(given.get("stale-if-error") or ""),
    )


def _first_of_each(directives: Directives) -> dict[str, str | None]:
    """Return each name with its first argument, which is the one that counts (RFC 9111, 4.2.1)."""
    first: dict[str, str | None] = {}
    for name, argument in directives:
        first.setdefault(name, argument)
    return first


def _lifetime(given: dict[str, str | None], name: str) -> tuple[int | None, bool]:
    """Return seconds, and whether they are 0 because they are not valid (RFC 9111, 4.2.1)."""
    if name not in given:
        return None, False
    seconds = parse_seconds(given[name] or "")
    return (0, True) if seconds is None else (seconds, False)


def _qualified(directives: Directives, name: str) -> tuple[bool, frozenset[bytes]]:
    """Return whether a directive holds for the whole response, else for which fields.

    The strictest of several counts; a list without any valid name restricts everything
    (RFC 9111, 5.2.2.4 and 5.2.2.7).
    """
    fields: set[bytes] = set()
    for known, argument in directives:
        if known == name:
            listed = [part.strip() for part in (argument or "").split(",")]
            names = [part.lower().encode() for part in listed if _FIELD_NAME.fullmatch(part)]
            if not names:
                return True, frozenset()
            fields.update(names)
    return False, frozenset(fields)
