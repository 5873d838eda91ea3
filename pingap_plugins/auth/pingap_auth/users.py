"""The users of a file in the format of ``htpasswd``, and which of their passwords were checked lately."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pingap_auth.password_hashes import Check, password_check
from pingap_auth.remembered import KeyedHash, Remembered

MOST_USERS: Final = 100_000
REFUSED_SECONDS: Final = 10.0
"""How long a wrong password is remembered, so that repeating it costs nothing."""


class Users:
    """The users of one version of the file. A new version remembers nothing of the old one.

    :param checks: name -> check of the password.
    :param remember: seconds for which a right password is remembered.
    """

    def __init__(self, checks: dict[bytes, Check], remember: float) -> None:
        self._checks = checks
        self._hash = KeyedHash()
        self._right: Remembered[bool] = Remembered(remember)
        self._wrong: Remembered[bool] = Remembered(min(remember, REFUSED_SECONDS))
        # For a name that is unknown, another check takes as much time.
        self._other = next(iter(checks.values()))

    def digest(self, credentials: bytes) -> bytes:
        """Return the hash under which credentials are remembered."""
        return self._hash.of(credentials)

    def known(self, digest: bytes) -> bool | None:
        """Return whether credentials are right; None if they have to be checked."""
        if self._right.get(digest):
            return True
        return False if self._wrong.get(digest) else None

    def check(self, credentials: bytes) -> bool:
        """Check credentials. It takes long: call it in a thread."""
        name, _, password = credentials.partition(b":")
        check = self._checks.get(name)
        fits = (check or self._other)(password)
        return fits and check is not None

    def remember(self, digest: bytes, right: bool) -> None:
        """Remember the result of a check."""
        (self._right if right else self._wrong).put(digest, True)


def lines_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of ``users_file``, each with its place for messages."""
    for number, line in enumerate(text.splitlines(), 1):
        yield f"users_file, line {number}", line


def read_users(lines: Iterable[tuple[str, str]], remember: float) -> Users:
    """Read lines ``name:hash``, one for each user; empty ones and ``#`` comments are allowed.

    :param lines: each with its place for messages.
    :raises ValueError: with the place of the line; its text is not shown.
    """
    checks: dict[bytes, Check] = {}
    for place, line in lines:
        if not (line := line.strip()) or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        if not colon or not name:
            raise ValueError(f"{place}: expected name:hash")
        if name.encode() in checks:
            raise ValueError(f"{place}: the user is already listed")
        try:
            checks[name.encode()] = password_check(rest.partition(":")[0])
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    if not checks:
        raise ValueError("users_file has no users")
    if len(checks) > MOST_USERS:
        raise ValueError(f"users_file has more than {MOST_USERS} users")
    return Users(checks, remember)
