"""``[plugins.<name>]``, ``[certificates.<name>]``, ``[storages.<name>]`` (config.md, 7 and 8)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pingap.config.kinds import Secret
from pingap.config.model.base import Claimable, Model, Natural, not_yet
from pingap.config.units import Duration

_ACME = "ordering certificates by ACME"


class PluginConfig(Model):
    """A configured plugin: which implementation it uses, and the options of that."""

    category: Annotated[str, Field(min_length=1)] = Field(
        description="The implementation, by the name its distribution gives it."
    )
    step: str = Field("", description="The phase it runs in, for categories that can choose.")
    fail_open: bool = Field(
        False, description="Let requests pass if the plugin fails, where its class allows that."
    )
    timeout: Duration | None = Field(
        None,
        description="How long an async hook may take; then it is cancelled, and has failed. "
        "Default: `30s`. If the plugin has a setting of this name, it is that.",
    )
    remark: str = Field("", description="A comment.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,  # which may hold secrets
        description="Not a key of its own: all other keys, which the plugin itself checks.",
    )


class CertificateConfig(Claimable):
    """A certificate, or an authority that signs certificates on demand."""

    domains: str = Field(
        "", description="Names it serves, separated by commas; empty: those in the certificate."
    )
    tls_cert: str = Field(
        "", description="The certificate and its chain: PEM, base64 of PEM, or a file."
    )
    tls_key: Secret = Field(Secret(""), description="Private key: PEM, base64 of PEM, or a file.")
    is_default: bool = Field(False, description="Serve it for names that no certificate has.")
    is_ca: bool = Field(False, description="Sign certificates with it on demand.")
    acme: str = not_yet("", "Not empty: order it from Let's Encrypt.", needs=_ACME)
    dns_challenge: bool = not_yet(False, "Prove the names by DNS.", needs=_ACME)
    dns_provider: str = not_yet("", "Where the DNS records are kept.", needs=_ACME)
    dns_service_url: Secret = not_yet(
        Secret(""), "URL of that provider, with its credentials.", needs=_ACME
    )
    buffer_days: Natural = Field(
        0, description="Days before expiry at which a warning is given; 0: 7 days."
    )
    remark: str = Field("", description="A comment.")


class StorageConfig(Model):
    """A text for ``includes``."""

    category: str = Field(description="Free text without effect.")
    value: Secret = Field(description="Lines of TOML.")
    secret: Secret = not_yet(
        Secret(""), "Key with which the value is encrypted.", needs="encrypted storages"
    )
    created_at: Natural = Field(0, description="Unix time at which it was made.")
    remark: str = Field("", description="A comment.")
