"""Databases in the format of MaxMind, which tell where an address is used."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final, NamedTuple

import maxminddb

DEFAULT_PLACES: Final = tuple(
    Path(directory) / f"{name}.mmdb"
    for directory in ("/var/lib/GeoIP", "/usr/share/GeoIP", "/usr/local/share/GeoIP")
    for name in ("GeoLite2-Country", "GeoIP2-Country", "GeoLite2-City", "GeoIP2-City")
)
"""Where ``geoipupdate`` and packages of distributions put databases."""
_SAMPLE: Final = 1000
"""Records that are read to find out what a database contains."""


class Place(NamedTuple):
    """What is known about an address; empty, or 0, if it is not known.

    :param country: two letters (ISO 3166-1).
    :param continent: two letters.
    :param asn: number of the autonomous system.
    """

    country: str
    continent: str
    asn: int


NOWHERE: Final = Place("", "", 0)


class GeoDatabase:
    """A database file.

    The file is copied, because one that is overwritten in place, instead of being replaced, would crash a
    process that has it mapped. The copy has no name, and disappears with this object.

    :param path: a file in MaxMind's format.
    :raises ValueError: it is not.
    :raises OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        with NamedTemporaryFile(prefix="pingap-geo-") as copy:
            with path.open("rb") as original:
                shutil.copyfileobj(original, copy, 1024 * 1024)
            copy.flush()
            try:
                self._reader = maxminddb.open_database(copy.name)
                places = [_place(record) for _, record in islice(self._reader, _SAMPLE)]
            except (maxminddb.InvalidDatabaseError, ValueError):
                raise ValueError(f"{path.name} is not a database in MaxMind's format") from None
        self._known = Place(*(max(values) for values in zip(NOWHERE, *places, strict=True)))

    def require(self, key: str, part: str) -> None:
        """Check that the database contains something.

        :param key: the setting that needs it, for the message.
        :param part: a field of :class:`Place`.
        :raises ValueError: it does not.
        """
        if not getattr(self._known, part):
            raise ValueError(
                f"{self._name} does not contain what {key} needs: another database does"
            )

    def find(self, address: str) -> Place:
        """Return what is known about an address.

        :raises maxminddb.InvalidDatabaseError: the record is damaged.
        """
        try:
            record = self._reader.get(address.partition("%")[0])
        except (ValueError, TypeError):  # no address, or one of IPv6 in a database without them
            return NOWHERE
        return _place(record)


def _place(record: object) -> Place:
    if not isinstance(record, dict):
        return NOWHERE
    traits = record.get("traits")
    number = record.get("autonomous_system_number")
    if number is None and isinstance(traits, dict):
        number = traits.get("autonomous_system_number")
    return Place(
        _text(record.get("country"), "iso_code"),
        _text(record.get("continent"), "code"),
        number if isinstance(number, int) else 0,
    )


def _text(part: object, key: str) -> str:
    value = part.get(key) if isinstance(part, dict) else None
    return value if isinstance(value, str) else ""


def default_database() -> Path:
    """Return the database that the system has.

    :raises ValueError: it has none.
    """
    for place in DEFAULT_PLACES:
        if place.is_file():
            return place
    directories = ", ".join(sorted({str(place.parent) for place in DEFAULT_PLACES}))
    raise ValueError(f"database is missing, and there is none in {directories}")
