"""One order: from the names to the certificate (RFC 8555, 7.4). It blocks and runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from acme import crypto_util, messages
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pingap_acme.authority import Authority
from pingap_acme.challenges import Proof, Prover
from pingap_acme.errors import OrderError
from pingap_acme.names import is_address

_RSA_EXPONENT: Final = 65537


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is ordered.

    :param names: normalised.
    :param key_type: ``p256``, ``p384``, ``rsa2048``, ``rsa3072`` or ``rsa4096``.
    :param profile: of the authority; empty for its usual one.
    """

    names: tuple[str, ...]
    key_type: str = "p256"
    must_staple: bool = False
    profile: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Begun:
    """An order that may be continued after a restart.

    :param url: of the order.
    :param key: PEM of the private key of the certificate.
    :param authority: the directory at which it has begun.
    """

    url: str
    key: str
    names: tuple[str, ...]
    authority: str = ""


def new_key(key_type: str) -> bytes:
    """Return a new private key in PEM."""
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if key_type.startswith("rsa"):
        private = rsa.generate_private_key(_RSA_EXPONENT, int(key_type.removeprefix("rsa")))
    else:
        private = ec.generate_private_key(ec.SECP384R1() if key_type == "p384" else ec.SECP256R1())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def place_order(
    authority: Authority,
    wanted: Wanted,
    prover: Prover,
    begun: Begun | None,
    remember: Callable[[Begun], None],
) -> tuple[bytes, bytes]:
    """Return a new certificate with its chain, and its key, in PEM.

    :param begun: an order for the same names that a restart has interrupted.
    :param remember: called with the order once it has begun.
    :raises OrderError: there is none, and why.
    """
    key = begun.key.encode() if begun is not None else new_key(wanted.key_type)
    csr = _request(key, wanted)
    order = authority.resume(begun.url, csr) if begun is not None else None
    if order is None:
        key = new_key(wanted.key_type)
        order = authority.begin(_request(key, wanted), wanted.profile)
        remember(Begun(str(order.uri), key.decode(), wanted.names))
    pending = [one for one in order.authorizations if one.body.status == messages.STATUS_PENDING]
    if pending:
        _prove(authority, order, list(_chosen(authority, pending, prover)), prover)
    elif order.body.status == messages.STATUS_PENDING:
        authority.verified(order)
    return authority.finish(order), key


def _request(key: bytes, wanted: Wanted) -> bytes:
    """Return the certificate request (RFC 2986) in PEM."""
    hosts = [name for name in wanted.names if not is_address(name)]
    addresses = [ip_address(name) for name in wanted.names if is_address(name)]
    return crypto_util.make_csr(key, hosts or None, wanted.must_staple, addresses or None)


def _prove(
    authority: Authority,
    order: messages.OrderResource,
    chosen: Sequence[tuple[messages.ChallengeBody, Proof]],
    prover: Prover,
) -> None:
    proofs = [proof for _, proof in chosen]
    try:
        prover.present(proofs)
        for challenge, _ in chosen:
            authority.answer(challenge)
        authority.verified(order)
    finally:
        prover.remove(proofs)


def _chosen(
    authority: Authority, pending: Sequence[messages.AuthorizationResource], prover: Prover
) -> Iterator[tuple[messages.ChallengeBody, Proof]]:
    """Yield the challenge to answer for each name, and its proof.

    :raises OrderError: the authority offers none that is possible here.
    """
    for one in pending:
        name = one.body.identifier.value
        offered = {challenge.chall.typ: challenge for challenge in one.body.challenges}
        possible = prover.kinds(name, is_wildcard=bool(one.body.wildcard))
        kind = next((kind for kind in possible if kind in offered), None)
        if kind is None:
            shown = f"*.{name}" if one.body.wildcard else name
            raise OrderError(
                f"{shown}: the authority offers {', '.join(sorted(offered)) or 'no challenge'}, but only "
                f"{', '.join(possible) or 'no challenge'} is possible here"
            )
        challenge = offered[kind]
        yield (
            challenge,
            Proof(kind, name, challenge.chall.encode("token"), challenge.validation(authority.key)),
        )
