"""The keys of ``[certificates.<name>]`` for ACME."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from pingap import FilePath, PluginSettings, Secret

HTTP_PORT: Final = 80

Challenge = Literal["http-01", "tls-alpn-01"]
KeyType = Literal["p256", "p384", "rsa2048", "rsa3072", "rsa4096"]


class AcmeSettings(PluginSettings):
    """How the certificate of a table is ordered."""

    acme: str = ""
    """The authority: `lets_encrypt`, `lets_encrypt_staging`, `zerossl`, `google`, or the URL of a directory. Several,
    separated by commas: the next one is asked when one fails."""
    acme_ca_file: FilePath | None = None
    """Certificates that are trusted for the authority itself, in PEM. Default: those of the system."""
    acme_challenges: Annotated[tuple[Challenge, ...], Field(strict=False)] = (
        "http-01",
        "tls-alpn-01",
    )
    """How names are proved, the preferred way first: `http-01` needs port 80, `tls-alpn-01` needs port 443. After a failure the
    other one is tried. `dns_challenge` comes instead of both."""
    acme_contact: str = ""
    """E-mail address for messages of the authority."""
    acme_eab_kid: str = ""
    """Identifier of the account that was opened elsewhere, as ZeroSSL and Google require (external account binding)."""
    acme_eab_hmac: Secret = Secret("")
    """The key that belongs to it, in base64url: text, `$ENV:NAME` or a file."""
    acme_http_port: Annotated[int, Field(ge=1, le=65535)] = HTTP_PORT
    """The port to which `http-01` comes; another one than 80 if a router in front forwards to it."""
    acme_key_type: KeyType = "p256"
    """Kind of the private key."""
    acme_must_staple: bool = False
    """Ask for a certificate that clients accept only with a stapled OCSP response, where the authority offers that."""
    acme_profile: str = ""
    """Profile of the authority, such as `shortlived`; empty: its usual one."""
    acme_storage: str = ""
    """Absolute path of the directory for certificates, keys and accounts. Machines that serve the same names share
    one, and then one of them orders for all. Empty: `acme` in pingap's state directory."""
    dns_challenge: bool = False
    """Prove the names by DNS records, which wildcards need."""
    dns_provider: str = ""
    """Where the records are kept."""
    dns_service_url: Secret = Secret("")
    """URL of that provider with its credentials."""
    dns_resolvers: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """DNS servers that are asked where records belong and whether they are there, as `address` or `address:port`. Default:
    those of the system; others are needed if those show another zone than the internet does."""

    def check(self) -> None:
        """Check what no single key shows.

        :raises ValueError: keys that contradict each other.
        """
        if not self.acme:
            raise ValueError("acme is missing: which authority issues the certificate?")
        if bool(self.acme_eab_kid) != bool(self.acme_eab_hmac.get_secret_value()):
            raise ValueError("acme_eab_kid and acme_eab_hmac belong together")
        if not self.acme_challenges:
            raise ValueError("acme_challenges is empty: no name could be proved")
        if self.acme_storage and not Path(self.acme_storage).is_absolute():
            raise ValueError(f'acme_storage: "{self.acme_storage}" is not an absolute path')
        if self.acme_contact and "@" not in self.acme_contact:
            raise ValueError(f'acme_contact: "{self.acme_contact}" is not an e-mail address')
