"""Variants of one URL: what ``Vary`` names, and keys made of it (RFC 9111, 4.1; RFC 9110, 12.5.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from pingap import Headers

_MAGIC: Final = b"PGV1"
GENERATION_SIZE: Final = 8
"""Bytes of a generation."""
_USUAL: Final = 200
"""Bytes of a value that is normalised once and remembered; clients can make up any."""
_SPACE: Final = re.compile(rb"[ \t]+")
_FULL_WEIGHT: Final = re.compile(rb";q=1(?:\.0{0,3})?(?=;|$)", re.IGNORECASE)
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")


class MarkerError(ValueError):
    """Bytes that are no marker of variants."""


def vary_names(headers: Headers) -> tuple[bytes, ...] | None:
    """Return the fields a response was chosen by (RFC 9110, 12.5.5).

    :returns: names in lower case, sorted, each once; ``None`` if a member is ``*`` (or no name at all):
        such a response never matches another request (RFC 9111, 4.1).
    """
    if (value := headers.find(b"vary")) is None:
        return ()
    names = {name for part in value.split(b",") if (name := part.strip(b" \t").lower())}
    if b"*" in names or not all(_NAME.fullmatch(name) for name in names):
        return None
    return tuple(sorted(names))


@dataclass(frozen=True, slots=True)
class Variants:
    """Stands under the primary key of a URL whose responses vary.

    A key of a variant is made of the generation, so that without this marker all variants are out of reach.
    """

    names: tuple[bytes, ...]
    """Fields of requests that choose, in lower case, sorted."""
    generation: bytes
    """Random, ``GENERATION_SIZE`` bytes."""

    def encode(self) -> bytes:
        """Return the bytes that a store keeps."""
        return _MAGIC + self.generation + b",".join(self.names)

    @classmethod
    def decode(cls, data: bytes) -> Variants:
        """Read what ``encode`` wrote.

        :raises MarkerError: these are other bytes.
        """
        start = len(_MAGIC) + GENERATION_SIZE
        names = tuple(data[start:].split(b","))
        if not is_marker(data) or not all(_NAME.fullmatch(name) for name in names):
            raise MarkerError("this is no marker of variants")
        return cls(names, data[len(_MAGIC) : start])

    def covers(self, names: Sequence[bytes]) -> bool:
        """Whether a response that varies by these names can be stored under this marker."""
        return set(names) <= set(self.names)

    def widened(self, names: Sequence[bytes], generation: bytes) -> Variants:
        """Return the marker that takes the place of this one for a response that varies by more.

        It keeps the names of this one, so that origins whose ``Vary`` differs from response to response do
        not change it back and forth.

        :param generation: a new one.
        """
        return Variants(tuple(sorted({*self.names, *names})), generation)

    def key(self, primary: bytes, headers: Headers) -> bytes:
        """Return the key of the variant that this request asks for (RFC 9111, 4.1).

        :param primary: the key of the URL.
        :param headers: of the request.
        """
        digest = blake2b(self.generation, digest_size=16)
        for name in self.names:
            value = normalised(name, headers)
            # Absent is not empty, and no value may run into the next name.
            digest.update(
                b"%b:-;" % name if value is None else b"%b:%d:%b;" % (name, len(value), value)
            )
        return primary + b"\0" + digest.digest()


def suits(stored: Headers, headers: Headers) -> bool:
    """Whether a variant that an origin has selected by its entity tag can be used for a request.

    Codings that the client did not name are not, although the tag says that it is the same, which
    some origins get wrong.

    :param stored: fields of the variant.
    :param headers: of the request.
    """
    codings = (stored.find(b"content-encoding") or b"").lower().replace(b" ", b"").split(b",")
    accepted = normalised(b"accept-encoding", headers) or b""
    return set(codings) - {b"", b"identity"} <= {*accepted.split(b",")}


def is_marker(data: bytes) -> bool:
    """Whether a store's head is a marker of variants rather than a response."""
    return data.startswith(_MAGIC)


def normalised(name: bytes, headers: Headers) -> bytes | None:
    """Return the value of a selecting field in a form that equal requests share (RFC 9111, 4.1).

    Lines are joined, white space around commas goes; of the fields about preferences the order does not
    count, and case only where it has a meaning (RFC 9110, 12.5). ``None`` if the field is absent.

    :param name: in lower case.
    """
    value = headers.find(name)
    if value is None or b'"' in value:  # within quotes, commas and white space are content
        return value
    return _normal(name, value) if len(value) <= _USUAL else _normal.__wrapped__(name, value)


@lru_cache(maxsize=1024)
def _normal(name: bytes, value: bytes) -> bytes:
    """Normalise a value without quotes."""
    members = [member for part in value.split(b",") if (member := part.strip(b" \t"))]
    if (preference := _PREFERENCES.get(name)) is not None:
        return b",".join(sorted({preference(part) for part in members}))
    return b",".join(members)


def _insensitive(member: bytes) -> bytes:
    """Normalise a member of which case has no meaning: codings and languages."""
    return _FULL_WEIGHT.sub(b"", _SPACE.sub(b"", member).lower())


def _media_range(member: bytes) -> bytes:
    """Normalise a media range: its type has no case, a parameter may have one (RFC 9110, 8.3.1)."""
    kind, semicolon, parameters = _SPACE.sub(b"", member).partition(b";")
    return _FULL_WEIGHT.sub(b"", kind.lower() + semicolon + parameters)


_PREFERENCES: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"accept": _media_range,
    b"accept-charset": _insensitive,
    b"accept-encoding": _insensitive,
    b"accept-language": _insensitive,
}
