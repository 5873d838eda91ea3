"""Redirect locations: no text from a client can add a header field, or lead to a foreign site."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from pingap.http.headers import Field, field

STATUSES: Final = (301, 302, 303, 307, 308)
"""Statuses whose ``Location`` clients follow (RFC 9110, 15.4)."""

_STAYS: Final = ":/?#[]@!$&'()*+,;=%"
"""Characters of URLs that are not escaped, in addition to letters, digits and ``-._~`` (RFC 3986, 2.2)."""
# No user info: in "https://shop.example@evil.example/" the host is the last one.
_ABSOLUTE: Final = re.compile(
    r"https?://(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:[/?#].*)?", re.IGNORECASE
)


def location_field(location: str, *, external: bool) -> Field:
    r"""Return the ``Location`` field, with every character escaped that is invalid in a URL.

    That includes backslashes, tabs and line breaks: browsers treat the first as slashes and drop the others,
    so that ``/\t/evil.example`` would lead to another host (WHATWG URL, 4.4).

    :param location: a path, or a URL of ``http`` or ``https`` if it is external.
    :raises ValueError: another location, or one that is not Unicode text.
    """
    escaped = quote(location, safe=_STAYS)
    is_local = escaped.startswith("/") and not escaped.startswith("//")
    if not is_local and not (external and _ABSOLUTE.fullmatch(escaped)):
        expected = "a path or an http(s) URL" if external else "a path (or external=True)"
        raise ValueError(f"{location!r:.80} is not a location to redirect to: expected {expected}")
    return field("Location", escaped)
