"""Header fields as an upstream may read them. Nothing here does IO."""

from __future__ import annotations

from pingap import Headers


def values_of(headers: Headers, key: bytes) -> list[str]:
    """Return the value of each line of a field.

    :param key: its name in lower case.
    """
    return [value.decode("latin-1") for value in headers.find_all(key)]


def values_like(headers: Headers, key: bytes) -> list[str]:
    """Return the value of each line of a field, and of names that differ from it in ``_`` and ``-`` only.

    Many applications (CGI, WSGI) cannot tell them apart.

    :param key: its name in lower case, with ``-``.
    """
    if b"_" not in b"".join(headers.keys):
        return values_of(headers, key)
    return [
        line[len(key) + 2 :].decode("latin-1")
        for known, line in zip(headers.keys, headers.lines, strict=True)
        if known.replace(b"_", b"-") == key
    ]


def members(values: list[str]) -> list[str]:
    """Return the members of a list that is separated by commas, on any number of lines."""
    return [stripped for value in values for one in value.split(",") if (stripped := one.strip())]
