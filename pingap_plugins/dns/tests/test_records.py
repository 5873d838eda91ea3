"""What answers lead to, without asking anybody."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from pingap_dns.records import MOST_SERVICES, Answer, Question, Records, Service

from pingap import Endpoint

BOTH = ("A", "AAAA")


def addresses(*found: str, ttl: float = 60) -> Answer:
    return Answer(addresses=found, ttl=ttl)


def records(last: dict[Question, Answer] | None = None) -> Records:
    return Records(last or {}, BOTH)


def found_of(one: Records, name: str = "app") -> list[str]:
    return [str(endpoint) for endpoint in one.of_name(Endpoint((name, 80), 2))]


def test_both_families_with_port_and_weight_of_the_entry() -> None:
    one = records()
    one.answered = {
        Question("app", "A"): addresses("10.0.0.1"),
        Question("app", "AAAA"): addresses("fd00::1", ttl=9),
    }
    assert list(one.of_name(Endpoint(("app", 80), 2, name="app:80"))) == [
        Endpoint(("10.0.0.1", 80), 2, name="app:80"),
        Endpoint(("fd00::1", 80), 2, name="app:80"),
    ]
    assert (one.ttl, list(one.failures)) == (9, [])


def test_a_family_that_fails_keeps_its_last_addresses_and_is_no_failure_of_the_name() -> None:
    one = records(
        {Question("app", "AAAA"): addresses("fd00::1"), Question("app", "A"): addresses("10.0.0.9")}
    )
    one.answered = {Question("app", "A"): addresses("10.0.0.1")}
    one.failed = {Question("app", "AAAA"): "no answer"}
    assert found_of(one) == ["10.0.0.1:80", "[fd00::1]:80"]
    assert list(one.failures) == []


def test_a_family_without_addresses_any_more_is_dropped() -> None:
    one = records({Question("app", "AAAA"): addresses("fd00::1")})
    one.answered = {Question("app", "A"): addresses("10.0.0.1"), Question("app", "AAAA"): Answer()}
    assert found_of(one) == ["10.0.0.1:80"]
    assert Question("app", "AAAA") not in one.good


def test_a_name_that_fails_keeps_its_last_addresses() -> None:
    last = {Question("app", "A"): addresses("10.0.0.1")}
    one = records(last)
    one.failed = {Question("app", "A"): "gone", Question("app", "AAAA"): "gone"}
    assert found_of(one) == ["10.0.0.1:80"]
    assert list(one.failures) == ["gone; the last answer stays in use"]
    assert one.good == last
    assert one.ttl == math.inf


def test_a_name_that_was_never_found_and_one_without_addresses() -> None:
    one = records()
    one.failed = {Question("app", kind): "gone" for kind in BOTH}
    one.answered = {Question("bare", kind): Answer() for kind in BOTH}
    assert found_of(one) + found_of(one, "bare") == []
    assert list(one.failures) == ["gone", '"bare" has no address']


def test_addresses_to_which_nobody_listens_are_left_out() -> None:
    one = records()
    one.answered = {Question("app", "A"): addresses("0.0.0.0", "224.0.0.1", "10.0.0.1")}
    assert found_of(one) == ["10.0.0.1:80"]
    one.answered = {Question("app", "A"): addresses("0.0.0.0")}
    assert found_of(one) == []
    assert list(one.failures) == ['the addresses of "app" cannot be those of a backend']


def service(*found: tuple[int, int, int, str]) -> Records:
    one = records()
    one.answered = {
        Question("_a._tcp.b", "SRV"): Answer(
            services=tuple(Service(*each) for each in sorted(found))
        )
    }
    for _, _, _, target in found:
        one.answered[Question(target, "A")] = addresses(f"10.0.0.{len(target)}")
    return one


def test_the_lowest_priority_gets_requests_and_the_others_are_backups() -> None:
    one = service(
        (20, 0, 83, "three."), (10, 3, 81, "a."), (10, 0, 82, "bb."), (30, 9, 84, "four.")
    )
    assert [
        (str(each), each.weight, each.backup, each.name) for each in one.of_service("_a._tcp.b")
    ] == [
        ("10.0.0.3:82", 1, False, "bb:82"),
        ("10.0.0.2:81", 3, False, "a:81"),
        ("10.0.0.6:83", 1, True, "three:83"),
        ("10.0.0.5:84", 9, True, "four:84"),
    ]


def test_a_service_that_is_not_offered_is_a_failure() -> None:
    one = service((0, 0, 0, "."))
    assert list(one.of_service("_a._tcp.b")) == []
    assert list(one.failures) == ['"_a._tcp.b" has no SRV record']


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 65535), st.integers(1, 65535)),
        min_size=1,
        max_size=300,
    )
)
def test_weights_stay_small_and_in_their_order(found: list[tuple[int, int, int]]) -> None:
    one = service(*((priority, weight, port, "a.") for priority, weight, port in found))
    endpoints = list(one.of_service("_a._tcp.b"))
    assert len(endpoints) == min(len(found), MOST_SERVICES)
    assert all(1 <= each.weight <= 100 for each in endpoints)
    primaries = [each.weight for each in endpoints if not each.backup]
    assert primaries == sorted(primaries)
    assert primaries
