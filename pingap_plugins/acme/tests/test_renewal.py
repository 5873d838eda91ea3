"""When a certificate is ordered: a table of cases, without IO."""

from __future__ import annotations

import pytest
from pingap_acme.renewal import DAY, Current, pause_after, reason_to_order, renewal_time
from support.certificates import issue

NAMES = ("a.example.com", "b.example.com")
NINETY = Current(NAMES, 0.0, 90 * DAY)
SIX = Current(NAMES, 0.0, 6 * DAY)


@pytest.mark.parametrize(
    ("current", "buffer_days", "suggested", "day"),
    [
        (NINETY, 0, None, 60),
        (SIX, 0, None, 4),
        (NINETY, 10, None, 80),
        (NINETY, 0, 20, 20),  # the authority revokes it
        (NINETY, 0, 70, 70),
        (NINETY, 0, 89, 75),  # too late for a second try
        (NINETY, 10, 85, 80),
        (NINETY, 10, 20, 20),
    ],
)
def test_renewal_time(
    current: Current, buffer_days: float, suggested: float | None, day: float
) -> None:
    at = suggested * DAY if suggested is not None else None
    assert renewal_time(current, buffer_days, at) == pytest.approx(day * DAY)


@pytest.mark.parametrize(
    ("current", "names", "day", "reason"),
    [
        (None, NAMES, 0, "there is no certificate yet"),
        (NINETY, NAMES, 59.9, ""),
        (NINETY, NAMES, 60.1, "the certificate expires soon"),
        (NINETY, NAMES, 91, "the certificate has expired"),
        (NINETY, NAMES[:1], 1, "the certificate is for a.example.com, b.example.com"),
        (
            NINETY,
            (*NAMES, "c.example.com"),
            1,
            "the certificate is for a.example.com, b.example.com",
        ),
    ],
)
def test_reasons(current: Current | None, names: tuple[str, ...], day: float, reason: str) -> None:
    assert reason_to_order(current, names, day * DAY) == reason


def test_pauses_grow_up_to_six_hours() -> None:
    pauses = [pause_after(failures) for failures in range(1, 8)]
    for pause, minutes in zip(pauses, (1, 3, 9, 27, 81, 243, 360), strict=True):
        assert pause == pytest.approx(minutes * 60, rel=0.1)
    assert pause_after(10**6) == pytest.approx(6 * 3600, rel=0.1)
    assert sum(pauses[:4]) > 0.9 * 40 * 60  # a fifth failure is not in the same hour
    assert pause_after(1, 7200.0) == 7200.0


def test_a_certificate_is_read() -> None:
    own = issue("B.example.com", "a.example.com")
    current = Current.of(own.cert.encode())
    assert current is not None
    assert current.names == NAMES
    assert str(current).startswith("a.example.com, b.example.com until 2")
    assert Current.of(b"") is None
    assert Current.of(own.cert.encode()[:100]) is None
