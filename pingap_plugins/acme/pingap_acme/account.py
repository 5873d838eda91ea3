"""The account at an authority: its key and where it was registered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.jwk import JWK, JWKEC


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """An account (RFC 8555, 7.1.2).

    :param key: PEM of its private key, of P-256.
    :param url: of the account at the authority; empty if it is not registered yet.
    """

    key: str
    url: str = ""

    @classmethod
    def create(cls) -> Account:
        """Return an account with a new key."""
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return cls(pem.decode())

    @classmethod
    def from_text(cls, text: str) -> Account:
        """Read what ``as_text`` returned.

        :raises ValueError: it is damaged.
        """
        found = json.loads(text)
        if not isinstance(found, dict) or not all(
            isinstance(found.get(name), str) for name in cls.__slots__
        ):
            raise ValueError("not an account")
        account = cls(found["key"], found["url"])
        load_pem_private_key(account.key.encode(), None)
        return account

    def as_text(self) -> str:
        """Return the account as it is kept."""
        return json.dumps({"key": self.key, "url": self.url})

    @property
    def jwk(self) -> JWK:
        """The private key as the ACME library takes it."""
        return JWKEC.load(self.key.encode())


def account_name(directory_url: str, eab_kid: str, contact: str) -> str:
    """Return the name under which an account is kept: another one for other settings."""
    return sha256("\n".join((directory_url, eab_kid, contact)).encode()).hexdigest()[:16]
