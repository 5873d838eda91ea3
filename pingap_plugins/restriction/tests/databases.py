"""Small databases in MaxMind's format, with the records of the usual ones."""

from __future__ import annotations

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

CHINA, GERMANY, UNKNOWN = "192.0.2.7", "198.51.100.7", "203.0.113.7"
SWITZERLAND = "2001:db8:1::7"


def country(code: str, continent: str) -> dict[str, object]:
    """Return a record as in GeoLite2-Country and in the databases of DB-IP."""
    return {
        "continent": {"code": continent, "names": {"en": continent}},
        "country": {"iso_code": code, "names": {"en": code}},
        "registered_country": {"iso_code": "US"},
    }


COUNTRIES: dict[str, object] = {
    "192.0.2.0/24": country("CN", "AS"),
    "198.51.100.0/24": country("DE", "EU"),
    "2001:db8:1::/48": country("CH", "EU"),
    # An anycast address: it is known who has it, and not where it is.
    "203.0.113.0/25": {"registered_country": {"iso_code": "US"}},
}
SYSTEMS: dict[str, object] = {
    "192.0.2.0/24": {
        "autonomous_system_number": 64496,
        "autonomous_system_organization": "Example",
    },
    "198.51.100.0/24": {"traits": {"autonomous_system_number": 64497}},
}


def write(path: Path, records: dict[str, object], *, version: int = 6) -> Path:
    """Write a database."""
    writer = MMDBWriter(
        version, ipv4_compatible=version == 6, database_type="Test", languages=["en"]
    )
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return path
