"""Paths of requests: a single spelling for all equivalent ones, so that no spelling bypasses a guard.

If paths were matched as sent, a client could choose a spelling that no location matches but that the upstream
accepts. The forwarded path is not changed here, except by ``PathRules.forwards_normalised``.

A path "as sent" is text whose characters are the bytes (Latin-1). A normalised path is Unicode text:

- escapes of visible ASCII and of UTF-8 are decoded, except ``%25``, ``%2F``, ``%3F``, ``%5C`` and ``%23``,
  which would change the meaning; the other escapes are in upper case,
- bytes that are not UTF-8 are escaped,
- repeated slashes are one, and dot segments are removed (RFC 3986, 5.2.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Final
from urllib.parse import quote, unquote_to_bytes

ENCODED_SLASH: Final = "encoded_slash"
BACKSLASH: Final = "backslash"
NUL: Final = "nul"
ALLOWABLE: Final = (ENCODED_SLASH, BACKSLASH, NUL)
"""Path elements that are rejected unless allowed, since backends interpret them differently."""

is_odd: Final = re.compile(r"[%/\\\x80-\xff](?:(?<!/)|[./;])").search
"""Finds elements of a path as sent that may need normalisation; None: it can be matched unchanged."""

# An escape that is kept: of white space, control characters, ``%``, ``#``, ``/``, ``?``, ``\``.
_STAYS: Final = re.compile(r"%(?=[01][0-9A-Fa-f]|2[035Ff]|3[Ff]|5[Cc]|7[Ff])")
_INVALID: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_NOT_UTF8: Final = re.compile(r"[\udc80-\udcff]")
# Overlong encodings of ASCII, which lenient decoders accept: ``%C0%AF`` for a slash.
_OVERLONG: Final = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]")
_DOTS_WITH_PARAMETER: Final = re.compile(r"(/\.\.?);[^/]*")
_ONLY_PARAMETER: Final = re.compile(r"/;[^/]*(?=/)")
_SLASHES: Final = re.compile("/{2,}")
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_SIGNS: Final = {
    ENCODED_SLASH: re.compile("%2F"),
    BACKSLASH: re.compile(r"\\|%5C"),
    NUL: re.compile("%00"),
}
_NAMES: Final = {ENCODED_SLASH: "an encoded slash", BACKSLASH: "a backslash", NUL: "a NUL"}


class InvalidPath(ValueError):
    """An invalid path; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The interpretation of a path.

    :param path: the path that is matched.
    :param others: other paths that a backend may read it as, if that is allowed.
    :param danger: why no backend may get it, because it could be read as another path; or empty.
    """

    path: str
    others: tuple[str, ...] = ()
    danger: str = ""


@dataclass(frozen=True, slots=True)
class PathRules:
    """How the paths of a server's requests are read.

    :param raw: as sent, without any change or rejection, as in pingap 0.13.9.
    :param allowed: the elements of ``ALLOWABLE`` that a path may contain.
    :param forwards_normalised: the upstream gets the normalised path instead of the one sent.
    """

    raw: bool = False
    allowed: frozenset[str] = frozenset()
    forwards_normalised: bool = False

    def read(self, path: str) -> Reading:
        """Return the interpretation of a path.

        :param path: as sent, beginning with ``/``.
        :raises InvalidPath: it is rejected for every location.
        """
        if self.raw:
            return Reading(path.encode("latin-1").decode("utf-8", "replace"))
        text = decoded(path)
        found = tuple(kind for kind in ALLOWABLE if _SIGNS[kind].search(text))
        if NUL in found and NUL not in self.allowed:
            raise InvalidPath("the path has a NUL")
        dangers = [f"the path has {_NAMES[kind]}" for kind in found if kind not in self.allowed]
        # The reading in which it is a separator comes first: most backends do that, and guards expect it.
        first, *others = dict.fromkeys(
            _read_as(text, dict(zip(found, choice, strict=True)), dangers)
            for choice in product((True, False), repeat=len(found))
        )
        if dangers:
            return Reading(first, (), dangers[0])
        return Reading(first, tuple(others))


NORMALISED: Final = PathRules()


def decoded(path: str) -> str:
    """Return a path with its escapes normalised; dots and slashes are unchanged.

    :raises InvalidPath: an escape is invalid, or encodes ASCII in an overlong form.
    """
    if _INVALID.search(path):
        raise InvalidPath("the path has an invalid escape")
    data = unquote_to_bytes(_STAYS.sub("%25", path).encode("latin-1"))
    if _OVERLONG.search(data):
        raise InvalidPath("the path has an overlong UTF-8 sequence")
    text = data.decode("utf-8", "surrogateescape")
    text = _NOT_UTF8.sub(lambda byte: f"%{ord(byte[0]) & 0xFF:02X}", text)
    return _ESCAPE.sub(lambda escape: escape[0].upper(), text) if "%" in text else text


def as_matched(text: str) -> str:
    """Return the path of a location, as written in TOML, in the form that is compared with normalised paths.

    Dot segments are kept, since a prefix may end in the middle of a segment.
    """
    sent = as_sent(text).replace(" ", "%20")
    try:
        return _SLASHES.sub("/", decoded(sent))
    except InvalidPath:
        return text  # no request has such a path


def as_sent(text: str, encoding: str = "utf-8") -> str:
    """Return a path or query with its characters beyond ASCII escaped, so that it can be sent."""
    return _BEYOND_ASCII.sub(lambda part: quote(part[0], encoding=encoding), text)


def _read_as(text: str, separates: dict[str, bool], dangers: list[str]) -> str:
    """Return a path as a backend reads it for which some characters separate or end it."""
    if separates.get(ENCODED_SLASH):
        text = text.replace("%2F", "/")
    if separates.get(BACKSLASH):
        text = _SIGNS[BACKSLASH].sub("/", text)
    if separates.get(NUL):
        text = text.partition("%00")[0]
    return _clean(text, dangers)


def _clean(text: str, dangers: list[str]) -> str:
    """Merge slashes and remove dot segments (RFC 3986, 5.2.4).

    Added to the dangers: ``..`` after an empty segment, because the segment it removes depends on whether
    slashes are merged before; and dot segments with a parameter, or segments that are only a parameter, which
    some backends drop before they remove segments.
    """
    if _DOTS_WITH_PARAMETER.search(text):
        dangers.append("the path has a dot segment with a parameter")
        text = _DOTS_WITH_PARAMETER.sub(r"\1", text)
    if _ONLY_PARAMETER.search(text):
        dangers.append("the path has a segment that is only a parameter")
        text = _ONLY_PARAMETER.sub("/", text)
    merged = _SLASHES.sub("/", text)
    cleaned = _without_dots(merged)
    if merged != text and _SLASHES.sub("/", _without_dots(text)) != cleaned:
        dangers.append("the path has a dot segment after an empty one")
    return cleaned


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
