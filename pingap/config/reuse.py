"""Digests that show what a new configuration can take over from the previous one.

Objects with equal digests are built from the same content, which includes secrets.

A digest reflects the files at the time when it is computed, so it is computed *before* the object
is built, and kept with it. If a file changes in between, the next digest differs, and the object is
rebuilt; in the opposite order, an outdated object would be kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from pingap.config.file_values import (
    LOCAL_CATEGORY,
    files_of_plugin,
    pem_files,
    secret_files,
)
from pingap.config.load import Config
from pingap.config.model import Model
from pingap.config.pem_values import PEM_KEYS

_COMMENTS: Final = {"remark", "includes"}  # included keys are already in the table
_NO_VALUES: Final = {*_COMMENTS, "claimed"}  # claimed keys belong to the plugin behind them
_CONTENT_LIMIT: Final = 1024 * 1024  # larger files are compared by time and size


def upstream_digest(config: Config, name: str) -> str:
    """Return the digest of an upstream: of its table, and the certificates and keys it names.

    The pool of idle connections is not included, because all upstreams share it.
    """
    settings = config.upstreams[name]
    files = pem_files(settings, PEM_KEYS["upstreams"], config.source.directory)
    return _digest("upstream", name, _values(settings), _contents(files))


def plugin_digest(config: Config, name: str, cls: type) -> str:
    """Return the digest of a configured plugin: of its table, its class, and the files it names.

    Equal digests spare building the plugin, not checking its settings: what they refer to, such as an
    upstream, may be gone.

    :param cls: the class of its category; for ``category = "python"``, the file identifies the class.
    """
    settings = config.plugins[name]
    local = settings.category == LOCAL_CATEGORY
    code = LOCAL_CATEGORY if local else _identity(cls)
    return _digest(
        "plugin", name, code, _values(settings), _contents(files_of_plugin(config, name))
    )


def certificate_digest(config: Config, name: str) -> str:
    """Return the digest of a certificate: of its table, and the files it names."""
    settings = config.certificates[name]
    directory = config.source.directory
    files = [
        *pem_files(settings, PEM_KEYS["certificates"], directory),
        *secret_files(settings.claimed, directory),
    ]
    return _digest("certificate", name, _values(settings), _contents(files))


def source_digest(table: str, cls: type) -> str:
    """Return the digest of the plugin that provides a certificate.

    :param table: the digest of the certificate.
    """
    return _digest("source", table, _identity(cls))


def claimed_digest(config: Config, section: str, name: str, cls: type) -> str:
    """Return the digest of the plugin behind keys of a table that a distribution claims.

    It covers the whole table, which the plugin can read.

    :param name: of the table in its section; empty for ``[basic]``.
    :param cls: the class that serves the keys.
    """
    written = config.tables[section][name] if name else config.tables[section]
    values = {key: written[key] for key in written if key not in _COMMENTS}
    files = secret_files(values, config.source.directory)
    return _digest("claimed", section, name, _identity(cls), values, _contents(files))


def _identity(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _values(settings: Model) -> dict[str, Any]:
    return {
        key: getattr(settings, key) for key in type(settings).model_fields if key not in _NO_VALUES
    }


def _contents(files: Iterable[Path]) -> list[tuple[str, str]]:
    return [(str(path), _content(path)) for path in sorted(set(files))]


def _content(path: Path) -> str:
    try:
        if not path.is_file():
            return "no file"
        found = path.stat()
        if found.st_size > _CONTENT_LIMIT:
            return f"{found.st_mtime_ns} {found.st_ino} {found.st_size}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        return type(error).__name__


def _digest(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> str:
    """Return text for values that JSON does not support: secrets, dates."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return f"{type(value).__name__} {value}"
