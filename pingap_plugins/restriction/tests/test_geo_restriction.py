"""geo_restriction: countries, continents, systems, and databases that change or are wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import databases
import pytest
from databases import CHINA, COUNTRIES, GERMANY, SWITZERLAND, SYSTEMS, UNKNOWN
from pingap_restriction import geo_database
from pingap_restriction.geo_database import NOWHERE, GeoDatabase, Place

from pingap.testing import Clock, ConfigError, Proxy, Upstream, configuration_problems

Guarded = Callable[..., Proxy]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(databases.write(tmp_path / "country.mmdb", COUNTRIES))


@pytest.fixture
def systems(tmp_path: Path) -> str:
    return str(databases.write(tmp_path / "asn.mmdb", SYSTEMS))


def statuses(proxy: Proxy) -> dict[str, int]:
    clients = {"CN": CHINA, "DE": GERMANY, "CH": SWITZERLAND, "": UNKNOWN}
    return {name: proxy.get("/", client_ip=client).status for name, client in clients.items()}


@pytest.mark.parametrize(
    ("settings", "passing"),
    [
        ({"type": "allow", "country_codes": ["CN"]}, ["CN"]),
        ({"type": "allow", "country_codes": ["ch, DE"]}, ["CH", "DE"]),
        ({"type": "deny", "country_codes": ["CN  DE", "FR"]}, ["CH", ""]),
        ({"type": "reporting", "country_codes": ["CN"]}, ["CN", "DE", "CH", ""]),
        ({"type": "allow", "continent_codes": ["EU"]}, ["DE", "CH"]),
        ({"type": "deny", "continent_codes": ["AS"], "country_codes": ["DE"]}, ["CH", ""]),
        ({"type": "deny"}, ["CN", "DE", "CH", ""]),
    ],
)
def test_types(
    guarded: Guarded, database: str, settings: dict[str, object], passing: list[str]
) -> None:
    found = statuses(guarded("geo_restriction", database=database, **settings))
    assert found == {name: 200 if name in passing else 403 for name in ("CN", "DE", "CH", "")}


def test_the_message(guarded: Guarded, database: str, upstream: Upstream) -> None:
    proxy = guarded("geo_restriction", database=database, type="allow", country_codes=["DE"])
    answer = proxy.get("/", client_ip=CHINA)
    assert (answer.status, answer.text) == (403, "Access from your country is not allowed")
    assert upstream.requests == []


def test_legal_reasons(guarded: Guarded, database: str) -> None:
    proxy = guarded(
        "geo_restriction", database=database, type="deny", country_codes=["CN"], status=451
    )
    assert proxy.get("/", client_ip=CHINA).status == 451


def test_systems(guarded: Guarded, systems: str) -> None:
    proxy = guarded("geo_restriction", database=systems, type="deny", asns=[64496, 1])
    assert statuses(proxy) == {"CN": 403, "DE": 200, "CH": 200, "": 200}


def test_reporting_is_logged_rarely(proxy: Proxy, database: str, clock: Clock) -> None:
    settings = {"database": database, "type": "reporting", "country_codes": ["CN"]}
    proxy.location("/", plugins=[("geo_restriction", settings)], name="shop")
    for client in (CHINA, CHINA, GERMANY, UNKNOWN):
        assert proxy.get("/", client_ip=client).status == 200
    line = f"location shop: geo_restriction: {CHINA} is in CN, continent AS"
    assert proxy.log.count("geo_restriction: ") == proxy.log.count(line) == 1
    clock.advance(61)
    proxy.get("/", client_ip=CHINA)
    assert proxy.log.count(line) == 2


def test_values_for_logs_headers_and_metrics(
    proxy: Proxy, upstream: Upstream, database: str
) -> None:
    proxy.configure("servers.web", access_log="{:geo_country} {:geo_continent} {:geo_asn}")
    proxy.location(
        "/",
        plugins=[("geo_restriction", {"database": database, "type": "reporting"})],
        proxy_set_headers=["X-Country: $geo_country"],
    )
    for client in (GERMANY, SWITZERLAND, UNKNOWN):
        proxy.get("/", client_ip=client)
    assert proxy.access_log == ["DE EU ", "CH EU ", "  "]
    assert [one.header("x-country") for one in upstream.requests] == ["DE", "CH", None]
    metrics = proxy.metrics()
    assert metrics.value("pingap_geo_requests_total", country="DE") == 1
    assert metrics.value("pingap_geo_requests_total", country="unknown") == 1


# Databases.


def test_a_database_that_is_replaced_is_read_again(
    guarded: Guarded, database: str, tmp_path: Path
) -> None:
    proxy = guarded("geo_restriction", database=database, type="allow", country_codes=["CN"])
    assert proxy.get("/", client_ip=GERMANY).status == 403
    moved = {"198.51.100.0/24": databases.country("CN", "AS")}
    databases.write(tmp_path / "new", moved).rename(database)
    proxy.wait_for_log("was read again")
    assert proxy.get("/", client_ip=GERMANY).status == 200


def test_a_database_that_is_overwritten_in_place_does_no_harm(
    guarded: Guarded, database: str
) -> None:
    """A process that had the file mapped would be killed by SIGBUS."""
    proxy = guarded("geo_restriction", database=database, type="allow", country_codes=["CN"])
    assert statuses(proxy) == {"CN": 200, "DE": 403, "CH": 403, "": 403}
    os.truncate(database, 0)
    assert statuses(proxy) == {"CN": 200, "DE": 403, "CH": 403, "": 403}
    proxy.wait_for_log("previous content stays in use")
    proxy.expect_error("country.mmdb is not a database in MaxMind's format")
    databases.write(Path(database), {"198.51.100.0/24": databases.country("CN", "AS")})
    proxy.wait_for_log("was read again")
    assert statuses(proxy) == {"CN": 403, "DE": 200, "CH": 403, "": 403}


def test_no_copy_is_left(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    found = GeoDatabase(Path(database))
    assert list(copies.iterdir()) == []
    assert found.find(CHINA) == Place("CN", "AS", 0)


def test_a_database_without_what_is_needed(database: str, systems: str) -> None:
    """Otherwise everything would be unknown, and ``deny`` would let everybody pass."""
    for file, keys, told in (
        (systems, 'country_codes = ["CN"]', "asn.mmdb does not contain what country_codes needs"),
        (systems, 'continent_codes = ["AS"]', "what continent_codes needs"),
        (database, "asns = [64496]", "country.mmdb does not contain what asns needs"),
    ):
        [problem] = problems(f'type = "deny"\ndatabase = "{file}"\n{keys}')
        assert told in problem


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_what_is_no_database(tmp_path: Path, size: int) -> None:
    file = tmp_path / "other.mmdb"
    file.write_bytes(b"\xab\xcd\xefMaxMind.com" * (size // 14))
    [problem] = problems(f'type = "deny"\ndatabase = "{file}"\ncountry_codes = ["CN"]')
    assert "other.mmdb is not a database in MaxMind's format" in problem


def test_a_database_that_is_cut_off_is_an_error(database: str, tmp_path: Path) -> None:
    good = Path(database).read_bytes()
    file = tmp_path / "cut.mmdb"
    for length in range(0, len(good) - 100, 23):
        file.write_bytes(good[:length])
        with pytest.raises(ValueError, match="not a database in MaxMind's format"):
            GeoDatabase(file)


def test_ipv6_clients_are_unknown_to_a_database_of_ipv4(tmp_path: Path) -> None:
    records = {"192.0.2.0/24": databases.country("CN", "AS")}
    found = GeoDatabase(databases.write(tmp_path / "four.mmdb", records, version=4))
    assert found.find(CHINA).country == "CN"
    assert found.find(SWITZERLAND) == NOWHERE


@pytest.mark.parametrize("address", ["", "x", "1.2.3", "fe80::1%eth0", "192.0.2.7\0"])
def test_what_is_in_no_country(database: str, address: str) -> None:
    assert GeoDatabase(Path(database)).find(address) == NOWHERE


def test_records_of_other_shapes(tmp_path: Path) -> None:
    records: Mapping[str, object] = {
        "192.0.2.0/32": {"country": "CN", "continent": {"code": 1}},
        "192.0.2.1/32": {"country": {"names": {}}, "autonomous_system_number": "64496"},
        "192.0.2.2/32": {"traits": []},
        "192.0.2.3/32": databases.country("DE", "EU"),
    }
    found = GeoDatabase(databases.write(tmp_path / "odd.mmdb", dict(records)))
    assert [found.find(f"192.0.2.{last}") for last in range(3)] == [NOWHERE] * 3


def test_the_database_of_the_system_is_the_default(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a configuration of pingap 0.13.9, which has one built in, needs no change."""
    keys = 'type = "deny"\ncountry_codes = ["CN"]'
    monkeypatch.setattr(geo_database, "DEFAULT_PLACES", (tmp_path / "none" / "x.mmdb",))
    [problem] = problems(keys)
    assert f"database is missing, and there is none in {tmp_path}/none" in problem
    places = (tmp_path / "none" / "x.mmdb", Path(database))
    monkeypatch.setattr(geo_database, "DEFAULT_PLACES", places)
    assert problems(keys) == []


