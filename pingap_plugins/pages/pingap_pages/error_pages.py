"""The plugin behind the keys ``error_pages`` and ``intercept_errors`` of locations and servers."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Mapping
from typing import Final

from pingap import (
    BackgroundTasks,
    ConfigTable,
    HTTPError,
    Plugin,
    Request,
    RequestContext,
    Response,
    Worker,
    hookimpl,
    is_grpc,
)
from pingap_pages.fetched import FetchedPage
from pingap_pages.files import FilePage
from pingap_pages.rules import ErrorPageSettings, PageSettings, page_for, statuses_of

_GATEWAY_ERRORS: Final = (502, 503, 504)
_KEPT: Final = (b"allow", b"proxy-authenticate", b"retry-after", b"www-authenticate")
"""Fields without which a client does not know what to do about the status."""
_GRPC_WEB: Final = "application/grpc-web"


class ErrorPages(Plugin):
    """Sends pages of the site for errors, by status."""

    category = "error_pages"
    contract = "1.1"
    Settings = ErrorPageSettings

    def __init__(self, settings: ErrorPageSettings, table: ConfigTable) -> None:
        self._settings = settings
        self._table = table
        self._pages: dict[str, tuple[FilePage | FetchedPage, int | None]] = {}
        for key, page in settings.error_pages.items():
            made = _made(key, page)
            for status in statuses_of(key):
                self._pages[status] = made, page.status

    def active_phases(self) -> Collection[str]:
        """Look at responses only if they are to be replaced."""
        return ("error_page", "response") if self._settings.intercept_errors else ("error_page",)

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        """Watch the files."""
        for page in {id(page): page for page, _ in self._pages.values()}.values():
            if isinstance(page, FilePage):
                page.watch(tasks)
            else:
                page.worker = worker

    @hookimpl
    def error_page(
        self, request: Request, error: HTTPError, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Send the page for an error, if there is one. gRPC clients get a status that they understand."""
        found = page_for(error.status, self._pages)
        if found is None or _is_call(request):
            return None
        page, status = found
        return page.response(request, error, ctx, status or error.status)

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Replace a response whose status has a page.

        :raises HTTPError: it has one.
        """
        status = response.status
        if status < 400 or ctx.error is not None or page_for(status, self._pages) is None:
            return
        if _is_call(request) or status > 599:
            return
        error = HTTPError(status)
        error.fields = [one for one in response.headers.fields if one[0] in _KEPT]
        raise error

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Return pages that probably are mistakes, for ``pingap lint``."""
        own = self._table.values.get("upstream")
        for key, page in self._settings.error_pages.items():
            parts = statuses_of(key)
            fails = "5xx" in parts or any(str(status) in parts for status in _GATEWAY_ERRORS)
            if page.upstream is not None and page.upstream == own and fails:
                what = f"the page for {key} comes from the upstream that fails"
                yield "error_pages", what, "use a file, or another upstream"
            if page.status == 200 and any(part.startswith("5") for part in parts):
                what = f"errors of {key} look like successes to caches and monitoring"
                yield "error_pages", what, "remove status"

    @classmethod
    @hookimpl
    def pingap_location_keys(cls) -> Mapping[str, type[Plugin]]:
        """Return the keys."""
        return dict.fromkeys(cls.Settings.model_fields, cls)

    @classmethod
    @hookimpl
    def pingap_server_keys(cls) -> Mapping[str, type[Plugin]]:
        """Return the keys."""
        return dict.fromkeys(cls.Settings.model_fields, cls)


def _made(key: str, page: PageSettings) -> FilePage | FetchedPage:
    """Build a page.

    :raises ValueError: a file is not fit for it.
    """
    if page.upstream is not None:
        return FetchedPage(page.upstream, page.path, page.timeout, page.max_size)
    try:
        return FilePage(page.file, page.template, page.json_template)
    except ValueError as error:
        raise ValueError(f"error_pages.{key}: {error}") from None


def _is_call(request: Request) -> bool:
    """Return whether the client is a program that reads no page: gRPC, gRPC-Web, WebSocket."""
    content_type = (request.header("content-type") or "").lower()
    return is_grpc(request) or content_type.startswith(_GRPC_WEB) or request.upgrade != ""
