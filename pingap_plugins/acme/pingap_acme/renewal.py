"""When a certificate is ordered or renewed, and when a failed order is tried again. No IO."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from pingap_acme.names import names_in

DAY: Final = 86400.0
LIFE_LEFT: Final = 1 / 3
"""Share of its life after which a certificate is renewed, unless its authority or ``buffer_days`` says more."""
FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE: Final = 6 * 3600.0
"""Between two orders that fail. With the first pauses of 1, 3, 9 and 27 minutes there are at most four failures in
an hour; Let's Encrypt allows five."""
_JITTER: Final = 0.1


@dataclass(frozen=True, slots=True)
class Current:
    """What is known of the certificate that is served; the times are Unix times."""

    names: tuple[str, ...]
    not_before: float
    not_after: float

    @classmethod
    def of(cls, chain: bytes) -> Current | None:
        """Read the first certificate of a chain; None if that is no certificate."""
        try:
            leaf = x509.load_pem_x509_certificate(chain)
        except ValueError:
            return None
        return cls(
            names_in(leaf),
            leaf.not_valid_before_utc.timestamp(),
            leaf.not_valid_after_utc.timestamp(),
        )

    def __str__(self) -> str:
        end = datetime.fromtimestamp(self.not_after, UTC)
        return f"{', '.join(self.names)} until {end:%Y-%m-%d %H:%M} UTC"


def renewal_time(current: Current, buffer_days: float, suggested: float | None) -> float:
    """Return the Unix time from which a certificate should be renewed.

    :param buffer_days: of the table; 0 for the usual share of the life.
    :param suggested: by the authority (RFC 9773), which knows of revocations and of its own load; it is
        believed unless it comes after ``buffer_days``, or so late that a failure would leave no time.
    """
    life = current.not_after - current.not_before
    usual = current.not_after - (buffer_days * DAY if buffer_days else life * LIFE_LEFT)
    if suggested is None:
        return usual
    latest = usual if buffer_days else current.not_after - life * LIFE_LEFT / 2
    return min(suggested, latest)


def reason_to_order(
    current: Current | None,
    domains: Sequence[str],
    now: float,
    *,
    buffer_days: float = 0.0,
    suggested: float | None = None,
) -> str:
    """Return why a certificate has to be ordered now; an empty text if it need not."""
    if current is None:
        return "there is no certificate yet"
    if current.names != tuple(domains):
        return f"the certificate is for {', '.join(current.names) or 'no names'}"
    if now >= renewal_time(current, buffer_days, suggested):
        return (
            "the certificate expires soon"
            if now < current.not_after
            else "the certificate has expired"
        )
    return ""


def pause_after(failures: int, retry_after: float = 0.0) -> float:
    """Return the seconds to wait after the last of some failures in a row.

    :param retry_after: seconds that the authority asked for.
    """
    pause: float = min(FIRST_PAUSE * 3.0 ** (min(failures, 10) - 1), LONGEST_PAUSE)
    return max(pause * random.uniform(1 - _JITTER, 1 + _JITTER), retry_after)  # noqa: S311  # no secret
