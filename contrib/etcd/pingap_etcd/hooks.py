"""The hook with which pingap finds the storage."""

from __future__ import annotations

from collections.abc import Mapping

from pingap import StorageFactory, hookimpl
from pingap_etcd.location import parse_location
from pingap_etcd.storage import EtcdStorage


def open_storage(location: str) -> EtcdStorage:
    """Return the storage of a location; nothing is connected yet.

    :raises ValueError: the location is invalid; the message contains no password.
    """
    return EtcdStorage(parse_location(location))


@hookimpl
def pingap_storages() -> Mapping[str, StorageFactory]:
    """Name the storage."""
    return {"etcd": open_storage}
