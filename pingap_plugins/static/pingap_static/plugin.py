"""Answers with the files of a directory. No upstream is used."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

from pingap import (
    HTTPError,
    Plugin,
    Request,
    RequestContext,
    Response,
    accepted_encodings,
    field,
    hookimpl,
)
from pingap_static.files import Found, Representation
from pingap_static.folders import Folders
from pingap_static.hot import HotFiles, is_current
from pingap_static.lookup import Folder, Lookup
from pingap_static.media_types import MediaTypes
from pingap_static.opening import LeavesRoot
from pingap_static.paths import OutsideOfRoot, names_of, stripped
from pingap_static.sending import FAILURE, answer, error_page
from pingap_static.settings import LEAST_CHUNK, DirectorySettings

log = logging.getLogger("pingap")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS: Final = 8
"""Threads of an instance that look for files and read them."""
LISTERS: Final = 2
"""Directories of an instance that are listed at the same time; other requests wait."""
_METHODS: Final = ("GET", "HEAD")
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.ELOOP)
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV, errno.EINVAL)  # fmt: skip


class Directory(Plugin):
    """Answers with the files of a directory."""

    category = "directory"
    steps = ("request", "proxy_upstream")
    Settings = DirectorySettings

    def __init__(self, settings: DirectorySettings) -> None:
        self._settings = settings
        self._prefix = settings.strip_prefix
        entries = settings.headers
        constants = [entry.constant for entry in entries if entry.constant is not None]
        self._variable = [entry for entry in entries if entry.constant is None]
        self._lookup = Lookup(
            root=_root(settings.path),
            index=tuple(os.fsencode(name) for name in settings.indexes),
            autoindex=settings.autoindex,
            follow=settings.follow_symlinks,
            dot_files=settings.dot_files,
            precompressed=settings.precompressed,
            types=MediaTypes(settings.mime_types, settings.charset or ""),
            download=settings.download,
            fields=tuple(constants),
            cache_control=field("Cache-Control", _cache_control(settings)),
            page_cache_control=field("Cache-Control", "private, no-cache"),
        )
        self._fallback = settings.fallback and names_of(settings.fallback)
        self._error_pages = {
            int(status): names_of(page) for status, page in settings.error_pages.items()
        }
        self._limit = max(LEAST_CHUNK, settings.chunk_size)
        self._check_pages()
        self._folders = Folders(self._lookup)
        self._hot = HotFiles(settings.cache_size, self._limit)
        self._limiter: CapacityLimiter | None = None
        self._listers: CapacityLimiter | None = None

    def _check_pages(self) -> None:
        """Check that the files that are sent for others exist.

        :raises ValueError: one cannot be sent.
        """
        pages = {"fallback": self._settings.fallback, **self._settings.error_pages}
        for key, page in pages.items():
            if page is None:
                continue
            try:
                self._lookup.represent(names_of(page), self._limit)
            except OSError as error:
                shown = key if key == "fallback" else f"error_pages.{key}"
                reason = error.strerror or "it is no file"
                raise ValueError(f'{shown}: "{page}" cannot be sent: {reason}') from None

    def advice(self) -> Iterable[tuple[str, str, str]]:
        """Return settings that probably are mistakes, for ``pingap lint``."""
        settings = self._settings
        if not settings.path:
            yield "path", "it is not set: the working directory is served", "name the directory"
        elif not settings.path.startswith(("/", "~")):
            what = (
                "it is relative to the working directory, so it depends on where pingap is started"
            )
            yield "path", what, "write an absolute path"
        elif self._lookup.root == "/":
            yield "path", "every file of the machine is served", "name a directory"
        if settings.private and settings.max_age is None:
            yield "private", "it has no effect without max_age", "set max_age, or remove it"
        if settings.dot_files and (Path(self._lookup.root) / ".git").exists():
            yield "dot_files", "the directory .git is served", "remove dot_files"

    @hookimpl
    def request(
        self, request: Request, ctx: RequestContext
    ) -> Response | Awaitable[Response | None] | None:
        """Answer with a file: at once, if it is small and was asked for lately."""
        if request.method in _METHODS:
            found = self._hot.find(request.path)
            if found is not None and not found.remote:
                chosen = _chosen(request, found)
                if _is_fresh(found, chosen):
                    try:
                        return self._finished(request, ctx, answer(request, chosen))
                    except HTTPError as error:
                        return self._error(request, ctx, error)
        return self._look_up(request, ctx)

    async def _look_up(self, request: Request, ctx: RequestContext) -> Response:
        """Find a file in a thread."""
        try:
            found = await self._found(request)
            if isinstance(found, Folder):
                return await self._listed(request, ctx, found)
            self._hot.keep(request.path, found)
            return self._finished(request, ctx, answer(request, _chosen(request, found)))
        except HTTPError as error:
            return await self._error(request, ctx, error)
        except (OSError, ValueError) as error:
            return await self._failure(request, ctx, error)

    async def _found(self, request: Request) -> Found | Folder:
        if request.method not in _METHODS:
            allowed = {"Allow": ", ".join(_METHODS)}
            raise HTTPError(405, "Only GET and HEAD are possible here", headers=allowed)
        path = stripped(request.path, self._prefix)
        if path is None:
            raise FileNotFoundError
        return await self._in_thread(self._lookup.find, path, self._hot.size_limit(request.path))

    async def _listed(self, request: Request, ctx: RequestContext, folder: Folder) -> Response:
        """Answer a request for a directory. Few are listed at once, because large ones take long."""
        if self._listers is None:
            self._listers = CapacityLimiter(LISTERS)
        async with self._listers:
            return await self._in_thread(self._folders.answer, request, ctx, folder)

    async def _in_thread(self, call: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function that waits for the file system."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(THREADS)
        return await to_thread.run_sync(
            call, *arguments, limiter=self._limiter, abandon_on_cancel=True
        )

    async def _failure(self, request: Request, ctx: RequestContext, error: Exception) -> Response:
        """Answer instead of a file that cannot be found or opened."""
        status, message = _explained(request, error)
        if status == 404 and self._fallback and _wants_page(request):
            try:
                found = await self._in_thread(self._lookup.represent, self._fallback, self._limit)
                return self._finished(request, ctx, answer(request, _chosen(request, found)))
            except HTTPError as refused:
                return await self._error(request, ctx, refused)
            except OSError as lost:
                log.warning("plugin %s: the fallback cannot be read: %s", self.category, lost)
        if status == 500:
            log.warning("directory: %s cannot be read: %s", request.path, error)
        return await self._error(request, ctx, HTTPError(status, message))

    async def _error(self, request: Request, ctx: RequestContext, error: HTTPError) -> Response:
        """Answer with the page of an error, if there is one.

        :raises HTTPError: there is none.
        """
        names = self._error_pages.get(error.status)
        if names is None:
            raise error
        try:
            found = await self._in_thread(self._lookup.represent, names, self._limit)
        except OSError as lost:
            log.warning("directory: the page for %d cannot be read: %s", error.status, lost)
            raise error from None
        return self._finished(request, ctx, error_page(_chosen(request, found), error))

    def _finished(self, request: Request, ctx: RequestContext, response: Response) -> Response:
        """Add the headers that depend on the request."""
        if self._variable:
            for entry in self._variable:
                response.headers.discard(entry.key)
            for entry in self._variable:
                entry.add(response.headers, request, ctx)
        return response


def _root(path: str) -> str:
    """Return the absolute path of the directory.

    :raises ValueError: it is missing, or not a directory that can be read.
    """
    shown = os.path.abspath(os.path.expanduser(path or "."))  # noqa: PTH100, PTH111  (as the shell does)
    try:
        with os.scandir(shown):
            return shown
    except OSError as error:
        raise ValueError(
            f'path: the directory "{shown}" cannot be read: {error.strerror}'
        ) from None
    except ValueError:
        raise ValueError(f"path: {path!r:.100} is not the path of a directory") from None


def _cache_control(settings: DirectorySettings) -> str:
    if not settings.max_age:
        return "private, no-cache"
    return f"{'private' if settings.private else 'public'}, max-age={int(settings.max_age)}"


def _chosen(request: Request, found: Found) -> Representation:
    """Return the file in the coding that the client wants most."""
    if not found.codings:
        return found.plain
    best = accepted_encodings(request.header("accept-encoding")).best(found.codings)
    return found.codings.get(best, found.plain)


def _is_fresh(found: Found, chosen: Representation) -> bool:
    """Return whether a file did not change, and neither did the one that it was compressed from."""
    return is_current(chosen.path, chosen.identity) and (
        chosen is found.plain or is_current(found.plain.path, found.plain.identity)
    )


def _wants_page(request: Request) -> bool:
    """Return whether a path that does not exist may be one of a single-page app.

    A script or an image that is missing must not be answered with a page.
    """
    last = request.path.rpartition("/")[2]
    return "." not in last or "text/html" in (request.header("accept") or "").lower()


def _explained(request: Request, error: Exception) -> tuple[int, str]:
    """Return the status and the message for a file that cannot be found or opened."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, LeavesRoot | OutsideOfRoot) or number in _FORBIDDEN:
        shown = request.path
        return 403, f"You do not have permission to access this resource, file: {shown}"
    if isinstance(error, ValueError | FileNotFoundError) or number in _MISSING:
        return 404, "Not Found"
    return 500, FAILURE
