"""What an operator may say about a cache: the keys of its table, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from pingap_content.media_types import check_type
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from pingap import ByteSize, Duration, Networks, PluginSettings, Regex
from pingap_cache.stores.location import parse_location

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NAMESPACE: Final = re.compile(r"[!-~]{1,128}")
_LOOK_AROUND: Final = re.compile(r"\(\?<?[=!]")
DEFAULT_TIMEOUT: Final = 30.0
"""Seconds that an async phase may take, unless the key ``timeout`` says otherwise."""
MARGIN: Final = 2.0
"""Seconds of these for everything but waiting."""
_DURATION: Final[TypeAdapter[float]] = TypeAdapter(Duration)
_LINEAR: Final[TypeAdapter[Any]] = TypeAdapter(Regex)


def _read_skip(value: object) -> Callable[[str], object]:
    """Return what finds an expression in a text; one with look-around is Python's."""
    if not (isinstance(value, str) and _LOOK_AROUND.search(value)):
        try:
            return _LINEAR.validate_python(value).search  # type: ignore[no-any-return]
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    try:
        return re.compile(value).search
    except re.error as error:
        raise ValueError(
            f"an expression with look-around that Python cannot read: {error}"
        ) from None


def _check_directory(text: str) -> str:
    parse_location(text)
    return text


def _check_header(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r:.60} is not the name of a header")
    return name


def _check_namespace(text: str) -> str:
    if text and not _NAMESPACE.fullmatch(text):
        raise ValueError("a namespace has up to 128 visible ASCII characters, without spaces")
    return text


def _read_eviction(value: object) -> object:
    if value is False:
        raise ValueError(
            "the memory of a cache always has a limit, beyond which entries are evicted; leave the key out"
        )
    return value


class CacheSettings(PluginSettings):
    """Settings of ``cache``."""

    directory: Annotated[str, AfterValidator(_check_directory)] = ""
    """Where responses are kept: empty or ``memory://`` for memory only, a path for memory in front of
    a disk. Parameters are written as in a URL: ``/var/cache/pingap?max_size=10GiB``."""
    namespace: Annotated[str, AfterValidator(_check_namespace)] = ""
    """Part of every key, so that caches that share a directory can be purged separately."""
    headers: Annotated[
        tuple[Annotated[str, AfterValidator(_check_header)], ...], Field(strict=False)
    ] = ()
    """Request headers whose values are part of the key, whatever ``Vary`` says."""
    max_ttl: Duration | None = None
    """The longest time for which a response counts as fresh, whatever it says."""
    stale_while_revalidate: Duration = 0.0
    """How long past its lifetime a response is served while it is refreshed, unless it says so itself
    (RFC 5861)."""
    stale_if_error: Duration = 0.0
    """How long past its lifetime a response is served if the origin fails, unless it says so itself."""
    max_file_size: ByteSize = 1_000_000
    """Bytes of the largest body that is stored; 0 for no limit."""
    lock: Duration = 1.0
    """How long a request waits for another one that fetches the same; ``0s``: not at all."""
    eviction: Annotated[bool, BeforeValidator(_read_eviction)] = True
    """Memory is always limited, so this can only be true."""
    predictor: bool = True
    """Remember what could not be stored lately, so that requests for it do not wait for each other."""
    check_cache_control: bool = False
    """Store nothing without ``Cache-Control``: no ``Expires`` alone, no heuristic."""
    content_types: Annotated[
        tuple[Annotated[str, AfterValidator(check_type)], ...], Field(strict=False)
    ] = ()
    """Media types of the responses that are stored, such as `text/html` and `image/*`; all unless set. (A key that
    pingap does not have.)"""
    purge_ip_list: Networks = ()
    """Addresses and networks that may send PURGE; nobody unless set."""
    skip: Annotated[
        Callable[[str], object] | None,
        PlainValidator(_read_skip),
        WithJsonSchema({"type": "string", "description": "A regular expression."}),
    ] = None
    """Requests whose path and query this expression matches bypass the cache."""
    query_sort: bool = False
    """Ignore the order of query parameters."""
    query_ignore: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)
    ] = ()
    """Query parameters that are no part of the key; ``*`` stands for any characters: ``utm_*``."""


def matcher(patterns: Sequence[str]) -> Callable[[str], object] | None:
    """Return what matches the name of a parameter, or None if there are no patterns."""
    if not patterns:
        return None
    parts = [".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns]
    return re.compile("|".join(parts), re.DOTALL).fullmatch


def check_lock(lock: float, table: Mapping[str, object]) -> None:
    """Check that waiting for others ends before pingap ends the phase in which they wait.

    :param table: the table of the plugin, with the keys of pingap itself.
    :raises ValueError: it does not.
    """
    given = table.get("timeout")
    timeout = DEFAULT_TIMEOUT if given is None else _DURATION.validate_python(given)
    if timeout and lock > timeout - MARGIN:
        raise ValueError(
            f"lock = {lock:g}s is too long: it has to be {MARGIN:g} s shorter than timeout, "
            f"which is {timeout:g}s"
        )
