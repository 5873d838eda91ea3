"""Pages that are made from files: sent as they are, or filled in."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from pingap import (
    BackgroundTasks,
    ErrorTemplate,
    Field,
    Headers,
    HTTPError,
    Request,
    RequestContext,
    Response,
    WatchedFiles,
    error_as_json,
    field,
    prefers_json,
)
from pingap_pages.rules import LARGEST_PAGE

NO_STORE: Final = field("Cache-Control", "private, no-store")
VARY: Final = field("Vary", "Accept")
_JSON: Final = "application/json; charset=utf-8"
_HTML: Final = "text/html"

T = TypeVar("T")


def read(path: Path) -> bytes:
    """Return the content of a page.

    :raises OSError: it cannot be read.
    :raises ValueError: it is too large.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_PAGE + 1)
    if len(content) > LARGEST_PAGE:
        raise ValueError(f'"{path}" has more than {LARGEST_PAGE} bytes, too many for a page')
    return content


def read_template(path: Path) -> ErrorTemplate:
    """Return the template in a file.

    :raises OSError: it cannot be read.
    :raises ValueError: it is too large, or is not UTF-8.
    """
    try:
        return ErrorTemplate(read(path).decode())
    except UnicodeDecodeError:
        raise ValueError(f'"{path}" is not UTF-8 text') from None


def media_type(path: Path, content: bytes) -> str:
    """Return the type of a page by its extension, with its charset if the content is UTF-8."""
    found = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if not found.startswith("text/"):
        return found
    try:
        content.decode()
    except UnicodeDecodeError:
        return found
    return f"{found}; charset=utf-8"


class _File:
    """A page that is sent as it is."""

    def __init__(self, path: Path) -> None:
        self._content = read(path)
        self.content_type = media_type(path, self._content)

    def fill(self, error: HTTPError, ctx: RequestContext, status: int) -> bytes:
        """Return the content."""
        return self._content


class _Template:
    """A page that is filled in."""

    def __init__(self, path: Path) -> None:
        self._template = read_template(path)
        kind = "application/json" if self._template.is_json else media_type(path, b"").split(";")[0]
        self.content_type = f"{kind}; charset=utf-8"

    def fill(self, error: HTTPError, ctx: RequestContext, status: int) -> bytes:
        """Return the text with the values of an error."""
        return self._template.fill(error, ctx, status).encode()


class FilePage:
    """A page from a file, which is read again when it changes.

    :param file: sent as it is; None for ``template``.
    :param template: filled in.
    :param json_template: for clients that prefer JSON.
    :raises ValueError: a file cannot be read, or is not fit for a page.
    """

    def __init__(
        self, file: Path | None, template: Path | None, json_template: Path | None = None
    ) -> None:
        self._files: list[WatchedFiles[_File] | WatchedFiles[_Template]] = []
        self._page: WatchedFiles[_File] | WatchedFiles[_Template]
        if file is not None:
            self._page = self._watched(lambda: _File(file), file)
        else:
            assert template is not None
            self._page = self._watched(lambda: _Template(template), template)
        self._json: WatchedFiles[_Template] | None = None
        if json_template is not None:
            self._json = self._watched(lambda: _Template(json_template), json_template)

    def _watched(self, make: Callable[[], T], path: Path) -> WatchedFiles[T]:
        watched = WatchedFiles(make, [path])
        self._files.append(watched)  # type: ignore[arg-type]  # T is one of the two
        return watched

    def watch(self, tasks: BackgroundTasks) -> None:
        """Read the files again when they change."""
        for watched in self._files:
            tasks.start_service(watched.watch)

    def response(
        self, request: Request, error: HTTPError, ctx: RequestContext, status: int
    ) -> Response:
        """Return the page.

        :param status: the status that is sent.
        """
        page = self._page.value
        varies = page.content_type.startswith(_HTML) or self._json is not None
        if not varies or not prefers_json(request.header("accept") or ""):
            body = page.fill(error, ctx, status)
            return made(status, body, page.content_type, error, ctx, varies=varies)
        if self._json is None:
            return made(status, error_as_json(error, ctx, status).encode(), _JSON, error, ctx)
        body = self._json.value.fill(error, ctx, status)
        return made(status, body, self._json.value.content_type, error, ctx)


def made(
    status: int,
    body: bytes,
    content_type: str,
    error: HTTPError,
    ctx: RequestContext,
    *,
    varies: bool = True,
) -> Response:
    """Return the response with a page; it keeps the fields of the error, such as ``Retry-After``.

    :param varies: whether the page depends on ``Accept``.
    """
    fields: list[Field] = [field("Content-Type", content_type), NO_STORE]
    if varies:
        fields.append(VARY)
    if ctx.request_id:
        fields.append(field("X-Request-Id", ctx.request_id))
    return Response(status, body, Headers([*fields, *error.fields]))
