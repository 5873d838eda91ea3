"""The settings of ``directory``."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from pingap import ByteSize, Duration, HeaderEntry, PluginSettings, field
from pingap_static.paths import NoSuchPath, OutsideOfRoot, names_of

LEAST_CHUNK: Final = 4096
"""Bytes; smaller values of ``chunk_size`` mean this."""
MOST_CHUNK: Final = 16 * 1024 * 1024
STATUSES: Final = (400, 403, 404, 405, 412, 416, 500)
"""The errors that the plugin answers with."""

_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+([ \t]*;.*)?", re.ASCII)
_CHARSET: Final = re.compile(r"[\w!#$%&'+^.`{}~-]+", re.ASCII)
_STATUS: Final = re.compile(r"[0-9]{3}")


def _check_chunk(size: int) -> int:
    if size > MOST_CHUNK:
        raise ValueError(
            f"found {size} bytes, expected at most {MOST_CHUNK}: so much is read at once"
        )
    return size


def _check_charset(text: str) -> str:
    if not _CHARSET.fullmatch(text):
        raise ValueError(f'found "{text}", expected the name of a charset, such as "utf-8"')
    return text


def _check_index(text: str) -> str:
    if "/" in text or text in (".", "..") or "\0" in text:
        raise ValueError(f'found "{text}", expected the name of a file, without a directory')
    return text


def _check_prefix(text: str) -> str:
    if not text.startswith("/") or "?" in text:
        raise ValueError(f'found "{text}", expected the beginning of a path, such as "/static"')
    return text.rstrip("/")


def _check_file(text: str) -> str:
    try:
        names = names_of(text)
    except (NoSuchPath, OutsideOfRoot):
        names = ()
    if not text.startswith("/") or text.endswith("/") or not names:
        raise ValueError(
            f'found "{text}", expected a file below path that begins with "/", such as "/index.html"'
        )
    return text


def _check_type(text: str) -> str:
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f'found "{text}", expected a media type, such as "text/plain"')
    field("Content-Type", text)
    return text


def _check_extension(text: str) -> str:
    if "/" in text or not text.removeprefix("."):
        raise ValueError(f'found "{text}", expected an extension, such as "md"')
    return text


def _check_status(text: str) -> str:
    if not _STATUS.fullmatch(text) or int(text) not in STATUSES:
        known = ", ".join(map(str, STATUSES))
        raise ValueError(f'found "{text}", expected one of {known}')
    return text


Name = Annotated[str, AfterValidator(_check_index)]
"""The name of a file."""
Page = Annotated[str, AfterValidator(_check_file)]
"""The path of a file below the root."""


class DirectorySettings(PluginSettings):
    """Settings of ``directory``."""

    path: str = ""
    """The directory; ``~`` is the home directory. As in pingap 0.13.9, a relative path is relative to the working
    directory, which is also the default, and not to the configuration: prefer an absolute one."""
    index: list[Name] | Name = "index.html"
    """The file that stands for a directory. Of an array, the first one that exists; ``[]`` for none."""
    autoindex: bool = False
    """Show what a directory contains, if it has no index: as HTML, or as JSON for clients that prefer it
    (``Accept``)."""
    chunk_size: Annotated[ByteSize, AfterValidator(_check_chunk)] = 65536
    """Files up to this size are read at once; larger ones are sent in pieces. At least 4096, at most
    16 MiB."""
    cache_size: ByteSize = 16 * 1024 * 1024
    """Memory for files that are in demand, in each worker, up to a sixteenth of it for one file; 0 keeps
    none."""
    max_age: Duration | None = None
    """How long clients may use a file without asking again (``Cache-Control: public, max-age``). HTML is
    revalidated each time. Without it, everything is."""
    private: bool = False
    """With ``max_age``: only browsers may keep files, not shared caches."""
    charset: Annotated[str, AfterValidator(_check_charset)] | None = None
    """The charset of all ``text/*`` files."""
    mime_types: dict[
        Annotated[str, AfterValidator(_check_extension)],
        Annotated[str, AfterValidator(_check_type)],
    ] = Field(default_factory=dict)
    """Types by extension, which take precedence over those of the system: ``{ md = "text/plain" }``."""
    download: bool = False
    """Let browsers save files under their names (``Content-Disposition: attachment``)."""
    headers: list[HeaderEntry] = Field(default_factory=list)
    """Headers of all files, as ``Name: value``. They replace those of the plugin with the same name. A
    value may be a ``$variable``."""
    follow_symlinks: bool = True
    """Follow symbolic links out of the directory. ``false``: 403 for what lies outside."""
    dot_files: bool = False
    """Serve and list names that begin with a dot. ``/.well-known`` is always served."""
    precompressed: bool = True
    """Send ``app.js.br``, ``app.js.zst`` or ``app.js.gz`` in place of ``app.js`` to clients that accept it,
    unless it is older."""
    strip_prefix: Annotated[str, AfterValidator(_check_prefix)] = ""
    """The part of the path that is not a directory: with ``/static``, ``/static/a.css`` is the file
    ``a.css``. Paths without it do not exist."""
    fallback: Page | None = None
    """The file that is sent with status 200 in place of those that do not exist, for single-page
    apps. A path with an extension, such as ``/app.js``, is still answered with 404, unless the client
    asks for HTML."""
    error_pages: dict[Annotated[str, AfterValidator(_check_status)], Page] = Field(
        default_factory=dict
    )
    """Files that are sent for errors, by status: ``{ 404 = "/404.html" }``."""

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of index files."""
        names = [self.index] if isinstance(self.index, str) else self.index
        return tuple(name for name in names if name)
