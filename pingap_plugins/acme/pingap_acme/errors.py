"""What goes wrong with an order, in words for the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import requests
from acme import errors, messages

_ADVICE: Final = {
    "connection": "the authority could not reach this host: is the name's address that of this machine, and the "
    "port open to the internet?",
    "dns": "the name cannot be resolved by the authority: is there an A or AAAA record?",
    "unauthorized": "the authority got another answer: does the name lead to another server, or is an AAAA record out of "
    "date?",
    "incorrectResponse": "the authority got another answer: does the name lead to another server?",
    "caa": "a CAA record of the domain does not allow this authority",
    "rateLimited": "the limit of the authority is reached",
    "rejectedIdentifier": "the authority does not issue certificates for this name",
    "externalAccountRequired": "the authority needs acme_eab_kid and acme_eab_hmac",
    "badCSR": "the authority does not accept the kind of key: set acme_key_type",
    "accountDoesNotExist": "the authority has no such account any longer",
}
"""Code of a problem (RFC 8555, 6.7) -> what the operator should look at."""


class OrderError(Exception):
    """An order failed. The message is for the operator and has no secrets.

    :ivar retry_after: seconds that the authority asked to wait; 0 if it said nothing.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnknownAccountError(OrderError):
    """The authority does not know the account, perhaps any longer."""


def described(error: Exception) -> str:
    """Return in one line what an exception of the ACME library, or of the network, says."""
    if isinstance(error, errors.ValidationError):
        return "; ".join(_failed_names(error)) or "the authority could not verify the names"
    if isinstance(error, errors.IssuanceError):
        return described(error.error)
    if isinstance(error, messages.Error):
        return _problem(error)
    if isinstance(error, errors.TimeoutError):
        return "the authority did not finish in time"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of the authority is not trusted: {_first_line(error)}"
    if isinstance(error, requests.exceptions.RequestException):
        return f"the authority cannot be reached: {_first_line(error)}"
    return (
        f"the authority does not answer as it should: {type(error).__name__}: {_first_line(error)}"
    )


def _failed_names(error: errors.ValidationError) -> Iterator[str]:
    for one in error.failed_authzrs:
        for challenge in one.body.challenges:
            if challenge.error is not None:
                name = one.body.identifier.value
                yield f"{name} ({challenge.chall.typ}): {_problem(challenge.error)}"


def _problem(error: messages.Error) -> str:
    code = error.code or ""
    parts = [_ADVICE.get(code, ""), error.detail or error.title or code]
    parts += [
        f"{one.identifier.value if one.identifier else ''}: {one.detail or one.typ}"
        for one in error.subproblems or ()
    ]
    return " - ".join(" ".join(part.split()) for part in parts if part)[:1000]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]
