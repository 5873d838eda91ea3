"""The target of a redirect: text with variables and groups. Nothing here does IO.

The host of a target is that of the configuration, or the validated host that the client asked for. Everything
else that comes from a client can only be a part of the path, the query or the fragment: the path begins with
exactly one slash, and characters that are invalid in a URL are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from ipaddress import IPv6Address
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from pingap import HTTPError, Request, RequestContext, Value

_REFERENCE: Final = re.compile(r"\$(?:\$|\{([^{}]*)\}|([A-Za-z0-9_]+))")
_SCHEME: Final = re.compile(r"(?:https?|\$scheme|\$\{scheme\})://")
_AUTHORITY: Final = re.compile(
    r"(?:[0-9A-Za-z.:_-]|\[[0-9A-Fa-f:.]+\]|\$host(?![0-9A-Za-z_])|\$\{host\})+"
)
_ORIGIN: Final = re.compile(
    r"https?://(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE
)
_DEFAULT_PORT: Final = re.compile(r"(?<=^http:)(//.*):0*80$|(?<=^https:)(//.*):0*443$")
_HOST: Final = re.compile(r"[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]")
_WRONG: Final = re.compile(r"[\x00-\x20\x7f\\\"<>^`{|}]")
_WITH_QUERY: Final = ("request_uri", "uri", "args")
_URL: Final = "/:?@!$&'()*+,;=%[]"
"""Characters of a URL that stay as they are in text that a client sent as a part of a URL."""
_PARAMETER: Final = "/:@%"
"""The same for a group in the query; its escapes are those of the path."""
_OTHER: Final = "/:@"
"""The same for other text, which must not begin a query or a fragment."""
_EXPECTED: Final = (
    'expected a path such as "/new$1", or a URL such as "https://www.example.com$request_uri"'
)

Make: TypeAlias = Callable[[Any, Request, RequestContext], str]
"""Returns a part of the target, for the match of ``from`` and a request."""


class Target:
    """The setting ``to``.

    :param text: as written.
    :param pattern: the compiled expression ``from``; None without one.
    :raises ValueError: it is invalid; the message is for the operator.
    """

    def __init__(self, text: str, pattern: Any | None) -> None:
        origin, rest = _split(text)
        self._has_origin = bool(origin)
        self._origin = list(_parts(_pieces(_canonical(origin)), None))
        pieces = list(_pieces(rest))
        self._rest = list(_parts(pieces, pattern))
        self.with_query = [name for literal, name in pieces if not literal and name in _WITH_QUERY]
        """The variables in it that contain the query of the request."""

    def expand(self, match: Any, request: Request, ctx: RequestContext) -> str:
        """Return the target for a request.

        :param match: of the expression; None without one.
        :raises HTTPError: 400, it has no host, or one that cannot be a part of a URL.
        """
        origin = "".join(make(match, request, ctx) for make in self._origin)
        rest = "".join(make(match, request, ctx) for make in self._rest)
        if not self._has_origin:
            rest = "/" + rest.lstrip("/")  # "//" would begin a host
        elif not rest.startswith("/"):
            rest = f"/{rest}"
        return origin + rest


def with_query(target: str, query: str) -> str:
    """Return a target with a query behind its own, and before its fragment.

    :param query: in the form of ``Request.query``.
    """
    if not query:
        return target
    target, mark, fragment = target.partition("#")
    joint = "&" if "?" in target else "?"
    return f"{target}{joint}{_quoted(query, _URL)}{mark}{fragment}"


def _canonical(origin: str) -> str:
    """Return scheme, host and port as clients send them: otherwise a request at the target is not recognised."""
    origin = _DEFAULT_PORT.sub(r"\1\2", origin.lower())
    if match := re.search(r"\[(.+)\]", origin):
        try:
            return origin.replace(match[1], IPv6Address(match[1]).compressed)
        except ValueError:
            raise ValueError(f'found "{match[0]}", which is not an IPv6 address') from None
    return re.sub(r"\.(?=:[0-9]+$|$)", "", origin)  # "example.com." is the host "example.com"


def _split(text: str) -> tuple[str, str]:
    """Split a target behind its host.

    :raises ValueError: it is neither a path nor a URL.
    """
    if wrong := _WRONG.search(_REFERENCE.sub("", text)):
        raise ValueError(f'found "{wrong[0]}" in "{text}": escape it, as {quote(wrong[0])}')
    if (scheme := _SCHEME.match(text)) is None:
        if text.startswith("//") or not text.startswith(("/", "$")):
            raise ValueError(f'found "{text}", {_EXPECTED}')
        return "", text
    host = _AUTHORITY.match(text, scheme.end())
    if host is None:
        raise ValueError(
            f'found "{text}", in which the host is missing: it is written out, or $host; text from'
            " a client cannot be a part of it"
        )
    rest = text[host.end() :]
    if rest and rest[0] not in "/?#$":
        raise ValueError(f'found "{text}", in which "{rest[0]}" cannot be a part of the host')
    origin = text[: host.end()]
    example = origin.replace("{", "").replace("}", "").replace("$scheme", "http")
    if not _ORIGIN.fullmatch(example.replace("$host", "h")):
        raise ValueError(f'found "{text}", in which "{origin}" is no host')
    return origin, rest


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces of a text: whether it is literal, and the text or the name of a reference."""
    at = 0
    for match in _REFERENCE.finditer(text):
        if literal := text[at : match.start()]:
            yield True, literal
        name = match[2] if match[1] is None else match[1]
        yield (True, "$") if name is None else (False, name)
        at = match.end()
    if text[at:]:
        yield True, text[at:]


