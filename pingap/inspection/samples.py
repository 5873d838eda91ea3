"""Requests that show how configurations differ: from a file, or from the hosts and paths of their locations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pingap.build.runtime import Runtime
from pingap.inspection.asked import read_request
from pingap.proxy.matching import HostKind, PathKind
from pingap.proxy.routes import Candidate
from pingap.proxy.runtime import LocationRuntime

OTHER_HOST: Final = "other-host.invalid"
"""A host that no location names."""
_BELOW: Final = "below"
"""A path segment."""


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """A request.

    :param server: that gets it; empty: the one that listens on the port of the URL.
    """

    server: str
    url: str
    method: str = "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


def read_samples(text: str) -> list[Sample]:
    """Read a file with a URL on each line, which a method may precede; ``#`` begins a comment.

    :raises ValueError: a line is wrong.
    """
    samples = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) > 2:
            raise ValueError(f"line {number}: expected a URL, or a method and a URL")
        method, url = words if len(words) == 2 else ("GET", words[0])
        try:
            read_request(method, url, ())
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        samples.append(Sample("", url, method))
    return samples


def derived_samples(*runtimes: Runtime) -> tuple[list[Sample], list[str]]:
    """Return requests for every host and path that locations name.

    :returns: the requests, and the locations for which none is known, because they match with regular expressions.
    """
    samples: set[Sample] = set()
    without: set[str] = set()
    for runtime in runtimes:
        for name, server in runtime.servers.items():
            samples.add(Sample(name, f"http://{OTHER_HOST}/"))
            for candidate in server.router.candidates:
                found = list(_samples_of(name, candidate))
                samples.update(found)
                if not found:
                    without.add(candidate.target.name)
    return sorted(samples), sorted(without)


def _samples_of(server: str, candidate: Candidate[LocationRuntime]) -> Iterator[Sample]:
    paths = list(_paths(candidate))
    for host in _hosts(candidate):
        for path in paths:
            yield Sample(server, f"http://{host}{path}")


def _hosts(candidate: Candidate[LocationRuntime]) -> Iterable[str]:
    if not candidate.host.pieces:
        yield OTHER_HOST
    for piece in candidate.host.pieces:
        if piece.kind is HostKind.EXACT:
            yield piece.text
        elif piece.kind is HostKind.WILDCARD:
            yield f"{_BELOW}.{piece.text.lstrip('.')}"


def _paths(candidate: Candidate[LocationRuntime]) -> Iterable[str]:
    kind, text = candidate.path.kind, candidate.path.text
    if kind is PathKind.ANY:
        yield "/"
    elif kind in (PathKind.EXACT, PathKind.PREFIX) and text.isprintable() and " " not in text:
        yield text
        if kind is PathKind.PREFIX:
            yield f"{text.rstrip('/')}/{_BELOW}"
