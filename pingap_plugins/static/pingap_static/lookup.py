"""Finding what a path leads to. Everything here waits for the file system, so it runs in threads."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pingap import Field, Headers, format_http_date
from pingap_static.disposition import attachment
from pingap_static.files import Found, OpenFile, Representation, identity_of, read_small
from pingap_static.media_types import MediaTypes
from pingap_static.mounts import is_remote
from pingap_static.opening import open_below
from pingap_static.paths import Names, is_hidden, names_of

CODINGS: Final = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
"""Codings of files that lie beside others, in the order of preference, and how their names end."""

_VARY: Final[Field] = (b"vary", b"Vary: Accept-Encoding")
_RANGES: Final[Field] = (b"accept-ranges", b"Accept-Ranges: bytes")


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory without an index.

    :param file: the directory, open; None if the path of the request lacks its slash.
    """

    names: Names
    file: OpenFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """How files are found, and with which headers they are sent.

    :param root: the directory.
    :param index: names of the files that stand for a directory, the first that exists.
    :param autoindex: whether a directory without one is a ``Folder``; otherwise it does not exist.
    :param fields: headers of all files.
    :param cache_control: that of all files but pages, which are revalidated each time.
    """

    root: str
    index: tuple[bytes, ...]
    autoindex: bool
    follow: bool
    dot_files: bool
    precompressed: bool
    types: MediaTypes
    download: bool
    fields: tuple[Field, ...]
    cache_control: Field
    page_cache_control: Field

    def find(self, path: str, limit: int) -> Found | Folder:
        """Return what the path of a request leads to.

        :param path: without the prefix that is stripped; empty if nothing else was left.
        :param limit: bytes of the largest file that is read at once.
        :raises ValueError: it can lead nowhere.
        :raises OSError: it leads nowhere.
        """
        names = names_of(path)
        if is_hidden(names) and not self.dot_files:
            raise FileNotFoundError
        if path.endswith("/"):
            return self._folder(names, limit)
        file = self.open(names)
        if stat.S_ISDIR(file.stat().st_mode):
            return Folder(names)
        return self.represent(names, limit, file)

    def open(self, names: Names) -> OpenFile:
        """Open a file or directory.

        :raises OSError: it cannot be opened.
        """
        return OpenFile(open_below(self.root, names, follow=self.follow))

    def represent(self, names: Names, limit: int, file: OpenFile | None = None) -> Found:
        """Return a file, with those beside it.

        :raises OSError: it is no file, or cannot be read.
        """
        opened = self.open(names) if file is None else file
        plain = self._representation(names, opened, limit)
        codings = dict(self._coded(names, plain, limit)) if self.precompressed else {}
        if codings:
            plain.headers.append(_VARY)
        return Found(plain, codings, is_remote(plain.identity[0]))

    def _folder(self, names: Names, limit: int) -> Found | Folder:
        for index in self.index:
            try:
                return self.represent((*names, index), limit)
            except FileNotFoundError:
                continue
        if not self.autoindex:
            raise FileNotFoundError
        file = self.open(names)
        if not stat.S_ISDIR(file.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return Folder(names, file)

    def _coded(
        self, names: Names, plain: Representation, limit: int
    ) -> Iterator[tuple[str, Representation]]:
        """Find the files beside a file that are the same in another coding.

        One that is older than the file was made of its previous content.
        """
        for coding, suffix in CODINGS.items():
            try:
                file = self.open((*names[:-1], names[-1] + suffix))
                coded = self._representation(names, file, limit, coding)
            except OSError:
                continue
            if coded.identity[3] // 10**9 >= plain.identity[3] // 10**9:
                coded.headers.append(_VARY)
                yield coding, coded

    def _representation(
        self, names: Names, file: OpenFile, limit: int, coding: str = ""
    ) -> Representation:
        found, content = read_small(file.descriptor, limit)
        name = names[-1] if names else b""
        etag = b'"%x-%x%b"' % (found.st_size, found.st_mtime_ns, f"-{coding}".encode() if coding else b"")  # fmt: skip
        modified = int(found.st_mtime)
        headers = self._headers(name, coding)
        headers.append((b"etag", b"ETag: " + etag))
        if modified > time.time():
            modified = -1  # RFC 9110, 8.8.2.1: no date in the future
        else:
            headers.append((b"last-modified", b"Last-Modified: " + format_http_date(modified)))
        path = os.path.join(os.fsencode(self.root), *names)  # noqa: PTH118  (bytes)
        return Representation(
            path=path + CODINGS.get(coding, b""),
            identity=identity_of(found),
            headers=headers,
            etag=etag,
            modified=modified if modified >= 0 else None,
            size=found.st_size,
            content=content,
            file=file if content is None else None,
        )

    def _headers(self, name: bytes, coding: str) -> Headers:
        kind = self.types.of(name)
        is_page = kind.startswith("text/html")
        headers = Headers({"Content-Type": kind})
        headers.append(self.page_cache_control if is_page else self.cache_control)
        headers.append(_RANGES)
        if coding:
            headers.set("Content-Encoding", coding)
        if self.download:
            headers.set("Content-Disposition", attachment(name))
        for key in {key for key, _ in self.fields}:
            headers.discard(key)
        for prepared in self.fields:
            headers.append(prepared)
        return headers