def _parts(pieces: Iterable[tuple[bool, str]], pattern: Any | None) -> Iterator[Make]:
    """Yield what makes each piece of a target.

    :raises ValueError: there is no such group or variable.
    """
    in_query = False
    for is_literal, text in pieces:
        if is_literal:
            in_query = in_query or "?" in text
            yield partial(_literal, text=quote(text, safe=f"{_URL}#"))
        elif pattern is not None and text in pattern.groupindex:
            yield partial(_group, group=text, safe=_PARAMETER if in_query else _URL)
        elif text.isdecimal():
            number = int(text)
            if pattern is None or number > pattern.groups:
                raise ValueError(f"${text} is not a group of from")
            yield partial(_group, group=number, safe=_PARAMETER if in_query else _URL)
        elif text == "host":
            yield _host
        elif text == "request_uri":
            yield partial(_request_uri, safe=_OTHER if in_query else _URL)
        else:
            is_url = text == "args" or (text in ("uri", "path") and not in_query)
            value = _variable(text, pattern)
            yield partial(_value, value=value, safe=_URL if is_url else _OTHER)


def _literal(match: Any, request: Request, ctx: RequestContext, text: str) -> str:
    return text


def _group(match: Any, request: Request, ctx: RequestContext, group: str | int, safe: str) -> str:
    return quote(match.group(group) or "", safe=safe)


def _request_uri(match: Any, request: Request, ctx: RequestContext, safe: str) -> str:
    return _quoted(ctx.original.target, safe)


def _value(match: Any, request: Request, ctx: RequestContext, value: Value, safe: str) -> str:
    return _quoted(value.expand(request, ctx) or "", safe)


def _variable(name: str, pattern: Any | None) -> Value:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f'"${name}" is neither a group of from nor a variable')
    try:
        return Value(f"${name}")
    except ValueError as error:
        groups = "".join(f", ${one}" for one in pattern.groupindex) if pattern is not None else ""
        raise ValueError(f"{error}, $request_uri{groups}") from None


def _host(match: Any, request: Request, ctx: RequestContext) -> str:
    host = ctx.host(request)
    if not _HOST.fullmatch(host):
        raise HTTPError(400, "A redirect to this host is not possible")
    return host


def _quoted(text: str, safe: str) -> str:
    """Escape text that has a character for each byte, or is Unicode."""
    try:
        return quote(text, safe=safe, encoding="latin-1")
    except UnicodeEncodeError:
        return quote(text, safe=safe)