def test_a_client_is_found_quickly(database: str) -> None:
    found = GeoDatabase(Path(database))
    addresses = [f"192.0.2.{n}" for n in range(250)]

    def seconds() -> float:
        began = time.process_time()
        for address in addresses:
            found.find(address)
        return (time.process_time() - began) / len(addresses)

    assert min(seconds() for _ in range(50)) < 10e-6


# Attacks.


def test_without_trusted_proxies_nobody_can_claim_a_country(
    start_proxy: Callable[..., Proxy], database: str
) -> None:
    proxy = start_proxy(f"""
[plugins.p]
category = "geo_restriction"
type = "allow"
country_codes = ["CN"]
database = "{database}"
[plugins.page]
category = "mock"
[locations.l]
plugins = ["p", "page"]
[servers.s]
addr = "127.0.0.1:0"
locations = ["l"]
""")
    for name in ("X-Forwarded-For", "X-Real-IP", "CF-IPCountry", "X-Geo-Country", "Forwarded"):
        value = f"for={CHINA}" if name == "Forwarded" else CHINA
        assert proxy.get("/", headers={name: value}).status == 403
        assert proxy.get("/", headers={name: "CN"}).status == 403


@pytest.mark.parametrize(
    "written", [CHINA, f"::ffff:{CHINA}", f"{CHINA}:80", f"{GERMANY}, {CHINA}"]
)
def test_a_denied_country_is_recognised_in_every_form(
    guarded: Guarded, database: str, written: str
) -> None:
    proxy = guarded("geo_restriction", database=database, type="deny", country_codes=["CN"])
    assert proxy.get("/", client_ip=written).status == 403


