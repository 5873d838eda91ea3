"""Character sets of bodies, and which of them can be searched. Nothing here does IO."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

_CHARSET: Final = re.compile(r""";\s*charset\s*=\s*["']?([^"'\s;,]+)""", re.IGNORECASE)
_AS_BROWSERS: Final = {"iso8859-1": "cp1252", "ascii": "cp1252"}
"""Encoding Standard of WHATWG: pages that name these contain Windows-1252."""
_DOUBLE: Final = frozenset(
    (
        "big5",
        "big5hkscs",
        "cp932",
        "cp949",
        "cp950",
        "euc_jp",
        "euc_kr",
        "gb18030",
        "gb2312",
        "gbk",
        "shift_jis",
    )
)
"""Character sets of one to four bytes in which ASCII is itself."""
_LEAST: Final = 160
"""More bytes than this are characters in every national character set; in UTF-8 alone are only 128."""
ESCAPE: Final = "surrogateescape"


class CharsetError(Exception):
    """A body cannot be searched because of its character set."""


@lru_cache(maxsize=64)
def find_codec(name: str) -> str:
    """Return the name of Python's codec for a character set.

    :raises CharsetError: it is unknown, or ASCII is not itself in it.
    """
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise CharsetError(f"unknown character set {name[:40]!r}") from None
    found = _AS_BROWSERS.get(found, found)
    if found != "utf-8" and found not in _DOUBLE and not is_single(found):
        raise CharsetError(f"character set {name[:40]!r}")
    return found


@lru_cache(maxsize=64)
def is_single(codec: str) -> bool:
    """Return whether a codec has one byte for each character, and ASCII for ASCII."""
    try:
        every = [bytes([byte]).decode(codec, ESCAPE) for byte in range(256)]
    except (LookupError, ValueError):  # no text encoding, or stateful
        return False
    defined = sum(len(one) == 1 and not "\ud800" <= one <= "\udfff" for one in every)
    ascii_is_itself = "".join(every[:128]).encode() == bytes(range(128))
    return ascii_is_itself and defined > _LEAST


def takes_expressions(codec: str) -> bool:
    """Return whether every body is the same after it was decoded and encoded again."""
    return codec not in _DOUBLE


def charset_of(content_type: str | None, default: str) -> str:
    """Return the name of the character set that a media type has, or a default."""
    match = _CHARSET.search(content_type or "")
    return match[1] if match else default


def writable(text: str, codec: str, *, markup: bool) -> str:
    """Return a replacement in characters of a character set; in markup, others are written as ``&#8364;``.

    :raises CharsetError: outside of markup, there are others.
    """
    try:
        return text.encode(codec, "xmlcharrefreplace" if markup else "strict").decode(codec)
    except UnicodeEncodeError:
        raise CharsetError(f"{codec} lacks characters of a replacement") from None
