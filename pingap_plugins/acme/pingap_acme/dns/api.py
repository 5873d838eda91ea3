"""Calls of the web services of providers."""

from __future__ import annotations

from typing import Any, Final

import requests

from pingap_acme.dns.provider import DnsError

CALL_SECONDS: Final = 30.0


def call(method: str, url: str, **options: Any) -> dict[str, Any]:
    """Return the JSON object that a service answers.

    :param options: for ``requests``; the URL in messages has no parameters.
    :raises DnsError: the service is away, refuses, or answers something else.
    """
    shown = url.partition("?")[0]
    try:
        response = requests.request(
            method, url, timeout=CALL_SECONDS, allow_redirects=False, **options
        )
    except requests.RequestException as error:
        raise DnsError(f"{shown} cannot be reached: {type(error).__name__}") from error
    try:
        found = response.json() if response.content else {}
    except ValueError:
        found = None
    if response.status_code >= 400:
        raise DnsError(f"{shown} answers {response.status_code}{_reason(found)}")
    if not isinstance(found, dict):
        raise DnsError(f"{shown} does not answer with a JSON object")
    return found


def _reason(found: object) -> str:
    """Return what a service says about a failure."""
    if not isinstance(found, dict):
        return ""
    errors = found.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        found = errors[0]
    text = next(
        (found[key] for key in ("message", "Message", "error_msg", "error") if key in found), ""
    )
    return f": {text}"[:300] if text else ""
