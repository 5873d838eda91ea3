"""Errors of configuration storages."""

from __future__ import annotations


class StorageError(Exception):
    """A storage cannot be read or written; the message gives the reason, without secrets.

    .. versionadded:: 1.1
    """


class StorageConflict(StorageError):
    """The configuration has been changed since it was read: nothing was written.

    .. versionadded:: 1.1
    """