def test_a_client_without_an_address_is_in_no_country(
    start_proxy: Callable[..., Proxy], database: str, tmp_path: Path
) -> None:
    for kind, status in (("allow", 403), ("deny", 200)):
        proxy = start_proxy(f"""
[plugins.p]
category = "geo_restriction"
type = "{kind}"
country_codes = ["CN"]
database = "{database}"
[locations.l]
plugins = ["p", "pingap:ping"]
[servers.s]
addr = "unix:{tmp_path / kind}"
locations = ["l"]
""")
        with proxy.connect() as client:
            assert client.get("/ping", headers={"Host": "h"}).status == status


# The configuration.


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "geo_restriction"\n{keys}\n')


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('country_codes = ["CN"]', "type"),
        ('type = "Allow"\ncountry_codes = ["CN"]', "type"),
        ('type = "allow"', "with empty lists refuses every request"),
        ('type = "deny"\ncountry_codes = ["CN", "CHN"]', 'country_codes[1]: "CHN" is not a code'),
        ('type = "deny"\ncountry_codes = ["C1"]', '"C1" is not a code'),
        ('type = "deny"\ncountry_codes = ["ß"]', '"ß" is not a code'),  # SS in capital letters
        ('type = "deny"\ncountry_codes = [""]', '"" is not a code'),
        ('type = "deny"\ncountry_codes = "CN"', "country_codes"),
        ('type = "deny"\nasns = ["64496"]', "asns[0]"),
        ('type = "deny"\nasns = [0]', "asns[0]"),
        ('type = "deny"\nfail_open = true', "fail_open"),
    ],
)
def test_mistakes(database: str, keys: str, told: str) -> None:
    found = problems(f'database = "{database}"\n{keys}')
    assert any(told in one for one in found), found


def test_a_missing_database_is_an_error(start_proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.mmdb\" cannot be read: No such file"):
        start_proxy(
            f'[plugins.p]\ncategory = "geo_restriction"\ntype = "deny"\n'
            f'database = "{tmp_path}/none.mmdb"\n'
        )
