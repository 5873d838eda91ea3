"""Providers without a web service: a program, the DNS protocol itself, and the operator."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import dns.exception
import dns.query
import dns.rcode
import dns.resolver
import dns.tsig
import dns.tsigkeyring
import dns.update

from pingap_acme.dns.provider import DnsError, parameters

log = logging.getLogger("pingap.acme")

_PROGRAM_SECONDS: Final = 120.0
_UPDATE_SECONDS: Final = 20.0
_TTL: Final = 60


class Program:
    """``exec``: a program that is called with ``add`` or ``remove``, the name and the value.

    :param url: its absolute path.
    """

    def __init__(self, url: str) -> None:
        if not Path(url).is_absolute() or not os.access(url, os.X_OK):
            raise ValueError(
                "dns_service_url: for exec, the absolute path of a program that may be run"
            )
        self._program = url

    def add(self, name: str, value: str) -> None:
        """Call the program."""
        self._call("add", name, value)

    def remove(self, name: str, value: str) -> None:
        """Call the program."""
        self._call("remove", name, value)

    def _call(self, *arguments: str) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the operator names the program
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PROGRAM_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DnsError(f"{self._program}: {type(error).__name__}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise DnsError(
                f"{self._program} exits with {done.returncode}: {' '.join(said[-1:])[:300]}"
            )


class Update:
    """``rfc2136``: dynamic updates of a DNS server, signed with a key (RFC 2136, RFC 8945).

    :param url: ``rfc2136://server:port?key_name=...&key=...``, with ``algorithm`` (``hmac-sha256``) and ``zone``
        where they are not as usual.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "rfc2136" or not parts.hostname:
            raise ValueError("dns_service_url: expected rfc2136://SERVER?key_name=...&key=...")
        found = parameters(url, "key_name", "key")
        self._server, self._port = parts.hostname, parts.port or 53
        self._zone = found.get("zone", "")
        algorithm = found.get("algorithm", "hmac-sha256")
        try:
            self._keys = dns.tsigkeyring.from_text({found["key_name"]: (algorithm, found["key"])})
        except (ValueError, dns.exception.DNSException):
            raise ValueError("dns_service_url: key is not base64") from None

    def add(self, name: str, value: str) -> None:
        """Add a record."""
        update = self._begin(name)
        update.add(f"{name}.", _TTL, "TXT", f'"{value}"')
        self._send(update)

    def remove(self, name: str, value: str) -> None:
        """Remove a record."""
        update = self._begin(name)
        update.delete(f"{name}.", "TXT", f'"{value}"')
        self._send(update)

    def _begin(self, name: str) -> dns.update.UpdateMessage:
        zone = self._zone
        if not zone:
            try:
                zone = dns.resolver.zone_for_name(name).to_text()
            except dns.exception.DNSException as error:
                raise DnsError(f"the zone of {name} is not found: {error}; set zone") from error
        return dns.update.UpdateMessage(zone, keyring=self._keys)

    def _send(self, update: dns.update.UpdateMessage) -> None:
        try:
            answer = dns.query.tcp(update, self._server, _UPDATE_SECONDS, self._port)
        except (OSError, dns.exception.DNSException) as error:
            raise DnsError(f"{self._server}: {type(error).__name__}: {error}") from error
        if answer.rcode() != dns.rcode.NOERROR:
            raise DnsError(
                f"{self._server} refuses the update: {dns.rcode.to_text(answer.rcode())}"
            )


class Manual:
    """``manual``: the operator sets the record, which the log names."""

    def __init__(self, url: str) -> None:
        pass

    def add(self, name: str, value: str) -> None:
        """Ask for a record."""
        log.warning("set the DNS record %s IN TXT %s", name, value)

    def remove(self, name: str, value: str) -> None:
        """Say that it is no longer needed."""
        log.info("the DNS record %s IN TXT %s is no longer needed", name, value)
