"""What is sent: every valid request has a key, and both bodies follow from it."""

from __future__ import annotations

import random
from dataclasses import dataclass

POISON = b"0\r\n\r\nGET /poison HTTP/1.1\r\nHost: poison\r\n\r\n"
"""Stands in bodies: if an origin ever gets this as a request, something was smuggled."""


def body(key: str, size: int) -> bytes:
    """Return the body that belongs to a key: some of them are full of poison."""
    if size % 3 == 0:
        return (POISON * (size // len(POISON) + 1))[:size]
    return random.Random(key).randbytes(size)


@dataclass(frozen=True)
class Ask:
    """A valid request.

    :param key: of its own; a path begins with the location and has the key behind it.
    :param location: of the configuration in ``target``.
    :param size: bytes of the request's body; None for none.
    :param answer: bytes of the answer's body.
    :param kind: ``ask``; of what will be broken, ``any``, or ``odd`` if the origin is to fail.
    """

    key: str
    location: str
    size: int | None
    answer: int
    kind: str = "ask"

    @property
    def method(self) -> str:
        """GET without a body, else POST."""
        return "GET" if self.size is None else "POST"

    @property
    def target(self) -> str:
        """The request target."""
        return f"/{self.location}/{self.kind}/{self.key}?{self.answer}"

    @property
    def body(self) -> bytes:
        """The request's body."""
        return body(self.key, self.size or 0)

    @property
    def expected(self) -> bytes:
        """The answer's body."""
        return body(f"answer to {self.key}", self.answer)


class Book:
    """What clients have sent, what origins have received, and what must not be."""

    def __init__(self) -> None:
        self.asked: dict[str, Ask] = {}
        self.wrong: list[str] = []
        self.served = 0

    def ask(self, rng: random.Random, key: str, *locations: str) -> Ask:
        """Make a valid request, and remember it."""
        size = rng.choice((None, None, 0, 1, 100, 999, 20_000, rng.randrange(200_000)))
        answer = rng.choice((0, 1, 300, 5000, 70_000, rng.randrange(300_000)))
        found = self.asked[key] = Ask(key, rng.choice(locations), size, answer)
        return found

    def received(self, method: str, target: str, data: bytes) -> bytes:
        """Check what an origin received, and return the body of the answer."""
        path, _, query = target.partition("?")
        if "poison" in path:
            self.wrong.append(f"smuggled: {method} {target}")
        _, location, kind, key = (*path.split("/", 3), "", "", "")[:4]
        if kind != "ask":
            return body(target, 500)
        ask = self.asked.get(key)
        if ask is None or (ask.method, ask.target) != (method, target):
            self.wrong.append(
                f"an origin of {location} got {method} {target}, which no client sent"
            )
        elif data != ask.body:
            self.wrong.append(f"{target}: the origin got another body ({len(data)} bytes)")
        self.served += 1
        return body(f"answer to {key}", int(query))
