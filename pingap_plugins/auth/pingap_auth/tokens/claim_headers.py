"""Claims as header fields for the upstream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pingap import Field, Headers, field
from pingap_auth.tokens.verifier import TokenError, claim


class ClaimHeaders:
    """Sets header fields from claims. Fields of these names that a client sends are always removed.

    :param names: header -> claim.
    :raises ValueError: an invalid name of a header.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self.names = tuple(names)
        self._keys = [field(name, "")[0] for name in names]

    def remove(self, headers: Headers) -> None:
        """Remove what a client has sent."""
        for key in self._keys:
            headers.discard(key)

    def fields(self, claims: Mapping[str, Any]) -> list[Field]:
        """Return the fields of a token.

        :raises TokenError: a claim has a character that is invalid in a header.
        """
        values = {header: claim(claims, name) for header, name in self._names.items()}
        try:
            return [
                field(header, header_text(one)) for header, one in values.items() if one is not None
            ]
        except ValueError:
            raise TokenError("claims") from None


def header_text(value: object) -> str:
    """Return a claim as text: strings as they are, lists of them with commas, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) and "," not in one for one in value):
        return ",".join(value)
    return json.dumps(value, separators=(",", ":"))
