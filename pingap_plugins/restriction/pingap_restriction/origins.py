"""The origins that scripts may read responses from (Fetch standard, "CORS protocol")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pingap import Request, RequestContext, Template
from pingap_restriction.expressions import compile_expression

_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_STRANGERS: Final = tuple(
    f"{scheme}://{host}"
    for scheme in ("https", "http")
    for host in (
        "nobody-has-this-origin.invalid",
        "x9.com",
        "x9.org",
        "x9.net",
        "192.0.2.9",
        "x9.com:8443",
    )
)
"""Origins that nobody would list: an expression that matches one of them matches any."""


class Origins:
    """A list of origins.

    :param entries: ``*``, origins, ``null``, expressions that begin with ``~``, and variables.
    :param credentials: whether scripts may send cookies along.
    :raises ValueError: an entry is none of these, or would let any site act with the cookies of a user.
    """

    def __init__(self, entries: Sequence[str], *, credentials: bool) -> None:
        self.any = "*" in entries
        self._literal: set[str] = set()
        self._patterns: list[Any] = []
        self._variables: list[Template] = []
        if not entries:
            raise ValueError("allow_origin is empty: no site could read a response")
        for entry in entries:
            self._add(entry)
        if credentials:
            self._require_known()

    def _add(self, entry: str) -> None:
        if entry.startswith("~"):
            self._patterns.append(compile_expression(entry[1:].strip()))
        elif entry.startswith(("$", ":")):
            value = Template(entry)
            if value.lookup is not None:
                self._variables.append(value)
            elif value.constant == entry:
                raise ValueError(f'allow_origin: "{entry}" is not a variable')
            else:  # of the environment
                self._literal.add(parse_origin(value.constant))
        elif entry != "*":
            self._literal.add(parse_origin(entry))

    def _require_known(self) -> None:
        """Refuse entries that stand for any site.

        Every page that a user visits could then act as that user.
        """
        for entry, is_any in (
            ("*", self.any),
            ("null", "null" in self._literal),
            (
                "$http_origin",
                any("http_origin" in map(str.lower, one.names) for one in self._variables),
            ),
        ):
            if is_any:
                raise ValueError(
                    f'allow_credentials with allow_origin = "{entry}" would let any site act with the '
                    "cookies of its visitors: list the origins"
                )
        for pattern in self._patterns:
            for stranger in filter(pattern.fullmatch, _STRANGERS):
                raise ValueError(
                    f'allow_credentials with an expression that matches any origin ("{stranger}"): '
                    "list the origins"
                )

    def allow(self, origin: str, request: Request, ctx: RequestContext) -> bool:
        """Return whether an origin is in the list."""
        if self.any or origin in self._literal:
            return True
        if origin != "null" and any(one.fullmatch(origin) for one in self._patterns):
            return True
        return any(one.expand(request, ctx) == origin for one in self._variables)


def parse_origin(text: str) -> str:
    """Return an origin as browsers send it: in lower case, without the port that is the default.

    :raises ValueError: it is none; the message is for the operator.
    """
    if text == "null":
        return text
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise ValueError(
            f'allow_origin: "{text}" is not an origin: expected scheme, host and perhaps a port, such as '
            '"https://app.example.com", without a path'
        )
    scheme, host, port = match.groups()
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"
