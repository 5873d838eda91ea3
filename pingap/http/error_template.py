"""Pages for errors, made from a template with placeholders. Nothing here does IO."""

from __future__ import annotations

import html
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from pingap._version import __version__
from pingap.http.errors import HTTPError

if TYPE_CHECKING:
    from pingap.http.context import RequestContext

MOST_ACCEPTED: Final = 64
"""Maximum number of members of ``Accept`` that are read, from the left."""
_PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")


class ErrorTemplate:
    """The text of a page for errors, with placeholders.

    ``{{status}}``, ``{{reason}}``, ``{{content}}`` (the message), ``{{error_type}}``, ``{{request_id}}`` and
    ``{{version}}`` are replaced. A text that begins with ``{`` is JSON, and values are escaped as in a JSON
    string; all others are HTML.

    .. versionadded:: 1.1
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.is_json = re.match(r"\s*\{(?!\{)", text) is not None
        """Whether the page is JSON; otherwise, it is HTML."""

    def fill(self, error: HTTPError, ctx: RequestContext, status: int | None = None) -> str:
        """Return the page for an error.

        :param status: the status that is sent; None for that of the error.
        """
        values = _values(error, ctx, status)

        def value(match: re.Match[str]) -> str:
            text = values.get(match[1])
            if text is None:
                return match[0]
            return json.dumps(text)[1:-1] if self.is_json else html.escape(text)

        return _PLACEHOLDER.sub(value, self._text)


def error_as_json(error: HTTPError, ctx: RequestContext, status: int | None = None) -> str:
    """Return an error as JSON, as pingap sends it to clients that prefer JSON.

    :param status: the status that is sent; None for that of the error.

    .. versionadded:: 1.1
    """
    values = _values(error, ctx, status)
    body: dict[str, object] = {
        "status": int(values["status"]),
        "error": values["reason"],
        "message": values["content"],
    }
    if values["request_id"]:
        body["request_id"] = values["request_id"]
    return json.dumps(body)


def prefers_json(accept: str) -> bool:
    """Return whether ``Accept`` gives JSON a higher weight than HTML, or the same and lists it first.

    .. versionadded:: 1.1
    """
    weights: dict[str, float] = {}
    for part in accept.lower().split(",", MOST_ACCEPTED)[:MOST_ACCEPTED]:
        media, *parameters = [piece.strip() for piece in part.split(";")]
        kind = "html" if media in ("text/html", "text/*") else "json" if "json" in media else media
        weights.setdefault(kind, _weight(parameters))
    json_weight, html_weight = (
        weights.get("json", 0.0),
        weights.get("html", weights.get("*/*", 0.0)),
    )
    if json_weight != html_weight:
        return json_weight > html_weight
    return json_weight > 0 and [*weights].index("json") < [*weights, "html"].index("html")


def _values(error: HTTPError, ctx: RequestContext, status: int | None) -> dict[str, str]:
    number = status or error.status
    return {
        "status": str(number),
        "reason": _reason(number),
        "content": error.message or _reason(error.status),
        "error_type": error.error_type,
        "request_id": ctx.request_id,
        "version": __version__,
    }


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
