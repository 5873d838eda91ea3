"""The small languages inside the strings of a location: hosts, paths, conditions, headers.

Matching itself is done by ``pingap.proxy.routing``. Grammar: config.md, sections 5.1 to 5.3 and 5.7.
"""

from __future__ import annotations

import re
from contextlib import suppress

from pingap.config.problem import shortened
from pingap.config.regex import compile_regex
from pingap.http.hosts import normal_host
from pingap.http.paths import as_matched

NOT = "!"
"""Before a condition: it must not hold."""
ANY_OF = "|"
"""With spaces around it, between conditions: one of them must hold."""
EXPRESSION = "~"
"""Before a value: it is a regular expression."""
_ANY_OF = re.compile(r"\s" + re.escape(ANY_OF) + r"\s")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a field name (RFC 9110, 5.6.2)
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_DOT_SEGMENT = re.compile(r"/\.\.?(?=/|\Z)")
_REFUSED = re.compile("%2F|%5C|%00")
_REFUSED_TEXT = re.compile(r"%2F|%5C|%00|\\")
_HEADER_VALUE = re.compile(r"[\t -~]*")


def parse_header(entry: str) -> tuple[str, str]:
    """Read an entry of ``proxy_set_headers`` or ``proxy_add_headers``: ``Name: value``.

    :returns: the name as written, and the value, which may be empty or a variable.
    :raises ValueError: with a message for the operator.
    """
    name, colon, value = entry.partition(":")
    name, value = name.strip(), value.strip()
    if not colon:
        raise ValueError(f'found {shortened(entry)}, expected a header such as "X-Name: value"')
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{shortened(name)} is not a header name")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the value of the header {name} may only hold printable ASCII characters")
    return name, value


def split_condition(entry: str) -> list[str]:
    """Split an entry of ``match_headers``, ``match_query`` or ``match_cookies``: one of its terms must hold."""
    return [part.strip() for part in _ANY_OF.split(entry)]


def check_condition(entry: str) -> str:
    """Check an entry of ``match_query`` or ``match_cookies``; an empty one is ignored.

    :raises ValueError: with a message for the operator.
    """
    if entry.strip():
        for part in split_condition(entry):
            _check_term(part)
    return entry


def check_header_condition(entry: str) -> str:
    """Check an entry of ``match_headers``: a condition whose names are header names.

    :raises ValueError: with a message for the operator.
    """
    if entry.strip():
        for part in split_condition(entry):
            name = _check_term(part)
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"{shortened(name)} is not a header name")
    return entry


def _check_term(text: str) -> str:
    """Return the name in ``name``, ``name:value``, ``name:~expression``, or one of these after ``!``."""
    name, _, value = (part.strip() for part in text.removeprefix(NOT).partition(":"))
    if not name:
        raise ValueError(
            f'found {shortened(text)}, expected a condition such as "name:value" or "name"'
        )
    if value.startswith(EXPRESSION):
        compile_regex(value.removeprefix(EXPRESSION).strip())
    return name


def check_method(method: str) -> str:
    """Check an entry of ``match_methods``. Methods are in capitals (RFC 9110, 9.1).

    :raises ValueError: with a message for the operator.
    """
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{shortened(method)} is not a method")
    if method != method.upper():
        raise ValueError(f"found {shortened(method)}, expected {method.upper()}")
    return method


def split_hosts(host: str) -> list[str]:
    """Split ``locations.*.host`` at its commas; blanks around a piece and empty pieces are dropped."""
    return [piece.strip() for piece in host.split(",") if piece.strip()]


def check_path(path: str) -> str:
    """Check ``locations.*.path``: the expression after ``~`` must compile.

    :raises ValueError: with a message for the operator.
    """
    if path.strip().startswith("~"):
        compile_regex(path.strip()[1:].strip())
    return path


def never_matched(path: str) -> str | None:
    """Return why the path of a location can never match a normalised path; None if it can."""
    path = path.strip()
    kind, text = path[:1], path[1:].strip() if path[:1] in ("=", "~") else path
    if kind == "~":
        if "//" in text:
            return "repeated slashes are merged before paths are compared"
        for escape in _ESCAPE.findall(text):
            if (plain := as_matched(escape)) != escape:
                return f'"{escape}" is written "{plain}" in a normalised path'
    elif _DOT_SEGMENT.search(text if kind == "=" else f"{text}x"):
        return "dot segments are removed before paths are compared"
    refused = _REFUSED if kind == "~" else _REFUSED_TEXT
    if refused.search(as_matched(text)):
        return "paths with an encoded slash, a backslash or a NUL are rejected, or read differently"
    return None


def check_host(host: str) -> str:
    """Check every piece of ``locations.*.host``: expressions compile, wildcards are ``*.name``.

    :raises ValueError: with a message for the operator.
    """
    for piece in split_hosts(host):
        if piece.startswith("~"):
            _check_host_regex(piece, host)
        elif any(mark in piece for mark in "/ \t") or (":" in piece and piece[0] != "["):
            raise ValueError(
                f"found {shortened(piece)}, expected a host name without scheme, port and path"
            )
        else:
            _check_host_name(piece)
    return host


def _check_host_name(piece: str) -> None:
    if piece == "*":
        raise ValueError('found "*"; to match every host, omit the key')
    if "*" in piece and ("*" in piece[1:] or not piece.startswith("*.") or len(piece) == 2):
        raise ValueError(f'found {shortened(piece)}, expected a host such as "*.example.com"')
    if not piece.isascii():
        with suppress(UnicodeError):  # names that are not valid in DNS have no such form
            sent = piece.encode("idna").decode("ascii")
            raise ValueError(f"found {shortened(piece)}, expected the name as it is sent: {sent}")
    try:
        normal_host(piece.removeprefix("*."))
    except ValueError:
        raise ValueError(f"{shortened(piece)} is not a host name") from None


def _check_host_regex(piece: str, host: str) -> None:
    try:
        compile_regex(piece[1:].strip())
    except ValueError as error:
        hint = " (a comma separates hosts)" if "," in host else ""
        raise ValueError(f"{error}{hint}") from None
