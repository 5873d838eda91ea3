"""What the directory says of the certificate of a table: for ``pingap certs``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pingap import ConfigView
from pingap_acme.authorities import directory_urls
from pingap_acme.names import normalised
from pingap_acme.renewal import Current, renewal_time
from pingap_acme.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Status:
    """The certificate of one table; the times are Unix times.

    :param authority: the directory that issued it; before that, the first one that is asked.
    :param expires: None if there is no certificate.
    :param renewal: when it is renewed; None if there is no certificate.
    :param failures: orders in a row that failed.
    :param error: why the last one failed; empty if it did not.
    :param next_try: when the next order is placed after a failure; None without one.
    :param problem: why an operator should look at it; empty if all is well.
    """

    name: str
    domains: tuple[str, ...]
    authority: str
    expires: float | None
    renewal: float | None
    failures: int
    error: str
    next_try: float | None
    problem: str


def shelf_of(claimed: dict[str, Any]) -> Shelf:
    """Return the directory that a table uses."""
    place = str(claimed.get("acme_storage") or "")
    return Shelf(Path(place)) if place else Shelf.usual()


def statuses(config: ConfigView, now: float) -> Iterator[Status]:
    """Yield the state of all tables with ``acme``.

    :param now: Unix time.
    :raises OSError: a directory cannot be read.
    :raises ValueError: ``domains`` or ``acme`` of a table is wrong.
    """
    for name, table in config.certificates.items():
        if table.claimed.get("acme"):
            yield _status(name, table, now)


def _status(name: str, table: Any, now: float) -> Status:
    shelf = shelf_of(table.claimed)
    names = normalised(table.domains.split(","))
    state, pair = shelf.state(name, names), shelf.pair(name)
    current = Current.of(pair.chain) if pair is not None else None
    days = float(table.buffer_days or 0)
    return Status(
        name=name,
        domains=names,
        authority=state.authority or directory_urls(table.claimed["acme"])[0],
        expires=current.not_after if current is not None else None,
        renewal=renewal_time(current, days, state.suggested) if current is not None else None,
        failures=state.failures,
        error=state.error,
        next_try=state.next_try if state.failures else None,
        problem=_problem(current, names, state.failures, now),
    )


def _problem(current: Current | None, names: tuple[str, ...], failures: int, now: float) -> str:
    if current is None:
        return "missing"
    if now >= current.not_after:
        return "expired"
    if failures:
        return "renewal fails"
    return "other names" if current.names != names else ""
