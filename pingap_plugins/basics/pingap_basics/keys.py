"""Types of settings that several plugins have: plain text whose form is checked."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from pingap import field

_PATH = re.compile(r'/[!"$->@-~]*')


def _check_path(text: str) -> str:
    # It is compared with requests as they are on the wire: other text could never match.
    if not _PATH.fullmatch(text):
        raise ValueError(
            f'found "{text}", expected a path: it begins with "/", has no query, and other '
            "characters than ASCII are percent-encoded"
        )
    return text


def _check_name(text: str) -> str:
    field(text, "")
    return text


ExactPath = Annotated[str, AfterValidator(_check_path)]
"""A path that is compared with the whole path of a request, as it is on the wire."""

HeaderName = Annotated[str, AfterValidator(_check_name)]
"""The name of a header."""
