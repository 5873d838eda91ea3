"""``Content-Disposition`` (RFC 6266). Nothing here does IO."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from pingap_static.paths import as_text

_UNSAFE: Final = re.compile(r'[^\x20-\x7e]|["\\%/]')
_ATTRIBUTE: Final = "!#$&+-.^_`|~"  # RFC 8187, 3.2.1, beside letters and digits


def attachment(name: bytes) -> str:
    """Return the value that makes browsers save a file under its name.

    Names with other characters than simple ones are sent twice: in UTF-8 (``filename*``), and in ASCII for
    clients that do not know it (RFC 6266, 4.3 and appendix D).
    """
    text = as_text(name)
    simple = _UNSAFE.sub("_", text)
    value = f'attachment; filename="{simple}"'
    if simple == text:
        return value
    return f"{value}; filename*=UTF-8''{quote(text, safe=_ATTRIBUTE)}"
