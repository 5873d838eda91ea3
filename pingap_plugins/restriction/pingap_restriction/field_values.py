"""Header fields as an upstream may read them. Nothing here does IO."""

from __future__ import annotations

from pingap import Headers


def values_of(headers: Headers, key: bytes) -> list[str]:
    """Return the value of each line of a field.

    :param key: its name in lower case.
    """
    return [_text(value) for value in headers.find_all(key)]


def _text(value: bytes) -> str:
    """Return a value as text: UTF-8, as in the configuration, or what HTTP once used (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def values_like(headers: Headers, key: bytes) -> list[str]:
    """Return the value of each line of a field, and of names that differ from it in ``_`` and ``-`` only.

    Many applications (CGI, WSGI) cannot tell them apart.

    :param key: its name in lower case, with ``-``.
    """
    if b"_" not in b"".join(headers.keys):
        return values_of(headers, key)
    return [
        _text(line[len(key) + 2 :])
        for known, line in zip(headers.keys, headers.lines, strict=True)
        if known.replace(b"_", b"-") == key
    ]


def members(values: list[str]) -> list[str]:
    """Return the members of a list that is separated by commas, on any number of lines."""
    return [stripped for value in values for one in value.split(",") if (stripped := one.strip())]
