"""Which page belongs to which status: the settings of ``error_pages``. Nothing here does IO."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pingap import ByteSize, Duration, FilePath, PluginSettings, UpstreamName

LARGEST_PAGE: Final = 1024 * 1024
"""Maximum size of a page in bytes."""
LONGEST_WAIT: Final = 10.0
"""Maximum ``timeout`` in seconds."""

_SEPARATOR: Final = re.compile(r"[ ,]+")
_STATUS: Final = re.compile(r"[45](?:[0-9]{2}|xx)")
_TARGET: Final = re.compile(r"/[!\"$->@-~]*(?:\?[!-~]*)?")
_SOURCES: Final = ("file", "template", "upstream")

PageT = TypeVar("PageT")


def _check_statuses(text: str) -> str:
    for part in _SEPARATOR.split(text.strip()):
        if not _STATUS.fullmatch(part):
            expected = '"404", "5xx", or several: "502 503 504"'
            raise ValueError(f'found "{part}", expected statuses from 400 to 599: {expected}')
    return text


def _check_status(status: int) -> int:
    if status != 200 and not 400 <= status <= 599:
        raise ValueError(f"found {status}, expected 200, or 400 to 599")
    return status


def _check_path(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError(
            f'found "{text}", expected a path: it begins with "/", and other characters than ASCII '
            "are percent-encoded"
        )
    return text


def _check_timeout(seconds: float) -> float:
    if not 0 < seconds <= LONGEST_WAIT:
        raise ValueError(f"found {seconds:g}s, expected more than 0 and at most {LONGEST_WAIT:g}s")
    return seconds


def _check_size(size: int) -> int:
    if not 0 < size <= LARGEST_PAGE:
        raise ValueError(f"found {size} bytes, expected at least 1 and at most {LARGEST_PAGE}")
    return size


class PageSettings(PluginSettings):
    """A page: a file, a template, or what an upstream answers."""

    file: FilePath | None = None
    """A file that is sent as it is."""
    template: FilePath | None = None
    """A file with the placeholders of ``basic.error_template``."""
    json_template: FilePath | None = None
    """A template for clients that prefer JSON (``Accept``). Without it, they get JSON as pingap sends it, unless
    the page is no HTML."""
    upstream: UpstreamName | None = None
    """The upstream that has the page."""
    path: Annotated[str, AfterValidator(_check_path)] = ""
    """The path of the page at the upstream, with or without query."""
    timeout: Annotated[Duration, AfterValidator(_check_timeout)] = 2.0
    """How long the upstream may take, until the end of the page."""
    max_size: Annotated[ByteSize, AfterValidator(_check_size)] = LARGEST_PAGE
    """Maximum size of the page of the upstream."""
    status: Annotated[int, AfterValidator(_check_status)] | None = None
    """The status that clients get; that of the error unless set."""

    @model_validator(mode="after")
    def _has_one_source(self) -> PageSettings:
        found = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(found) != 1:
            raise ValueError(
                f"found {' and '.join(found) or 'none'}, expected one of file, template and upstream"
            )
        if self.upstream is not None and not self.path:
            raise ValueError("path is missing: the page of the upstream")
        alone = {"path", "timeout", "max_size"} & self.model_fields_set
        if self.upstream is None and alone:
            raise ValueError(f"{min(alone)} has no effect without upstream")
        if self.upstream is not None and self.json_template is not None:
            raise ValueError("json_template has no effect with upstream, which gets Accept")
        return self


def _written_out(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


class _OrText:
    """Lets the JSON Schema of a page be text, too."""

    def __get_pydantic_json_schema__(
        self, schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "format": "pingap-file"}, handler(schema)]}


PageRules = dict[
    Annotated[str, AfterValidator(_check_statuses)],
    Annotated[PageSettings, BeforeValidator(_written_out), _OrText()],
]
"""Statuses -> their page; text stands for a file."""


class ErrorPageSettings(PluginSettings):
    """The keys of locations and servers."""

    error_pages: PageRules = Field(default_factory=dict)
    """Pages by status: ``404``, ``5xx``, or several (``"502 503 504"``). A page is a file, or a table with
    ``file``, ``template``, or ``upstream`` and ``path``."""
    intercept_errors: bool = False
    """Also replace responses of upstreams and plugins that have one of these statuses, as
    ``proxy_intercept_errors`` of nginx does. Otherwise, only errors of pingap itself get the pages."""

    @field_validator("error_pages")
    @classmethod
    def _check_twice(cls, pages: PageRules) -> PageRules:
        parts = [part for key in pages for part in statuses_of(key)]
        if twice := sorted({part for part in parts if parts.count(part) > 1}):
            raise ValueError(f"{twice[0]} has two pages")
        return pages

    @field_validator("intercept_errors")
    @classmethod
    def _check_effect(cls, intercepts: bool, info: ValidationInfo) -> bool:
        if intercepts and not info.data.get("error_pages", True):
            raise ValueError("has no effect without error_pages")
        return intercepts


def statuses_of(key: str) -> list[str]:
    """Return the statuses and classes that a key names."""
    return _SEPARATOR.split(key.strip())


def page_for(status: int, pages: Mapping[str, PageT]) -> PageT | None:
    """Return the page of a status, or of its class.

    :param pages: by status or class, such as ``404`` and ``5xx``.
    """
    return pages.get(str(status)) or pages.get(f"{status // 100}xx")
