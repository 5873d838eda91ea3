"""The settings and the responses that all restrictions share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from pingap import Counter, FilePath, Plugin, PluginSettings, Response

DROP: Final = 444
"""The status that stands for no response at all, as in nginx."""
_PAGE_LIMIT: Final = 1024 * 1024
_PAGE_TYPES: Final = {
    ".htm": "text/html; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}


def _in_lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


ListType = Annotated[Literal["allow", "deny"], BeforeValidator(_in_lower_case)]
"""What a list means, in any case: requests that are in it are the only ones allowed, or are refused."""


class RefusalSettings(PluginSettings):
    """The keys about the response to a refused request."""

    message: str = "Request is forbidden"
    """The body of the response."""
    status: Annotated[int, Field(ge=400, le=599)] = 403
    """The status of the response. 444: none is sent, and the connection is closed (HTTP/2: the stream is
    reset). (A key that pingap does not have.)"""
    page: FilePath | None = None
    """A file that is the body in place of ``message``: ``.html``, ``.json`` or ``.txt``. (A key that pingap
    does not have.)"""


class Restriction(Plugin):
    """Base of the plugins that refuse requests."""

    contract = "1.1"
    guard = True

    def __init__(self, settings: RefusalSettings) -> None:
        self._response = _make_response(settings)
        self.refused = Counter("pingap_restriction_refused", "Requests that were refused")

    def refuse(self) -> Response:
        """Count a refused request, and return the response."""
        self.refused.inc()
        return self._response.copy()


def _make_response(settings: RefusalSettings) -> Response:
    given = settings.model_fields_set
    if settings.status == DROP:
        if unused := given & {"message", "page"}:
            raise ValueError(f"{unused.pop()} is never sent: status = {DROP} sends no response")
        return Response.drop()
    if settings.page is None:
        return Response.text(settings.status, settings.message)
    if "message" in given:
        raise ValueError("message and page are both the body of the response: set one of them")
    content_type = _PAGE_TYPES.get(settings.page.suffix.lower())
    if content_type is None:
        raise ValueError(f"page: {settings.page.name} is not one of {', '.join(_PAGE_TYPES)}")
    return Response(settings.status, _read_page(settings.page), {"Content-Type": content_type})


def _read_page(path: Path) -> bytes:
    with path.open("rb") as file:
        page = file.read(_PAGE_LIMIT + 1)
    if len(page) > _PAGE_LIMIT:
        raise ValueError(f"page: {path.name} is larger than {_PAGE_LIMIT} bytes")
    return page
