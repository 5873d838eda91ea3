"""Cookies whose values clients cannot change."""

from __future__ import annotations

from collections.abc import Sequence

from pingap.http.cookies import Cookie
from pingap.http.headers import Field
from pingap.http.request import Request
from pingap.http.signing import Signer, SigningKey


class SignedCookie:
    """A cookie whose value clients can read, but not change (see ``Signer``).

    If the cookie has a ``max_age``, the signature expires with it. A name with the prefix ``__Host-``
    keeps other hosts of the domain from setting a cookie that takes precedence.

    :param cookie: name and attributes.
    :param keys: the first one signs, all of them verify; each has 32 bytes at least.
    :raises TypeError: as ``Signer``.
    :raises ValueError: as ``Signer``.
    """

    __slots__ = ("_signer", "cookie")

    def __init__(self, cookie: Cookie, keys: Sequence[SigningKey]) -> None:
        self.cookie = cookie
        self._signer = Signer(keys, f"cookie {cookie.name}")

    def read(self, request: Request) -> bytes | None:
        """Return the value that a client sent; None if the cookie is missing or not valid."""
        text = request.cookie(self.cookie.name)
        return None if text is None else self._signer.verify(text)

    def set(self, value: bytes) -> Field:
        """Return the field that sets the cookie.

        :raises ValueError: name and signed value have more than 4096 bytes.
        """
        return self.cookie.set(self._signer.sign(value, expires_in=self.cookie.max_age))

    def delete(self) -> Field:
        """Return the field that deletes the cookie."""
        return self.cookie.delete()
