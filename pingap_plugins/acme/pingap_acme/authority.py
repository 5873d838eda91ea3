"""One certificate authority, for one account: orders, renewal times and revocations (RFC 8555).

Everything here blocks and runs in a thread: the ACME library uses ``requests``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import Any, Final

import requests
from acme import client, errors, messages
from cryptography import x509
from josepy.errors import Error as JoseError
from josepy.jwa import ES256

from pingap_acme.account import Account
from pingap_acme.errors import OrderError, UnknownAccountError, described

CALL_SECONDS: Final = 30
ORDER_SECONDS: Final = 180.0
"""For the authority to verify the names, and again for it to issue the certificate."""
MOST_NONCES: Final = 12
"""An authority with many servers may refuse several in a row."""
_USER_AGENT: Final = "pingap-acme/0.1"


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """How an authority is reached, and as whom.

    :param url: of its directory.
    :param ca_file: certificates that are trusted for it; None for those of the system.
    :param contact: an e-mail address; may be empty.
    :param eab_kid: of the external account binding (RFC 8555, 7.3.4); may be empty.
    :param eab_hmac: its key, in base64url.
    """

    url: str
    ca_file: Path | None = None
    contact: str = ""
    eab_kid: str = ""
    eab_hmac: str = ""


class _Network(client.ClientNetwork):
    """The network of the ACME library, which gives up after two nonces that are refused (RFC 8555, 6.5)."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(MOST_NONCES // 2):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class Authority:
    """A connection to an authority.

    :param account: as it is kept, or a new one.
    :param keep: called with the account once it is registered.
    :raises OrderError: it cannot be reached, or does not accept the account.
    """

    def __init__(self, access: Access, account: Account, keep: Callable[[Account], None]) -> None:
        self.key = account.jwk
        network = _Network(self.key, alg=ES256, user_agent=_USER_AGENT, timeout=CALL_SECONDS)
        if access.ca_file is not None:
            network.verify_ssl = str(access.ca_file)  # type: ignore[assignment]  # requests takes both
        self._retry_after = 0.0
        network.session.hooks["response"].append(self._note)
        with self._told():
            directory = client.ClientV2.get_directory(access.url, network)
            self.acme = client.ClientV2(directory, network)
            if account.url:
                network.account = messages.RegistrationResource(
                    body=messages.Registration(), uri=account.url
                )
            else:
                keep(replace(account, url=self._register(access)))

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Note how long the authority asks to wait when it refuses something."""
        self._retry_after = (
            _seconds(response.headers.get("Retry-After", ""))
            if response.status_code in (429, 503)
            else 0.0
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the library and the network raise into ``OrderError``."""
        try:
            yield
        except (errors.Error, JoseError, requests.RequestException, ValueError) as error:
            is_unknown = isinstance(error, messages.Error) and error.code == "accountDoesNotExist"
            kind = UnknownAccountError if is_unknown else OrderError
            raise kind(described(error), self._retry_after) from error

    def _register(self, access: Access) -> str:
        binding = None
        if access.eab_kid:
            binding = messages.ExternalAccountBinding.from_data(
                self.key.public_key(), access.eab_kid, access.eab_hmac, self.acme.directory
            )
        registration = messages.NewRegistration.from_data(
            email=access.contact or None,
            terms_of_service_agreed=True,
            external_account_binding=binding,
        )
        try:
            return str(self.acme.new_account(registration).uri)
        except errors.ConflictError as found:  # registered before, and the answer was lost
            return str(found.location)

    # Certificates.

    def begin(self, csr: bytes, profile: str = "") -> messages.OrderResource:
        """Begin an order for the names of a certificate request.

        :param csr: PEM.
        :raises OrderError: the authority does not accept it.
        """
        with self._told():
            return self.acme.new_order(csr, profile or None)

    def resume(self, url: str, csr: bytes) -> messages.OrderResource | None:
        """Return an order that was begun before; None if it is no longer of use."""
        with self._told():
            try:
                order = self._get(url)
                body = messages.Order.from_json(order)
                if body.status == messages.STATUS_INVALID:
                    return None
                found = [self._authorization(one) for one in body.authorizations]
            except (messages.Error, errors.ClientError):  # it has expired
                return None
            return messages.OrderResource(body=body, uri=url, authorizations=found, csr_pem=csr)

    def answer(self, challenge: messages.ChallengeBody) -> None:
        """Tell the authority that a proof is in place.

        :raises OrderError: it does not accept that.
        """
        with self._told():
            self.acme.answer_challenge(challenge, challenge.response(self.key))

    def verified(self, order: messages.OrderResource) -> None:
        """Wait until the authority has verified all names.

        :raises OrderError: it found another proof, or none, or took too long.
        """
        with self._told():
            self.acme.poll_authorizations(order, _in(ORDER_SECONDS))

    def finish(self, order: messages.OrderResource) -> bytes:
        """Return the certificate and its chain, in PEM.

        :raises OrderError: the authority does not issue it.
        """
        with self._told():
            if order.body.status == messages.STATUS_VALID:
                done = self.acme.poll_finalization(order, _in(ORDER_SECONDS))
            else:
                done = self.acme.finalize_order(order, _in(ORDER_SECONDS))
        return str(done.fullchain_pem).encode()

    def suggested_renewal(self, chain: bytes) -> tuple[float | None, float]:
        """Return when the authority wants a certificate to be renewed, and when to ask again (RFC 9773).

        :returns: Unix times; None if it has no opinion.
        :raises OrderError: it does not answer.
        """
        with self._told():
            try:
                at, again = self.acme.renewal_time(chain)
            except errors.ARIError as error:
                cause = error.__cause__
                raise OrderError(
                    described(cause if isinstance(cause, Exception) else error)
                ) from error
        return at.timestamp() if at is not None else None, again.timestamp()

    def revoke(self, chain: bytes, reason: int = 0) -> None:
        """Revoke a certificate.

        :param reason: of RFC 5280, 5.3.1.
        :raises OrderError: the authority does not do it.
        """
        with self._told():
            self.acme.revoke(x509.load_pem_x509_certificate(chain), reason)

    def _get(self, url: str) -> Any:
        nonces = self.acme.directory["newNonce"]
        return self.acme.net.post(url, None, new_nonce_url=nonces).json()

    def _authorization(self, url: str) -> messages.AuthorizationResource:
        return messages.AuthorizationResource(
            body=messages.Authorization.from_json(self._get(url)), uri=url
        )

    def close(self) -> None:
        """Close its connections."""
        self.acme.net.session.close()


def _in(seconds: float) -> datetime:
    return datetime.now() + timedelta(seconds=seconds)  # as the library compares it


def _seconds(text: str) -> float:
    """Return the seconds of ``Retry-After``, a number or a date; 0 if it is neither."""
    if text.isdecimal():
        return float(text[:9])
    date = parsedate_tz(text)
    return max(0.0, mktime_tz(date) - time.time()) if date is not None else 0.0
